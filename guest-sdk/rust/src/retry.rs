//! Retry policies.

use std::time::Duration;

use crate::bindings::durable::functions::types as wit;

/// How a failed call is tried again. The host does it: attempts and waits survive crashes.
///
/// ```
/// use durawasm::prelude::*;
///
/// let policy = RetryPolicy::new(5, Duration::from_secs(1)).backoff(2.0).max_interval(Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    pub(crate) max_attempts: u32,
    pub(crate) first_interval: Duration,
    pub(crate) backoff: f64,
    pub(crate) max_interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
}

impl RetryPolicy {
    /// At most `max_attempts` attempts, the first included, with `first_interval` (more than zero) before the second.
    pub fn new(max_attempts: u32, first_interval: Duration) -> Self {
        Self { max_attempts, first_interval, backoff: 1.0, max_interval: None, timeout: None }
    }

    /// Each wait is the one before times this. 1, the default, keeps them equal.
    #[must_use]
    pub fn backoff(mut self, coefficient: f64) -> Self {
        self.backoff = coefficient;
        self
    }

    /// The longest wait; without it 6 days.
    #[must_use]
    pub fn max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = Some(interval);
        self
    }

    /// No attempt starts later than this after the first.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The wait before the attempt after `attempt`: first x backoff^(attempt-1), capped.
    pub(crate) fn wait_after(&self, attempt: u32) -> Duration {
        const SIX_DAYS: Duration = Duration::from_secs(6 * 24 * 60 * 60);
        let longest = self.max_interval.unwrap_or(SIX_DAYS);
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first_interval.as_secs_f64() * self.backoff.powi(exponent);
        Duration::try_from_secs_f64(seconds).map_or(longest, |wait| wait.min(longest))
    }
}

impl From<RetryPolicy> for wit::RetryPolicy {
    fn from(policy: RetryPolicy) -> Self {
        Self {
            first_retry_interval: millis(policy.first_interval),
            max_attempts: policy.max_attempts,
            backoff_coefficient: policy.backoff,
            max_retry_interval: policy.max_interval.map(millis),
            retry_timeout: policy.timeout.map(millis),
        }
    }
}

/// Durations cross the border as milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap() {
        let policy = RetryPolicy::new(9, Duration::from_secs(1)).backoff(2.0).max_interval(Duration::from_secs(5));
        let waits: Vec<u64> = (1..=4).map(|attempt| policy.wait_after(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5]);
        assert_eq!(policy.wait_after(u32::MAX).as_secs(), 5);
    }
}
