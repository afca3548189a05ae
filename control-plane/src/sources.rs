//! Where those look who show what there is: the dashboard, the gRPC API and the metrics.

use tokio::sync::watch;
use xds_server::Clients;

use crate::overrides::Overrides;
use crate::provider::{Freshness, InventoryReceiver};
use crate::publish::ViewReceiver;
use crate::timeline::Timeline;

/// Everything there is to see, always the newest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What is made of the containers.
    pub views: ViewReceiver,
    /// The containers.
    pub inventories: InventoryReceiver,
    /// What was decided by hand.
    pub decisions: watch::Receiver<Overrides>,
    /// Who is served.
    pub clients: Clients,
    /// How old the view is.
    pub freshness: Freshness,
    /// What changed. The dashboard writes it ([`dashboard::serve`](crate::dashboard::serve)).
    pub timeline: Timeline,
}
