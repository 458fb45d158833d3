//! Finds Rust function apps: Cargo packages that make a `cdylib`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::cli::CliError;

/// How many folders deep apps are looked for: `dev .` finds `examples/hello`, not what lies in its dependencies.
const DEPTH: usize = 2;

/// A function app.
#[derive(Debug)]
pub(super) struct App {
    /// The app's name: the package's, in the form the server takes.
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Its Cargo.toml.
    pub(super) manifest: PathBuf,
    /// What to try has been shown.
    shown: AtomicBool,
}

impl App {
    pub(super) fn shown(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }

    pub(super) fn set_shown(&self) {
        self.shown.store(true, Ordering::Relaxed);
    }
}

/// The apps at and under `path`, sorted by folder.
pub(super) fn find(path: &Path) -> Result<Vec<App>, CliError> {
    let root = path
        .canonicalize()
        .map_err(|error| CliError::Usage(format!("there is no folder {}: {error}", path.display())))?;
    let mut manifests = Vec::new();
    collect(&root, 0, &mut manifests);
    manifests.sort();
    let mut apps = Vec::<App>::new();
    for manifest in manifests {
        if let Some(app) = inspect(&manifest)? {
            if let Some(other) = apps.iter().find(|other| other.name == app.name) {
                let (one, two) = (other.folder.display(), app.folder.display());
                return Err(CliError::Refused(format!("two apps are called '{}': {one} and {two}", app.name)));
            }
            apps.push(app);
        }
    }
    if apps.is_empty() {
        return Err(CliError::Refused(format!(
            "no function app found in {}: an app is a Cargo package with crate-type = [\"cdylib\"]",
            path.display()
        )));
    }
    Ok(apps)
}

/// Cargo.toml files that may be apps: those that mention a cdylib.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let manifest = folder.join("Cargo.toml");
    if std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("cdylib")) {
        found.push(manifest);
    }
    if depth == DEPTH {
        return;
    }
    // A folder that cannot be read holds no app that could be built.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_ignored(&entry.file_name().to_string_lossy()) {
            collect(&entry.path(), depth + 1, found);
        }
    }
}

/// Folders that never hold source code.
pub(super) fn is_ignored(name: &str) -> bool {
    name == "target" || name == "node_modules" || name.starts_with('.')
}

/// Asks cargo about a package; none if it makes no cdylib.
fn inspect(manifest: &Path) -> Result<Option<App>, CliError> {
    let output = Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|error| CliError::Refused(no_cargo(&error)))?;
    if !output.status.success() {
        return Err(CliError::Refused(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| CliError::Refused(format!("cargo metadata answered no JSON: {error}")))?;
    Ok(package_name(&metadata, manifest).map(|name| App {
        name: app_name(&name),
        folder: manifest.parent().unwrap_or(manifest).to_owned(),
        manifest: manifest.to_owned(),
        shown: AtomicBool::new(false),
    }))
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

/// The server's app names have lowercase letters, digits and hyphens.
fn app_name(package: &str) -> String {
    package.to_ascii_lowercase().replace('_', "-").trim_start_matches('-').to_owned()
}

/// The cargo that runs us, if one does.
pub(super) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What to do when cargo does not start.
pub(super) fn no_cargo(error: &std::io::Error) -> String {
    format!("cannot run cargo ({error}): install Rust from https://rustup.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, name: &str, kind: &str) {
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("src/lib.rs"), "").unwrap();
        let text = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"{kind}\"]\n[workspace]\n"
        );
        std::fs::write(folder.join("Cargo.toml"), text).unwrap();
    }

    #[test]
    fn finds_components_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        package(&root.path().join("one"), "One_App", "cdylib");
        package(&root.path().join("library"), "library", "rlib");
        package(&root.path().join("target/two"), "two", "cdylib");
        let apps = find(root.path()).unwrap();
        assert_eq!(apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["one-app"]);
        let itself = find(&root.path().join("one")).unwrap();
        assert_eq!(itself.len(), 1);
    }

    #[test]
    fn nothing_found_is_said() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(find(root.path()), Err(CliError::Refused(text)) if text.contains("cdylib")));
        assert!(matches!(find(&root.path().join("missing")), Err(CliError::Usage(_))));
    }
}
