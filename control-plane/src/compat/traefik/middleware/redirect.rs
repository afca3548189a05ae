//! redirectscheme, and those of redirectregex that say no more than another host or scheme.

use std::collections::BTreeMap;

use regex_syntax::hir::{Hir, HirKind, Look};

use super::Work;
use crate::compat::note::{Note, Refusal};
use crate::compat::traefik::draft::Draft;
use crate::compat::traefik::labels::{Fields, Said};
use crate::model::Host;

/// Stands for a letter of which nothing is said.
const ANY_LETTER: char = '\0';
/// The most ways in which an expression's text is written out.
const MOST: usize = 32;

/// `redirectscheme`.
pub(super) fn to_scheme(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let code = code(fields, "redirectscheme.permanent");
    let port = fields.take("redirectscheme.port").filter(|port| !matches!(port.value.trim(), "443" | ""));
    if let Some(port) = port {
        let fix = "write redirect: https://<host>:<port>";
        return Err(port.lost(Refusal::new("our redirect to https goes to its own port, 443", fix)));
    }
    let Some(scheme) = fields.take("redirectscheme.scheme") else { return Ok(()) };
    if scheme.value != "https" {
        return Err(scheme.lost(Refusal::new("our redirect to another scheme goes to https", "write https")));
    }
    for draft in &mut work.drafts {
        redirect(draft, "https", code);
    }
    Ok(())
}

/// The first redirect of a router is the one that counts.
fn redirect(draft: &mut Draft, to: &str, code: Option<&str>) {
    if draft.keys.contains_key("redirect") {
        return;
    }
    draft.set("redirect", to);
    if let Some(code) = code {
        draft.set("redirect.code", code);
    }
}

/// Traefik answers 302 or 301 to a GET, and 307 or 308 to the rest; these two mean the same to both.
fn code(fields: &mut Fields, field: &str) -> Option<&'static str> {
    let is_permanent = fields.take(field).is_some_and(|said| said.bool() == Ok(true));
    (!is_permanent).then_some("307")
}

/// `redirectregex`.
pub(super) fn by_regex(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let code = code(fields, "redirectregex.permanent");
    let (Some(regex), Some(replacement)) =
        (fields.take("redirectregex.regex"), fields.take("redirectregex.replacement"))
    else {
        return Ok(());
    };
    let refusal = || {
        regex.lost(Refusal::new(
            "our redirects change the scheme and the host of every request of a route, or send all to one URL, and this expression may do more",
            "write redirect: https, host:<name> or a URL, on a route that takes what is redirected",
        ))
    };
    let ways = regex_syntax::parse(&regex.value).ok().and_then(|hir| ways(&hir)).ok_or_else(refusal)?;
    let mut all = Vec::new();
    for draft in std::mem::take(&mut work.drafts) {
        for host in draft.shape.hosts.clone() {
            let to = target(&ways, &host, &replacement).ok_or_else(refusal)?;
            let mut one = draft.clone();
            one.shape.hosts = vec![host];
            redirect(&mut one, &to, code);
            match all
                .iter_mut()
                .find(|other: &&mut Draft| other.keys == one.keys && other.shape.matches == one.shape.matches)
            {
                Some(other) => other.shape.hosts.extend(one.shape.hosts),
                None => all.push(one),
            }
        }
    }
    if !replacement.value.contains('$') {
        work.notes.push(replacement.differs("the query of the request is kept"));
    }
    work.drafts = all;
    Ok(())
}

/// One way in which the text of an expression can be written: what comes before the part that takes everything, the number of the
/// group that has that part, and what the other groups have.
#[derive(Debug, Clone, Default)]
struct Way {
    text: String,
    rest: Option<u32>,
    has_rest: bool,
    groups: BTreeMap<u32, String>,
}

/// All ways, for an expression of texts, of choices between them, and of `.*` at its end.
fn ways(hir: &Hir) -> Option<Vec<Way>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(Look::Start | Look::End) => Some(vec![Way::default()]),
        HirKind::Literal(literal) => {
            Some(vec![Way { text: String::from_utf8(literal.0.to_vec()).ok()?, ..Way::default() }])
        }
        HirKind::Repetition(repetition) => match (repetition.min, repetition.max, repetition.sub.kind()) {
            (0, Some(1), HirKind::Literal(_) | HirKind::Capture(_) | HirKind::Concat(_)) => {
                let mut all = ways(&repetition.sub)?;
                all.push(Way::default());
                Some(all)
            }
            // The dot.
            (0, None, HirKind::Class(class)) if !class.is_empty() && is_dot(&repetition.sub) => {
                Some(vec![Way { has_rest: true, ..Way::default() }])
            }
            _ => None,
        },
        HirKind::Capture(group) => {
            let all = ways(&group.sub)?.into_iter().map(|mut way| {
                if way.has_rest {
                    (way.rest.is_none() && way.text.is_empty()).then(|| way.rest = Some(group.index))?;
                }
                way.groups.insert(group.index, way.text.clone());
                Some(way)
            });
            all.collect()
        }
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Way::default()], |so_far, part| {
            let more = ways(part)?;
            let mut all = Vec::new();
            for left in &so_far {
                for right in &more {
                    // Nothing comes after the part that takes everything.
                    if left.has_rest && (right.has_rest || !right.text.is_empty()) {
                        return None;
                    }
                    let mut groups = left.groups.clone();
                    groups.extend(right.groups.clone());
                    all.push(Way {
                        text: format!("{}{}", left.text, right.text),
                        rest: left.rest.or(right.rest),
                        has_rest: left.has_rest || right.has_rest,
                        groups,
                    });
                }
            }
            (all.len() <= MOST).then_some(all)
        }),
        HirKind::Alternation(parts) => {
            let all: Vec<Way> =
                parts.iter().map(ways).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
            (all.len() <= MOST).then_some(all)
        }
        HirKind::Class(_) if is_dot(hir) => {
            Some(vec![Way { text: ANY_LETTER.to_string(), ..Way::default() }])
        }
        HirKind::Look(_) | HirKind::Class(_) => None,
    }
}

fn is_dot(hir: &Hir) -> bool {
    regex_syntax::parse(".").is_ok_and(|dot| dot == *hir)
}

/// Where every request of `host` is sent, as our label says it.
fn target(ways: &[Way], host: &Host, replacement: &Said) -> Option<String> {
    let of_host = ways.iter().find_map(|way| {
        let rest = way.text.strip_prefix("http://")?;
        let Host::Exact(name) = host else { return None };
        let after = after(rest, name)?;
        (way.has_rest && matches!(after, "" | "/")).then_some((way, after))
    });
    let Some((way, after)) = of_host else {
        // One that is about the scheme alone.
        let way = ways.iter().find(|way| way.text == "http://" && way.has_rest)?;
        let to = expand(&replacement.value, way)?;
        return if to == ("https://".to_owned(), true) { Some("https".to_owned()) } else { fixed(&to, way) };
    };
    let to = expand(&replacement.value, way)?;
    match to {
        // The path goes on as it was: with its slash, where the expression has taken that.
        (text, true) => {
            let base = text.strip_suffix(after)?;
            let (_, authority) = base.split_once("://")?;
            (!authority.contains(['/', '?', '#'])).then(|| base.to_owned())
        }
        to => fixed(&to, way),
    }
}

/// What follows in `text` after `name`, where a letter of which nothing is said may stand for any.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    let is_there = name.chars().all(|c| rest.next().is_some_and(|other| other == c || other == ANY_LETTER));
    if is_there { Some(rest.as_str()) } else { None }
}

fn fixed(to: &(String, bool), way: &Way) -> Option<String> {
    let (text, goes_on) = to;
    (way.has_rest && !goes_on && text.contains("://") && !text.contains(['?', '#'])).then(|| text.clone())
}

/// The replacement with what the groups have in it, and whether what takes everything follows. As Go expands it: `$1`, `${1}`, `$$`.
fn expand(replacement: &str, way: &Way) -> Option<(String, bool)> {
    let mut text = String::new();
    let mut goes_on = false;
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        if goes_on {
            return None;
        }
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => {
                let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        let group: u32 = name.parse().ok()?;
        if way.rest == Some(group) {
            goes_on = true;
        } else {
            text.push_str(way.groups.get(&group).filter(|text| !text.contains(ANY_LETTER))?);
        }
        rest = after;
    }
    if goes_on && !rest.is_empty() {
        return None;
    }
    text.push_str(rest);
    Some((text, goes_on))
}
