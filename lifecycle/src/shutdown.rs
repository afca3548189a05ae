//! From a signal to the end of the process, without losing a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal as listen};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that SIGTERM or SIGINT cancels. A second signal ends the process at once.
///
/// # Errors
///
/// The signal handlers cannot be set up.
pub fn signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    // Lives as long as the process and ends it: there is nobody to join it.
    #[allow(clippy::disallowed_methods)]
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                cancel.cancel();
            }
        }
        warn!("second signal: ending at once");
        std::process::exit(130);
    });
    Ok(token)
}

/// The stages between the signal and the end.
///
/// ```text
/// signal        leaving                    closed                      end
///   |--- delay ----|   no new connections     |
///   |  health says no, requests are served    |-- at most `deadline` --|
/// ```
///
/// A load balancer that looks at the health check has `delay` to take this replica out while every request that still
/// comes is served.
#[derive(Debug, Clone)]
pub struct Stages {
    leaving: CancellationToken,
    closed: CancellationToken,
    unwell: Arc<AtomicBool>,
}

impl Stages {
    /// The stages that follow `signal`, and what drives them; await the driver beside the server.
    pub fn new(signal: CancellationToken, delay: Duration) -> (Self, impl Future<Output = ()> + Send) {
        let (closed, unwell) = (CancellationToken::new(), Arc::default());
        let stages = Self { leaving: signal.clone(), closed, unwell };
        let closed = stages.closed.clone();
        let driver = async move {
            signal.cancelled().await;
            info!("stopping: health says no, requests are served for another {} ms", delay.as_millis());
            tokio::time::sleep(delay).await;
            closed.cancel();
        };
        (stages, driver)
    }

    /// Whether the signal has come: the health check must say no.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Whether somebody asked, by SIGUSR1, for a health check that says no.
    #[must_use]
    pub fn is_unwell(&self) -> bool {
        self.unwell.load(Ordering::Relaxed)
    }

    /// Goes by SIGUSR1 (the health check says no from now on, and requests are served as before) and SIGUSR2 (it says yes
    /// again), for as long as this is awaited: to try what a load balancer makes of it.
    ///
    /// # Errors
    ///
    /// The signal handlers cannot be set up.
    pub async fn obey(&self) -> std::io::Result<std::convert::Infallible> {
        let mut unwell = listen(SignalKind::user_defined1())?;
        let mut well = listen(SignalKind::user_defined2())?;
        loop {
            let is_unwell = tokio::select! {
                _ = unwell.recv() => true,
                _ = well.recv() => false,
            };
            info!("health says {} from now on, by signal", if is_unwell { "no" } else { "yes" });
            self.unwell.store(is_unwell, Ordering::Relaxed);
        }
    }

    /// When no new connection may be taken any more.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Waits for `server`, and cuts it off `deadline` after it was told to close.
    ///
    /// # Errors
    ///
    /// What `server` returned.
    pub async fn finish<T>(&self, server: impl Future<Output = T>, deadline: Duration) -> Option<T> {
        let late = async {
            self.closed().await;
            tokio::time::sleep(deadline).await;
        };
        tokio::select! {
            done = server => Some(done),
            () = late => {
                warn!("requests were still in flight {} ms after closing and are cut", deadline.as_millis());
                None
            }
        }
    }
}
