//! Placeholder.
use crate::provider::{InventorySender, Provider};
use tokio_util::sync::CancellationToken;
/// x
#[derive(Debug)]
pub struct DockerProvider;
impl DockerProvider {
    /// x
    pub fn new(_: &str) -> anyhow::Result<Self> { Ok(Self) }
}
impl Provider for DockerProvider {
    fn name(&self) -> &'static str { "docker" }
    async fn run(self, _sender: InventorySender, stop: CancellationToken) -> anyhow::Result<()> { stop.cancelled().await; Ok(()) }
}
