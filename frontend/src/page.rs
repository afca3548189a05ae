//! The page. handlebars escapes every value it puts in.

use anyhow::Context;
use handlebars::Handlebars;
use serde::Serialize;

const TEMPLATE: &str = include_str!("page.html");
const NAME: &str = "page";

/// What stands on the page.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Page<'a> {
    pub(crate) replica: &'a str,
    pub(crate) problem: Option<Problem>,
    pub(crate) form: Form,
    /// Whether the list could be had.
    pub(crate) listed: bool,
    pub(crate) messages: Vec<Message>,
    pub(crate) shown: usize,
    pub(crate) more: bool,
}

/// What went wrong, and what to do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    pub(crate) title: String,
    pub(crate) advice: String,
}

/// What was typed into the form: it stays there when it could not be saved.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Form {
    pub(crate) key: String,
    pub(crate) value: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The template, ready to be filled in.
#[derive(Debug)]
pub(crate) struct Template(Handlebars<'static>);

impl Template {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_template_string(NAME, TEMPLATE).context("the page's template does not parse")?;
        Ok(Self(handlebars))
    }

    pub(crate) fn render(&self, page: &Page<'_>) -> Result<String, handlebars::RenderError> {
        self.0.render(NAME, page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_escaped() {
        let evil = "<script>alert(1)</script>\" onfocus='x' {{replica}}";
        let page = Page {
            replica: evil,
            problem: Some(Problem { title: evil.into(), advice: evil.into() }),
            form: Form { key: evil.into(), value: format!("</textarea>{evil}") },
            listed: true,
            messages: vec![Message { key: evil.into(), value: evil.into() }],
            ..Page::default()
        };
        let html = Template::new().unwrap().render(&page).unwrap();
        assert!(
            !html.contains("<script")
                && !html.contains("\" onfocus")
                && !html.contains("</textarea>&lt;/textarea")
        );
        assert_eq!(html.matches("&lt;script&gt;").count(), 7);
    }

    #[test]
    fn an_empty_list_and_a_long_one_say_so() {
        let template = Template::new().unwrap();
        let empty = template.render(&Page { listed: true, ..Page::default() }).unwrap();
        assert!(empty.contains("Nothing yet"));
        let message = Message { key: "k".into(), value: "v".into() };
        let long = Page { listed: true, messages: vec![message], shown: 1, more: true, ..Page::default() };
        assert!(template.render(&long).unwrap().contains("Only the first 1"));
        assert!(!template.render(&Page::default()).unwrap().contains("Stored"));
    }
}
