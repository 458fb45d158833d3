//! Samples in, medians out: as a table for people and as JSON for everything else.

use std::fmt::Write;

use serde_json::{Value, json};

/// What one run of a case measured: name with unit, and number.
pub(super) type Figures = Vec<(&'static str, f64)>;

/// All samples of all cases, in the order in which they were first measured.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Case>);

#[derive(Debug)]
struct Case {
    name: String,
    figures: Vec<(&'static str, Vec<f64>)>,
}

impl Report {
    /// Adds a run.
    pub(super) fn add(&mut self, name: String, figures: Figures) {
        if let Some(case) = self.0.iter_mut().find(|case| case.name == name) {
            for (known, (_, value)) in case.figures.iter_mut().zip(figures) {
                known.1.push(value);
            }
            return;
        }
        let figures = figures.into_iter().map(|(key, value)| (key, vec![value])).collect();
        self.0.push(Case { name, figures });
    }

    /// `{case: {figure: {median, samples}}}`.
    pub(super) fn json(&self) -> Value {
        let figures = |case: &Case| -> Value {
            let of = |samples: &[f64]| json!({"median": median(samples), "samples": samples});
            case.figures.iter().map(|(key, samples)| ((*key).to_owned(), of(samples))).collect()
        };
        self.0.iter().map(|case| (case.name.clone(), figures(case))).collect()
    }

    /// Medians; cases that measure the same things share a head.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let width = self.0.iter().map(|case| case.name.chars().count()).max().unwrap_or_default();
        let mut head: Vec<&str> = Vec::new();
        for case in &self.0 {
            let keys: Vec<&str> = case.figures.iter().map(|(key, _)| *key).collect();
            if keys != head {
                text.push_str(&format!("\n{:width$}", ""));
                text.extend(keys.iter().map(|key| format!("  {key:>8}")));
                text.push('\n');
                head = keys;
            }
            let _never = write!(text, "{:width$}", case.name);
            for (key, samples) in &case.figures {
                let shown = short(median(samples));
                let width = key.len().max(8);
                let _never = write!(text, "  {shown:>width$}");
            }
            text.push('\n');
        }
        text
    }
}

/// Three digits that say something are enough for people.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(lower), Some(upper)) if sorted.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (_, Some(middle)) => *middle,
        (_, None) => f64::NAN,
    }
}

/// The sample that so many of a hundred do not exceed; `sorted` is in ascending order.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            (percentile(&hundred, 50), percentile(&hundred, 99), percentile(&hundred, 100)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(percentile(&[7.0], 1), 7.0);
    }

    #[test]
    fn a_report_shows_the_median_of_its_samples() {
        let mut report = Report::default();
        for value in [3.0, 100.0, 1.0] {
            report.add("W1".to_owned(), vec![("per_second", value)]);
        }
        assert_eq!(report.json()["W1"]["per_second"]["median"], 3.0);
        assert_eq!(report.table(), "\n    per_second\nW1        3.00\n");
    }
}
