//! The same answers from the view that a control plane saved last. No Envoy is asked: none is served.

use std::path::Path;

use anyhow::anyhow;

use super::super::settings::Settings;
use super::answer::Answer;
use crate::admin::{self, pb};
use crate::explain::workloads::Facts;
use crate::overrides::Overrides;
use crate::publish::View;
use crate::state::{self, DecisionsFile, Saved};
use pb::step::{Name, Outcome};

/// What was known.
pub(super) struct LastView {
    saved: Saved,
    decisions: Overrides,
    view: View,
    dashboard_host: String,
}

impl LastView {
    /// Reads what is beside and at `path`.
    ///
    /// # Errors
    ///
    /// The file cannot be used, and why; or what `settings` names cannot.
    pub(super) fn load(path: &Path, settings: Settings) -> anyhow::Result<Self> {
        let saved = state::saved(path)
            .map_err(|error| anyhow!("the saved view {} cannot be used: {error}", path.display()))?;
        let decisions = DecisionsFile::beside(path).load();
        let dashboard_host = settings.dashboard_host.clone();
        // Where things are for Envoy does not matter to whoever only looks.
        let edge = settings.edge()?;
        let (publisher, policies) = settings.publisher(edge)?;
        let publisher = match policies {
            Some(policies) => publisher.following(policies.subscribe()),
            None => publisher,
        };
        let view =
            publisher.keeping(&saved.kept).once(std::sync::Arc::new(saved.inventory.clone()), &decisions)?;
        Ok(Self { saved, decisions, view, dashboard_host })
    }

    /// When it was saved.
    pub(super) fn time(&self) -> String {
        humantime::format_rfc3339_seconds(self.saved.at).to_string()
    }

    /// What the control plane would have said, but for who has acknowledged it.
    pub(super) fn answer(&self, request: &pb::ExplainRequest) -> anyhow::Result<Answer> {
        let facts = Facts { inventory: &self.saved.inventory, decisions: &self.decisions, view: &self.view };
        match admin::workloads(&facts, &request.url, &[]) {
            Ok(mut workloads) => {
                let steps = workloads.iter_mut().flat_map(|workload| &mut workload.chain);
                for step in steps.filter(|step| step.name() == Name::Ack) {
                    step.set_outcome(Outcome::Skipped);
                    "no control plane runs that an Envoy could acknowledge it to"
                        .clone_into(&mut step.reason);
                    step.fix.clear();
                }
                Ok(Answer::Containers(workloads))
            }
            Err(error) if error.is_nothing() => {
                let answer =
                    admin::explained(request.clone(), &self.view, &self.decisions, &self.dashboard_host);
                let answer = answer.map_err(|error| anyhow!("{error}"))?;
                Ok(Answer::of_url(answer, &request.url, &error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}
