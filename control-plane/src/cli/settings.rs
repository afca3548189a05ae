//! What decides on what labels mean: the same for a control plane that runs and for whoever asks without one.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::model;
use crate::policies::PoliciesFile;
use crate::publish::Publisher;
use crate::translate::EdgeOptions;

/// Where `serve` takes Envoy to listen where nobody says it,
pub(super) const EDGE_LISTEN: &str = "0.0.0.0:8080";
/// where it takes Envoy to find the dashboard,
pub(super) const DASHBOARD_AT: &str = "control-plane:18001";
/// and where Envoy's own pages are.
pub(super) const ENVOY_ADMIN: &str = "127.0.0.1:9901";

/// How labels are read.
#[derive(Debug, Clone, Args)]
pub(super) struct Settings {
    /// What labels may name and what holds where none says (docs/policies.md): entry points, hosts of projects, defaults, the access
    /// log. It is watched, and a faulty edit leaves the last good one standing.
    #[arg(long, env = "PORTOLAN_POLICIES", value_name = "FILE")]
    pub(super) policies: Option<PathBuf>,

    /// The host name of the dashboard, under which Envoy's admin pages are as well: for reading only.
    #[arg(long, env = "PORTOLAN_DASHBOARD_HOST", value_name = "HOST", default_value = "dashboard.localhost")]
    pub(super) dashboard_host: String,

    /// Read the labels of another proxy as well as ours; what cannot be carried over is a problem of its container. A container that has
    /// a route of ours is routed by our labels alone. See docs/from-traefik.md.
    #[arg(long, env = "PORTOLAN_COMPAT", value_name = "PROXY")]
    compat: Option<Compat>,

    /// What every label begins with.
    #[arg(long, env = "PORTOLAN_LABEL_PREFIX", value_name = "PREFIX", default_value = "portolan")]
    label_prefix: String,
}

/// A proxy whose labels can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compat {
    /// Traefik v3.
    Traefik,
}

impl Settings {
    /// The edge, where nobody says anything else of it than what is said here.
    ///
    /// # Errors
    ///
    /// None: what is written in this file is right.
    pub(super) fn edge(&self) -> anyhow::Result<EdgeOptions> {
        Ok(EdgeOptions {
            listen: EDGE_LISTEN.parse()?,
            dashboard_host: self.dashboard_host.clone(),
            dashboard_at: DASHBOARD_AT.parse().map_err(anyhow::Error::msg)?,
            envoy_admin: ENVOY_ADMIN.parse()?,
            traces: None,
        })
    }

    /// What turns containers into views, and the policies file to follow.
    ///
    /// # Errors
    ///
    /// The policies file cannot be read, or has a mistake in it.
    pub(super) fn publisher(self, edge: EdgeOptions) -> anyhow::Result<(Publisher, Option<PoliciesFile>)> {
        let policies = self.policies.map(PoliciesFile::open).transpose()?;
        let model = model::Options {
            label_prefix: self.label_prefix,
            reserved_host: edge.dashboard_host.clone(),
            policies: Arc::default(),
        };
        let publisher = Publisher::new(model, edge);
        let publisher = match self.compat {
            Some(Compat::Traefik) => publisher.reading_traefik(),
            None => publisher,
        };
        Ok((publisher, policies))
    }
}
