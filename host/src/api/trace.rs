//! The caller's trace context (W3C Trace Context, level 1): taken into the instance when it is well formed, ignored
//! when it is not.

use axum::http::{HeaderMap, HeaderValue};

use crate::engine::spans::known_part;

/// The `traceparent` of a request.
pub(super) fn parent(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("traceparent").iter();
    // Sent twice it says nothing reliable.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?.trim();
    known_part(text).map(str::to_owned)
}

/// Characters of a `tracestate` that is carried.
const LONGEST_STATE: usize = 512;
/// Its members.
const MEMBERS: usize = 32;

/// The `tracestate` of a request whose `traceparent` is good. It may come in several headers. What is in it is for others to
/// read; one that is not a list of members, or too long to be passed on whole, is ignored.
pub(super) fn state(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all("tracestate").iter().map(HeaderValue::to_str);
    let text = values.collect::<Result<Vec<_>, _>>().ok()?.join(",");
    let members: Vec<_> = text.split(',').map(str::trim).filter(|member| !member.is_empty()).collect();
    let good = |member: &&str| member.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
    if members.is_empty() || members.len() > MEMBERS || !members.iter().all(good) {
        return None;
    }
    let state = members.join(",");
    (state.len() <= LONGEST_STATE).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", value.parse().unwrap());
        parent(&headers)
    }

    #[test]
    fn well_formed_contexts_are_taken() {
        assert_eq!(parse(GOOD).as_deref(), Some(GOOD));
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(parse(&format!("{later}-more")).as_deref(), Some(later.as_str()));
    }

    #[test]
    fn a_state_is_a_list_of_members() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("tracestate", value.parse().unwrap());
            }
            state(&headers)
        };
        assert_eq!(
            read(&["rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"]).as_deref(),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        assert_eq!(read(&["a=1", " ,b@c=2"]).as_deref(), Some("a=1,b@c=2"));
        let (long, many) = (format!("a={}", "x".repeat(511)), "a=1,".repeat(33));
        for bad in ["", ",", "a", "=1", "a=", "a=1,b", long.as_str(), many.as_str()] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn others_are_ignored() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-more"),
            &format!("{}more", GOOD.replacen("00", "cc", 1)),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
            &GOOD[..54],
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        twice.append("traceparent", GOOD.parse().unwrap());
        twice.append("traceparent", GOOD.parse().unwrap());
        assert_eq!(parent(&twice), None);
    }
}
