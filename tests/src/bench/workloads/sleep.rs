//! W3: many durable timers at once.

use std::time::Instant;

use anyhow::Context;
use durawasm_core::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{ended, start_many};
use crate::bench::client::Request;
use crate::bench::report::{Figures, percentile};
use crate::bench::server::Server;
use crate::guests;

const INSTANCES: u64 = 5_000;
const SLEEP_MS: i64 = 2_000;
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
