//! Apps as authors write and build them: the examples, several apps that call each other, and what goes wrong.

use std::path::Path;

use durawasm_tests::Host;
use durawasm_tests::guests::root;
use durawasm_tests::tools;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{build, skipped};
use crate::apps;

async fn host(example: &str) -> Host {
    let host = Host::new().await;
    let component = build(root().join("examples").join(example)).await.unwrap();
    host.deploy(example, component).await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_in_javascript_do_what_their_readmes_say() {
    if skipped() {
        return;
    }
    let hello = host("hello-cities-js").await;
    let greetings = json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]);
    assert_eq!(hello.run("JS1_HelloSequence", Value::Null).await["output"], greetings);

    let typed = host("hello-cities-ts").await;
    assert_eq!(typed.run("TS1_HelloSequence", Value::Null).await["output"], greetings);

    assert_eq!(host("fan-out-js").await.run("JS2_FanOut", json!(10)).await["output"], json!(385));
    assert_eq!(host("fan-out-ts").await.run("TS2_FanOut", json!(10)).await["output"], json!(385));

    for (example, function) in [("human-interaction-js", "JS3_Approval"), ("human-interaction-ts", "TS3_Approval")] {
        let human = host(example).await;
        for (data, outcome) in [("true", "approved"), ("false", "rejected")] {
            let path = format!("/runtime/webhooks/durabletask/orchestrators/{function}/trip");
            assert_eq!(human.send("POST", &path, r#"{"what":"a trip","seconds":3600}"#).await.status, 202);
            human.until("trip", "asking", |status| status["customStatus"] == "waiting for the event Approval").await;
            let raise = "/runtime/webhooks/durabletask/instances/trip/raiseEvent/approval";
            assert_eq!(human.send("POST", raise, data).await.status, 202);
            assert_eq!(human.ended("trip").await["output"], outcome);
        }
        assert_eq!(human.run(function, json!({"what": "a trip", "seconds": 0})).await["output"], "expired");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_functions_in_typescript_start_and_refuse() {
    if skipped() {
        return;
    }
    let host = host("http-start-ts").await;
    let started = host.send("POST", "/api/ts/orchestrators/TS4_WaitsForGo", "\"Ada\"").await;
    assert_eq!(started.status, 202, "{}", started.text());
    let sole = "/api/ts/orchestrators/TS4_WaitsForGo/sole";
    assert_eq!(host.send("POST", sole, "\"Ada\"").await.status, 202);
    let refused = host.send("POST", sole, "\"Bob\"").await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(refused.text(), "An instance with ID 'sole' already exists.");
    let go = "/runtime/webhooks/durabletask/instances/sole/raiseEvent/Go";
    assert_eq!(host.send("POST", go, "null").await.status, 202);
    assert_eq!(host.ended("sole").await["output"], "Ada");
}

/// The functions of the original's guides, as they are printed there.
#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_originals_guides_run_unchanged() {
    if skipped() {
        return;
    }
    let host = Host::new().await;
    host.deploy("folders", super::guest("folders-js").await).await;
    let headers = [("host", "localhost:7071"), ("content-type", "application/json")];
    for (route, id) in [("", "one"), ("once/", "two")] {
        let path = format!("/api/{route}orchestrators/HelloWorld/{id}");
        let first = host.send_with("POST", &path, &headers, "\"Ada\"").await;
        assert_eq!(first.status, 202, "{}", first.text());
        assert_eq!(first.headers["location"].to_str().unwrap(), first.json()["statusQueryGetUri"].as_str().unwrap());
        host.until(id, "waiting", |status| status["runtimeStatus"] == "Running").await;
        let again = host.send_with("POST", &path, &headers, "\"Bob\"").await;
        assert_eq!(again.status, 409, "{}", again.text());
        assert_eq!(again.text(), format!("An instance with ID '{id}' already exists."));
        let go = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Go");
        assert_eq!(host.send("POST", &go, "1").await.status, 202);
        assert_eq!(host.ended(id).await["output"], "Hello Ada!");
        let ended = host.send_with("POST", &path, &headers, "\"Bob\"").await;
        // One replaces what has ended, the other never does.
        assert_eq!(ended.status, if route.is_empty() { 202 } else { 409 }, "{}", ended.text());
    }
    let manual = host.send("POST", "/admin/functions/HelloWorldManualStart", r#"{"input":"Eve"}"#).await;
    assert_eq!(manual.status, 202, "{}", manual.text());
    // It is not waited for.
    while host.send("GET", "/runtime/webhooks/durabletask/instances/by-hand", "").await.status == 404 {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.status("by-hand").await["input"], "Eve");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_with_function_json_are_functions() {
    if skipped() {
        return;
    }
    let host = host("http-start-js").await;
    let start = "/api/js/orchestrators/JS4_Orchestrator";
    let started = host.send("POST", start, "\"Tokyo\"").await;
    assert_eq!(started.status, 202, "{}", started.text());
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(started.headers["location"], started.json()["statusQueryGetUri"].as_str().unwrap());
    assert_eq!(host.ended(&id).await["output"], "Hello Tokyo!");
    let waited = host.send("POST", &format!("{start}/wait"), "\"Paris\"").await;
    assert_eq!((waited.status.as_u16(), waited.json()), (200, json!("Hello Paris!")));
    assert_eq!(host.send("POST", &format!("{start}/sole"), "\"Rome\"").await.status, 202);
    host.ended("sole").await;
    assert_eq!(host.send("POST", &format!("{start}/sole"), "\"Rome\"").await.status, 202, "it had ended");
    assert_eq!(host.send("GET", start, "").await.status, 405, "not its method");
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_app_is_said_with_file_and_line() {
    if skipped() {
        return;
    }
    let manifest = r#"{"name":"app","dependencies":{"durawasm":"0.1.0"},"durawasm":{"engine":"quickjs"}}"#;
    let monkey = r#"{"name":"app","dependencies":{"durawasm":"0.1.0"}}"#;
    let engine = r#"{"name":"app","dependencies":{"durawasm":"0.1.0"},"durawasm":{"engine":"v8"}}"#;
    let main = r#"{"name":"app","main":"code/*.js","dependencies":{"durawasm":"0.1.0"}}"#;
    let thrown = "import * as df from \"durawasm\";\n\ndf.app.timer(\"T\", { handler: () => {} });\n";
    let twice = "import * as df from \"durawasm\";\nconst handler = () => 1;\ndf.app.activity(\"A\", { handler });\n\
        df.app.activity(\"A\", { handler });\n";
    let cases: [(&str, &str, &str, &[&str]); 9] = [
        (manifest, "src/functions/a.ts", "export const x: number = ;\n", &["src/functions/a.ts:1:25"]),
        (
            manifest,
            "src/functions/a.js",
            "import fs from \"node:fs\";\nfs.x();\n",
            &["src/functions/a.js:1:15", "belongs to Node.js"],
        ),
        (
            manifest,
            "src/functions/a.js",
            "import \"left-pad/x\";\n",
            &["src/functions/a.js:1:7", "npm install left-pad\n"],
        ),
        (manifest, "index.js", twice, &["index.js:4", "two functions (activity) are called 'A'"]),
        (manifest, "index.js", thrown, &["index.js:3", "needs a schedule"]),
        (monkey, "index.js", thrown, &["index.js:3", "needs a schedule"]),
        (engine, "index.js", "", &["package.json", "v8", "quickjs"]),
        (main, "index.js", "", &["package.json", "code/*.js"]),
        (manifest, "Http/function.json", r#"{"bindings":[{"type":"queueTrigger"}]}"#, &["Http/function.json"]),
    ];
    for (manifest, file, text, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("package.json", manifest), (file, text)]);
        let error = build(folder.path().to_owned()).await.unwrap_err();
        for part in expected {
            assert!(error.contains(part), "{file}: no {part} in: {error}");
        }
        for useless in ["/tools/", "durawasm/src/", "Failed to", "external"] {
            assert!(!error.contains(useless), "{useless} is of no use to an author: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_node_the_build_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("package.json", r#"{"dependencies":{"durawasm":"0.1.0"}}"#), ("index.js", "")]);
    let mut verb = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
    let output = verb.arg("build").arg(folder.path()).env("PATH", folder.path()).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("https://nodejs.org"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_app_can_be_built_and_tested() {
    if skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (language, name) in [("js", "script"), ("ts", "typed")] {
        let app = folder.path().join(name);
        let made = Command::from(apps::program()).args(["new", "--lang", language]).arg(&app).output().await.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let host = Host::new().await;
        host.deploy(name, build(app.clone()).await.unwrap()).await;
        let started = host.send("POST", "/api/orchestrators/HelloSequence", "").await;
        assert_eq!(started.status, 202, "{}", started.text());
        let id = started.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(host.ended(&id).await["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]));
        if language == "js" {
            node(&app, &["--test".as_ref()]).await;
        } else {
            check_types(&app).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_did_not_change_is_the_same_version() {
    if skipped() {
        return;
    }
    let example = || build(root().join("examples/fan-out-ts"));
    assert_eq!(example().await.unwrap(), example().await.unwrap());
}

/// Runs a program of Node.js to its end.
async fn node(folder: &Path, args: &[&std::ffi::OsStr]) {
    let output = Command::new("node").args(args).current_dir(folder).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

async fn check_types(project: &Path) {
    let modules = tokio::task::spawn_blocking(|| tools::node_modules("typescript")).await.unwrap();
    let compiler = modules.join("typescript/bin/tsc");
    node(&root(), &[compiler.as_os_str(), "--project".as_ref(), project.as_os_str()]).await;
}

/// The same code fits the types of the original package and those of the SDK.
#[tokio::test(flavor = "multi_thread")]
async fn code_for_the_original_fits_the_types() {
    if skipped() || tools::skipped(tools::SKIP_CLIENTS, &[tools::Tool::Node]) {
        return;
    }
    // The sample finds them there.
    let _original = tokio::task::spawn_blocking(|| tools::node_modules("js")).await.unwrap();
    let sample = root().join("tests/clients/typescript/sample");
    for project in ["tsconfig.original.json", "tsconfig.json"] {
        check_types(&sample.join(project)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_in_typescript_fit_the_types() {
    if skipped() {
        return;
    }
    for example in ["fan-out-ts", "hello-cities-ts", "http-start-ts", "human-interaction-ts"] {
        // The build places the types.
        build(root().join("examples").join(example)).await.unwrap();
        check_types(&root().join("examples").join(example)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_tested_in_node_without_a_server() {
    if skipped() {
        return;
    }
    node(&root().join("guest-sdk/js"), &["--test".as_ref()]).await;
}
