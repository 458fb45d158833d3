//! Where the tools that build apps are kept: installed once for all apps of a user, in a folder that may be removed
//! at any time.

use std::fs::{self, File};
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Names another folder for the tools.
const CACHE: &str = "DURAWASM_CACHE";

/// The folder of all tools: `$DURAWASM_CACHE`, else `durawasm` in the user's folder for caches.
fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(CACHE)
        .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("durawasm")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/durawasm")))
        .unwrap_or_else(|| std::env::temp_dir().join("durawasm-cache"))
}

/// A folder with what `make` puts into it, made when there is none for these `inputs`: everything that its content
/// depends on. Programs that want the same at once meet here, and one of them makes it.
///
/// # Errors
/// What `make` says, or what is wrong with the folder. What is half made is made anew the next time.
pub(super) async fn folder<F>(name: &str, inputs: &[&str], make: impl FnOnce(PathBuf) -> F) -> Result<PathBuf, String>
where
    F: Future<Output = Result<(), String>>,
{
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    let base = std::path::absolute(cache()).map_err(|error| format!("no folder for tools: {error}"))?;
    let folder = base.join(format!("{name}-{}", &hex::encode(hash.finalize())[..16]));
    let (stamp, lock) = (folder.with_extension("done"), folder.with_extension("lock"));
    create(&base)?;
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let lock_file = File::create(&lock).map_err(failed(&lock))?;
    // Whoever holds it installs something, which takes a while.
    let _locked = tokio::task::spawn_blocking(move || lock_file.lock().map(|()| lock_file))
        .await
        .map_err(|error| error.to_string())?
        .map_err(failed(&lock))?;
    if stamp.exists() {
        return Ok(folder);
    }
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&folder)(error)),
        Ok(()) | Err(_) => create(&folder)?,
    }
    make(folder.clone()).await?;
    // Last: whatever is interrupted before is made anew.
    fs::write(&stamp, "").map_err(failed(&stamp))?;
    Ok(folder)
}

/// The folder of components that were built before.
pub(super) fn components() -> Result<PathBuf, String> {
    let base = std::path::absolute(cache()).map_err(|error| format!("no folder for tools: {error}"))?;
    Ok(base.join("components"))
}

/// Writes files, with the folders that they lie in.
pub(super) fn write_files(folder: &Path, files: &[(&str, &str)]) -> Result<(), String> {
    for (path, text) in files {
        let path = folder.join(path);
        create(path.parent().unwrap_or(folder))?;
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Makes a folder unless it is there.
pub(super) fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make {} ({error}); set {CACHE} to a folder for tools", folder.display()))
}
