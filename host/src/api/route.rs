//! The table of contents: which paths and verbs the server answers (http-api.md 1 and 2).
//!
//! A matcher of our own, because literal segments match whatever their case, trailing slashes are fine everywhere,
//! and a wrong verb is 404 like a wrong path: axum's router has other rules for all three.

use axum::http::Method;
use percent_encoding::percent_decode_str;

/// Where a route hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// `/runtime/webhooks/durabletask/`: all public URLs.
    Webhooks,
    /// `/admin/extensions/DurableTaskExtension/`: the 1.x form.
    Extension,
    /// `/durabletask/`: what the SDKs of Python and JavaScript call.
    Rpc,
    /// `/admin/`: apps.
    Admin,
    /// `/`: health.
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
    PutApp,
    GetApp,
    Health,
    Ready,
}

/// A path's beginning, lowercase, and what it stands for. The more specific ones come first.
const BASES: [(&str, Base); 5] = [
    ("runtime/webhooks/durabletask", Base::Webhooks),
    ("admin/extensions/durabletaskextension", Base::Extension),
    ("durabletask", Base::Rpc),
    ("admin", Base::Admin),
    ("", Base::Root),
];

/// Routes 1 to 10 of http-api.md 2 and the statistics, below each of the three management bases.
const MANAGEMENT: [(Method, &str, Op); 13] = [
    (Method::POST, "orchestrators/{function}", Op::Start),
    (Method::POST, "orchestrators/{function}/{id}", Op::Start),
    (Method::GET, "instances/{id}", Op::Status),
    (Method::GET, "instances", Op::List),
    (Method::DELETE, "instances/{id}", Op::Purge),
    (Method::DELETE, "instances", Op::PurgeMany),
    (Method::GET, "statistics", Op::Statistics),
    (Method::POST, "instances/{id}/raiseevent/{event}", Op::RaiseEvent),
    (Method::POST, "instances/{id}/terminate", Op::Terminate),
    (Method::POST, "instances/{id}/suspend", Op::Suspend),
    (Method::POST, "instances/{id}/resume", Op::Resume),
    (Method::POST, "instances/{id}/rewind", Op::Rewind),
    (Method::POST, "instances/{id}/restart", Op::Restart),
];

/// Administration, below `/admin`.
const ADMIN: [(Method, &str, Op); 2] =
    [(Method::PUT, "hubs/{hub}/apps/{app}", Op::PutApp), (Method::GET, "hubs/{hub}/apps/{app}", Op::GetApp)];

/// Health, for orchestrators of containers and for people.
const ROOT: [(Method, &str, Op); 2] = [(Method::GET, "healthz", Op::Health), (Method::GET, "readyz", Op::Ready)];

/// A route that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) base: Base,
    pub(super) op: Op,
    /// The values of the pattern's `{…}`, decoded, in order.
    pub(super) params: Vec<String>,
}

/// The route of a request, if there is one.
pub(super) fn find(method: &Method, path: &str) -> Option<Matched> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<String> = path.split('/').map(decode).collect();
    BASES.iter().find_map(|(prefix, base)| {
        let rest = strip_base(prefix, &segments)?;
        table(*base).iter().filter(|(verb, _, _)| verb == method).find_map(|(_, pattern, op)| {
            let params = match_pattern(pattern, rest)?;
            Some(Matched { base: *base, op: *op, params })
        })
    })
}

fn table(base: Base) -> &'static [(Method, &'static str, Op)] {
    match base {
        Base::Webhooks | Base::Extension | Base::Rpc => &MANAGEMENT,
        Base::Admin => &ADMIN,
        Base::Root => &ROOT,
    }
}

/// URL-decoded, `+` is a space (http-api.md 1).
fn decode(segment: &str) -> String {
    percent_decode_str(&segment.replace('+', " ")).decode_utf8_lossy().into_owned()
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
        assert_eq!(found(&Method::POST, "/durabletask/instances/"), None);
        assert_eq!(found(&Method::DELETE, "/durabletask/instances/a/b"), None);
        assert_eq!(found(&Method::POST, "/durabletask/instances//terminate"), None);
        assert_eq!(found(&Method::GET, "/"), None);
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
    fn health_and_admin_are_in_the_table() {
        assert_eq!(found(&Method::GET, "/healthz/"), Some((Base::Root, Op::Health, vec![])));
        assert_eq!(
            found(&Method::PUT, "/admin/hubs/default/apps/hello"),
            Some((Base::Admin, Op::PutApp, vec!["default".to_owned(), "hello".to_owned()]))
        );
    }
}
