//! W4: many instances that wait, a crash, and an event for each.

use std::time::Instant;

use anyhow::ensure;
use tokio::task::JoinSet;

use super::{FEEDERS, ended, start_many};
use crate::bench::client::{Connection, Request};
use crate::bench::report::Figures;
use crate::bench::server::{Program, Server};
use crate::guests;

const INSTANCES: u64 = 2_000;

/// Kills the server while they wait, starts it again, and raises the events.
pub(super) async fn events(server: &mut Server, program: &Program) -> anyhow::Result<Figures> {
    server.deploy("flow", &guests::guest("flow")).await?;
    let ids = start_many(server, Request::start("Event", r#""Go""#), INSTANCES).await?;
    server.kill();
    let restarted = Instant::now();
    server.restart(program)?;
    server.ready().await?;
    let ready = restarted.elapsed();
    let mut feeders = JoinSet::new();
    for index in 0..FEEDERS {
        let mut connection = server.connect().await?;
        let ids: Vec<String> = ids.iter().skip(index).step_by(FEEDERS).cloned().collect();
        feeders.spawn(async move {
            let mut first = None;
            for id in ids {
                answer(&mut connection, &id).await?;
                first = first.or(Some(Instant::now()));
            }
            anyhow::Ok(first)
        });
    }
    let mut firsts = Vec::new();
    while let Some(fed) = feeders.join_next().await {
        firsts.extend(fed??);
    }
    let done = restarted.elapsed();
    let first = firsts.into_iter().min().map_or(f64::NAN, |first| first.duration_since(restarted).as_secs_f64());
    Ok(vec![
        ("ready_s", ready.as_secs_f64()),
        ("first_s", first),
        ("all_done_s", done.as_secs_f64()),
        ("rss_mb", server.usage().rss as f64 / 1048576.0),
    ])
}

/// Raises the event and waits for the instance that it ends.
async fn answer(connection: &mut Connection, id: &str) -> anyhow::Result<()> {
    connection.send(&Request::raise(id, "Go", r#""yes""#)).await?.expect(202)?;
    let status = ended(connection, id).await?;
    ensure!(status["output"] == "yes", "{status}");
    Ok(())
}
