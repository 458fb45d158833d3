//! Components built from the sources in `examples/` and `tests/guests/`, once per test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use axum::body::Bytes;

/// The project's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A component of `tests/guests/`, by its crate's name.
///
/// # Panics
/// When it cannot be built; cargo's own words are printed.
#[must_use]
pub fn guest(name: &str) -> Bytes {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    component(BUILT.get_or_init(|| build(&root().join("tests/guests"), "guests")), name)
}

/// The component of an example, by its folder in `examples/`.
///
/// # Panics
/// When it cannot be built; cargo's own words are printed.
#[must_use]
pub fn example(name: &str) -> Bytes {
    let package = name.rsplit('/').next().unwrap_or(name);
    component(&build(&root().join("examples").join(name), "examples"), package)
}

fn component(folder: &Path, name: &str) -> Bytes {
    let path = folder.join(format!("{}.wasm", name.replace('-', "_")));
    match std::fs::read(&path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Builds a folder's components and returns where they are. Cargo's own lock orders builds that meet.
fn build(folder: &Path, kind: &str) -> PathBuf {
    add_target();
    let target = root().join("target").join(kind);
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--locked", "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        // What cargo tells the tests about themselves is not meant for the guests.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status();
    match status {
        Ok(status) if status.success() => target.join("wasm32-wasip2/release"),
        Ok(status) => panic!("building {} failed: {status}", folder.display()),
        Err(error) => panic!("cargo does not run: {error}"),
    }
}

/// Adds the wasm target if rustup knows that it is missing.
fn add_target() {
    static ADDED: OnceLock<()> = OnceLock::new();
    ADDED.get_or_init(|| {
        let added = Command::new("rustup").args(["target", "add", "wasm32-wasip2"]).output();
        if let Ok(output) = added
            && !output.status.success()
        {
            panic!("rustup target add wasm32-wasip2: {}", String::from_utf8_lossy(&output.stderr));
        }
    });
}
