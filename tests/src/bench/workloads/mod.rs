//! The workloads: one file each kind.

mod client;
mod events;
mod hello;
mod hostile;
mod hubs;
mod many;
mod polyglot;
mod sequence;
mod sleep;

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::bench::args::{Args, Workload};
use crate::bench::client::{Connection, Request};
use crate::bench::load::{Expected, Load, split};
use crate::bench::report::Figures;
use crate::bench::server::{Program, Server};
use crate::guests;
pub(super) use polyglot::Language;

/// Connections that start many instances or raise many events.
const FEEDERS: usize = 16;
/// Between two looks at an instance that has not ended.
const LOOK: Duration = Duration::from_millis(2);

/// One measurement with a server of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Case {
    /// W1 with so many connections.
    Hello { connections: usize, delayed: bool },
    /// W1 on a fresh server, then after many finished instances.
    Finished,
    /// W2.
    FanOut,
    /// W3.
    Sleep,
    /// W4.
    Events,
    /// W5.
    Sequence,
    /// W6 with so many connections.
    Client { connections: usize },
    /// W1 alone or beside hostile guests.
    Neighbour { hostile: bool },
    /// A quiet hub, alone and beside a hostile one.
    Hostile,
    /// A quiet hub alone and beside another one's storm.
    Storm,
    /// Thousands of idle hubs.
    Hubs,
    /// What an orchestrator costs in this language.
    Polyglot(Language),
    /// Lists and purges.
    Many,
    /// Coming and going.
    Churn,
    /// Many that sleep for long.
    Sleepers,
}

/// What the arguments ask for.
pub(super) fn cases(args: &Args) -> Vec<Case> {
    let hello = |delayed| args.connections.iter().map(move |&connections| Case::Hello { connections, delayed });
    let starts = args.connections.iter().map(|&connections| Case::Client { connections });
    let kinds: [(Workload, Vec<Case>); 16] = [
        (Workload::W1, hello(false).collect()),
        (Workload::Delayed, hello(true).collect()),
        (Workload::Finished, vec![Case::Finished]),
        (Workload::W2, vec![Case::FanOut]),
        (Workload::W3, vec![Case::Sleep]),
        (Workload::W4, vec![Case::Events]),
        (Workload::W5, vec![Case::Sequence]),
        (Workload::W6, starts.collect()),
        (Workload::Neighbour, vec![Case::Neighbour { hostile: false }, Case::Neighbour { hostile: true }]),
        (Workload::Hostile, vec![Case::Hostile]),
        (Workload::Storm, vec![Case::Storm]),
        (Workload::Hubs, vec![Case::Hubs]),
        (Workload::Polyglot, Language::ALL.map(Case::Polyglot).to_vec()),
        (Workload::Many, vec![Case::Many]),
        (Workload::Churn, vec![Case::Churn]),
        (Workload::Sleepers, vec![Case::Sleepers]),
    ];
    kinds.into_iter().filter(|(workload, _)| args.measures(*workload)).flat_map(|(_, cases)| cases).collect()
}

impl Case {
    /// Its name in the report.
    pub(super) fn name(self) -> String {
        match self {
            Self::Hello { connections, delayed: false } => format!("W1, {connections} at a time"),
            Self::Hello { connections, delayed: true } => format!("W1, {connections} at a time, delayed syncs"),
            Self::Finished => "W1, 128 at a time, fresh and after many".to_owned(),
            Self::FanOut => "W2, fan-out of 100, 8 at a time".to_owned(),
            Self::Sleep => "W3, 5,000 sleep 2 s".to_owned(),
            Self::Events => "W4, 2,000 wait, kill -9, event".to_owned(),
            Self::Sequence => "W5, 2,000 steps".to_owned(),
            Self::Client { connections } => format!("W6, {connections} starts at a time"),
            Self::Neighbour { hostile: false } => "W1, 16 at a time, alone".to_owned(),
            Self::Neighbour { hostile: true } => "W1, 16 at a time, hostile neighbours".to_owned(),
            Self::Hostile => "W1, 4 at a time, alone and beside a hostile hub".to_owned(),
            Self::Storm => "W1, 4 at a time, alone and beside a storm of another hub".to_owned(),
            Self::Hubs => "idle hubs".to_owned(),
            Self::Polyglot(language) => language.name().to_owned(),
            Self::Many => "Lists and purges of many".to_owned(),
            Self::Churn => "Started, run and purged, 20 rounds".to_owned(),
            Self::Sleepers => "Many that sleep, kill -9, start".to_owned(),
        }
    }

    /// Measures it once.
    pub(super) async fn run(self, program: &Program, args: &Args) -> anyhow::Result<Figures> {
        let delay = matches!(self, Self::Hello { delayed: true, .. }).then(|| args.sync_delay());
        let mut server = program.serve(delay).await?;
        match self {
            Self::Hello { connections, .. } => hello::steady(&server, args, connections).await,
            Self::Finished => hello::after_many(&server, args).await,
            Self::FanOut => fan_out(&server, args).await,
            Self::Sleep => sleep::sleep(&server).await,
            Self::Events => events::events(&mut server, program).await,
            Self::Sequence => sequence::sequence(&server).await,
            Self::Client { connections } => client::starts(&server, args, connections).await,
            Self::Neighbour { hostile } => hello::beside(&server, args, hostile).await,
            Self::Hostile => hostile::beside(&server, args).await,
            Self::Storm => hubs::storm(&server, args).await,
            Self::Hubs => hubs::idle(&mut server, program, args).await,
            Self::Polyglot(language) => polyglot::language(&server, program, language).await,
            Self::Many => many::many(&server, args).await,
            Self::Churn => many::churn(&server, args).await,
            Self::Sleepers => sleep::sleepers(&mut server, program, args).await,
        }
    }
}

/// W2: 100 activities at the same time, joined.
async fn fan_out(server: &Server, args: &Args) -> anyhow::Result<Figures> {
    server.deploy("fan-out", &guests::example("fan-out")).await?;
    let load = Load {
        connections: 8,
        request: Request::run("E2_FanOut", "100"),
        expected: Expected::Output("338350"),
        count_syncs: args.count_syncs,
    };
    load.measure(server, args.window()).await
}

/// Starts so many instances of the same kind; gives their ids in the order of their starts.
async fn start_many(server: &Server, request: Request, count: u64) -> anyhow::Result<Vec<String>> {
    let mut feeders = JoinSet::new();
    for index in 0..FEEDERS {
        let (mut connection, request) = (server.connect().await?, request.clone());
        feeders.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..split(count, index, FEEDERS) {
                let answer = connection.send(&request).await?;
                answer.expect(202)?;
                ids.push(answer.json()?["id"].as_str().unwrap_or_default().to_owned());
            }
            anyhow::Ok(ids)
        });
    }
    let mut all = Vec::new();
    while let Some(ids) = feeders.join_next().await {
        all.extend(ids??);
    }
    // Ids that the server makes are in the order of time.
    all.sort();
    Ok(all)
}

/// The status of an instance once it has ended.
async fn ended(connection: &mut Connection, id: &str) -> anyhow::Result<Value> {
    let request = Request::status(id, false);
    loop {
        let answer = connection.send(&request).await?;
        if answer.status != 202 {
            answer.expect(200)?;
            return answer.json();
        }
        tokio::time::sleep(LOOK).await;
    }
}
