//! What a file says, after aliases, merge keys and variables: a tree in which every part still knows where it stands. Pure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::interpolate::{Interpolated, Lookup, interpolate};
use super::yaml::{self, Node, Span, Style};
use super::{Error, scalar};

/// So many parts a file may have after its aliases are written out.
const MOST_PARTS: usize = 1_000_000;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it is named in messages.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// Whether it is a label file, whose variables are its own labels; else it is a Compose file.
    pub is_label_file: bool,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In which file.
    pub source: Arc<Source>,
    /// Where in it.
    pub span: Span,
}

impl Place {
    /// A file as a whole, which is where its first line begins.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let source = Source { path: path.to_owned(), text: String::new(), is_label_file: false };
        Self { source: Arc::new(source), span: Span { line: 1, column: 1, ..Span::default() } }
    }

    /// The character at a line and column of a file, both from 1.
    #[must_use]
    pub fn at(source: Source, line: u64, column: u64) -> Self {
        let (line, column) =
            [line, column].map(|number| usize::try_from(number).unwrap_or(usize::MAX)).into();
        let lines = source.text.split_inclusive('\n');
        let before: usize = lines.take(line.saturating_sub(1)).map(str::len).sum();
        let rest = source.text.get(before..).unwrap_or_default();
        let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        let start = before + within;
        let end =
            start + source.text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Self { source: Arc::new(source), span: Span { start, end, line, column } }
    }

    /// The bytes `range` of it, which is on one line up to there.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        let (start, end) = (self.span.start + range.start, self.span.start + range.end);
        let before = self.source.text.get(self.span.start..start).unwrap_or_default();
        let line = self.span.line + before.matches('\n').count();
        let column = match before.rsplit_once('\n') {
            Some((_, last)) => last.chars().count() + 1,
            None => self.span.column + before.chars().count(),
        };
        Self { source: Arc::clone(&self.source), span: Span { start, end, line, column } }
    }
}

/// One part of what a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Where it stands.
    pub place: Place,
    /// What becomes of what earlier files say at this place.
    pub tag: Tag,
    /// What it is.
    pub kind: Kind,
}

/// The tags of Compose's own (Compose file reference, "Merge": "Reset value", "Replace value").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tag {
    /// Both are merged.
    #[default]
    None,
    /// `!reset`: nothing is left of either.
    Reset,
    /// `!override`: this stands alone.
    Override,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// Text, or what may be read as a number or the like.
    Text(Text),
    /// A list.
    List(Vec<Tree>),
    /// Keys with values, each key once.
    Map(Vec<Field>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub place: Place,
    /// Its value.
    pub value: Tree,
}

/// Text, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// As Compose has it.
    pub value: String,
    /// Its variables; nothing where it has no `$`.
    pub variables: Option<Box<Interpolated>>,
    /// Where in that node's text it begins, after its variables are replaced: 0, but for a value that stands behind its key.
    pub from: usize,
    /// As it stands in the file.
    pub node: Arc<Node>,
}

impl Tree {
    /// The value of `key`, if this is a map and has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.field(key).map(|field| &field.value)
    }

    /// The field `key`, if this is a map and has it.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields().iter().find(|field| field.key == key)
    }

    /// Its fields, if this is a map.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        if let Kind::Map(fields) = &self.kind { fields } else { &[] }
    }

    /// Its items, if this is a list.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let Kind::List(items) = &self.kind { items } else { &[] }
    }

    /// Its text, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// Its text as Compose has it, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.text().map(|text| text.value.as_str())
    }

    /// Whether both say the same, wherever they stand.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Text(one), Kind::Text(other)) => one.value == other.value,
            (Kind::List(one), Kind::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.says_the_same(other))
            }
            (Kind::Map(one), Kind::Map(_)) => {
                let same =
                    |field: &Field| other.get(&field.key).is_some_and(|it| it.says_the_same(&field.value));
                one.len() == other.fields().len() && one.iter().all(same)
            }
            _ => false,
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// A part without content at `place`.
    #[must_use]
    pub const fn null(place: Place) -> Self {
        Self { place, tag: Tag::None, kind: Kind::Null }
    }
}

impl Text {
    /// Where the bytes `range` of what is written, before its variables are replaced, stand; nothing where that is not known. `place`
    /// is in the same file.
    #[must_use]
    pub fn written(&self, range: std::ops::Range<usize>, place: &Place) -> Option<Place> {
        let source = &place.source.text;
        let (start, end) = (self.node.byte_of(range.start, source)?, self.node.byte_of(range.end, source)?);
        let node = Place { source: Arc::clone(&place.source), span: self.node.span };
        Some(node.part(start - node.span.start..end - node.span.start))
    }
}

/// Every text of a tree that has variables.
pub(super) fn with_variables<'a>(tree: &'a Tree, found: &mut Vec<(&'a Place, &'a Text)>) {
    match &tree.kind {
        Kind::Null => {}
        Kind::Text(text) => found.extend(text.variables.iter().map(|_| (&tree.place, text))),
        Kind::List(items) => items.iter().for_each(|item| with_variables(item, found)),
        Kind::Map(fields) => fields.iter().for_each(|field| with_variables(&field.value, found)),
    }
}

/// Makes trees of what stands in one file.
pub(super) struct Grower<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) lookup: &'a Lookup<'a>,
    parts: usize,
}

impl<'a> Grower<'a> {
    pub(super) fn new(source: &'a Arc<Source>, lookup: &'a Lookup<'a>) -> Self {
        Self { source, lookup, parts: 0 }
    }

    fn place(&self, span: Span) -> Place {
        Place { source: Arc::clone(self.source), span }
    }

    /// What `node` says.
    ///
    /// # Errors
    ///
    /// It has too many parts, a merge key of what is no map, or a key that is no text.
    pub(super) fn grow(&mut self, node: &Arc<Node>) -> Result<Tree, Error> {
        self.parts += 1;
        let place = self.place(node.span);
        if self.parts > MOST_PARTS {
            let reason = format!("with its aliases written out the file has more than {MOST_PARTS} parts");
            return Err(Error::at(place, reason));
        }
        let tag = match node.tag.as_deref() {
            Some("!reset") => Tag::Reset,
            Some("!override") => Tag::Override,
            _ => Tag::None,
        };
        let kind = match &node.value {
            yaml::Value::Alias(target) => return self.grow(target),
            yaml::Value::Scalar(scalar) => {
                if scalar.style == Style::Plain && node.tag.is_none() && scalar::is_null(&scalar.text) {
                    Kind::Null
                } else {
                    Kind::Text(self.text(node, scalar))
                }
            }
            yaml::Value::Sequence(_, items) => {
                Kind::List(items.iter().map(|item| self.grow(item)).collect::<Result<_, _>>()?)
            }
            yaml::Value::Mapping(_, entries) => Kind::Map(self.fields(entries)?),
        };
        Ok(Tree { place, tag, kind })
    }

    fn text(&self, node: &Arc<Node>, scalar: &yaml::Scalar) -> Text {
        let node = Arc::clone(node);
        if scalar.text.contains('$') {
            let read = interpolate(&scalar.text, self.lookup);
            return Text { value: read.text.clone(), variables: Some(Box::new(read)), from: 0, node };
        }
        let is_typed = scalar.style == Style::Plain && node.tag.as_deref() != Some("!!str");
        let value = if is_typed { scalar::printed(&scalar.text) } else { scalar.text.clone() };
        Text { value, variables: None, from: 0, node }
    }

    /// Own keys win over merged ones, and of several merged maps the first.
    fn fields(&mut self, entries: &[yaml::Entry]) -> Result<Vec<Field>, Error> {
        let mut fields = Vec::with_capacity(entries.len());
        let mut merged = Vec::new();
        for entry in entries {
            let Some(key) = entry.key.text() else {
                return Err(Error::at(self.place(entry.key.span), "a key must be text"));
            };
            if key == "<<" {
                merged.push(&entry.value);
                continue;
            }
            if let yaml::Value::Scalar(scalar) = &entry.key.target().value
                && scalar.style == Style::Plain
                && entry.key.tag.is_none()
                && !scalar::is_text(key)
            {
                let reason = format!("a key must be text, and {key} without quotes is none");
                return Err(Error::at(self.place(entry.key.span), reason));
            }
            let place = self.place(entry.key.target().span);
            fields.push(Field { key: key.to_owned(), place, value: self.grow(&entry.value)? });
        }
        for value in merged {
            let maps: Vec<Tree> = match &value.target().value {
                yaml::Value::Sequence(_, items) => {
                    items.iter().map(|item| self.grow(item)).collect::<Result<_, _>>()?
                }
                _ => vec![self.grow(value)?],
            };
            for map in maps {
                let Kind::Map(more) = map.kind else {
                    return Err(Error::at(
                        self.place(value.span),
                        "<< must be followed by a map, or a list of maps",
                    ));
                };
                let new = more.into_iter().filter(|field| fields.iter().all(|own| own.key != field.key));
                let new: Vec<Field> = new.collect();
                fields.extend(new);
            }
        }
        Ok(fields)
    }
}
