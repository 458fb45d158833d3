//! The real listener: what a connection may cost, and how the program ends.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use durawasm_host::net::rules::Rules;
use durawasm_host::origin::Pages;
use durawasm_host::server::{Server, ServerOptions, StoreChoice};
use durawasm_tests::guests;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::{Program, port};

async fn server() -> Server {
    let options = ServerOptions {
        listen: "127.0.0.1:0".to_owned(),
        store: StoreChoice::Memory,
        admin_key: None,
        public_url: None,
        trust_proxy: false,
        retention: None,
        run_ahead: Duration::ZERO,
        function_stay: Duration::ZERO,
        cors_origins: Vec::<Pages>::new(),
        egress: Rules::default(),
        egress_ca: None,
        otlp: None,
        route_prefix: "api".to_owned(),
        sync_delay: None,
    };
    Server::start(options).await.unwrap()
}

/// Sends bytes as they are and reads until the server closes or has sent `enough`.
async fn exchange(stream: &mut TcpStream, sent: &[u8], enough: &str) -> String {
    stream.write_all(sent).await.unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&got).contains(enough) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => got.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_several_requests() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..3 {
        let answer = exchange(&mut stream, HEALTH, "{\"status\":\"ok\"}").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_head_is_refused() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(80 << 10));
    let answer = exchange(&mut stream, head.as_bytes(), "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200));
    let answer = exchange(&mut stream, head.as_bytes(), "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_a_stop() {
    let mut server = server().await;
    let engine = server.engine().await.unwrap();
    let address = server.address();
    let mut used = TcpStream::connect(address).await.unwrap();
    exchange(&mut used, HEALTH, "{\"status\":\"ok\"}").await;
    let mut fresh = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    server.stop(engine).await.unwrap();
    // Connections that are in use are waited for ten seconds.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(exchange(&mut used, b"", "x").await, "");
    assert_eq!(exchange(&mut fresh, b"", "x").await, "");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_is_answered_with_its_links_when_the_program_is_asked_to_stop() {
    let mut program = Program::serve_with("memory", &[]).await;
    program.deploy("flow", guests::guest("flow")).await;
    let url = format!("{}/runtime/webhooks/durabletask/orchestrators/Event/waits", program.url);
    let waits = tokio::spawn(async move {
        let request = durawasm_tests::tls::http().post(format!("{url}?timeout=300&pollingInterval=1")).body("\"Go\"");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    });
    let path = "/runtime/webhooks/durabletask/instances/waits";
    while program.get(path).await.is_none_or(|(status, _)| status != 202) {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let asked = Command::new("kill").args(["-TERM", &program.child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let (status, links) = waits.await.unwrap();
    assert_eq!((status, &links["id"]), (202, &json!("waits")));
    let ended = tokio::task::spawn_blocking(move || program.child.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// What the program says and how it ends, when it is used wrongly.
fn refused(flags: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
    let mut child = command.args(["serve", "--store", "memory"]).args(flags).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
    said
}

#[test]
fn a_busy_address_is_said_plainly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&["--listen", &address]);
    assert!(said.contains(&address) && said.contains("another program listens there"), "{said}");
    assert!(said.contains("--listen"), "{said}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let listen = format!("127.0.0.1:{}", port());
    for (flag, value, word) in [
        ("--public-url", "durable.example", "https://HOST"),
        ("--public-url", "https://durable.example/path", "path"),
        ("--cors-origin", "ui.example", "https://HOST"),
        ("--cors-origin", "*", "--admin-key"),
        ("--egress", "https://api.example.com", "a rule has no scheme"),
        ("--egress-ca", "/no/such/file", "cannot read certificates from /no/such/file"),
    ] {
        let said = refused(&["--listen", &listen, flag, value]);
        assert!(said.contains(word), "{flag} {value}: {said}");
    }
}
