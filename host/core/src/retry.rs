//! The arithmetic of retry policies (semantics.md, retry policy).

use jiff::{SignedDuration, Timestamp};

use crate::model::{Failure, RetryPolicy};

/// The longest wait when a policy does not say: 6 days, as the original.
pub const DEFAULT_MAX_RETRY_INTERVAL: SignedDuration = SignedDuration::from_hours(6 * 24);

/// When the attempt after `attempt` starts; none: the call has failed for good.
///
/// `first` is when the call was made, `now` when the attempt failed. Delay = first interval x coefficient ^ (attempt - 1),
/// capped; a retry timeout is measured from `first` to the start of the next attempt.
#[must_use]
pub fn next_attempt(
    policy: Option<&RetryPolicy>,
    attempt: u32,
    failure: &Failure,
    (first, now): (Timestamp, Timestamp),
) -> Option<Timestamp> {
    let policy = policy?;
    if failure.non_retriable || attempt >= policy.max_attempts {
        return None;
    }
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let wanted = policy.first_retry_interval_ms * policy.backoff_coefficient.powi(exponent);
    let longest = policy.max_retry_interval_ms.unwrap_or(millis_of(DEFAULT_MAX_RETRY_INTERVAL));
    // A NaN (0 x infinity) compares as not smaller, so it ends at the cap, too.
    let delay = duration_of_millis(if wanted < longest { wanted } else { longest });
    let at = now.saturating_add(delay).unwrap_or(Timestamp::MAX);
    let in_time = policy.retry_timeout_ms.is_none_or(|timeout| at.duration_since(first) <= duration_of_millis(timeout));
    in_time.then_some(at)
}

/// Milliseconds as a duration, to the microsecond; what is no sensible duration is bounded, never refused.
#[must_use]
pub fn duration_of_millis(millis: f64) -> SignedDuration {
    /// 10,000 years: beyond every timestamp, far from every overflow.
    const LONGEST_MILLIS: f64 = 3.2e14;
    let micros = millis.clamp(0.0, LONGEST_MILLIS) * 1_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a range that fits; a NaN becomes 0")]
    let micros = micros as i64;
    SignedDuration::from_micros(micros)
}

fn millis_of(duration: SignedDuration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first_retry_interval_ms: 1_000.0,
            max_attempts: 5,
            backoff_coefficient: 2.0,
            max_retry_interval_ms: None,
            retry_timeout_ms: None,
        }
    }

    fn wait(policy: &RetryPolicy, attempt: u32, failure: &Failure) -> Option<f64> {
        let now = Timestamp::from_second(100).unwrap();
        next_attempt(Some(policy), attempt, failure, (Timestamp::from_second(95).unwrap(), now))
            .map(|at| millis_of(at.duration_since(now)))
    }

    #[test]
    fn waits_grow_by_the_coefficient_up_to_the_last_attempt() {
        let failure = Failure::new("E", "m");
        let waits: Vec<_> = (1..=5).map(|attempt| wait(&policy(), attempt, &failure)).collect();
        assert_eq!(waits, [Some(1_000.0), Some(2_000.0), Some(4_000.0), Some(8_000.0), None]);
    }

    #[test]
    fn waits_are_capped_by_the_policy_and_by_six_days() {
        let failure = Failure::new("E", "m");
        let capped = RetryPolicy { max_retry_interval_ms: Some(1_500.0), ..policy() };
        assert_eq!(wait(&capped, 3, &failure), Some(1_500.0));
        let endless = RetryPolicy { max_attempts: u32::MAX, ..policy() };
        assert_eq!(wait(&endless, 4_000_000, &failure), Some(6.0 * 24.0 * 3_600_000.0));
    }

    #[test]
    fn the_retry_timeout_counts_from_the_call() {
        let failure = Failure::new("E", "m");
        let timed = |timeout| RetryPolicy { retry_timeout_ms: Some(timeout), ..policy() };
        assert_eq!(wait(&timed(6_000.0), 1, &failure), Some(1_000.0));
        assert_eq!(wait(&timed(5_999.0), 1, &failure), None);
    }

    #[test]
    fn a_non_retriable_failure_and_no_policy_end_at_once() {
        assert_eq!(wait(&policy(), 1, &Failure::new("E", "m").non_retriable()), None);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(next_attempt(None, 1, &Failure::new("E", "m"), (now, now)), None);
    }
}
