//! Apps in JavaScript and TypeScript, on both engines: built by the program's own verb, run by the real host.

mod build;
mod run;

use std::path::PathBuf;

use axum::body::Bytes;
use durawasm_tests::guests::root;
use durawasm_tests::tools::{self, Tool};

use crate::{apps, conformance};

/// Both engines, by the folders of the same functions.
pub(crate) const ENGINES: [&str; 2] = ["flow-js", "flow-quickjs"];

/// Whether these tests are to be skipped; says so.
pub(crate) fn skipped() -> bool {
    tools::skipped(tools::SKIP_POLYGLOT, &[Tool::Node])
}

/// The component of an app, built as its author would. Unchanged sources are built once.
async fn build(folder: PathBuf) -> Result<Bytes, String> {
    tokio::task::spawn_blocking(move || {
        let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
        let output = apps::program().arg("build").arg(&folder).arg("--output").arg(file.path()).output().unwrap();
        if output.status.success() {
            return Ok(Bytes::from(std::fs::read(file.path()).unwrap()));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
    .await
    .unwrap()
}

/// The component of an app in `tests/guests/`.
pub(crate) async fn guest(name: &str) -> Bytes {
    build(root().join("tests/guests").join(name)).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The component of an app in `examples/`.
pub(crate) async fn example(name: &str) -> Bytes {
    build(root().join("examples").join(name)).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What another language cannot have the same.
const HTTP_CALLS: &str = "their steps are those of the Rust SDK; see javascript_makes_http_calls";

const EXCEPT: [(&str, &str); 6] = [
    ("chances", "the numbers that the standard libraries draw differ"),
    ("http-call", HTTP_CALLS),
    ("http-answers", HTTP_CALLS),
    ("http-poll", HTTP_CALLS),
    ("http-retry", HTTP_CALLS),
    ("http-refused", HTTP_CALLS),
];

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
async fn javascript_survives_a_crash_in_each_story() {
    if skipped() {
        return;
    }
    for engine in ENGINES {
        conformance::survives_a_crash(guest(engine).await, &EXCEPT).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn javascript_tells_the_stories_of_rust() {
    if skipped() {
        return;
    }
    for engine in ENGINES {
        conformance::stories_are_those_of_rust(guest(engine).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_programs_end_in_javascript_as_in_rust() {
    if skipped() {
        return;
    }
    for engine in ENGINES {
        conformance::random_programs_are_those_of_rust(guest(engine).await).await;
    }
}
