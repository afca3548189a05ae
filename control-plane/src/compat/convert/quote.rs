//! Text as YAML has it.

use crate::compose::yaml::Style;

/// `text` in the style of its neighbours, or in one in which it can be written at all.
pub(super) fn quoted(text: &str, style: Style) -> String {
    let has_controls = text.chars().any(char::is_control);
    match style {
        Style::Plain if is_plain(text) => text.to_owned(),
        Style::Single if !has_controls => format!("'{}'", text.replace('\'', "''")),
        // A backslash is one, and easier to read.
        Style::Plain | Style::Block | Style::Double if text.contains('\\') && !has_controls => {
            format!("'{}'", text.replace('\'', "''"))
        }
        _ => {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            let escaped = escaped.replace('\n', "\\n").replace('\t', "\\t");
            format!("\"{escaped}\"")
        }
    }
}

/// Whether `text` without quotes is text, and the same.
fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || "-_./*~=:,+()|^;$ ".contains(c);
    let first = text.chars().next();
    let begins = first.is_some_and(|c| c.is_alphabetic() || c == '/' || c == '_');
    let is_like_another = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    begins
        && text.chars().all(is_word)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !is_like_another
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::yaml;

    #[test]
    fn whatever_is_quoted_reads_as_the_same() {
        for text in [
            "a", "8080", "true", "a: b", "a #b", "*", "=x", "~a\\.b", "", " a", "it's", "\"", "é", "a:",
            "/x", "a, b", "${A}", "a=b", "\t",
        ] {
            for style in [Style::Plain, Style::Single, Style::Double, Style::Block] {
                let written = format!("k: {}\n", quoted(text, style));
                let file = yaml::parse(&written).unwrap();
                assert_eq!(file.documents[0].get("k").unwrap().text(), Some(text), "{written}");
                let written = format!("k: [{}]\n", quoted(text, style));
                let items =
                    yaml::parse(&written).map(|file| file.documents[0].get("k").unwrap().items().len());
                assert!(style != Style::Double || items == Ok(1), "{written}");
            }
        }
    }
}
