//! Changes of the text, by bytes: whole lines of blocks, and the inside of brackets.

use std::collections::BTreeSet;
use std::ops::Range;

use super::quote::quoted;
use super::section::{Entry, Section};
use super::services::Service;
use crate::compat::note::{Kind, Note};
use crate::compat::{nginx, traefik};
use crate::compose::yaml::{Layout, Span, Style};

pub(super) struct Edits<'a> {
    text: &'a str,
    comments: &'a [Span],
    newline: &'static str,
    all: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(text: &'a str, comments: &'a [Span]) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, comments, newline, all: Vec::new() }
    }

    pub(super) fn apply(mut self) -> String {
        self.all.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, new) in self.all {
            text.push_str(self.text.get(at..range.start).unwrap_or_default());
            text.push_str(&new);
            at = at.max(range.end);
        }
        text + &self.text[at..]
    }

    /// Puts our labels in the place of the others. What is named in `undone` stays as a comment. Returns what cannot be done.
    pub(super) fn service(
        &mut self,
        service: &Service<'_>,
        ours: &[(String, String)],
        undone: &BTreeSet<String>,
    ) -> Option<Note> {
        if service.is_ours {
            return None;
        }
        let is_of_nginx = service.is_of_nginx;
        let is_label = |name: &str| traefik::is_traefiks(name) || (is_of_nginx && nginx::is_label(name));
        let is_variable = |name: &str| is_of_nginx && nginx::is_variable(name);
        let labels = service.inherited.iter().filter(|entry| is_label(&entry.name));
        let variables = service.inherited_variables.iter().filter(|entry| is_variable(&entry.name));
        let inherited = labels.chain(variables).next();
        let variables = service
            .variables
            .as_ref()
            .filter(|section| section.entries.iter().any(|entry| is_variable(&entry.name)));
        match (&service.section, variables) {
            (Some(section), _) if !section.entries.is_empty() => {
                self.section(section, ours, &is_label, undone)
            }
            (None, variables)
                if let Some(key) = variables.map(|section| section.key).or(service.base.key)
                    && !ours.is_empty()
                    && service.can_have_labels() =>
            {
                self.add(key, ours)
            }
            _ if ours.is_empty() => {}
            _ => {
                return inherited
                    .or(variables.and_then(|section| section.entries.first()))
                    .map(|entry| elsewhere(entry, ours));
            }
        }
        if let Some(variables) = variables {
            self.section(variables, &[], &is_variable, undone);
        }
        let left = |name: &str, value: &str, where_it_is: &str| Note {
            kind: Kind::Differs,
            label: name.to_owned(),
            value: value.to_owned(),
            place: None,
            reason: format!("it stands {where_it_is}, and is left there: Portolan does not read it"),
            fix: "remove it where nothing else does".to_owned(),
        };
        let base = &service.base;
        // What this file says is converted where it stands.
        let labels = base.labels.iter().filter(|_| base.local.is_none());
        let labels = labels.chain(&base.of_label_files).filter(|(name, _)| is_label(name));
        let variables = base.of_files.iter().chain(&base.environment).filter(|(name, _)| is_variable(name));
        let of_base = labels.chain(variables).next();
        inherited
            .map(|entry| left(&entry.name, &entry.value, "elsewhere in the file"))
            .or_else(|| of_base.map(|(name, value)| left(name, value, "in another file or service")))
    }

    /// Takes `theirs` out of a section and puts `ours` in the place of the first of them, or at the end.
    fn section(
        &mut self,
        section: &Section<'_>,
        ours: &[(String, String)],
        theirs: &dyn Fn(&str) -> bool,
        undone: &BTreeSet<String>,
    ) {
        if section.entries.iter().all(|entry| !theirs(&entry.name)) && ours.is_empty() {
            return;
        }
        match section.layout {
            Layout::Block => self.block(section, ours, theirs, undone),
            Layout::Flow => self.flow(section, ours, theirs, undone),
        }
    }

    /// Labels for a service that has none, before what stands at `key`.
    fn add(&mut self, key: Span, ours: &[(String, String)]) {
        let indent = self.indent_of(key.start);
        let mut new = format!("{indent}labels:{}", self.newline);
        for (key, value) in ours {
            new += &format!("{indent}  {key}: {}{}", quoted(value, Style::Plain), self.newline);
        }
        let start = self.line_start(key.start);
        self.all.push((start..start, new));
    }

    fn block(
        &mut self,
        section: &Section<'_>,
        ours: &[(String, String)],
        theirs: &dyn Fn(&str) -> bool,
        undone: &BTreeSet<String>,
    ) {
        let theirs: Vec<&Entry> = section.entries.iter().filter(|entry| theirs(&entry.name)).collect();
        let Some(first) = theirs.first().copied().or(section.entries.last()) else { return };
        let indent = self.indent_of(first.bytes.start).to_owned();
        let style = first.style;
        let mut new: String = ours
            .iter()
            .map(|label| format!("{indent}{}{}", line(section, style, label), self.newline))
            .collect();
        if theirs.is_empty() {
            let end = self.line_end(self.trimmed(&first.bytes).end);
            let start = if self.text[..end].ends_with('\n') { "" } else { self.newline };
            self.all.push((end..end, format!("{start}{new}")));
            return;
        }
        let mut has_comments = false;
        for entry in &theirs {
            let bytes = self.trimmed(&entry.bytes);
            let lines = self.line_start(bytes.start)..self.line_end(bytes.end);
            if undone.contains(&entry.name) {
                has_comments = true;
                for commented in self.text[lines.clone()].lines() {
                    let written = commented.strip_prefix(indent.as_str()).unwrap_or(commented.trim_start());
                    new.push_str(&format!("{indent}# {written}{}", self.newline));
                }
            } else if let Some(comment) =
                self.comments.iter().find(|comment| (bytes.end..lines.end).contains(&comment.start))
            {
                new.push_str(&format!("{indent}{}{}", &self.text[comment.start..comment.end], self.newline));
            }
            self.all.push((lines, std::mem::take(&mut new)));
        }
        let has_merges = section.node.entries().len() > section.entries.len();
        if ours.is_empty() && theirs.len() == section.entries.len() && !has_merges {
            self.without_entries(section, has_comments);
        }
    }

    /// A key without anything below it would be a mistake.
    fn without_entries(&mut self, section: &Section<'_>, has_comments: bool) {
        let line = self.line_start(section.key.start)..self.line_end(section.key.end);
        let written = self.text[line.clone()].trim_end();
        let (code, comment) =
            written.split_once(" #").map_or((written, None), |(code, comment)| (code, Some(comment)));
        let name = &self.text[section.key.start..section.key.end];
        if code.trim() != format!("{name}:") {
            // An anchor, which others may name.
            let end = line.start + code.trim_end().len();
            self.all.push((end..end, if section.is_list { " []" } else { " {}" }.to_owned()));
            return;
        }
        let indent = self.indent_of(section.key.start);
        let kept = comment.map(|comment| format!("{indent}#{comment}{}", self.newline));
        let heading = has_comments.then(|| format!("{indent}# {name}:{}", self.newline));
        self.all.push((line, format!("{}{}", kept.unwrap_or_default(), heading.unwrap_or_default())));
    }

    fn flow(
        &mut self,
        section: &Section<'_>,
        ours: &[(String, String)],
        theirs: &dyn Fn(&str) -> bool,
        undone: &BTreeSet<String>,
    ) {
        let is_theirs = |entry: &&Entry| theirs(&entry.name);
        let at = section.entries.iter().position(|entry| is_theirs(&entry)).unwrap_or(section.entries.len());
        let style = section.entries.iter().map(|entry| entry.style).find(|style| *style != Style::Plain);
        // Between brackets more signs mean something.
        let style = style.unwrap_or(Style::Double);
        let text = self.text;
        let written = |entry: &Entry| text[entry.bytes.clone()].trim_end().to_owned();
        let mut items: Vec<String> = Vec::new();
        for (index, entry) in section.entries.iter().enumerate() {
            if index == at {
                items.extend(ours.iter().map(|label| flow_item(section, style, label)));
            }
            if !is_theirs(&entry) {
                items.push(written(entry));
            }
        }
        if at == section.entries.len() {
            items.extend(ours.iter().map(|label| flow_item(section, style, label)));
        }
        let merged = section.node.entries().iter().filter(|entry| entry.key.text() == Some("<<"));
        items.extend(merged.map(|entry| self.text[entry.key.span.start..entry.value.span.end].to_owned()));
        let inside = items.join(", ");
        let all = if section.is_list { format!("[{inside}]") } else { format!("{{ {inside} }}") };
        let all = if items.is_empty() && !section.is_list { "{}".to_owned() } else { all };
        self.all.push((section.node.span.start..section.node.span.end, all));
        let indent = self.indent_of(section.key.start);
        let comments =
            section.entries.iter().filter(|entry| is_theirs(entry) && undone.contains(&entry.name));
        let comments: String = comments
            .map(|entry| format!("{indent}# {}{}", written(entry).replace('\n', " "), self.newline))
            .collect();
        let start = self.line_start(section.key.start);
        self.all.push((start..start, comments));
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The end of the line that `at` is in, with its line break.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    fn indent_of(&self, at: usize) -> &'a str {
        let line = &self.text[self.line_start(at)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    /// Without the line breaks that end a block of text.
    fn trimmed(&self, bytes: &Range<usize>) -> Range<usize> {
        let written = &self.text[bytes.clone()];
        bytes.start..bytes.start + written.trim_end().len()
    }
}

/// One of our labels as a line of its own, in the way of its neighbours.
fn line(section: &Section<'_>, style: Style, (key, value): &(String, String)) -> String {
    if section.is_list {
        format!("- {}", quoted(&format!("{key}={value}"), style))
    } else {
        format!("{key}: {}", quoted(value, style))
    }
}

fn flow_item(section: &Section<'_>, style: Style, (key, value): &(String, String)) -> String {
    if section.is_list {
        quoted(&format!("{key}={value}"), style)
    } else {
        format!("{key}: {}", quoted(value, style))
    }
}

/// The labels stand where they may be those of others too.
fn elsewhere(entry: &Entry, ours: &[(String, String)]) -> Note {
    let labels: Vec<String> = ours.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Note {
        kind: Kind::ByHand,
        label: entry.name.clone(),
        value: entry.value.clone(),
        place: None,
        reason: "the labels stand elsewhere in the file, where others may read them too, and are left there"
            .to_owned(),
        fix: format!("give the service these: {}", labels.join("; ")),
    }
}
