//! The answers to "which route takes this URL?", in `connection` to "which service takes this connection?" and, in [`chain`], to "why is this container not routed?", for the dashboard, its
//! JSON and the gRPC API: one answer for all. Pure.

pub mod chain;
mod connection;
pub(crate) mod workloads;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::matching::connection::Opening;
use crate::matching::{self, Question};
use crate::model::{Absence, EndpointState, Model, Route, Service};

/// What becomes of a request, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A route takes it.
    Route,
    /// It is for the dashboard.
    Dashboard,
    /// Envoy sends the client to another spelling of the path first.
    Redirect,
    /// No container claims the host.
    UnknownHost,
    /// No container claims that path of the host.
    UnknownPath,
    /// Of a connection: nobody claims what it asks for, and Envoy closes it.
    Closed,
    /// Of a connection: Envoy does not listen there.
    NotOpen,
}

/// What a route says to a request, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Answer {
    /// It takes the request.
    #[serde(rename = "wins")]
    Wins,
    /// It does not.
    #[serde(rename = "no")]
    No,
    /// A route before it takes the request.
    #[serde(rename = "not asked")]
    NotAsked,
}

/// What becomes of a request.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// As it was asked.
    pub url: String,
    /// In capitals.
    pub method: String,
    /// Why it cannot be asked.
    pub error: Option<String>,
    /// Nothing with an error.
    pub outcome: Option<Outcome>,
    /// The same as a sentence.
    pub sentence: String,
    /// Whose routes were asked.
    pub host: Option<String>,
    /// In the one spelling in which routes are asked for it.
    pub path: Option<String>,
    /// The route that takes it, and its service.
    pub route: Option<String>,
    /// The service that the route leads to.
    pub service: Option<String>,
    /// The service's state.
    pub state: Option<&'static str>,
    /// Where that service can be reached: who would answer.
    pub endpoints: Vec<Serves>,
    /// Its containers that cannot be reached now.
    pub absent: Vec<Lacks>,
    /// The routes of that host in the order in which they are asked; of a connection, those of the entry point.
    pub asked: Vec<Asked>,
    /// Of a connection, the entry point that it is opened at.
    pub entry_point: Option<String>,
    /// Of a connection, who claims a place there and does not get it.
    pub lost: Vec<Lost>,
}

/// An endpoint of the service that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Serves {
    /// The container.
    pub container: String,
    /// Where it is.
    pub address: String,
    /// `ready`, or `draining`: it finishes what it has, and gets nothing new.
    pub state: &'static str,
}

/// A container of that service that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacks {
    /// The container.
    pub container: String,
    /// What it lacks: the end of a sentence that begins with its name.
    pub why: String,
}

/// Who claims a place and does not get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The container that claims it.
    #[serde(rename = "container")]
    pub workload: String,
    /// The name that its route would have.
    pub route: String,
    /// Why it does not get it.
    pub why: String,
    /// What to do about it.
    pub fix: String,
}

/// What one route says.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Its name.
    pub route: String,
    /// Its path, and what else it asks for.
    pub path: String,
    /// Its priority.
    pub priority: i32,
    /// Its answer.
    pub answer: Answer,
    /// In words.
    pub why: String,
}

/// What becomes of a request for `url` by `method` with `headers`, by their names in lower case; or of a connection, where the URL is
/// `tcp://host:port`.
#[must_use]
pub fn of(
    url: &str,
    method: &str,
    headers: BTreeMap<String, String>,
    model: &Model,
    dashboard_host: &str,
) -> Verdict {
    if let Some(opening) = Opening::read(url) {
        return match opening {
            Ok(opening) => connection::of(url, &opening, model),
            Err(error) => Verdict { url: url.to_owned(), error: Some(error), ..Verdict::default() },
        };
    }
    let topology = &model.topology;
    let question = match Question::read(url) {
        Ok(question) => Question { headers, ..question.by(method) },
        Err(error) => {
            let (url, method) = (url.to_owned(), method.to_owned());
            return Verdict { url, method, error: Some(error), ..Verdict::default() };
        }
    };
    let found = matching::decide(topology, dashboard_host, &question);
    let routed = match found.outcome {
        matching::Outcome::Routed(route) => Some(route),
        _ => None,
    };
    let service = routed.and_then(|route| topology.services.get(&route.service)).map(AsRef::as_ref);
    let (outcome, sentence) = match found.outcome {
        matching::Outcome::Routed(route) => (Outcome::Route, taken(route, service)),
        matching::Outcome::Dashboard => {
            (Outcome::Dashboard, "This page's own host: the dashboard answers.".to_owned())
        }
        matching::Outcome::Redirected => (
            Outcome::Redirect,
            format!(
                "Envoy answers 307 and sends the client to {}: no slash hides behind an escape.",
                found.path
            ),
        ),
        matching::Outcome::Secured(entry) => (
            Outcome::Redirect,
            format!(
                "Envoy answers 308 and sends the client to the same over HTTPS, at the entry point {entry}."
            ),
        ),
        matching::Outcome::UnknownHost => (
            Outcome::UnknownHost,
            format!(
                "Envoy answers 404: no container claims {}, or a wildcard that covers it.",
                question.host
            ),
        ),
        matching::Outcome::UnknownPath => (
            Outcome::UnknownPath,
            format!("Envoy answers 404: no container claims the path {} of {}.", found.path, question.host),
        ),
    };
    let asked = found.asked.iter().map(|(route, answer)| {
        let (answer, why) = match answer {
            matching::Answer::Takes => (Answer::Wins, "takes the request".to_owned()),
            matching::Answer::Differs(why) => (Answer::No, why.clone()),
            matching::Answer::NotAsked => {
                (Answer::NotAsked, "a route before it takes the request".to_owned())
            }
        };
        let path = route.matches.to_string();
        Asked { route: route.name.clone(), path, priority: route.priority, answer, why }
    });
    let (endpoints, absent) = members(service);
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
            None => service.map_or("down", state_of),
        }),
        endpoints,
        absent,
        asked: asked.collect(),
        entry_point: None,
        lost: Vec::new(),
    }
}

/// The endpoints of a service, and what its other containers lack.
fn members(service: Option<&Service>) -> (Vec<Serves>, Vec<Lacks>) {
    let endpoints = service.into_iter().flat_map(|service| &service.endpoints).map(|endpoint| Serves {
        container: endpoint.workload.clone(),
        address: endpoint.address.to_string(),
        state: match endpoint.state {
            EndpointState::Ready => "ready",
            EndpointState::Draining => "draining",
        },
    });
    let absent = service.into_iter().flat_map(|service| &service.absent);
    let absent =
        absent.map(|absent| Lacks { container: absent.workload.clone(), why: absent.why.to_string() });
    (endpoints.collect(), absent.collect())
}

/// A header of a request as a person writes it: `x-canary: yes`. Its name becomes lower case.
///
/// # Errors
///
/// It is none, and what to write instead.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME:VALUE, such as x-canary:yes")?;
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!("{name:?} is no name of a header; write NAME:VALUE, such as x-canary:yes"));
    }
    Ok((name, value.trim().to_owned()))
}

/// In a word, how much of a service takes requests: `ready`: all that should; `partly`: some; `down`: none.
#[must_use]
pub fn state_of(service: &Service) -> &'static str {
    let waits =
        service.absent.iter().any(|absent| !matches!(absent.why, Absence::Stopped | Absence::Created));
    match ready(service) {
        0 => "down",
        ready if waits || ready < service.endpoints.len() => "partly",
        _ => "ready",
    }
}

fn ready(service: &Service) -> usize {
    service.endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready).count()
}

fn taken(route: &Route, service: Option<&Service>) -> String {
    let name = &route.name;
    match service {
        _ if route.options.answer.is_some() => {
            format!("The route {name} takes it, and Envoy answers itself, as its labels say.")
        }
        Some(service) if ready(service) > 0 => format!(
            "The route {name} takes it, to {}: {} of {} endpoints ready.",
            service.name,
            ready(service),
            service.endpoints.len() + service.absent.len()
        ),
        _ => {
            format!("The route {name} takes it, and Envoy answers 503: no endpoint of its service is ready.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let read = |text| header(text).map(|(name, value)| format!("{name}={value}"));
        for (text, expected) in [("X-Canary: yes", "x-canary=yes"), ("a:b:c", "a=b:c"), ("a:", "a=")] {
            assert_eq!(read(text).as_deref(), Ok(expected));
        }
        for text in ["", "x-canary", ":yes", "a b: c"] {
            assert!(read(text).unwrap_err().contains("write NAME:VALUE"), "{text}");
        }
    }
}
