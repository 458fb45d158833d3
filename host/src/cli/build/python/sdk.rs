//! The SDK for Python, carried by the program: an app needs nothing but it.

/// The files of `guest-sdk/python` that go into components.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../guest-sdk/python/", $path)))),*]
    };
}

/// Paths and texts.
pub(super) const FILES: &[(&str, &str)] = files![
    "azure/durable_functions/__init__.py",
    "azure/functions/__init__.py",
    "durawasm/__init__.py",
    "durawasm/_contract.py",
    "durawasm/_drive.py",
    "durawasm/_functions.py",
    "durawasm/_guest.py",
    "durawasm/_host.py",
    "durawasm/_imports.py",
    "durawasm/_json.py",
    "durawasm/_log.py",
    "durawasm/_loop.py",
    "durawasm/_time.py",
    "durawasm/app.py",
    "durawasm/client.py",
    "durawasm/context.py",
    "durawasm/errors.py",
    "durawasm/http.py",
    "durawasm/invocation.py",
    "durawasm/orchestrator.py",
    "durawasm/retry.py",
    "durawasm/status.py",
    "durawasm/tasks.py",
    "durawasm_component.py",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_file_is_missing() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/python");
        let mut found = vec!["durawasm_component.py".to_owned()];
        for folder in ["azure/durable_functions", "azure/functions", "durawasm"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                // What tests are written with stays outside.
                if name.ends_with(".py") && name != "testing.py" {
                    found.push(format!("{folder}/{name}"));
                }
            }
        }
        found.sort();
        assert_eq!(found, FILES.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    }
}
