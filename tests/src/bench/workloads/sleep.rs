//! W3: many durable timers at once; and what many cost that sleep for long.

use std::time::Instant;

use anyhow::Context;
use durawasm_core::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::hello;
use super::{ended, start_many};
use crate::bench::args::Args;
use crate::bench::client::Request;
use crate::bench::load::figure;
use crate::bench::report::{Figures, percentile};
use crate::bench::server::{Program, Server};
use crate::guests;

const INSTANCES: u64 = 5_000;
const SLEEP_MS: i64 = 2_000;
/// An hour: none of those that sleep for long wakes while it is measured.
const LONG_MS: i64 = 3_600_000;
/// Connections that look whether instances have ended, each at every so-manieth.
const WATCHERS: usize = 4;

/// Starts them, and waits until all have ended.
pub(super) async fn sleep(server: &Server) -> anyhow::Result<Figures> {
    server.deploy("flow", &guests::guest("flow")).await?;
    let (before, began) = (server.usage(), Instant::now());
    let ids = start_many(server, Request::start("Timer", &SLEEP_MS.to_string()), INSTANCES).await?;
    let (started, asleep) = (Instant::now(), server.usage());
    let mut watchers = JoinSet::new();
    for index in 0..WATCHERS {
        let mut connection = server.connect().await?;
        let ids: Vec<String> = ids.iter().skip(index).step_by(WATCHERS).cloned().collect();
        watchers.spawn(async move {
            let mut late = Vec::new();
            for id in ids {
                late.push(lateness(&ended(&mut connection, &id).await?)?);
            }
            anyhow::Ok(late)
        });
    }
    let mut late = Vec::new();
    while let Some(watched) = watchers.join_next().await {
        late.extend(watched??);
    }
    let done = started.elapsed();
    late.sort_by(f64::total_cmp);
    let cpu = server.usage().cpu.saturating_sub(before.cpu);
    Ok(vec![
        ("starts_per_second", INSTANCES as f64 / started.duration_since(began).as_secs_f64()),
        ("all_done_s", done.as_secs_f64()),
        ("late_p50_ms", percentile(&late, 50)),
        ("late_p99_ms", percentile(&late, 99)),
        ("late_max_ms", percentile(&late, 100)),
        ("asleep_rss_mb", asleep.rss as f64 / 1048576.0),
        ("cpu_ms", 1e3 * cpu.as_secs_f64() / INSTANCES as f64),
    ])
}

/// Milliseconds between when a timer was due and when it fired: the instance's output is the times around its sleep.
fn lateness(status: &Value) -> anyhow::Result<f64> {
    let time = |index: usize| -> anyhow::Result<Timestamp> {
        let text = status["output"][index].as_str().with_context(|| format!("not two times: {status}"))?;
        Ok(text.parse()?)
    };
    let slept = time(1)?.duration_since(time(0)?);
    Ok(1e3 * slept.as_secs_f64() - SLEEP_MS as f64)
}

/// Many that sleep for long: memory and disk, what others feel of them, and how long the server needs to start again after a
/// kill.
pub(super) async fn sleepers(server: &mut Server, program: &Program, args: &Args) -> anyhow::Result<Figures> {
    server.deploy("flow", &guests::guest("flow")).await?;
    hello::deploy(server).await?;
    let load = hello::load(args, 16);
    let fresh = load.measure(server, args.window()).await?;
    let before = server.disk_bytes();
    start_many(server, Request::start("Timer", &LONG_MS.to_string()), args.finished).await?;
    let asleep = server.usage();
    let (disk, beside) = (server.disk_bytes(), load.measure(server, args.window()).await?);
    server.kill();
    let restarted = Instant::now();
    server.restart(program)?;
    server.ready().await?;
    let ready = restarted.elapsed();
    let after = load.measure(server, args.window()).await?;
    let megabytes = |bytes: u64| bytes as f64 / 1048576.0;
    Ok(vec![
        ("sleepers", args.finished as f64),
        ("fresh_per_second", figure(&fresh, "per_second")),
        ("beside_per_second", figure(&beside, "per_second")),
        ("restarted_per_second", figure(&after, "per_second")),
        ("asleep_rss_mb", megabytes(asleep.rss)),
        ("restarted_rss_mb", megabytes(server.usage().rss)),
        ("disk_mb", megabytes(disk)),
        ("sleeper_disk_kb", disk.saturating_sub(before) as f64 / 1024.0 / args.finished.max(1) as f64),
        ("ready_s", ready.as_secs_f64()),
    ])
}
