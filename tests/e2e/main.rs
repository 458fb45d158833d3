//! End to end: real components through the real router; the real program where a process matters.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod connections;
mod crash;
#[cfg(target_os = "linux")]
mod disk_faults;
mod hello;
mod host_faults;
mod hostile;
mod kills;
mod layers;
mod program;
mod queries;
mod replay;
mod surface;
