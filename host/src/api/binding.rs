//! `GET /admin/hubs/{hub}/binding`: what the clients of the SDKs are constructed from (http-api.md 11).
//!
//! The binding never holds the admin key. Its URLs carry the hub's management code, which opens all management routes
//! of the hub; `rpcBaseUrl` carries the hub's RPC token. On a keyless server there is neither.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::codes::Scope;
use super::error::AdminError;
use super::links::{self, LinkParts, Links};
use super::route::Base;
use super::{Call, DEFAULT_HUB, wire};

/// The text that clients replace with an instance's id.
const ID_PLACEHOLDER: &str = "INSTANCEID";

/// What an SDK's client is constructed from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Binding {
    task_hub_name: String,
    creation_urls: CreationUrls,
    /// `id` is the placeholder `INSTANCEID`, here and in the URLs.
    management_urls: ManagementUrls,
    /// The base of the SDKs that call without a key; ends with a slash.
    rpc_base_url: String,
    base_url: String,
    /// To be appended to URLs made from `baseUrl`; empty on a keyless server.
    required_query_string_parameters: String,
}

/// Where instances are started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreationUrls {
    create_new_instance_post_uri: String,
    create_and_wait_on_new_instance_post_uri: String,
}

/// Where an instance is managed, in the order in which the binding has always listed it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ManagementUrls {
    id: String,
    status_query_get_uri: String,
    send_event_post_uri: String,
    terminate_post_uri: String,
    rewind_post_uri: String,
    purge_history_delete_uri: String,
    restart_post_uri: String,
    suspend_post_uri: String,
    resume_post_uri: String,
}

impl From<Links> for ManagementUrls {
    fn from(links: Links) -> Self {
        Self {
            id: links.id,
            status_query_get_uri: links.status_query_get_uri,
            send_event_post_uri: links.send_event_post_uri,
            terminate_post_uri: links.terminate_post_uri,
            rewind_post_uri: links.rewind_post_uri,
            purge_history_delete_uri: links.purge_history_delete_uri,
            restart_post_uri: links.restart_post_uri,
            suspend_post_uri: links.suspend_post_uri,
            resume_post_uri: links.resume_post_uri,
        }
    }
}

/// What the clients of the SDKs are constructed from.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/binding",
    operation_id = "binding",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("connection" = Option<String>, Query, description = "Repeated in the links. Default: `Storage`."),
    ),
    responses(
        (status = 200, description = "The binding.", body = Binding),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
    ),
)]
pub(super) fn get(call: &Call) -> Response {
    wire::json(StatusCode::OK, &binding(call))
}

fn binding(call: &Call) -> Binding {
    let (hub, origin) = (&*call.hub, links::origin(&call.settings, &call.parts));
    let code = call.mint.as_ref().map(|mint| mint.code(Scope::Manage));
    let parts = LinkParts {
        origin: &origin,
        base: Base::Webhooks,
        hub,
        connection: call.query.connection(),
        failure_flag: false,
        mint: None,
    };
    let base_url = format!("{origin}{}", links::base_path(Base::Webhooks));
    let creation = format!("{base_url}/orchestrators/{{functionName}}[/{{instanceId}}]");
    let wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}";
    let required = required(hub, code.as_deref());
    let rpc = call.mint.as_ref().map(|mint| format!("{}/", mint.rpc_token())).unwrap_or_default();
    Binding {
        task_hub_name: hub.to_owned(),
        creation_urls: CreationUrls {
            create_new_instance_post_uri: with_query(&creation, &[&required]),
            create_and_wait_on_new_instance_post_uri: with_query(&creation, &[wait, &required]),
        },
        management_urls: Links::with_code(ID_PLACEHOLDER, &parts, code.as_deref()).into(),
        rpc_base_url: format!("{origin}/durabletask/{rpc}"),
        base_url,
        required_query_string_parameters: required,
    }
}

/// What a request needs beside its own parameters: the code, and the hub unless it is the one that is meant anyway.
fn required(hub: &str, code: Option<&str>) -> String {
    let hub = (hub != DEFAULT_HUB).then(|| format!("taskHub={}", links::encode(hub)));
    let code = code.map(|code| format!("code={code}"));
    [hub, code].into_iter().flatten().collect::<Vec<_>>().join("&")
}

fn with_query(url: &str, parameters: &[&str]) -> String {
    let query: Vec<_> = parameters.iter().copied().filter(|text| !text.is_empty()).collect();
    if query.is_empty() { url.to_owned() } else { format!("{url}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_request_needs() {
        assert_eq!(required("default", None), "");
        assert_eq!(required("default", Some("c0de")), "code=c0de");
        assert_eq!(required("other", Some("c0de")), "taskHub=other&code=c0de");
    }

    #[test]
    fn queries_have_no_empty_parts() {
        assert_eq!(with_query("u", &[""]), "u");
        assert_eq!(with_query("u", &["a=1", ""]), "u?a=1");
        assert_eq!(with_query("u", &["a=1", "b=2"]), "u?a=1&b=2");
    }
}
