//! `${DOMAIN}` and its kin, for which other text stands in while labels are translated.
//!
//! A stand-in is a number, which can stand wherever a value can: in a host's name, a port, a path, the name of a router.

/// The first number that stands in; it may be a port.
const FIRST: usize = 61_000;
const LAST: usize = 64_999;

/// Variables, and what stands in for each.
#[derive(Debug, Clone)]
pub(super) struct Variables<'a> {
    /// The file, in which no stand-in may stand already.
    text: &'a str,
    /// The next number.
    next: usize,
    /// What is written, and its stand-in.
    all: Vec<(String, String)>,
}

impl<'a> Variables<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, next: FIRST, all: Vec::new() }
    }

    /// `text` as the container gets it, with stand-ins for what is not known.
    pub(super) fn hide(&mut self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            hidden.push_str(before);
            let length = match after.bytes().next() {
                Some(b'$') => {
                    hidden.push('$');
                    rest = &after[1..];
                    continue;
                }
                Some(b'{') => braced(after),
                _ => {
                    after.len()
                        - after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
                }
            };
            let (variable, after) = after.split_at(length);
            if variable.is_empty() {
                hidden.push('$');
            } else {
                hidden.push_str(&self.stand_in(&format!("${variable}")));
            }
            rest = after;
        }
        hidden + rest
    }

    fn stand_in(&mut self, written: &str) -> String {
        if let Some((_, stand_in)) = self.all.iter().find(|(known, _)| known == written) {
            return stand_in.clone();
        }
        let free = (self.next..=LAST).find(|number| !self.text.contains(&number.to_string()));
        self.next = free.unwrap_or(LAST) + 1;
        // A file with thousands of variables has none left; the text then stands for itself, and is told to be no value.
        let stand_in = free.map_or_else(|| written.to_owned(), |number| number.to_string());
        self.all.push((written.to_owned(), stand_in.clone()));
        stand_in
    }

    /// Those that stand in `text`.
    pub(super) fn in_text(&self, text: &str) -> Vec<&str> {
        let all = self.all.iter().map(|(_, stand_in)| stand_in.as_str());
        all.filter(|stand_in| text.contains(*stand_in)).collect()
    }

    /// What is to be written for `text`: variables again, and every other `$` doubled.
    pub(super) fn show(&self, text: &str) -> String {
        self.reveal(&text.replace('$', "$$"))
    }

    /// The same for a person to read.
    pub(super) fn reveal(&self, text: &str) -> String {
        self.all.iter().fold(text.to_owned(), |text, (written, stand_in)| text.replace(stand_in, written))
    }
}

/// How long what begins with a brace is, with the braces within it (`${A:-${B}}`).
fn braced(text: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    // Not closed: Compose will not take it.
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_back_as_they_were_written() {
        for text in ["a", "${A}", "a.$B.c", "${A:-${B}}x$$y", "$$", "$", "${", "é${A}é$1"] {
            let mut variables = Variables::of(text);
            let hidden = variables.hide(text);
            let shown = variables.show(&hidden);
            // A dollar that stands alone is doubled: to Compose it is the same.
            let same = |text: &str| text.replace("$$", "\u{1}").replace('$', "\u{1}");
            assert_eq!(same(&shown), same(text), "{hidden}");
        }
    }
}
