//! W5: one instance with a long history.

use std::time::Instant;

use anyhow::Context;
use durawasm_core::Timestamp;
use serde_json::Value;

use super::{ended, start_many};
use crate::bench::client::Request;
use crate::bench::report::Figures;
use crate::bench::server::Server;
use crate::guests;

const STEPS: usize = 2_000;
/// Steps at the beginning and at the end that are looked at by themselves.
const PART: usize = STEPS / 10;

/// Runs it, and reads from its history how long its steps took.
pub(super) async fn sequence(server: &Server) -> anyhow::Result<Figures> {
    server.deploy("flow", &guests::guest("flow")).await?;
    let items: Vec<usize> = (0..STEPS).collect();
    let before = server.usage();
    let began = Instant::now();
    let ids = start_many(server, Request::start("Sequence", &serde_json::to_string(&items)?), 1).await?;
    let id = ids.first().context("nothing was started")?;
    let mut connection = server.connect().await?;
    let status = ended(&mut connection, id).await?;
    let took = began.elapsed().as_secs_f64();
    anyhow::ensure!(status["output"].as_array().is_some_and(|output| output.len() == STEPS), "{status}");
    let cpu = server.usage().cpu.saturating_sub(before.cpu);
    let history = connection.send(&Request::status(id, true)).await?.json()?;
    let steps = completions(&history)?;
    let each_ms = |from: usize, until: usize| -> f64 {
        match (steps.get(from), steps.get(until)) {
            (Some(from), Some(until)) => 1e3 * until.duration_since(*from).as_secs_f64() / PART as f64,
            _ => f64::NAN,
        }
    };
    Ok(vec![
        ("took_s", took),
        ("first_step_ms", each_ms(0, PART)),
        ("last_step_ms", each_ms(STEPS - 1 - PART, STEPS - 1)),
        ("cpu_ms_a_step", 1e3 * cpu.as_secs_f64() / STEPS as f64),
    ])
}

fn completions(status: &Value) -> anyhow::Result<Vec<Timestamp>> {
    let events = status["historyEvents"].as_array().context("no history")?;
    let completed = events.iter().filter(|event| event["EventType"] == "TaskCompleted");
    completed.map(|event| Ok(event["Timestamp"].as_str().unwrap_or_default().parse()?)).collect()
}
