//! The customary samples of client functions, each by its name, with an orchestration that ends in time and one that
//! does not.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::api::ApiSettings;
use durawasm_tests::{Answer, Host, Outside, guests};
use serde_json::{Value, json};

use crate::program::Program;
use crate::scenario::{by_hand, end};

const GREETINGS: [&str; 3] = ["Hello Tokyo!", "Hello Seattle!", "Hello London!"];
const LINKS: [&str; 9] = [
    "id",
    "statusQueryGetUri",
    "sendEventPostUri",
    "terminatePostUri",
    "purgeHistoryDeleteUri",
    "restartPostUri",
    "suspendPostUri",
    "resumePostUri",
    "rewindPostUri",
];

async fn host() -> Host {
    let host = Host::new().await;
    for example in ["hello-cities", "http-start", "instance-management"] {
        host.deploy(example, guests::example(example)).await;
    }
    host
}

/// The path and query of a URL of this server.
pub(crate) fn path_of(url: &Value) -> String {
    url.as_str().unwrap().split_once("7071").unwrap().1.to_owned()
}

/// The check-status response: 202, where to ask, and all the links.
fn is_check_status(answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json; charset=utf-8");
    assert_eq!(header("retry-after"), "10");
    let links = answer.json();
    assert_eq!(header("location"), links["statusQueryGetUri"].as_str().unwrap());
    assert_eq!(
        links.as_object().unwrap().keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
        LINKS.into()
    );
    links
}

fn is_conflict(answer: &Answer, id: &str) {
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(answer.text(), format!("An instance with ID '{id}' already exists."));
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_start_single() {
    let host = host().await;
    // One that ends: started, replaced, started by its links alone.
    let ends = "/api/orchestrators/E1_HelloSequence/one";
    let links = is_check_status(&host.send("POST", ends, "").await);
    assert_eq!(links["id"], "one");
    assert_eq!(end(&host.ended("one").await), json!(["Completed", GREETINGS]));
    is_check_status(&host.send("POST", ends, "").await);
    host.ended("one").await;
    // One that does not.
    let goes_on = "/api/orchestrators/Sum/sole";
    let links = is_check_status(&host.send("POST", goes_on, "").await);
    is_conflict(&host.send("POST", goes_on, "").await, "sole");
    let suspend = path_of(&links["suspendPostUri"]).replace("{text}", "a+break");
    assert_eq!(host.send("POST", &suspend, "").await.status, 202);
    host.until("sole", "suspended", |status| status["runtimeStatus"] == "Suspended").await;
    is_conflict(&host.send("POST", goes_on, "").await, "sole");
    // The URLs alone are enough to manage it.
    assert_eq!(host.send("GET", &path_of(&links["statusQueryGetUri"]), "").await.status, 202);
    let terminate = path_of(&links["terminatePostUri"]).replace("{text}", "enough");
    assert_eq!(host.send("POST", &terminate, "").await.status, 202);
    assert_eq!(end(&host.ended("sole").await), json!(["Terminated", "enough"]));
    is_check_status(&host.send("POST", goes_on, "").await);
    // The body is the input; one that is no JSON is the caller's fault.
    is_check_status(&host.send("POST", "/api/orchestrators/HelloWorld/ada", "\"Ada\"").await);
    assert_eq!(host.ended("ada").await["output"], "Hello Ada!");
    for (path, body) in [(goes_on.replace("sole", "bad"), "{"), ("/api/orchestrators/Nobody/x".to_owned(), "")] {
        let refused = host.send("POST", &path, body).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_start() {
    let host = host().await;
    // Each call starts another one, whether those before go on or have ended.
    let mut ids = std::collections::BTreeSet::new();
    for function in ["E1_HelloSequence", "E1_HelloSequence", "Sum", "Sum"] {
        let links = is_check_status(&host.send("POST", &format!("/api/orchestrators/{function}"), "").await);
        let id = links["id"].as_str().unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let asked = path_of(&links["statusQueryGetUri"]);
        if function == "Sum" {
            let running = host.send("GET", &asked, "").await;
            assert_eq!((running.status.as_u16(), &running.json()["output"]), (202, &Value::Null));
        } else {
            assert_eq!(end(&host.ended(&id).await), json!(["Completed", GREETINGS]));
            assert_eq!(host.send("GET", &asked, "").await.status, 200);
        }
        ids.insert(id);
    }
    assert_eq!(ids.len(), 4);
    let links = is_check_status(&host.send("POST", "/api/orchestrators/HelloWorld", "\"Ada\"").await);
    assert_eq!(host.ended(links["id"].as_str().unwrap()).await["output"], "Hello Ada!");
    for (function, body) in [("Sum", "{"), ("Nobody", "")] {
        let refused = host.send("POST", &format!("/api/orchestrators/{function}"), body).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_start_once() {
    let host = host().await;
    let once = |function: &str| format!("/api/orchestrators/{function}/only/once");
    is_check_status(&host.send("POST", &once("E1_HelloSequence"), "").await);
    assert_eq!(end(&host.ended("only").await), json!(["Completed", GREETINGS]));
    is_conflict(&host.send("POST", &once("E1_HelloSequence"), "").await, "only");
    is_conflict(&host.send("POST", &once("Sum"), "").await, "only");
    assert_eq!(host.send("DELETE", "/runtime/webhooks/durabletask/instances/only", "").await.status, 200);
    is_check_status(&host.send("POST", &once("Sum"), "").await);
    is_conflict(&host.send("POST", &once("Sum"), "").await, "only");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_of_http_start_single_one_starts() {
    let host = Arc::new(host().await);
    for (route, function) in [("race", "Sum"), ("race/once", "Sum"), ("job", "BackgroundJob")] {
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let (host, path) = (Arc::clone(&host), format!("/api/orchestrators/{function}/{route}"));
                let body = json!({"every_seconds": 3600, "rounds": number}).to_string();
                tokio::spawn(async move { host.send("POST", &path, body).await })
            })
            .collect();
        let (mut won, mut lost) = (Vec::new(), 0);
        let id = route.split('/').next().unwrap();
        for (number, call) in calls.into_iter().enumerate() {
            let answer = call.await.unwrap();
            if answer.status == 202 {
                assert_eq!(is_check_status(&answer)["id"], id);
                won.push(number);
            } else {
                is_conflict(&answer, id);
                lost += 1;
            }
        }
        assert_eq!((won.len(), lost), (1, 199), "{route}: {won:?}");
        let status = host.status(id).await;
        assert_eq!(status["input"]["rounds"], won[0], "the call that succeeded is the one that started it: {status}");
        let starts = status["historyEvents"].as_array().unwrap().iter();
        assert_eq!(starts.filter(|event| event["EventType"] == "ExecutionStarted").count(), 1);
        let terminate = format!("/runtime/webhooks/durabletask/instances/{id}/terminate");
        assert_eq!(host.send("POST", &terminate, "").await.status, 202);
        assert_eq!(host.send("DELETE", &format!("/runtime/webhooks/durabletask/instances/{id}"), "").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eternal_singleton_is_one_between_its_generations_too() {
    let host = host().await;
    let start = "/api/orchestrators/BackgroundJob/job";
    is_check_status(&host.send("POST", start, r#"{"every_seconds": 0}"#).await);
    host.until("job", "running", |status| status["runtimeStatus"] == "Running").await;
    let rounds = |status: &Value| status["customStatus"].as_u64().unwrap_or(0);
    let mut seen = 0;
    // As fast as it can, it is about to begin its next generation most of the time.
    while seen < 50 {
        is_conflict(&host.send("POST", start, r#"{"every_seconds": 0}"#).await, "job");
        let status = host.status("job").await;
        assert_eq!(status["runtimeStatus"], "Running");
        assert!(rounds(&status) >= seen, "it never begins from the start again: {status}");
        seen = rounds(&status);
    }
    let stop = "/runtime/webhooks/durabletask/instances/job/raiseEvent/Stop";
    assert_eq!(host.send("POST", stop, "null").await.status, 202);
    let stopped = host.ended("job").await;
    assert_eq!(stopped["runtimeStatus"], "Completed", "{stopped}");
    assert!(stopped["output"].as_u64().unwrap() >= seen);
    is_check_status(&host.send("POST", start, r#"{"every_seconds": 3600}"#).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_sync_start() {
    // The URLs have no prefix here.
    let host =
        host().await.behind(ApiSettings { route_prefix: String::new(), ..ApiSettings::new("http://localhost:7071") });
    let wait =
        |function: &str, timeout: f64| format!("/orchestrators/{function}/wait?timeout={timeout}&retryInterval=0.5");
    let done = host.send("POST", &wait("E1_HelloSequence", 90.0), "").await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!(GREETINGS)));
    assert_eq!(done.headers["content-type"], "application/json; charset=utf-8");
    let began = std::time::Instant::now();
    let late = host.send("POST", &wait("Sum", 2.0), "").await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    let links = is_check_status(&late);
    let id = links["id"].as_str().unwrap();
    host.until(id, "running", |status| status["runtimeStatus"] == "Running").await;
    // One that fails in time says so.
    let failed = host.send("POST", &wait("BackgroundJob", 90.0), r#"{"every_seconds": -1}"#).await;
    assert_eq!((failed.status.as_u16(), &failed.json()["runtimeStatus"]), (500, &json!("Failed")));
    // Neither an interval above the timeout nor what is no number is waited for.
    for query in ["timeout=1&retryInterval=2", "timeout=soon", "retryInterval=-1"] {
        let nonsense = host.send("POST", &format!("/orchestrators/Sum/wait?{query}"), "").await;
        assert_eq!(nonsense.status, 400, "{query}: {}", nonsense.text());
    }
    // What is managed is found all the same.
    assert_eq!(host.send("GET", &path_of(&links["statusQueryGetUri"]), "").await.status, 202);
    assert_eq!(host.send("GET", "/healthz", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_have_the_origin_of_the_request() {
    let host = host().await.behind(ApiSettings { trust_proxy: true, ..ApiSettings::new("http://public.example") });
    let headers = [("host", "localhost:7071"), ("x-forwarded-host", "df.example"), ("x-forwarded-proto", "https")];
    let answer = host.send_with("POST", "/api/orchestrators/Sum/here", &headers, "").await;
    let links = is_check_status(&answer);
    for name in &LINKS[1..] {
        assert!(links[name].as_str().unwrap().starts_with("https://df.example/runtime/"), "{links}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_all_status() {
    let host = host().await;
    // Some end and some do not.
    for number in 0..250 {
        let function = if number % 10 == 0 { "Sum" } else { "HelloWorld" };
        let id = host.start(function, json!(number.to_string())).await;
        if function == "Sum" {
            host.until(&id, "running", |status| status["runtimeStatus"] == "Running").await;
        }
    }
    for method in ["GET", "POST"] {
        let all = host.send(method, "/api/GetAllStatus", "").await;
        assert_eq!(all.status, 200, "{}", all.text());
        assert_eq!(all.headers["content-type"], "application/json; charset=utf-8");
        let all = all.json();
        let ids: std::collections::HashSet<_> =
            all.as_array().unwrap().iter().map(|one| one["instanceId"].as_str()).collect();
        assert_eq!((all.as_array().unwrap().len(), ids.len()), (250, 250), "all of them, and not a page");
        for field in ["name", "runtimeStatus", "createdTime", "lastUpdatedTime", "input", "output", "customStatus"] {
            assert!(all[0].get(field).is_some(), "{field}: {}", all[0]);
        }
        let running = all.as_array().unwrap().iter().filter(|one| one["name"] == "Sum");
        assert_eq!(running.filter(|one| one["runtimeStatus"] == "Running").count(), 25);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn query_status() {
    let host = host().await;
    let completed = host.run("HelloWorld", Value::Null).await["instanceId"].clone();
    let running = host.start("Sum", Value::Null).await;
    host.until(&running, "running", |status| status["runtimeStatus"] == "Running").await;
    let terminated = host.start("Sum", Value::Null).await;
    by_hand(&host, "TerminateInstance", json!(terminated)).await;
    host.ended(&terminated).await;
    let found = |query: &str| {
        let (host, path) = (&host, format!("/api/QueryStatus{query}"));
        async move {
            let answer = host.send("GET", &path, "").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
            let ids = answer.json().as_array().unwrap().iter().map(|one| one["instanceId"].clone()).collect::<Vec<_>>();
            json!(ids)
        }
    };
    assert_eq!(found("").await, json!([completed, running]), "neither the terminated one nor anything else");
    assert_eq!(found("?from=2018-03-10T10:01:00Z&to=2018-03-10T10:23:59Z").await, json!([]));
    assert_eq!(found("?from=2018-03-10T10:01:00Z&to=2999-01-01T00:00:00Z").await, json!([completed, running]));
    let wrong = host.send("GET", "/api/QueryStatus?from=yesterday", "").await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(wrong.text().contains("from is no time"), "{}", wrong.text());
}

async fn exists(host: &Host, id: &str) -> bool {
    let answer = host.send("GET", &format!("/runtime/webhooks/durabletask/instances/{id}"), "").await;
    answer.status != 404
}

#[tokio::test(flavor = "multi_thread")]
async fn start_many() {
    let host = host().await;
    let start =
        |function: &str, id: &str, input: Value| json!({"FunctionName": function, "InstanceId": id, "Input": input});
    let starts =
        json!([start("HelloWorld", "a", json!("Ada")), start("Sum", "b", Value::Null), {"FunctionName": "Sum"}]);
    let post = async |body: Value| host.send("POST", "/api/StartMany", body.to_string()).await;
    let started = post(starts).await;
    assert_eq!(started.status, 202, "{}", started.text());
    let ids = started.json();
    assert_eq!((ids.as_array().unwrap().len(), &ids[0], &ids[1]), (3, &json!("a"), &json!("b")));
    assert_eq!(host.ended("a").await["output"], "Hello Ada!");
    host.until("b", "running", |status| status["runtimeStatus"] == "Running").await;
    assert!(exists(&host, ids[2].as_str().unwrap()).await);
    // One of these goes on, or cannot be: the other is not started either.
    for other in [start("Sum", "b", Value::Null), start("Nobody", "d", Value::Null)] {
        let refused = post(json!([start("Sum", "c", Value::Null), other])).await;
        assert!([400, 409].contains(&refused.status.as_u16()), "{}", refused.text());
        assert!(!exists(&host, "c").await);
    }
    assert_eq!(post(json!([{"Input": 1}])).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_instance_and_history() {
    let host = host().await;
    let ended = host.run("HelloWorld", Value::Null).await["instanceId"].as_str().unwrap().to_owned();
    let other = host.run("HelloWorld", Value::Null).await["instanceId"].as_str().unwrap().to_owned();
    let running = host.start("Sum", Value::Null).await;
    let gone = async |id: &str| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while exists(&host, id).await {
            assert!(tokio::time::Instant::now() < deadline, "{id} is still there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    by_hand(&host, "PurgeInstance", json!(running)).await;
    by_hand(&host, "PurgeInstance", json!(ended)).await;
    gone(&ended).await;
    assert!(exists(&host, &other).await);
    by_hand(&host, "PurgeHistory", json!(0)).await;
    gone(&other).await;
    host.until(&running, "running: what has not ended stays", |status| status["runtimeStatus"] == "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminate_instance() {
    let host = host().await;
    let goes_on = host.start("Sum", Value::Null).await;
    by_hand(&host, "TerminateInstance", json!(goes_on)).await;
    assert_eq!(end(&host.ended(&goes_on).await), json!(["Terminated", "It was time to be done."]));
    // One that has ended stays as it is.
    let ended = host.run("HelloWorld", Value::Null).await;
    by_hand(&host, "TerminateInstance", ended["instanceId"].clone()).await;
    assert_eq!(host.status(ended["instanceId"].as_str().unwrap()).await, ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn raise_event() {
    let host = host().await;
    let waiting = host.start("Sum", Value::Null).await;
    by_hand(&host, "RaiseEvent", json!(waiting)).await;
    let done = host.ended(&waiting).await;
    assert_eq!(end(&done), json!(["Completed", 6]), "the event brought an array");
    let event = crate::scenario::event(&done, "EventRaised");
    assert_eq!((&event["Name"], &event["Input"]), (&json!("MyEvent"), &json!("[1,2,3]")));
    // One that has ended stays as it is.
    by_hand(&host, "RaiseEvent", json!(waiting)).await;
    assert_eq!(host.status(&waiting).await, done);
    // Nobody there: the event is gone, and the next instance of that id does not get it.
    by_hand(&host, "RaiseEvent", json!("nobody")).await;
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/nobody", "").await.status, 202);
    host.until("nobody", "running", |status| status["runtimeStatus"] == "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counter() {
    let host = host().await;
    let id = host.start("Counter", Value::Null).await;
    let raise = |name: &str, data: i64| {
        let path = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/{name}");
        let host = &host;
        async move { assert_eq!(host.send("POST", &path, data.to_string()).await.status, 202) }
    };
    for number in 1..=50 {
        raise("Add", number).await;
    }
    host.until(&id, "all counted", |status| status["customStatus"] == 1275).await;
    let stop = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Stop");
    assert_eq!(host.send("POST", &stop, "null").await.status, 202);
    assert_eq!(end(&host.ended(&id).await), json!(["Completed", 1275]));
}

/// The activity sends the URLs to a database outside; who finds them there needs nothing else, no key and no name.
#[tokio::test(flavor = "multi_thread")]
async fn send_instance_info() {
    const KEY: &str = "an admin key that is long enough";
    let database = Outside::new().await;
    let flags = ["--admin-key", KEY, "--egress", &database.address.to_string()];
    let program = Program::serve_with("memory", &flags).await;
    let admin = |method: reqwest::Method, path: &str| {
        program.http.request(method, format!("{}{path}", program.url)).header("x-functions-key", KEY)
    };
    let accepted = |request: reqwest::RequestBuilder| async {
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    };
    let app = guests::example("instance-management");
    let deploy = admin(reqwest::Method::PUT, "/admin/hubs/default/apps/instance-management");
    accepted(deploy.header("content-type", "application/wasm").body(app)).await;
    let config = json!({"env": {"MONITOR_DB": database.url("/echo")}});
    accepted(admin(reqwest::Method::PUT, "/admin/hubs/default/config").body(config.to_string())).await;
    accepted(admin(reqwest::Method::POST, "/runtime/webhooks/durabletask/orchestrators/Introduce/me")).await;

    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while database.asked().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "nothing is sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = &database.asked()[0];
    assert_eq!((&*asked.method, &*asked.headers["content-type"]), ("POST", "application/json"));
    let document: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!((&document["id"], &document["Payload"]["id"]), (&json!("me"), &json!("me")));
    assert_eq!(document.as_object().unwrap().len(), 2, "{document}");
    // From here on nothing is used but the URLs.
    let outsider = durawasm_tests::tls::http();
    let url = |name: &str| document["Payload"][name].as_str().unwrap().to_owned();
    let status = async || {
        let answer = outsider.get(url("statusQueryGetUri")).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (code, running) = status().await;
    assert_eq!((code, &running["runtimeStatus"]), (202, &json!("Running")));
    let raise = outsider.post(url("sendEventPostUri").replace("{eventName}", "Go")).json("now");
    assert_eq!(raise.send().await.unwrap().status(), 202);
    let done = loop {
        let (code, status) = status().await;
        if code == 200 {
            break status;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(end(&done), json!(["Completed", "now"]));
    let purge = outsider.delete(url("purgeHistoryDeleteUri")).send().await.unwrap();
    assert_eq!(purge.json::<Value>().await.unwrap(), json!({"instancesDeleted": 1}));
}

/// The database that the example itself stands for.
#[tokio::test(flavor = "multi_thread")]
async fn take_document() {
    let host = host().await;
    let taken = host.send("POST", "/api/documents", r#"{"what":"a boat"}"#).await;
    assert_eq!((taken.status.as_u16(), taken.text().as_str()), (201, ""));
    assert_eq!(host.send("POST", "/api/documents", "{").await.status, 400);
    assert_eq!(host.send("GET", "/api/documents", "").await.status, 405);
}

/// How often each person was asked.
async fn notified(host: &Host, child: &str) -> usize {
    let status = host.status(child).await;
    let events = status["historyEvents"].as_array().unwrap().iter();
    events.filter(|event| event["FunctionName"] == "NotifyApprover" || event["Name"] == "NotifyApprover").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rewind_instance() {
    let host = host().await;
    let database = Outside::new().await;
    let base = "/runtime/webhooks/durabletask";
    let configure = async |connection: &str| {
        let config = json!({"env": {"ORDERS_DB": connection}}).to_string();
        assert_eq!(host.send("PUT", "/admin/hubs/default/config", config).await.status, 200);
    };
    configure("nowhere").await;
    let order = json!({"what": "a boat", "approvers": ["Ann", "Bob"]}).to_string();
    assert_eq!(host.send("POST", &format!("{base}/orchestrators/Purchase/boat"), order).await.status, 202);
    for child in ["boat-Ann", "boat-Bob"] {
        let waits = |status: &Value| {
            let events = status["historyEvents"].as_array();
            events.is_some_and(|events| events.iter().any(|event| event["EventType"] == "TimerCreated"))
        };
        host.until(child, "asked", waits).await;
        let raise = format!("{base}/instances/{child}/raiseEvent/Approval");
        assert_eq!(host.send("POST", &raise, "true").await.status, 202);
    }
    let failed = host.ended("boat").await;
    assert_eq!(failed["runtimeStatus"], "Failed");
    let why = failed["output"].as_str().unwrap();
    assert!(why.contains("cannot connect to the database: ORDERS_DB is 'nowhere'"), "{why}");
    // Not mended yet: it fails again, and can be rewound again.
    by_hand(&host, "RewindInstance", json!("boat")).await;
    let rewound = |status: &Value| {
        let rewinds = status["historyEvents"].as_array().unwrap().iter();
        rewinds.filter(|event| event["EventType"] == "ExecutionRewound").count()
    };
    host.until("boat", "failed again", |status| rewound(status) == 1 && status["runtimeStatus"] == "Failed").await;
    configure(&database.url("/echo")).await;
    by_hand(&host, "RewindInstance", json!("boat")).await;
    host.until("boat", "completed", |status| status["runtimeStatus"] == "Completed").await;
    let done = host.ended("boat").await;
    assert_eq!(done["output"], "a boat is ordered");
    let saved: Vec<Value> = database.asked().iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect();
    assert_eq!(saved, [json!({"what": "a boat", "approvers": ["Ann", "Bob"]})]);
    assert_eq!(
        crate::scenario::event(&done, "ExecutionRewound")["Reason"],
        "Orchestrator failed and needs to be revived."
    );
    for child in ["boat-Ann", "boat-Bob"] {
        assert_eq!(notified(&host, child).await, 1, "nobody is asked twice");
    }
    // One that has not failed is not touched.
    by_hand(&host, "RewindInstance", json!("boat")).await;
    assert_eq!(host.status("boat").await, done);
}

/// What the samples write to the log, by the real program.
#[tokio::test(flavor = "multi_thread")]
async fn hello_world_manual_start_and_get_status() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
    let mut program = Program::spawn(folder.path(), crate::program::port(), |command| {
        command.stderr(file).env("RUST_LOG", "info").env("NO_COLOR", "1");
    });
    program.ready().await;
    program.deploy("instance-management", guests::example("instance-management")).await;
    let call = |name: &str, input: Value| {
        let request =
            program.http.post(format!("{}/admin/functions/{name}", program.url)).json(&json!({"input": input}));
        async move { assert_eq!(request.send().await.unwrap().status(), 202) }
    };
    let logged = |beginning: String| {
        let log = log.clone();
        async move {
            for _ in 0..12_000 {
                let text = std::fs::read_to_string(&log).unwrap();
                if let Some((_, rest)) = text.split_once(&beginning) {
                    return rest.lines().next().unwrap().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("{beginning:?} is not in the log: {}", std::fs::read_to_string(&log).unwrap());
        }
    };
    call("HelloWorldManualStart", json!("Ada")).await;
    let id = logged("Started orchestration with ID = '".to_owned()).await;
    let id = id.split('\'').next().unwrap().to_owned();
    assert_eq!(program.ended(&id).await["output"], "Hello Ada!");
    let begin = format!("\"instanceId\":\"{id}\",");
    let mut shown = Vec::new();
    for (history, output) in [(false, false), (true, false), (true, true)] {
        // Each line is looked for after the ones before.
        std::fs::write(&log, "").unwrap();
        call("GetStatus", json!({"instanceId": id, "showHistory": history, "showHistoryOutput": output})).await;
        shown.push(logged(begin.clone()).await);
    }
    let has = |text: &str| shown.iter().map(|line| line.contains(text)).collect::<Vec<_>>();
    assert_eq!(has("\"Completed\""), [true; 3], "{shown:?}");
    assert_eq!(has("\"historyEvents\""), [false, true, true], "{shown:?}");
    assert_eq!(has("\"Result\":\"Hello Ada!\""), [false, false, true], "{shown:?}");
    // One that goes on.
    assert_eq!(program.start("Sum", "goes-on", Value::Null).await, 202);
    std::fs::write(&log, "").unwrap();
    call("GetStatus", json!({"instanceId": "goes-on", "showHistory": true})).await;
    let running = logged("\"instanceId\":\"goes-on\",".to_owned()).await;
    assert!(running.contains("\"Running\"") && running.contains("\"historyEvents\""), "{running}");
    assert!(!running.contains("ExecutionCompleted"), "{running}");
    std::fs::write(&log, "").unwrap();
    call("GetStatus", json!(["goes-on", "nobody", id])).await;
    logged("\"instanceId\":\"goes-on\",".to_owned()).await;
    logged("there is no instance 'nobody'".to_owned()).await;
    logged(begin).await;
    std::fs::write(&log, "").unwrap();
    call("GetStatus", json!("nobody")).await;
    logged("there is no instance 'nobody'".to_owned()).await;
}

/// `durawasm dev examples` serves all of them in one hub.
#[tokio::test(flavor = "multi_thread")]
async fn all_examples_live_in_one_hub() {
    let host = Host::new().await;
    let mut examples: Vec<_> = std::fs::read_dir(guests::root().join("examples"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().join("Cargo.toml").exists())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    examples.sort();
    assert!(examples.len() >= 9, "{examples:?}");
    for example in examples {
        host.deploy(&example, guests::example(&example)).await;
    }
}
