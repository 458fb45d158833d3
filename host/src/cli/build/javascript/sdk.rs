//! The SDK for JavaScript and the scripts that build apps with it, carried by the program: an app needs nothing but it.

use serde_json::{Value, json};

/// The files of `guest-sdk/js`.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../guest-sdk/js/", $path)))),*]
    };
}

/// The package that names the build tools, and their exact versions.
pub(super) const MANIFEST: &str = include_str!("../../../../../guest-sdk/js/build/package.json");
pub(super) const LOCK: &str = include_str!("../../../../../guest-sdk/js/build/package-lock.json");

/// Paths and texts.
pub(super) const FILES: &[(&str, &str)] = files![
    "build/build.mjs",
    "build/bundle.mjs",
    "build/cache.mjs",
    "build/componentize.mjs",
    "build/functions.mjs",
    "build/glob.mjs",
    "build/problem.mjs",
    "index.d.ts",
    "package.json",
    "src/app.js",
    "src/build.js",
    "src/client-of.js",
    "src/client.js",
    "src/component.js",
    "src/context.js",
    "src/default.js",
    "src/engines/common.js",
    "src/engines/promise.js",
    "src/engines/quickjs.js",
    "src/engines/starlingmonkey.js",
    "src/errors.js",
    "src/host.js",
    "src/http.js",
    "src/index.js",
    "src/invocation.js",
    "src/json.js",
    "src/legacy.js",
    "src/log.js",
    "src/orchestrator.js",
    "src/registry.js",
    "src/scheduler.js",
    "src/simulation.js",
    "src/task.js",
    "src/testing.js",
    "src/text.js",
    "src/timers.js",
    "src/virtual.js",
    "testing.d.ts",
    "wit/deps/clocks/monotonic-clock.wit",
    "wit/deps/io/poll.wit",
    "wit/deps/random/random.wit",
    "wit/worlds.wit",
];

/// Everything that the folder of the SDK depends on.
pub(super) fn inputs() -> impl Iterator<Item = &'static str> {
    FILES.iter().flat_map(|(path, text)| [*path, *text])
}

/// The files of a package for an app's `node_modules`: the SDK itself, or one that passes it on under another name.
pub(super) fn package(name: &str, mark: &str) -> Vec<(String, String)> {
    let placed = |mut manifest: Value| {
        if let Some(fields) = manifest.as_object_mut() {
            fields.insert("durawasm".to_owned(), json!({"placed": mark}));
        }
        format!("{manifest:#}\n")
    };
    if name != "durawasm" {
        let manifest = placed(json!({
            "name": name, "version": "0.1.0", "type": "module", "main": "./index.js", "types": "./index.d.ts"
        }));
        let text = "export * from \"durawasm\";\nexport { default } from \"durawasm\";\n".to_owned();
        return vec![
            ("index.js".to_owned(), text.clone()),
            ("index.d.ts".to_owned(), text),
            ("package.json".to_owned(), manifest),
        ];
    }
    let own = FILES.iter().filter(|(path, _)| !path.starts_with("build/") && !path.starts_with("wit/"));
    let (manifests, others): (Vec<_>, Vec<_>) = own.partition(|(path, _)| *path == "package.json");
    let mut files: Vec<_> = others.into_iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    // Last: what is interrupted before is placed anew.
    for (path, text) in manifests {
        files.push(((*path).to_owned(), placed(serde_json::from_str(text).unwrap_or(Value::Null))));
    }
    files
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_in(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn no_file_is_missing() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/js");
        let mut found = vec![root.join("index.d.ts"), root.join("package.json"), root.join("testing.d.ts")];
        for folder in ["build", "src", "wit"] {
            files_in(&root.join(folder), &mut found);
        }
        let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let mut names: Vec<_> = found.iter().map(name).collect();
        names.retain(|name| !name.starts_with("build/package"));
        names.sort();
        assert_eq!(names, FILES.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    }

    #[test]
    fn other_names_pass_the_sdk_on() {
        let files = package("durable-functions", "x");
        assert!(files.iter().any(|(path, text)| path == "index.js" && text.contains("\"durawasm\"")));
        assert!(package("durawasm", "mark").last().unwrap().1.contains("\"placed\": \"mark\""));
    }
}
