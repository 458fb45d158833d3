//! The contract with guests, for the tools that make components of other languages.

use std::path::Path;

/// The files of `wit/`.
const FILES: &[(&str, &str)] = &[
    ("activity.wit", include_str!("../../../../wit/activity.wit")),
    ("client.wit", include_str!("../../../../wit/client.wit")),
    ("orchestration.wit", include_str!("../../../../wit/orchestration.wit")),
    ("trigger.wit", include_str!("../../../../wit/trigger.wit")),
    ("types.wit", include_str!("../../../../wit/types.wit")),
    ("world.wit", include_str!("../../../../wit/world.wit")),
];

/// Everything that the written files depend on.
pub(super) fn inputs() -> impl Iterator<Item = &'static str> {
    FILES.iter().flat_map(|(name, text)| [*name, *text])
}

/// Writes the files into a folder.
pub(super) fn write(folder: &Path) -> Result<(), String> {
    super::tools::write_files(folder, FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_missing() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
