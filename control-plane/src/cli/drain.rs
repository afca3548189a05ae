//! `portolan drain` and `portolan undrain`.

use clap::Args;

use super::connection::ControlPlane;
use super::itself;
use crate::admin::pb;

/// Take a container out of rotation: it finishes the requests it has, and new ones go elsewhere.
///
/// The container itself hears nothing of it and runs on. It stays out until `portolan undrain`, or until it is gone.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is out of rotation, 1 where it cannot be taken out, and why; 2 where the command is wrong.\n\n    \
                  portolan drain shop-web-2 && portolan wait --routed web && docker stop shop-web-2"
)]
pub(super) struct Drain {
    /// Its name, its id, or the beginning of either that no other container shares. The one that this runs in, where none is
    /// named.
    #[arg(value_name = "CONTAINER")]
    container: Option<String>,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Put a container that was drained back into rotation.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is in rotation, 1 where it cannot be put back, and why; 2 where the command is wrong.\n\n    \
                  portolan undrain shop-web-2"
)]
pub(super) struct Undrain {
    /// Its name, its id, or the beginning of either that no other container shares. The one that this runs in, where none is
    /// named.
    #[arg(value_name = "CONTAINER")]
    container: Option<String>,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Drain {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let request = pb::DrainRequest { container: itself::or_itself(self.container)? };
        let answer = self.control_plane.admin()?.drain(request).await;
        let answer = answer.map_err(|status| self.control_plane.told(&status))?.into_inner();
        let already = if answer.changed { "" } else { " already" };
        println!("{} is out of rotation{already}", answer.name);
        Ok(())
    }
}

impl Undrain {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let request = pb::UndrainRequest { container: itself::or_itself(self.container)? };
        let answer = self.control_plane.admin()?.undrain(request).await;
        let answer = answer.map_err(|status| self.control_plane.told(&status))?.into_inner();
        if answer.changed {
            println!("{} is in rotation again while it runs and is healthy", answer.name);
        } else {
            println!("{} was not drained by hand", answer.name);
        }
        Ok(())
    }
}
