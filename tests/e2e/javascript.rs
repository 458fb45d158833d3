//! Apps in JavaScript and TypeScript, on both engines: built by the program's own verb, run by the real host.

mod apps;
mod run;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use axum::body::Bytes;
use durawasm_tests::guests::root;

use crate::conformance;

/// Set to 1, the tests that need the tools of other languages are skipped.
const SKIP: &str = "DURAWASM_SKIP_POLYGLOT";

/// Both engines, by the folders of the same functions.
const ENGINES: [&str; 2] = ["flow-js", "flow-quickjs"];

/// Whether these tests are to be skipped; says so.
fn skipped() -> bool {
    let skipped = std::env::var(SKIP).is_ok_and(|value| value == "1");
    if skipped {
        println!("SKIPPED: {SKIP}=1");
    }
    skipped
}

/// Where the build tools are installed: once for all tests.
fn target() -> PathBuf {
    std::path::absolute(root().join("target/polyglot")).unwrap()
}

/// The component of an app, built as its author would. Unchanged sources are built once.
async fn build(folder: PathBuf) -> Result<Bytes, String> {
    tokio::task::spawn_blocking(move || {
        let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
        let mut verb = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
        verb.arg("build").arg(&folder).arg("--output").arg(file.path()).env("DURAWASM_CACHE", target());
        let output = verb.stdin(Stdio::null()).output().unwrap();
        if output.status.success() {
            return Ok(Bytes::from(std::fs::read(file.path()).unwrap()));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
    .await
    .unwrap()
}

async fn guest(name: &str) -> Bytes {
    let folder = root().join("tests/guests").join(name);
    let advice = format!("Set {SKIP}=1 to skip the tests that need Node.js");
    build(folder).await.unwrap_or_else(|error| panic!("{error}\n{advice}"))
}

/// What another language cannot have the same.
const EXCEPT: [(&str, &str); 1] = [("chances", "the numbers that the standard libraries draw differ")];

#[tokio::test(flavor = "multi_thread")]
async fn javascript_replays_the_golden_histories() {
    if skipped() {
        return;
    }
    for engine in ENGINES {
        conformance::golden_histories_replay(guest(engine).await, &EXCEPT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_makes_the_histories_that_rust_makes() {
    if skipped() {
        return;
    }
    for engine in ENGINES {
        conformance::histories_equal(guest(engine).await, &EXCEPT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_survives_a_crash_after_every_commit() {
    if skipped() {
        return;
    }
    for engine in ENGINES {
        let names = ["activities", "mixed", "retry", "event-timeout", "child-retry", "race", "standard-sleep"];
        conformance::survives_every_crash(guest(engine).await, &names).await;
    }
}
