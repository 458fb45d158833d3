//! HTTP functions that misbehave, and clients that do: each gets the status that fits, and neighbours notice nothing.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Host, guests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::Program;

/// Functions that run at once.
const PLACES: usize = 2;

/// Far longer than anything takes here.
const LONG: Duration = Duration::from_secs(120);

async fn host(function_timeout: Duration, function_patience: Duration) -> Host {
    let settings = Settings { functions: PLACES, function_timeout, function_patience, ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await;
    host.deploy("hostile", guests::guest("hostile")).await;
    host
}

async fn call(host: &Host, deed: &str) -> u16 {
    let answer = host.send("GET", &format!("/api/deeds/{deed}"), "").await;
    if answer.status.is_server_error() {
        assert_eq!(answer.text(), "", "{deed}: nothing of the inside is told");
    }
    answer.status.as_u16()
}

/// As many calls as there are places, at once: none waits in vain.
async fn neighbour(host: &Host) {
    let fine = || host.send("POST", "/api/fine", "12345");
    let (one, other) = tokio::join!(fine(), fine());
    for answer in [one, other] {
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "5"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deed_gets_its_status_and_gives_its_place_back() {
    let host = host(LONG, LONG).await;
    for (deed, status) in [
        ("panic", 500),
        ("fail", 500),
        ("memory", 500),
        ("stack", 500),
        ("huge-body", 500),
        ("large-body", 500),
        ("many-headers", 500),
        ("large-header", 500),
        ("bad-name", 500),
        ("bad-value", 500),
        ("status-0", 500),
        ("status-101", 500),
        ("status-1000", 500),
        ("wrong-role", 500),
        ("framing", 200),
        ("body-of-204", 204),
        ("nothing", 400),
    ] {
        // More often than there are places.
        for _ in 0..=PLACES {
            assert_eq!(call(&host, deed).await, status, "{deed}");
        }
        neighbour(&host).await;
    }
    let framing = host.send("GET", "/api/deeds/framing", "").await;
    assert_eq!((framing.text().as_str(), framing.headers.get("connection")), ("whole", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_answers_is_stopped() {
    // Time enough for the neighbour on a busy machine.
    let host = host(Duration::from_secs(3), LONG).await;
    for deed in ["loop", "sleep", "print"] {
        // More often than there are places.
        for _ in 0..PLACES {
            let stopped = async { tokio::join!(call(&host, deed), call(&host, deed)) };
            let stopped = tokio::time::timeout(LONG, stopped).await;
            assert_eq!(stopped, Ok((504, 504)), "{deed}");
        }
        neighbour(&host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_are_told_to_come_again() {
    let host = Arc::new(host(Duration::from_secs(3_600), Duration::from_millis(200)).await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let host = Arc::clone(&host);
        calls.spawn(async move { host.send("GET", "/api/deeds/sleep", "").await });
    }
    for _ in PLACES..50 {
        let answer = calls.join_next().await.unwrap().unwrap();
        assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"1".parse().unwrap()));
    }
    // The others have found places, and sleep.
    let answered = tokio::time::timeout(Duration::from_millis(500), calls.join_next()).await;
    assert!(answered.is_err(), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_gives_its_place_back() {
    let host = host(Duration::from_secs(600), LONG).await;
    for deed in ["sleep", "loop"] {
        for _ in 0..3 * PLACES {
            let gone = tokio::time::timeout(Duration::from_millis(50), call(&host, deed)).await;
            assert!(gone.is_err(), "{deed} did not go on");
        }
        neighbour(&host).await;
    }
}

/// What the server sends back on a connection, up to this text.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&got).contains(end) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// By the real program, because connections are at stake.
#[tokio::test(flavor = "multi_thread")]
async fn connections_and_links_survive_what_functions_answer() {
    let program = Program::serve_with("memory", &[]).await;
    program.deploy("hostile", guests::guest("hostile")).await;
    let address = program.url.strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let mut ask = async |head: &str, end: &str| {
        stream.write_all(format!("{head} HTTP/1.1\r\nhost: localhost:7\r\n\r\n").as_bytes()).await.unwrap();
        read_until(&mut stream, end).await
    };
    // One connection for all: an answer that says too much about itself would spoil the next one.
    assert!(ask("GET /api/deeds/framing", "whole").await.starts_with("HTTP/1.1 200"));
    assert!(ask("GET /api/deeds/body-of-204", "\r\n\r\n").await.starts_with("HTTP/1.1 204"));
    let head = ask("HEAD /api/fine", "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let head = ask("HEAD /api/deeds/method", "\r\n\r\n").await;
    assert!(head.contains("\r\ncontent-length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask("GET /api/deeds/bad-value", "\r\n\r\n").await.starts_with("HTTP/1.1 500"));
    let fine = ask("GET /api/fine", "\r\n\r\n0").await;
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
    let uri = "x-status-uri: http://localhost:7/runtime/webhooks/durabletask/instances/some?";
    assert!(fine.contains(uri), "links made while a request is answered have its origin: {fine}");
    // Clients that send slowly wait before a function is called: they take no places.
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(b"POST /api/deeds/panic HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n1")
            .await
            .unwrap();
        slow.push(stream);
    }
    assert!(ask("GET /api/fine", "\r\n\r\n0").await.starts_with("HTTP/1.1 200"));
    drop(slow);
    assert!(ask("GET /api/fine", "\r\n\r\n0").await.starts_with("HTTP/1.1 200"));
}
