//! Python apps: `function_app.py` with decorated functions, or a folder with `function.json` for each function.

mod cache;
mod requirements;
mod sdk;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use bytes::Bytes;
use tokio::process::Command;

use super::progress::Progress;
use super::{App, source_folders, tools, wit};

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

/// Builds an app and returns its component. The error's text is what is left to say after the author's own errors.
pub(super) async fn build(app: &App, progress: &Progress) -> Result<Bytes, String> {
    let venv = toolchain(progress).await?;
    let (sdk, packages) = (sdk_folder().await?, requirements::install(&app.folder, &venv, progress).await?);
    let place = cache::Place::of(&app.folder, [&venv, &sdk, &packages])?;
    if let Some(component) = place.as_ref().and_then(cache::Place::find) {
        return Ok(component);
    }
    progress.now("making the component");
    let made = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let file = made.path().join("app.wasm");
    let mut command = Command::new(venv.join("bin/componentize-py"));
    command.arg("-d").arg(sdk.join("wit")).args(["-w", "app", "componentize", "durawasm_component"]);
    // The second folder is shown to the component as /1, where it looks for the app.
    command.arg("-p").arg(&sdk).arg("-p").arg(&app.folder).arg("-o").arg(&file);
    // Instead of the packages of the tool's own environment.
    command.env("VIRTUAL_ENV", &packages).env("RUST_BACKTRACE", "0").current_dir(made.path());
    if let Err(text) = run(&mut command, "").await {
        progress.note(said_by_author(&text));
        return Err("the build failed".to_owned());
    }
    let component = tokio::fs::read(&file).await;
    let component = component.map_err(|error| format!("componentize-py made no component: {error}"))?;
    if let Some(place) = place {
        place.keep(&component);
    }
    Ok(Bytes::from(component))
}

/// What the loading of the app said about it, between two marks; all of the output when it did not come that far.
fn said_by_author(output: &str) -> &str {
    let marked = output.split_once("<<durawasm:\n").and_then(|(_, rest)| rest.split_once("\n:durawasm>>"));
    marked.map_or(output, |(text, _)| text)
}

/// The folder of the SDK, with the contract beside it.
async fn sdk_folder() -> Result<PathBuf, String> {
    let files = sdk::FILES.iter().flat_map(|(name, text)| [*name, *text]);
    let inputs: Vec<&str> = files.chain(wit::inputs()).collect();
    tools::folder("python-sdk", &inputs, async |folder| {
        tools::write_files(&folder, sdk::FILES)?;
        wit::write(&folder.join("wit"))
    })
    .await
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
    let program =
        Path::new(command.as_std().get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("cannot run {program} ({error}). {needed}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [&*output.stdout, &*output.stderr].concat();
    Err(format!("{}\n{program} failed. {needed}", String::from_utf8_lossy(&said).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::said_by_author;

    #[test]
    fn the_authors_error_is_found() {
        let output = "AssertionError: \n<<durawasm:\nfunction_app.py makes no app\n:durawasm>>\n\nStack backtrace:";
        assert_eq!(said_by_author(output), "function_app.py makes no app");
        assert_eq!(said_by_author("the disk is full"), "the disk is full");
    }
}
