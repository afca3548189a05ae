//! Decisions over time: they end when their time is over, and when nobody is left whom they are about; and they are
//! written down for the next run.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Overrides, OverridesSender};
use crate::publish::ViewReceiver;
use crate::state::DecisionsFile;

/// Ends the decisions whose time is over, and those about versions that are gone, and saves in `file` what is decided,
/// until `stop` is cancelled.
///
/// # Errors
///
/// None so far; the type is that of every part the runtime watches over.
pub async fn keep(
    overrides: OverridesSender,
    mut views: ViewReceiver,
    file: Option<DecisionsFile>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut decisions = overrides.subscribe();
    let mut saved = decisions.borrow().clone();
    loop {
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            drop_from(&overrides, "its version is gone", |all| all.forget_versions(&view.model));
        }
        drop_from(&overrides, "its time is over", |all| all.end(Instant::now()));
        let now = decisions.borrow_and_update().clone();
        if let Some(file) = file.clone().filter(|_| saved != now) {
            saved.clone_from(&now);
            let written = now.clone();
            // It says itself what goes wrong.
            let _ = tokio::task::spawn_blocking(move || file.save(&written)).await;
        }
        // Only now: what was decided in the last moment is saved too.
        if stop.is_cancelled() {
            return Ok(());
        }
        let next = now.next_end();
        let ended = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = ended => {}
            // It cannot fail: this is a sender too.
            _ = decisions.changed() => {}
            changed = views.changed() => if changed.is_err() {
                // The control plane is stopping.
                stop.cancelled().await;
            }
        }
    }
}

/// Lets `change` drop decisions, and tells of those that it did.
fn drop_from(overrides: &OverridesSender, why: &str, change: impl FnOnce(&mut Overrides) -> bool) {
    let mut before = Overrides::default();
    let changed = overrides.send_if_modified(|all| {
        before.clone_from(all);
        change(all)
    });
    if changed {
        let after = overrides.borrow();
        for (service, version, weight) in before.weights() {
            if after.weight(service, version).is_none() {
                info!(service, version, weight = weight.share, "the label's weight counts again: {why}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::task::JoinSet;
    use xds_server::Snapshot;

    use super::super::{End, Weight};
    use super::*;
    use crate::file;
    use crate::model::{self, Options};
    use crate::publish::View;

    const MINUTE: Duration = Duration::from_secs(60);

    fn view(services: &str) -> Option<Arc<View>> {
        let options = Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "d".to_owned(),
            policies: Default::default(),
        };
        let inventory = Arc::new(file::parse(&format!("services: {{{services}}}")).unwrap());
        let model = model::build(&inventory, &options, None);
        Some(Arc::new(View::of(model, Snapshot::default())))
    }

    const TWO: &str = r#"
        one: {labels: {portolan.host: w, portolan.service: web, portolan.version: v1}, endpoints: ["127.0.0.1:1"]},
        two: {labels: {portolan.host: w, portolan.service: web, portolan.version: v2}, endpoints: ["127.0.0.1:2"]}"#;
    const ONE: &str = r#"
        one: {labels: {portolan.host: w, portolan.service: web, portolan.version: v1}, endpoints: ["127.0.0.1:1"]}"#;

    #[tokio::test(start_paused = true)]
    async fn a_decision_ends_by_itself_when_its_time_is_over_and_when_its_version_is_gone() {
        let overrides = OverridesSender::new(Overrides::default());
        let (views, receiver) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(overrides.clone(), receiver, None, CancellationToken::new()));
        let mut decisions = overrides.subscribe();
        let decide = |version: &str, end| {
            overrides.send_modify(|all| {
                all.set_weight("web", version, Weight { share: 10, end });
            });
        };
        let began = Instant::now();
        decide("v1", None);
        decide("v2", Some(End::after(10 * MINUTE)));
        views.send_replace(view(TWO));
        // A shorter one that comes later ends first, and does not take the other with it.
        tokio::time::sleep(MINUTE).await;
        decide("v1", Some(End::after(MINUTE)));
        let ended = decisions.wait_for(|all| all.weight("web", "v1").is_none());
        tokio::time::timeout(60 * MINUTE, ended).await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), 120);
        assert!(decisions.borrow().weight("web", "v2").is_some());
        let ended = decisions.wait_for(|all| all.weight("web", "v2").is_none());
        tokio::time::timeout(60 * MINUTE, ended).await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), 600);

        decide("v1", None);
        decide("v2", None);
        views.send_replace(view(ONE));
        let forgotten = decisions.wait_for(|all| all.weight("web", "v2").is_none());
        tokio::time::timeout(60 * MINUTE, forgotten).await.unwrap().unwrap();
        assert!(decisions.borrow().weight("web", "v1").is_some(), "that version is there");
    }
}
