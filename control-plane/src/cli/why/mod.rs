//! `portolan why`.

mod answer;
mod saved;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use tonic::{Code, Status};

use super::connection::ControlPlane;
use super::settings::Settings;
use super::terminal::print;
use super::watch::Format;
use crate::admin::pb;
use crate::explain::header;
use answer::Answer;
use saved::LastView;

/// Say why a container is routed or is not, and which route takes a URL.
///
/// A container, a service of Compose or of Portolan: the way from its labels over network, port and health to what each Envoy has
/// acknowledged, with the reason where it stops, and what to do. Any other name is a host or a URL: which route takes it,
/// why the others do not, and who would answer; decided as Envoy decides, from what the control plane serves. tcp://HOST:PORT, or
/// tcp://:PORT, is a connection to an entry point of TCP: which service takes it, and who would like to.
///
/// Where no control plane answers, the view that it saved last does (--state-file).
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where every container that is meant takes requests, or something takes the URL; 1 where not, or nothing can \
                  be asked; 2 where the command is wrong.\n\n    portolan why shop-frontend-2\n    portolan why shop/web\n    \
                  portolan why shop.localhost/cart\n    portolan why --method POST --header 'x-canary: yes' http://shop.localhost/cart\n    \
                  portolan why tcp://mail.localhost:993\n    \
                  docker compose exec control-plane portolan why frontend\n    \
                  docker compose run --rm --no-deps control-plane why frontend   # from the last view"
)]
pub(super) struct Why {
    /// A container, a service, a host, or a URL: frontend-2, shop/web, shop.localhost, http://shop.localhost/cart?a=b, tcp://:5432.
    #[arg(value_name = "NAME|HOST|URL")]
    subject: String,

    /// The method of the request.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,

    /// A header of the request; may be given several times.
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// How it is said: for people, or as one JSON object.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// What a control plane saved here answers where none does.
    #[arg(long, env = "PORTOLAN_STATE", value_name = "FILE")]
    state_file: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Why {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let request = pb::ExplainRequest {
            url: self.subject.clone(),
            method: self.method.clone(),
            headers: self.headers.iter().cloned().collect(),
        };
        let answer = match self.ask(&request).await {
            Ok(answer) => answer,
            Err(status) if status.code() == Code::Unavailable => match &self.state_file {
                Some(path) => {
                    let last = LastView::load(path, self.settings.clone())
                        .with_context(|| format!("{:#}", self.control_plane.told(&status)))?;
                    eprintln!(
                        "No control plane answers at {}: this is from the view that was saved at {}.",
                        self.control_plane.address,
                        last.time()
                    );
                    last.answer(&request)?
                }
                None => return Err(self.control_plane.told(&status)),
            },
            Err(status) => bail!(self.control_plane.told(&status)),
        };
        let text = match self.format {
            Format::Text => answer.text(),
            Format::Json => format!("{:#}\n", answer.json()),
        };
        print(anstream::stdout(), text.as_bytes())?;
        Ok(ExitCode::from(u8::from(!answer.is_good())))
    }

    /// What the running control plane says: of containers where any has that name, else of the URL.
    async fn ask(&self, request: &pb::ExplainRequest) -> Result<Answer, Status> {
        let wrong = |error: anyhow::Error| Status::failed_precondition(format!("{error:#}"));
        let mut inspect = self.control_plane.inspect().map_err(wrong)?;
        let name = pb::ListWorkloadsRequest { name: request.url.clone() };
        let unnamed = match inspect.list_workloads(name).await {
            Ok(found) => return Ok(Answer::Containers(found.into_inner().workloads)),
            Err(status) if status.code() == Code::NotFound => status,
            Err(status) => return Err(status),
        };
        let answer = inspect.explain(request.clone()).await?.into_inner();
        Ok(Answer::of_url(answer, &request.url, unnamed.message()))
    }
}
