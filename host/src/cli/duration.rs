//! Durations on the command line.

use std::str::FromStr;
use std::time::Duration;

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
}
