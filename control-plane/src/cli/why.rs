//! `portolan why`.

use anyhow::bail;
use clap::Args;

use super::connection::ControlPlane;
use crate::admin::pb;
use pb::asked_route::Answer;
use pb::explain_response::Outcome;

/// Say which route takes a URL, and why the others do not.
///
/// Decided as Envoy decides, from what the running control plane serves.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is answered, 1 where no route takes it, or it cannot be asked; 2 where the command is \
                        wrong.\n\n    portolan why shop.localhost/cart\n    portolan why --method POST http://shop.localhost/cart"
)]
pub(super) struct Why {
    /// http://shop.localhost/cart?a=b, or the same without its scheme.
    #[arg(value_name = "URL")]
    url: String,

    /// The method of the request.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Why {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let request = pb::ExplainRequest { url: self.url, method: self.method };
        let answer = self.control_plane.inspect()?.explain(request).await;
        let answer = answer.map_err(|status| self.control_plane.told(&status))?.into_inner();
        print!("{}", text(&answer));
        match answer.outcome() {
            Outcome::Route | Outcome::Dashboard | Outcome::Redirect => {
                println!("{}", answer.sentence);
                Ok(())
            }
            _ => bail!("{}", answer.sentence),
        }
    }
}

fn text(answer: &pb::ExplainResponse) -> String {
    let mut text = String::new();
    for asked in &answer.asked {
        let mark = match asked.answer() {
            Answer::Wins => "✓",
            Answer::No => "✗",
            Answer::NotAsked | Answer::Unspecified => "-",
        };
        text += &format!("  {mark} {} {}: {}\n", asked.route, asked.path, asked.why);
    }
    for endpoint in answer.service.iter().flat_map(|service| &service.endpoints) {
        let state = match endpoint.state() {
            pb::endpoint::State::Ready => "ready",
            _ => "draining",
        };
        text += &format!("  {} at {} is {state}\n", endpoint.workload, endpoint.address);
    }
    for absent in answer.service.iter().flat_map(|service| &service.absent) {
        text += &format!("  {} {}\n", absent.workload, absent.message);
    }
    text
}
