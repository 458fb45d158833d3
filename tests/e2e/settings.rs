//! What the program is told by its configuration file, and how it logs.

use std::process::{Command, Output};

use serde_json::Value;

use crate::program::{Program, port};

fn run(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
    command.args(args).env_remove("DURAWASM_STORE").envs(environment.iter().copied()).output().unwrap()
}

#[test]
fn the_environment_is_worth_more_than_the_file_and_less_than_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serve.toml");
    std::fs::write(
        &path,
        "listen = \"127.0.0.1:1\"\nstore = \"memory\"\nroute-prefix = \"x\"\nadmin-key = \"top-secret\"\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let environment = [("DURAWASM_CONFIG", path), ("DURAWASM_LISTEN", "127.0.0.1:2"), ("DURAWASM_ROUTE_PREFIX", "y")];
    let output = run(&["serve", "--print-config", "--route-prefix", "z"], &environment);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "listen = \"127.0.0.1:2\" # environment",
        "store = \"memory\" # file",
        "route-prefix = \"z\" # flag",
        "admin-key = \"***\" # file",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in:\n{shown}");
    }
    std::fs::write(path, "store = \"memory\"\nport = 1\n").unwrap();
    let refused = run(&["serve", "--config", path], &[]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && errors.contains("serve.toml:2: 'port' is no setting"), "{errors}");
    let missing = run(&["serve", "--config", "/nowhere.toml"], &[]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read the configuration /nowhere.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_configures_a_server_that_logs_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("serve.toml"), folder.path().join("log"));
    std::fs::write(&path, "admin-key = \"short\"\nlog-format = \"json\"\nlog = \"warn\"\n").unwrap();
    let mut program = Program::spawn(&folder.path().join("data"), port(), |command| {
        command.arg("--config").arg(&path).stderr(std::fs::File::create(&log).unwrap());
    });
    program.ready().await;
    assert_eq!(program.get("/metrics").await.unwrap().0, 401);
    assert_eq!(program.get("/metrics?code=short").await.unwrap().0, 200);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warned = |line: &Value| line["level"] == "WARN" && line["message"].as_str().unwrap().contains("key is short");
    assert!(lines.iter().any(warned), "{text}");
    assert!(lines.iter().all(|line| line["level"] != "INFO"), "{text}");
}
