//! How many instructions the core's replay takes: a number that does not depend on what else the machine does. Runs
//! itself under valgrind, which counts.
//!
//! `cargo bench -p durawasm-core --bench instructions`

#[allow(dead_code, reason = "only a part of it is measured here")]
mod program;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use durawasm_core::HistoryEvent;

const LENGTHS: [usize; 3] = [100, 1_000, 10_000];
/// The word that makes this program do what is counted, in place of having it counted.
const COUNTED: &str = "counted";

/// valgrind counts only in here.
#[inline(never)]
fn counted_replay(history: &[HistoryEvent]) {
    black_box(program::replay(black_box(history)));
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, events] = &words[..]
        && word == COUNTED
    {
        counted_replay(&program::history(events.parse().unwrap_or_default()));
        return ExitCode::SUCCESS;
    }
    println!("{:>8}  {:>14}  {:>8}", "events", "instructions", "each");
    for events in LENGTHS {
        match count(events) {
            Ok(instructions) => println!("{events:>8}  {instructions:>14}  {:>8}", instructions / events as u64),
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn count(events: usize) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_replay*"])
        .arg(program)
        .args([COUNTED, &events.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let counted = collected.and_then(|(_, count)| count.split_whitespace().next()?.parse().ok());
    counted.filter(|count| *count > 0).ok_or_else(|| format!("valgrind counted nothing: {said}"))
}
