//! Client functions: who may call them, how, and what they are told when that is wrong.

use durawasm_host::api::ApiSettings;
use durawasm_tests::{Host, guests};

use crate::tenants::{self, Server};

const KEY: &str = "a key of more than 16 bytes";

async fn host() -> Host {
    let host = Host::new().await;
    for example in ["http-start", "instance-management"] {
        host.deploy(example, guests::example(example)).await;
    }
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_the_status_that_fits() {
    let host = host().await;
    let wrong = host.send("GET", "/api/orchestrators/Sum/x", "").await;
    assert_eq!((wrong.status.as_u16(), wrong.headers["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(host.send("GET", "/api/nothing/here", "").await.status, 404);
    assert_eq!(host.send("GET", "/hubs/other/api/GetAllStatus", "").await.status, 404);
    assert_eq!(host.send("GET", "/hubs/default/api/GetAllStatus", "").await.status, 200);
    let large = vec![b'1'; (4 << 20) + 1];
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/x", large).await.status, 413);
    assert_eq!(host.send("POST", "/admin/functions/Nothing", "").await.status, 404);
    assert_eq!(host.send("POST", "/admin/functions/RaiseEvent", "[").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_what_a_get_begins_with() {
    let host = host().await;
    host.deploy("hostile", guests::guest("hostile")).await;
    for path in ["/api/GetAllStatus", "/api/deeds/method"] {
        let (get, head) = (host.send("GET", path, "").await, host.send("HEAD", path, "").await);
        assert_eq!((head.status, head.text().as_str()), (get.status, ""), "{path}");
        assert_eq!(head.headers["content-length"].to_str().unwrap(), get.body.len().to_string(), "{path}");
        assert_eq!(head.headers.get("content-type"), get.headers.get("content-type"), "{path}");
    }
    // The function is asked for what it knows.
    assert_eq!(host.send("HEAD", "/api/deeds/method", "").await.headers["x-method"], "GET");
    assert_eq!(host.send("HEAD", "/api/deeds/panic", "").await.status, 500);
    for (method, path, allow) in [
        ("HEAD", "/api/orchestrators/Sum/x", "POST"),
        ("PUT", "/api/GetAllStatus", "GET, HEAD, POST"),
        ("DELETE", "/api/orchestrators/Sum/x", "POST"),
    ] {
        let wrong = host.send(method, path, "").await;
        assert_eq!((wrong.status.as_u16(), wrong.headers["allow"].to_str().unwrap()), (405, allow), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_key_asks_for_it_as_the_function_says() {
    let open = host().await;
    let host =
        open.behind(ApiSettings { admin_key: Some(KEY.to_owned()), ..ApiSettings::new("http://localhost:7071") });
    assert_eq!(host.send("GET", "/api/GetAllStatus", "").await.status, 200, "anonymous");
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/k", "").await.status, 401);
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/k?code=wrong", "").await.status, 401);
    let key = [("host", "localhost:7071"), ("x-functions-key", KEY)];
    assert_eq!(host.send_with("POST", "/api/orchestrators/Sum/k", &key, "").await.status, 202);
    assert_eq!(host.send("POST", "/admin/functions/RaiseEvent", "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_for_admins_opens_with_no_key_of_functions() {
    let server = Server::new().await;
    server.admin("PUT /admin/hubs/default/apps/hostile", guests::guest("hostile")).await;
    let named = server.key("default", "named", &["function:HttpForAdmins", "function:HttpDeed"]).await;
    let manages = server.key("default", "manages", &["manage"]).await;
    let reads = server.key("default", "reads", &["read", "deploy"]).await;
    let app = server.admin("GET /admin/hubs/default/apps/hostile", "").await.json();
    let functions = app["functions"].as_array().unwrap();
    let url = functions.iter().find(|function| function["name"] == "HttpForAdmins").unwrap()["invokeUrl"].clone();
    assert!(url.as_str().unwrap().ends_with("/api/admins"), "{url}: what opens it is in no URL");
    for (key, for_admins, other) in [
        (tenants::KEY, 200, 200),
        (manages.as_str(), 200, 200),
        (named.as_str(), 403, 200),
        (reads.as_str(), 403, 403),
        ("wrong", 401, 401),
        ("", 401, 401),
    ] {
        let status = async |path: &str| server.patient(&format!("GET {path}"), key).await.status.as_u16();
        assert_eq!((status("/api/admins").await, status("/api/deeds/method").await), (for_admins, other), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administration_tells_where_functions_are_called() {
    let open = host().await;
    let function = |app: &serde_json::Value, name: &str| {
        let functions = app["functions"].as_array().unwrap().clone();
        functions.into_iter().find(|function| function["name"] == name).unwrap()
    };
    let app = open.send("GET", "/admin/hubs/default/apps/http-start", "").await.json();
    let single = function(&app, "HttpStartSingle");
    assert_eq!(single["invokeUrl"], "http://localhost:7071/api/orchestrators/{functionName}/{instanceId}");
    assert_eq!(single["authLevel"], "function");
    assert!(function(&app, "BackgroundJob").get("invokeUrl").is_none());
    let keyed =
        open.behind(ApiSettings { admin_key: Some(KEY.to_owned()), ..ApiSettings::new("http://localhost:7071") });
    assert_eq!(keyed.send("GET", "/admin/hubs/default/apps/http-start", "").await.status, 401);
    let key = [("host", "localhost:7071"), ("x-functions-key", KEY)];
    let app = keyed.send_with("GET", "/admin/hubs/default/apps/http-start", &key, "").await.json();
    // The URL as it is opens its function, and no other.
    let url = function(&app, "HttpStartSingle")["invokeUrl"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://localhost:7071").unwrap();
    let path = path.replace("{functionName}", "Sum").replace("{instanceId}", "k");
    assert_eq!(keyed.send("POST", &path, "").await.status, 202);
    assert_eq!(keyed.send("POST", &path.replace("/k?", "/k/once?"), "").await.status, 401);
    let all = keyed.send_with("GET", "/admin/hubs/default/apps/instance-management", &key, "").await.json();
    assert_eq!(function(&all, "GetAllStatus")["invokeUrl"], "http://localhost:7071/api/GetAllStatus");
}
