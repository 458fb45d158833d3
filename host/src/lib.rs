//! durawasm: self-hosted Durable Functions for WebAssembly components.
//!
//! `host/ARCHITECTURE.md` draws the house; this is the only place that names its backends together.

pub mod api;
pub mod cli;
pub mod engine;
pub mod store;
pub mod wasm;
