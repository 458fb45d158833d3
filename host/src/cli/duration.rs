//! Durations on the command line.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use crate::api::days_or_duration;

/// How long ended instances are kept: a number of days, or a duration like `12h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention(pub(super) Duration);

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = days_or_duration(text);
        duration
            .map(Self)
            .ok_or_else(|| format!("'{text}' is no duration above zero: write days (30) or 12h, 30d, 90m"))
    }
}

/// A duration like `2ms`, or 0; of so many milliseconds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AtMost<const MILLISECONDS: u64>(pub(super) Duration);

/// How far orchestrations run ahead of what is durable: a start's answer waits for that long.
pub(super) type RunAhead = AtMost<1_000>;

/// How long a guest that has answered stays for the next call.
pub(super) type FunctionStay = AtMost<60_000>;

impl<const MILLISECONDS: u64> FromStr for AtMost<MILLISECONDS> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let most = Duration::from_millis(MILLISECONDS);
        let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
        duration
            .filter(|duration| *duration <= most)
            .map(Self)
            .ok_or_else(|| format!("'{text}' is no duration of at most {most:?}: write 0, 2ms or 500us"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_or_a_duration() {
        let parsed = |text: &str| text.parse::<Retention>().ok().map(|retention| retention.0.as_secs());
        assert_eq!(parsed("30"), Some(30 * 86_400));
        assert_eq!(parsed("30d"), Some(30 * 86_400));
        assert_eq!(parsed("12h"), Some(12 * 3600));
        assert_eq!(parsed("90m"), Some(5400));
        for bad in ["", "0", "-3d", "x", "1y", "99999999999999", "0h"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_guest_stays_for_at_most_a_minute() {
        let parsed = |text: &str| text.parse::<FunctionStay>().ok().map(|stay| stay.0.as_millis());
        for (text, millis) in [("0", Some(0)), ("2s", Some(2_000)), ("60s", Some(60_000)), ("61s", None)] {
            assert_eq!(parsed(text), millis, "{text}");
        }
    }

    #[test]
    fn at_most_a_second_ahead() {
        let parsed = |text: &str| text.parse::<RunAhead>().ok().map(|ahead| ahead.0.as_micros());
        for (text, micros) in [("0", 0), ("0s", 0), ("2ms", 2_000), ("500us", 500), ("1s", 1_000_000)] {
            assert_eq!(parsed(text), Some(micros), "{text}");
        }
        for bad in ["", "2", "-2ms", "1001ms", "x", "2 m"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
