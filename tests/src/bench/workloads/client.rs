//! W6: an orchestration started by a client function, compared with a start by the management route.

use crate::bench::args::Args;
use crate::bench::client::Request;
use crate::bench::load::{Expected, Load};
use crate::bench::report::Figures;
use crate::bench::server::Server;
use crate::guests;

/// Ends at once: what is measured is its start, and not what piles up behind it.
const ORCHESTRATION: &str = "Identity";
const INPUT: &str = r#""nowhere""#;

/// Both ways on one server, one after the other, so many at a time.
pub(super) async fn starts(server: &Server, args: &Args, connections: usize) -> anyhow::Result<Figures> {
    server.deploy("http-start", &guests::example("http-start")).await?;
    server.deploy("flow", &guests::guest("flow")).await?;
    let by_function =
        Request::new("POST", &format!("/api/orchestrators/{ORCHESTRATION}"), ("application/json", INPUT.as_bytes()));
    let mut measured = Vec::new();
    for request in [Request::start(ORCHESTRATION, INPUT), by_function] {
        let load = Load { connections, request, expected: Expected::Status(202), count_syncs: args.count_syncs };
        measured.push(load.measure(server, args.window()).await?);
    }
    let of = |index: usize, name: &str| {
        let figures: &Figures = &measured[index];
        figures.iter().find(|(key, _)| *key == name).map_or(f64::NAN, |(_, value)| *value)
    };
    Ok(vec![
        ("direct_per_second", of(0, "per_second")),
        ("client_per_second", of(1, "per_second")),
        ("direct_p50_ms", of(0, "p50_ms")),
        ("client_p50_ms", of(1, "p50_ms")),
        ("client_p99_ms", of(1, "p99_ms")),
        ("direct_cpu_ms", of(0, "cpu_ms")),
        ("client_cpu_ms", of(1, "cpu_ms")),
        ("times_p50", of(1, "p50_ms") / of(0, "p50_ms")),
    ])
}
