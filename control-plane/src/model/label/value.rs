//! Parsers for plain values.

use super::Mistake;

/// The longest name of a service or network.
const NAME_BYTES: usize = 255;

pub(super) fn boolean(value: &str) -> Result<bool, Mistake> {
    one_of(value, &[("true", true), ("false", false)])
}

/// One word of a few.
pub(super) fn one_of<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, Mistake> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
        return Ok(*meaning);
    }
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let near = words.iter().find(|word| strsim::damerau_levenshtein(&value.to_ascii_lowercase(), word) <= 2);
    let fix =
        near.map_or_else(|| format!("write {}", words.join(" or ")), |word| format!("did you mean {word}?"));
    Err(Mistake::new(format!("it is not {}", words.join(" or ")), fix))
}

pub(super) fn integer(value: &str) -> Result<i32, Mistake> {
    value.parse().map_err(|_| {
        Mistake::new(
            "it is not a whole number, or too large a one",
            "write one such as \"10\"; higher comes first, the default is 0",
        )
    })
}

pub(super) fn port(value: &str) -> Result<u16, Mistake> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ if digits => {
            Err(Mistake::new("a port is a number from 1 to 65535", "write the port the container listens on"))
        }
        _ if value.contains(':') => Err(Mistake::new(
            "it is a pair of ports; Envoy reaches the container itself, not its published port",
            "write the port inside the container alone, such as \"8080\"",
        )),
        _ => Err(Mistake::new(
            "it is not a port",
            "write the number of the port the container listens on, such as \"8080\"",
        )),
    }
}

/// The name of a service or network. It becomes part of cluster names, route names and log lines.
pub(super) fn name(value: &str, what: &str) -> Result<String, Mistake> {
    match bad_in_name(value) {
        None if !value.is_empty() && value.len() <= NAME_BYTES => Ok(value.to_owned()),
        bad => {
            let mistake = Mistake::new(
                format!("it is not the name of a {what}"),
                "write 1 to 255 letters, digits, '-', '_', '.' and '/'",
            );
            Err(match bad {
                Some(place) => mistake.at(place),
                None => mistake,
            })
        }
    }
}

/// Where the first byte is that a name cannot have.
fn bad_in_name(value: &str) -> Option<usize> {
    value.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')))
}

/// Whether a name that no label chose can be that of a service.
pub(super) fn is_name(value: &str) -> bool {
    name(value, "service").is_ok()
}
