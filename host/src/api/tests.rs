//! Through the real router, without an engine: what a server answers while its store still opens.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use tower::ServiceExt;

use super::*;

async fn ask(settings: ApiSettings, method: Method, uri: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = axum::http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = router(ApiState::new(EngineSlot::new(), settings));
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn keyless() -> ApiSettings {
    ApiSettings::new("http://127.0.0.1:7071")
}

async fn text(response: Response) -> String {
    String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn health_is_served_before_the_engine_and_readiness_says_what_is_missing() {
    let local = [("host", "localhost:7071")];
    assert_eq!(ask(keyless(), Method::GET, "/healthz", &local).await.status(), StatusCode::OK);
    let ready = ask(keyless(), Method::GET, "/readyz", &local).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(ready).await.contains("the store is being opened"));
}

#[tokio::test]
async fn management_answers_503_with_retry_after_until_the_engine_is_open() {
    for uri in ["/durabletask/instances/a", "/Admin/Extensions/DurableTaskExtension/Instances/a/?TaskHub=default"] {
        let response = ask(keyless(), Method::GET, uri, &[]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_is_404_with_an_empty_body() {
    for (method, uri) in [
        (Method::GET, "/"),
        (Method::POST, "/healthz"),
        (Method::PUT, "/durabletask/instances/a"),
        (Method::GET, "/runtime/webhooks/durabletask/entities/a/b"),
    ] {
        let response = ask(keyless(), method, uri, &[]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{uri}");
        assert_eq!(text(response).await, "", "{uri}");
    }
}

#[tokio::test]
async fn foreign_hosts_are_refused_by_keyless_servers() {
    let response = ask(keyless(), Method::GET, "/durabletask/instances/a", &[("host", "evil.example")]).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(text(response).await.contains("--admin-key"));
}

#[tokio::test]
async fn a_server_with_a_key_wants_it() {
    let keyed = || ApiSettings { admin_key: Some("k".to_owned()), ..keyless() };
    let uri = "/runtime/webhooks/durabletask/instances/a";
    assert_eq!(ask(keyed(), Method::GET, uri, &[]).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(keyed(), Method::GET, "/admin/hubs/default/apps/a", &[]).await.status(), StatusCode::UNAUTHORIZED);
    let admitted = ask(keyed(), Method::GET, &format!("{uri}?code=k"), &[]).await;
    assert_eq!(admitted.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(keyed(), Method::GET, "/durabletask/instances/a", &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(ask(keyed(), Method::GET, "/healthz", &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_panic_leaks_nothing() {
    let response = error::panicked(Box::new("secret"));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = text(response).await;
    assert!(text.contains("Something went wrong while processing your request") && !text.contains("secret"));
}
