//! wasm
mod bindings;
mod engine;
pub mod limits;
