//! What the same orchestrator costs in each language: steps and replays of the guest alone, then many that wait in the
//! server.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use axum::body::Bytes;
use durawasm_core::model::Tags;
use durawasm_core::{Delivery, Effect, ExecutionStarted, HistoryEvent, Message, Orchestration, Timestamp};
use durawasm_host::engine::executor::{OrchestratorRun, RunEnd};
use durawasm_host::engine::session::Session;
use durawasm_host::store::{BoxFuture, Digest};
use rustix::time::{ClockId, clock_gettime};

use super::start_many;
use crate::bench::client::Request;
use crate::bench::report::Figures;
use crate::bench::server::{Program, Server};
use crate::guests;
use crate::host::executor;

/// Steps of the orchestration that is measured.
const STEPS: usize = 100;
/// What its activities are called with. It ends after the last one, before which the measurement does.
const ITEMS: &[&str] = &["Tokyo"; STEPS + 1];
/// Orchestrations of which the mean is taken.
const RUNS: usize = 5;
/// Measurements of each figure; the least is told, because whatever else runs only adds.
const ROUNDS: usize = 7;
/// Instances that wait in memory.
const WAITING: u64 = 200;
/// How long they may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);

/// A language, with what runs it and the style it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Language {
    Rust,
    PythonGenerator,
    PythonAsync,
    MonkeyGenerator,
    MonkeyAsync,
    QuickGenerator,
    QuickAsync,
}

impl Language {
    pub(super) const ALL: [Self; 7] = [
        Self::Rust,
        Self::PythonGenerator,
        Self::PythonAsync,
        Self::MonkeyGenerator,
        Self::MonkeyAsync,
        Self::QuickGenerator,
        Self::QuickAsync,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::PythonGenerator => "Python, generator",
            Self::PythonAsync => "Python, async",
            Self::MonkeyGenerator => "JS (StarlingMonkey), generator",
            Self::MonkeyAsync => "JS (StarlingMonkey), async",
            Self::QuickGenerator => "JS (QuickJS), generator",
            Self::QuickAsync => "JS (QuickJS), async",
        }
    }

    fn component(self, program: &Program) -> anyhow::Result<Bytes> {
        match self {
            Self::Rust => Ok(guests::guest("flow")),
            Self::PythonGenerator | Self::PythonAsync => program.component("tests/python/flow"),
            Self::MonkeyGenerator | Self::MonkeyAsync => program.component("tests/guests/flow-js"),
            Self::QuickGenerator | Self::QuickAsync => program.component("tests/guests/flow-quickjs"),
        }
    }

    /// Calls one activity after the other.
    fn function(self) -> &'static str {
        match self {
            Self::Rust | Self::PythonGenerator | Self::MonkeyGenerator | Self::QuickGenerator => "Sequence",
            Self::PythonAsync | Self::MonkeyAsync | Self::QuickAsync => "Sequence async",
        }
    }
}

/// Measures a language.
pub(super) async fn language(server: &Server, program: &Program, language: Language) -> anyhow::Result<Figures> {
    let component = language.component(program)?;
    let megabytes = component.len() as f64 / 1e6;
    let digest = executor().admit(component.clone()).await?.digest;
    let (mut hot, mut cold, mut start) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let (step, history) = live(digest, language.function()).await?;
        hot = hot.min(step);
        let began = history.iter().take(BEGINNING).cloned().collect::<Vec<_>>();
        let beginning = replay(digest, &began).await?;
        start = start.min(beginning);
        cold = cold.min((replay(digest, &history).await? - beginning) / STEPS as f64);
    }
    let deployed = Instant::now();
    server.deploy("flow", &component).await?;
    let compiled = deployed.elapsed();
    // Another hub takes what is compiled already.
    server.connect().await?.send(&Request::new("PUT", "/admin/hubs/other", ("application/json", b""))).await?;
    let deployed = Instant::now();
    let request = Request::new("PUT", "/admin/hubs/other/apps/flow", ("application/wasm", &component));
    server.connect().await?.send(&request).await?.expect(201)?;
    let again = deployed.elapsed();
    let whole = whole(server, language.function()).await?;
    let waiting = waiting(server).await?;
    Ok(vec![
        ("step_ms", hot),
        ("replayed_step_ms", cold),
        ("start_ms", start),
        ("step_with_activity_ms", whole),
        ("component_mb", megabytes),
        ("deploy_s", compiled.as_secs_f64()),
        ("deploy_again_s", again.as_secs_f64()),
        ("waiting_200_mb", waiting),
    ])
}

/// Events of an execution that has made its first call: started, scheduled, episode completed.
const BEGINNING: usize = 3;

/// A guest that runs in this thread, and what it runs on.
struct Driven {
    session: Arc<Session>,
    guest: BoxFuture<'static, RunEnd>,
}

impl Driven {
    fn new(digest: Digest, orchestration: Orchestration) -> Self {
        let started = orchestration.started().clone();
        let session = Arc::new(Session::new(orchestration));
        let run = OrchestratorRun {
            digest,
            name: started.name,
            input: started.input,
            session: Arc::clone(&session),
            stops: Arc::default(),
            share: Arc::default(),
        };
        Self { session, guest: executor().orchestrate(run) }
    }

    /// Lets it run to where it waits for what has not completed.
    async fn run(&mut self) -> anyhow::Result<()> {
        let (guest, session) = (&mut self.guest, &self.session);
        poll_fn(|context| match guest.as_mut().poll(context) {
            Poll::Ready(end) => Poll::Ready(Err(anyhow::anyhow!("the orchestrator ended: {end:?}"))),
            Poll::Pending if session.is_blocked() && !session.is_replaying() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Runs an orchestrator over all its steps, its activities ending at once: milliseconds of a step, and its history,
/// which ends where it waits for the last one.
async fn live(digest: Digest, function: &str) -> anyhow::Result<(f64, Vec<HistoryEvent>)> {
    let now = Timestamp::UNIX_EPOCH;
    let mut driven = Driven::new(digest, Orchestration::start(started(function)?, now));
    let mut history = Vec::new();
    let mut before = processor_time();
    for step in 0..=STEPS {
        driven.run().await?;
        if step == 0 {
            // The first has made the guest.
            before = processor_time();
        }
        driven.session.with(Orchestration::end_episode);
        let decision = driven.session.with(Orchestration::take_decision);
        history.extend(decision.events);
        if step == STEPS {
            break;
        }
        let [Effect::RunActivity(call)] = decision.effects.as_slice() else { bail!("step {step} calls no activity") };
        let (task, attempt, outcome) = (call.task, call.attempt, Ok(Some(r#""Hello Tokyo!""#.into())));
        let ended = Message::ActivityEnded { task, attempt, outcome, heartbeat: None };
        driven.session.with(|orchestration| {
            orchestration.begin_episode(now);
            ensure!(orchestration.deliver(ended, now) == Delivery::Recorded, "step {step} is not waited for");
            Ok(())
        })?;
    }
    Ok(((processor_time() - before) / STEPS as f64, history))
}

/// Milliseconds to bring a guest to where its history ends.
async fn replay(digest: Digest, history: &[HistoryEvent]) -> anyhow::Result<f64> {
    let before = processor_time();
    let mut driven = Driven::new(digest, Orchestration::replay(history)?);
    driven.run().await?;
    drop(driven);
    Ok(processor_time() - before)
}

/// Milliseconds of the server's processor time for a step with its activity, which is a guest of its own, and its
/// commit.
async fn whole(server: &Server, function: &str) -> anyhow::Result<f64> {
    let request = Request::run(&function.replace(' ', "%20"), &serde_json::to_string(ITEMS)?);
    let mut connection = server.connect().await?;
    connection.send(&request).await?.expect(200)?;
    let before = server.usage().cpu;
    for _ in 0..RUNS {
        connection.send(&request).await?.expect(200)?;
    }
    let taken = server.usage().cpu.saturating_sub(before);
    Ok(1e3 * taken.as_secs_f64() / (RUNS * ITEMS.len()) as f64)
}

fn started(function: &str) -> anyhow::Result<ExecutionStarted> {
    Ok(ExecutionStarted {
        name: function.to_owned(),
        instance_id: "measured".into(),
        execution_id: "e".to_owned(),
        input: Some(serde_json::to_string(ITEMS)?.as_str().into()),
        parent_instance_id: None,
        version: None,
        tags: Tags::new(),
        trace_parent: None,
        trace_state: None,
        awaited_by: None,
        depth: 0,
        scheduled_at: None,
        completes_early: false,
    })
}

/// Milliseconds of processor time of this thread, in which the guests run.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Megabytes of the server when so many instances wait in its memory; each page once, however many share it.
async fn waiting(server: &Server) -> anyhow::Result<f64> {
    let ids = start_many(server, Request::start("Event", r#""Go""#), WAITING).await?;
    let (mut connection, deadline) = (server.connect().await?, Instant::now() + PATIENCE);
    for id in ids {
        while connection.send(&Request::status(&id, false)).await?.json()?["runtimeStatus"] != "Running" {
            ensure!(Instant::now() < deadline, "{id} does not begin");
            tokio::time::sleep(super::LOOK).await;
        }
    }
    server.proportional_megabytes().context("this system does not tell how memory is shared")
}
