//! The caller's trace context (W3C Trace Context, level 1): taken into the instance when it is well formed, ignored
//! when it is not.

use axum::http::HeaderMap;

use crate::engine::spans::known_part;

/// The `traceparent` of a request.
pub(super) fn parent(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("traceparent").iter();
    // Sent twice it says nothing reliable.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?.trim();
    known_part(text).map(str::to_owned)
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
