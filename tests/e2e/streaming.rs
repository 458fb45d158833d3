//! HTTP functions that read their request and write their response piece by piece (`wasi:http/incoming-handler`).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use durawasm_host::api::ApiSettings;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Host, Outside, guests};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::Program;

const LOCAL: [(&str, &str); 1] = [("host", "localhost:7071")];

/// One that runs a single function of each sort at once.
async fn host(function_timeout: Duration) -> Host {
    let function_patience = Duration::from_secs(120);
    let settings = Settings { functions: 1, function_timeout, function_patience, ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await;
    host.deploy("streaming", guests::guest("streaming")).await;
    host
}

async fn deed(host: &Host, deed: &str) -> Response<Body> {
    host.begin("GET", &format!("/api/stream/{deed}"), &LOCAL, "").await
}

/// What came of a body, and whether it came to its end.
async fn read(body: Body) -> (String, bool) {
    let (mut text, mut body) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = next(&mut body).await {
        match piece {
            Ok(bytes) => text.extend(bytes),
            Err(_) => return (String::from_utf8(text).unwrap(), false),
        }
    }
    (String::from_utf8(text).unwrap(), true)
}

async fn next(body: &mut axum::body::BodyDataStream) -> Option<Result<axum::body::Bytes, axum::Error>> {
    use std::pin::Pin;
    std::future::poll_fn(|context| {
        let mut body = Pin::new(&mut *body);
        axum::body::HttpBody::poll_frame(body.as_mut(), context)
    })
    .await
    .map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_begins_before_the_request_has_ended() {
    let program = Program::serve_with("memory", &[]).await;
    program.deploy("streaming", guests::guest("streaming")).await;
    let mut stream = TcpStream::connect(program.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head =
        "POST /api/echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\naccept-encoding: gzip\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut seen, mut from) = (String::new(), 0);
    for word in ["one", "two", "three"] {
        // The next piece is sent when this one has come back.
        stream.write_all(format!("{:x}\r\n{word}\r\n", word.len()).as_bytes()).await.unwrap();
        while !seen[from..].contains(&format!("{:x}\r\n{word}\r\n", word.len())) {
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut bytes)).await;
            let read = read.unwrap_or_else(|_| panic!("{word} does not come back: {seen}")).unwrap();
            assert!(read > 0, "{seen}");
            seen.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        from = seen.len();
    }
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n") && seen.contains("\r\nx-twice: a\r\nx-twice: b\r\n"), "{seen}");
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut end = [0; 5];
    stream.read_exact(&mut end).await.unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
    // The connection is good for another request, and a client that goes away takes nothing with it.
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"3\r\nabc\r\n").await.unwrap();
    stream.read_exact(&mut end).await.unwrap();
    drop(stream);
    assert_eq!(program.http.post(format!("{}/api/echo", program.url)).body("x").send().await.unwrap().status(), 200);
    // A response that breaks off looks like none that has ended.
    let broken = program.http.get(format!("{}/api/stream/panic-later", program.url)).send().await;
    if let Ok(begun) = broken {
        assert_eq!(begun.status(), 200);
        assert!(begun.text().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_go_both_ways() {
    let program = Program::serve_with("memory", &[]).await;
    program.deploy("streaming", guests::guest("streaming")).await;
    let address = program.url.strip_prefix("http://").unwrap().to_owned();
    let answer = async |te: &str, trailers: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "POST /api/stream/trailers HTTP/1.1\r\nhost: localhost\r\n{te}connection: close\r\n\
             transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let three = "x-sum: 7\r\nx-twice: a\r\nx-twice: b\r\n";
    let with = answer("te: trailers\r\n", three).await;
    assert!(with.starts_with("HTTP/1.1 200 OK\r\n") && with.contains("\r\ntrailer: x-sum, x-twice\r\n"), "{with}");
    assert!(with.ends_with(&format!("3\r\nabc\r\n0\r\n{three}\r\n")), "{with}");
    // A client that does not ask for them gets none, and one that sends none gets its body all the same.
    for (te, trailers) in [("", three), ("te: trailers\r\n", "")] {
        let without = answer(te, trailers).await;
        assert!(without.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{without}");
    }
    // A request with so many has no end, and a response with so many none either.
    let many = answer("te: trailers\r\n", &"x-sum: 7\r\n".repeat(101)).await;
    assert!(!many.contains("\r\n0\r\n"), "{many}");
    let host = host(Duration::from_secs(60)).await;
    assert_eq!(read(deed(&host, "many-trailers").await.into_body()).await, ("half ".to_owned(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_before_the_head_is_an_error_and_after_it_a_cut() {
    // Only who never ends is to run out of time.
    let (host, hurried) = (host(Duration::from_secs(120)).await, host(Duration::from_secs(4)).await);
    let host_of = |deed: &str| if deed.starts_with("loop") || deed.starts_with("sleep") { &hurried } else { &host };
    for (before, status) in
        [("panic", 500), ("nothing", 500), ("fail", 500), ("status-101", 500), ("loop", 504), ("unknown", 500)]
    {
        let answer = deed(host_of(before), before).await;
        let (answered, (text, _)) = (answer.status().as_u16(), read(answer.into_body()).await);
        if before == "unknown" {
            assert_eq!((answered, text.as_str()), (200, "half "));
            continue;
        }
        assert_eq!((answered, text.as_str()), (status, ""), "{before}");
    }
    for after in ["panic-later", "loop-later", "sleep-later", "short", "unfinished"] {
        let answer = deed(host_of(after), after).await;
        assert_eq!(answer.status(), 200, "{after}");
        assert_eq!(read(answer.into_body()).await, ("half ".to_owned(), false), "{after}");
    }
    let large = deed(&host, "count").await;
    let (text, whole) = read(large.into_body()).await;
    assert_eq!((text.len(), whole), (8 << 20, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_or_hold_on_cost_others_nothing() {
    let host = host(Duration::from_secs(60)).await;
    let forever = deed(&host, "forever").await;
    assert_eq!(forever.status(), 200);
    // The one place of those that stream is taken; the others have theirs.
    let length = host.send("POST", "/api/length", "12345").await;
    assert_eq!((length.status.as_u16(), length.text().as_str()), (200, "5"));
    drop(forever);
    // The guest is stopped, and its place is free.
    let echoed = host.send("POST", "/api/echo", "here").await;
    assert_eq!((echoed.status.as_u16(), echoed.text().as_str()), (200, "here"));
    // What it does after its response is its own.
    assert_eq!(read(deed(&host, "afterwards").await.into_body()).await, ("done".to_owned(), true));
    host.until("afterwards", "started", |status| status["runtimeStatus"] == "Running").await;
    // Who asks for the head only is not sent the rest, and the place is free again.
    let head = host.begin("HEAD", "/api/stream/forever", &LOCAL, "").await;
    assert_eq!((head.status().as_u16(), read(head.into_body()).await), (200, (String::new(), true)));
    let gzip = [("host", "localhost:7071"), ("accept-encoding", "gzip")];
    let large = host.begin("GET", "/api/stream/count", &gzip, "").await;
    assert!(!large.headers().contains_key("content-encoding"), "compressing would hold pieces back");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_have_the_keys_settings_ways_out_and_clients_of_all_others() {
    const KEY: &str = "a key of more than 16 bytes";
    let (open, outside) = (host(Duration::from_secs(60)).await, Outside::new().await);
    let keyed =
        open.behind(ApiSettings { admin_key: Some(KEY.to_owned()), ..ApiSettings::new("http://localhost:7071") });
    assert_eq!(keyed.send("POST", "/api/echo", "x").await.text(), "x", "anonymous");
    assert_eq!(keyed.send("POST", "/api/start/Wait", "").await.status, 401);
    let key = [("host", "df.example"), ("x-functions-key", KEY)];
    let started = keyed.send_with("POST", "/api/start/Wait", &key, "[1,2]").await;
    assert_eq!(started.status, 202, "{}", started.text());
    let links = started.json();
    let id = links["id"].as_str().unwrap();
    assert!(links["statusQueryGetUri"].as_str().unwrap().starts_with("http://df.example/runtime/"), "{links}");
    assert_eq!(open.until(id, "waiting", |status| status["runtimeStatus"] == "Running").await["input"], json!([1, 2]));
    let wrong = open.send("GET", "/api/echo", "").await;
    assert_eq!((wrong.status.as_u16(), wrong.headers["allow"].to_str().unwrap()), (405, "POST"));

    let config = json!({"env": {"SETTING": "of the hub"}}).to_string();
    assert_eq!(open.send("PUT", "/admin/hubs/default/config", config).await.status, 200);
    assert_eq!(open.send("GET", "/api/stream/setting", "").await.text(), "of the hub");
    let fetch = async |address: String| open.send("POST", "/api/stream/fetch", address).await.text();
    assert_eq!(fetch(outside.address.to_string()).await, "200");
    let refused = fetch("10.0.0.1".to_owned()).await;
    assert!(refused.contains("HttpRequestDenied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_nobody_declares_answers_what_is_left() {
    let host = Host::new().await;
    host.deploy("bare", guests::guest("streaming-bare")).await;
    let app = host.send("GET", "/admin/hubs/default/apps/bare", "").await.json();
    assert_eq!(app["functions"][0]["name"], "http", "{app}");
    assert_eq!(app["functions"][0]["route"], "{*path}", "{app}");
    host.deploy("streaming", guests::guest("streaming")).await;
    let answer = host.send("GET", "/api/some/where?a=1", "").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "http answers /api/some/where?a=1"));
    assert_eq!(host.send("POST", "/api/length", "12").await.text(), "2");
    let other = host.send("PUT", "/admin/hubs/default/apps/other", guests::guest("streaming-bare")).await;
    assert_eq!(other.status, 409, "{}", other.text());
    // Routes follow the apps.
    assert_eq!(host.send("DELETE", "/admin/hubs/default/apps/bare", "").await.status, 204);
    assert_eq!(host.send("GET", "/api/some/where", "").await.status, 404);
}
