//! Functions of every kind that reach for the network with what the language has.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use durawasm::prelude::*;
use serde_json::{Value, json};
use wstd::http::{Body, Client, Request};
use wstd::runtime::block_on;

fn fetch_url(url: &str) -> Result<Value> {
    block_on(async {
        let request = Request::post(url).header("x-from", "a guest").body(Body::from("hello"));
        let request = request.map_err(|error| Error::msg(error))?;
        let response = Client::new().send(request).await.map_err(|error| Error::msg(format!("{error:?}")))?;
        let (head, mut body) = response.into_parts();
        let text = body.str_contents().await.map_err(|error| Error::msg(format!("{error:?}")))?;
        Ok(json!({"status": head.status.as_u16(), "body": text}))
    })
}

/// How many responses it can hold unread at once. It waits long for the first so many, and for those beyond a moment:
/// `count url`.
fn hoard(rest: &str) -> Result<Value> {
    let (count, url) = rest.split_once(' ').unwrap_or(("0", rest));
    let count: usize = count.parse().map_err(Error::msg)?;
    block_on(async {
        let mut held = vec![];
        while held.len() < 200 {
            let patience = std::time::Duration::from_millis(if held.len() < count { 120_000 } else { 500 });
            let mut client = Client::new();
            client.set_first_byte_timeout(patience);
            client.set_connect_timeout(patience);
            let request = Request::get(url).body(Body::empty()).map_err(Error::msg)?;
            match client.send(request).await {
                Ok(response) => held.push(response),
                Err(_) => break,
            }
        }
        Ok(json!(held.len()))
    })
}

fn connect(address: &str) -> Result<TcpStream> {
    TcpStream::connect(address).map_err(|error| Error::new("Connect", format!("{:?}: {error}", error.kind())))
}

fn say_and_hear(address: &str) -> Result<Value> {
    let mut stream = connect(address)?;
    stream.write_all(b"ping").map_err(Error::msg)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(Error::msg)?;
    Ok(json!(String::from_utf8_lossy(&answer)))
}

/// What the kind of its first word comes to.
fn reach(what: &str) -> Result<Value> {
    let (kind, rest) = what.split_once(' ').unwrap_or((what, ""));
    match kind {
        "fetch" => fetch_url(rest),
        "hoard" => hoard(rest),
        "sockets" => {
            let mut open = vec![];
            while let (Ok(stream), true) = (TcpStream::connect(rest), open.len() < 200) {
                open.push(stream);
            }
            Ok(json!(open.len()))
        }
        "echo" => Ok(json!(rest)),
        "tcp" => say_and_hear(rest),
        // How often it may look up a name.
        "lookups" => Ok(json!((0..1000).take_while(|_| (rest, 0).to_socket_addrs().is_ok()).count())),
        "lookup" => {
            let found = (rest, 0).to_socket_addrs().map_err(|error| Error::new("Lookup", error.to_string()))?;
            Ok(found.map(|address| json!(address.ip().to_string())).collect())
        }
        "udp" => UdpSocket::bind(rest).map(|_| json!("bound")).map_err(|error| Error::new("Udp", error.to_string())),
        "listen" => {
            TcpListener::bind(rest).map(|_| json!("listens")).map_err(|error| Error::new("Listen", error.to_string()))
        }
        // A query of PostgreSQL's protocol without a password: `user database address`.
        "postgres" => postgres(rest),
        other => Err(Error::msg(format!("nobody knows how to {other}"))),
    }
}

/// The first value of `select 6 * 7`.
fn postgres(rest: &str) -> Result<Value> {
    let mut words = rest.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (user, database, address) = (word(), word(), word());
    let mut stream = connect(address)?;
    let mut start = 196_608_i32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, ""] {
        start.extend_from_slice(text.as_bytes());
        start.push(0);
    }
    let mut sent = (start.len() as u32 + 4).to_be_bytes().to_vec();
    sent.extend(start);
    let query = b"select 6 * 7\0";
    sent.push(b'Q');
    sent.extend((query.len() as u32 + 4).to_be_bytes());
    sent.extend_from_slice(query);
    stream.write_all(&sent).map_err(Error::msg)?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).map_err(Error::msg)?;
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        stream.read_exact(&mut body).map_err(Error::msg)?;
        match head[0] {
            // A row: the count of columns, then the length of the first and itself.
            b'D' => return Ok(json!(String::from_utf8_lossy(&body[6..]))),
            b'E' => return Err(Error::new("Postgres", String::from_utf8_lossy(&body))),
            _ => {}
        }
    }
}

/// Beside what all can: `start id`, another instance that echoes.
#[durawasm::activity(name = "Reach")]
fn reach_activity(ctx: ActivityContext, what: String) -> Result<Value> {
    ctx.info(&what);
    match what.split_once(' ') {
        Some(("start", id)) => {
            let started = ctx.client().start_new("Asks").instance_id(id).input("echo of another").send();
            started.map(Value::from).map_err(Error::msg)
        }
        Some(_) | None => reach(&what),
    }
}

/// The activity above for each, one after the other.
#[durawasm::orchestrator(name = "AsksEach")]
async fn asks_each(ctx: OrchestrationContext, all: Vec<String>) -> Result<Vec<Value>> {
    let mut answers = vec![];
    for what in all {
        answers.push(ctx.call_activity("Reach", what).await?);
    }
    Ok(answers)
}

/// The same once somebody says which.
#[durawasm::orchestrator(name = "AsksWhenTold")]
async fn asks_when_told(ctx: OrchestrationContext) -> Result<Vec<Value>> {
    let all: Vec<String> = ctx.wait_for_event("Ask").await?;
    let mut answers = vec![];
    for what in all {
        answers.push(ctx.call_activity("Reach", what).await?);
    }
    Ok(answers)
}

/// Has the activity run and does not wait for it.
#[durawasm::orchestrator(name = "Leaves")]
async fn leaves(ctx: OrchestrationContext, what: String) -> Result<&'static str> {
    drop(ctx.call_activity::<Value>("Reach", what));
    Ok("gone")
}

/// The activity above.
#[durawasm::orchestrator(name = "Asks")]
async fn asks(ctx: OrchestrationContext, what: String) -> Result<Value> {
    ctx.call_activity("Reach", what).await
}

/// Does itself what only others may.
#[durawasm::orchestrator(name = "Reaches")]
async fn reaches(_ctx: OrchestrationContext, what: String) -> Result<Value> {
    reach(&what)
}

#[durawasm::http(name = "ReachHttp", route = "reach", auth = "anonymous")]
fn reach_http(_ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    HttpResponse::new(200).json(&reach(request.text()?)?)
}

durawasm::app!(asks, asks_each, asks_when_told, leaves, reach_activity, reach_http, reaches);
