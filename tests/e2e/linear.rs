//! Clients do everything at once to a few ids of the real program, which is killed and started again. Afterwards there
//! must be an order, for each id, in which all of it can have happened one after another, within the times at which it
//! was asked and answered.

mod model;
mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use durawasm_tests::guests;
use serde_json::Value;

use self::model::{Op, Outcome, Seen};
use self::search::{Call, check};
use crate::kills::{quiet, random, rounds};
use crate::program::{Program, port};
use crate::versions::comes_to;

const CLIENTS: usize = 5;
const IDS: usize = 3;
const BASE: &str = "/runtime/webhooks/durabletask";
/// Whether its letters are large says which start it was: events are found by name whatever the case.
const EVENT: &str = "continuationevent";

/// What all clients share.
#[derive(Default)]
struct World {
    clock: AtomicU64,
    /// Numbers that are used once.
    number: AtomicU32,
    /// Of each id, how many calls reached the server.
    calls: [AtomicUsize; IDS],
    stop: AtomicBool,
}

impl World {
    /// Waits until so many calls of each id have reached the server, however slow it is.
    async fn until(&self, count: usize) {
        comes_to(async || self.calls.iter().all(|calls| calls.load(Ordering::SeqCst) >= count)).await;
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn op(&self, random: &mut fastrand::Rng) -> Op {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        match random.u8(..16) {
            0..4 => Op::Start { input: number % (1 << EVENT.len()), never: random.bool() },
            4..6 => Op::Raise(number),
            6..8 => Op::Terminate(number),
            8 => Op::Suspend,
            9..11 => Op::Resume,
            11..13 => Op::Purge,
            13.. => Op::Status,
        }
    }
}

/// The event's name with the bits of a number.
fn spelled(number: u32) -> String {
    let letter = |(bit, letter): (usize, char)| {
        if number >> bit & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    EVENT.chars().enumerate().map(letter).collect()
}

fn number_of(name: &Value) -> u32 {
    let name = name.as_str().unwrap();
    name.chars().enumerate().map(|(bit, letter)| u32::from(letter.is_ascii_uppercase()) << bit).sum()
}

fn seen(code: u16, body: &str) -> Seen {
    if code == 404 {
        return Seen::Absent;
    }
    let status: Value = serde_json::from_str(body).unwrap();
    let input = number_of(&status["input"]);
    let number = |text: &Value| text.as_u64().and_then(|number| u32::try_from(number).ok());
    match status["runtimeStatus"].as_str().unwrap() {
        "Running" | "Pending" => Seen::Open { input, suspended: false },
        "Suspended" => Seen::Open { input, suspended: true },
        "Completed" => Seen::Completed { input, output: number(&status["output"]).unwrap_or(u32::MAX) },
        "Terminated" => {
            let reason = status["output"].as_str().and_then(|reason| reason.parse().ok());
            Seen::Terminated { input, reason: reason.unwrap_or(u32::MAX) }
        }
        other => panic!("{other}: {body}"),
    }
}

/// Asks, and says what came of it; none: it did not reach the server.
async fn ask(http: &reqwest::Client, url: &str, id: &str, op: Op) -> Option<Outcome> {
    let instance = format!("{url}{BASE}/instances/{id}");
    let request = match op {
        Op::Start { input, never } => {
            let reuse = if never { "never" } else { "terminal" };
            let path = format!("{url}{BASE}/orchestrators/Event/{id}?reuse={reuse}");
            http.post(path).body(format!("\"{}\"", spelled(input)))
        }
        Op::Raise(value) => {
            let request = http.post(format!("{instance}/raiseEvent/{EVENT}"));
            request.header("content-type", "application/json").body(value.to_string())
        }
        Op::Terminate(reason) => http.post(format!("{instance}/terminate?reason={reason}")),
        Op::Suspend => http.post(format!("{instance}/suspend")),
        Op::Resume => http.post(format!("{instance}/resume")),
        Op::Purge => http.delete(instance),
        Op::Status => http.get(instance),
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return None,
        Err(_) => return Some(Outcome::Unknown),
    };
    let code = answer.status().as_u16();
    let Ok(body) = answer.text().await else { return Some(Outcome::Unknown) };
    match op {
        // It starts, and has not looked at the request.
        _ if code == 503 && body.contains("is starting") => None,
        Op::Status => Some(Outcome::Seen(seen(code, &body))),
        Op::Start { .. } | Op::Raise(_) | Op::Terminate(_) | Op::Suspend | Op::Resume | Op::Purge => {
            Some(Outcome::Code(code))
        }
    }
}

/// Works until it is told to stop. The calls of each id.
async fn client(world: Arc<World>, url: String, mut random: fastrand::Rng) -> Vec<(usize, Call)> {
    let (http, mut calls) = (durawasm_tests::tls::http(), Vec::new());
    while !world.stop.load(Ordering::SeqCst) {
        let (id, op) = (random.usize(..IDS), world.op(&mut random));
        let begun = world.tick();
        let Some(outcome) = ask(&http, &url, &format!("id{id}"), op).await else {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        calls.push((id, Call { begun, ended: world.tick(), op, outcome }));
        world.calls[id].fetch_add(1, Ordering::SeqCst);
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_order_in_which_everything_happened() {
    let data = tempfile::tempdir().unwrap();
    let (port, mut random, world) = (port(), random(), Arc::new(World::default()));
    let mut program = Program::spawn(data.path(), port, quiet);
    program.ready().await;
    program.deploy("flow", guests::guest("flow")).await;
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| tokio::spawn(client(Arc::clone(&world), program.url.clone(), random.fork()))).collect();
    for round in 0..rounds(6) {
        tokio::time::sleep(Duration::from_millis(random.u64(50..400))).await;
        world.until(10 * round).await;
        drop(program);
        program = Program::spawn(data.path(), port, quiet);
        program.ready().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.until(60).await;
    world.stop.store(true, Ordering::SeqCst);
    let mut calls = vec![Vec::new(); IDS];
    for client in clients {
        client.await.unwrap().into_iter().for_each(|(id, call)| calls[id].push(call));
    }
    // What is there in the end is what all of it led to.
    for (id, calls) in calls.iter_mut().enumerate() {
        let begun = world.tick();
        let outcome = ask(&program.http, &program.url, &format!("id{id}"), Op::Status).await.unwrap();
        calls.push(Call { begun, ended: world.tick(), op: Op::Status, outcome });
    }
    let unheard = calls.iter().flatten().filter(|call| call.outcome == Outcome::Unknown).count();
    let all: Vec<_> = calls.iter().map(Vec::len).collect();
    println!("{all:?} calls of each id, {unheard} unheard");
    for (id, calls) in calls.into_iter().enumerate() {
        assert!(calls.len() > 50, "only {} calls of id{id}", calls.len());
        let fits = tokio::task::spawn_blocking(move || check(calls)).await.unwrap();
        fits.unwrap_or_else(|why| panic!("id{id}: {why}"));
    }
}
