//! The hosts that a regular expression about names stands for: single names, `*.example.com`, or all.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::compat::note::Refusal;
use crate::model::Host;

/// The most names that are listed for one expression.
const MOST: usize = 16;

const FIX: &str = "name the hosts one by one, or all names below one (*.example.com)";

/// Stands for a letter of which nothing is said.
const ANY_LETTER: char = '\0';

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Anything at all; and whether it may be other than that in truth.
    Any {
        is_more: bool,
    },
    Start,
    End,
}

impl Part {
    fn text(&mut self) -> Option<&mut String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// The hosts that `pattern` takes, matched anywhere in a name; and what is not quite the same.
pub(super) fn hosts(pattern: &str, differences: &mut Vec<String>) -> Result<Vec<Host>, Refusal> {
    let hir = regex_syntax::parse(pattern)
        .map_err(|_| Refusal::new("the regular expression does not parse", "correct it (syntax: RE2)"))?;
    let mut hosts = Vec::new();
    for mut name in expand(&hir)? {
        for text in name.iter_mut().filter_map(Part::text) {
            if text.contains(ANY_LETTER) {
                differences.push(format!("a dot in {pattern} is taken as a dot, not as any letter"));
                *text = text.replace(ANY_LETTER, ".");
            }
        }
        for host in to_hosts(pattern, &joined(name), differences)? {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    Ok(hosts)
}

fn too_much() -> Refusal {
    Refusal::new("our hosts are names, *.example.com for all below one, or *, and this is none of them", FIX)
}

/// All the names, in parts.
fn expand(hir: &Hir) -> Result<Vec<Vec<Part>>, Refusal> {
    let one = |part| Ok(vec![vec![part]]);
    match hir.kind() {
        HirKind::Empty => Ok(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            one(Part::Text(String::from_utf8_lossy(&literal.0).to_ascii_lowercase()))
        }
        HirKind::Look(Look::Start) => one(Part::Start),
        HirKind::Look(Look::End) => one(Part::End),
        HirKind::Look(_) => Err(too_much()),
        // Most who write a dot mean a dot.
        HirKind::Class(class) if contains(class, '.') && contains(class, 'a') => {
            one(Part::Text(ANY_LETTER.to_string()))
        }
        HirKind::Class(class) => letters(class),
        HirKind::Capture(group) => expand(&group.sub),
        HirKind::Repetition(repetition) => match (repetition.min, repetition.max, repetition.sub.kind()) {
            (_, max, HirKind::Class(class)) if max != Some(1) => one(Part::Any {
                is_more: !contains(class, '.') || !contains(class, 'a') || !contains(class, '-'),
            }),
            (0, Some(1), _) => {
                let mut all = vec![Vec::new()];
                all.extend(expand(&repetition.sub)?);
                Ok(all)
            }
            _ => Err(too_much()),
        },
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Vec::new()], |so_far, part| {
            let more = expand(part)?;
            if so_far.len() * more.len() > MOST {
                return Err(too_much());
            }
            Ok(so_far
                .iter()
                .flat_map(|left| more.iter().map(move |right| [&left[..], right].concat()))
                .collect())
        }),
        HirKind::Alternation(parts) => {
            let all: Vec<Vec<Part>> =
                parts.iter().map(expand).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
            if all.len() > MOST { Err(too_much()) } else { Ok(all) }
        }
    }
}

/// One letter of a few.
fn letters(class: &Class) -> Result<Vec<Vec<Part>>, Refusal> {
    let all: Vec<char> = (0_u8..128).map(char::from).filter(|c| contains(class, *c)).collect();
    if all.len() > MOST {
        return Err(too_much());
    }
    let mut lower: Vec<char> = all.iter().map(char::to_ascii_lowercase).collect();
    lower.dedup();
    lower.sort_unstable();
    lower.dedup();
    Ok(lower.into_iter().map(|c| vec![Part::Text(c.to_string())]).collect())
}

fn contains(class: &Class, c: char) -> bool {
    match class {
        Class::Unicode(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&c)),
        Class::Bytes(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&(c as u8))),
    }
}

/// Texts that touch as one.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    joined
}

fn to_hosts(pattern: &str, parts: &[Part], differences: &mut Vec<String>) -> Result<Vec<Host>, Refusal> {
    let (is_bound, rest) = match parts {
        [Part::Start, rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (ends, rest) = match rest {
        [rest @ .., Part::End] => (true, rest),
        rest => (false, rest),
    };
    let goes_on = |differences: &mut Vec<String>, name: &str| {
        if !ends {
            differences
                .push(format!("{pattern} has no $ at its end; names that go on after {name} are not taken"));
        }
    };
    match rest {
        [] | [Part::Any { is_more: false }] => Ok(vec![Host::Any]),
        [Part::Text(name)] if is_bound => {
            goes_on(differences, name);
            Ok(vec![Host::Exact(name.clone())])
        }
        [Part::Text(name)] => {
            goes_on(differences, name);
            if name.starts_with('.') {
                return Ok(vec![Host::Suffix(name.clone())]);
            }
            differences.push(format!("{pattern} has no ^ at its beginning; names such as x{name} are not taken, those below {name} are"));
            Ok(vec![Host::Exact(name.clone()), Host::Suffix(format!(".{name}"))])
        }
        [Part::Any { is_more }, Part::Text(name)] if name.starts_with('.') => {
            goes_on(differences, name);
            if *is_more {
                differences
                    .push(format!("*{name} takes every name below, where {pattern} takes some of them"));
            }
            Ok(vec![Host::Suffix(name.clone())])
        }
        _ => Err(too_much()),
    }
}
