//! The SDK for JavaScript, the scripts that build apps with it, and the contract: all of them come with this program.

use serde_json::{Value, json};

macro_rules! files {
    ($($path:literal from $source:literal,)*) => {
        /// Where each file goes, and its text.
        pub(super) const FILES: &[(&str, &str)] =
            &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $source)))),*];
    };
}

/// The package that names the build tools, and their exact versions.
pub(super) const MANIFEST: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/js/build/package.json"));
pub(super) const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/js/build/package-lock.json"));

files! {
    "build.mjs" from "guest-sdk/js/build/build.mjs",
    "bundle.mjs" from "guest-sdk/js/build/bundle.mjs",
    "cache.mjs" from "guest-sdk/js/build/cache.mjs",
    "componentize.mjs" from "guest-sdk/js/build/componentize.mjs",
    "functions.mjs" from "guest-sdk/js/build/functions.mjs",
    "glob.mjs" from "guest-sdk/js/build/glob.mjs",
    "problem.mjs" from "guest-sdk/js/build/problem.mjs",
    "sdk/package.json" from "guest-sdk/js/package.json",
    "sdk/index.d.ts" from "guest-sdk/js/index.d.ts",
    "sdk/testing.d.ts" from "guest-sdk/js/testing.d.ts",
    "sdk/src/app.js" from "guest-sdk/js/src/app.js",
    "sdk/src/build.js" from "guest-sdk/js/src/build.js",
    "sdk/src/client-of.js" from "guest-sdk/js/src/client-of.js",
    "sdk/src/client.js" from "guest-sdk/js/src/client.js",
    "sdk/src/component.js" from "guest-sdk/js/src/component.js",
    "sdk/src/context.js" from "guest-sdk/js/src/context.js",
    "sdk/src/default.js" from "guest-sdk/js/src/default.js",
    "sdk/src/errors.js" from "guest-sdk/js/src/errors.js",
    "sdk/src/host.js" from "guest-sdk/js/src/host.js",
    "sdk/src/http.js" from "guest-sdk/js/src/http.js",
    "sdk/src/index.js" from "guest-sdk/js/src/index.js",
    "sdk/src/invocation.js" from "guest-sdk/js/src/invocation.js",
    "sdk/src/json.js" from "guest-sdk/js/src/json.js",
    "sdk/src/legacy.js" from "guest-sdk/js/src/legacy.js",
    "sdk/src/log.js" from "guest-sdk/js/src/log.js",
    "sdk/src/orchestrator.js" from "guest-sdk/js/src/orchestrator.js",
    "sdk/src/registry.js" from "guest-sdk/js/src/registry.js",
    "sdk/src/scheduler.js" from "guest-sdk/js/src/scheduler.js",
    "sdk/src/simulation.js" from "guest-sdk/js/src/simulation.js",
    "sdk/src/task.js" from "guest-sdk/js/src/task.js",
    "sdk/src/testing.js" from "guest-sdk/js/src/testing.js",
    "sdk/src/text.js" from "guest-sdk/js/src/text.js",
    "sdk/src/timers.js" from "guest-sdk/js/src/timers.js",
    "sdk/src/engines/common.js" from "guest-sdk/js/src/engines/common.js",
    "sdk/src/engines/promise.js" from "guest-sdk/js/src/engines/promise.js",
    "sdk/src/engines/quickjs.js" from "guest-sdk/js/src/engines/quickjs.js",
    "sdk/src/engines/starlingmonkey.js" from "guest-sdk/js/src/engines/starlingmonkey.js",
    "wit/worlds.wit" from "guest-sdk/js/wit/worlds.wit",
    "wit/deps/clocks/monotonic-clock.wit" from "guest-sdk/js/wit/deps/clocks/monotonic-clock.wit",
    "wit/deps/io/poll.wit" from "guest-sdk/js/wit/deps/io/poll.wit",
    "wit/deps/random/random.wit" from "guest-sdk/js/wit/deps/random/random.wit",
    "wit/deps/durable/activity.wit" from "wit/activity.wit",
    "wit/deps/durable/client.wit" from "wit/client.wit",
    "wit/deps/durable/orchestration.wit" from "wit/orchestration.wit",
    "wit/deps/durable/trigger.wit" from "wit/trigger.wit",
    "wit/deps/durable/types.wit" from "wit/types.wit",
    "wit/deps/durable/world.wit" from "wit/world.wit",
}

/// Everything that the folder of the SDK depends on.
pub(super) fn texts() -> Vec<&'static str> {
    FILES.iter().flat_map(|(path, text)| [*path, *text]).collect()
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
    let own = FILES.iter().filter_map(|(path, text)| Some((path.strip_prefix("sdk/")?, *text)));
    let (manifests, others): (Vec<_>, Vec<_>) = own.partition(|(path, _)| *path == "package.json");
    let mut files: Vec<_> = others.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    // Last: what is interrupted before is placed anew.
    for (path, text) in manifests {
        files.push((path.to_owned(), placed(serde_json::from_str(text).unwrap_or(Value::Null))));
    }
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_in(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files_in(&path, found) } else { drop(found.insert(path)) }
        }
    }

    #[test]
    fn every_file_of_the_sdk_comes_along() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/js");
        for (folder, prefix) in [("src", "sdk/src"), ("wit", "wit"), ("build", "")] {
            let mut there = BTreeSet::new();
            files_in(&root.join(folder), &mut there);
            for path in there {
                let inner = path.strip_prefix(root.join(folder)).unwrap();
                let wanted = Path::new(prefix).join(inner).to_string_lossy().into_owned();
                if wanted != "package.json" && wanted != "package-lock.json" {
                    assert!(FILES.iter().any(|(path, _)| *path == wanted), "{wanted} is not embedded");
                }
            }
        }
    }

    #[test]
    fn other_names_pass_the_sdk_on() {
        let files = package("durable-functions", "x");
        assert!(files.iter().any(|(path, text)| path == "index.js" && text.contains("\"durawasm\"")));
        assert!(package("durawasm", "mark").last().unwrap().1.contains("\"placed\": \"mark\""));
    }
}
