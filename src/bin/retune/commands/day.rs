//! Days and spans of days on the command line.

use retune::time::Timestamp;

/// RFC 3339, or a day: its last second.
pub(crate) fn time_or_day(text: &str) -> Result<Timestamp, String> {
    text.parse().or_else(|_| day(text)).map_err(|_| {
        "expected a day such as 2026-03-01 or a time such as 2026-03-01T09:30:00Z".into()
    })
}

/// A day: its last second (UTC).
pub(crate) fn day(text: &str) -> Result<Timestamp, String> {
    let end = format!("{text}T23:59:59Z");
    end.parse()
        .map_err(|_| "expected a day such as 2026-03-01".into())
}

/// `60d` or `8w`, in seconds.
pub(crate) fn span(text: &str) -> Result<i64, String> {
    const DAY: u32 = 24 * 3600;
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|count| *count < 100_000);
    let (days, unit) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(digits), _) => (number(digits), 1),
        (_, Some(digits)) => (number(digits), 7),
        _ => (None, 1),
    };
    match days {
        Some(days) => Ok(i64::from(days) * i64::from(unit) * i64::from(DAY)),
        None => Err("expected days or weeks, such as 60d or 8w".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_days_or_weeks() {
        assert_eq!(span("60d"), Ok(60 * 86_400));
        assert_eq!(span("2w"), Ok(14 * 86_400));
        for bad in ["", "d", "60", "-1d", "1.5d", "60m", "999999999d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_lasts_until_its_last_second() {
        let end = Ok("2026-03-01T23:59:59Z".to_owned());
        assert_eq!(day("2026-03-01").map(|time| time.to_string()), end);
        assert!(day("2026-02-30").is_err() && day("tomorrow").is_err());
    }
}
