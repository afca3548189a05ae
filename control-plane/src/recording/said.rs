//! Lines of a recording in words.

use super::line::{Decisions, End, Policies, Published, What};

/// What happened.
pub(super) fn of(what: &What) -> String {
    match what {
        What::Engine(step) => step.told(),
        What::Facts(workloads) => format!("{} containers that no engine told of", workloads.len()),
        What::Kept(kept) => format!("{} containers that are gone, of which routes are kept", kept.len()),
        What::Policies(Some(Policies { mistakes, .. })) if !mistakes.is_empty() => {
            format!("the policies file has mistakes in it, {}; what it said before stands", mistakes.len())
        }
        What::Policies(Some(_)) => "the policies file says something else".to_owned(),
        What::Policies(None) => "there is no policies file".to_owned(),
        What::Decisions(Decisions { drained, weights }) => {
            format!("by hand: {} containers drained, {} weights", drained.len(), weights.len())
        }
        What::Published(Published { version: Some(version), .. }) => format!("published {version}"),
        What::Published(Published { version: None, .. }) => "nothing could be published".to_owned(),
        What::End(End::Stopped) => "the control plane was stopped".to_owned(),
        What::End(End::Full) => "the recording was as large as it may be".to_owned(),
    }
}
