//! What Compose makes text of that YAML reads as something else. Pure.
//!
//! It reads a file with Go's YAML library and prints what it read: `1.10` is a number to it, and becomes `1.1`.

/// The value of a plain scalar in a place where Compose wants text.
#[must_use]
pub fn printed(plain: &str) -> String {
    match plain {
        "" | "~" | "null" | "Null" | "NULL" => String::new(),
        "true" | "True" | "TRUE" => "true".to_owned(),
        "false" | "False" | "FALSE" => "false".to_owned(),
        ".nan" | ".NaN" | ".NAN" => "NaN".to_owned(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => "+Inf".to_owned(),
        "-.inf" | "-.Inf" | "-.INF" => "-Inf".to_owned(),
        _ => number(plain).or_else(|| date(plain)).unwrap_or_else(|| plain.to_owned()),
    }
}

/// Whether a plain scalar is nothing at all.
#[must_use]
pub fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether a plain scalar is text, and not a number, a date, or true or false.
#[must_use]
pub fn is_text(plain: &str) -> bool {
    let is_word = matches!(plain, "true" | "True" | "TRUE" | "false" | "False" | "FALSE");
    !is_null(plain) && !is_word && number(plain).is_none() && date(plain).is_none()
}

fn number(plain: &str) -> Option<String> {
    if !plain.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    integer(plain).map(|value| value.to_string()).or_else(|| {
        let is_float = {
            let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
            let exponent = |c| matches!(c, 'e' | 'E');
            let (mantissa, exponent) = unsigned.split_once(exponent).unwrap_or((unsigned, "0"));
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            digits(whole)
                && digits(part)
                && !(whole.is_empty() && part.is_empty())
                && digits(exponent)
                && !exponent.is_empty()
        };
        plain.parse().ok().filter(|_| is_float).map(float)
    })
}

/// As Go reads it: `0x`, `0o`, `0b`, a zero before it for octal, and `_` between digits.
fn integer(plain: &str) -> Option<i128> {
    let text = plain.replace('_', "");
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let lower = text.to_ascii_lowercase();
    let (radix, digits) = match lower.split_at_checked(2) {
        Some(("0x", digits)) => (16, digits),
        Some(("0o", digits)) => (8, digits),
        Some(("0b", digits)) => (2, digits),
        _ => match lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            Some(digits) => (8, digits),
            None => (10, lower.as_str()),
        },
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    Some(sign * i128::from(value))
}

/// As Go prints it: the fewest digits that say it, with an exponent where that is below -4 or above 5.
fn float(value: f64) -> String {
    let shortest = format!("{value:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return shortest };
    match exponent.parse::<i32>().unwrap_or_default() {
        -4..=5 => format!("{value}"),
        power => format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs()),
    }
}

/// A date alone, as Go prints the moment at which it begins.
fn date(plain: &str) -> Option<String> {
    let mut parts = plain.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| text.parse::<u8>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (month, day) = (number(month)?, number(day)?);
    ((1..=12).contains(&month) && (1..=31).contains(&day))
        .then(|| format!("{year}-{month:02}-{day:02} 00:00:00 +0000 UTC"))
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn text_is_made_as_compose_makes_it() {
        for (written, text) in [
            ("a.localhost", "a.localhost"),
            ("8080", "8080"),
            ("1.10", "1.1"),
            ("010", "8"),
            ("0o10", "8"),
            ("0x10", "16"),
            ("08", "8"),
            ("1e3", "1000"),
            ("123456789012345678901234567890", "1.2345678901234568e+29"),
            ("yes", "yes"),
            ("True", "true"),
            ("~", ""),
            ("2001-12-14", "2001-12-14 00:00:00 +0000 UTC"),
            ("1_000", "1000"),
            ("100.0", "100"),
            ("-5", "-5"),
            ("123456789.5", "1.234567895e+08"),
            ("12345678901234567890123.5", "1.2345678901234568e+22"),
            ("0.00001", "1e-05"),
            ("0.5", "0.5"),
            ("1.2.3", "1.2.3"),
            ("10s", "10s"),
            ("100/s", "100/s"),
            ("-", "-"),
            ("+v", "+v"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("1.5.", "1.5."),
            ("123456.7", "123456.7"),
            ("1000000.0", "1e+06"),
            (".5", "0.5"),
            ("1.e3", "1000"),
            ("_1", "_1"),
            ("0b11", "3"),
        ] {
            assert_eq!(printed(written), text, "{written}");
        }
    }
}
