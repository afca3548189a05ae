//! The port through which facts come in.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::inventory::Inventory;

/// The sending end of a provider: `None` until its first complete view.
///
/// The whole state travels each time (level-triggered), so a receiver that was busy sees the newest inventory and
/// never a queue of stale ones.
pub type InventorySender = watch::Sender<Option<Arc<Inventory>>>;

/// The receiving end of a provider.
pub type InventoryReceiver = watch::Receiver<Option<Arc<Inventory>>>;

/// A source of inventories.
pub trait Provider: Send + 'static {
    /// What to call it in a log line: `docker` or `file`.
    fn name(&self) -> &'static str;

    /// Publishes on `sender` until `stop` is cancelled.
    ///
    /// It never publishes a partial view, publishes only what differs from its last view, and keeps its last view
    /// standing while its source is away.
    ///
    /// # Errors
    ///
    /// What can never get better by waiting. A source that is away is not an error: a provider waits and says so.
    fn run(
        self,
        sender: InventorySender,
        stop: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}
