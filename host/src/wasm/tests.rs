//! What is not admitted, with components that are made here.

use bytes::Bytes;

use super::*;
use crate::net::rules::Rules;

struct Host {
    dir: tempfile::TempDir,
    executor: WasmExecutor,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { component_size: 100_000, concurrent_guests: 4, ..Limits::default() };
        let egress = Arc::new(Egress::new(Rules::default(), None).unwrap());
        let config = Config { dir: dir.path().to_owned(), limits, compiler: Compiler::InProcess, egress };
        Self { executor: WasmExecutor::new(config).unwrap(), dir }
    }

    /// What is said about a component that must not be admitted. It must leave nothing behind.
    async fn refusal(&self, component: impl Into<Bytes>) -> String {
        let error = self.executor.admit(component.into()).await.unwrap_err();
        assert!(!matches!(error, AdmitError::Host(_)), "{error}");
        for part in ["components", "cache"] {
            assert_eq!(std::fs::read_dir(self.dir.path().join(part)).unwrap().count(), 0, "after: {error}");
        }
        error.to_string()
    }
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn holds(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_component_are_refused() {
    let host = Host::new();
    holds(&host.refusal("hello").await, &["not WebAssembly"]);
    holds(&host.refusal(wat("(module)")).await, &["core WebAssembly module", "wasm32-wasip2"]);
    holds(&host.refusal(&b"\0asm\x0d\0\x01\0garbage"[..]).await, &["not a valid component"]);
}

#[tokio::test]
async fn a_component_that_is_too_large_is_refused() {
    let host = Host::new();
    holds(&host.refusal(vec![0; 100_001]).await, &["100001 bytes", "limit is 100000"]);
}

#[tokio::test]
async fn a_component_without_the_exports_is_refused() {
    let host = Host::new();
    holds(&host.refusal(wat("(component)")).await, &["durable:functions/describe@0.1.0", "SDK"]);
    let only_describe = "(component (instance $i) (export \"durable:functions/describe@0.1.0\" (instance $i)))";
    let said = host.refusal(wat(only_describe)).await;
    holds(&said, &["durable:functions/orchestrator@0.1.0", "durable:functions/activity@0.1.0"]);
    let newer = "(component (instance $i) (export \"durable:functions/describe@9.0.0\" (instance $i)))";
    holds(&host.refusal(wat(newer)).await, &["describe@9.0.0", "speaks version 0.1.0"]);
}

#[tokio::test]
async fn an_import_that_is_not_offered_is_named() {
    let host = Host::new();
    let foreign = r#"(component
        (import "acme:billing/invoices@1.0.0" (instance))
        (import "wasi:cli/environment@0.2.3" (instance))
        (import "wasi:clocks/wall-clock@0.3.0" (instance))
        (import "durable:functions/orchestration@9.0.0" (instance)))"#;
    let said = host.refusal(wat(foreign)).await;
    holds(&said, &["acme:billing/invoices@1.0.0", "wall-clock@0.3.0: this host has version 0.2"]);
    holds(&said, &["orchestration@9.0.0: this host has version 0.1.0"]);
    assert!(!said.contains("environment"), "{said}");
}

#[tokio::test]
async fn exports_of_another_shape_are_refused() {
    let host = Host::new();
    let hollow = r#"(component
        (instance $i)
        (export "durable:functions/describe@0.1.0" (instance $i))
        (export "durable:functions/activity@0.1.0" (instance $i)))"#;
    holds(&host.refusal(wat(hollow)).await, &["not valid", "describe"]);
    let importing = r#"(component
        (import "durable:functions/orchestration@0.1.0" (instance (export "no-such-function" (func))))
        (instance $i)
        (export "durable:functions/describe@0.1.0" (instance $i))
        (export "durable:functions/activity@0.1.0" (instance $i)))"#;
    holds(&host.refusal(wat(importing)).await, &["not valid", "no-such-function", "a newer SDK"]);
}
