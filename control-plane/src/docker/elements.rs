//! Cuts a JSON array into its elements while its bytes come. It does not check them: whoever reads an element does.

/// How far an array has come.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// The beginning of an element of which the end is still to come.
    begun: Vec<u8>,
    /// How many brackets are open: 0 before the array and after it, 1 between its elements.
    depth: usize,
    in_string: bool,
    escaped: bool,
    is_complete: bool,
}

impl Elements {
    /// Takes in what came next, and hands on each element that is whole now.
    ///
    /// # Errors
    ///
    /// What `each` says of an element. Nothing can be taken in after that.
    pub(super) fn push<E>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = 0;
        for (at, byte) in bytes.iter().copied().enumerate() {
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            let is_end = match byte {
                b'"' => {
                    self.in_string = true;
                    false
                }
                b'[' | b'{' => {
                    self.depth += 1;
                    if self.depth == 1 {
                        from = at + 1;
                    }
                    false
                }
                b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_complete |= self.depth == 0;
                    self.depth == 0
                }
                b',' => self.depth == 1,
                _ => false,
            };
            if is_end {
                self.begun.extend_from_slice(&bytes[from..at]);
                from = at + 1;
                if !self.begun.trim_ascii().is_empty() {
                    each(&self.begun)?;
                }
                self.begun.clear();
            }
        }
        if self.depth > 0 {
            self.begun.extend_from_slice(&bytes[from..]);
        }
        Ok(())
    }

    /// Whether the end of the array has come.
    pub(super) const fn is_complete(&self) -> bool {
        self.is_complete
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::Elements;

    /// The elements of `text` where it comes in pieces that end at `cuts`.
    fn elements(text: &str, cuts: &[usize]) -> (Vec<Value>, bool) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(text.len());
        let (mut found, mut elements, mut from) = (Vec::new(), Elements::default(), 0);
        for end in ends {
            let read = |element: &[u8]| serde_json::from_slice(element).map(|value| found.push(value));
            elements.push(&text.as_bytes()[from..end], read).expect("each element is JSON");
            from = end;
        }
        (found, elements.is_complete())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            r#"[a-z\[\]{},:"\\ ü]{0,6}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(r#"[a-z"\]]{0,3}"#, inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_array_in_pieces_has_the_elements_of_the_whole(
            all in prop::collection::vec(value(), 0..6),
            cuts in prop::collection::vec(any::<usize>(), 0..8),
            is_spaced in any::<bool>(),
        ) {
            let text = if is_spaced { serde_json::to_string_pretty(&all) } else { serde_json::to_string(&all) };
            let (found, is_complete) = elements(&text.expect("values are JSON"), &cuts);
            prop_assert_eq!(found, all);
            prop_assert!(is_complete);
        }
    }

    #[test]
    fn what_is_cut_off_or_no_array_is_not_complete() {
        assert_eq!(elements(r#"[{"a": 1}, {"b": "]"#, &[]), (vec![json!({"a": 1})], false));
        assert_eq!(elements("null", &[]), (vec![], false));
        assert_eq!(elements("", &[]), (vec![], false));
        assert_eq!(elements(" [ ] ", &[2]), (vec![], true));
    }
}
