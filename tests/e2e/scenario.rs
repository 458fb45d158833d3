//! A story about some instances that comes out the same however often the host dies in it.

use std::time::Duration;

use durawasm_tests::world::without_ids;
use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

/// The instance that a story begins with.
pub(crate) const ROOT: &str = "root";

/// What happens from outside, each once all is quiet.
pub(crate) enum Act {
    /// `POST …/instances/{path}` with this body; the status code it must answer.
    Post(&'static str, &'static str, u16),
    /// The next timer is due.
    NextTimer,
    /// All timers are due, one after the other.
    RunOut,
    /// The guests in memory are dropped.
    Evict,
}

/// Runs `Program` with this step as `root`, does the acts and gives the statuses of these instances, with histories.
pub(crate) struct Scenario {
    pub(crate) step: Value,
    pub(crate) acts: Vec<Act>,
    pub(crate) shown: Vec<&'static str>,
}

impl Scenario {
    async fn play(&self, lives: &[usize]) -> (World, Vec<Value>) {
        self.play_in(World::new("flow", guests::guest("flow"), lives).await).await
    }

    /// The same, with steps that share a commit.
    async fn play_ahead(&self, lives: &[usize]) -> (World, Vec<Value>) {
        self.play_in(World::ahead("flow", guests::guest("flow"), lives).await).await
    }

    async fn play_in(&self, mut world: World) -> (World, Vec<Value>) {
        world.start("Program", ROOT, &json!({"step": self.step})).await;
        world.settle().await;
        for act in &self.acts {
            match act {
                Act::Post(path, body, code) => assert_eq!(world.post(path, body).await, *code, "{path}"),
                Act::NextTimer => assert!(world.next_moment().await, "there is no timer"),
                Act::RunOut => world.run_out().await,
                Act::Evict => world.host.engine.evict_all(),
            }
            world.settle().await;
        }
        let mut shown = Vec::new();
        for id in &self.shown {
            shown.push(without_ids(&world.status(id).await));
        }
        (world, shown)
    }

    /// What it comes to undisturbed.
    pub(crate) async fn undisturbed(&self) -> Vec<Value> {
        self.play(&[]).await.1
    }

    /// What it comes to; the same when the host dies after any of the commits.
    pub(crate) async fn whenever_it_dies(&self) -> Vec<Value> {
        let (world, expected) = self.play(&[]).await;
        for lives in 0..world.writes() {
            let (_, statuses) = self.play(&[lives]).await;
            for (status, expected) in statuses.iter().zip(&expected) {
                assert_eq!(status, expected, "died after {lives} of {} writes", world.writes());
            }
        }
        self.whenever_it_dies_ahead(&expected).await;
        expected
    }

    /// It comes to the same ends when steps share commits, and the host dies after any of those.
    async fn whenever_it_dies_ahead(&self, expected: &[Value]) {
        let ends = |statuses: &[Value]| statuses.iter().map(end).collect::<Vec<_>>();
        let (world, undisturbed) = self.play_ahead(&[]).await;
        assert_eq!(ends(&undisturbed), ends(expected), "ahead");
        for lives in 0..world.writes() {
            let (_, statuses) = self.play_ahead(&[lives]).await;
            assert_eq!(ends(&statuses), ends(expected), "ahead, died after {lives} of {} writes", world.writes());
        }
    }
}

/// `[runtimeStatus, output]`.
pub(crate) fn end(status: &Value) -> Value {
    json!([status["runtimeStatus"], status["output"]])
}

/// The types of its history's events.
pub(crate) fn kinds(status: &Value) -> Vec<&str> {
    let events = status["historyEvents"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().map(|event| event["EventType"].as_str().unwrap_or_default()).collect()
}

/// The first event of this type.
pub(crate) fn event<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let events = status["historyEvents"].as_array().map(Vec::as_slice).unwrap_or_default();
    match events.iter().find(|event| event["EventType"] == kind) {
        Some(event) => event,
        None => panic!("no {kind} in {status}"),
    }
}

/// Calls a manual function, and waits until it has returned.
pub(crate) async fn by_hand(host: &Host, name: &str, input: Value) {
    let returned = async || {
        let metrics = host.send("GET", "/metrics", "").await.text();
        let ended = metrics.lines().filter(|line| line.starts_with(r#"durawasm_runs_total{kind="function""#));
        ended.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = returned().await;
    let body = json!({ "input": input }).to_string();
    let answer = host.send("POST", &format!("/admin/functions/{name}"), body).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (202, ""), "{name}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while returned().await == before {
        assert!(tokio::time::Instant::now() < deadline, "{name} does not return");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
