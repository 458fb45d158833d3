//! Measures the server: `cargo run --release -p durawasm-tests --bin durawasm-bench -- --help`.

fn main() -> std::process::ExitCode {
    durawasm_tests::bench::main()
}
