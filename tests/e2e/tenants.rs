//! Keys of hubs, and what one tenant can learn of another: nothing.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::api::ApiSettings;
use durawasm_host::engine::Settings;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{HubName, ListQuery, SharedStore};
use durawasm_tests::{Answer, Host, ManualClock, guests};
use serde_json::{Value, json};

use crate::surface::Transcript;

pub(crate) const KEY: &str = "the admin key, of which nobody knows";
const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const LOCAL: (&str, &str) = ("host", "localhost:7071");
/// Far longer than anything takes that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

fn keyed() -> ApiSettings {
    ApiSettings { admin_key: Some(KEY.to_owned()), ..ApiSettings::new("http://localhost:7071") }
}

/// A server with a key.
pub(crate) struct Server {
    pub(crate) host: Host,
    store: SharedStore,
    clock: ManualClock,
}

impl Server {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
        let open = Host::with(Arc::clone(&store), settings, clock.clock()).await;
        Self { host: open.behind(keyed()), store, clock }
    }

    pub(crate) async fn ask(&self, request: &str, key: &str, body: impl Into<axum::body::Body>) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let kind = if path.contains("/apps/") { "application/wasm" } else { "application/json" };
        let headers = [LOCAL, ("content-type", kind), ("x-functions-key", key)];
        self.host.send_with(method, path, &headers, body).await
    }

    /// The same of a server that has not been asked with wrong keys before.
    pub(crate) async fn patient(&self, request: &str, key: &str) -> Answer {
        self.fresh().ask(request, key, "{}").await
    }

    /// The same server, which has not been asked with wrong keys before.
    pub(crate) fn fresh(&self) -> Self {
        Self { host: self.host.behind(keyed()), store: Arc::clone(&self.store), clock: self.clock.clone() }
    }

    async fn code(&self, request: &str, key: &str, body: &str) -> u16 {
        self.ask(request, key, body.to_owned()).await.status.as_u16()
    }

    pub(crate) async fn admin(&self, request: &str, body: impl Into<axum::body::Body>) -> Answer {
        let answer = self.ask(request, KEY, body).await;
        assert!(answer.status.is_success(), "{request}: {} {}", answer.status, answer.text());
        answer
    }

    /// A key of a hub with these scopes.
    pub(crate) async fn key(&self, hub: &str, name: &str, scopes: &[&str]) -> String {
        let body = json!({"name": name, "scopes": scopes}).to_string();
        let made = self.admin(&format!("POST /admin/hubs/{hub}/keys"), body).await;
        assert_eq!(made.status, 201);
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// A hub with HTTP and manual functions, and an instance `same` that waits.
    async fn tenant(&self, hub: &str) {
        self.admin(&format!("PUT /admin/hubs/{hub}"), "").await;
        for (app, example) in [("start", "http-start"), ("manage", "instance-management")] {
            self.admin(&format!("PUT /admin/hubs/{hub}/apps/{app}"), guests::example(example)).await;
        }
        self.admin(&format!("POST {WEBHOOKS}/orchestrators/Counter/same?taskHub={hub}"), "").await;
        self.host.engine.wait_for_start(&hub.into(), "same", PATIENCE).await.unwrap();
    }

    /// All that a hub has.
    pub(crate) async fn contents(&self, hub: &str) -> String {
        let name = HubName::from(hub);
        let page = self.store.list(&name, ListQuery { limit: 1_000, ..ListQuery::default() }).await.unwrap();
        let mut instances = Vec::new();
        for record in &page.records {
            instances.push((self.store.history(record.number).await, self.store.payloads(record.number).await));
        }
        let apps: Vec<_> = self.store.apps().await.unwrap().into_iter().filter(|app| app.hub == name).collect();
        let hubs: Vec<_> = self.store.hubs().await.unwrap().into_iter().filter(|hub| hub.name == name).collect();
        let mail: Vec<_> = self.store.mail(None, 1_000).await.unwrap();
        let mail: Vec<_> = mail.into_iter().filter(|mail| mail.hub == name).collect();
        let counts = self.store.counts(&name).await.unwrap();
        format!("{instances:?} {apps:?} {hubs:?} {mail:?} {counts:?}")
    }
}

/// The code of a link.
pub(crate) fn code_of(link: &Value) -> String {
    link.as_str().unwrap().rsplit_once("code=").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_over_http() {
    let server = Server::new().await;
    server.admin("PUT /admin/hubs/tenant", "").await;
    let mut all = Transcript::default();
    let headers = [LOCAL, ("content-type", "application/json"), ("x-functions-key", KEY)];
    let keys = "/admin/hubs/tenant/keys";
    for (request, body) in [
        (format!("GET {keys}"), ""),
        (format!("POST {keys}"), r#"{"name":"ci","scopes":["deploy","read","deploy"]}"#),
        (format!("POST {keys}"), r#"{"name":"ci","scopes":["manage"]}"#),
        (format!("POST {keys}"), r#"{"name":"","scopes":["manage"]}"#),
        (format!("POST {keys}"), r#"{"name":"x","scopes":[]}"#),
        (format!("POST {keys}"), r#"{"name":"x","scopes":["everything"]}"#),
        (format!("POST {keys}"), r#"{"name":"x","scopes":["function:"]}"#),
        (format!("POST {keys}"), r#"{"name":"x","scope":"read"}"#),
        (format!("POST {keys}"), "no JSON"),
        ("POST /admin/hubs/nobody/keys".to_owned(), r#"{"name":"x","scopes":["read"]}"#),
        (format!("POST {keys}/ci/rotate?overlap=60"), ""),
        (format!("POST {keys}/ci/rotate?overlap=tomorrow"), ""),
        (format!("POST {keys}/nobody/rotate"), ""),
        (format!("GET {keys}"), ""),
        (format!("DELETE {keys}/nobody"), ""),
        (format!("DELETE {keys}/ci"), ""),
        (format!("GET {keys}"), ""),
    ] {
        all.ask_with(&server.host, &request, &headers, body).await;
    }
    let read = server.key("tenant", "reader", &["read"]).await;
    let reader = [LOCAL, ("x-functions-key", read.as_str())];
    for request in ["GET /admin/hubs/default", "DELETE /admin/hubs/tenant", "GET /admin/hubs"] {
        all.ask_with(&server.host, request, &reader, "").await;
    }
    all.ask_with(&server.host, &format!("POST {WEBHOOKS}/orchestrators/X?taskHub=tenant"), &reader, "").await;
    all.is("keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_scopes_say() {
    let server = Server::new().await;
    server.tenant("tenant").await;
    let mut keys = Vec::new();
    for scope in ["manage", "deploy", "read", "function:HttpStartSingle"] {
        keys.push(server.key("tenant", scope, &[scope]).await);
    }
    let (q, component) = ("taskHub=tenant", "PUT /admin/hubs/tenant/apps/start");
    // What manage, deploy, read and a function's key get.
    for (request, expected) in [
        (format!("GET {WEBHOOKS}/instances/same?{q}"), [202, 403, 202, 403]),
        (format!("GET {WEBHOOKS}/instances?{q}"), [200, 403, 200, 403]),
        (format!("GET {WEBHOOKS}/statistics?{q}"), [200, 403, 200, 403]),
        (format!("POST {WEBHOOKS}/instances/same/suspend?{q}"), [202, 403, 403, 403]),
        (format!("POST {WEBHOOKS}/instances/same/resume?{q}"), [202, 403, 403, 403]),
        (format!("POST {WEBHOOKS}/orchestrators/Counter/same?{q}"), [409, 403, 403, 403]),
        ("GET /admin/hubs/tenant".to_owned(), [200, 200, 200, 403]),
        ("GET /admin/hubs/tenant/usage".to_owned(), [200, 403, 200, 403]),
        ("GET /admin/hubs/tenant/apps/start".to_owned(), [200, 200, 200, 403]),
        ("GET /admin/hubs/tenant/binding".to_owned(), [200, 403, 403, 403]),
        ("GET /admin/hubs/tenant/keys".to_owned(), [403, 403, 403, 403]),
        ("GET /admin/hubs".to_owned(), [403, 403, 403, 403]),
        (component.to_owned(), [403, 400, 403, 403]),
        (format!("POST /admin/functions/Nothing?{q}"), [404, 403, 403, 403]),
        ("POST /hubs/tenant/api/orchestrators/Counter/same".to_owned(), [409, 403, 403, 409]),
        ("POST /hubs/tenant/api/orchestrators/Counter".to_owned(), [202, 403, 403, 403]),
        ("GET /hubs/tenant/api/GetAllStatus".to_owned(), [200, 200, 200, 200]),
    ] {
        for (key, expected) in keys.iter().zip(expected) {
            assert_eq!(server.code(&request, key, "").await, expected, "{request} {}", &key[..8]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_in_three_ways_and_what_is_none_opens_nothing() {
    let server = Server::new().await;
    server.tenant("tenant").await;
    let key = server.key("tenant", "k", &["read"]).await;
    let path = format!("{WEBHOOKS}/instances/same?taskHub=tenant");
    let bearer = format!("Bearer {key}");
    for headers in [vec![("x-functions-key", key.as_str())], vec![("authorization", bearer.as_str())]] {
        let answer = server.host.send_with("GET", &path, &[vec![LOCAL], headers].concat(), "").await;
        assert_eq!(answer.status, 202);
    }
    assert_eq!(server.host.send_with("GET", &format!("{path}&code={key}"), &[LOCAL], "").await.status, 202);
    let none = server.host.send_with("GET", &path, &[LOCAL], "").await;
    assert_eq!((none.status.as_u16(), none.text()), (401, String::new()));
    for wrong in [&key[..key.len() - 1], &key[4..], &key.to_uppercase(), &KEY[1..], "dwk_"] {
        assert_eq!(server.code(&format!("GET {path}"), wrong, "").await, 401, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_slowed_down() {
    let server = Server::new().await;
    let path = format!("GET {WEBHOOKS}/instances");
    let mut wrong = 0;
    while server.code(&path, "wrong", "").await == 401 {
        wrong += 1;
        assert!(wrong <= 20, "nobody slows it down");
    }
    let limited = server.ask(&path, KEY, "").await;
    assert_eq!(limited.status, 429, "the right one is not told from the others");
    assert!(limited.headers.contains_key("retry-after"));
    assert_eq!(server.host.send_with("GET", "/healthz", &[LOCAL], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_with_an_overlap_and_revoked_at_once() {
    let server = Server::new().await;
    server.tenant("tenant").await;
    let old = server.key("tenant", "k", &["manage"]).await;
    let status = format!("GET {WEBHOOKS}/instances/same?taskHub=tenant");
    let binding = |key: String| async { server.ask("GET /admin/hubs/tenant/binding", &{ key }, "").await.json() };
    let of_old = code_of(&binding(old.clone()).await["managementUrls"]["statusQueryGetUri"]);
    let start = format!("POST {WEBHOOKS}/orchestrators/Counter/linked?taskHub=tenant");
    let link = code_of(&server.ask(&start, &old, "").await.json()["statusQueryGetUri"]);
    let linked = format!("GET {WEBHOOKS}/instances/linked?taskHub=tenant");
    let rotated = server.admin("POST /admin/hubs/tenant/keys/k/rotate?overlap=60", "").await.json();
    let new = rotated["key"].as_str().unwrap().to_owned();
    let of_new = code_of(&binding(new.clone()).await["managementUrls"]["statusQueryGetUri"]);
    for key in [&old, &new, &of_old, &of_new] {
        assert_eq!(server.code(&status, key, "").await, 202);
    }
    assert_eq!(server.code(&linked, &link, "").await, 202);
    server.clock.advance(60);
    for key in [&new, &of_new] {
        assert_eq!(server.code(&status, key, "").await, 202);
    }
    for (request, key) in [(&status, &old), (&status, &of_old), (&linked, &link)] {
        assert_eq!(server.code(request, key, "").await, 401);
    }
    let at_once = server.admin("POST /admin/hubs/tenant/keys/k/rotate?overlap=0", "").await.json();
    assert_eq!(server.code(&status, &new, "").await, 401);
    let last = at_once["key"].as_str().unwrap();
    assert_eq!(server.code(&status, last, "").await, 202);
    let rpc = binding(last.to_owned()).await["rpcBaseUrl"].as_str().unwrap().split_once("7071").unwrap().1.to_owned();
    assert_eq!(server.host.send_with("GET", &format!("{rpc}instances/same"), &[LOCAL], "").await.status, 202);
    server.admin("DELETE /admin/hubs/tenant/keys/k", "").await;
    assert_eq!(server.code(&status, last, "").await, 401);
    assert_eq!(server.host.send_with("GET", &format!("{rpc}instances/same"), &[LOCAL], "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_codes_of_a_deleted_hub_do_not_open_the_next_of_its_name() {
    let server = Server::new().await;
    server.tenant("tenant").await;
    let key = server.key("tenant", "k", &["manage"]).await;
    let by_admin = server.admin("GET /admin/hubs/tenant/binding", "").await.json();
    let minted = code_of(&by_admin["managementUrls"]["statusQueryGetUri"]);
    let status = format!("GET {WEBHOOKS}/instances/same?taskHub=tenant");
    for code in [&key, &minted] {
        assert_eq!(server.code(&status, code, "").await, 202);
    }
    server.admin("DELETE /admin/hubs/tenant?force=true", "").await;
    while server.host.engine.hub("tenant").is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.tenant("tenant").await;
    for code in [&key, &minted] {
        assert_eq!(server.code(&status, code, "").await, 401);
    }
}

/// Every route that needs a key, as the server describes them: method and path, `{…}` filled in by `fill`.
async fn routes(server: &Server, fill: impl Fn(&str) -> String) -> Vec<String> {
    let document = server.host.send_with("GET", "/openapi.json", &[LOCAL], "").await.json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_none() {
                continue;
            }
            let filled: Vec<_> = path
                .split('/')
                .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(name) => fill(name),
                    None => part.to_owned(),
                })
                .collect();
            routes.push(format!("{} {}", method.to_uppercase(), filled.join("/")));
        }
    }
    assert!(routes.len() >= 24, "{routes:?}");
    routes
}

/// A request of a hub that its path may or may not name.
fn of_hub(route: &str, hub: &str) -> String {
    format!("{route}?taskHub={hub}&createdTimeFrom=2000-01-01&timeout=1&pollingInterval=1&force=true")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_tells_or_does_anything_for_keys_of_another_hub() {
    let server = Server::new().await;
    for hub in ["victim", "attacker"] {
        server.tenant(hub).await;
    }
    server.key("victim", "theirs", &["manage"]).await;
    let all = ["manage", "deploy", "read", "function:HttpStart", "function:HttpStartSingle"];
    let key = server.key("attacker", "all", &all).await;
    let binding = server.ask("GET /admin/hubs/attacker/binding", &key, "").await.json();
    let by_admin = server.admin("GET /admin/hubs/attacker/binding", "").await.json();
    let link =
        server.ask(&format!("POST {WEBHOOKS}/orchestrators/Counter/own?taskHub=attacker"), &key, "").await.json();
    let managing = |binding: &Value| code_of(&binding["managementUrls"]["statusQueryGetUri"]);
    let codes = [managing(&binding), managing(&by_admin), code_of(&link["statusQueryGetUri"])];
    let filled = |there: bool| {
        move |name: &str| match (name, there) {
            ("hub", true) => "victim".to_owned(),
            ("hub", false) => "nobody".to_owned(),
            ("function", true) => "Counter".to_owned(),
            ("id", true) => "same".to_owned(),
            ("app", true) => "start".to_owned(),
            ("key", true) => "theirs".to_owned(),
            ("name", true) => "TerminateInstance".to_owned(),
            (_, true) => "MyEvent".to_owned(),
            (_, false) => "nothing".to_owned(),
        }
    };
    let (there, nowhere) = (routes(&server, filled(true)).await, routes(&server, filled(false)).await);
    let before = server.contents("victim").await;
    for (exists, missing) in there.iter().zip(&nowhere) {
        let (exists, missing) = (of_hub(exists, "victim"), of_hub(missing, "nobody"));
        let (told, nothing) = (server.ask(&exists, &key, "{}").await, server.ask(&missing, &key, "{}").await);
        assert_eq!((told.status.as_u16(), nothing.status.as_u16()), (403, 403), "{exists}");
        assert_eq!((told.text(), &told.headers), (nothing.text(), &nothing.headers), "{exists}");
        for code in &codes {
            let (told, nothing) = (server.patient(&exists, code).await, server.patient(&missing, code).await);
            assert_eq!((told.status.as_u16(), nothing.status.as_u16()), (401, 401), "{exists}");
            assert_eq!((told.text(), &told.headers), (nothing.text(), &nothing.headers), "{exists}");
        }
    }
    assert_eq!(server.contents("victim").await, before, "nothing was changed");
    for (path, function) in [
        ("hubs/victim/api/orchestrators/Counter/same", "its"),
        ("hubs/victim/api/nothing", "none"),
        ("hubs/nobody/api/x", ""),
    ] {
        let answer = server.ask(&format!("POST /{path}"), &key, "").await;
        assert_eq!((answer.status.as_u16(), answer.text().contains("victim")), (403, false), "{function}");
    }
    for binding in [&binding, &by_admin] {
        let rpc = binding["rpcBaseUrl"].as_str().unwrap().split_once("7071").unwrap().1;
        let renamed = rpc.replacen("attacker", "victim", 1);
        for path in [format!("{rpc}instances/same?taskHub=victim"), format!("{renamed}instances/same")] {
            assert_eq!(server.patient(&format!("GET {path}"), "").await.status, 401, "{path}");
            assert_eq!(server.patient(&format!("GET {path}"), &key).await.status, 401, "{path}");
        }
        assert_eq!(server.patient(&format!("GET {rpc}instances/same"), "").await.status, 202, "its own");
    }
    assert_eq!(server.contents("victim").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_in_guests_see_their_own_hub_alone() {
    let server = Server::new().await;
    for hub in ["victim", "attacker"] {
        server.tenant(hub).await;
    }
    server.admin(&format!("POST {WEBHOOKS}/orchestrators/Counter/secret?taskHub=victim"), "").await;
    let failing = format!("POST {WEBHOOKS}/orchestrators/InstanceInfo/ended?taskHub=victim");
    let _ended = server.ask(&failing, KEY, "").await;
    let key = server.key("attacker", "all", &["manage", "function:HttpStart"]).await;
    server.host.engine.wait_for_start(&"victim".into(), "secret", PATIENCE).await.unwrap();
    server.host.engine.wait(&"victim".into(), "ended", PATIENCE).await.unwrap();
    let before = server.contents("victim").await;
    let list = server.ask("GET /hubs/attacker/api/GetAllStatus", &key, "").await;
    let ids: Vec<_> = list.json().as_array().unwrap().iter().map(|item| item["instanceId"].to_string()).collect();
    assert_eq!(ids, ["\"same\""], "{}", list.text());
    for function in
        ["GetStatus", "RaiseEvent", "TerminateInstance", "RewindInstance", "PurgeInstance", "HelloWorldManualStart"]
    {
        // The ids, and what might be taken for them or for a way to them.
        const FORGED: [&str; 12] = [
            "secret",
            "ended",
            "victim/secret",
            "victim:secret",
            "../victim/secret",
            "..\\victim\\secret",
            "secret@victim",
            "@victim@secret",
            "secret\0",
            "sec\u{200b}ret",
            "%2e%2e/victim/secret",
            "secret?taskHub=victim",
        ];
        for id in FORGED {
            let call = format!("POST /admin/functions/{function}?taskHub=attacker");
            assert_eq!(server.code(&call, &key, &json!({"input": id}).to_string()).await, 202);
        }
    }
    let purge = "POST /admin/functions/PurgeHistory?taskHub=attacker";
    assert_eq!(server.code(purge, &key, "{\"input\": 0}").await, 202);
    // The id of another hub is free in this one; a start waits for its output, so that all calls have been made.
    let start = server.ask("POST /hubs/attacker/api/orchestrators/Counter/secret", &key, "").await;
    assert_eq!(start.status, 202, "{}", start.text());
    assert!(start.json()["statusQueryGetUri"].as_str().unwrap().contains("taskHub=attacker"));
    let waited = server.ask("POST /hubs/attacker/api/orchestrators/HelloWorld/wait?timeout=90", &key, "").await;
    assert!(waited.status.is_success(), "{}", waited.text());
    server.admin("DELETE /admin/hubs/attacker?force=true", "").await;
    while server.host.engine.hub("attacker").is_some() {
        // Gone once nothing of it runs any more.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.contents("victim").await, before);
}
