//! durawasm: self-hosted Durable Functions for WebAssembly components.
//!
//! `host/ARCHITECTURE.md` draws the house; [`server`] and [`restore`] are the only places that name its backends.

pub mod api;
pub mod cli;
pub mod engine;
mod fair;
mod listener;
pub mod machine;
pub mod net;
pub mod origin;
mod private;
pub mod restore;
pub mod server;
pub mod store;
pub mod wasm;
