//! Apps in other languages than Rust, built as their authors build them: by the program itself.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::body::Bytes;
use durawasm_tests::guests::root;
use durawasm_tests::tools::{self, Tool};

/// What decides about the components besides the app: the SDKs, the contract, and how the program builds.
const INPUTS: [&str; 5] = [
    "guest-sdk/python/azure",
    "guest-sdk/python/durawasm",
    "guest-sdk/python/durawasm_component.py",
    "wit",
    "host/src/cli/build",
];

/// The component of a Python app, by its folder in the project. None: there is no Python here, or no wish for it.
pub(crate) fn python(folder: &str) -> Option<Bytes> {
    if tools::skipped(tools::SKIP_POLYGLOT, &[Tool::Python]) { None } else { Some(built(folder)) }
}

/// The program, keeping its tools below `target/`.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
    command.env("DURAWASM_CACHE", target().join("tools"));
    command
}

fn target() -> PathBuf {
    std::path::absolute(root().join("target")).unwrap()
}

/// Builds an app unless it was built from the same inputs before.
fn built(folder: &str) -> Bytes {
    let mut hash = DefaultHasher::new();
    for input in INPUTS.into_iter().chain([folder]) {
        hash_files(&root().join(input), &mut hash);
    }
    let name = folder.replace('/', "-");
    let base = target().join("apps");
    fs::create_dir_all(&base).unwrap();
    let file = base.join(format!("{name}-{:016x}.wasm", hash.finish()));
    // Tests that want the same meet here, whatever process they are in.
    let lock = File::create(base.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !file.exists() {
        let unfinished = file.with_extension("unfinished");
        let built = program().arg("build").arg(root().join(folder)).arg("-o").arg(&unfinished).output().unwrap();
        assert!(built.status.success(), "{folder}: {}", String::from_utf8_lossy(&built.stderr));
        forget_others(&base, &name);
        fs::rename(&unfinished, &file).unwrap();
    }
    Bytes::from(fs::read(&file).unwrap())
}

/// Removes what was built from other inputs.
fn forget_others(base: &Path, name: &str) {
    for entry in fs::read_dir(base).unwrap() {
        let path = entry.unwrap().path();
        let is_old = path.extension().is_some_and(|extension| extension == "wasm")
            && path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with(&format!("{name}-")));
        if is_old {
            fs::remove_file(path).unwrap();
        }
    }
}

fn hash_files(path: &Path, hash: &mut DefaultHasher) {
    if path.file_name().is_some_and(|name| name == "__pycache__") {
        return;
    }
    if path.is_file() {
        path.file_name().hash(hash);
        fs::read(path).unwrap().hash(hash);
        return;
    }
    let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        hash_files(&entry, hash);
    }
}
