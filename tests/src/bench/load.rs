//! Load in a closed loop: so many connections, each sending its next request when the last one is answered.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use super::client::{Answer, Connection, Request};
use super::report::{Figures, percentile};
use super::server::Server;
use super::usage::Usage;

/// Before anything is measured: code is loaded, caches are warm, the first files are made.
const WARM_UP: Duration = Duration::from_secs(1);

/// What to send, and what must come back.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Requests under way at a time.
    pub(super) connections: usize,
    /// The request.
    pub(super) request: Request,
    /// The only answer that counts.
    pub(super) expected: Expected,
    /// Count fdatasync calls.
    pub(super) count_syncs: bool,
}

/// What is a right answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// 200 with this body.
    Output(&'static str),
    /// This status, with any body.
    Status(u16),
}

impl Expected {
    fn is(self, answer: &Answer<'_>) -> bool {
        match self {
            Self::Output(output) => answer.status == 200 && answer.body == output.as_bytes(),
            Self::Status(status) => answer.status == status,
        }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// After this time.
    Time(Duration),
    /// After so many answers.
    Count(u64),
}

/// Milliseconds from request to answer of all requests, in ascending order, and seconds in all.
pub(super) struct Loaded {
    latencies: Vec<f64>,
    took: f64,
}

impl Load {
    /// Loads the server.
    pub(super) async fn run(&self, address: SocketAddr, until: Until) -> anyhow::Result<Loaded> {
        let began = Instant::now();
        let mut loops = JoinSet::new();
        for index in 0..self.connections {
            let share = match until {
                Until::Time(_) => u64::MAX,
                Until::Count(count) => split(count, index, self.connections),
            };
            let deadline = match until {
                Until::Time(time) => Some(began + time),
                Until::Count(_) => None,
            };
            loops.spawn(one_loop(address, self.clone(), (share, deadline)));
        }
        let mut latencies = Vec::new();
        while let Some(done) = loops.join_next().await {
            latencies.extend(done??);
        }
        latencies.sort_by(f64::total_cmp);
        Ok(Loaded { latencies, took: began.elapsed().as_secs_f64() })
    }

    /// Sends so many requests.
    pub(super) async fn run_count(&self, server: &Server, count: u64) -> anyhow::Result<()> {
        self.run(server.address, Until::Count(count)).await.map(drop)
    }

    /// Loads the server after a warm-up, and says what one request took and cost.
    pub(super) async fn measure(&self, server: &Server, window: Duration) -> anyhow::Result<Figures> {
        self.run(server.address, Until::Time(WARM_UP)).await?;
        let syncs = if self.count_syncs { Some(SyncCount::begin(server.pid())?) } else { None };
        let (before, client, disk) = (server.usage(), Usage::own(), server.disk_bytes());
        let loaded = self.run(server.address, Until::Time(window)).await?;
        let (after, client_after) = (server.usage(), Usage::own());
        let count = loaded.latencies.len() as f64;
        let each_ms = |from: Duration, to: Duration| 1e3 * to.saturating_sub(from).as_secs_f64() / count;
        let each_kb = |from: u64, to: u64| (to as f64 - from as f64) / 1024.0 / count;
        let mut figures = loaded.figures();
        figures.extend([
            ("cpu_ms", each_ms(before.cpu, after.cpu)),
            ("writer_ms", each_ms(before.writer, after.writer)),
            ("client_ms", each_ms(client.cpu, client_after.cpu)),
            ("written_kb", each_kb(before.written, after.written)),
            ("disk_kb", each_kb(disk, server.disk_bytes())),
            ("rss_mb", after.rss as f64 / 1048576.0),
        ]);
        if let Some(syncs) = syncs {
            figures.push(("syncs", syncs.end()? as f64 / count));
        }
        Ok(figures)
    }
}

impl Loaded {
    /// Throughput and latency.
    pub(super) fn figures(&self) -> Figures {
        vec![
            ("per_second", self.latencies.len() as f64 / self.took),
            ("p50_ms", percentile(&self.latencies, 50)),
            ("p90_ms", percentile(&self.latencies, 90)),
            ("p99_ms", percentile(&self.latencies, 99)),
        ]
    }
}

/// One of some figures.
pub(super) fn figure(figures: &Figures, name: &str) -> f64 {
    figures.iter().find(|(key, _)| *key == name).map_or(f64::NAN, |(_, value)| *value)
}

/// One connection's part of a count.
pub(super) fn split(count: u64, index: usize, parts: usize) -> u64 {
    let (index, parts) = (index as u64, parts as u64);
    count / parts + u64::from(index < count % parts)
}

async fn one_loop(
    address: SocketAddr,
    load: Load,
    (share, deadline): (u64, Option<Instant>),
) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::open(address).await?;
    let mut latencies = Vec::new();
    for _ in 0..share {
        let sent = Instant::now();
        if deadline.is_some_and(|deadline| sent >= deadline) {
            break;
        }
        let answer = connection.send(&load.request).await?;
        if !load.expected.is(&answer) {
            bail!("the server answered {} {} instead of {:?}", answer.status, answer.text(), load.expected);
        }
        latencies.push(1e3 * sent.elapsed().as_secs_f64());
    }
    Ok(latencies)
}

/// perf, counting a process's fdatasync calls.
struct SyncCount(Child);

impl SyncCount {
    fn begin(pid: u32) -> anyhow::Result<Self> {
        let perf = Command::new("perf")
            .args(["stat", "-x,", "-e", "syscalls:sys_enter_fdatasync", "-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn();
        Ok(Self(perf.context("perf does not run; leave --count-syncs out")?))
    }

    fn end(self) -> anyhow::Result<u64> {
        // perf prints its counts when it is interrupted.
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status()?;
        let said = String::from_utf8_lossy(&self.0.wait_with_output()?.stderr).into_owned();
        let count = said.lines().find_map(|line| line.split(',').next()?.parse().ok());
        count.with_context(|| format!("perf counted nothing: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_split_without_loss() {
        let parts: Vec<u64> = (0..3).map(|index| split(11, index, 3)).collect();
        assert_eq!(parts, [4, 4, 3]);
    }
}
