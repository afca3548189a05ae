//! The gRPC shell: the aggregated service, one service for each type, and the streams behind them.

mod driver;
mod grpc;
mod lag;
mod serve;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::clients::Clients;
use crate::csds;
use crate::metrics::Metrics;
use crate::session::Settings;
use crate::source::SnapshotSource;

pub use serve::{ServeError, ServeOptions, listen, serve};

/// The xDS services over one source of snapshots. Cheap to clone; all clones are the same service.
#[derive(Debug, Clone)]
pub struct XdsService(Arc<Shared>);

/// What all streams share.
#[derive(Debug)]
struct Shared {
    source: Box<dyn SnapshotSource>,
    settings: Settings,
    identifier: Box<str>,
    stop: CancellationToken,
    clients: Clients,
    metrics: Metrics,
}

impl XdsService {
    /// A service that sends what `source` has, calls itself `identifier` in every response
    /// (`control_plane.identifier`), and ends its streams once `stop` is cancelled.
    #[must_use]
    pub fn new(
        source: impl SnapshotSource,
        settings: Settings,
        identifier: &str,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            source: Box::new(source),
            settings,
            identifier: identifier.into(),
            stop,
            clients: Clients::default(),
            metrics: Metrics::default(),
        }))
    }

    /// All services, for [`serve`] or a tonic server: the aggregated one (ADS), those for one type (CDS, EDS, ECDS, LDS,
    /// RDS, SDS), and client status (CSDS). Services of others may be added.
    #[must_use]
    pub fn routes(&self) -> Routes {
        grpc::add(Routes::default(), self).add_service(csds::service(self.clients()))
    }

    /// Full names of the gRPC services in [`routes`](Self::routes), for reflection and health.
    #[must_use]
    pub fn service_names() -> Vec<&'static str> {
        grpc::names().chain([csds::NAME]).collect()
    }

    /// Who is connected, and how far each is.
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.0.clients.clone()
    }

    /// Counters of what was sent and answered.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}
