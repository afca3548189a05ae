//! Labels that stand in files of their own (Compose file reference, "label_file"): brought into the service that names the files, as
//! if they stood there, each with its place in its file. Pure; what is to be read is asked of the caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::env::{Line, lines};
use super::interpolate::interpolate;
use super::load::{Read, parent};
use super::merge::value_mut;
use super::tree::{Field, Kind, Place, Source, Tag, Text, Tree};
use super::yaml::{Node, Scalar, Span, Style, Value};

const KEY: &str = "label_file";
const LABELS: &str = "labels";

/// Brings the labels of the files that services name into them. A path goes from `directory` where it stands in one of `files`, else
/// from the file that it stands in, which is one that is extended.
///
/// # Errors
///
/// A file cannot be read, or is none that Compose would take.
pub(super) fn bring_in(
    tree: &mut Tree,
    files: &[PathBuf],
    directory: &Path,
    read: &Read<'_>,
) -> Result<(), Error> {
    let Some(Tree { kind: Kind::Map(services), .. }) = value_mut(tree, "services") else { return Ok(()) };
    for Field { value: service, .. } in services {
        let Some(named) = service.field(KEY) else { continue };
        let mut labels = Vec::new();
        for item in named.value.items() {
            let Some(path) = item.as_str() else {
                return Err(Error::at(item.place.clone(), "label_file is a path, or a list of paths"));
            };
            let said_in = &item.place.source.path;
            let from = if files.contains(said_in) { directory.to_owned() } else { parent(said_in) };
            let path = from.join(path);
            let text = read(&path).map_err(|error| {
                let reason = format!("cannot read the label file {}: {error}", path.display());
                Error::at(item.place.clone(), reason)
            })?;
            add(&mut labels, &Arc::new(Source { path, text, is_label_file: true }))?;
        }
        if !labels.is_empty() {
            lay_below(service, labels, named.place.clone());
        }
    }
    Ok(())
}

/// Adds the labels of a file to those of the files before it.
fn add(labels: &mut Vec<Field>, source: &Arc<Source>) -> Result<(), Error> {
    let whole = Place { source: Arc::clone(source), span: Span { line: 1, column: 1, ..Span::default() } };
    let of_files_before = labels.clone();
    let known = |all: &[Field], name: &str| {
        all.iter().find(|field| field.key == name).and_then(|field| field.value.as_str()).map(str::to_owned)
    };
    for line in lines(&source.text) {
        let place = whole.part(line.name_at.clone());
        let is_sign = |sign: &char| !sign.is_alphanumeric() && !"_.-[]".contains(*sign);
        if let Some(sign) = line.name.chars().find(is_sign) {
            let reason = format!(
                "this is no name of a label: Compose takes letters, digits and _ . - [ ] in a label file, and no {sign:?}"
            );
            return Err(Error::at(place, reason));
        }
        // A variable is another label of the files.
        let lookup = |name: &str| known(&of_files_before, name).or_else(|| known(labels, name));
        let value = value(&line, &whole, &lookup);
        let field = Field { key: line.name.to_owned(), place, value };
        labels.retain(|other| other.key != field.key);
        labels.push(field);
    }
    Ok(())
}

fn value(line: &Line<'_>, whole: &Place, lookup: &dyn Fn(&str) -> Option<String>) -> Tree {
    let Line { value, value_at, quote, .. } = line;
    let place = whole.part(value_at.clone());
    let style = match quote {
        Some('\'') => Style::Single,
        Some(_) => Style::Double,
        None => Style::Plain,
    };
    let has_variables = style != Style::Single && value.contains('$');
    let variables = has_variables.then(|| Box::new(interpolate(value, lookup)));
    let scalar = Value::Scalar(Scalar { text: value.clone(), style });
    let node = Arc::new(Node { span: place.span, tag: None, value: scalar });
    let value = variables.as_ref().map_or(value, |variables| &variables.text).clone();
    Tree { place, tag: Tag::None, kind: Kind::Text(Text { value, variables, from: 0, node }) }
}

/// What the service says itself stands.
fn lay_below(service: &mut Tree, mut labels: Vec<Field>, place: Place) {
    if let Some(own) = value_mut(service, LABELS) {
        if let Kind::Map(fields) = &mut own.kind {
            labels.retain(|label| fields.iter().all(|own| own.key != label.key));
            fields.extend(labels);
        } else if own.is_null() {
            own.kind = Kind::Map(labels);
        }
    } else if let Kind::Map(fields) = &mut service.kind {
        let value = Tree { place: place.clone(), tag: Tag::None, kind: Kind::Map(labels) };
        fields.push(Field { key: LABELS.to_owned(), place, value });
    }
}
