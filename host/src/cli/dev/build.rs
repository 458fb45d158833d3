//! Builds an app with cargo, and makes sure that the Wasm target is there.

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::apps::{App, cargo, no_cargo};
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

/// Builds an app and returns its component. The error's text is what is left to say after cargo's own output.
pub(super) async fn build(app: &App) -> Result<Bytes, String> {
    let started = Instant::now();
    let spinner = spinner(&app.name);
    let mut command = Command::new(cargo());
    command
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&app.manifest)
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
    let (component, ()) = tokio::join!(read_messages(stdout, &app.manifest), follow(stderr, &spinner));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    spinner.finish_and_clear();
    if !status.success() {
        return Err("the build failed; fix it and save, it is built again then".to_owned());
    }
    show::note(&format!("built {} in {:.1} s", app.name, started.elapsed().as_secs_f64()));
    let path = component.ok_or_else(|| "cargo built no component; is crate-type = [\"cdylib\"] set?".to_owned())?;
    tokio::fs::read(&path).await.map(Bytes::from).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn spinner(app: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_prefix(format!("building {app}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    if spinner.is_hidden() {
        show::note(&format!("building {app} ..."));
    }
    spinner
}

/// Shows cargo's progress in the spinner, and everything else as it is.
async fn follow(stderr: Option<impl AsyncRead + Unpin>, spinner: &ProgressBar) {
    let Some(stderr) = stderr else { return };
    let mut lines = BufReader::new(stderr).lines();
    // A line that is not text ends the show, not the build.
    while let Ok(Some(line)) = lines.next_line().await {
        let plain = without_colours(&line);
        if PROGRESS.iter().any(|word| plain.trim_start().starts_with(word)) {
            spinner.set_message(plain.trim().to_owned());
        } else {
            spinner.suspend(|| show::note(&line));
        }
    }
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

/// Text without the escape sequences of colours.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\u{1b}') => escaped = true,
            (true, 'm') => escaped = false,
            (false, c) => plain.push(c),
            (true, _) => {}
        }
    }
    plain
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

    #[test]
    fn colours_go() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[92m   Compiling\u{1b}[0m x"), "   Compiling x");
    }
}
