//! Durations as people write them: `250ms`, `15s`, `2m`, and `0`.

use std::time::Duration;

/// Reads `250ms`, `15s`, `2m` or `1h`; `0` needs no unit.
///
/// # Errors
///
/// A sentence that names what was found and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong =
        || format!("{text:?} is not a duration; write a whole number and a unit, such as 250ms, 15s or 2m");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" if digits > 0 && number == 0 => Some(0),
        _ => return Err(wrong()),
    };
    millis.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is longer than can be counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_not_a_duration_is_named() {
        for text in ["", "s", "5", "5 s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse(text).unwrap_err().contains(text), "{text:?}");
        }
    }
}
