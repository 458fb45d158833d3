//! The real program: started, killed, started again.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use durawasm_tests::guests;
use serde_json::{Value, json};

pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL: nothing of the process gets a chance to tidy up.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A port that is free, and that nobody takes by accident before the program listens there: none of those that the
/// system gives to connections, and each once.
pub(crate) fn port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN.lock().unwrap();
    loop {
        let port = fastrand::u16(10_000..32_000);
        if !taken.contains(&port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
}

impl Program {
    pub(crate) async fn serve(data: &Path) -> Self {
        Self::serve_with(&format!("sled:{}", data.display()), &[]).await
    }

    /// With a store and further flags.
    pub(crate) async fn serve_with(store: &str, flags: &[&str]) -> Self {
        let mut program = Self::spawn_with(store, port(), |command| {
            command.args(flags);
        });
        program.ready().await;
        program
    }

    /// Starts the program and does not wait for it.
    pub(crate) fn spawn(data: &Path, port: u16, configure: impl FnOnce(&mut Command)) -> Self {
        Self::spawn_with(&format!("sled:{}", data.display()), port, configure)
    }

    fn spawn_with(store: &str, port: u16, configure: impl FnOnce(&mut Command)) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
        command.args(["serve", "--listen", &listen, "--store", store]).stdout(Stdio::null()).stderr(Stdio::inherit());
        configure(&mut command);
        Self { child: command.spawn().unwrap(), url: format!("http://{listen}"), http: durawasm_tests::tls::http() }
    }

    /// Waits until everything is recovered.
    pub(crate) async fn ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.get("/readyz").await.is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < deadline, "the program does not become ready");
            assert_eq!(self.child.try_wait().unwrap(), None, "the program ended by itself");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub(crate) async fn deploy(&self, app: &str, component: axum::body::Bytes) {
        let url = format!("{}/admin/hubs/default/apps/{app}", self.url);
        let request = self.http.put(url).header("content-type", "application/wasm").body(component);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(crate) async fn start(&self, function: &str, id: &str, input: Value) -> u16 {
        let url = format!("{}/runtime/webhooks/durabletask/orchestrators/{function}/{id}", self.url);
        self.http.post(url).body(input.to_string()).send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn ended(&self, id: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let (code, body) = self.get(&format!("/runtime/webhooks/durabletask/instances/{id}")).await.unwrap();
            assert!(code == 200 || code == 202, "{id}: {code} {body}");
            let status: Value = serde_json::from_str(&body).unwrap();
            if code == 200 {
                return status;
            }
            assert!(Instant::now() < deadline, "{id} does not end: {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_survive_kill_9_of_the_program() {
    let data = tempfile::tempdir().unwrap();
    let greetings = json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]);
    let mut started = Vec::new();
    for round in 0..4 {
        let program = Program::serve(data.path()).await;
        if round == 0 {
            program.deploy("hello-cities", guests::example("hello-cities")).await;
        }
        for number in 0..20 {
            let id = format!("r{round}n{number}");
            assert_eq!(program.start("E1_HelloSequence", &id, Value::Null).await, 202);
            started.push(id);
        }
        // Dropped here, with some finished and some not: kill -9.
    }
    let program = Program::serve(data.path()).await;
    for id in &started {
        let status = program.ended(id).await;
        assert_eq!((&status["runtimeStatus"], &status["output"]), (&json!("Completed"), &greetings), "{id}");
    }
    assert_eq!(program.start("E1_HelloSequence", &started[0], Value::Null).await, 202, "an ended id is free again");
}

/// Runs a verb against the server: exit code, standard output, standard error.
pub(crate) async fn verb(program: &Program, args: &[&str]) -> (Option<i32>, String, String) {
    let (args, url) = (args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), program.url.clone());
    let run = move || Command::new(env!("CARGO_BIN_EXE_durawasm-e2e")).args(args).args(["--url", &url]).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_listed_and_purged_on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::serve(data.path()).await;
    program.deploy("hello-cities", guests::example("hello-cities")).await;
    let (code, out, err) = verb(&program, &["get-instances"]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", "no instances\n"));
    for id in ["a", "b", "c"] {
        assert_eq!(program.start("E1_HelloSequence", id, Value::Null).await, 202);
        program.ended(id).await;
    }
    let (code, out, err) = verb(&program, &["get-instances", "--runtime-status", "completed", "--top", "2"]).await;
    let rows: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(rows[1..], [["a", "E1_HelloSequence", "Completed"], ["b", "E1_HelloSequence", "Completed"]]);
    assert!(code == Some(0) && err.contains("--top"), "{err}");
    let (_, out, _) = verb(&program, &["get-instances", "--json", "--id-prefix", "c"]).await;
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&listed[0]["instanceId"], listed.as_array().unwrap().len()), (&json!("c"), 1));

    let (code, out, _) = verb(&program, &["purge-history", "--id", "a"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "purged 1 instance\n"));
    let (code, _, err) = verb(&program, &["purge-history", "--id", "a"]).await;
    assert!(code == Some(1) && err.contains("no instance 'a'"), "{err}");
    let (code, _, _) = verb(&program, &["purge-history"]).await;
    assert_eq!(code, Some(2), "everything is never meant");
    let (code, out, _) = verb(&program, &["purge-history", "--created-after", "2020-01-01", "--json"]).await;
    assert_eq!((code, out.trim()), (Some(0), r#"{"instancesDeleted":2}"#));
    let (code, out, _) = verb(&program, &["purge-history", "--created-after", "2020-01-01"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "purged 0 instances\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_on_the_command_line() {
    const ADMIN: &str = "an admin key that is long enough";
    let data = tempfile::tempdir().unwrap();
    let component = data.path().join("app.wasm");
    std::fs::write(&component, guests::example("hello-cities")).unwrap();
    let component = component.to_str().unwrap();
    let program = Program::serve_with("memory", &["--admin-key", ADMIN]).await;
    let admin = async |args: &[&str]| verb(&program, &[args, &["--key", ADMIN]].concat()).await;
    let json = |out: &str| serde_json::from_str::<Value>(out).unwrap();
    let deploy = ["deploy", component, "--app", "hello", "--hub", "acme"];
    let (code, _, err) = admin(&deploy).await;
    assert!(code == Some(1) && err.contains("`durawasm hub create acme`"), "{err}");
    let (code, out, _) = admin(&["hub", "create", "acme"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "the task hub 'acme': created\n"));
    let (code, key, err) = admin(&["key", "create", "ci", "--scope", "deploy,manage", "--hub", "acme"]).await;
    assert!(code == Some(0) && key.starts_with("dwk_") && err.contains("again"), "{err}");
    let tenant = async |args: &[&str]| verb(&program, &[args, &["--hub", "acme", "--key", key.trim()]].concat()).await;
    assert_eq!(tenant(&deploy[..4]).await.0, Some(0));
    let manages = data.path().join("manages.wasm");
    std::fs::write(&manages, guests::example("instance-management")).unwrap();
    let (code, out, err) = tenant(&["deploy", manages.to_str().unwrap(), "--app", "manages"]).await;
    assert_eq!(code, Some(0), "{err}");
    for (name, how) in [
        ("GetAllStatus", format!("GET, POST {}/hubs/acme/api/GetAllStatus", program.url)),
        ("GetStatus", format!("POST {}/admin/functions/GetStatus?taskHub=acme", program.url)),
        ("HelloWorld", "HelloWorld".to_owned()),
    ] {
        let shown = out.lines().any(|line| line.split_whitespace().nth(1) == Some(name) && line.ends_with(&how));
        assert!(shown, "{name} is called by {how}: {out}");
    }
    assert!(tenant(&["app", "show", "manages"]).await.1.contains("?taskHub=acme"));
    assert_eq!(tenant(&["app", "delete", "manages"]).await.0, Some(0));
    let (_, out, _) = tenant(&["app", "versions", "hello", "--json"]).await;
    let digest = json(&out)["versions"][0]["digest"].as_str().unwrap().to_owned();
    let (code, out, err) = tenant(&["app", "activate", "hello", "--digest", &digest[..10]]).await;
    assert!(code == Some(0) && out.contains(&digest[..12]), "{out}{err}");
    assert!(tenant(&["app", "versions", "hello"]).await.1.contains("0 open  0 failed  current"));
    assert!(tenant(&["app", "list"]).await.1.starts_with("hello  "));
    let (code, out, err) = tenant(&["start-new", "E1_HelloSequence", "--id", "a"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let set = ["hub", "config", "set", "acme", "--env", "A=1", "--secret", "S=hidden", "--limit", "apps=1"];
    let (code, out, err) = admin(&set).await;
    assert!(code == Some(0) && !out.contains("hidden"), "{out}{err}");
    let config = json(&admin(&["hub", "config", "get", "acme"]).await.1);
    assert_eq!((&config["env"], &config["secrets"]), (&json!({"A": "1"}), &json!({"S": null})));
    let (code, _, err) = admin(&["hub", "config", "set", "acme", "--retention", "soon"]).await;
    assert!(code == Some(1) && err.contains("'retention'"), "{err}");
    let (code, _, err) = tenant(&["key", "list"]).await;
    assert!(code == Some(1) && err.contains("does not open this"), "{err}");
    assert!(admin(&["key", "list", "--hub", "acme"]).await.1.contains("  ci  manage,deploy"));
    assert_eq!(admin(&["key", "rotate", "ci", "--at-once", "--hub", "acme"]).await.0, Some(0));
    assert_eq!(tenant(&["app", "list"]).await.0, Some(1), "the old key");
    assert_eq!(admin(&["key", "revoke", "ci", "--hub", "acme"]).await.1, "revoked 'ci'\n");
    assert!(admin(&["hub", "show", "acme"]).await.1.contains("openInstances"));
    assert_eq!(admin(&["app", "delete", "hello", "--force", "--hub", "acme"]).await.1, "removed the app 'hello'\n");
    assert_eq!(admin(&["hub", "delete", "acme", "--force"]).await.0, Some(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    while admin(&["hub", "list"]).await.1.contains("acme") {
        assert!(Instant::now() < deadline, "the hub never goes");
    }
}

#[test]
fn a_keyless_server_refuses_to_be_reached_from_outside() {
    let output = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"))
        .args(["serve", "--listen", "0.0.0.0:0", "--store", "memory"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--admin-key"), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_said_plainly() {
    let output = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"))
        .args(["get-runtime-status", "--id", "x", "--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("durawasm serve"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_tls_with_those_it_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::serve_with("memory", &[]).await;
    program.deploy("hello-cities", guests::example("hello-cities")).await;
    let plain = program.url.strip_prefix("http://").unwrap().to_owned();
    let (port, certificate) = durawasm_tests::tls::in_front_of(plain).await;
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, certificate).unwrap();
    let ca = authority.to_str().unwrap();
    program.url = format!("https://localhost:{port}");
    let (code, out, err) = verb(&program, &["start-new", "E1_HelloSequence", "--id", "safe", "--ca", ca]).await;
    assert!(code == Some(0) && out.contains("started"), "{out}{err}");
    assert!(out.contains("https://localhost") || out.contains("http://localhost"), "{out}");
    let (code, out, err) = verb(&program, &["get-runtime-status", "--id", "safe", "--ca", ca]).await;
    assert!(code == Some(0) && out.contains("E1_HelloSequence"), "{out}{err}");
    let (code, out, _) = verb(&program, &["hub", "list", "--ca", ca]).await;
    assert!(code == Some(0) && out.contains("default"), "{out}");
    // The public authorities have not signed it.
    let (code, _, err) = verb(&program, &["get-runtime-status", "--id", "safe"]).await;
    assert!(code == Some(3) && err.contains("is not trusted") && err.contains("--ca"), "{err}");
    std::fs::write(&authority, "nothing of the kind").unwrap();
    let (code, _, err) = verb(&program, &["get-runtime-status", "--id", "safe", "--ca", ca]).await;
    assert!(code == Some(2) && err.contains("BEGIN CERTIFICATE"), "{err}");
    program.url = "ftp://localhost".to_owned();
    let (code, _, err) = verb(&program, &["hub", "list"]).await;
    assert!(code == Some(2) && err.contains("https://"), "{err}");
}
