//! Rust apps: Cargo packages that make a `cdylib`, built with cargo, which needs the Wasm target.

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::App;
use super::progress::Progress;
use crate::cli::{CliError, show};

const TARGET: &str = "wasm32-wasip2";

/// What cargo says while it works, as opposed to what it has to report.
const PROGRESS: [&str; 11] = [
    "Compiling",
    "Checking",
    "Downloading",
    "Downloaded",
    "Updating",
    "Locking",
    "Adding",
    "Blocking",
    "Finished",
    "Building",
    "Fresh",
];

/// The name of the package in a folder, if it is an app.
pub(super) fn detect(folder: &Path) -> Result<Option<String>, CliError> {
    let manifest = folder.join("Cargo.toml");
    if !std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("cdylib")) {
        return Ok(None);
    }
    let output = std::process::Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .output()
        .map_err(|error| CliError::Refused(no_cargo(&error)))?;
    if !output.status.success() {
        return Err(CliError::Refused(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| CliError::Refused(format!("cargo metadata answered no JSON: {error}")))?;
    Ok(package_name(&metadata, &manifest))
}

fn package_name(metadata: &Value, manifest: &Path) -> Option<String> {
    let package = metadata
        .get("packages")?
        .as_array()?
        .iter()
        .find(|package| package.get("manifest_path").and_then(Value::as_str).map(Path::new) == Some(manifest))?;
    let is_cdylib = |target: &Value| {
        let types = target.get("crate_types").and_then(Value::as_array);
        types.is_some_and(|types| types.iter().any(|kind| kind == "cdylib"))
    };
    let makes_component = package.get("targets")?.as_array()?.iter().any(is_cdylib);
    if makes_component { Some(package.get("name")?.as_str()?.to_owned()) } else { None }
}

/// The cargo that runs us, if one does.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What to do when cargo does not start.
fn no_cargo(error: &std::io::Error) -> String {
    format!("cannot run cargo ({error}): install Rust from https://rustup.rs")
}

/// Builds an app and returns its component. The error's text is what is left to say after cargo's own output.
pub(super) async fn build(app: &App, progress: &Progress) -> Result<Bytes, String> {
    let manifest = app.folder.join("Cargo.toml");
    let mut command = Command::new(cargo());
    command
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .current_dir(&app.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.spawn().map_err(|error| no_cargo(&error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let is_progress = |line: &str| PROGRESS.iter().any(|word| line.starts_with(word));
    let (component, ()) = tokio::join!(read_messages(stdout, &manifest), progress.follow(stderr, is_progress));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err("the build failed".to_owned());
    }
    let path = component.ok_or_else(|| "cargo built no component; is crate-type = [\"cdylib\"] set?".to_owned())?;
    tokio::fs::read(&path).await.map(Bytes::from).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The component that cargo says it made.
async fn read_messages(stdout: Option<impl AsyncRead + Unpin>, manifest: &Path) -> Option<PathBuf> {
    let mut lines = BufReader::new(stdout?).lines();
    let mut found = None;
    while let Ok(Some(line)) = lines.next_line().await {
        found = component_of(&line, manifest).or(found);
    }
    found
}

fn component_of(message: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let ours = message.get("reason")? == "compiler-artifact"
        && message.get("manifest_path").and_then(Value::as_str).map(Path::new) == Some(manifest);
    let files = message.get("filenames").filter(|_| ours)?.as_array()?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// Makes sure that the Wasm target is installed, for the toolchain that is used in `folder`.
pub(super) async fn ensure_target(folder: &Path) -> Result<(), CliError> {
    let listed = Command::new("rustup").args(["target", "list", "--installed"]).current_dir(folder).output().await;
    let listed = match listed {
        Err(error) if error.kind() == ErrorKind::NotFound => return check_without_rustup(folder).await,
        Err(error) => return Err(CliError::Refused(format!("cannot run rustup: {error}"))),
        Ok(listed) => listed,
    };
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.trim() == TARGET) {
        return Ok(());
    }
    show::note(&format!("installing the Rust target {TARGET} ..."));
    // Its output goes straight to the terminal: it may take a while, and says best itself what goes wrong.
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder).status().await;
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(CliError::Refused(format!("`rustup target add {TARGET}` failed"))),
    }
}

async fn check_without_rustup(folder: &Path) -> Result<(), CliError> {
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output()
        .await
        .map_err(|error| {
            CliError::Refused(format!("cannot run rustc ({error}): install Rust from https://rustup.rs"))
        })?;
    if Path::new(String::from_utf8_lossy(&libraries.stdout).trim()).is_dir() {
        return Ok(());
    }
    Err(CliError::Refused(format!(
        "the Rust target {TARGET} is not installed, and there is no rustup to install it. Install Rust from \
         https://rustup.rs, or the target's standard library with the package manager that Rust came from."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_one_of_the_manifest() {
        let message = |manifest: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","filenames":["/t/a.d","/t/a.wasm"]}}"#
            )
        };
        let manifest = Path::new("/app/Cargo.toml");
        assert_eq!(component_of(&message("/app/Cargo.toml"), manifest), Some("/t/a.wasm".into()));
        assert_eq!(component_of(&message("/other/Cargo.toml"), manifest), None);
        assert_eq!(component_of("no json", manifest), None);
    }
}
