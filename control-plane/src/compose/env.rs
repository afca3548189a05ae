//! The variables that Compose files may ask for: those of the environment, then those of `.env`. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

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
        for Line { name, value, quote, .. } in lines(text) {
            if self.get(name).is_some() {
                continue;
            }
            let value = match quote {
                Some('\'') => value,
                _ => interpolate(&value, &|name| all.get(name).map(str::to_owned)).text,
            };
            all.0.insert(name.to_owned(), value);
        }
        all
    }
}

/// One line of an env file that sets something, or several where its value goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    pub(crate) name: &'t str,
    /// Where the name stands, in bytes.
    pub(crate) name_at: Range<usize>,
    /// After escapes, and before variables are replaced.
    pub(crate) value: String,
    /// Where the value stands with its quotes, in bytes.
    pub(crate) value_at: Range<usize>,
    /// The quote it is written in, if it is in one; a value in single ones has no variables.
    pub(crate) quote: Option<char>,
}

/// The lines of an env file that set something, as Compose reads them. A line that sets nothing is passed over; Compose knows what is
/// wrong with it.
pub(crate) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut found = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        // From `at` on: what is left of the line.
        let skip = |at: usize| end - text[at..end].trim_start().len();
        at = skip(at);
        if text[at..end].starts_with("export ") {
            at = skip(at + "export ".len());
        }
        let line = &text[at..end];
        if let Some(sign) = line.find(['=', ':']).filter(|_| !line.starts_with('#')) {
            let name = line[..sign].trim_end();
            let name_at = at..at + name.len();
            let (value, value_at, quote) = value(text, skip(at + sign + 1)..end);
            at = value_at.end;
            found.push(Line { name, name_at, value, value_at, quote });
        }
        at = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
    }
    found
}

/// The value that begins in `line`, where it stands, and in which quotes; in quotes it may go on over several lines.
fn value(text: &str, line: Range<usize>) -> (String, Range<usize>, Option<char>) {
    let start = line.start;
    let rest = &text[line];
    match rest.chars().next().filter(|quote| matches!(quote, '\'' | '"')) {
        Some(quote) => {
            let (value, length) = quoted(&text[start + 1..], quote);
            (value, start..start + 1 + length, Some(quote))
        }
        None => {
            let value = rest.split(" #").next().unwrap_or_default().trim_end();
            let value = if value.starts_with('#') { "" } else { value };
            (value.to_owned(), start..start + value.len(), None)
        }
    }
}

/// What stands before the closing quote, and where it ends; all of `text` where there is none.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return (value, at + 1),
            '\\' => match chars.next() {
                Some((_, c)) if c == quote => value.push(c),
                Some((_, 'n')) if quote == '"' => value.push('\n'),
                Some((_, 'r')) if quote == '"' => value.push('\r'),
                Some((_, 't')) if quote == '"' => value.push('\t'),
                // An escaped dollar is none for the variables, which read two as one.
                Some((_, '$')) if quote == '"' => value.push_str("$$"),
                Some((_, '\\')) if quote == '"' => value.push('\\'),
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
    #[test]
    fn each_line_knows_where_it_stands() {
        let text = "\u{feff}# a=b\nexport A = one # two\n  B: \"x\ny\" z\nC='it\\'s $D'\nno\nE=\nF=é";
        let found = lines(text);
        let seen: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|line| (&text[line.name_at.clone()], &text[line.value_at.clone()], line.value.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("A", "one", "one"),
                ("B", "\"x\ny\"", "x\ny"),
                ("C", "'it\\'s $D'", "it's $D"),
                ("E", "", ""),
                ("F", "é", "é")
            ]
        );
    }
}
