//! The pages. handlebars escapes every value it puts in.

use anyhow::Context;
use handlebars::Handlebars;
use serde::Serialize;

use crate::backend::Failure;
use crate::list::{Excerpt, List, named};
use crate::place::Place;

const TEMPLATES: [(&str, &str); 5] = [
    ("layout", include_str!("templates/layout.html")),
    ("problem", include_str!("templates/problem.html")),
    ("messages", include_str!("templates/messages.html")),
    ("delete", include_str!("templates/delete.html")),
    ("lost", include_str!("templates/lost.html")),
];

/// What stands on a page.
#[derive(Debug, Serialize)]
pub(crate) struct Page<'a> {
    /// Its template.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// Of its style and its icon.
    pub(crate) edition: &'a str,
    pub(crate) replica: &'a str,
    /// What went right just now.
    pub(crate) notice: Option<Notice>,
    pub(crate) problem: Option<Problem>,
    /// How the page came to be; nothing where the backend was not asked.
    pub(crate) way: Option<Way>,
    pub(crate) form: Form,
    /// Nothing where it could not be had.
    pub(crate) list: Option<List>,
    pub(crate) doomed: Option<Doomed>,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Notice {
    pub(crate) subject: String,
    pub(crate) text: &'static str,
}

/// What went wrong, and what to do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    pub(crate) title: String,
    pub(crate) advice: String,
    /// Where to try again, if that is no form on the page.
    pub(crate) again: Option<String>,
}

/// What stands in the form: what was typed stays there when it could not be saved.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Form {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Where it is sent.
    pub(crate) action: String,
    /// The name of the message it changes; nothing where it makes a new one.
    pub(crate) changes: Option<String>,
    /// Where that is deleted.
    pub(crate) delete: String,
    /// The page without the message.
    pub(crate) leave: String,
}

impl Form {
    /// For a new message; a reader at `place` stays there.
    pub(crate) fn new(place: &Place, key: String, value: String) -> Self {
        Self { key, value, action: place.link("/messages", None), ..Self::default() }
    }

    /// For another value of a message. Its key goes with the address: an input would change one with a line break in it.
    pub(crate) fn changing(place: &Place, key: &str, value: String) -> Self {
        let key = Some(("key", key));
        Self {
            value,
            action: place.link("/messages", key),
            changes: key.map(|(_, key)| named(key)),
            delete: place.link("/delete", key),
            leave: place.link("/", None),
            ..Self::default()
        }
    }
}

/// A message that is about to be deleted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Doomed {
    name: String,
    excerpt: Excerpt,
    action: String,
    leave: String,
}

impl Doomed {
    pub(crate) fn of(place: &Place, key: &str, value: &str) -> Self {
        let action = place.link("/delete", Some(("key", key)));
        Self { name: named(key), excerpt: Excerpt::of(value), action, leave: place.link("/", None) }
    }
}

/// Behind this page: which backend answered, and what did not.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Way {
    pub(crate) backend: String,
    pub(crate) backend_away: bool,
    pub(crate) store_away: bool,
}

impl Way {
    pub(crate) fn of<T>(answer: &Result<T, Failure>, by: impl FnOnce(&T) -> &str) -> Self {
        let (backend_away, store_away) = match answer {
            Err(Failure::Away) => (true, false),
            Err(Failure::StoreAway) => (false, true),
            _ => (false, false),
        };
        let backend = answer.as_ref().ok().map_or("", by).to_owned();
        Self { backend, backend_away, store_away }
    }
}

/// All templates, ready to be filled in.
#[derive(Debug)]
pub(crate) struct Templates(Handlebars<'static>);

impl Templates {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        // A line break in a value is its own.
        handlebars.set_prevent_indent(true);
        for (name, text) in TEMPLATES {
            handlebars
                .register_template_string(name, text)
                .with_context(|| format!("the template {name} does not parse"))?;
        }
        Ok(Self(handlebars))
    }

    pub(crate) fn render(&self, page: &Page<'_>) -> Result<String, handlebars::RenderError> {
        self.0.render(page.name, page)
    }
}
