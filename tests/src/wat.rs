//! Components from text, for what no compiler would make.

use axum::body::Bytes;

/// The surface, and the places of `{module}` and `{behind}`.
const COMPONENT: &str = include_str!("component.wat");

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

    /// The fields of the module. Imports must come first, so `items` does.
    fn fields(&self) -> String {
        let Self { items, behind, memory, realloc, describe, run } = self;
        let run = format!("(param i32 i32 i32 i32 i32) (result i32) (local $i i32) (local $n i64) {run})");
        format!(
            r#"{items}
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
    (func (export "durable:functions/activity@0.1.0#run") {run}"#
        )
    }

    /// The component.
    ///
    /// # Panics
    /// When the text is none of a module.
    #[must_use]
    pub fn component(&self) -> Bytes {
        self.component_before("")
    }

    /// The component, with this behind all the rest of it.
    ///
    /// # Panics
    /// When the text is none of a component.
    #[must_use]
    pub fn component_before(&self, behind: &str) -> Bytes {
        let text = COMPONENT.replace("{module}", &self.fields()).replace("{behind}", behind);
        match wat::parse_str(&text) {
            Ok(component) => component.into(),
            Err(error) => panic!("{error}"),
        }
    }
}
