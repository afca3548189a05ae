//! Where a stream's snapshots come from.

use std::fmt::Debug;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// The newest snapshot, or `None` before the first.
pub type SnapshotReceiver = watch::Receiver<Option<Arc<Snapshot>>>;

/// Chooses what a client is served, by who it is.
///
/// A receiver is a source by itself: one that serves everybody the same.
pub trait SnapshotSource: Debug + Send + Sync + 'static {
    /// The snapshots for the client that calls itself `node`. Called once a stream, with its first request.
    fn for_node(&self, node: &Node) -> SnapshotReceiver;
}

impl SnapshotSource for SnapshotReceiver {
    fn for_node(&self, _: &Node) -> SnapshotReceiver {
        self.clone()
    }
}
