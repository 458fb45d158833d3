//! Task hubs: a quiet one beside a storm in another, and thousands of idle ones.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::FEEDERS;
use crate::bench::args::Args;
use crate::bench::client::{Connection, Request};
use crate::bench::load::{Expected, Load, figure, split};
use crate::bench::report::Figures;
use crate::bench::server::{Program, Server};
use crate::guests;

/// Requests of the quiet hub under way at a time.
const QUIET: usize = 4;
/// Orchestrators of the storm that compute without an end at a time.
const SPINNING: usize = 64;
/// Activities of the storm's fan-out.
const FAN_OUT: &str = "10000";
/// Instances of each idle hub.
const INSTANCES: u64 = 20;
/// Between two looks at instances that have not all ended.
const LOOK: Duration = Duration::from_millis(100);
/// For which the storm's starts are taken before the quiet hub is measured.
const QUEUE: Duration = Duration::from_secs(30);

fn hello(hub: &str) -> Load {
    Load {
        connections: QUIET,
        request: Request::run_in(hub, "E1_HelloSequence", ""),
        expected: Expected::Output(r#"["Hello Tokyo!","Hello Seattle!","Hello London!"]"#),
        count_syncs: false,
    }
}

/// Hello-cities of a quiet hub, alone and while another hub has thousands of starts queued, guests that compute for
/// ever, and a large fan-out.
pub(super) async fn storm(server: &Server, args: &Args) -> anyhow::Result<Figures> {
    for hub in ["quiet", "storm"] {
        server.create_hub(hub).await?;
        server.deploy_to(hub, "hello-cities", &guests::example("hello-cities")).await?;
    }
    server.deploy_to("storm", "hostile", &guests::guest("hostile")).await?;
    server.deploy_to("storm", "fan-out", &guests::example("fan-out")).await?;
    let alone = hello("quiet").measure(server, args.window()).await?;
    let mut storm = JoinSet::new();
    for _ in 0..SPINNING {
        let (mut connection, request) = (server.connect().await?, Request::run_in("storm", "LoopForever", ""));
        storm.spawn(async move {
            loop {
                connection.send(&request).await?;
            }
        });
    }
    let mut connection = server.connect().await?;
    connection.send(&Request::start_in("storm", "E2_FanOut", FAN_OUT)).await?.expect(202)?;
    for index in 0..FEEDERS {
        let (mut connection, request) = (server.connect().await?, Request::start_in("storm", "E1_HelloSequence", ""));
        let share = split(args.storm, index, FEEDERS);
        storm.spawn(async move {
            for _ in 0..share {
                connection.send(&request).await?.expect(202)?;
            }
            anyhow::Ok(())
        });
    }
    let mut connection = queue(connection, args.storm).await?;
    let beside = hello("quiet").measure(server, args.window()).await?;
    while let Some(ended) = storm.try_join_next() {
        ended??;
    }
    let (open, completed) = of_storm(&mut connection).await?;
    Ok(vec![
        ("alone_p50_ms", figure(&alone, "p50_ms")),
        ("alone_p99_ms", figure(&alone, "p99_ms")),
        ("beside_p50_ms", figure(&beside, "p50_ms")),
        ("beside_p90_ms", figure(&beside, "p90_ms")),
        ("beside_p99_ms", figure(&beside, "p99_ms")),
        ("p99_ratio", figure(&beside, "p99_ms") / figure(&alone, "p99_ms")),
        ("beside_per_second", figure(&beside, "per_second")),
        ("storm_open", open),
        ("storm_completed", completed),
    ])
}

/// Waits until so many instances of the storm are open, or as many as the server takes in half a minute.
async fn queue(mut connection: Connection, count: u64) -> anyhow::Result<Connection> {
    let began = Instant::now();
    while began.elapsed() < QUEUE && of_storm(&mut connection).await?.0 < count as f64 {
        tokio::time::sleep(LOOK).await;
    }
    Ok(connection)
}

/// How many instances of the storm are open, and how many have completed.
async fn of_storm(connection: &mut Connection) -> anyhow::Result<(f64, f64)> {
    let answer = connection.send(&Request::statistics("storm")).await?;
    answer.expect(200)?;
    let counts = answer.json()?;
    let count = |status: &str| counts[status].as_f64().unwrap_or_default();
    Ok((count("Pending") + count("Running"), count("Completed")))
}

/// What thousands of hubs cost that do nothing: memory for each, and time to start.
pub(super) async fn idle(server: &mut Server, program: &Program, args: &Args) -> anyhow::Result<Figures> {
    server.create_hub("first").await?;
    server.deploy_to("first", "hello-cities", &guests::example("hello-cities")).await?;
    hello("first").run_count(server, 100).await?;
    let (base, _) = restarted(server, program).await?;
    let names: Vec<String> = (0..args.hubs).map(|number| format!("hub{number}")).collect();
    let component = guests::example("hello-cities");
    let mut feeders = JoinSet::new();
    for index in 0..FEEDERS {
        let names: Vec<String> = names.iter().skip(index).step_by(FEEDERS).cloned().collect();
        let (mut connection, component) = (server.connect().await?, component.clone());
        feeders.spawn(async move {
            for hub in &names {
                let answer = connection.send(&Request::new("PUT", &format!("/admin/hubs/{hub}"), JSON)).await?;
                answer.expect(201)?;
                let path = format!("/admin/hubs/{hub}/apps/hello-cities");
                connection.send(&Request::new("PUT", &path, ("application/wasm", &component))).await?.expect(201)?;
                let start = Request::start_in(hub, "E1_HelloSequence", "");
                for _ in 0..INSTANCES {
                    connection.send(&start).await?.expect(202)?;
                }
            }
            for hub in &names {
                loop {
                    let answer = connection.send(&Request::statistics(hub)).await?;
                    answer.expect(200)?;
                    let counts = answer.json()?;
                    ensure!(counts["Failed"] == 0, "{counts}");
                    if counts["Completed"] == INSTANCES {
                        break;
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(fed) = feeders.join_next().await {
        fed??;
    }
    let busy = server.usage().rss;
    let (idle, start) = restarted(server, program).await?;
    let each_kb = |rss: u64| (rss as f64 - base as f64) / 1024.0 / args.hubs.max(1) as f64;
    Ok(vec![
        ("hubs", args.hubs as f64),
        ("start_s", start.as_secs_f64()),
        ("hub_kb", each_kb(idle)),
        ("hub_kb_before_restart", each_kb(busy)),
        ("rss_mb", idle as f64 / 1048576.0),
    ])
}

const JSON: (&str, &[u8]) = ("application/json", b"");

/// Stops the server in order and starts it again: resident memory once it is ready and has run something, and how long it took.
async fn restarted(server: &mut Server, program: &Program) -> anyhow::Result<(u64, Duration)> {
    server.stop().await?;
    let began = Instant::now();
    server.restart(program)?;
    server.ready().await?;
    let took = began.elapsed();
    hello("first").run_count(server, 100).await?;
    Ok((server.usage().rss, took))
}
