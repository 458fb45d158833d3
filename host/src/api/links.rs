//! The links payload: where an instance is managed (http-api.md 10).

use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiSettings;
use super::codes::{Mint, Scope};
use super::route::Base;

/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Text as one segment of a path or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Where an instance is managed. `{eventName}` and `{text}` are for the client to fill in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Links {
    /// The instance.
    pub(super) id: String,
    /// `GET`: its status.
    pub(super) status_query_get_uri: String,
    pub(super) send_event_post_uri: String,
    pub(super) terminate_post_uri: String,
    pub(super) purge_history_delete_uri: String,
    pub(super) restart_post_uri: String,
    pub(super) suspend_post_uri: String,
    pub(super) resume_post_uri: String,
    pub(super) rewind_post_uri: String,
}

/// What links are made of.
pub(super) struct LinkParts<'a> {
    pub(super) origin: &'a str,
    pub(super) base: Base,
    pub(super) hub: &'a str,
    pub(super) connection: &'a str,
    /// The status link asks for 500 on failure.
    pub(super) failure_flag: bool,
    /// Where the code that opens the links comes from; none on a keyless server.
    pub(super) mint: Option<&'a Mint>,
}

impl Links {
    pub(super) fn new(id: &str, parts: &LinkParts<'_>) -> Self {
        let code = parts.mint.map(|mint| mint.code(Scope::Instance(id)));
        Self::with_code(id, parts, code.as_deref())
    }

    /// Links that carry this code.
    pub(super) fn with_code(id: &str, parts: &LinkParts<'_>, code: Option<&str>) -> Self {
        let instance = format!("{}{}/instances/{}", parts.origin, base_path(parts.base), encode(id));
        let code = code.map(|code| format!("&code={code}")).unwrap_or_default();
        let query = format!("taskHub={}&connection={}{code}", encode(parts.hub), encode(parts.connection));
        let flag = if parts.failure_flag { "&returnInternalServerErrorOnFailure=true" } else { "" };
        // {eventName} and {text} are for the client to fill in, as they are.
        Self {
            id: id.to_owned(),
            status_query_get_uri: format!("{instance}?{query}{flag}"),
            send_event_post_uri: format!("{instance}/raiseEvent/{{eventName}}?{query}"),
            terminate_post_uri: format!("{instance}/terminate?reason={{text}}&{query}"),
            purge_history_delete_uri: format!("{instance}?{query}"),
            restart_post_uri: format!("{instance}/restart?{query}"),
            suspend_post_uri: format!("{instance}/suspend?reason={{text}}&{query}"),
            resume_post_uri: format!("{instance}/resume?reason={{text}}&{query}"),
            rewind_post_uri: format!("{instance}/rewind?reason={{text}}&{query}"),
        }
    }
}

/// Calls on the RPC base get links of the public base, calls on the 1.x base links of their own.
pub(super) fn base_path(base: Base) -> &'static str {
    match base {
        Base::Extension => "/admin/extensions/DurableTaskExtension",
        Base::Webhooks | Base::Rpc | Base::Admin | Base::Root => "/runtime/webhooks/durabletask",
    }
}

/// `scheme://host` as the client sees this server: the request's own, the proxy's if it is trusted, else the
/// configured one. What is no host is not put into links.
pub(super) fn origin(settings: &ApiSettings, parts: &Parts) -> String {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // Behind several proxies the first entry is the client's side.
    let first = |name: &str| header(name).and_then(|text| text.split(',').next()).map(str::trim);
    let forwarded = |name: &str| if settings.trust_proxy { first(name) } else { None };
    let host = forwarded("x-forwarded-host")
        .or_else(|| header(HOST.as_str()))
        .or_else(|| parts.uri.authority().map(Authority::as_str))
        .filter(|host| is_host(host));
    let secure = forwarded("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let scheme = if secure { "https" } else { "http" };
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => settings.public_url.clone(),
    }
}

fn is_host(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty() && !text.contains('@'))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn links(base: Base, failure_flag: bool) -> serde_json::Value {
        let parts = LinkParts {
            origin: "http://localhost:7071",
            base,
            hub: "default",
            connection: "Storage",
            failure_flag,
            mint: None,
        };
        serde_json::to_value(Links::new("a b", &parts)).unwrap()
    }

    #[test]
    fn all_links_in_their_form() {
        let links = links(Base::Rpc, true);
        let root = "http://localhost:7071/runtime/webhooks/durabletask/instances/a%20b";
        let query = "taskHub=default&connection=Storage";
        assert_eq!(links["id"], "a b");
        assert_eq!(links["statusQueryGetUri"], format!("{root}?{query}&returnInternalServerErrorOnFailure=true"));
        assert_eq!(links["purgeHistoryDeleteUri"], format!("{root}?{query}"));
        assert_eq!(links["sendEventPostUri"], format!("{root}/raiseEvent/{{eventName}}?{query}"));
        assert_eq!(links["terminatePostUri"], format!("{root}/terminate?reason={{text}}&{query}"));
        assert_eq!(links["restartPostUri"], format!("{root}/restart?{query}"));
        assert_eq!(links["suspendPostUri"], format!("{root}/suspend?reason={{text}}&{query}"));
        assert_eq!(links["resumePostUri"], format!("{root}/resume?reason={{text}}&{query}"));
        assert_eq!(links["rewindPostUri"], format!("{root}/rewind?reason={{text}}&{query}"));
    }

    #[test]
    fn the_old_base_gets_old_links() {
        let links = links(Base::Extension, false);
        assert_eq!(
            links["statusQueryGetUri"],
            "http://localhost:7071/admin/extensions/DurableTaskExtension/instances/a%20b?taskHub=default&connection=Storage"
        );
    }

    #[test]
    fn the_origin_is_the_requests_and_a_proxys_only_when_trusted() {
        let mut settings = ApiSettings::new("http://public.example/");
        let request = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/x");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(()).unwrap().into_parts().0
        };
        let proxied = request(&[
            ("host", "127.0.0.1:7071"),
            ("x-forwarded-host", "df.example, inner"),
            ("x-forwarded-proto", "https"),
        ]);
        assert_eq!(origin(&settings, &proxied), "http://127.0.0.1:7071");
        assert_eq!(origin(&settings, &request(&[])), "http://public.example");
        for bad in ["", "a/b", "user@evil.example", "a b", "a?b"] {
            assert_eq!(origin(&settings, &request(&[("host", bad)])), "http://public.example", "{bad}");
        }
        settings.trust_proxy = true;
        assert_eq!(origin(&settings, &proxied), "https://df.example");
    }
}
