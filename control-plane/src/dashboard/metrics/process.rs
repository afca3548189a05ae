//! What the process uses, under the names that every Prometheus client library gives it ("Writing client libraries",
//! "Process metrics"). Where there is no `/proc` there are none.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` when it is asked.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(stat) = stat.as_deref().and_then(Stat::read) {
            let ticks = rustix::param::clock_ticks_per_second() as f64;
            let (name, help) = ("process_cpu", "CPU time, in user space and in the kernel");
            let cpu = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
            ConstCounter::new(stat.cpu_ticks as f64 / ticks).encode(cpu)?;
            let resident = stat.resident_pages as f64 * rustix::param::page_size() as f64;
            gauge(&mut encoder, "process_resident_memory", "Resident memory", Some(&Unit::Bytes), resident)?;
            let bytes = stat.virtual_bytes as f64;
            gauge(&mut encoder, "process_virtual_memory", "Virtual memory", Some(&Unit::Bytes), bytes)?;
            gauge(&mut encoder, "process_threads", "Threads", None, stat.threads as f64)?;
            let boot = fs::read_to_string("/proc/stat").ok();
            if let Some(boot) = boot.as_deref().and_then(boot_seconds) {
                let start = boot as f64 + stat.start_ticks as f64 / ticks;
                let help = "When the process started, since the Unix epoch";
                gauge(&mut encoder, "process_start_time", help, Some(&Unit::Seconds), start)?;
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is read.
            let open = files.count().saturating_sub(1);
            gauge(&mut encoder, "process_open_fds", "Open file descriptors", None, open as f64)?;
        }
        if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
            let help = "How many file descriptors may be open";
            gauge(&mut encoder, "process_max_fds", help, None, most as f64)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: f64,
) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
}

/// Of `/proc/self/stat` (proc_pid_stat(5)), what is shown.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// `utime` and `stime`.
    cpu_ticks: u64,
    threads: u64,
    /// Since the machine started.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name in brackets may hold anything; what follows it is the third field.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine started, in seconds since the Unix epoch: `btime` of `/proc/stat`.
fn boot_seconds(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1234 5000000 77 1";
        let wanted = Stat {
            cpu_ticks: 300,
            threads: 3,
            start_ticks: 1234,
            virtual_bytes: 5_000_000,
            resident_pages: 77,
        };
        assert_eq!(Stat::read(stat), Some(wanted));
        assert_eq!(Stat::read("7 (a"), None);
        assert_eq!(Stat::read("7 (a) S 1 7"), None);
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000));
    }
}
