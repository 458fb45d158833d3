//! Python apps: `function_app.py` with decorated functions, or a folder with `function.json` for each function.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use bytes::Bytes;
use tokio::process::Command;

use super::progress::Progress;
use super::{App, source_folders, tools};

/// The file of an app with decorators.
const MODULE: &str = "function_app.py";
/// What makes components of Python code.
const COMPONENTIZE: &str = "componentize-py==0.25.1";

/// The name of the app in a folder, if it is one: the folder's.
pub(super) fn detect(folder: &Path) -> Option<String> {
    let is_function = |folder: &Path| {
        let code = ["__init__.py", "main.py", "run.py"].iter().any(|file| folder.join(file).is_file());
        code && folder.join("function.json").is_file()
    };
    let is_app = folder.join(MODULE).is_file() || source_folders(folder).iter().any(|inner| is_function(inner));
    let name = folder.file_name()?.to_string_lossy().into_owned();
    is_app.then_some(name)
}

/// Builds an app and returns its component.
pub(super) async fn build(_app: &App, progress: &Progress) -> Result<Bytes, String> {
    toolchain(progress).await?;
    Err("this version builds Rust apps, and no Python yet".to_owned())
}

/// The folder of a virtual environment that holds componentize-py.
async fn toolchain(progress: &Progress) -> Result<PathBuf, String> {
    const NEEDED: &str = "Python apps are built with Python 3.10 or later: install python3";
    let version = Command::new("python3").arg("--version").output().await;
    let version = version.map_err(|error| format!("cannot run python3 ({error}). {NEEDED}"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    tools::folder("python", &[COMPONENTIZE, &version], async |folder| {
        progress.step(&format!("installing {COMPONENTIZE}, once for all Python apps ..."));
        let mut venv = Command::new("python3");
        run(
            venv.args(["-m", "venv"]).arg(&folder),
            "Python's module venv is needed (Debian: apt install python3-venv)",
        )
        .await?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            COMPONENTIZE,
        ]);
        run(&mut pip, "pip and a package index that it reaches are needed").await.map(drop)
    })
    .await
}

/// Runs a tool to its end; `needed` says what to do when it fails.
async fn run(command: &mut Command, needed: &str) -> Result<Output, String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("cannot run {program} ({error}). {needed}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [&*output.stdout, &*output.stderr].concat();
    Err(format!("{}\n{program} failed. {needed}", String::from_utf8_lossy(&said).trim_end()))
}
