//! JavaScript and TypeScript apps: npm packages that depend on the SDK or have settings for it, and folders of `function.json` with JavaScript.

mod sdk;

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::process::Command;

use super::progress::Progress;
use super::{App, source_folders, tools, wit};
use crate::cli::CliError;

/// Packages that an app depends on; all of them mean the SDK.
const PACKAGES: [&str; 3] = ["durawasm", "durable-functions", "@azure/functions"];
/// The oldest Node.js that the tools run on.
const NODE: u32 = 20;

/// The name of the app in a folder, if it is one.
pub(super) fn detect(folder: &Path) -> Result<Option<String>, CliError> {
    let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manifest = folder.join("package.json");
    let Ok(text) = std::fs::read_to_string(&manifest) else {
        return Ok(source_folders(folder).iter().any(|inner| is_function(inner)).then_some(own));
    };
    let package: Value = serde_json::from_str(&text)
        .map_err(|error| CliError::Refused(format!("{} is no JSON: {error}", manifest.display())))?;
    let depends = |kind: &str| {
        let packages = package.get(kind).and_then(Value::as_object);
        packages.is_some_and(|packages| PACKAGES.iter().any(|name| packages.contains_key(*name)))
    };
    // Its own settings say it, too: a package that cannot be fetched need not be named as a dependency.
    let is_set_up = package.get("durawasm").is_some_and(Value::is_object);
    if !is_set_up && !depends("dependencies") && !depends("devDependencies") {
        return Ok(None);
    }
    Ok(Some(package.get("name").and_then(Value::as_str).map_or(own, str::to_owned)))
}

/// Whether a folder holds a function of the older form.
fn is_function(folder: &Path) -> bool {
    let code = ["index.js", "index.ts", "index.mjs", "index.cjs"].iter().any(|file| folder.join(file).is_file());
    code && folder.join("function.json").is_file()
}

/// Builds an app and returns its component.
pub(super) async fn build(app: &App, progress: &Progress) -> Result<Bytes, String> {
    let tools = toolchain(progress).await?;
    let sdk = sdk_folder(&tools).await?;
    place_types(&app.folder, &sdk)?;
    progress.now("bundling and making the component");
    let request = json!({
        "app": app.folder,
        "sdk": sdk,
        "wit": sdk.join("wit"),
        "cache": tools::components()?,
    });
    let mut node = Command::new("node");
    node.arg(sdk.join("build/build.mjs")).arg(request.to_string()).current_dir(&app.folder);
    if std::io::stderr().is_terminal() {
        node.env("DURAWASM_COLOR", "1");
    }
    let output = output(&mut node).await.map_err(|error| no_node(&error))?;
    if !output.status.success() {
        progress.note(String::from_utf8_lossy(&output.stderr).trim_end());
        return Err("the build failed".to_owned());
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let path = PathBuf::from(printed.lines().last().unwrap_or_default());
    tokio::fs::read(&path).await.map(Bytes::from).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The folder that holds the bundler and what makes components, at exactly the versions that this program was made with.
async fn toolchain(progress: &Progress) -> Result<PathBuf, String> {
    let version = output(Command::new("node").arg("--version")).await.map_err(|error| no_node(&error))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE) {
        return Err(format!("this is Node.js {version}. {}", needed()));
    }
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    tools::folder("javascript", &[sdk::MANIFEST, sdk::LOCK, &platform], async |folder| {
        progress.step("installing the build tools of JavaScript (150 MB), once for all apps ...");
        tools::write_files(&folder, &[("package.json", sdk::MANIFEST), ("package-lock.json", sdk::LOCK)])?;
        let mut npm = Command::new("npm");
        // Not `npm ci`: it wants the packages of all platforms listed, and some are not offered everywhere.
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
        let installed = output(&mut npm).await.map_err(|error| format!("cannot run npm ({error}). {}", needed()))?;
        if installed.status.success() {
            return leave_out(&folder.join("node_modules"));
        }
        let said = [&*installed.stdout, &*installed.stderr].concat();
        Err(format!(
            "{}\nnpm could not install the build tools; it needs a package registry that it reaches",
            String::from_utf8_lossy(&said).trim_end()
        ))
    })
    .await
}

/// Packages that the tools depend on for what is never asked of them, and that take much space.
const UNUSED: [&str; 1] = ["binaryen"];

fn leave_out(modules: &Path) -> Result<(), String> {
    for name in UNUSED {
        let folder = modules.join(name);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", folder.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The folder with the SDK and the contract, within that of the tools: there modules find theirs.
async fn sdk_folder(tools: &Path) -> Result<PathBuf, String> {
    let name = tools.file_name().unwrap_or_default().to_string_lossy();
    let inputs: Vec<&str> = sdk::inputs().chain(wit::inputs()).collect();
    tools::folder(&format!("{name}/sdk"), &inputs, async |folder| {
        tools::write_files(&folder, sdk::FILES)?;
        let contract = folder.join("wit/deps/durable");
        tools::create(&contract)?;
        wit::write(&contract)
    })
    .await
}

/// Gives the app's editor and tests the SDK's types and modules, unless the app has installed these packages itself.
fn place_types(app: &Path, sdk: &Path) -> Result<(), String> {
    if !app.join("package.json").is_file() {
        return Ok(());
    }
    let mark = sdk.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for package in PACKAGES {
        let folder = app.join("node_modules").join(package);
        let manifest = std::fs::read_to_string(folder.join("package.json"));
        let placed = manifest.as_ref().ok().and_then(|text| {
            let value: Value = serde_json::from_str(text).ok()?;
            Some(value.get("durawasm")?.get("placed")?.as_str()?.to_owned())
        });
        if placed.as_deref() == Some(&mark) || (manifest.is_ok() && placed.is_none()) {
            continue;
        }
        let files = sdk::package(package, &mark);
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        tools::write_files(&folder, &files)?;
    }
    Ok(())
}

async fn output(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).kill_on_drop(true).output().await
}

fn needed() -> String {
    format!(
        "JavaScript and TypeScript apps are built with Node.js {NODE} or later and its npm: install https://nodejs.org"
    )
}

fn no_node(error: &std::io::Error) -> String {
    format!("cannot run node ({error}). {}", needed())
}
