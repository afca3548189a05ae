//! What this process has used so far.

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// CPU and memory of a process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU time of all threads, in user space and in the kernel.
    pub(crate) cpu: Duration,
    /// Resident memory in KiB.
    pub(crate) resident_kib: u64,
    /// The most it ever was.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// This process's, now.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let (resident_kib, peak_kib) = memory("self")?;
        Ok(Self { cpu: process_cpu(), resident_kib, peak_kib })
    }

    /// Another process's, now; its CPU time in steps of 10 ms.
    pub(crate) fn of(id: u32) -> anyhow::Result<Self> {
        let id = id.to_string();
        let (resident_kib, peak_kib) = memory(&id)?;
        let ticks = cpu_ticks(&read(&id, "stat")?).context("no CPU time in its stat")?;
        let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { cpu: Duration::from_secs_f64(seconds), resident_kib, peak_kib })
    }
}

/// CPU time of all threads that another process has now, to the nanosecond: it is for differences, as what threads have used that
/// have ended since is gone from it.
pub(crate) fn threads_cpu(id: u32) -> anyhow::Result<Duration> {
    let folder = format!("/proc/{id}/task");
    let threads = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read {folder}: this runs on Linux only"))?;
    let mut all = Duration::ZERO;
    for thread in threads {
        // One that has ended meanwhile has no file any more.
        if let Ok(schedstat) = std::fs::read_to_string(thread?.path().join("schedstat")) {
            all += on_cpu(&schedstat).context("no time in its schedstat")?;
        }
    }
    Ok(all)
}

/// The first field: time on a processor, in nanoseconds.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Resident memory of a process in KiB: now, and the most it ever was.
fn memory(process: &str) -> anyhow::Result<(u64, u64)> {
    let resident = kib(&read(process, "smaps_rollup")?, "Rss:").context("no Rss in its smaps_rollup")?;
    let peak = kib(&read(process, "status")?, "VmHWM:").context("no VmHWM in its status")?;
    Ok((resident, peak.max(resident)))
}

fn read(process: &str, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{process}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}: this runs on Linux only"))
}

/// Clock ticks in user space and in the kernel: the 14th and 15th field, counted from the name in brackets, which may
/// hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// CPU time of all threads of this process.
pub(crate) fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// CPU time of this thread: what is measured between two readings must not `.await`.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// CPU time that everything on this machine has used since it started, in steps of 10 ms.
fn machine_cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    busy(&stat).context("/proc/stat does not begin with the times of all processors")
}

/// User, nice, system, interrupts: not idle, not waiting, not stolen by the host.
fn busy(stat: &str) -> Option<Duration> {
    let mut words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    let ticks: Vec<u64> = words.by_ref().take(7).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, _waiting, irq, softirq] = ticks.try_into().ok()?;
    Some(Duration::from_millis(10 * (user + nice + system + irq + softirq)))
}

/// How busy other programs are while something is measured.
#[derive(Debug)]
pub(crate) struct Others {
    began: Instant,
    machine: Duration,
    ours: Duration,
}

impl Others {
    /// From now on. `ours` is the CPU time that what belongs to the measurement has used so far.
    pub(crate) fn from_now(ours: Duration) -> anyhow::Result<Self> {
        Ok(Self { began: Instant::now(), machine: machine_cpu()?, ours })
    }

    /// What they have used until now, in percent of a core. `ours` is counted from the same time on as before.
    pub(crate) fn percent(&self, ours: Duration) -> anyhow::Result<f64> {
        let (time, machine) = (self.began.elapsed(), machine_cpu()?.saturating_sub(self.machine));
        let others = machine.saturating_sub(ours.saturating_sub(self.ours));
        Ok(others.as_secs_f64() / time.as_secs_f64() * 1e2)
    }
}

fn clock(id: ClockId) -> Duration {
    // Neither clock goes below zero.
    Duration::try_from(clock_gettime(id)).unwrap_or_default()
}

/// Lets this process have as many files open as it may: a connection is one.
pub(crate) fn allow_many_files() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit on open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let rollup = "55d000000000-7ffe00000000 ---p 00000000 00:00 0   [rollup]\nRss:          12345 kB\nPss:   99 kB\n";
        assert_eq!(kib(rollup, "Rss:"), Some(12345));
        assert_eq!(kib(rollup, "VmHWM:"), None);
    }

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn the_machines_time_is_that_in_which_it_worked() {
        let stat = "cpu  100 20 3 4000 500 6 7 80 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(busy(stat), Some(Duration::from_millis(1360)));
        assert_eq!(busy("intr 1 2 3\n"), None);
    }

    #[test]
    fn time_on_a_processor_is_read_to_the_nanosecond() {
        assert_eq!(on_cpu("1234567891 5 6\n"), Some(Duration::new(1, 234_567_891)));
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn the_threads_of_this_process_use_what_it_uses() {
        let before = threads_cpu(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while threads_cpu(std::process::id()).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(before <= process_cpu());
    }

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let before = Usage::now().unwrap();
        let mut sum = 0_u64;
        while process_cpu() == before.cpu {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(before.resident_kib > 0);
    }
}
