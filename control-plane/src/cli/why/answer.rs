//! An answer, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::terminal::{BAD, BOLD, DIM, GOOD, WAIT, shown};
use crate::admin::pb;
use pb::asked_route::Answer as Says;
use pb::explain_response::Outcome as Becomes;
use pb::step::{Name, Outcome};

/// What was found.
#[derive(Debug)]
pub(super) enum Answer {
    /// Containers, with their ways.
    Containers(Vec<pb::Workload>),
    /// What becomes of a request; and where nobody has such a host, what else the name is not.
    Url(Box<pb::ExplainResponse>, Option<String>),
}

impl Answer {
    /// The answer about `url`; `unnamed` says why it is no container.
    pub(super) fn of_url(answer: pb::ExplainResponse, url: &str, unnamed: &str) -> Self {
        // Who writes a path, or a name with dots, means no container.
        let is_host = url.contains(['.', ':']) || url.matches('/').count() > 1 || url.ends_with('/');
        let unnamed = (answer.outcome() == Becomes::UnknownHost && !is_host).then(|| unnamed.to_owned());
        Self::Url(Box::new(answer), unnamed)
    }

    /// Whether every container that is meant takes requests, or something takes the request.
    pub(super) fn is_good(&self) -> bool {
        match self {
            Self::Containers(all) => !all.is_empty() && all.iter().all(takes_requests),
            Self::Url(answer, _) => {
                matches!(answer.outcome(), Becomes::Route | Becomes::Dashboard | Becomes::Redirect)
            }
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Containers(all) if all.is_empty() => {
                format!("{BAD}Its service has no container.{BAD:#}\n")
            }
            Self::Containers(all) => all.iter().map(of_container).collect::<Vec<_>>().join("\n"),
            Self::Url(answer, unnamed) => {
                let mut text = of_url(answer);
                if let Some(unnamed) = unnamed {
                    let _ = writeln!(text, "And {unnamed}.");
                }
                text
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Containers(all) => {
                let containers: Vec<Value> = all.iter().map(json_of_container).collect();
                json!({ "containers": containers })
            }
            Self::Url(answer, _) => json_of_url(answer),
        }
    }
}

fn takes_requests(workload: &pb::Workload) -> bool {
    workload.chain.iter().all(|step| {
        step.outcome() == Outcome::Ok || (step.name() == Name::Ack && step.outcome() == Outcome::Skipped)
    }) && workload.chain.iter().any(|step| step.outcome() == Outcome::Ok)
}

fn of_container(workload: &pb::Workload) -> String {
    let mut text = String::new();
    let verdict = match workload.chain.iter().find(|step| step.outcome() == Outcome::Stopped) {
        None => format!("{GOOD}takes requests{GOOD:#}"),
        Some(step) => format!("{BAD}takes no requests{BAD:#}: {}", shown(&step.reason)),
    };
    let service = match workload.service.as_str() {
        "" => String::new(),
        service => format!(" of {}", shown(service)),
    };
    let _ = writeln!(text, "{BOLD}{}{BOLD:#}{service} {verdict}", shown(&workload.name));
    for step in &workload.chain {
        let mark = match step.outcome() {
            Outcome::Ok => format!("{GOOD}✓{GOOD:#}"),
            Outcome::Stopped => format!("{BAD}✗{BAD:#}"),
            Outcome::Skipped | Outcome::Unspecified => format!("{DIM}-{DIM:#}"),
        };
        let _ = writeln!(text, "  {mark} {:<8} {}", word(step.name()), shown(&step.reason));
        if !step.fix.is_empty() {
            let _ = writeln!(text, "             {WAIT}→{WAIT:#} {}", shown(&step.fix));
        }
    }
    text
}

fn of_url(answer: &pb::ExplainResponse) -> String {
    let mut text = String::new();
    for asked in &answer.asked {
        let mark = match asked.answer() {
            Says::Wins => format!("{GOOD}✓{GOOD:#}"),
            Says::No => format!("{BAD}✗{BAD:#}"),
            Says::NotAsked | Says::Unspecified => format!("{DIM}-{DIM:#}"),
        };
        let _ =
            writeln!(text, "  {mark} {} {}: {}", shown(&asked.route), shown(&asked.path), shown(&asked.why));
    }
    for lost in &answer.lost {
        let _ = writeln!(
            text,
            "  {BAD}✗{BAD:#} {} of {}: {}",
            shown(&lost.route),
            shown(&lost.workload),
            shown(&lost.why)
        );
        let _ = writeln!(text, "    {WAIT}→{WAIT:#} {}", shown(&lost.fix));
    }
    for endpoint in answer.service.iter().flat_map(|service| &service.endpoints) {
        let state = endpoint_state(endpoint);
        let _ = writeln!(text, "  {} at {} is {state}", shown(&endpoint.workload), endpoint.address);
    }
    for absent in answer.service.iter().flat_map(|service| &service.absent) {
        let _ = writeln!(text, "  {} {}", shown(&absent.workload), shown(&absent.message));
    }
    let _ = writeln!(text, "{}", shown(&answer.sentence));
    text
}

fn endpoint_state(endpoint: &pb::Endpoint) -> &'static str {
    match endpoint.state() {
        pb::endpoint::State::Ready => "ready",
        _ => "draining",
    }
}

fn json_of_container(workload: &pb::Workload) -> Value {
    let step = |step: &pb::Step| {
        json!({
            "step": word(step.name()),
            "outcome": match step.outcome() {
                Outcome::Ok => "ok",
                Outcome::Stopped => "stopped",
                Outcome::Skipped | Outcome::Unspecified => "skipped",
            },
            "reason": step.reason,
            "fix": Some(&step.fix).filter(|fix| !fix.is_empty()),
            "client": Some(&step.client).filter(|client| !client.is_empty()),
        })
    };
    json!({
        "name": workload.name,
        "id": workload.id,
        "project": Some(&workload.project).filter(|project| !project.is_empty()),
        "service": workload.service,
        "takes_requests": takes_requests(workload),
        "chain": workload.chain.iter().map(step).collect::<Vec<_>>(),
    })
}

fn json_of_url(answer: &pb::ExplainResponse) -> Value {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let asked = |asked: &pb::AskedRoute| {
        json!({
            "route": asked.route,
            "path": asked.path,
            "priority": asked.priority,
            "answer": match asked.answer() {
                Says::Wins => "wins",
                Says::No => "no",
                Says::NotAsked | Says::Unspecified => "not asked",
            },
            "why": asked.why,
        })
    };
    let lost = |lost: &pb::LostRoute| json!({ "container": lost.workload, "route": lost.route, "why": lost.why, "fix": lost.fix });
    let service = answer.service.as_ref();
    let endpoints = service.into_iter().flat_map(|service| &service.endpoints).map(|endpoint| {
        json!({
            "container": endpoint.workload,
            "address": endpoint.address,
            "state": endpoint_state(endpoint),
        })
    });
    let absent = service.into_iter().flat_map(|service| &service.absent);
    let absent = absent.map(|absent| json!({ "container": absent.workload, "why": absent.message }));
    json!({
        "outcome": match answer.outcome() {
            Becomes::Route => "route",
            Becomes::Dashboard => "dashboard",
            Becomes::Redirect => "redirect",
            Becomes::UnknownHost => "unknown_host",
            Becomes::UnknownPath | Becomes::Unspecified => "unknown_path",
            Becomes::Closed => "closed",
            Becomes::NotOpen => "not_open",
        },
        "sentence": answer.sentence,
        "host": some(&answer.host),
        "path": some(&answer.path),
        "route": some(&answer.route),
        "service": service.map(|service| &service.name),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "absent": absent.collect::<Vec<_>>(),
        "asked": answer.asked.iter().map(asked).collect::<Vec<_>>(),
        "entry_point": some(&answer.entry_point),
        "lost": answer.lost.iter().map(lost).collect::<Vec<_>>(),
    })
}

const fn word(name: Name) -> &'static str {
    match name {
        Name::Label => "label",
        Name::Network => "network",
        Name::Port => "port",
        Name::Health => "health",
        Name::Cluster => "cluster",
        Name::Version => "version",
        Name::Ack | Name::Unspecified => "ack",
    }
}
