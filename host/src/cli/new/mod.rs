//! `durawasm new`: the files of a first app.

use std::path::{Path, PathBuf};

use super::args::{LanguageArg, NewArgs};
use super::{CliError, show};

/// A file of a template: its path and its text, in which `{{name}}` stands for the app's name and `{{sdk}}` for where
/// the SDK lies.
type File = (&'static str, &'static str);

const RUST: &[File] = &[
    ("README.md", include_str!("rust/README.md")),
    ("Cargo.toml", include_str!("rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("rust/lib.rs.txt")),
    (".gitignore", "/target/\n/.durawasm/\n*.wasm\n"),
];

const PYTHON: &[File] = &[
    ("README.md", include_str!("python/README.md")),
    ("function_app.py", include_str!("python/function_app.py")),
    ("test_function_app.py", include_str!("python/test_function_app.py")),
    ("requirements.txt", include_str!("python/requirements.txt")),
    (".gitignore", "__pycache__/\n.venv/\n/.durawasm/\n*.wasm\n"),
];

const JAVASCRIPT: &[File] = &[
    ("README.md", include_str!("javascript/README.md")),
    ("package.json", include_str!("javascript/package.json.txt")),
    ("src/functions/hello.js", include_str!("javascript/hello.js")),
    ("test/hello.test.js", include_str!("javascript/hello.test.js")),
    (".gitignore", "node_modules/\n/.durawasm/\n*.wasm\n"),
];

const TYPESCRIPT: &[File] = &[
    ("README.md", include_str!("typescript/README.md")),
    ("package.json", include_str!("typescript/package.json.txt")),
    ("tsconfig.json", include_str!("typescript/tsconfig.json.txt")),
    ("src/functions/hello.ts", include_str!("typescript/hello.ts")),
    ("test/hello.test.ts", include_str!("typescript/hello.test.ts")),
    (".gitignore", "node_modules/\n/.durawasm/\n*.wasm\n"),
];

pub(super) fn new(args: &NewArgs) -> Result<(), CliError> {
    let name = name_of(&args.path)?;
    let is_free = std::fs::read_dir(&args.path).map_or(true, |mut files| files.next().is_none());
    if !is_free {
        return Err(CliError::Refused(format!("{} is there already, and not empty", args.path.display())));
    }
    let (files, sdk) = match args.lang {
        LanguageArg::Rust => (RUST, rust_sdk(args.sdk.as_deref(), &args.path)?),
        LanguageArg::Python => (PYTHON, String::new()),
        LanguageArg::Js => (JAVASCRIPT, String::new()),
        LanguageArg::Ts => (TYPESCRIPT, String::new()),
    };
    for (path, text) in files {
        let path = args.path.join(path);
        let text = text.replace("{{name}}", &name).replace("{{sdk}}", &sdk);
        let folder = path.parent().unwrap_or(&args.path);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| CliError::Refused(format!("cannot write {}: {error}", path.display())))?;
        show::line(&path.display().to_string());
    }
    show::line(&format!("\nRun it with:  cd {} && durawasm dev .", args.path.display()));
    Ok(())
}

/// The name of the app: the folder's.
fn name_of(path: &Path) -> Result<String, CliError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain) {
        return Ok(name);
    }
    Err(CliError::Usage(format!(
        "'{name}' is no name of an app: letters, digits, '-' and '_', beginning with a letter"
    )))
}

/// The folder of the Rust SDK: the one that is named, or the nearest one above the app or above this program.
fn rust_sdk(named: Option<&Path>, app: &Path) -> Result<String, CliError> {
    let above = |path: PathBuf| {
        let candidates = path.ancestors().map(|folder| folder.join("guest-sdk/rust")).collect::<Vec<_>>();
        candidates.into_iter().find(|folder| folder.join("Cargo.toml").is_file())
    };
    let found = match named {
        Some(folder) => folder.join("Cargo.toml").is_file().then(|| folder.to_owned()),
        None => std::path::absolute(app).ok().and_then(above).or_else(|| std::env::current_exe().ok().and_then(above)),
    };
    let folder = found.and_then(|folder| folder.canonicalize().ok()).ok_or_else(|| {
        CliError::Refused("the Rust SDK is not found: name its folder, guest-sdk/rust, with --sdk".to_owned())
    })?;
    // Backslashes would have to be escaped in TOML.
    Ok(folder.to_string_lossy().replace('\\', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::build::{Language, find};

    fn args(path: PathBuf, lang: LanguageArg) -> NewArgs {
        NewArgs { path, lang, sdk: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/rust")) }
    }

    #[test]
    fn what_is_made_is_an_app() {
        let root = tempfile::tempdir().unwrap();
        for (lang, language) in [
            (LanguageArg::Rust, Language::Rust),
            (LanguageArg::Python, Language::Python),
            (LanguageArg::Js, Language::JavaScript),
            (LanguageArg::Ts, Language::JavaScript),
        ] {
            let folder = root.path().join(format!("my_{lang:?}"));
            new(&args(folder.clone(), lang)).unwrap();
            let apps = find(&folder).unwrap();
            assert_eq!(apps[0].language, language);
            assert!(apps[0].name.starts_with("my-"), "{}", apps[0].name);
            let again = new(&args(folder, lang));
            assert!(matches!(again, Err(CliError::Refused(text)) if text.contains("not empty")));
        }
    }

    #[test]
    fn names_are_checked() {
        let root = tempfile::tempdir().unwrap();
        let made = new(&args(root.path().join("7 apps"), LanguageArg::Python));
        assert!(matches!(made, Err(CliError::Usage(text)) if text.contains("7 apps")));
    }
}
