//! Schedules of timer functions: six fields, from the second on, as NCRONTAB has them, in UTC.
//!
//! A field is a list of `*`, values, ranges `a-b`, each with a step `/n` if wanted; `a/n` goes from `a` to the field's end.
//! Months and days of the week may be named. A day must fit both its month's field and its week's. (The usual libraries
//! take a day that fits either, number the week from 1, or say no more than that the whole is wrong.)

use durawasm_core::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// Days that are looked through for the next occurrence: a 29th of February on a given day of the week comes within 40
/// years.
const HORIZON_DAYS: u32 = 41 * 366;
/// Letters of a schedule at most.
const LONGEST: usize = 256;

/// When something is due, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Bit n: the value n fits. In the order of [`FIELDS`].
    fields: [u64; 6],
}

struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Of the values from the first on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEK: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const FIELDS: [Field; 6] = [
    Field { name: "second", first: 0, last: 59, names: &[] },
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of the week", first: 0, last: 6, names: &WEEK },
];

impl Cron {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it, by field.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        let given: Vec<&str> = text.split_ascii_whitespace().collect();
        let Ok(given) = <[&str; 6]>::try_from(given.as_slice()) else {
            let hint = if given.len() == 5 { "; the seconds come first, as in '0 */5 * * * *'" } else { "" };
            return Err(format!(
                "it has {} fields and not six (second, minute, hour, day, month, day of the week){hint}",
                given.len()
            ));
        };
        let mut fields = [0; 6];
        for ((bits, field), text) in fields.iter_mut().zip(&FIELDS).zip(given) {
            *bits = field.parse(text).map_err(|why| format!("its field '{}', '{text}': {why}", field.name))?;
        }
        let cron = Self { fields };
        // A leap year is before it, whatever follows.
        match cron.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err("no date fits both its days and its months".to_owned()),
        }
    }

    /// The first occurrence after this moment; none: there is none for decades.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = Timestamp::from_second(after.as_second().checked_add(1)?).ok()?;
        let from: DateTime = TimeZone::UTC.to_datetime(from);
        let (mut date, mut earliest) = (from.date(), from.time());
        for _ in 0..HORIZON_DAYS {
            if self.fits_date(date)
                && let Some(time) = self.next_time(earliest)
            {
                return TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok();
            }
            date = date.checked_add(1.day()).ok()?;
            earliest = Time::midnight();
        }
        None
    }

    fn fits(&self, field: usize, value: i8) -> bool {
        self.fields.get(field).is_some_and(|bits| u32::try_from(value).is_ok_and(|value| bits & (1 << value) != 0))
    }

    fn fits_date(&self, date: Date) -> bool {
        self.fits(3, date.day()) && self.fits(4, date.month()) && self.fits(5, date.weekday().to_sunday_zero_offset())
    }

    /// The first time of a day from this one on.
    fn next_time(&self, from: Time) -> Option<Time> {
        for hour in from.hour()..24 {
            if !self.fits(2, hour) {
                continue;
            }
            let same_hour = hour == from.hour();
            for minute in (if same_hour { from.minute() } else { 0 })..60 {
                if !self.fits(1, minute) {
                    continue;
                }
                let same_minute = same_hour && minute == from.minute();
                let second = ((if same_minute { from.second() } else { 0 })..60).find(|second| self.fits(0, *second));
                if let Some(second) = second {
                    return Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, String> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (part, None),
            };
            let (from, to) = match (range, range.split_once('-')) {
                ("*", _) => (self.first, self.last),
                (_, Some((from, to))) => (self.value(from)?, self.value(to)?),
                (_, None) => {
                    let from = self.value(range)?;
                    (from, if step.is_some() { self.last } else { from })
                }
            };
            if from > to {
                return Err(format!("the range '{range}' ends before it begins"));
            }
            for value in (from..=to).step_by(usize::from(step.unwrap_or(1))) {
                bits |= 1 << value;
            }
        }
        Ok(bits)
    }

    fn step(&self, text: &str) -> Result<u8, String> {
        match text.parse() {
            Ok(step) if step > 0 => Ok(step),
            Ok(_) | Err(_) => Err(format!("'/{text}' is no step; write it as in '*/5'")),
        }
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let named = || {
            let text = text.to_ascii_lowercase();
            let index =
                self.names.iter().position(|name| *name == text || (text.len() == 3 && name.starts_with(&text)));
            index.and_then(|index| u8::try_from(index).ok()).map(|index| self.first + index)
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = if digits { text.parse().ok() } else { named() };
        value.filter(|value| (self.first..=self.last).contains(value)).ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(", or {} to {}", &first[..3], &last[..3]),
                [_] | [] => String::new(),
            };
            format!("'{text}' is none of {} to {}{names}", self.first, self.last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrences(schedule: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(schedule).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            at = cron.next(at).unwrap();
            found.push(at.to_string());
        }
        found
    }

    #[test]
    fn occurrences_come_in_order_and_after_the_moment() {
        for (schedule, after, expected) in [
            ("0 */5 * * * *", "2026-01-01T00:00:00Z", vec!["2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"]),
            ("* * * * * *", "2026-01-01T23:59:59.5Z", vec!["2026-01-02T00:00:00Z", "2026-01-02T00:00:01Z"]),
            ("0 0 */2 * * *", "2026-01-01T21:00:00Z", vec!["2026-01-01T22:00:00Z", "2026-01-02T00:00:00Z"]),
            ("0 0 9-17 * * *", "2026-01-01T17:00:00Z", vec!["2026-01-02T09:00:00Z"]),
            ("0 30 9 * * 1-5", "2026-01-02T10:00:00Z", vec!["2026-01-05T09:30:00Z", "2026-01-06T09:30:00Z"]),
            ("0 30 9 * Jan Mon,fri", "2026-01-30T10:00:00Z", vec!["2027-01-01T09:30:00Z"]),
            ("5,50 59 23 31 12 *", "2026-01-01T00:00:00Z", vec!["2026-12-31T23:59:05Z", "2026-12-31T23:59:50Z"]),
            (
                "0 5/25 * * * *",
                "2026-01-01T00:00:00Z",
                vec!["2026-01-01T00:05:00Z", "2026-01-01T00:30:00Z", "2026-01-01T00:55:00Z", "2026-01-01T01:05:00Z"],
            ),
            ("0 0 0 29 2 *", "2026-01-01T00:00:00Z", vec!["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
            ("0 0 0 29 2 Sunday", "2088-03-01T00:00:00Z", vec!["2128-02-29T00:00:00Z"]),
            // Both a Friday and a 13th.
            (
                "0 0 0 13 * 5",
                "2026-01-01T00:00:00Z",
                vec!["2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z", "2026-11-13T00:00:00Z"],
            ),
            ("0 0 0 * * 0", "1969-12-20T00:00:00Z", vec!["1969-12-21T00:00:00Z"]),
        ] {
            assert_eq!(occurrences(schedule, after, expected.len()), expected, "{schedule}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_field() {
        for (schedule, words) in [
            ("*/5 * * * *", "it has 5 fields"),
            ("", "it has 0 fields"),
            ("0 0 0 0 0 0 0", "it has 7 fields"),
            ("60 * * * * *", "'second', '60': '60' is none of 0 to 59"),
            ("0 -1 * * * *", "'minute', '-1': '' is none of 0 to 59"),
            ("0 0 24 * * *", "'hour', '24'"),
            ("0 0 0 0 * *", "'day', '0'"),
            ("0 0 0 * 13 *", "'month', '13': '13' is none of 1 to 12, or jan to dec"),
            ("0 0 0 * * 7", "'day of the week', '7': '7' is none of 0 to 6, or sun to sat"),
            ("0 0 0 * * someday", "'someday' is none"),
            ("0 0 0 ? * *", "'day', '?'"),
            ("0 0 0 L * *", "'day', 'L'"),
            ("0 */0 * * * *", "'/0' is no step"),
            ("0 */x * * * *", "'/x' is no step"),
            ("0 0 17-9 * * *", "the range '17-9' ends before it begins"),
            ("0 1, * * * *", "'' is none"),
            ("0 0 0 30 2 *", "no date fits"),
            ("0 256 * * * *", "'256' is none"),
            ("0 +5 * * * *", "'+5' is none"),
        ] {
            let error = Cron::parse(schedule).unwrap_err();
            assert!(error.contains(words), "{schedule}: {error}");
        }
        assert!(Cron::parse(&"0 ".repeat(200)).is_err());
    }

    #[test]
    fn the_end_of_time_is_no_occurrence() {
        assert_eq!(Cron::parse("* * * * * *").unwrap().next(Timestamp::MAX), None);
    }
}
