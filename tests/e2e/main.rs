//! End to end: real components through the real router; the real program where a process matters.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod activities;
mod apps;
mod backup;
mod bad_input;
mod children;
mod clients;
mod config;
mod conformance;
mod connections;
mod crash;
mod deploys;
#[cfg(target_os = "linux")]
mod disk_faults;
mod examples;
mod functions;
mod golden;
mod hello;
mod host_faults;
mod hostile;
mod hostile_http;
mod http_calls;
mod hubs;
mod intruders;
mod javascript;
mod kills;
mod layers;
mod linear;
mod logs;
mod metrics;
mod moves;
mod moving_hubs;
mod network;
mod program;
mod python;
mod queries;
mod quotas;
mod random;
mod replay;
mod restart;
mod rewind;
mod samples;
mod scenario;
mod settings;
mod singleton;
mod sleepers;
mod start_options;
mod surface;
mod tenants;
mod timers;
mod tracing;
mod versions;
