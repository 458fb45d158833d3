//! The directions of the dependencies, read from the `use` lines.

use std::path::Path;

use durawasm_tests::guests::root;

/// A layer, and what of the crate it must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "host/src/store",
        &["crate::engine", "crate::wasm", "crate::api", "crate::cli", "crate::server", "wasmtime", "axum"],
    ),
    (
        "host/src/engine",
        &[
            "crate::wasm",
            "crate::net",
            "crate::api",
            "crate::cli",
            "crate::server",
            "crate::store::sled",
            "wasmtime",
            "axum",
            "sled::",
        ],
    ),
    (
        "host/src/net",
        &[
            "crate::wasm",
            "crate::api",
            "crate::cli",
            "crate::server",
            "crate::store::sled",
            "wasmtime",
            "axum",
            "sled::",
        ],
    ),
    ("host/src/wasm", &["crate::api", "crate::cli", "crate::server", "crate::store::sled", "axum", "sled::"]),
    ("host/src/api", &["crate::wasm", "crate::cli", "crate::server", "crate::store::sled", "wasmtime", "sled::"]),
    ("host/core/src", &["tokio", "wasmtime", "sled", "axum", "std::fs", "std::net", "std::thread", "std::time"]),
];

#[test]
fn every_layer_knows_only_those_below_it() {
    for (layer, forbidden) in FORBIDDEN {
        let mut files = Vec::new();
        collect(&root().join(layer), &mut files);
        assert!(!files.is_empty(), "{layer} has no files");
        for (path, text) in files {
            // Tests may put anything together.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("use ")) {
                let named = forbidden.iter().find(|name| line.contains(*name));
                assert!(named.is_none(), "{path}:{}: {layer} must not know {named:?}: {line}", number + 1);
            }
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, files);
        } else if name.ends_with(".rs") && !name.contains("test") && name != "conformance.rs" {
            files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}
