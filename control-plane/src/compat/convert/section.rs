//! `labels` or `environment` of one service: entries with where they stand.

use std::ops::Range;

use super::Variables;
use crate::compose::yaml::{Layout, Node, Span, Style, Value};

/// A list or a mapping of names with values.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    /// Where its key stands.
    pub(super) key: Span,
    pub(super) node: &'a Node,
    pub(super) layout: Layout,
    /// Whether it is a list of `name=value`.
    pub(super) is_list: bool,
    pub(super) entries: Vec<Entry>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name, with stand-ins for variables.
    pub(super) name: String,
    pub(super) value: String,
    /// Where its name stands.
    pub(super) at: Span,
    /// All of it, in bytes, without the dash of a list.
    pub(super) bytes: Range<usize>,
    /// How it is written.
    pub(super) style: Style,
}

impl<'a> Section<'a> {
    /// What `node` has; nothing where it is neither list nor mapping.
    pub(super) fn of(key: Span, node: &'a Node, variables: &mut Variables<'_>) -> Option<Self> {
        let (layout, is_list) = match &node.value {
            Value::Sequence(layout, _) => (*layout, true),
            Value::Mapping(layout, _) => (*layout, false),
            Value::Scalar(_) | Value::Alias(_) => return None,
        };
        let entries = entries(node, variables);
        Some(Self { key, node, layout, is_list, entries })
    }
}

/// The entries of a list or mapping itself, without those of its merge keys.
pub(super) fn entries(node: &Node, variables: &mut Variables<'_>) -> Vec<Entry> {
    let style = |node: &Node| match &node.value {
        Value::Scalar(scalar) => scalar.style,
        _ => Style::Plain,
    };
    let items = node.items().iter().filter_map(|item| {
        let text = item.text()?;
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Some((
            name.trim().to_owned(),
            value.to_owned(),
            item.span,
            item.span.start..item.span.end,
            style(item),
        ))
    });
    let pairs = node.entries().iter().filter_map(|entry| {
        let (name, value) = (entry.key.text()?, entry.value.text()?);
        let bytes = entry.key.span.start..entry.value.span.end.max(entry.key.span.end);
        let is_null = style(&entry.value) == Style::Plain && matches!(value, "null" | "~");
        let value = if is_null { "" } else { value };
        Some((name.to_owned(), value.to_owned(), entry.key.span, bytes, style(&entry.value)))
    });
    let all: Vec<_> = items.chain(pairs).filter(|(name, ..)| name != "<<").collect();
    all.into_iter()
        .map(|(name, value, at, bytes, style)| Entry {
            name: variables.hide(&name),
            value: variables.hide(&value),
            at,
            bytes,
            style,
        })
        .collect()
}
