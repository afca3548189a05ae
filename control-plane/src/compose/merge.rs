//! Several files, or a service and what it extends, as one (Compose file reference, "Merge"). Pure.

use super::Error;
use super::tree::{Field, Kind, Tag, Text, Tree};

/// Where something stands in the whole: `["services", "web", "labels"]`.
type Path<'a> = &'a [&'a str];

/// Writes maps where Compose takes a list or a map, so that both can be merged.
pub(super) fn in_one_form(root: &mut Tree) {
    each(root, "services", |service| {
        for key in ["labels", "networks"] {
            if let Some(value) = value_mut(service, key) {
                as_map(value, key == "labels");
            }
        }
        // Those of a service that is extended, or of a file before, come first.
        if let Some(files) = value_mut(service, "label_file").filter(|files| files.text().is_some()) {
            let one = Tree { tag: Tag::None, ..files.clone() };
            files.kind = Kind::List(vec![one]);
        }
        for (outer, inner) in [("deploy", "labels"), ("build", "labels")] {
            if let Some(value) = value_mut(service, outer).and_then(|outer| value_mut(outer, inner)) {
                as_map(value, true);
            }
        }
    });
}

fn each(root: &mut Tree, key: &str, mut change: impl FnMut(&mut Tree)) {
    if let Some(Tree { kind: Kind::Map(fields), .. }) = value_mut(root, key) {
        fields.iter_mut().for_each(|field| change(&mut field.value));
    }
}

pub(super) fn value_mut<'a>(tree: &'a mut Tree, key: &str) -> Option<&'a mut Tree> {
    let Kind::Map(fields) = &mut tree.kind else { return None };
    fields.iter_mut().find(|field| field.key == key).map(|field| &mut field.value)
}

/// `- key=value` becomes `key: value`, and `- name` becomes `name:`; of a key that stands twice the last one stands.
fn as_map(tree: &mut Tree, has_values: bool) {
    let Kind::List(items) = &tree.kind else { return };
    let mut fields: Vec<Field> = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = item.text() else { continue };
        let split = text.value.split_once('=').filter(|_| has_values);
        let (key, value) = split.unwrap_or((&text.value, ""));
        let field = match split {
            Some(_) => pair(item, text, key, value),
            None => Field {
                key: key.to_owned(),
                place: item.place.clone(),
                value: Tree::null(item.place.clone()),
            },
        };
        fields.retain(|other| other.key != field.key);
        fields.push(field);
    }
    tree.kind = Kind::Map(fields);
}

/// One item of a list of labels. Key and value have places of their own where that can be told.
fn pair(item: &Tree, text: &Text, key: &str, value: &str) -> Field {
    let (source, span) = (&item.place.source.text, item.place.span);
    let written = |place: usize| {
        let place = text.variables.as_ref().map_or(place, |variables| variables.written_at(place));
        text.node.byte_of(place, source).and_then(|byte| byte.checked_sub(span.start))
    };
    let bounds = (written(0), written(key.len()), written(key.len() + 1));
    let (key_place, value_place) = match bounds {
        (Some(start), Some(equals), Some(from)) => {
            // As far from the end as the key is from the beginning: a quote, or nothing.
            let end = (span.end - span.start).saturating_sub(start);
            (item.place.part(start..equals), item.place.part(from..end.max(from)))
        }
        _ => (item.place.clone(), item.place.clone()),
    };
    let value = Text {
        value: value.to_owned(),
        variables: text.variables.clone(),
        from: key.len() + 1,
        node: text.node.clone(),
    };
    let value = Tree { place: value_place, tag: Tag::None, kind: Kind::Text(value) };
    Field { key: key.to_owned(), place: key_place, value }
}

/// `over` laid over `base`.
///
/// # Errors
///
/// Where one is a map and the other is not.
pub(super) fn merge(base: Tree, over: Tree, path: Path<'_>) -> Result<Tree, Error> {
    match over.tag {
        Tag::Reset => return Ok(Tree::null(over.place)),
        Tag::Override => return Ok(Tree { tag: Tag::None, ..over }),
        Tag::None => {}
    }
    // These are said anew as a whole.
    let is_whole = match path {
        ["services", _, key] => matches!(*key, "command" | "entrypoint"),
        ["services", _, "healthcheck", "test"] => true,
        _ => false,
    };
    if is_whole || matches!(base.kind, Kind::Null | Kind::Text(_)) {
        return Ok(if over.is_null() { base } else { over });
    }
    let Tree { place, tag, kind } = base;
    let kind = match (kind, over.kind) {
        (kind, Kind::Null) => kind,
        (Kind::Map(base), Kind::Map(over)) => Kind::Map(fields(base, over, path)?),
        (Kind::List(mut base), Kind::List(over)) => {
            base.extend(over);
            Kind::List(base)
        }
        _ => {
            let reason = format!("{} is of another kind here than before", path.join("."));
            return Err(Error::at(over.place, reason));
        }
    };
    Ok(Tree { place, tag, kind })
}

fn fields(mut base: Vec<Field>, over: Vec<Field>, path: Path<'_>) -> Result<Vec<Field>, Error> {
    for field in over {
        let Some(at) = base.iter().position(|other| other.key == field.key) else {
            if field.value.tag != Tag::Reset {
                base.push(field);
            }
            continue;
        };
        let path: Vec<&str> = path.iter().copied().chain([field.key.as_str()]).collect();
        let is_reset = field.value.tag == Tag::Reset;
        let old = base.remove(at);
        if !is_reset {
            let place = if field.value.is_null() { old.place } else { field.place };
            let value = merge(old.value, field.value, &path)?;
            base.insert(at, Field { key: old.key, place, value });
        }
    }
    Ok(base)
}
