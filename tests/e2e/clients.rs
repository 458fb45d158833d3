//! What others wrote, against the real program: the clients of the Python and JavaScript SDKs, unmodified, with every
//! method against instances in every state; and a generator of requests that knows the server by its description only.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use durawasm_tests::guests;
use durawasm_tests::tools::{self, Tool};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::program::Program;

/// Far longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(900);

const KEY: &str = "a-key-of-the-tests-that-is-long-enough-to-be-one";

/// A server with the app that the scripts know.
async fn server(key: Option<&str>) -> Program {
    let flags = key.map_or_else(Vec::new, |key| vec!["--admin-key", key]);
    let mut program = Program::serve_with("memory", &flags).await;
    if let Some(key) = key {
        let headers = [("x-functions-key".parse().unwrap(), key.parse().unwrap())].into_iter().collect();
        program.http = durawasm_tests::tls::built(reqwest::Client::builder().default_headers(headers));
    }
    program.deploy("flow", guests::guest("flow")).await;
    program
}

/// What the command line prints for users to construct a client from.
async fn binding(program: &Program, key: Option<&str>) -> Value {
    let mut verb = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
    verb.args(["binding", "--url", &program.url]).args(key.map(|key| format!("--key={key}")));
    let output = verb.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (code, served) = program.get("/admin/hubs/default/binding").await.unwrap();
    assert_eq!((code, serde_json::from_str(&served).ok().as_ref()), (200, Some(&printed)));
    printed
}

/// Runs a script on a binding and checks what it reports.
async fn passes(command: &mut Command, binding: &Value) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(binding.to_string().as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("the script ends").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{text}", output.status);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let (last, checks) = lines.split_last().expect("the script reports");
    for check in checks {
        assert!(check["check"].is_string() && check["failed"].is_null(), "{}: {}", check["check"], check["failed"]);
    }
    let names = |key: &str| -> BTreeSet<&str> {
        last[key].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    };
    let (methods, called) = (names("methods"), names("called"));
    assert!(methods.len() >= 15, "the client's methods are found: {methods:?}");
    assert_eq!(&methods - &called, BTreeSet::new(), "no method is left out");
}

async fn python(binding: &Value) {
    let bin = tokio::task::spawn_blocking(|| tools::python("python")).await.unwrap();
    passes(Command::new(bin.join("python")).arg(tools::sources("python").join("clients.py")), binding).await;
}

/// `origin`: what the client believes to be the address of its own app; public URLs are not rewritten to it.
async fn js(binding: &Value, origin: &str) {
    let modules = tokio::task::spawn_blocking(|| tools::node_modules("js")).await.unwrap();
    let mut node = Command::new("node");
    node.arg(tools::sources("js").join("clients.js")).env("NODE_PATH", modules);
    passes(node.env("WEBSITE_HOSTNAME", origin.trim_start_matches("http://")), binding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_without_keys() {
    if tools::skipped(tools::SKIP_CLIENTS, &[Tool::Python]) {
        return;
    }
    let program = server(None).await;
    let binding = binding(&program, None).await;
    assert_eq!(binding["rpcBaseUrl"], format!("{}/durabletask/", program.url));
    python(&binding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_with_the_token_of_its_base() {
    if tools::skipped(tools::SKIP_CLIENTS, &[Tool::Python]) {
        return;
    }
    let program = server(Some(KEY)).await;
    let binding = binding(&program, Some(KEY)).await;
    assert!(!binding.to_string().contains(KEY) && binding["requiredQueryStringParameters"] != "", "{binding}");
    python(&binding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_works_without_keys() {
    if tools::skipped(tools::SKIP_CLIENTS, &[Tool::Node]) {
        return;
    }
    let program = server(None).await;
    js(&binding(&program, None).await, &program.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_works_with_the_token_of_its_base() {
    if tools::skipped(tools::SKIP_CLIENTS, &[Tool::Node]) {
        return;
    }
    let program = server(Some(KEY)).await;
    js(&binding(&program, Some(KEY)).await, &program.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_works_with_public_urls_and_their_codes() {
    if tools::skipped(tools::SKIP_CLIENTS, &[Tool::Node]) {
        return;
    }
    let program = server(Some(KEY)).await;
    let mut binding = binding(&program, Some(KEY)).await;
    binding.as_object_mut().unwrap().remove("rpcBaseUrl").unwrap();
    js(&binding, &program.url).await;
}

/// Requests for each operation and phase of the generator: more by hand.
fn examples() -> String {
    std::env::var("DURAWASM_SCHEMA_EXAMPLES").unwrap_or_else(|_| "50".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_as_its_description_says() {
    if tools::skipped(tools::SKIP_CLIENTS, &[Tool::Python]) {
        return;
    }
    let program = server(None).await;
    let bin = tokio::task::spawn_blocking(|| tools::python("openapi")).await.unwrap();
    // What it remembers of a run is not for the next one.
    let folder = tempfile::tempdir().unwrap();
    for file in ["schemathesis.toml", "extensions.py"] {
        std::fs::copy(tools::sources("openapi").join(file), folder.path().join(file)).unwrap();
    }
    let mut generator = Command::new(bin.join("schemathesis"));
    generator.args(["run", "--no-color", "--max-examples", &examples(), &format!("{}/openapi.json", program.url)]);
    let output = generator.current_dir(folder.path()).kill_on_drop(true).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    // Not by accident: nothing was reached, or the server is gone.
    assert!(text.contains("Tested: ") && !text.contains("Tested: 0"), "it reaches the operations");
    assert_eq!(program.get("/readyz").await.expect("the server lives").0, 200);
}
