//! Episodes as data: each script has a program, messages (lines beginning with `>`) and what they decide.
//!
//! Every script runs twice, once undisturbed and once with the guest dropped before every message; both must say the
//! same. `UPDATE_SCRIPTS=1 cargo test -p durawasm-core` writes what is said into the scripts: read the difference.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and reads its scripts"
)]

mod check;
mod harness;
mod program;
mod random;
mod scripts;
