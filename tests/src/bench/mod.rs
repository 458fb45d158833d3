//! Benchmarks against the real server: each case starts one on a fresh data directory, loads it over HTTP, and reads
//! from `/proc` what that cost. The server, its guests and the load generator share the machine.

mod args;
mod client;
mod load;
mod report;
mod server;
mod usage;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use report::Report;
use server::Program;

/// Runs what the arguments of the process ask for.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    // One thread: the client must leave the machine to the server, and its cost is one number.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("durawasm-bench: {error:#}");
    ExitCode::FAILURE
}

async fn run(args: &Args) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures say nothing about a server. Use cargo run --release.");
    }
    let program = Program::new(args)?;
    let mut report = Report::default();
    for repetition in 1..=args.repeat.max(1) {
        for case in workloads::cases(args) {
            eprintln!("{repetition}/{}: {}", args.repeat.max(1), case.name());
            report.add(case.name(), case.run(&program, args).await?);
        }
    }
    if args.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
