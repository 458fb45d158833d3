//! wasm
mod bindings;
mod convert;
mod engine;
mod guest;
pub mod limits;
mod orchestration;
mod stdio;
mod virtual_wasi;
