//! The `durawasm` program.

use std::process::ExitCode;

/// Messages, commits and guests are made on one thread and freed on another all the time, which the system's allocator
/// takes a lock for: it was a quarter of the processor time of an orchestration.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    durawasm_host::cli::main()
}
