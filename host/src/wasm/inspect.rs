//! Looks at the bytes of a component before anything is compiled: is it one, and does it fit this host?

use wasmparser::{Encoding, Parser, Payload};

use super::linker::{CONTRACT, DURABLE, WASI};

/// What a component shows to the outside.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Surface {
    /// Names of its imports.
    pub(super) imports: Vec<String>,
    exports: Vec<String>,
}

impl Surface {
    /// True: it exports this interface of the contract.
    pub(super) fn exports(&self, interface: &str) -> bool {
        self.exports.iter().any(|export| *export == exported(interface))
    }

    /// True: it exports the handler of requests that are streams, in any patch version.
    pub(super) fn exports_incoming(&self) -> bool {
        self.exports.iter().any(|export| export.starts_with(INCOMING))
    }
}

/// How the name of the handler of requests that are streams begins.
const INCOMING: &str = "wasi:http/incoming-handler@0.2.";

fn exported(interface: &str) -> String {
    format!("durable:functions/{interface}@{CONTRACT}")
}

/// Reads the surface of a component and refuses what cannot run here. The error says what is wrong and what to do.
pub(super) fn inspect(bytes: &[u8]) -> Result<Surface, String> {
    if !bytes.starts_with(b"\0asm") {
        return Err("this is not WebAssembly: a component begins with the bytes '\\0asm'".to_owned());
    }
    let surface = read(bytes)?;
    check_imports(&surface.imports)?;
    check_exports(&surface)?;
    Ok(surface)
}

fn read(bytes: &[u8]) -> Result<Surface, String> {
    let invalid = |error: wasmparser::BinaryReaderError| format!("this is not a valid component: {error}");
    let mut surface = Surface::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(
                    "this is a core WebAssembly module, not a component: build it for wasm32-wasip2, or make a \
                            component of it with `wasm-tools component new`"
                        .to_owned(),
                );
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    surface.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    surface.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            // Everything else is inside the component, and the compiler's to check.
            _ => {}
        }
    }
    Ok(surface)
}

fn check_imports(imports: &[String]) -> Result<(), String> {
    let wrong: Vec<String> = imports.iter().filter_map(|import| wrong_import(import)).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the component imports what this host does not offer:\n  {}\nBuild it without them, or do without the libraries \
         that need them",
        wrong.join("\n  ")
    ))
}

fn wrong_import(import: &str) -> Option<String> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if DURABLE.contains(&interface) {
        return (version != CONTRACT)
            .then(|| format!("{import}: this host has version {CONTRACT}; use an SDK made for that version"));
    }
    if WASI.contains(&interface) {
        return (!version.starts_with("0.2."))
            .then(|| format!("{import}: this host has version 0.2; build for wasm32-wasip2"));
    }
    Some(import.to_owned())
}

fn check_exports(surface: &Surface) -> Result<(), String> {
    if !surface.exports("describe") {
        return Err(missing(surface, "describe", "the host cannot tell what it holds"));
    }
    const RUNNABLE: [&str; 4] = ["orchestrator", "activity", "http-function", "trigger"];
    if !surface.exports_incoming() && !RUNNABLE.iter().any(|interface| surface.exports(interface)) {
        let text = missing(surface, "orchestrator", "it holds nothing to run");
        let others: Vec<_> = RUNNABLE[1..].iter().map(|interface| exported(interface)).collect();
        return Err(format!("{text} (or {}, or {INCOMING}x)", others.join(", ")));
    }
    Ok(())
}

fn missing(surface: &Surface, interface: &str, why: &str) -> String {
    let other = format!("durable:functions/{interface}@");
    match surface.exports.iter().find(|export| export.starts_with(&other)) {
        Some(export) => format!(
            "the component exports {export}, and this host speaks version {CONTRACT}: use an SDK made for that version"
        ),
        None => {
            format!("the component does not export {}, so {why}: build it with a durawasm SDK", exported(interface))
        }
    }
}
