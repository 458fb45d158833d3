//! End to end: real components through the real router; the real program where a process matters.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod activities;
mod backup;
mod bad_input;
mod children;
mod clients;
mod connections;
mod crash;
#[cfg(target_os = "linux")]
mod disk_faults;
mod examples;
mod functions;
mod golden;
mod hello;
mod host_faults;
mod hostile;
mod kills;
mod layers;
mod linear;
mod program;
mod queries;
mod random;
mod replay;
mod restart;
mod rewind;
mod scenario;
mod singleton;
mod sleepers;
mod start_options;
mod surface;
