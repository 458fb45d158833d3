//! The real program under load from several clients, killed at random moments and started again. Then, from outside:
//! everything it acknowledged is there, and every instance ends with the right output.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use durawasm_tests::guests;
use serde_json::{Value, json};

use crate::program::{Program, port};
use crate::versions::comes_to;

/// Clients that start, raise and terminate at the same time.
const CLIENTS: u64 = 4;

const INSTANCES: &str = "/runtime/webhooks/durabletask/instances";

/// How often a test tries: more by hand.
pub(crate) fn rounds(usual: usize) -> usize {
    std::env::var("DURAWASM_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

pub(crate) fn random() -> fastrand::Rng {
    let seed = std::env::var("DURAWASM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("to repeat: DURAWASM_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// What a client asked of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    /// Steps in sequence; nothing but the start.
    Steps,
    /// Waits for an event, and nobody has sent one yet.
    Waits,
    /// An event was sent; whether it was acknowledged.
    Raised(bool),
    /// A termination was sent; whether it was acknowledged.
    Terminated(bool),
}

/// An instance, as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) deed: Deed,
    pub(crate) acknowledged: bool,
}

/// Talks to the server, which may be gone at any moment.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    random: fastrand::Rng,
    pub(crate) instances: Vec<Instance>,
}

impl Client {
    pub(crate) fn new(url: &str, random: fastrand::Rng) -> Self {
        Self { http: durawasm_tests::tls::http(), url: url.to_owned(), random, instances: Vec::new() }
    }

    /// Whether a request was acknowledged with 202. Any other answer than "not yet ready" is a fault; none is none.
    async fn post(&self, path: &str, body: String) -> bool {
        let request = self.http.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let Ok(answer) = request.body(body).send().await else { return false };
        let status = answer.status().as_u16();
        // 404 and 410: this or an earlier attempt on it went unheard.
        assert!([202, 404, 409, 410, 503].contains(&status), "{path}: {status} {:?}", answer.text().await);
        status == 202
    }

    pub(crate) async fn act(&mut self, name: u64) {
        let waiting = self.instances.iter().rposition(|one| one.acknowledged && one.deed == Deed::Waits);
        match (self.random.u8(..4), waiting) {
            (0 | 1, Some(index)) => {
                let id = self.instances[index].id.clone();
                // Unknown until it is acknowledged.
                self.instances[index].deed = Deed::Raised(false);
                if self.post(&format!("{INSTANCES}/{id}/raiseEvent/Go"), json!({"for": id}).to_string()).await {
                    self.instances[index].deed = Deed::Raised(true);
                }
            }
            (2, Some(index)) => {
                let id = self.instances[index].id.clone();
                self.instances[index].deed = Deed::Terminated(false);
                if self.post(&format!("{INSTANCES}/{id}/terminate?reason=enough"), String::new()).await {
                    self.instances[index].deed = Deed::Terminated(true);
                }
            }
            (..=u8::MAX, _) => {
                let id = format!("client{name}-{}", self.instances.len());
                let (deed, function, input) = match self.random.bool() {
                    true => (Deed::Steps, "Sequence", json!([id, 1, null])),
                    false => (Deed::Waits, "Event", json!("Go")),
                };
                let path = format!("/runtime/webhooks/durabletask/orchestrators/{function}/{id}");
                let acknowledged = self.post(&path, input.to_string()).await;
                self.instances.push(Instance { id, deed, acknowledged });
            }
        }
    }
}

/// Deploys two versions of an app in turn, the second of which is there already. The indexes of those that may be the current
/// one in the end: the last that was acknowledged, and whatever was sent since.
async fn deploy_for_ever(url: String, versions: [Bytes; 2], stop: Arc<AtomicBool>) -> Vec<usize> {
    let http = durawasm_tests::tls::http();
    let (mut sent, mut possible) = (1, vec![1]);
    while !stop.load(Ordering::SeqCst) {
        sent = 1 - sent;
        let request = http.put(format!("{url}/admin/hubs/default/apps/nondet"));
        let answer = request.header("content-type", "application/wasm").body(versions[sent].clone()).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => possible = vec![sent],
            Ok(answer) => assert_eq!(answer.status(), 503, "{:?}", answer.text().await),
            // Whether it happened is unknown.
            Err(_) => possible.push(sent),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    possible
}

async fn digest(program: &Program) -> String {
    let (code, body) = program.get("/admin/hubs/default/apps/nondet").await.unwrap();
    assert_eq!(code, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["digest"].as_str().unwrap().to_owned()
}

/// What became of an instance is what its client may expect.
pub(crate) async fn check(program: &Program, instance: &Instance) {
    let Instance { id, deed, acknowledged } = instance;
    let (code, body) = program.get(&format!("{INSTANCES}/{id}")).await.unwrap();
    if code == 404 {
        assert!(!acknowledged, "{id} was acknowledged and is not there");
        return;
    }
    let status: Value = serde_json::from_str(&body).unwrap();
    if matches!(deed, Deed::Waits | Deed::Raised(false)) && code == 202 {
        let path = format!("{}{INSTANCES}/{id}/raiseEvent/Go", program.url);
        let request = program.http.post(path).header("content-type", "application/json");
        let answer = request.body(json!({"for": id}).to_string()).send().await.unwrap();
        assert!([202, 410].contains(&answer.status().as_u16()), "{id}");
    }
    if *deed == Deed::Terminated(false) && status["runtimeStatus"] != "Terminated" {
        let answer = program.http.post(format!("{}{INSTANCES}/{id}/terminate", program.url)).send().await.unwrap();
        assert!([202, 410].contains(&answer.status().as_u16()), "{id}");
    }
    let ended = program.ended(id).await;
    let expected = match deed {
        Deed::Steps => ("Completed", json!([id, 1, null])),
        Deed::Waits | Deed::Raised(_) => ("Completed", json!({"for": id})),
        Deed::Terminated(false) => ("Terminated", ended["output"].clone()),
        Deed::Terminated(true) => ("Terminated", json!("enough")),
    };
    assert_eq!(
        (ended["runtimeStatus"].as_str().unwrap(), &ended["output"]),
        (expected.0, &expected.1),
        "{id} {deed:?}"
    );
    let (_, body) = program.get(&format!("{INSTANCES}/{id}?showHistory=true")).await.unwrap();
    let history = serde_json::from_str::<Value>(&body).unwrap();
    let events = history["historyEvents"].as_array().unwrap();
    let steps = events.iter().filter(|event| event["EventType"] == "TaskCompleted").count();
    assert_eq!(steps, if *deed == Deed::Steps { 3 } else { 0 }, "{id}: no result is recorded twice: {history}");
}

/// Refusals while it starts are not worth a line each.
pub(crate) fn quiet(command: &mut Command) {
    command.env("RUST_LOG", "error,tower_http=off");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_random_kills() {
    let data = tempfile::tempdir().unwrap();
    let (port, mut random) = (port(), random());
    let versions = [guests::guest("nondet-v1"), guests::guest("nondet-v2")];
    let mut program = Program::spawn(data.path(), port, quiet);
    program.ready().await;
    program.deploy("flow", guests::guest("flow")).await;
    let mut digests = Vec::new();
    for version in &versions {
        program.deploy("nondet", version.clone()).await;
        digests.push(digest(&program).await);
    }
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|name| {
            let (stop, mut client) = (Arc::clone(&stop), Client::new(&program.url, random.fork()));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let known = client.instances.len();
                    client.act(name).await;
                    let new = client.instances[known..].iter().filter(|instance| instance.acknowledged);
                    acknowledged.fetch_add(new.count(), Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                client.instances
            })
        })
        .collect();
    let deployer = tokio::spawn(deploy_for_ever(program.url.clone(), versions, Arc::clone(&stop)));
    for _ in 0..rounds(15) {
        // Some die while they start, some while they recover, some under load.
        let moment = Duration::from_millis(random.u64(..600));
        let known = acknowledged.load(Ordering::SeqCst);
        let under_load = random.u8(..3) > 0;
        if under_load {
            program.ready().await;
        }
        tokio::time::sleep(moment).await;
        // However slow the disk is, something happens before it dies.
        comes_to(async || !under_load || acknowledged.load(Ordering::SeqCst) >= known + 5).await;
        drop(program);
        program = Program::spawn(data.path(), port, quiet);
    }
    program.ready().await;
    comes_to(async || acknowledged.load(Ordering::SeqCst) > 50).await;
    stop.store(true, Ordering::SeqCst);
    let (possible, last) = (deployer.await.unwrap(), digest(&program).await);
    assert!(possible.iter().any(|index| last == digests[*index]), "{possible:?}");
    let (mut instances, began) = (0, Instant::now());
    for client in clients {
        for instance in client.await.unwrap() {
            check(&program, &instance).await;
            instances += 1;
        }
    }
    println!("{instances} instances checked in {:?}", began.elapsed());
    assert!(instances > 50, "only {instances} instances were started");
}
