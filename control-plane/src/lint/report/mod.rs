//! Findings as text, for people and for programs. Pure.

mod github;
mod human;
mod json;
mod sarif;

use super::{Finding, Level};
use crate::compose::Error;

/// In what form findings are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: the lines with what is wrong underlined.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
}

/// What is to be said of some files.
#[derive(Debug)]
pub struct Report {
    /// What was found; or why nothing could be.
    pub outcome: Result<Vec<Finding>, Error>,
    /// How many services the files have.
    pub services: usize,
    /// Whether it is Compose's own word what the files say, or the reading of this program alone.
    pub by_compose: bool,
}

impl Report {
    /// In this form; `colored` is for people alone.
    #[must_use]
    pub fn print(&self, format: Format, colored: bool) -> String {
        match format {
            Format::Human => human::print(self, colored),
            Format::Json => json::print(self),
            Format::Sarif => sarif::print(self),
            Format::Github => github::print(self),
        }
    }

    /// The number of findings; notes are none.
    #[must_use]
    pub fn count(&self) -> usize {
        let all = self.outcome.iter().flatten();
        all.filter(|finding| finding.level != Level::Note).count()
    }
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Line and column of the end of a piece of `text`, both from 1; the column is that after the last character.
fn end(text: &str, span: crate::compose::yaml::Span) -> (usize, usize) {
    let within = text.get(span.start..span.end).unwrap_or_default();
    match within.rsplit_once('\n') {
        Some((_, last)) => (span.line + within.matches('\n').count(), last.chars().count() + 1),
        None => (span.line, span.column + within.chars().count()),
    }
}
