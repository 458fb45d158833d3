//! What functions reach with their language's own network, and what they do not.

use std::net::SocketAddr;

use durawasm_tests::{Host, Outside, guests};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::program::Program;

async fn host() -> Host {
    let host = Host::new().await;
    host.deploy("network", guests::guest("network")).await;
    host
}

/// Answers every connection with what it says.
async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut word = [0; 4];
                while stream.read_exact(&mut word).await.is_ok() && stream.write_all(&word).await.is_ok() {}
            });
        }
    });
    address
}

fn failure(status: &Value) -> Value {
    let events = status["historyEvents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = events.iter().rfind(|event| !event["FailureDetails"].is_null());
    failed.map_or(Value::Null, |event| event["FailureDetails"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_and_client_functions_make_requests_of_their_own() {
    let (host, outside) = (host().await, Outside::new().await);
    let fetch = format!("fetch {}", outside.url("/echo?a=1"));
    let status = host.run("Asks", json!(fetch)).await;
    assert_eq!(status["output"]["status"], 200, "{status}");
    let echoed: Value = serde_json::from_str(status["output"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(echoed, json!({"method": "POST", "path": "/echo?a=1", "body": "hello"}));
    let asked = &outside.asked()[0];
    assert_eq!((&*asked.headers["x-from"], &asked.headers["host"]), ("a guest", &outside.address.to_string()));

    let by_name = format!("fetch http://localhost:{}/status?code=404", outside.address.port());
    assert_eq!(host.run("Asks", json!(by_name)).await["output"], json!({"status": 404, "body": "as you wish"}));
    let answer = host.send("POST", "/api/reach", fetch).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!(200)));
    let large = host.run("Asks", json!(format!("fetch {}", outside.url("/huge?bytes=3000000")))).await;
    assert_eq!(large["output"]["body"].as_str().map(str::len), Some(3_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_connect_to_what_is_allowed() {
    let (host, parrot) = (host().await, parrot().await);
    for address in [parrot.to_string(), format!("localhost:{}", parrot.port())] {
        let status = host.run("Asks", json!(format!("tcp {address}"))).await;
        assert_eq!(status["output"], "ping", "{address}: {status}");
    }
    let status = host.run("Asks", json!("lookup localhost")).await;
    assert!(status["output"].as_array().unwrap().contains(&json!("127.0.0.1")), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_named_in_the_failure() {
    let host = host().await;
    for (what, setting) in [
        ("fetch http://api.example.com/", "--egress api.example.com:80"),
        ("fetch https://api.example.com/", "--egress api.example.com:443"),
        ("fetch http://169.254.169.254/latest/meta-data", "--egress 169.254.169.254:80"),
        ("tcp 169.254.169.254:80", "--egress 169.254.169.254:80"),
        ("tcp 10.0.0.1:5432", "--egress 10.0.0.1:5432"),
        ("tcp 93.184.216.34:80", "--egress 93.184.216.34:80"),
        ("tcp db.example.com:5432", "--egress db.example.com"),
        ("lookup db.example.com", "--egress db.example.com"),
    ] {
        let status = host.run("Asks", json!(what)).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{what}");
        let text = failure(&status)["InnerFailure"].to_string();
        assert!(text.contains("EgressRefused") && text.contains(setting), "{what}: {status}");
    }
    for what in ["udp 127.0.0.1:0", "udp 0.0.0.0:0", "listen 127.0.0.1:0", "listen 0.0.0.0:0"] {
        let status = host.run("Asks", json!(what)).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{what}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_reaches_what_its_configuration_allows() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let program = Program::serve(&data).await;
    program.deploy("network", guests::guest("network")).await;
    let address = parrot().await;
    let asks = async |program: &Program, id: &str| {
        assert_eq!(program.start("Asks", id, json!(format!("tcp {address}"))).await, 202);
        program.ended(id).await
    };
    assert_eq!(asks(&program, "before").await["runtimeStatus"], "Failed");
    let configure = async |program: &Program, egress: Value| {
        let url = format!("{}/admin/hubs/default/config", program.url);
        let body = json!({"egress": egress}).to_string();
        program.http.put(url).body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(configure(&program, json!([address.to_string()])).await, 200);
    assert_eq!(asks(&program, "allowed").await["output"], "ping");
    drop(program);
    let program = Program::serve(&data).await;
    assert_eq!(asks(&program, "again").await["output"], "ping");
    assert_eq!(configure(&program, json!([])).await, 200);
    assert_eq!(asks(&program, "no-more").await["runtimeStatus"], "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_only_so_many_requests_sockets_and_names() {
    let (host, outside) = (host().await, Outside::new().await);
    let hoard = format!("hoard 64 {}", outside.url("/huge?bytes=1000000"));
    assert_eq!(host.run("Asks", json!(hoard)).await["output"], 64);
    assert_eq!(host.run("Asks", json!(hoard)).await["output"], 64, "the run before gave its places back");
    assert_eq!(host.run("Asks", json!(format!("sockets {}", parrot().await))).await["output"], 64);
    assert_eq!(host.run("Asks", json!("lookups localhost")).await["output"], 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn orchestrators_are_told_what_to_use_instead() {
    let (host, outside) = (host().await, Outside::new().await);
    let address = outside.address;
    for (what, function) in [
        (format!("fetch http://{address}/echo"), "wasi:http/outgoing-handler.handle"),
        (format!("tcp {address}"), "wasi:sockets/tcp-create-socket.create-tcp-socket"),
        ("listen 127.0.0.1:0".to_owned(), "wasi:sockets/tcp-create-socket.create-tcp-socket"),
        ("udp 127.0.0.1:0".to_owned(), "wasi:sockets/udp-create-socket.create-udp-socket"),
        ("lookup localhost".to_owned(), "wasi:sockets/ip-name-lookup.resolve-addresses"),
    ] {
        let status = host.run("Reaches", json!(what)).await;
        let failure = failure(&status);
        assert_eq!((&status["runtimeStatus"], &failure["ErrorType"]), (&json!("Failed"), &json!("NotAllowed")));
        let text = failure["ErrorMessage"].as_str().unwrap();
        assert!(text.contains(function) && text.contains("orchestration.call-http"), "{what}: {text}");
    }
    assert_eq!(outside.paths(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: DURAWASM_TEST_POSTGRES='user database host:port', trusted without a password, on the loopback"]
async fn an_activity_asks_a_database() {
    let database = std::env::var("DURAWASM_TEST_POSTGRES").unwrap();
    let status = host().await.run("Asks", json!(format!("postgres {database}"))).await;
    assert_eq!(status["output"], "42", "{status}");
}
