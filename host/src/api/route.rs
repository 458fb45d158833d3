//! The table of contents: which paths and verbs the server answers (http-api.md 1 and 2).
//!
//! A matcher of our own, because literal segments match whatever their case, trailing slashes are fine everywhere,
//! and a wrong verb is 404 like a wrong path: axum's router has other rules for all three.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::codes;

/// Where a route hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// `/runtime/webhooks/durabletask/`: all public URLs.
    Webhooks,
    /// `/admin/extensions/DurableTaskExtension/`: the 1.x form.
    Extension,
    /// `/durabletask/`, on servers with a key `/durabletask/{token}/`: what the SDKs of Python and JavaScript call.
    Rpc,
    /// `/admin/`: hubs, keys, apps and bindings.
    Admin,
    /// `/`: health and documentation.
    Root,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Start,
    Status,
    List,
    Purge,
    PurgeMany,
    Statistics,
    RaiseEvent,
    Terminate,
    Suspend,
    Resume,
    Rewind,
    Restart,
    Logs,
    History,
    Move,
    MoveMany,
    PutApp,
    GetApp,
    ListApps,
    ListVersions,
    Activate,
    DeleteApp,
    ListHubs,
    PutHub,
    GetHub,
    DeleteHub,
    GetConfig,
    PutConfig,
    ListKeys,
    CreateKey,
    RotateKey,
    RevokeKey,
    Usage,
    Binding,
    Backup,
    ExportHub,
    ImportHub,
    CallManual,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Docs,
    DocsFile,
}

impl Op {
    /// How many there are.
    pub(super) const COUNT: usize = Self::DocsFile as usize + 1;
}

/// What a route needs on a server with a key. The admin key opens everything; which keys of a hub open what is told in
/// `keys.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// Any key that may look at the hub and its apps.
    See,
    /// A key that may look at instances.
    Read,
    /// A key that may start and manage instances.
    Manage,
    /// A key that may deploy.
    Deploy,
    /// The admin key.
    Admin,
}

impl Need {
    /// How the description of the routes calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::See => "any",
            Self::Read => "read",
            Self::Manage => "manage",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

/// A route: its verb, its path below its base, what it does, and what it needs.
pub(super) type Row = (Method, &'static str, Op, Need);

/// A path's beginning, lowercase, and what it stands for. The more specific ones come first.
const BASES: [(&str, Base); 5] = [
    ("runtime/webhooks/durabletask", Base::Webhooks),
    ("admin/extensions/durabletaskextension", Base::Extension),
    ("durabletask", Base::Rpc),
    ("admin", Base::Admin),
    ("", Base::Root),
];

/// Routes 1 to 10 of http-api.md 2 and the statistics, below each of the three management bases.
const MANAGEMENT: [Row; 16] = [
    (Method::POST, "orchestrators/{function}", Op::Start, Need::Manage),
    (Method::POST, "orchestrators/{function}/{id}", Op::Start, Need::Manage),
    (Method::GET, "instances/{id}", Op::Status, Need::Read),
    (Method::GET, "instances/{id}/logs", Op::Logs, Need::Read),
    (Method::GET, "instances", Op::List, Need::Read),
    (Method::DELETE, "instances/{id}", Op::Purge, Need::Manage),
    (Method::DELETE, "instances", Op::PurgeMany, Need::Manage),
    (Method::GET, "statistics", Op::Statistics, Need::Read),
    (Method::POST, "instances/{id}/raiseevent/{event}", Op::RaiseEvent, Need::Manage),
    (Method::POST, "instances/{id}/terminate", Op::Terminate, Need::Manage),
    (Method::POST, "instances/{id}/suspend", Op::Suspend, Need::Manage),
    (Method::POST, "instances/{id}/resume", Op::Resume, Need::Manage),
    (Method::POST, "instances/{id}/rewind", Op::Rewind, Need::Manage),
    (Method::POST, "instances/{id}/restart", Op::Restart, Need::Manage),
    (Method::GET, "instances/{id}/history", Op::History, Need::Read),
    (Method::POST, "instances/{id}/move", Op::Move, Need::Manage),
];

/// Administration, below `/admin`: what a key of a hub opens, and what the admin key alone.
const ADMIN: [Row; 23] = [
    (Method::GET, "hubs", Op::ListHubs, Need::Admin),
    (Method::PUT, "hubs/{hub}", Op::PutHub, Need::Admin),
    (Method::GET, "hubs/{hub}", Op::GetHub, Need::See),
    (Method::DELETE, "hubs/{hub}", Op::DeleteHub, Need::Admin),
    (Method::GET, "hubs/{hub}/usage", Op::Usage, Need::Read),
    (Method::GET, "hubs/{hub}/config", Op::GetConfig, Need::Deploy),
    (Method::PUT, "hubs/{hub}/config", Op::PutConfig, Need::Admin),
    (Method::GET, "hubs/{hub}/keys", Op::ListKeys, Need::Admin),
    (Method::POST, "hubs/{hub}/keys", Op::CreateKey, Need::Admin),
    (Method::POST, "hubs/{hub}/keys/{key}/rotate", Op::RotateKey, Need::Admin),
    (Method::DELETE, "hubs/{hub}/keys/{key}", Op::RevokeKey, Need::Admin),
    (Method::PUT, "hubs/{hub}/apps/{app}", Op::PutApp, Need::Deploy),
    (Method::GET, "hubs/{hub}/apps/{app}", Op::GetApp, Need::See),
    (Method::DELETE, "hubs/{hub}/apps/{app}", Op::DeleteApp, Need::Deploy),
    (Method::GET, "hubs/{hub}/apps", Op::ListApps, Need::See),
    (Method::GET, "hubs/{hub}/apps/{app}/versions", Op::ListVersions, Need::See),
    (Method::POST, "hubs/{hub}/apps/{app}/versions/{digest}/activate", Op::Activate, Need::Deploy),
    (Method::POST, "hubs/{hub}/apps/{app}/move", Op::MoveMany, Need::Manage),
    (Method::GET, "hubs/{hub}/binding", Op::Binding, Need::Manage),
    (Method::GET, "backup", Op::Backup, Need::Admin),
    (Method::GET, "hubs/{hub}/export", Op::ExportHub, Need::Admin),
    (Method::PUT, "hubs/{hub}/import", Op::ImportHub, Need::Admin),
    (Method::POST, "functions/{name}", Op::CallManual, Need::Manage),
];

/// Health, for orchestrators of containers and for people; the description of all this.
const ROOT: [Row; 6] = [
    (Method::GET, "healthz", Op::Health, Need::Nothing),
    (Method::GET, "readyz", Op::Ready, Need::Nothing),
    (Method::GET, "metrics", Op::Metrics, Need::Admin),
    (Method::GET, "openapi.json", Op::OpenApi, Need::Nothing),
    (Method::GET, "docs", Op::Docs, Need::Nothing),
    (Method::GET, "docs/{file}", Op::DocsFile, Need::Nothing),
];

/// A route that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) base: Base,
    pub(super) op: Op,
    pub(super) need: Need,
    /// The route's path below its base.
    pub(super) pattern: &'static str,
    /// The token of the RPC base, where there is one. Not verified yet.
    pub(super) token: Option<String>,
    /// The values of the pattern's `{…}`, decoded, in order.
    pub(super) params: Vec<String>,
}

impl Matched {
    /// The instance that the path names, if its own code opens the route. A start names one, too, but is no route of an
    /// instance; which version it runs on is for those to decide who manage the hub.
    pub(super) fn instance(&self) -> Option<&str> {
        let about_one = self.pattern == "instances/{id}" || self.pattern.starts_with("instances/{id}/");
        if about_one && self.op != Op::Move { self.params.first().map(String::as_str) } else { None }
    }
}

impl Matched {
    /// The hub that the path names, if it names one.
    pub(super) fn hub(&self) -> Option<&str> {
        if self.pattern.starts_with("hubs/{hub}") { self.params.first().map(String::as_str) } else { None }
    }
}

/// The route of a request, if there is one. `HEAD` asks for what `GET` answers, without its body.
pub(super) fn find(method: &Method, path: &str) -> Option<Matched> {
    let segments = segments(path)?;
    let method = if method == Method::HEAD { &Method::GET } else { method };
    BASES.iter().find_map(|(prefix, base)| {
        let rest = strip_base(prefix, &segments)?;
        let (token, rest) = match rest.split_first() {
            Some((first, rest)) if *base == Base::Rpc && codes::is_token(first) => (Some(first.clone()), rest),
            Some(_) | None => (None, rest),
        };
        table(*base).iter().filter(|(verb, ..)| verb == method).find_map(|(_, pattern, op, need)| {
            let params = match_pattern(pattern, rest)?;
            Some(Matched { base: *base, op: *op, need: *need, pattern, token: token.clone(), params })
        })
    })
}

/// A path split at its slashes, each part decoded afterwards; none: it is no text.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').map(decode).collect()
}

/// The routes below a base. Each of them is described in `openapi.rs`; a test holds the two together.
pub(super) fn table(base: Base) -> &'static [Row] {
    match base {
        Base::Webhooks | Base::Extension | Base::Rpc => &MANAGEMENT,
        Base::Admin => &ADMIN,
        Base::Root => &ROOT,
    }
}

/// URL-decoded, `+` is a space (http-api.md 1).
fn decode(segment: &str) -> Option<String> {
    // Not made up for: two names would become one.
    Some(percent_decode_str(&segment.replace('+', " ")).decode_utf8().ok()?.into_owned())
}

fn strip_base<'a>(prefix: &str, segments: &'a [String]) -> Option<&'a [String]> {
    if prefix.is_empty() {
        return Some(segments);
    }
    let count = prefix.split('/').count();
    let head = segments.get(..count)?;
    let same = prefix.split('/').zip(head).all(|(literal, segment)| segment.eq_ignore_ascii_case(literal));
    if same { segments.get(count..) } else { None }
}

fn match_pattern(pattern: &str, segments: &[String]) -> Option<Vec<String>> {
    if pattern.split('/').count() != segments.len() {
        return None;
    }
    let mut params = Vec::new();
    for (expected, segment) in pattern.split('/').zip(segments) {
        if expected.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            params.push(segment.clone());
        } else if !segment.eq_ignore_ascii_case(expected) {
            return None;
        }
    }
    Some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &Method, path: &str) -> Option<(Base, Op, Vec<String>)> {
        find(method, path).map(|found| (found.base, found.op, found.params))
    }

    #[test]
    fn the_three_bases_lead_to_the_same_routes() {
        for (base, kind) in [
            ("/runtime/webhooks/durabletask", Base::Webhooks),
            ("/admin/extensions/DurableTaskExtension", Base::Extension),
            ("/durabletask", Base::Rpc),
        ] {
            assert_eq!(
                found(&Method::POST, &format!("{base}/orchestrators/Hello")),
                Some((kind, Op::Start, vec!["Hello".to_owned()]))
            );
        }
    }

    #[test]
    fn literals_match_whatever_their_case_and_parameters_keep_theirs() {
        assert_eq!(
            found(&Method::POST, "/Runtime/WebHooks/DurableTask/INSTANCES/AbC/RaiseEvent/Go/"),
            Some((Base::Webhooks, Op::RaiseEvent, vec!["AbC".to_owned(), "Go".to_owned()]))
        );
    }

    #[test]
    fn parameters_are_decoded_after_the_path_is_split() {
        assert_eq!(
            found(&Method::GET, "/durabletask/instances/a%2Fb+c%20d"),
            Some((Base::Rpc, Op::Status, vec!["a/b c d".to_owned()]))
        );
    }

    #[test]
    fn an_unknown_path_a_wrong_verb_and_an_empty_parameter_match_nothing() {
        assert_eq!(found(&Method::PUT, "/durabletask/instances/a"), None);
        assert_eq!(found(&Method::GET, "/durabletask/nothing"), None);
        assert_eq!(found(&Method::GET, "/durabletask/instances/%FF"), None);
        assert_eq!(found(&Method::POST, "/durabletask/instances/"), None);
        assert_eq!(found(&Method::DELETE, "/durabletask/instances/a/b"), None);
        assert_eq!(found(&Method::POST, "/durabletask/instances//terminate"), None);
        assert_eq!(found(&Method::GET, "/"), None);
    }

    #[test]
    fn a_head_is_asked_for_where_there_is_something_to_get() {
        for base in [Base::Webhooks, Base::Admin, Base::Root] {
            let (prefix, _) = BASES.iter().find(|(_, of)| *of == base).unwrap();
            for (method, pattern, op, _) in table(base) {
                let path = format!("/{prefix}/{pattern}").replace("//", "/");
                let head = find(&Method::HEAD, &path).map(|found| found.op);
                let gets = table(base).iter().any(|(verb, other, ..)| *verb == Method::GET && other == pattern);
                assert_eq!(head.is_some(), gets, "{path}");
                assert!(*method != Method::GET || head == Some(*op), "{path}");
            }
        }
    }

    #[test]
    fn lists_are_asked_for_with_and_without_a_slash() {
        for path in ["/durabletask/instances", "/durabletask/Instances/"] {
            assert_eq!(found(&Method::GET, path), Some((Base::Rpc, Op::List, vec![])));
            assert_eq!(found(&Method::DELETE, path), Some((Base::Rpc, Op::PurgeMany, vec![])));
        }
        assert_eq!(
            found(&Method::DELETE, "/durabletask/instances/a/"),
            Some((Base::Rpc, Op::Purge, vec!["a".to_owned()]))
        );
    }

    #[test]
    fn the_rpc_base_may_carry_a_token() {
        let token = format!("default-{}", "0".repeat(64));
        let found = find(&Method::GET, &format!("/durabletask/{token}/instances/a")).unwrap();
        assert_eq!((found.base, found.op, found.token.as_deref()), (Base::Rpc, Op::Status, Some(token.as_str())));
        assert_eq!(found.params, ["a"]);
        let bare = find(&Method::GET, "/durabletask/instances/a").unwrap();
        assert_eq!(bare.token, None);
        assert!(find(&Method::GET, &format!("/runtime/webhooks/durabletask/{token}/instances/a")).is_none());
    }

    #[test]
    fn routes_of_an_instance_name_it() {
        let instance = |method: &Method, path: &str| {
            find(method, &format!("/durabletask/{path}")).and_then(|found| found.instance().map(str::to_owned))
        };
        assert_eq!(instance(&Method::GET, "instances/a").as_deref(), Some("a"));
        assert_eq!(instance(&Method::POST, "Instances/b/raiseEvent/Go").as_deref(), Some("b"));
        assert_eq!(instance(&Method::POST, "orchestrators/Hello/a"), None);
    }

    #[test]
    fn operations_are_counted() {
        for base in [Base::Webhooks, Base::Admin, Base::Root] {
            assert!(table(base).iter().all(|(.., op, _)| (*op as usize) < Op::COUNT));
        }
    }

    #[test]
    fn health_and_admin_are_in_the_table() {
        assert_eq!(found(&Method::GET, "/healthz/"), Some((Base::Root, Op::Health, vec![])));
        assert_eq!(
            found(&Method::PUT, "/admin/hubs/default/apps/hello"),
            Some((Base::Admin, Op::PutApp, vec!["default".to_owned(), "hello".to_owned()]))
        );
    }
}
