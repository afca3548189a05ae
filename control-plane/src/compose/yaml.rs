//! One YAML file as a tree in which every part knows where it stands in the text.
//!
//! Nothing is resolved: aliases, merge keys (`<<`) and `${...}` are as they are written, and so are comments, each with its
//! place. So it serves what reads a file (`compose`), and what changes one and must leave the rest of it alone: spans are in
//! bytes, and replacing those of a value replaces that value and no comment.
//!
//! ```text
//! labels:                 # comments[0]
//!   portolan.host: "a.b"  -> Entry { key: span 2:3..2:16, value: span 2:18..2:23, text "a.b", style Double }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle};

/// A piece of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Where it begins, in bytes from 0.
    pub start: usize,
    /// Where it ends, in bytes; this byte is not part of it.
    pub end: usize,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The character of that line at which it begins, from 1.
    pub column: usize,
}

/// All that stands in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The root of each document, mostly of one. A file without any content has none.
    pub documents: Vec<Arc<Node>>,
    /// Each comment, from its `#` to the end of its line.
    pub comments: Vec<Span>,
}

/// One value, or one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands, with its quotes or brackets, without its tag and anchor. A block ends with the last of its values.
    pub span: Span,
    /// Its tag, such as `!reset` or `!!str`.
    pub tag: Option<Box<str>>,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; what it means (`true`, `80`) is for the reader to say.
    Scalar(Scalar),
    /// A list.
    Sequence(Layout, Vec<Arc<Node>>),
    /// Keys with values, in the order in which they stand. No key that is text stands twice, but for `<<`.
    Mapping(Layout, Vec<Entry>),
    /// `*name`: what is meant stands elsewhere in the file.
    Alias(Arc<Node>),
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// What is meant, after escapes and line folding.
    pub text: String,
    /// How it is written.
    pub style: Style,
}

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is; the only style in which it may be read as something else than text.
    Plain,
    /// `'text'`
    Single,
    /// `"text"`
    Double,
    /// A block after `|` or `>`.
    Block,
}

/// How a list or a mapping is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// On lines of its own.
    Block,
    /// Between brackets.
    Flow,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<Node>,
    /// The value; an empty plain scalar where there is none.
    pub value: Arc<Node>,
}

/// Why a text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where.
    pub span: Span,
    /// Why.
    pub reason: String,
}

/// `line:column: reason`
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.span.line, self.span.column, self.reason)
    }
}

impl std::error::Error for Error {}

impl Node {
    /// The node that is meant: what an alias stands for, else itself.
    #[must_use]
    pub fn target(&self) -> &Self {
        match &self.value {
            Value::Alias(target) => target.target(),
            _ => self,
        }
    }

    /// Its text, if it is a scalar (or an alias of one).
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.target().value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The value of `key`, if it is a mapping (or an alias of one). Merge keys are not looked into.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Self>> {
        let entry = self.entries().iter().find(|entry| entry.key.text() == Some(key));
        entry.map(|entry| &entry.value)
    }

    /// Its keys with their values, if it is a mapping (or an alias of one).
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.target().value {
            Value::Mapping(_, entries) => entries,
            _ => &[],
        }
    }

    /// Its items, if it is a list (or an alias of one).
    #[must_use]
    pub fn items(&self) -> &[Arc<Self>] {
        match &self.target().value {
            Value::Sequence(_, items) => items,
            _ => &[],
        }
    }

    /// Where in the file the byte `place` of its text stands; nothing where that is not known for sure, as after an escape or in
    /// a block of lines. `source` is the text of the file.
    #[must_use]
    pub fn byte_of(&self, place: usize, source: &str) -> Option<usize> {
        let Value::Scalar(scalar) = &self.value else { return None };
        let written = source.get(self.span.start..self.span.end)?;
        let quote = match scalar.style {
            Style::Plain => 0,
            Style::Single | Style::Double => 1,
            Style::Block => return None,
        };
        let inner = written.get(quote..written.len().checked_sub(quote)?)?;
        // The same up to there, byte by byte: nothing before it is written otherwise than meant.
        let same = inner.get(..place)? == scalar.text.get(..place)?;
        same.then_some(self.span.start + quote + place)
    }
}

/// Reads `text`.
///
/// # Errors
///
/// Where it is not YAML, and why; a key that stands twice in a mapping is an error too.
pub fn parse(text: &str) -> Result<File, Error> {
    let mut options = Options::default();
    options.set_emit_comments(true);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| Error {
            span: span_of(granit_parser::Span::empty(*error.marker())),
            reason: error.info(),
        })?;
        builder.take(event, span_of(span))?;
    }
    Ok(File { documents: builder.documents, comments: builder.comments })
}

fn span_of(span: granit_parser::Span) -> Span {
    let start = span.start.byte_offset().unwrap_or_default();
    let end = span.end.byte_offset().unwrap_or_default().max(start);
    Span { start, end, line: span.start.line(), column: span.start.col() + 1 }
}

/// A list or a mapping of which not all has been read.
struct Open {
    span: Span,
    tag: Option<Box<str>>,
    anchor: usize,
    layout: Layout,
    is_mapping: bool,
    /// Of a mapping keys and values in turn.
    children: Vec<Arc<Node>>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Arc<Node>>,
    documents: Vec<Arc<Node>>,
    comments: Vec<Span>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        match event {
            Event::Comment(..) => self.comments.push(span),
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let value = Value::Scalar(Scalar { text: text.into_owned(), style });
                self.close(anchor, Node { span, tag: tag.map(|tag| tag.original().into()), value });
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(span, tag.map(|tag| tag.original().into()), anchor, style, false);
            }
            Event::MappingStart(style, anchor, tag) => {
                self.open(span, tag.map(|tag| tag.original().into()), anchor, style, true);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let anchor = open.anchor;
                    let node = finished(open, span)?;
                    self.close(anchor, node);
                }
            }
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).cloned().ok_or_else(|| Error {
                    span,
                    reason: "the alias stands within what it stands for".to_owned(),
                })?;
                self.close(0, Node { span, tag: None, value: Value::Alias(target) });
            }
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        span: Span,
        tag: Option<Box<str>>,
        anchor: usize,
        style: StructureStyle,
        is_mapping: bool,
    ) {
        let layout = match style {
            StructureStyle::Block => Layout::Block,
            StructureStyle::Flow => Layout::Flow,
        };
        self.open.push(Open { span, tag, anchor, layout, is_mapping, children: Vec::new() });
    }

    fn close(&mut self, anchor: usize, node: Node) {
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.documents.push(node),
        }
    }
}

fn finished(open: Open, end: Span) -> Result<Node, Error> {
    let Open { mut span, tag, layout, is_mapping, children, .. } = open;
    let last = children.last().map(|child| child.span);
    match (layout, last) {
        (Layout::Flow, _) => span.end = end.end,
        // The end of a block is found at the next thing that stands after it, comments or not.
        (Layout::Block, Some(last)) => span.end = last.end.max(span.start),
        (Layout::Block, None) => {}
    }
    if !is_mapping {
        return Ok(Node { span, tag, value: Value::Sequence(layout, children) });
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(children.len() / 2);
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        if let Some(text) = key.text().filter(|text| *text != "<<")
            && let Some(line) = lines.insert(text.to_owned(), key.span.line)
        {
            let reason = format!("the key {text:?} stands twice: it is on line {line} already");
            return Err(Error { span: key.span, reason });
        }
        entries.push(Entry { key, value });
    }
    Ok(Node { span, tag, value: Value::Mapping(layout, entries) })
}

#[cfg(test)]
mod tests;
