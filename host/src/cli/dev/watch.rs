//! Says which apps changed: their source, not what a build makes of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::cli::CliError;
use crate::cli::build::{App, is_component, is_ignored, source_folders};

/// Editors save in several steps; a build starts when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(300);

/// Watches the folders of apps.
pub(super) struct Watcher {
    folders: Vec<PathBuf>,
    events: mpsc::UnboundedReceiver<PathBuf>,
    /// Stops when dropped.
    inner: RecommendedWatcher,
}

impl Watcher {
    pub(super) fn new(apps: &[App]) -> Result<Self, CliError> {
        let failed = |error: notify::Error| CliError::Refused(format!("cannot watch for changes: {error}"));
        let (sender, events) = mpsc::unbounded_channel();
        let mut inner = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Errors of single files (one vanished while being looked at) are no reason to build.
            let Ok(event) = event else { return };
            if !event.kind.is_access() {
                tracing::debug!(?event, "a file changed");
                for path in event.paths {
                    // Nobody listens any more: the program ends.
                    let _ended = sender.send(path);
                }
            }
        })
        .map_err(failed)?;
        for app in apps {
            // Folder by folder, because a build writes thousands of files under target/.
            inner.watch(&app.folder, RecursiveMode::NonRecursive).map_err(failed)?;
            for folder in source_folders(&app.folder) {
                inner.watch(&folder, RecursiveMode::Recursive).map_err(failed)?;
            }
        }
        let folders = apps.iter().map(|app| app.folder.clone()).collect();
        Ok(Self { folders, events, inner })
    }

    /// Waits for changes and returns the indexes of the apps they are in; none when watching has ended.
    pub(super) async fn changed(&mut self) -> Option<BTreeSet<usize>> {
        let mut changed = BTreeSet::new();
        while changed.is_empty() {
            let path = self.events.recv().await?;
            changed.extend(self.take(&path));
        }
        while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.events.recv()).await {
            changed.extend(self.take(&path));
        }
        Some(changed)
    }

    /// The app that a change is in. A folder that is new in an app's folder is watched from now on.
    fn take(&mut self, path: &Path) -> Option<usize> {
        let app = app_of(&self.folders, path)?;
        if path.parent() == Some(&self.folders[app]) && path.is_dir() {
            // One that is gone already has nothing to tell.
            let _gone = self.inner.watch(path, RecursiveMode::Recursive);
        }
        Some(app)
    }
}

/// The app a path belongs to, if a change of it means a build: the one whose folder is nearest.
fn app_of(folders: &[PathBuf], path: &Path) -> Option<usize> {
    let (index, rest) = folders
        .iter()
        .enumerate()
        .filter_map(|(index, folder)| Some((index, path.strip_prefix(folder).ok()?)))
        .min_by_key(|(_, rest)| rest.components().count())?;
    let mut names = rest.components().map(|part| part.as_os_str().to_string_lossy());
    let first = names.clone().next()?.into_owned();
    // Package managers write their lock files themselves, and cargo makes its folder under a temporary name that begins
    // with "target".
    let built =
        first.starts_with("target") || ["Cargo.lock", "package-lock.json"].contains(&&*first) || is_component(path);
    if built || names.any(|name| is_ignored(&name)) { None } else { Some(index) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::build::find;

    #[tokio::test]
    async fn files_of_all_kinds_and_in_new_folders_are_seen() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = root.path().canonicalize().unwrap().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        for app in ["one", "two"] {
            write(&format!("{app}/function_app.py"));
        }
        let apps = find(root.path()).unwrap();
        let mut watcher = Watcher::new(&apps).unwrap();
        for (path, app) in [
            ("one/requirements.txt", 0),
            ("two/texts/en.json", 1),
            // The folder was not there when watching began.
            ("two/texts/de.json", 1),
            ("one/function_app.py", 0),
            ("one/package.json", 0),
        ] {
            write("one/.venv/lib/x.py");
            write(path);
            let seen = tokio::time::timeout(Duration::from_secs(60), watcher.changed()).await;
            assert_eq!(seen.expect(path), Some(BTreeSet::from([app])), "{path}");
        }
    }

    #[test]
    fn changes_belong_to_the_nearest_app() {
        let folders = [PathBuf::from("/a"), PathBuf::from("/a/b")];
        let app = |path: &str| app_of(&folders, Path::new(path));
        assert_eq!(app("/a/src/lib.rs"), Some(0));
        assert_eq!(app("/a/b/src/lib.rs"), Some(1));
        assert_eq!(app("/a/target/x"), None);
        assert_eq!(app("/a/targetXyZ123"), None);
        assert_eq!(app("/a/b/Cargo.lock"), None);
        assert_eq!(app("/a/b/shop.wasm"), None);
        assert_eq!(app("/a/Orders/__pycache__/x.pyc"), None);
        assert_eq!(app("/a/Orders/function.json"), Some(0));
        assert_eq!(app("/c"), None);
        assert_eq!(app("/a"), None);
    }
}
