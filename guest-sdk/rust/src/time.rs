//! A point in time that does not drag a calendar library into every component.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MICROS: i64 = 1_000_000;
const DAY: i64 = 24 * 60 * 60;
/// 9999-12-31T23:59:59.999999Z: RFC 3339 knows no later time.
const LAST: i64 = 253_402_300_799_999_999;
/// 0000-01-01T00:00:00Z.
const FIRST: i64 = -62_167_219_200_000_000;

/// A point in time, in microseconds, UTC. Written and read as RFC 3339, also by serde.
///
/// Arithmetic stays within the years 0 to 9999.
///
/// ```
/// use durawasm::prelude::*;
///
/// let noon: Timestamp = "2024-02-29T12:00:00Z".parse()?;
/// assert_eq!((noon + Duration::from_secs(86_400)).to_string(), "2024-03-01T12:00:00.000000Z");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The time now by the clock of the standard library; in an orchestrator that is the recorded time.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The time so many microseconds after (before, if negative) 1970-01-01T00:00:00Z.
    pub fn from_unix_micros(micros: i64) -> Self {
        Self(micros.clamp(FIRST, LAST))
    }

    /// The microseconds since 1970-01-01T00:00:00Z.
    pub fn unix_micros(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is later.
    ///
    /// ```
    /// use durawasm::prelude::*;
    ///
    /// let start = Timestamp::UNIX_EPOCH;
    /// assert_eq!((start + Duration::from_secs(3)).since(start), Duration::from_secs(3));
    /// ```
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_unix_micros(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::from_unix_micros(self.0.saturating_sub(micros(duration)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self::UNIX_EPOCH + after,
            Err(before) => Self::UNIX_EPOCH - before.duration(),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS);
        let fraction = self.0.rem_euclid(MICROS);
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        write!(f, "{year:04}-{month:02}-{day:02}T")?;
        write!(f, "{:02}:{:02}:{:02}.{fraction:06}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

/// The text is not an RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTimestampError(String);

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a time like 2024-01-31T12:00:00Z", self.0)
    }
}

impl std::error::Error for ParseTimestampError {}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        parse(text).ok_or_else(|| ParseTimestampError(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Reads `2024-01-31T12:00:00[.fraction](Z|+hh:mm|-hh:mm)`.
fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shape = |at: usize, wanted: u8| bytes.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&wanted));
    if !(shape(4, b'-') && shape(7, b'-') && shape(13, b':') && shape(16, b':')) {
        return None;
    }
    if !(shape(10, b'T') || shape(10, b' ')) {
        return None;
    }
    let field = |from: usize, to: usize| number(bytes.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    // 60 is a leap second, which counts as the second after it.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let (fraction, rest) = fraction(bytes.get(19..)?)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset(rest)?;
    Some(Timestamp::from_unix_micros(seconds * MICROS + fraction))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// The microseconds of `.123…` and what follows; digits after the sixth are cut off.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, text)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let micros = (0..6).fold(0, |sum, at| sum * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    Some((micros, rest))
}

/// The seconds that local time is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = text.split_first()?;
    let sign = match sign {
        b'Z' | b'z' => return rest.is_empty().then_some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if rest.len() != 5 || rest.get(2) != Some(&b':') {
        return None;
    }
    let (hours, minutes) = (number(rest.get(..2)?)?, number(rest.get(3..)?)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

// The proleptic Gregorian calendar by eras of 400 years that begin in March, so that leap days come last.

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<i64> {
        text.parse::<Timestamp>().ok().map(Timestamp::unix_micros)
    }

    #[test]
    fn every_day_of_the_calendar_goes_there_and_back() {
        for day in FIRST / MICROS / DAY..=LAST / MICROS / DAY {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }

    #[test]
    fn text_goes_there_and_back() {
        for text in ["1970-01-01T00:00:00.000000Z", "2024-02-29T23:59:59.999999Z", "0000-01-01T00:00:00.000000Z"] {
            assert_eq!(text.parse::<Timestamp>().map(|time| time.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        assert_eq!(at("2001-09-09T01:46:40Z"), Some(1_000_000_000_000_000));
        assert_eq!(at("2001-09-09T03:46:40+02:00"), Some(1_000_000_000_000_000));
        assert_eq!(at("2001-09-09t01:46:40.1234567z"), Some(1_000_000_000_123_456));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "2023-02-29T00:00:00Z", "2023-01-01", "2023-01-01T00:00:00", "2023-01-01T24:00:00Z", "é23-01-01T00:00"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!((Timestamp::UNIX_EPOCH + Duration::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!((Timestamp::UNIX_EPOCH - Duration::MAX).to_string(), "0000-01-01T00:00:00.000000Z");
    }
}
