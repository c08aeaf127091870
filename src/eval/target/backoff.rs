//! How long to wait before a call is made again.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The wait after the `attempt`th attempt, from 1: between half and all of `base`, doubled with each attempt, and at
/// most `longest`. The draw depends on the seed and on which call it is.
pub(super) fn wait(
    base: Duration,
    attempt: u32,
    longest: Duration,
    seed: u64,
    call: u64,
) -> Duration {
    let doubled = base.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    draws.set_stream(call ^ u64::from(attempt) << 48);
    doubled.min(longest).mul_f64(draws.random_range(0.5..=1.0))
}

/// What `Retry-After` asks for, given the Unix time: seconds, or a date.
pub(super) fn asked(header: &str, now: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = crate::time::Timestamp::from_http_date(header)?;
    Some(Duration::from_secs(
        u64::try_from(until.unix() - now).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_bounds_and_differ_between_calls() {
        let (base, longest) = (Duration::from_millis(100), Duration::from_millis(350));
        for (attempt, most) in [(1, 100), (2, 200), (3, 350), (40, 350)] {
            let most = Duration::from_millis(most);
            for call in 0..50 {
                let wait = wait(base, attempt, longest, 7, call);
                assert!(most / 2 <= wait && wait <= most, "{attempt} {wait:?}");
            }
        }
        let first: Vec<Duration> = (0..5).map(|call| wait(base, 1, longest, 7, call)).collect();
        let again: Vec<Duration> = (0..5).map(|call| wait(base, 1, longest, 7, call)).collect();
        assert_eq!(first, again);
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "{first:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asked(" 3 ", 0), Some(Duration::from_secs(3)));
        // 2026-11-23T09:30:00Z is 1795426200.
        let date = "Mon, 23 Nov 2026 09:30:00 GMT";
        assert_eq!(asked(date, 1_795_426_190), Some(Duration::from_secs(10)));
        assert_eq!(asked(date, 1_795_426_300), Some(Duration::ZERO));
        assert_eq!(asked("soon", 0), None);
    }
}
