//! Questions about few of many instances, all of them page by page, and the end of half of them; and hours of coming and
//! going in minutes.

use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use super::hello;
use crate::bench::args::Args;
use crate::bench::client::{Connection, Request};
use crate::bench::load::{Until, figure};
use crate::bench::report::{Figures, percentile};
use crate::bench::server::Server;

/// How often each question is asked.
const QUESTIONS: usize = 300;
/// Instances on a page when all are listed.
const PAGE: usize = 1_000;
/// The part of all instances among which the questions are asked for the first time.
const FEW: u64 = 10;

/// Asks among few and among many, lists all, purges half of them.
pub(super) async fn many(server: &Server, args: &Args) -> anyhow::Result<Figures> {
    hello::deploy(server).await?;
    let load = hello::load(args, 128);
    let mut connection = server.connect().await?;
    load.run(server.address, Until::Count(args.finished / FEW)).await?;
    let few = questions(&mut connection).await?;
    load.run(server.address, Until::Count(args.finished - args.finished / FEW)).await?;
    let many = questions(&mut connection).await?;
    let (before, disk) = (server.usage().rss, server.disk_bytes());
    let watched = server.watch();
    let began = Instant::now();
    let (listed, middle) = list_all(&mut connection, args.finished / 2).await?;
    let (listing, paging_rss) = (began.elapsed(), watched.most());
    let watched = server.watch();
    let began = Instant::now();
    let purged = purge(&mut connection, &middle).await?;
    let (purging, purging_rss) = (began.elapsed(), watched.most());
    let mb = |bytes: u64| bytes as f64 / 1048576.0;
    let mut figures = vec![("instances", args.finished as f64)];
    figures.extend(
        few.into_iter().zip(["few_one_p99_ms", "few_page_p99_ms", "few_next_p99_ms", "few_counts_p99_ms"]).map(swap),
    );
    figures.extend(
        many.into_iter()
            .zip(["many_one_p99_ms", "many_page_p99_ms", "many_next_p99_ms", "many_counts_p99_ms"])
            .map(swap),
    );
    figures.extend([
        ("listed", listed as f64),
        ("list_s", listing.as_secs_f64()),
        ("before_rss_mb", mb(before)),
        ("listing_rss_mb", mb(paging_rss)),
        ("purged", purged as f64),
        ("purge_s", purging.as_secs_f64()),
        ("purging_rss_mb", mb(purging_rss)),
        ("before_disk_mb", mb(disk)),
        ("after_disk_mb", mb(server.disk_bytes())),
    ]);
    Ok(figures)
}

fn swap((value, name): (f64, &'static str)) -> (&'static str, f64) {
    (name, value)
}

/// Instances come, run through and are purged, again and again: does what is left of them grow?
pub(super) async fn churn(server: &Server, args: &Args) -> anyhow::Result<Figures> {
    hello::deploy(server).await?;
    let load = hello::load(args, 128);
    let (mut disk, mut rss, mut per_second) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let round = load.run(server.address, Until::Count(args.finished / args.rounds)).await?;
        per_second.push(figure(&round.figures(), "per_second"));
        // The server closes a connection that was idle for as long as a round may take.
        let mut connection = server.connect().await?;
        purge(&mut connection, "9999-01-01T00:00:00Z").await?;
        disk.push(server.disk_bytes() as f64 / 1048576.0);
        rss.push(server.usage().rss as f64 / 1048576.0);
    }
    let most = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    let (early, late) = disk.split_at(disk.len() / 2);
    let last = |figures: &[f64]| figures.last().copied().unwrap_or(f64::NAN);
    Ok(vec![
        ("instances", args.finished as f64),
        ("first_per_second", per_second.first().copied().unwrap_or(f64::NAN)),
        ("last_per_second", last(&per_second)),
        ("first_half_disk_mb", most(early)),
        ("second_half_disk_mb", most(late)),
        ("last_disk_mb", last(&disk)),
        ("most_rss_mb", most(&rss)),
        ("last_rss_mb", last(&rss)),
    ])
}

/// The 99th percentiles, in milliseconds, of: the status of one, a first page of those of one status, a page by token,
/// the counts.
async fn questions(connection: &mut Connection) -> anyhow::Result<[f64; 4]> {
    let first = Request::get("/instances?runtimeStatus=Completed&top=100", "");
    let answer = connection.send(&first).await?;
    answer.expect(200)?;
    let token = answer.continuation.clone();
    let page = answer.json()?;
    let id = page[0]["instanceId"].as_str().context("an empty page")?.to_owned();
    let next = Request::get("/instances?runtimeStatus=Completed&top=100", &token);
    let asked = [Request::status(&id, false), first, next, Request::get("/statistics", "")];
    let mut all = [f64::NAN; 4];
    for (p99, request) in all.iter_mut().zip(asked) {
        let mut took = Vec::new();
        for _ in 0..QUESTIONS {
            let sent = Instant::now();
            connection.send(&request).await?.expect(200)?;
            took.push(1e3 * sent.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        *p99 = percentile(&took, 99);
    }
    Ok(all)
}

/// Lists all instances. How many there are, and when the one with this place among them was created.
async fn list_all(connection: &mut Connection, middle: u64) -> anyhow::Result<(u64, String)> {
    let (mut token, mut listed, mut created) = (String::new(), 0u64, String::new());
    loop {
        let answer = connection.send(&Request::get(&format!("/instances?top={PAGE}"), &token)).await?;
        answer.expect(200)?;
        token = answer.continuation.clone();
        let Value::Array(page) = answer.json()? else { anyhow::bail!("a page is no array") };
        if listed <= middle
            && let Some(instance) = page.get(usize::try_from(middle - listed)?)
        {
            created = instance["createdTime"].as_str().context("an instance without createdTime")?.to_owned();
        }
        listed += page.len() as u64;
        if token.is_empty() {
            return Ok((listed, created));
        }
    }
}

/// Purges what was created until then. How many.
async fn purge(connection: &mut Connection, until: &str) -> anyhow::Result<u64> {
    let answer = connection.send(&Request::purge(until)).await?;
    answer.expect(200)?;
    answer.json()?["instancesDeleted"].as_u64().context("a purge without a count")
}
