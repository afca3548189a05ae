//! For people: each finding with the lines it is about, and a line that says how much was looked at.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Renderer, Snippet};

use super::Report;
use crate::compose::tree::Place;
use crate::lint::{Finding, Level};

pub(super) fn print(report: &Report, colored: bool) -> String {
    let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    match &report.outcome {
        Ok(findings) => {
            for finding in findings {
                let Finding { rule, level, place, reason, fix, .. } = finding;
                let level = match level {
                    Level::Error => annotate_snippets::Level::ERROR,
                    Level::Warning => annotate_snippets::Level::WARNING,
                    Level::Note => annotate_snippets::Level::NOTE,
                };
                text += &shown(&renderer, level, Some(rule.id), place, reason, Some(fix));
            }
            let _ = writeln!(text, "{}", summary(report, findings));
        }
        Err(error) => {
            text +=
                &shown(&renderer, annotate_snippets::Level::ERROR, None, &error.place, &error.reason, None);
        }
    }
    text
}

fn shown(
    renderer: &Renderer,
    level: annotate_snippets::Level<'static>,
    id: Option<&str>,
    place: &Place,
    reason: &str,
    fix: Option<&String>,
) -> String {
    let (first, lines, span) = excerpt(place);
    let path = place.source.path.display().to_string();
    let title = match id {
        Some(id) => level.primary_title(reason).id(id),
        None => level.primary_title(reason),
    };
    let snippet = Snippet::source(lines).line_start(first).path(path).fold(false);
    let element = snippet.annotation(AnnotationKind::Primary.span(span));
    let group: Group<'_> =
        if place.source.text.is_empty() { Group::with_title(title) } else { title.element(element) };
    let group = match fix {
        Some(fix) => group.element(annotate_snippets::Level::HELP.message(fix.as_str())),
        None => group,
    };
    renderer.render(&[group]) + "\n\n"
}

/// The lines that a place is on: the number of the first, what stands there, and where the place is in that.
fn excerpt(place: &Place) -> (usize, &str, std::ops::Range<usize>) {
    let (text, span) = (&place.source.text, place.span);
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let to = text[end..].find('\n').map_or(text.len(), |at| end + at);
    (span.line, &text[from..to], start - from..end - from)
}

/// `2 errors and a note in 3 services, as Docker Compose resolves them`
fn summary(report: &Report, findings: &[Finding]) -> String {
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    let counted = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let all = [Level::Error, Level::Warning, Level::Note].map(|level| counted(of(level), level.word()));
    let all: Vec<String> = all.into_iter().flatten().collect();
    let all = if all.is_empty() { "no findings".to_owned() } else { all.join(", ") };
    let services = counted(report.services, "service").unwrap_or_else(|| "0 services".to_owned());
    let by =
        if report.by_compose { "as Docker Compose resolves them" } else { "read without Docker Compose" };
    format!("{all} in {services}, {by}")
}
