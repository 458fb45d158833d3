//! Query parameters: names match whatever their case, repeated names are joined with commas, what does not parse is
//! ignored (http-api.md 1).

use std::collections::BTreeMap;
use std::time::Duration;

use durawasm_core::{Status, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;

/// A request's query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut all = BTreeMap::<String, String>::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            all.entry(decode(name).to_ascii_lowercase())
                .and_modify(|known| {
                    known.push(',');
                    known.push_str(&value);
                })
                .or_insert(value);
        }
        Self(all)
    }

    /// The value of a parameter (its name in lowercase), even when it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value, unless it is blank: blank means the default.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// A boolean, `default` unless it parses.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        match self.filled(name) {
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(_) | None => default,
        }
    }

    /// Seconds, with decimals; none unless it parses as a duration.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds = self.filled(name)?.parse::<f64>().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// A whole number; none unless it parses.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.filled(name)?.parse().ok()
    }

    /// A moment; none unless it parses.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        moment(self.filled(name)?)
    }

    /// Statuses by name (in exactly this case) or by number; what is neither is dropped.
    pub(super) fn statuses(&self, name: &str) -> Vec<Status> {
        let texts = self.get(name).unwrap_or_default().split(',').map(str::trim);
        texts.filter_map(status).collect()
    }

    /// The connection: the Python client misspells its name on some routes.
    pub(super) fn connection(&self) -> &str {
        self.filled("connection").or_else(|| self.filled("connectionname")).unwrap_or("Storage")
    }
}

fn status(text: &str) -> Option<Status> {
    let number = || text.parse().ok().and_then(Status::from_number);
    Status::ALL.into_iter().find(|status| status.name() == text).or_else(number)
}

/// ISO 8601; without a zone it is UTC. A year may lack its leading zeros, and a plus sign that was not encoded comes as
/// a space.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let year = text.bytes().take_while(u8::is_ascii_digit).count();
    let text = format!("{}{text}", "0".repeat(4usize.saturating_sub(year)));
    let parse = |text: &str| {
        let local = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
        text.parse::<Timestamp>().ok().or_else(local)
    };
    let with_plus = || text.rsplit_once(' ').and_then(|(moment, zone)| parse(&format!("{moment}+{zone}")));
    parse(&text).or_else(with_plus)
}

/// The pairs of a query, decoded, as they came.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_repeated_ones_are_joined() {
        let query = Query::parse("RuntimeStatus=Running&runtimestatus=Failed&a%20b=c+d%26");
        assert_eq!(query.get("runtimestatus"), Some("Running,Failed"));
        assert_eq!(query.get("a b"), Some("c d&"));
    }

    #[test]
    fn booleans_ignore_case_and_fall_back() {
        let query = Query::parse("a=True&b=FALSE&c=1&d=");
        assert!(query.flag("a", false));
        assert!(!query.flag("b", true));
        assert!(query.flag("c", true));
        assert!(query.flag("d", true));
        assert!(!query.flag("missing", false));
    }

    #[test]
    fn seconds_take_decimals_and_ignore_nonsense() {
        let query = Query::parse("timeout=1.5&b=-1&c=abc&d=NaN&e=1e300");
        assert_eq!(query.seconds("timeout"), Some(Duration::from_millis(1500)));
        for name in ["b", "c", "d", "e", "f"] {
            assert_eq!(query.seconds(name), None, "{name}");
        }
    }

    #[test]
    fn times_have_many_forms() {
        let time = |text: &str| Query::parse(&format!("a={text}")).time("a").map(|at| at.to_string());
        for (text, expected) in [
            ("2026-05-04T03:02:01Z", "2026-05-04T03:02:01Z"),
            ("2026-05-04T03:02:01.123456Z", "2026-05-04T03:02:01.123456Z"),
            ("2026-05-04T03:02:01.123", "2026-05-04T03:02:01.123Z"),
            ("2026-05-04T03:02:01", "2026-05-04T03:02:01Z"),
            ("2026-05-04", "2026-05-04T00:00:00Z"),
            ("2026-05-04T03:02:01%2B02:00", "2026-05-04T01:02:01Z"),
            ("2026-05-04T03:02:01+02:00", "2026-05-04T01:02:01Z"),
            ("1-01-01T00:00:00.000000Z", "0001-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "99999999999", "2026-05-04T03:02:01Zzz", "-"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_are_names_or_numbers_and_nonsense_is_dropped() {
        let statuses = |text: &str| Query::parse(text).statuses("runtimestatus");
        let query = "runtimeStatus=Running,%20Failed&RUNTIMESTATUS=5,running,9,-1,,Nope";
        assert_eq!(statuses(query), [Status::Running, Status::Failed, Status::Terminated]);
        assert_eq!(statuses("runtimeStatus=completed"), []);
        assert_eq!(statuses("a=b"), []);
    }

    #[test]
    fn an_empty_value_is_there_but_not_filled() {
        let query = Query::parse("version=&taskHub=+");
        assert_eq!(query.get("version"), Some(""));
        assert_eq!(query.filled("taskhub"), None);
    }

    #[test]
    fn connection_has_two_names_and_a_default() {
        assert_eq!(Query::parse("connectionName=X").connection(), "X");
        assert_eq!(Query::parse("Connection=Y&connectionName=X").connection(), "Y");
        assert_eq!(Query::parse("connection=").connection(), "Storage");
    }
}
