//! Components from text, for what no compiler would make: a core module in the text format, with its surface in WIT.

use axum::body::Bytes;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::guests::root;

/// What the parts of WASI look like that these components use. A component may import a part of an interface.
const WASI: &str = r#"
package test:hostile;
world app {
    import durable:functions/orchestration@0.1.0;
    import durable:functions/activity-context@0.1.0;
    import durable:functions/client@0.1.0;
    import wasi:clocks/monotonic-clock@0.2.6;
    import wasi:cli/stdin@0.2.6;
    import wasi:cli/stdout@0.2.6;
    import wasi:http/types@0.2.6;
    import wasi:random/random@0.2.6;
    export durable:functions/describe@0.1.0;
    export durable:functions/orchestrator@0.1.0;
    export durable:functions/activity@0.1.0;
}
package wasi:io@0.2.6 {
    interface error { resource error; }
    interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface streams {
        use error.{error};
        use poll.{pollable};
        variant stream-error { last-operation-failed(error), closed }
        resource input-stream {
            blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
            subscribe: func() -> pollable;
        }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            subscribe: func() -> pollable;
        }
    }
}
package wasi:clocks@0.2.6 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.6.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:cli@0.2.6 {
    interface stdin { use wasi:io/streams@0.2.6.{input-stream}; get-stdin: func() -> input-stream; }
    interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
}
package wasi:http@0.2.6 {
    interface types { resource fields { constructor(); } }
}
package wasi:random@0.2.6 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}
"#;

/// A core module around a deed. `items` are of the module; `describe` and `run` are bodies, each of which must leave a
/// result's address on the stack or never return. Theirs to use: `$bump`, which allocates; `$sdk`, `$app`, which answer
/// `describe` with one orchestrator and one activity `Deed`; `$none`, which answers `run` with no value; `$text`, which
/// answers it with bytes; `$failed`, which answers it with an error's message.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Imports, further functions, tables, a start function.
    pub items: &'a str,
    /// What comes behind the memory: further ones.
    pub behind: &'a str,
    /// The memory's declaration.
    pub memory: &'a str,
    /// The body of `cabi_realloc(old, old size, alignment, new size)`.
    pub realloc: &'a str,
    /// The body of `describe`.
    pub describe: &'a str,
    /// The body of both `run` functions: parameters 0 to 4 are name, its length, whether there is an input, input, its
    /// length.
    pub run: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            items: "",
            behind: "",
            memory: "(memory (export \"memory\") 2)",
            realloc: "(call $bump (local.get 3))",
            describe: "(call $app)",
            run: "(call $none)",
        }
    }
}

impl<'a> Parts<'a> {
    /// With these items.
    #[must_use]
    pub fn with(self, items: &'a str) -> Self {
        Self { items, ..self }
    }

    /// With this behind the memory.
    #[must_use]
    pub fn with_behind(self, behind: &'a str) -> Self {
        Self { behind, ..self }
    }

    /// The module's text. Imports must come first, so `items` does.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { items, behind, memory, realloc, describe, run } = self;
        let run = format!("(param i32 i32 i32 i32 i32) (result i32) (local $i i32) (local $n i64) {run})");
        format!(
            r#"(module
    {items}
    {memory}
    {behind}
    (global $next (mut i32) (i32.const 4096))
    (data (i32.const 64) "text 0Deed")
    ;; app: sdk, no version, two functions
    (data (i32.const 128) "\00\00\00\00\40\00\00\00\06\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\c0\00\00\00\02\00\00\00")
    (data (i32.const 192) "\46\00\00\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
    (data (i32.const 216) "\46\00\00\00\04\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
    (func $bump (param i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get 0)))
        (block $fits
            (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
            (drop (memory.grow (i32.add (i32.shr_u (local.get 0) (i32.const 16)) (i32.const 1)))))
        (local.get $at))
    (func $app (result i32) (i32.const 128))
    (func $none (result i32) (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 0))
        (i32.const 256))
    (func $text (param $at i32) (param $length i32) (result i32)
        (i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 1))
        (i32.store (i32.const 264) (local.get $at)) (i32.store (i32.const 268) (local.get $length))
        (i32.const 256))
    (func $failed (param $at i32) (param $length i32) (result i32)
        (memory.fill (i32.const 256) (i32.const 0) (i32.const 64)) (i32.store (i32.const 256) (i32.const 1))
        (i32.store (i32.const 260) (i32.const 64)) (i32.store (i32.const 264) (i32.const 4))
        (i32.store (i32.const 268) (local.get $at)) (i32.store (i32.const 272) (local.get $length))
        (i32.const 256))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
    (func (export "durable:functions/describe@0.1.0#describe") (result i32) {describe})
    (func (export "durable:functions/orchestrator@0.1.0#run") {run}
    (func (export "durable:functions/activity@0.1.0#run") {run}
)"#
        )
    }

    /// The component.
    ///
    /// # Panics
    /// When the text is none of a module, or does not fit its surface.
    #[must_use]
    pub fn component(&self) -> Bytes {
        let text = self.text();
        match wat::parse_str(&text) {
            Ok(module) => around(module),
            Err(error) => panic!("{error}\n{text}"),
        }
    }
}

/// A component around a core module that exports what an app does.
///
/// # Panics
/// When the module does not fit.
#[must_use]
pub fn around(mut module: Vec<u8>) -> Bytes {
    let encoded = || -> anyhow::Result<Vec<u8>> {
        let mut resolve = Resolve::default();
        resolve.push_dir(root().join("wit"))?;
        let package = resolve.push_str("hostile.wit", WASI)?;
        let world = resolve.select_world(&[package], Some("app"))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        ComponentEncoder::default().validate(false).module(&module)?.encode()
    };
    let mut encoded = encoded;
    match encoded() {
        Ok(component) => Bytes::from(component),
        Err(error) => panic!("{error:#}"),
    }
}
