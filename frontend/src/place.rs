//! Where in a long list a page is, and links that keep it.

use form_urlencoded::Serializer;

/// Which part of the list is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// From the first key on.
    #[default]
    First,
    /// What comes after this key.
    After(String),
    /// What comes before this key.
    Before(String),
}

impl Place {
    /// The place that names and values say.
    pub(crate) fn of(pairs: &[(String, String)]) -> Self {
        let after = value(pairs, "after").map(|key| Self::After(key.to_owned()));
        let before = || value(pairs, "before").map(|key| Self::Before(key.to_owned()));
        after.or_else(before).unwrap_or_default()
    }

    /// What says so in a query; nothing at the beginning.
    pub(crate) fn pair(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::First => None,
            Self::After(key) => Some(("after", key)),
            Self::Before(key) => Some(("before", key)),
        }
    }

    /// `path` with a parameter, if one is given, for a reader who is at this place.
    pub(crate) fn link(&self, path: &str, parameter: Option<(&str, &str)>) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(parameter).extend_pairs(self.pair());
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

/// Names and values of a query or of a form.
pub(crate) fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// The first value of this name.
pub(crate) fn value<'a>(pairs: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_where_it_was_made() {
        for place in [Place::First, Place::After("a & b=ü\n".into()), Place::Before("/?#".into())] {
            let link = place.link("/delete", Some(("key", "x\r\ny")));
            let query = pairs(link.strip_prefix("/delete?").unwrap().as_bytes());
            assert_eq!((Place::of(&query), value(&query, "key")), (place, Some("x\r\ny")));
        }
        assert_eq!(Place::First.link("/", None), "/");
    }
}
