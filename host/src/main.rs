//! The `durawasm` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    durawasm::cli::main()
}
