//! W1: three activities in sequence, from start to output.

use tokio::task::JoinSet;

use crate::bench::args::Args;
use crate::bench::client::{Connection, Request};
use crate::bench::load::{Expected, Load, Until, figure};
use crate::bench::report::Figures;
use crate::bench::server::Server;
use crate::guests;

/// Orchestrators that never end by themselves, twice each.
const HOSTILE: [&str; 4] = ["LoopForever", "GrowMemory", "LoopForever", "GrowMemory"];

pub(super) fn load(args: &Args, connections: usize) -> Load {
    Load {
        connections,
        request: Request::run("E1_HelloSequence", ""),
        expected: Expected::Output(r#"["Hello Tokyo!","Hello Seattle!","Hello London!"]"#),
        count_syncs: args.count_syncs,
    }
}

pub(super) async fn deploy(server: &Server) -> anyhow::Result<()> {
    server.deploy("hello-cities", &guests::example("hello-cities")).await
}

/// So many at a time.
pub(super) async fn steady(server: &Server, args: &Args, connections: usize) -> anyhow::Result<Figures> {
    deploy(server).await?;
    load(args, connections).measure(server, args.window()).await
}

/// 128 at a time on a fresh server, then again after many have finished.
pub(super) async fn after_many(server: &Server, args: &Args) -> anyhow::Result<Figures> {
    deploy(server).await?;
    let load = load(args, 128);
    let fresh = load.measure(server, args.window()).await?;
    load.run(server.address, Until::Count(args.finished)).await?;
    let after = load.measure(server, args.window()).await?;
    Ok(vec![
        ("fresh_per_second", figure(&fresh, "per_second")),
        ("after_per_second", figure(&after, "per_second")),
        ("after_of_fresh", figure(&after, "per_second") / figure(&fresh, "per_second")),
        ("after_p99_ms", figure(&after, "p99_ms")),
        ("fresh_cpu_ms", figure(&fresh, "cpu_ms")),
        ("after_cpu_ms", figure(&after, "cpu_ms")),
        ("after_rss_mb", figure(&after, "rss_mb")),
        ("disk_mb", server.disk_bytes() as f64 / 1048576.0),
    ])
}

/// 16 at a time, alone or while other guests of the same server compute and allocate for ever.
pub(super) async fn beside(server: &Server, args: &Args, hostile: bool) -> anyhow::Result<Figures> {
    deploy(server).await?;
    let mut neighbours = JoinSet::new();
    if hostile {
        server.deploy("hostile", &guests::guest("hostile")).await?;
        for function in HOSTILE {
            neighbours.spawn(again_and_again(server.connect().await?, Request::run(function, "")));
        }
    }
    let figures = load(args, 16).measure(server, args.window()).await?;
    // One that has ended by itself failed in a way that makes the figures worthless.
    match neighbours.try_join_next() {
        Some(ended) => ended?.map(|()| figures),
        None => Ok(figures),
    }
}

/// Starts the next one when the server has stopped the one before.
async fn again_and_again(mut connection: Connection, request: Request) -> anyhow::Result<()> {
    loop {
        connection.send(&request).await?.expect(200)?;
    }
}
