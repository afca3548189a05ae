//! The end of the recorder that waits for the disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::line::{End, Line, What};
use super::recorder::{Shared, json};

/// How many lines are written at once.
const AT_ONCE: usize = 1_024;

/// Writes what a recorder hears.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    /// The length of what is whole in the file.
    length: u64,
    lines: mpsc::Receiver<Box<[u8]>>,
    shared: Arc<Shared>,
}

impl Writer {
    pub(super) const fn new(
        file: File,
        path: PathBuf,
        length: u64,
        lines: mpsc::Receiver<Box<[u8]>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { file, path, length, lines, shared }
    }

    /// Where the recording is.
    #[must_use]
    pub const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Writes until `stop` is cancelled, and then what still waits.
    ///
    /// # Errors
    ///
    /// None: a disk that is full, or fails, ends the recording, and is told of.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                // First what waits, and only then the stop.
                biased;
                _ = self.lines.recv_many(&mut batch, AT_ONCE) => {}
                () = stop.cancelled() => {}
            }
            let is_last = batch.is_empty();
            if is_last && self.shared.is_open() {
                let line = Line { t: self.shared.now(), what: What::End(End::Stopped) };
                batch.extend(json(&line).ok().map(Into::into));
            }
            match self.write(batch, is_last).await {
                Ok(writer) if !is_last => self = writer,
                Ok(_) => return Ok(()),
                // What is in the file stays, and the part goes on: it would take the process with it.
                Err(()) => {
                    stop.cancelled().await;
                    return Ok(());
                }
            }
        }
    }

    async fn write(self, batch: Vec<Box<[u8]>>, is_last: bool) -> Result<Self, ()> {
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || self.write_all(&batch, is_last)).await;
        match written {
            Ok(Ok(writer)) => Ok(writer),
            Ok(Err(error)) => {
                shared.end(&error);
                Err(())
            }
            Err(panic) => {
                warn!("the recording ends here: {panic}");
                Err(())
            }
        }
    }

    fn write_all(mut self, batch: &[Box<[u8]>], is_last: bool) -> Result<Self, String> {
        let bytes = batch.concat();
        let written =
            self.file.write_all(&bytes).and_then(|()| if is_last { self.file.sync_all() } else { Ok(()) });
        self.shared.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        match written {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(self)
            }
            Err(error) => {
                // Half a line helps nobody.
                let _: io::Result<()> = self.file.set_len(self.length);
                Err(format!("cannot write {}: {error}", self.path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Target;
    use crate::translate::EdgeOptions;

    fn settings() -> crate::recording::Settings {
        let model = crate::model::Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "dashboard.localhost".to_owned(),
            policies: Default::default(),
        };
        let edge = EdgeOptions {
            listen: ([0, 0, 0, 0], 8080).into(),
            dashboard_host: model.reserved_host.clone(),
            dashboard_at: "control-plane:18001".parse().unwrap(),
            envoy_admin: ([127, 0, 0, 1], 9901).into(),
            traces: None,
        };
        crate::recording::Settings::of(&model, &edge, false)
    }

    #[tokio::test]
    async fn a_disk_that_is_full_ends_the_recording_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target { folder: folder.path().to_owned(), limit: 1 << 20 };
        let (recorder, mut writer) = target.open(settings()).unwrap();
        writer.file = File::options().write(true).open("/dev/full").unwrap();
        let shared = Arc::clone(&writer.shared);
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(writer.run(stop.clone()));
        let note = || recorder.note(tokio::time::Instant::now(), |_| crate::docker::Step::Due);
        note();
        while shared.is_open() {
            tokio::task::yield_now().await;
        }
        note();
        assert!(tasks.try_join_next().is_none(), "a part that ends takes the process with it");
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_is_too_slow_ends_the_recording() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target { folder: folder.path().to_owned(), limit: u64::MAX };
        // Nobody writes what the recorder hears.
        let (recorder, writer) = target.open(settings()).unwrap();
        for _ in 0..100_000 {
            recorder.note(tokio::time::Instant::now(), |_| crate::docker::Step::Due);
        }
        assert!(!writer.shared.is_open());
        assert!(writer.shared.waiting.load(Ordering::Relaxed) <= super::super::recorder::WAITING);
    }
}
