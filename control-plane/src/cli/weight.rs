//! `portolan weight`.

use std::time::Duration;

use clap::Args;

use super::connection::ControlPlane;
use crate::admin::pb;

/// Give a version of a service another share of its requests, whatever its label says; or show the shares.
///
/// No container is recreated, and no connection is closed. What is set by hand wins over the label until `--reset`, until
/// its time is over (`--for`), or until no container of the version is left.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is done, 1 where it cannot be, and why; 2 where the command is wrong.\n\n\
                        Half of the requests to v2 for ten minutes, then as the labels say:\n\n    \
                        portolan weight shop/web v1 50 --for 10m && portolan weight shop/web v2 50 --for 10m\n\n\
                        Back to the labels at once:\n\n    portolan weight shop/web --reset"
)]
pub(super) struct Weight {
    /// The service, as in the Compose file, or with its project: shop/web.
    #[arg(value_name = "SERVICE")]
    service: String,

    /// The version, as its label says.
    #[arg(value_name = "VERSION")]
    version: Option<String>,

    /// Its share in relation to the other versions, 0 to 10000; 0 gets no request. Without it the shares are shown.
    #[arg(value_name = "N", conflicts_with = "reset")]
    weight: Option<u32>,

    /// Let the label count again after this time.
    #[arg(long = "for", value_name = "DURATION", requires = "weight", value_parser = lifecycle::duration::parse)]
    lasting: Option<Duration>,

    /// Let the label of the version count again; without a version, the labels of all of them.
    #[arg(long)]
    reset: bool,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Weight {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { service, version, weight, lasting, reset, control_plane } = self;
        let told = |status: tonic::Status| control_plane.told(&status);
        let (service, versions) = match (version, weight) {
            (Some(version), Some(weight)) => {
                let lasting = lasting.map(TryInto::try_into).transpose()?;
                let request = pb::SetWeightRequest { service, version, weight, lasting };
                let answer = control_plane.admin()?.set_weight(request).await.map_err(told)?.into_inner();
                (answer.service, answer.versions)
            }
            (version, _) if reset => {
                let request = pb::ResetWeightRequest { service, version };
                let answer = control_plane.admin()?.reset_weight(request).await.map_err(told)?.into_inner();
                if !answer.changed {
                    println!("nothing was set by hand");
                }
                (answer.service, answer.versions)
            }
            (version, _) => {
                let view = control_plane.inspect()?.get_view(pb::GetViewRequest::default()).await;
                let view = view.map_err(told)?.into_inner();
                let mut service = found(&view, &service)?;
                service.versions.retain(|each| version.as_ref().is_none_or(|version| *version == each.name));
                (service.name, service.versions)
            }
        };
        print!("{}", table(&service, &versions));
        Ok(())
    }
}

/// The service that is meant, as the control plane finds it too.
fn found(view: &pb::GetViewResponse, asked: &str) -> anyhow::Result<pb::Service> {
    let ends = |name: &str| name == asked || name.rsplit_once('/').is_some_and(|(_, end)| end == asked);
    let exact = view.services.iter().find(|service| service.name == asked);
    let all: Vec<&pb::Service> = view.services.iter().filter(|service| ends(&service.name)).collect();
    match (exact, all.as_slice()) {
        (Some(one), _) => Ok(one.clone()),
        (None, [one]) => Ok((*one).clone()),
        (None, []) => anyhow::bail!("no service has the name {asked:?}"),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|service| service.name.as_str()).collect();
            anyhow::bail!("{asked:?} may be {}; write all of it", names.join(" or "))
        }
    }
}

/// One line a version: its share, and who says so.
fn table(service: &str, versions: &[pb::Version]) -> String {
    let mut text = String::new();
    for version in versions {
        let name = if version.name.is_empty() { "(no version)" } else { &version.name };
        let who = match (&version.until, version.by_hand) {
            (Some(until), _) => {
                format!("by hand until {until}; its label says {}", version.label_weight)
            }
            (None, true) => format!("by hand; its label says {}", version.label_weight),
            (None, false) => "by label".to_owned(),
        };
        text += &format!("{service} {name}: weight {}, {who}\n", version.weight);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_shown_with_its_share_and_who_says_so() {
        let version = |name: &str, weight, by_hand, until: Option<i64>| pb::Version {
            name: name.to_owned(),
            weight,
            label_weight: 10,
            by_hand,
            until: until.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
        };
        let versions =
            [version("", 10, false, None), version("v2", 50, true, None), version("v3", 0, true, Some(60))];
        assert_eq!(
            table("shop/web", &versions),
            "shop/web (no version): weight 10, by label\n\
             shop/web v2: weight 50, by hand; its label says 10\n\
             shop/web v3: weight 0, by hand until 1970-01-01T00:01:00Z; its label says 10\n"
        );
    }
}
