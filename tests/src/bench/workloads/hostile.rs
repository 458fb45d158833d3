//! A quiet hub beside one whose guests do all they can do wrong: what of it the quiet one feels.

use tokio::task::JoinSet;

use super::hello;
use crate::bench::args::Args;
use crate::bench::client::{Connection, Request};
use crate::bench::report::Figures;
use crate::bench::server::Server;
use crate::guests;

const HUB: &str = "hostile";
/// What goes on all the time in the hostile hub, one of each at a time.
const DEEDS: [&str; 10] = [
    "LoopForever",
    "GrowMemory",
    "StackOverflow",
    "Panic",
    "Return100MB",
    "HugeLog",
    "PrintForever",
    "MillionTasks",
    "MillionTimers",
    "HugeInput",
];
/// Of the quiet hub.
const CONNECTIONS: usize = 4;

/// The quiet hub alone, then beside the other one on the same server.
pub(super) async fn beside(server: &Server, args: &Args) -> anyhow::Result<Figures> {
    hello::deploy(server).await?;
    server.create_hub(HUB).await?;
    server.deploy_to(HUB, "hostile", &guests::guest("hostile")).await?;
    let load = hello::load(args, CONNECTIONS);
    let alone = load.measure(server, args.window()).await?;
    let mut deeds = JoinSet::new();
    let all = args.deeds.is_empty().then_some(DEEDS).into_iter().flatten();
    for function in all.chain(args.deeds.iter().map(String::as_str)) {
        deeds.spawn(again_and_again(server.connect().await?, Request::run_in(HUB, function, "1")));
    }
    let beside = load.measure(server, args.window()).await?;
    // One that has ended by itself makes the figures worthless.
    if let Some(ended) = deeds.try_join_next() {
        ended??;
    }
    deeds.shutdown().await;
    let after = load.measure(server, args.window()).await?;
    let of = |figures: &Figures, name: &str| {
        figures.iter().find(|(key, _)| *key == name).map_or(f64::NAN, |(_, value)| *value)
    };
    Ok(vec![
        ("alone_p50_ms", of(&alone, "p50_ms")),
        ("alone_p99_ms", of(&alone, "p99_ms")),
        ("beside_p50_ms", of(&beside, "p50_ms")),
        ("beside_p99_ms", of(&beside, "p99_ms")),
        ("times_p50", of(&beside, "p50_ms") / of(&alone, "p50_ms")),
        ("times_p99", of(&beside, "p99_ms") / of(&alone, "p99_ms")),
        // The disk may have had a better hour: then this is not what it was.
        ("after_p99_ms", of(&after, "p99_ms")),
        ("alone_rss_mb", of(&alone, "rss_mb")),
        ("after_rss_mb", of(&after, "rss_mb")),
    ])
}

/// Starts the next one when the server has stopped the one before.
async fn again_and_again(mut connection: Connection, request: Request) -> anyhow::Result<()> {
    loop {
        connection.send(&request).await?.expect(200)?;
    }
}
