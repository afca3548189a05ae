//! The variables that Compose files may ask for: those of the environment, then those of `.env`. Pure.

use std::collections::BTreeMap;

use super::interpolate::interpolate;

/// Variables with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Environment {
    /// The value of a variable, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// These variables, and those of `others` that are not among them.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        let mut all = others.clone();
        all.0.extend(self.0.clone());
        all
    }

    /// These variables, and those of an env file that are not among them. What is written there in double quotes or none may ask
    /// for other variables.
    #[must_use]
    pub fn with_file(&self, text: &str) -> Self {
        let mut all = self.clone();
        for (name, value, is_literal) in lines(text) {
            if self.get(name).is_some() {
                continue;
            }
            let value = match is_literal {
                true => value,
                false => interpolate(&value, &|name| all.get(name).map(str::to_owned)).text,
            };
            all.0.insert(name.to_owned(), value);
        }
        all
    }
}

/// Name and value of each variable of an env file, and whether it is to be taken as it is written. A line that sets nothing is
/// passed over; Compose knows what is wrong with it.
fn lines(text: &str) -> Vec<(&str, String, bool)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    while !rest.is_empty() {
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let line = rest[..end].trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let split = line.find(['=', ':']).filter(|_| !line.starts_with('#'));
        let Some(at) = split else {
            rest = &rest[end..];
            continue;
        };
        let (name, value) = (line[..at].trim_end(), line[at + 1..].trim_start());
        match value.chars().next().filter(|quote| matches!(quote, '\'' | '"')) {
            Some(quote) => {
                // It may go on over several lines.
                let from = rest.find(quote).map_or(end, |at| at + 1);
                let (value, after) = quoted(&rest[from..], quote);
                found.push((name, value, quote == '\''));
                let after = from + after;
                let next = rest[after..].find('\n').map_or(rest.len(), |end| after + end + 1);
                rest = &rest[next..];
            }
            None => {
                let value = value.split(" #").next().unwrap_or_default().trim_end();
                found.push((name, if value.starts_with('#') { "" } else { value }.to_owned(), false));
                rest = &rest[end..];
            }
        }
    }
    found
}

/// What stands before the closing quote, and where it ends; all of `text` where there is none.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return (value, at + 1),
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                // An escaped dollar is none for the variables, which read two as one.
                Some((_, '$')) => value.push_str("$$"),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            _ => value.push(c),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_env_file_is_read_as_compose_reads_it() {
        let shell: Environment = [("SET".to_owned(), "shell".to_owned())].into_iter().collect();
        let all = shell.with_file(
            "# a comment\nA=1\nexport B = two words # a comment\nC='$A \"x\"'\nD=\"$A\\n${NO:-n}\"\n\nSET=file\nE=\nF=a#b\nG=\"two\nlines\"\nH=${D}!\nnothing\n",
        );
        let of = |name| all.get(name).unwrap();
        assert_eq!([of("A"), of("B"), of("C"), of("D")], ["1", "two words", "$A \"x\"", "1\nn"]);
        assert_eq!(
            [of("SET"), of("E"), of("F"), of("G"), of("H")],
            ["shell", "", "a#b", "two\nlines", "1\nn!"]
        );
        assert_eq!(all.get("nothing"), None);
    }
}
