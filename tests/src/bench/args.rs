//! What a run measures.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures a durawasm server under load: throughput, latency, and what a finished orchestration costs in processor
/// time, memory and bytes. Every case has a server and a data directory of its own.
#[derive(Debug, Parser)]
#[command(name = "durawasm-bench")]
pub(super) struct Args {
    /// What to measure [default: all]
    #[arg(value_enum)]
    pub(super) workloads: Vec<Workload>,
    /// Repetitions; the report shows medians
    #[arg(long, default_value_t = 3)]
    pub(super) repeat: usize,
    /// Seconds that each measurement under load takes, after a second of warm-up
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections, each with one orchestration at a time (w1, delayed, w6)
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 128])]
    pub(super) connections: Vec<usize>,
    /// Microseconds added to every sync, as a slower disk would (delayed)
    #[arg(long, default_value_t = 1_000, value_name = "MICROSECONDS")]
    sync_delay_us: u64,
    /// Instances in all: before the measurement is made again (finished), listed (many), that came and went (churn), that
    /// sleep (sleepers)
    #[arg(long, default_value_t = 100_000, value_name = "INSTANCES")]
    pub(super) finished: u64,
    /// After how many parts of them all that has ended is purged (churn)
    #[arg(long, default_value_t = 20, value_name = "ROUNDS", value_parser = clap::value_parser!(u64).range(2..))]
    pub(super) rounds: u64,
    /// Starts that a hub has queued beside a quiet one (storm)
    #[arg(long, default_value_t = 50_000, value_name = "STARTS")]
    pub(super) storm: u64,
    /// What guests do all the time beside the quiet hub (hostile) [default: all of it]
    #[arg(long, value_delimiter = ',', value_name = "FUNCTIONS")]
    pub(super) deeds: Vec<String>,
    /// Idle hubs, each with an app and 20 finished instances (hubs)
    #[arg(long, default_value_t = 2_000, value_name = "HUBS")]
    pub(super) hubs: u64,
    /// Every step is durable before the next one begins (the server's --run-ahead 0), as when all activities talk to others
    #[arg(long)]
    pub(super) stepwise: bool,
    /// Directory for the servers' data; must be on a real disk [default: target/bench]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The server program [default: built from this source]
    #[arg(long, value_name = "FILE")]
    pub(super) server: Option<PathBuf>,
    /// Count the server's fdatasync calls (needs perf and the right to trace)
    #[arg(long)]
    pub(super) count_syncs: bool,
    /// Print JSON: every sample and its median
    #[arg(long)]
    pub(super) json: bool,
}

/// The workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Workload {
    /// Three activities in sequence, from start to output
    W1,
    /// The same with a slower disk
    Delayed,
    /// The same on a fresh server and after many finished instances
    Finished,
    /// A fan-out of 100 activities, joined; 8 at a time
    W2,
    /// 5,000 instances that sleep for 2 s
    W3,
    /// 2,000 instances that wait for an event; the server is killed and started again before the events come
    W4,
    /// One instance of 2,000 steps in sequence
    W5,
    /// Starts by a client function, and by the management route
    W6,
    /// W1, 16 at a time, alone and beside guests that compute or allocate for ever
    Neighbour,
    /// The latency of a quiet hub, alone and then beside a hub whose guests do all they can do wrong
    Hostile,
    /// W1 of a quiet hub, alone and beside a storm of another hub: queued starts, guests that compute for ever, a fan-out
    Storm,
    /// Thousands of idle hubs: memory for each, time to start
    Hubs,
    /// What an orchestrator costs in Rust, Python and JavaScript: a step, a replayed step, a start, 200 that wait
    Polyglot,
    /// Questions about few of many instances, a list of all, the purge of half of them
    Many,
    /// Instances come, run through and are purged, again and again: what is left on the disk
    Churn,
    /// Instances that sleep for an hour: memory, disk, what others feel of them, the start after a kill
    Sleepers,
}

impl Args {
    pub(super) fn window(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }

    pub(super) fn sync_delay(&self) -> Duration {
        Duration::from_micros(self.sync_delay_us)
    }

    pub(super) fn measures(&self, workload: Workload) -> bool {
        self.workloads.is_empty() || self.workloads.contains(&workload)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn all_is_measured_unless_something_is_named() {
        let all = Args::parse_from(["durawasm-bench"]);
        assert!(all.measures(Workload::W1) && all.measures(Workload::Neighbour));
        let some = Args::parse_from(["durawasm-bench", "w2", "--connections", "1,4"]);
        assert!(some.measures(Workload::W2) && !some.measures(Workload::W1));
        assert_eq!(some.connections, [1, 4]);
    }
}
