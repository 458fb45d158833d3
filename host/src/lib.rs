//! durawasm: self-hosted Durable Functions for WebAssembly components.
//!
//! `host/ARCHITECTURE.md` draws the house; [`server`] is the only place that names its backends together.

pub mod api;
pub mod cli;
pub mod engine;
mod listener;
pub mod net;
pub mod origin;
pub mod server;
pub mod store;
pub mod wasm;
