//! The answer to "which route takes this URL?", for the page and for `/api/match`.

use serde::Serialize;

use crate::matching::{self, Answer, Outcome, Question};
use crate::model;
use crate::publish::View;

use super::picture::Picture;

/// What becomes of a request.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Verdict {
    /// As it was asked.
    pub(crate) url: String,
    pub(crate) method: String,
    /// Why it cannot be asked.
    pub(crate) error: Option<String>,
    /// `route`, `dashboard`, `redirect`, `unknown_host` or `unknown_path`; nothing with an error.
    pub(crate) outcome: Option<&'static str>,
    /// The same as a sentence.
    pub(crate) sentence: String,
    /// Whose routes were asked.
    pub(crate) host: Option<String>,
    /// In the one spelling in which routes are asked for it.
    pub(crate) path: Option<String>,
    /// The route that takes it, and its service.
    pub(crate) route: Option<String>,
    pub(crate) service: Option<String>,
    /// The service's state.
    pub(crate) state: Option<&'static str>,
    /// The routes of that host in the order in which they are asked.
    pub(crate) asked: Vec<Asked>,
}

/// What one route says.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Asked {
    pub(crate) route: String,
    /// And what else it asks for.
    pub(crate) path: String,
    pub(crate) priority: i32,
    /// `wins`, `no`, or `not asked`.
    pub(crate) answer: &'static str,
    pub(crate) why: String,
}

/// What becomes of a request for `url`.
pub(crate) fn of(url: &str, method: &str, view: &View, picture: &Picture, dashboard_host: &str) -> Verdict {
    let question = match Question::read(url) {
        Ok(question) => question.by(method),
        Err(error) => {
            let (url, method) = (url.to_owned(), method.to_owned());
            return Verdict { url, method, error: Some(error), ..Verdict::default() };
        }
    };
    let found = matching::decide(&view.model.topology, dashboard_host, &question);
    let routed = match found.outcome {
        Outcome::Routed(route) => Some(route),
        _ => None,
    };
    let service =
        routed.and_then(|route| picture.services.iter().find(|service| service.name == *route.service.0));
    let (outcome, sentence) = match found.outcome {
        Outcome::Routed(route) => ("route", taken(route, service)),
        Outcome::Dashboard => ("dashboard", "This page's own host: the dashboard answers.".to_owned()),
        Outcome::Redirected => (
            "redirect",
            format!(
                "Envoy answers 307 and sends the client to {}: no slash hides behind an escape.",
                found.path
            ),
        ),
        Outcome::UnknownHost => (
            "unknown_host",
            format!(
                "Envoy answers 404: no container claims {}, or a wildcard that covers it.",
                question.host
            ),
        ),
        Outcome::UnknownPath => (
            "unknown_path",
            format!("Envoy answers 404: no container claims the path {} of {}.", found.path, question.host),
        ),
    };
    let asked = found.asked.iter().map(|(route, answer)| {
        let (answer, why) = match answer {
            Answer::Takes => ("wins", "takes the request".to_owned()),
            Answer::Differs(why) => ("no", why.clone()),
            Answer::NotAsked => ("not asked", "a route before it takes the request".to_owned()),
        };
        let path = route.matches.to_string();
        Asked { route: route.name.clone(), path, priority: route.priority, answer, why }
    });
    Verdict {
        url: url.to_owned(),
        method: question.method,
        error: None,
        outcome: Some(outcome),
        sentence,
        host: found.host.map(|host| host.to_string()),
        path: Some(found.path.clone()),
        route: routed.map(|route| route.name.clone()),
        service: routed.map(|route| route.service.to_string()),
        state: routed.map(|route| match route.options.answer {
            Some(_) => "answers",
            None => service.map_or("down", |service| service.state),
        }),
        asked: asked.collect(),
    }
}

fn taken(route: &model::Route, service: Option<&super::picture::Service>) -> String {
    let name = &route.name;
    match service {
        _ if route.options.answer.is_some() => {
            format!("The route {name} takes it, and Envoy answers itself, as its labels say.")
        }
        Some(service) if service.endpoints_ready > 0 => format!(
            "The route {name} takes it, to {}: {} of {} endpoints ready.",
            service.name,
            service.endpoints_ready,
            service.endpoints.len()
        ),
        _ => {
            format!("The route {name} takes it, and Envoy answers 503: no endpoint of its service is ready.")
        }
    }
}
