//! Directories for what only the server's user may read: histories hold what people sent, and configurations hold secrets.

use std::fs::DirBuilder;
use std::io;
use std::path::Path;

/// Makes a directory, and those above it that are not there, which nobody else may look into. One that is there stays as
/// it is: whoever made it has decided who may.
///
/// # Errors
/// The system's.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        let inside = open.join("data/store");
        create_directory(&inside).unwrap();
        create_directory(&inside).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&open), mode(&open.join("data")), mode(&inside)), (0o755, 0o700, 0o700));
    }
}
