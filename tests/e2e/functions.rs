//! Client functions: who may call them, how, and what they are told when that is wrong.

use durawasm_host::api::ApiSettings;
use durawasm_tests::{Host, guests};

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
