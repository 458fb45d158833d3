//! The real program under a name of its own: a test package can only find binaries that are its own.

fn main() -> std::process::ExitCode {
    durawasm_host::cli::main()
}
