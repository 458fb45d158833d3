//! Apps in several languages on one server: each language calls each other one, and `dev` builds and serves them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use durawasm_tests::Host;
use durawasm_tests::guests::{self, root};
use durawasm_tests::tools::{self, Tool};
use serde_json::{Value, json};

use crate::program::{Program, port};
use crate::{apps, javascript};

#[tokio::test(flavor = "multi_thread")]
async fn every_language_calls_every_other() {
    if tools::skipped(tools::SKIP_POLYGLOT, &[Tool::Node, Tool::Python]) {
        return;
    }
    let Some(python) = apps::python("examples/polyglot/polyglot-python") else { return };
    let host = Host::new().await;
    host.deploy("polyglot-python", python).await;
    host.deploy("polyglot-js", javascript::example("polyglot/polyglot-js").await).await;
    host.deploy("polyglot-rust", guests::example("polyglot/polyglot-rust")).await;
    let items = json!({"customer": "Ada", "cents": [1250, 799]});
    let invoice = json!({"text": "Ada owes 20.49", "digest": "4282c16d97ffb24c"});
    for (pair, function, input, output) in [
        ("Rust calls Python", "PG_Report", json!([1, 2, 6]), json!("mean 3, median 2")),
        ("Rust calls JavaScript", "PG_Letter", json!("Ada"), json!("Dear Ada,")),
        ("Python calls Rust", "PG_Receipt", json!([1250, 799]), json!({"items": 2, "total": "20.49"})),
        ("Python calls JavaScript", "PG_Invitations", json!(["Ada"]), json!(["Dear Ada, please come."])),
        ("JavaScript calls Rust", "PG_Invoice", items, invoice),
        ("JavaScript calls Python", "PG_Forecast", json!([1, 2, 6]), json!("a few large orders")),
    ] {
        let status = host.run(function, input).await;
        assert_eq!(status["output"], output, "{pair}: {status}");
    }
}

/// Copies of apps from `examples/polyglot/`, as deep below the project as they are: they name its SDK by a relative path.
/// What a build has left in the copies stays, so that only the first build is slow.
fn copies(apps: &[&str]) -> PathBuf {
    let folder = std::path::absolute(root().join("target/dev")).unwrap();
    for app in apps {
        copy(&root().join("examples/polyglot").join(app), &folder.join(app));
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if name == "node_modules" || name == "target" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if fs::read(to.join(&name)).ok() != Some(fs::read(&path).unwrap()) {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The output of an orchestrator, as soon as it is served and this one.
async fn until(program: &Program, (function, input): (&str, Value), output: Value) {
    // Building takes minutes on a small machine that is busy.
    let deadline = Instant::now() + Duration::from_secs(900);
    let mut last = Value::Null;
    for round in 0.. {
        assert!(Instant::now() < deadline, "{function} gives {last}, never {output}");
        let id = format!("{function}{round}");
        if program.get("/readyz").await.is_some_and(|(status, _)| status == 200)
            && program.start(function, &id, input.clone()).await == 202
        {
            last = program.ended(&id).await["output"].clone();
            if last == output {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_serves_apps_of_several_languages_and_what_is_saved_in_them() {
    if javascript::skipped() {
        return;
    }
    let folder = copies(&["polyglot-js", "polyglot-rust"]);
    let (data, listen) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{}", port()));
    let mut dev = apps::program();
    dev.arg("dev").arg(&folder).args(["--listen", &listen, "--store", &format!("sled:{}", data.path().display())]);
    dev.env("CARGO_TARGET_DIR", std::path::absolute(root().join("target/examples")).unwrap());
    let child = dev.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let program = Program { child, url: format!("http://{listen}"), http: durawasm_tests::tls::http() };
    until(&program, ("PG_Letter", json!("Ada")), json!("Dear Ada,")).await;
    let source = folder.join("polyglot-js/src/functions/invoice.js");
    let text = fs::read_to_string(&source).unwrap();
    assert!(text.contains("Dear ${name}"), "{text}");
    fs::write(&source, text.replace("Dear ${name}", "Hello ${name}")).unwrap();
    until(&program, ("PG_Letter", json!("Ada")), json!("Hello Ada,")).await;
    let items = json!({"customer": "Ada", "cents": [1250, 799]});
    let invoice = json!({"text": "Ada owes 20.49", "digest": "4282c16d97ffb24c"});
    until(&program, ("PG_Invoice", items), invoice).await;
}
