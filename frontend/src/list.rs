//! A page of the list, as it is shown.

use serde::Serialize;

use crate::backend::Listed;
use crate::place::Place;

/// Most messages on a page.
pub(crate) const SHOWN: usize = 50;
/// How much of a value is shown in the list: characters,
const CHARACTERS: usize = 280;
/// and lines.
const LINES: usize = 6;

/// A page of the list, and the ways to the others.
#[derive(Debug, Default, Serialize)]
pub(crate) struct List {
    /// How many messages there are in all, in words.
    total: String,
    rows: Vec<Row>,
    first: Option<String>,
    previous: Option<String>,
    next: Option<String>,
}

/// A message in the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    excerpt: Excerpt,
    edit: String,
    delete: String,
    /// Whether the page is about it.
    is_subject: bool,
}

/// The beginning of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Excerpt {
    text: String,
    /// How long the value is, in words, where this is not all of it.
    of: Option<String>,
}

impl List {
    /// One more than is shown was asked for, so that it is known whether there are more. Nothing where the page is the
    /// first one by another name: a reader who goes back comes to its beginning, whatever was deleted meanwhile.
    pub(crate) fn of(place: &Place, listed: Listed, subject: Option<&str>) -> Option<Self> {
        let more = listed.messages.len() > SHOWN;
        let mut messages: Vec<(String, String)> = listed.messages.into_iter().collect();
        let is_back = matches!(place, Place::Before(_));
        if is_back && !more {
            return None;
        }
        if is_back {
            messages.drain(..messages.len() - SHOWN);
        }
        messages.truncate(SHOWN);
        let link = |there: Place| Some(there.link("/", None));
        let first_key = messages.first().map(|(key, _)| key.clone());
        let last_key = messages.last().map(|(key, _)| key.clone());
        let is_first = *place == Place::First;
        Some(Self {
            total: counted(listed.total),
            first: if is_first { None } else { link(Place::First) },
            previous: first_key.filter(|_| !is_first).and_then(|key| link(Place::Before(key))),
            next: last_key.filter(|_| more || is_back).and_then(|key| link(Place::After(key))),
            rows: messages.iter().map(|message| Row::of(place, message, subject)).collect(),
        })
    }
}

impl Row {
    fn of(place: &Place, (key, value): &(String, String), subject: Option<&str>) -> Self {
        Self {
            name: named(key),
            excerpt: Excerpt::of(value),
            edit: place.link("/", Some(("key", key))),
            delete: place.link("/delete", Some(("key", key))),
            is_subject: subject == Some(key),
        }
    }
}

impl Excerpt {
    pub(crate) fn of(value: &str) -> Self {
        let lines = value.match_indices('\n').nth(LINES - 1).map(|(at, _)| at);
        let characters = value.char_indices().nth(CHARACTERS).map(|(at, _)| at);
        match lines.into_iter().chain(characters).min() {
            Some(end) => {
                let of = format!("{} bytes", grouped(value.len() as u64));
                Self { text: value[..end].trim_end().to_owned() + "…", of: Some(of) }
            }
            None => Self { text: value.to_owned(), of: None },
        }
    }
}

/// A key as it is called: in quotes, where it would not be seen.
pub(crate) fn named(key: &str) -> String {
    if key.trim().is_empty() { format!("{key:?}") } else { key.to_owned() }
}

fn counted(messages: u64) -> String {
    match messages {
        1 => "1 message".to_owned(),
        several => format!("{} messages", grouped(several)),
    }
}

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(keys: std::ops::Range<usize>) -> Listed {
        let message = |number| (format!("k{number:03}"), "v".to_owned());
        Listed { messages: keys.map(message).collect(), total: 1_234, by: String::new() }
    }

    fn ends(list: &List) -> (&str, &str) {
        (&list.rows.first().unwrap().name, &list.rows.last().unwrap().name)
    }

    #[test]
    fn pages_lead_to_each_other() {
        let first = List::of(&Place::First, listed(0..51), None).unwrap();
        assert_eq!((ends(&first), &*first.total), (("k000", "k049"), "1,234 messages"));
        assert_eq!(
            (&first.first, &first.previous, first.next.as_deref()),
            (&None, &None, Some("/?after=k049"))
        );
        let second = List::of(&Place::After("k049".into()), listed(50..101), None).unwrap();
        assert_eq!(ends(&second), ("k050", "k099"));
        assert_eq!(
            (second.first.as_deref(), second.previous.as_deref(), second.next.as_deref()),
            (Some("/"), Some("/?before=k050"), Some("/?after=k099"))
        );
        let last = List::of(&Place::After("k099".into()), listed(100..120), None).unwrap();
        assert_eq!((ends(&last), &last.next), (("k100", "k119"), &None));
        let back = List::of(&Place::Before("k100".into()), listed(49..100), None).unwrap();
        assert_eq!((ends(&back), back.next.as_deref()), (("k050", "k099"), Some("/?after=k099")));
        assert!(
            List::of(&Place::Before("k050".into()), listed(0..50), None).is_none(),
            "that is the first page"
        );
        let beyond = List::of(&Place::After("z".into()), listed(0..0), None).unwrap();
        assert_eq!((beyond.rows.len(), beyond.first.as_deref(), &beyond.previous), (0, Some("/"), &None));
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        assert_eq!(Excerpt::of("short\nvalue"), Excerpt { text: "short\nvalue".into(), of: None });
        let long = "ü".repeat(1_000);
        let cut = Excerpt { text: "ü".repeat(280) + "…", of: Some("2,000 bytes".into()) };
        assert_eq!(Excerpt::of(&long), cut);
        assert_eq!(Excerpt::of("a\nb\nc\nd\ne\nf").of, None);
        assert_eq!(Excerpt::of("a\nb\nc\nd\ne\nf\ng").text, "a\nb\nc\nd\ne\nf…");
    }

    #[test]
    fn a_key_that_nobody_would_see_is_quoted() {
        assert_eq!((named("ship"), named(" \t")), ("ship".to_owned(), r#"" \t""#.to_owned()));
    }
}
