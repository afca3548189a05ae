//! `$VAR` and `${VAR...}` in values, as Compose replaces them (Compose file reference, "Interpolation"). Pure.

use std::ops::Range;

/// A value after its variables are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interpolated {
    /// What came of it.
    pub text: String,
    /// The variables that it asked for, in order; those within a default are not among them.
    pub references: Vec<Reference>,
    /// What could not be read, if anything: it stands in the text as it was written.
    pub broken: Option<Broken>,
    /// Where both texts go on side by side: the byte of the text, and that of what was written.
    jumps: Vec<(usize, usize)>,
}

/// One variable that a value asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The variable.
    pub name: String,
    /// Where it is asked for, in bytes of what was written, from the `$` on.
    pub at: Range<usize>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The variable's value, or what stands for it by the words beside it.
    Replaced,
    /// Nothing: the variable is not set, and nothing stands for it. Compose warns, and goes on.
    Missing,
    /// Nothing: it must be set (`${VAR:?why}`), and Compose does not go on without it. Why, if it says so.
    Required(String),
}

/// A `${` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where, in bytes of what was written.
    pub at: Range<usize>,
    /// Why.
    pub reason: &'static str,
}

impl Interpolated {
    /// Where the byte `place` of the text stands in what was written. In the midst of a variable's value: where it is asked for.
    #[must_use]
    pub fn written_at(&self, place: usize) -> usize {
        let before = self.jumps.partition_point(|(text, _)| *text <= place);
        let Some((text, written)) = before.checked_sub(1).and_then(|at| self.jumps.get(at)) else {
            return place;
        };
        let end = self.jumps.get(before).map_or(usize::MAX, |(_, written)| *written);
        let within = self.references.iter().find(|reference| reference.at.start == *written);
        match within {
            Some(_) => *written,
            None => (written + (place - text)).min(end),
        }
    }
}

/// Where a variable's value comes from.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces the variables of `written`.
#[must_use]
pub fn interpolate(written: &str, lookup: &Lookup<'_>) -> Interpolated {
    let mut all = Interpolated::default();
    if !written.contains('$') {
        written.clone_into(&mut all.text);
        return all;
    }
    let mut at = 0;
    while let Some(dollar) = written[at..].find('$').map(|found| at + found) {
        all.copy(written, at..dollar);
        at = dollar + 1;
        let rest = &written[at..];
        if rest.starts_with('$') {
            all.copy(written, at..at + 1);
            at += 1;
        } else if rest.starts_with('{') {
            at = all.braced(written, dollar, lookup);
        } else {
            let length = name_length(rest);
            if length == 0 {
                all.copy(written, dollar..at);
                continue;
            }
            let name = rest[..length].to_owned();
            at += length;
            let found = lookup(&name);
            let outcome = if found.is_some() { Outcome::Replaced } else { Outcome::Missing };
            all.replace(name, dollar..at, &found.unwrap_or_default(), outcome);
        }
    }
    all.copy(written, at..written.len());
    all
}

impl Interpolated {
    fn copy(&mut self, written: &str, range: Range<usize>) {
        if !range.is_empty() {
            self.jumps.push((self.text.len(), range.start));
            self.text.push_str(&written[range]);
        }
    }

    fn replace(&mut self, name: String, at: Range<usize>, value: &str, outcome: Outcome) {
        self.jumps.push((self.text.len(), at.start));
        self.text.push_str(value);
        self.references.push(Reference { name, at, outcome });
    }

    /// `${...}` from the byte `dollar` on; where it goes on after that.
    fn braced(&mut self, written: &str, dollar: usize, lookup: &Lookup<'_>) -> usize {
        let inner = dollar + 2;
        let broken = |reason, at| Some(Broken { at, reason });
        let Some(end) = closing(&written[inner..]).map(|length| inner + length) else {
            self.broken = self.broken.take().or(broken("no } follows the ${", dollar..written.len()));
            self.copy(written, dollar..written.len());
            return written.len();
        };
        let body = &written[inner..end];
        let (name, rest) = body.split_at(name_length(body));
        let at = dollar..end + 1;
        let word = |word: &str| interpolate(word, lookup).text;
        let found = lookup(name);
        let filled = found.clone().filter(|value| !value.is_empty());
        let (value, outcome) = match (name, rest) {
            ("", _) => {
                let reason = "a name of letters, digits and _ must follow the ${";
                self.broken = self.broken.take().or(broken(reason, at.clone()));
                self.copy(written, at.clone());
                return at.end;
            }
            (_, "") => match found {
                Some(value) => (value, Outcome::Replaced),
                None => (String::new(), Outcome::Missing),
            },
            _ => {
                let (value, operator, rest) = match rest.strip_prefix(':') {
                    Some(rest) => (filled, rest.chars().next(), rest.get(1..)),
                    None => (found, rest.chars().next(), rest.get(1..)),
                };
                match (operator, rest) {
                    (Some('-'), Some(rest)) => (value.unwrap_or_else(|| word(rest)), Outcome::Replaced),
                    (Some('+'), Some(rest)) => {
                        (value.map_or_else(String::new, |_| word(rest)), Outcome::Replaced)
                    }
                    (Some('?'), Some(rest)) => match value {
                        Some(value) => (value, Outcome::Replaced),
                        None => (String::new(), Outcome::Required(word(rest))),
                    },
                    _ => {
                        let reason = "after the name there may be :- - :+ + :? or ?, and nothing else";
                        self.broken = self.broken.take().or(broken(reason, at.clone()));
                        self.copy(written, at.clone());
                        return at.end;
                    }
                }
            }
        };
        let end = at.end;
        self.replace(name.to_owned(), at, &value, outcome);
        end
    }
}

/// How many bytes of a name `text` begins with.
fn name_length(text: &str) -> usize {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if begins { end } else { 0 }
}

/// Where the `}` is that closes what stands open at the beginning of `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if last == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        last = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Interpolated {
        interpolate(written, &|name| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_replaced_as_compose_replaces_them() {
        for (written, text) in [
            ("none", "none"),
            ("$A.b", "a.b"),
            ("${A}b", "ab"),
            ("$$A $1 $(A) $ $", "$A $1 $(A) $ $"),
            ("^/x$|y$/", "^/x$|y$/"),
            ("${A:-x}${A-x}", "aa"),
            ("${EMPTY:-x}${EMPTY-y}", "x"),
            ("${NO:-x}${NO-y}", "xy"),
            ("${A:+x}${EMPTY:+y}${EMPTY+z}${NO+n}", "xz"),
            ("${NO:-${A}}${NO:-${NO:-deep}}", "adeep"),
            ("${A:-b}c}", "ac}"),
            ("${NO:-a$$b}", "a$b"),
            ("${A:?why}", "a"),
            ("$$${A}", "$a"),
            ("[$NO]", "[]"),
        ] {
            let read = read(written);
            assert_eq!((read.text.as_str(), &read.broken), (text, &None), "{written}");
        }
    }

    #[test]
    fn what_is_missing_and_what_cannot_be_read_is_told() {
        let outcomes =
            |written| read(written).references.into_iter().map(|it| it.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes("$NO ${NO} $A"), [Outcome::Missing, Outcome::Missing, Outcome::Replaced]);
        assert_eq!(outcomes("${NO:?say $A}"), [Outcome::Required("say a".to_owned())]);
        assert_eq!(outcomes("${EMPTY:?}${EMPTY?}"), [Outcome::Required(String::new()), Outcome::Replaced]);
        for written in ["x${", "x${A", "x${}", "x${1A}", "x${A B}", "x${a.b}", "x${A:x}"] {
            let read = read(written);
            assert_eq!(read.broken.unwrap().at, 1..written.len(), "{written}");
            assert_eq!(read.text, written);
        }
    }

    #[test]
    fn a_place_in_the_text_is_found_in_what_was_written() {
        let read = read("a$$b${A}c$NO!");
        assert_eq!(read.text, "a$bac!");
        let at = |place| "a$$b${A}c$NO!".split_at(read.written_at(place)).1;
        assert_eq!(
            [at(0), at(2), at(3), at(4), at(5)],
            ["a$$b${A}c$NO!", "b${A}c$NO!", "${A}c$NO!", "c$NO!", "!"]
        );
    }
}
