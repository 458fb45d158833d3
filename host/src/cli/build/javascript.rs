//! JavaScript and TypeScript apps: npm packages that depend on `durawasm`.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use super::App;
use super::progress::Progress;
use crate::cli::CliError;

/// The name of the app in a folder, if it is one.
pub(super) fn detect(folder: &Path) -> Result<Option<String>, CliError> {
    let manifest = folder.join("package.json");
    let Ok(text) = std::fs::read_to_string(&manifest) else { return Ok(None) };
    let package: Value = serde_json::from_str(&text)
        .map_err(|error| CliError::Refused(format!("{} is no JSON: {error}", manifest.display())))?;
    let depends = |kind: &str| package.get(kind).and_then(|packages| packages.get("durawasm")).is_some();
    if !depends("dependencies") && !depends("devDependencies") {
        return Ok(None);
    }
    let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(package.get("name").and_then(Value::as_str).map_or(own, str::to_owned)))
}

/// Builds an app and returns its component.
pub(super) async fn build(_app: &App, _progress: &Progress) -> Result<Bytes, String> {
    Err("this version builds Rust and Python apps, and no JavaScript yet".to_owned())
}
