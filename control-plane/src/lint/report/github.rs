//! Workflow commands of GitHub Actions, which become annotations of the lines.

use super::{Report, end};
use crate::compose::tree::Place;

pub(super) fn print(report: &Report) -> String {
    let line = |command: &str, place: &Place, title: &str, message: &str| {
        let Place { source, span } = place;
        let (end_line, end_column) = end(&source.text, *span);
        let file = property(&source.path.to_string_lossy());
        let (line, column, title) = (span.line, span.column, property(title));
        let at = format!("file={file},line={line},col={column},endLine={end_line},endColumn={end_column}");
        format!("::{command} {at},title={title}::{}\n", data(message))
    };
    match &report.outcome {
        Ok(findings) => findings
            .iter()
            .map(|finding| {
                let command = match finding.level {
                    super::Level::Note => "notice",
                    level => level.word(),
                };
                let message = format!("{}; {}", finding.reason, finding.fix);
                line(command, &finding.place, &format!("portolan {}", finding.rule.id), &message)
            })
            .collect(),
        Err(error) => line("error", &error.place, "portolan", &error.reason),
    }
}

/// As the runner unescapes the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As it unescapes one of its properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
