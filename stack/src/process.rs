//! Child processes that do not outlive their parent.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// How long a child may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of its log is shown of a child that ended by itself.
const TAIL_LINES: usize = 12;

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, with its output in `logs/NAME.log`.
    ///
    /// The kernel kills it when the thread that called this ends (`setpriv --pdeathsig`): call it from one that lives
    /// as long as the child shall.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(
        name: &str,
        logs: &Path,
        program: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(logs)?;
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        configure(&mut command);
        // A group of its own: Ctrl-C is for the stack, which stops its children in order.
        command.process_group(0).stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name} (is setpriv of util-linux there?)"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An error if it has ended, with the end of its log.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n    ");
        bail!("{} has ended ({status}):\n    {tail}\n(all of it: {})", self.name, self.log.display())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// There is no such process any more.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks it to stop, waits, and kills it if it does not.
    ///
    /// # Errors
    ///
    /// It can neither be stopped nor killed.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let _ = self.signal(Signal::TERM);
        self.wait(STOP_TIMEOUT).or_else(|_| self.kill())
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        let _ = self.child.kill();
        Ok(self.child.wait()?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// It has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        until(&format!("{} ends", self.name), limit, || {
            self.child.try_wait()?.with_context(|| "it still runs".to_owned())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
