//! What a tenant can learn of another one or do to it, tried with every route and every call of a guest: nothing.
//!
//! The same is asked of a server that has the other hub and of one that has not. The answers must be the same, byte for
//! byte, and the other hub afterwards what it was.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::Status;
use durawasm_host::engine::Settings;
use durawasm_tests::{Answer, guests};
use serde_json::json;

use crate::tenants::{KEY, PATIENCE, Server, code_of};
use crate::versions::comes_to;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const EXTENSION: &str = "/admin/extensions/DurableTaskExtension";

/// Routes that need a key: method, path, a body that its owner could send.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/runtime/webhooks/durabletask/instances", ""),
    ("GET", "/runtime/webhooks/durabletask/statistics", ""),
    ("GET", "/runtime/webhooks/durabletask/instances/{id}", ""),
    ("GET", "/runtime/webhooks/durabletask/instances/{id}/logs", ""),
    ("GET", "/runtime/webhooks/durabletask/instances/{id}/history", ""),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/raiseEvent/{event}", "1"),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/suspend", ""),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/resume", ""),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/rewind", ""),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/restart", ""),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/move", ""),
    ("POST", "/runtime/webhooks/durabletask/instances/{id}/terminate", ""),
    ("DELETE", "/runtime/webhooks/durabletask/instances/{id}", ""),
    ("DELETE", "/runtime/webhooks/durabletask/instances", ""),
    ("POST", "/runtime/webhooks/durabletask/orchestrators/{function}", "null"),
    ("POST", "/runtime/webhooks/durabletask/orchestrators/{function}/{id}", "null"),
    ("POST", "/admin/functions/{name}", "{}"),
    ("GET", "/admin/hubs", ""),
    ("GET", "/admin/hubs/{hub}", ""),
    ("GET", "/admin/hubs/{hub}/config", ""),
    ("PUT", "/admin/hubs/{hub}/config", "{}"),
    ("GET", "/admin/hubs/{hub}/keys", ""),
    ("POST", "/admin/hubs/{hub}/keys", r#"{"name":"new","scopes":["manage"]}"#),
    ("POST", "/admin/hubs/{hub}/keys/{key}/rotate", ""),
    ("DELETE", "/admin/hubs/{hub}/keys/{key}", ""),
    ("GET", "/admin/hubs/{hub}/apps", ""),
    ("GET", "/admin/hubs/{hub}/apps/{app}", ""),
    ("GET", "/admin/hubs/{hub}/apps/{app}/versions", ""),
    ("POST", "/admin/hubs/{hub}/apps/{app}/versions/{digest}/activate", ""),
    ("POST", "/admin/hubs/{hub}/apps/{app}/move", "{}"),
    ("GET", "/admin/hubs/{hub}/binding", ""),
    ("DELETE", "/admin/hubs/{hub}/apps/{app}", ""),
    ("PUT", "/admin/hubs/{hub}/apps/{app}", "a component"),
    ("PUT", "/admin/hubs/{hub}", ""),
    ("DELETE", "/admin/hubs/{hub}", ""),
    ("GET", "/admin/backup", ""),
    ("GET", "/admin/hubs/{hub}/export", ""),
    ("GET", "/admin/hubs/{hub}/usage", ""),
    ("PUT", "/admin/hubs/{hub}/import", "a hub"),
    ("GET", "/metrics", ""),
];

/// Calls of the contract's `client` that are about what is there, and then those that make something.
const CLIENT: &[&str] = &[
    "get-status",
    "list-instances",
    "create-management-payload",
    "create-check-status-response",
    "wait-for-start",
    "wait-for-completion",
    "raise-event",
    "suspend",
    "resume",
    "terminate",
    "rewind",
    "restart",
    "purge",
    "purge-many",
    "start-new",
    "start-many",
];

/// Calls of the contract's `orchestration` that name what may be another hub's.
const REACHING: &[&str] = &["call-activity", "call-sub-orchestration", "start-sub-orchestration", "send-event"];
/// The others.
const LOCAL: &[&str] = &[
    "instance",
    "call-http",
    "create-timer",
    "wait-for-event",
    "cancel",
    "when-any",
    "when-all",
    "get-result",
    "current-time",
    "new-guid",
    "set-custom-status",
    "continue-as-new",
    "log",
];

/// The names of an interface's functions.
fn functions_of(interface: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(guests::root().join("wit").join(interface)).unwrap();
    let functions = text.lines().filter_map(|line| line.trim().split_once(": func("));
    functions.map(|(name, _)| name.to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_call_of_the_contract_is_tried() {
    assert_eq!(functions_of("client.wit"), set(CLIENT));
    assert_eq!(functions_of("orchestration.wit"), &set(REACHING) | &set(LOCAL));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_tried() {
    let server = Server::new().await;
    let document = server.host.send_with("GET", "/openapi.json", &[("host", "localhost:7071")], "").await.json();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let keyed = item.as_object().unwrap().iter().filter(|(_, operation)| operation.get("security").is_some());
        described.extend(keyed.map(|(method, _)| (method.to_uppercase(), path.clone())));
    }
    let tried: BTreeSet<_> =
        ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, tried);
    assert_eq!(tried.len(), ROUTES.len(), "each once");
}

/// A path with its parameters: what the other hub has. `id`: the instance.
fn filled(path: &str, hub: &str, id: &str, digest: &str) -> String {
    let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        None => part.to_owned(),
        Some("hub") => hub.to_owned(),
        Some("id") => id.to_owned(),
        Some("function") => "E1_HelloSequence".to_owned(),
        Some("name") => "TheirManual".to_owned(),
        Some("event") => "Go".to_owned(),
        Some("app") => "theirs".to_owned(),
        Some("key") => "theirs".to_owned(),
        Some("digest") => digest.to_owned(),
        Some(unknown) => panic!("say what {{{unknown}}} stands for"),
    };
    let path: Vec<_> = path.split('/').map(part).collect();
    let query = "createdTimeFrom=2000-01-01&timeout=1&pollingInterval=1&force=true&showHistory=true&to=current";
    format!("{}?taskHub={hub}&{query}", path.join("/"))
}

/// The route of an instance on the other bases, if it is one of those.
fn on_all_bases(path: &str, token: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    if let Some(rest) = path.strip_prefix(WEBHOOKS) {
        all.push(format!("{EXTENSION}{rest}"));
        all.push(format!("/durabletask/{token}{rest}"));
    }
    all
}

fn body_of(body: &str) -> Bytes {
    if body == "a component" { guests::example("hello-cities") } else { Bytes::from(body.to_owned()) }
}

/// A server on which a start and its first episode always share a commit.
async fn server() -> Server {
    Server::with(Settings { start_patience: Duration::from_secs(30), ..Settings::default() }).await
}

async fn deploy(server: &Server, hub: &str, app: &str, component: Bytes) -> String {
    server.admin(&format!("PUT /admin/hubs/{hub}/apps/{app}"), component).await.json()["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A hub with one instance that waits, one that failed and one that has ended; an app that nobody else has, a key.
/// The app's digest.
async fn furnish(server: &Server, hub: &str) -> String {
    server.admin(&format!("PUT /admin/hubs/{hub}"), "").await;
    for guest in ["flow", "intruder"] {
        deploy(server, hub, guest, guests::guest(guest)).await;
    }
    let digest = deploy(server, hub, "theirs", guests::example("hello-cities")).await;
    server.admin(&format!("PUT /admin/hubs/{hub}/config"), r#"{"env":{"A":"their own business"}}"#).await;
    server.key(hub, "theirs", &["manage"]).await;
    instances(server, hub).await;
    digest
}

/// Starts those that are not there.
async fn instances(server: &Server, hub: &str) {
    for (function, id) in [("Event", "waits"), ("Fails", "fails"), ("Custom", "ended")] {
        let start = format!("POST {WEBHOOKS}/orchestrators/{function}/{id}?taskHub={hub}");
        let status = server.ask(&start, KEY, "\"Go\"").await.status.as_u16();
        assert!([202, 409].contains(&status), "{status}");
    }
    for id in ["fails", "ended"] {
        server.host.engine.wait(&hub.into(), id, Duration::from_secs(60)).await.unwrap();
    }
}

/// What came back, without what differs between two servers: keys, codes and drawn ids.
fn told(answer: &Answer) -> String {
    let headers: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    blank(&format!("{}\n{}\n{}", answer.status, headers.join("\n"), answer.text()))
}

fn numberless(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Without hexadecimal numbers as long as ids.
fn blank(text: &str) -> String {
    let (mut out, mut run) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        out.push_str(if [16, 32, 64, 80].contains(&run.len()) { "[drawn]" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Somebody with every key that a hub can have.
struct Intruder<'a> {
    server: &'a Server,
    /// Keys and codes of the own hub, and none.
    keys: Vec<String>,
    token: String,
    digest: String,
    /// All that was asked and told.
    transcript: Vec<(String, String)>,
}

impl<'a> Intruder<'a> {
    async fn of(server: &'a Server, digest: String) -> Self {
        server.admin("PUT /admin/hubs/attacker", "").await;
        for guest in ["flow", "intruder"] {
            deploy(server, "attacker", guest, guests::guest(guest)).await;
        }
        let scopes = ["manage", "deploy", "read", "function:IntrudeByHttp"];
        let key = server.key("attacker", "all", &scopes).await;
        let binding = server.ask("GET /admin/hubs/attacker/binding", &key, "").await.json();
        let start = format!("POST {WEBHOOKS}/orchestrators/Event/own?taskHub=attacker");
        let link = server.ask(&start, &key, "\"Go\"").await.json();
        let managing = code_of(&binding["managementUrls"]["statusQueryGetUri"]);
        let token =
            binding["rpcBaseUrl"].as_str().unwrap().trim_end_matches('/').rsplit_once('/').unwrap().1.to_owned();
        let keys = vec![key, managing, code_of(&link["statusQueryGetUri"]), String::new()];
        Self { server, keys, token, digest, transcript: Vec::new() }
    }

    fn key(&self) -> String {
        self.keys[0].clone()
    }

    async fn ask(&mut self, request: &str, key: &str, body: Bytes) -> Answer {
        // Of a surface that has not been asked with wrong keys before.
        let answer = self.server.fresh().ask(request, key, body).await;
        self.transcript.push((blank(request), told(&answer)));
        answer
    }

    /// Every route, about this hub, with every key.
    async fn try_routes(&mut self, hub: &str, keys: &[String]) {
        for (method, path, body) in ROUTES {
            for path in on_all_bases(path, &self.token.clone()) {
                for id in ["waits", "fails", "ended"].iter().filter(|id| path.contains("{id}") || **id == "ended") {
                    let request = format!("{method} {}", filled(&path, hub, id, &self.digest));
                    for key in keys {
                        let answer = self.ask(&request, key, body_of(body)).await;
                        assert!(hub != "victim" || !answer.status.is_success(), "{request}: {}", answer.text());
                    }
                }
            }
        }
    }

    /// A call of the contract's client, made in this hub by the role; what the guest was told.
    async fn call(&mut self, (hub, role): (&str, &str), (operation, id): (&str, &str), key: &str) -> String {
        let continuation =
            (operation == "list-instances" && id == "fails").then(|| "0000000000000000-waits".to_owned());
        let function = if id == "ended" { "E1_HelloSequence" } else { "Event" };
        let call = json!({"operation": operation, "id": id, "function": function, "continuation": continuation});
        let request = match role {
            "http" => format!("POST /hubs/{hub}/api/intrude?call={operation}&of={id}"),
            "hand" => format!("POST /admin/functions/IntrudeByHand?taskHub={hub}&call={operation}&of={id}"),
            _ => format!("POST {WEBHOOKS}/orchestrators/Program/by-activity?taskHub={hub}&call={operation}&of={id}"),
        };
        let body = match role {
            "http" => call,
            "hand" => json!({"input": call}),
            _ => json!({"step": {"activity": {"name": "IntrudeByActivity", "input": call}}}),
        };
        let answer = self.ask(&request, key, Bytes::from(body.to_string())).await;
        assert!(answer.status.is_success(), "{request}: {}", answer.text());
        if role == "activity" { self.output(hub, "by-activity").await } else { blank(&answer.text()) }
    }

    /// How an instance of the own hub ended.
    async fn output(&mut self, hub: &str, id: &str) -> String {
        self.server.host.engine.wait(&hub.into(), id, Duration::from_secs(60)).await.unwrap();
        let status = self.server.admin(&format!("GET {WEBHOOKS}/instances/{id}?taskHub={hub}"), "").await;
        self.transcript.push((format!("output of {id}"), told(&status)));
        blank(&status.json()["output"].to_string())
    }

    /// Removes what the attempts made under the other hub's ids.
    async fn tidy(&mut self) {
        for id in ["waits", "fails", "ended"] {
            let instance = format!("{WEBHOOKS}/instances/{id}");
            self.server.ask(&format!("POST {instance}/terminate?taskHub=attacker"), KEY, "").await;
            self.server.ask(&format!("DELETE {instance}?taskHub=attacker"), KEY, "").await;
        }
    }

    /// Every call of the contract's client, in every role.
    async fn try_calls(&mut self) {
        let key = self.key();
        for role in ["http", "activity"] {
            for operation in CLIENT {
                for id in ["waits", "fails", "ended"] {
                    self.call(("attacker", role), (operation, id), &key).await;
                }
            }
            self.tidy().await;
        }
    }

    /// The same by hand, where nobody is told when it has been done: until the hub is gone, and so all that ran in it.
    async fn try_by_hand(mut self) -> Vec<(String, String)> {
        let key = self.key();
        for operation in CLIENT {
            for id in ["waits", "fails", "ended"] {
                self.call(("attacker", "hand"), (operation, id), &key).await;
            }
        }
        self.server.admin("DELETE /admin/hubs/attacker?force=true", "").await;
        while self.server.host.engine.hub("attacker").is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.transcript
    }

    /// What an orchestrator can name.
    async fn try_orchestrators(&mut self) {
        let key = self.key();
        for (number, step) in [
            json!({"send": {"to": "waits", "name": "Go", "data": 1}}),
            json!({"send": {"to": "fails", "name": "Go", "data": 1}}),
            json!({"catch": {"activity": {"name": "E1_SayHello", "input": "you"}}}),
            json!({"catch": {"child": {"function": "E1_HelloSequence"}}}),
            json!({"catch": {"child": {"function": "E1_HelloSequence", "id": "waits"}}}),
            json!({"start": {"function": "E1_HelloSequence", "id": "fails"}}),
            json!({"catch": {"child": {"function": "Sequence", "id": "waits", "input": ["own"]}}}),
            json!({"start": {"function": "Custom", "id": "ended", "input": 1}}),
        ]
        .into_iter()
        .enumerate()
        {
            let request = format!("POST {WEBHOOKS}/orchestrators/Program/by-{number}?taskHub=attacker");
            let answer = self.ask(&request, &key, Bytes::from(json!({"step": step}).to_string())).await;
            assert!(answer.status.is_success(), "{request}: {}", answer.text());
            self.output("attacker", &format!("by-{number}")).await;
        }
        // Nobody waited for the last one to begin.
        let engine = &self.server.host.engine;
        comes_to(async || {
            let started = engine.wait_for_start(&"attacker".into(), "ended", PATIENCE).await.unwrap();
            started.is_some_and(|started| started.record.status == Status::Running)
        })
        .await;
        self.tidy().await;
    }
}

/// All that an intruder can ask for, and what it is told.
async fn intrude(server: &Server, digest: String) -> Vec<(String, String)> {
    let mut intruder = Intruder::of(server, digest).await;
    let keys = intruder.keys.clone();
    intruder.try_routes("victim", &keys).await;
    intruder.try_calls().await;
    intruder.try_orchestrators().await;
    for path in ["api/intrude", "api/nothing", "api", "x"] {
        for key in &keys {
            intruder.ask(&format!("POST /hubs/victim/{path}"), key, Bytes::from_static(b"{}")).await;
        }
    }
    let renamed = intruder.token.replacen("attacker", "victim", 1);
    for token in [renamed, intruder.token.clone()] {
        let request = format!("GET /durabletask/{token}/instances/waits?taskHub=victim");
        assert_eq!(intruder.ask(&request, &keys[0], Bytes::new()).await.status, 401);
    }
    // The other hub's ids and names in the own hub, and last what removes apps and deploys.
    intruder.try_routes("attacker", &keys[..1]).await;
    deploy(server, "attacker", "intruder", guests::guest("intruder")).await;
    intruder.try_by_hand().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_to_another_one_as_if_it_were_not() {
    let (with, without) = (server().await, server().await);
    let digest = furnish(&with, "victim").await;
    let before = with.contents("victim").await;
    let (seen, unseen) = tokio::join!(intrude(&with, digest.clone()), intrude(&without, digest));
    assert_eq!(seen.len(), unseen.len());
    println!("{} answers", seen.len());
    for ((request, with), (same, without)) in seen.iter().zip(&unseen) {
        assert_eq!(request, same);
        if request.starts_with("GET /admin/hubs/attacker/usage") && with.starts_with("200") {
            // What the own hub has used is measured.
            assert_eq!(numberless(with), numberless(without));
            continue;
        }
        let differ = with.chars().zip(without.chars()).take_while(|(one, other)| one == other).count();
        let around = |text: &str| text.chars().skip(differ.saturating_sub(200)).take(400).collect::<String>();
        assert!(with == without, "{request}\n{}\n{}", around(with), around(without));
    }
    assert_eq!(with.contents("victim").await, before);
    assert!(!seen.iter().any(|(_, told)| told.contains("their own business")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_calls_tell_and_do_something_in_the_own_hub() {
    let server = server().await;
    let digest = furnish(&server, "victim").await;
    let key = server.key("victim", "own", &["manage"]).await;
    let mut intruder = Intruder::of(&server, digest).await;
    for operation in CLIENT {
        let mut differs = false;
        if !operation.starts_with("start-") {
            instances(&server, "victim").await;
        }
        for id in ["waits", "fails", "ended"] {
            let foreign = intruder.call(("attacker", "http"), (operation, id), &intruder.key()).await;
            let own = intruder.call(("victim", "http"), (operation, id), &key).await;
            differs |= foreign.replace("attacker", "victim") != own || operation.starts_with("create-");
        }
        // A start that replaces what is there is told as any other.
        assert!(differs || operation.starts_with("start-"), "{operation} shows nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_is_tried_does_something_for_its_owner() {
    let server = server().await;
    for (number, (method, path, body)) in ROUTES.iter().enumerate() {
        let hub = format!("owner{number}");
        let digest = furnish(&server, &hub).await;
        let id = if path.contains("rewind") || *method == "DELETE" { "fails" } else { "waits" };
        let path = filled(path, &hub, if path.contains("orchestrators") { "new" } else { id }, &digest);
        let path = path.replace("TheirManual", "IntrudeByHand").replace("history?", "history?format=portable&");
        let answer = server.ask(&format!("{method} {path}"), KEY, body_of(body)).await;
        // A store in memory has no backup, and a hub that exists is not imported.
        let refused = path.starts_with("/admin/backup") || path.contains("/import?");
        let expected = if refused { answer.status == 409 } else { answer.status.is_success() };
        assert!(expected, "{method} {path}: {} {}", answer.status, answer.text());
    }
}
