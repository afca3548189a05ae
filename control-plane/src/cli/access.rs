//! The settings of `portolan serve` for who may change something.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::itself;
use crate::admin::{Access, Token};
use crate::policies::Exposure;

/// Who may change something (drain, weight).
#[derive(Debug, Clone, Args)]
pub(super) struct AdminAccess {
    /// Changes (drain, undrain, weight) need the token in this file. Without one they are accepted from everybody where the
    /// port is open on loopback only, else from this machine alone.
    #[arg(long, env = "PORTOLAN_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// The address at which others reach --listen, where that is another: the one at which Docker publishes it. A warning says so
    /// where it is not loopback and there are private keys or hashes of passwords (--policies): whoever reaches xDS can ask for them.
    #[arg(long, env = "PORTOLAN_PUBLISHED", value_name = "ADDRESS")]
    published: Option<IpAddr>,
}

impl AdminAccess {
    pub(super) fn at(&self, listen: SocketAddr) -> anyhow::Result<Access> {
        let token = self.admin_token_file.as_deref().map(Token::read).transpose()?;
        Ok(Access::new(token, listen, self.published))
    }

    /// Where others reach the port at `listen`, if it is known that they do.
    pub(super) fn exposure(&self, listen: SocketAddr) -> Option<Exposure> {
        Exposure::of(listen, self.published, itself::is_contained())
    }
}
