//! A plan for people.

use std::fmt::Write as _;

use super::{Changes, Plan};
use crate::policies::WEB;

/// The path of what takes connections, as [`Match`](crate::model::Match) is printed.
const TCP: &str = "TCP";

pub(super) fn print(plan: &Plan) -> String {
    let mut text = String::new();
    let project = &plan.project;
    if plan.is_empty() {
        let _ = writeln!(text, "{project}: nothing would change");
    } else {
        let _ = writeln!(text, "{project}: what docker compose up would change");
    }
    section(&mut text, "routes", &plan.routes, |route| {
        let super::Route { host, entry_point, path, service, was, labels, .. } = route;
        let from = was.as_ref().map(|was| format!("{was} -> ")).unwrap_or_default();
        let what = match (path.as_str(), host.as_str(), entry_point.as_str()) {
            (TCP, "*", entry) => format!("{TCP} at {entry}"),
            (TCP, host, entry) => format!("{TCP} to {host} at {entry}"),
            (path, host, WEB) => format!("{host} {path}"),
            (path, host, entry) => format!("{host} at {entry} {path}"),
        };
        (format!("{what} to {from}{service}"), self::labels(labels))
    });
    section(&mut text, "services", &plan.services, |it| (it.service.clone(), labels(&it.labels)));
    section(&mut text, "endpoints", &plan.endpoints, |it| {
        let from = it.was.as_ref().map(|was| format!("{was} -> ")).unwrap_or_default();
        (format!("{}: {} at {from}{}", it.service, it.container, it.at), Vec::new())
    });
    section(&mut text, "weights", &plan.weights, |it| {
        let version = if it.version.is_empty() {
            "without a version".to_owned()
        } else {
            format!("version {}", it.version)
        };
        let from = it.was.map(|was| format!("{was} -> ")).unwrap_or_default();
        (format!("{} {version}: {from}{}", it.service, it.weight), Vec::new())
    });
    section(&mut text, "listeners", &plan.listeners, |it| (it.clone(), Vec::new()));
    let requests = plan.requests.iter().map(|it| format!("~ {}: {} -> {}", it.request, it.now, it.then));
    list(&mut text, "requests that go elsewhere", requests.collect());
    list(&mut text, "problems", plan.problems.iter().map(|it| format!("+ {it}")).collect());
    list(&mut text, "problems that are solved", plan.solved.iter().map(|it| format!("- {it}")).collect());
    list(&mut text, "look at this", plan.warnings.iter().map(|it| format!("! {it}")).collect());
    list(&mut text, "guessed", plan.guesses.iter().map(|it| format!("? {it}")).collect());
    if !plan.is_empty() {
        let _ = writeln!(text, "\n{}", summary(plan));
    }
    text
}

fn section<T>(
    text: &mut String,
    name: &str,
    changes: &Changes<T>,
    line: impl Fn(&T) -> (String, Vec<String>),
) {
    let marked = [("+", &changes.added), ("~", &changes.changed), ("-", &changes.removed)];
    let lines = marked.into_iter().flat_map(|(mark, items)| items.iter().map(move |item| (mark, item)));
    let lines = lines.flat_map(|(mark, item)| {
        let (first, more) = line(item);
        std::iter::once(format!("{mark} {first}")).chain(more.into_iter().map(|more| format!("    {more}")))
    });
    list(text, name, lines.collect());
}

fn list(text: &mut String, name: &str, lines: Vec<String>) {
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{name}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
}

fn labels(labels: &[super::Label]) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    labels.iter().map(|it| format!("{}: {} -> {}", it.label, value(&it.was), value(&it.is))).collect()
}

/// `routes: 1 added, 1 changed; endpoints: 2 added`
fn summary(plan: &Plan) -> String {
    fn counted<T>(name: &str, changes: &Changes<T>) -> Option<String> {
        let counts =
            [(&changes.added, "added"), (&changes.changed, "changed"), (&changes.removed, "removed")];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(items, _)| !items.is_empty())
            .map(|(items, what)| format!("{} {what}", items.len()))
            .collect();
        (!counts.is_empty()).then(|| format!("{name}: {}", counts.join(", ")))
    }
    let all = [
        counted("routes", &plan.routes),
        counted("services", &plan.services),
        counted("endpoints", &plan.endpoints),
        counted("weights", &plan.weights),
        counted("listeners", &plan.listeners),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "problems alone".to_owned() } else { all.join("; ") }
}
