//! Components that were built before. The tool draws another hash seed each time, so the same sources come out as other
//! bytes; an unchanged app must stay the version that it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::cli::build::{is_component, is_ignored, tools};

/// Components kept; each has some 20 MB.
const KEPT: usize = 10;

/// Where the component of an app is kept.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    file: PathBuf,
}

impl Place {
    /// For an app as it is now, made with these tools: their folders are named by what is in them. None: there is a link
    /// to a folder in the app, behind which changes would not be seen.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn of(app: &Path, tools: [&Path; 3]) -> Result<Option<Self>, String> {
        let mut hash = Sha256::new();
        for tool in tools {
            add(&mut hash, tool.file_name().unwrap_or_default().as_encoded_bytes());
        }
        if !add_files(&mut hash, app, app)? {
            return Ok(None);
        }
        let folder = tools::components()?.join("python");
        let file = folder.join(format!("{}.wasm", &hex::encode(hash.finalize())[..32]));
        Ok(Some(Self { folder, file }))
    }

    /// The component, if it was kept.
    pub(super) fn find(&self) -> Option<Bytes> {
        let component = fs::read(&self.file).ok()?;
        // Those that were not wanted for longest go first.
        let touched = fs::File::options().append(true).open(&self.file);
        let _stays_as_old = touched.and_then(|file| file.set_modified(SystemTime::now()));
        Some(Bytes::from(component))
    }

    /// Keeps a component. What goes wrong is that it is made again the next time.
    pub(super) fn keep(&self, component: &[u8]) {
        let unfinished = self.file.with_extension(std::process::id().to_string());
        let kept = tools::create(&self.folder).is_ok()
            && fs::write(&unfinished, component).is_ok()
            && fs::rename(&unfinished, &self.file).is_ok();
        if kept {
            self.remove_old();
        } else {
            let _never_written = fs::remove_file(&unfinished);
        }
    }

    fn remove_old(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let aged = |path: PathBuf| Some((path.metadata().ok()?.modified().ok()?, path));
        let mut components: Vec<_> = entries.flatten().filter_map(|entry| aged(entry.path())).collect();
        components.sort();
        for (_, path) in components.iter().rev().skip(KEPT) {
            let _another_removed_it = fs::remove_file(path);
        }
    }
}

fn add(hash: &mut Sha256, text: &[u8]) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

/// Adds all files of a folder that a build may read, in the order of their names. False: not all can be seen.
fn add_files(hash: &mut Sha256, root: &Path, folder: &Path) -> Result<bool, String> {
    let failed = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(|error| failed(folder, error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        if is_ignored(&name.to_string_lossy()) || is_component(&path) {
            continue;
        }
        let kind = entry.file_type().map_err(|error| failed(&path, error))?;
        if kind.is_dir() {
            if !add_files(hash, root, &path)? {
                return Ok(false);
            }
        } else if path.is_dir() {
            return Ok(false);
        } else if path.is_file() {
            add(hash, path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes());
            add(hash, &fs::read(&path).map_err(|error| failed(&path, error))?);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(app: &Path, tool: &str) -> PathBuf {
        Place::of(app, [Path::new(tool), Path::new("sdk"), Path::new("packages")]).unwrap().unwrap().file
    }

    #[test]
    fn what_a_build_reads_decides_about_the_component() {
        let app = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("function_app.py", "a = 1");
        let first = place(app.path(), "python-1");
        write("__pycache__/function_app.pyc", "x");
        write(".durawasm/journal", "x");
        write("app.wasm", "x");
        assert_eq!(place(app.path(), "python-1"), first, "nothing that the build reads has changed");
        assert_ne!(place(app.path(), "python-2"), first, "another tool");
        write("texts/en.json", "{}");
        let second = place(app.path(), "python-1");
        write("texts/en.json", "[]");
        let third = place(app.path(), "python-1");
        assert!(first != second && second != third && first != third);
    }

    #[cfg(unix)]
    #[test]
    fn an_app_with_a_link_to_a_folder_is_always_built() {
        let (app, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(other.path(), app.path().join("shared")).unwrap();
        assert!(Place::of(app.path(), [app.path(); 3]).unwrap().is_none());
    }
}
