//! Finds function apps and builds their components, each with the tools of its language.

mod javascript;
mod progress;
mod python;
mod rust;
mod tools;
mod wit;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::args::BuildArgs;
use super::{CliError, show};
use progress::Progress;

/// How many folders deep apps are looked for: `dev .` finds `examples/hello`, not what lies in its dependencies.
const DEPTH: usize = 2;

/// The language an app is written in: which tools build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// A Cargo package that makes a `cdylib`.
    Rust,
    /// A folder with `function_app.py`, or with folders of `function.json` and Python code.
    Python,
    /// An npm package that has settings for `durawasm` or depends on it; TypeScript included.
    JavaScript,
}

/// A function app.
#[derive(Debug)]
pub(super) struct App {
    /// The app's name, in the form the server takes: the package's, or the folder's.
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: PathBuf,
    pub(super) language: Language,
    /// What to try has been shown.
    shown: AtomicBool,
}

impl App {
    fn new(name: &str, folder: &Path, language: Language) -> Self {
        Self { name: app_name(name), folder: folder.to_owned(), language, shown: AtomicBool::new(false) }
    }

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
    let mut apps = Vec::<App>::new();
    collect(&root, 0, &mut apps)?;
    for (index, app) in apps.iter().enumerate() {
        if let Some(other) = apps[..index].iter().find(|other| other.name == app.name) {
            let (one, two) = (other.folder.display(), app.folder.display());
            return Err(CliError::Refused(format!("two apps are called '{}': {one} and {two}", app.name)));
        }
    }
    if apps.is_empty() {
        return Err(CliError::Refused(format!(
            "no function app found in {}: an app is a Cargo package with crate-type = [\"cdylib\"], a folder with a \
             function_app.py or with Python functions and their function.json, or an npm package with \
             \"durawasm\": {{}} in its package.json",
            path.display()
        )));
    }
    Ok(apps)
}

fn collect(folder: &Path, depth: usize, apps: &mut Vec<App>) -> Result<(), CliError> {
    if let Some(app) = detect(folder)? {
        let language = app.language;
        apps.push(app);
        match language {
            // A package may hold others.
            Language::Rust => {}
            // What lies in these folders is the app's own.
            Language::Python | Language::JavaScript => return Ok(()),
        }
    }
    if depth == DEPTH {
        return Ok(());
    }
    for inner in source_folders(folder) {
        collect(&inner, depth + 1, apps)?;
    }
    Ok(())
}

fn detect(folder: &Path) -> Result<Option<App>, CliError> {
    let app = |language| move |name: String| App::new(&name, folder, language);
    if let Some(found) = rust::detect(folder)?.map(app(Language::Rust)) {
        return Ok(Some(found));
    }
    if let Some(found) = javascript::detect(folder)?.map(app(Language::JavaScript)) {
        return Ok(Some(found));
    }
    Ok(python::detect(folder).map(app(Language::Python)))
}

/// The folders in a folder that may hold source code, sorted. One that cannot be read holds none that could be built.
pub(super) fn source_folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_source = |entry: &std::fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_ignored(&entry.file_name().to_string_lossy())
    };
    let mut folders: Vec<_> = entries.flatten().filter(is_source).map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

/// Folders that never hold source code.
pub(super) fn is_ignored(name: &str) -> bool {
    ["target", "node_modules", "__pycache__", "venv"].contains(&name) || name.starts_with('.')
}

/// What a build writes where it is told to, and no build reads.
pub(super) fn is_component(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

/// The server's app names have lowercase letters, digits and hyphens.
fn app_name(package: &str) -> String {
    // A package of npm may have a scope: `@owner/name`.
    let name = package.rsplit('/').next().unwrap_or(package).to_ascii_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(plain).collect::<String>().trim_matches('-').to_owned()
}

/// Prepares what all apps of a language need, for those languages that are in use.
pub(super) async fn prepare(apps: &[App], folder: &Path) -> Result<(), CliError> {
    if apps.iter().any(|app| app.language == Language::Rust) {
        rust::ensure_target(folder).await?;
    }
    Ok(())
}

/// Builds an app and returns its component. The error's text is what is left to say after the tools' own output.
pub(super) async fn build(app: &App) -> Result<Bytes, String> {
    let progress = Progress::begin(&app.name);
    let built = match app.language {
        Language::Rust => rust::build(app, &progress).await,
        Language::Python => python::build(app, &progress).await,
        Language::JavaScript => javascript::build(app, &progress).await,
    };
    progress.end(built.is_ok());
    built
}

/// `durawasm build`: one app into a file.
pub(super) async fn build_file(args: BuildArgs) -> Result<(), CliError> {
    let apps = find(&args.path)?;
    let [app] = apps.as_slice() else {
        let names: Vec<_> = apps.iter().map(|app| app.folder.display().to_string()).collect();
        return Err(CliError::Usage(format!("several apps: {}; name one of these folders", names.join(", "))));
    };
    prepare(&apps, &app.folder).await?;
    let component = build(app).await.map_err(CliError::Refused)?;
    let file = args.output.unwrap_or_else(|| PathBuf::from(format!("{}.wasm", app.name)));
    tokio::fs::write(&file, &component)
        .await
        .map_err(|error| CliError::Refused(format!("cannot write {}: {error}", file.display())))?;
    show::line(&format!("{} ({} bytes)", file.display(), component.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, name: &str, kind: &str) {
        write(&folder.join("src/lib.rs"), "");
        let text = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"{kind}\"]\n[workspace]\n"
        );
        write(&folder.join("Cargo.toml"), &text);
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(apps: &[App]) -> Vec<(&str, Language)> {
        apps.iter().map(|app| (app.name.as_str(), app.language)).collect()
    }

    #[test]
    fn finds_components_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        package(&root.path().join("one"), "One_App", "cdylib");
        package(&root.path().join("library"), "library", "rlib");
        package(&root.path().join("target/two"), "two", "cdylib");
        assert_eq!(names(&find(root.path()).unwrap()), [("one-app", Language::Rust)]);
        let itself = find(&root.path().join("one")).unwrap();
        assert_eq!(itself.len(), 1);
    }

    #[test]
    fn finds_apps_of_every_language() {
        let root = tempfile::tempdir().unwrap();
        let path = |path: &str| root.path().join(path);
        package(&path("rust"), "rusty", "cdylib");
        write(&path("new_python/function_app.py"), "");
        write(&path("old-python/HttpStart/function.json"), "{}");
        write(&path("old-python/HttpStart/__init__.py"), "");
        write(&path("script/package.json"), r#"{"name":"@me/script","dependencies":{"durawasm":"0.1.0"}}"#);
        write(&path("unrelated/package.json"), r#"{"name":"page","dependencies":{"left-pad":"1.0.0"}}"#);
        write(&path("plain/setup.py"), "");
        assert_eq!(
            names(&find(root.path()).unwrap()),
            [
                ("new-python", Language::Python),
                ("old-python", Language::Python),
                ("rusty", Language::Rust),
                ("script", Language::JavaScript),
            ]
        );
        write(&path("broken/package.json"), "{");
        assert!(matches!(find(root.path()), Err(CliError::Refused(text)) if text.contains("broken")));
    }

    #[test]
    fn nothing_found_and_names_twice_are_said() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(find(root.path()), Err(CliError::Refused(text)) if text.contains("cdylib")));
        assert!(matches!(find(&root.path().join("missing")), Err(CliError::Usage(_))));
        write(&root.path().join("a/same/function_app.py"), "");
        write(&root.path().join("b/same/function_app.py"), "");
        assert!(matches!(find(root.path()), Err(CliError::Refused(text)) if text.contains("'same'")));
    }
}
