//! Instructions of another process, counted by valgrind: what it executes itself, without the kernel. Unlike times they are the
//! same on a busy machine and on a quiet one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The beginning of the names of its files.
const OUT: &str = "callgrind.out";
const MISSING: &str = "valgrind's vgdb: not found; apt-get install valgrind";

/// Where the counts of one process are written.
#[derive(Debug)]
pub(crate) struct Callgrind {
    folder: PathBuf,
    /// How many times it was asked.
    parts: u32,
}

impl Callgrind {
    /// Counts that are written into `folder`, which is to be there.
    ///
    /// # Errors
    ///
    /// Valgrind is not installed.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let found = Command::new("vgdb").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.context(MISSING)?;
        Ok(Self { folder: folder.to_owned(), parts: 0 })
    }

    /// What runs a program so that it is counted: the program's own words follow.
    pub(crate) fn words(&self) -> Vec<String> {
        vec![
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            "--separate-threads=yes".to_owned(),
            format!("--callgrind-out-file={}", self.folder.join(OUT).display()),
        ]
    }

    /// Instructions of the thread of the process `id` that has executed most since it was asked last.
    pub(crate) fn busiest_thread(&mut self, id: u32) -> anyhow::Result<u64> {
        let output = Command::new("vgdb").args([&format!("--pid={id}"), "dump"]).output().context(MISSING)?;
        ensure!(
            output.status.success(),
            "valgrind gives no counts of process {id}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.parts += 1;
        let begins = format!("{OUT}.{}-", self.parts);
        let mut most = None;
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(&begins) {
                let path = file.path();
                let text = fs::read(&path)?;
                most =
                    most.max(Some(total(&text).with_context(|| format!("no total in {}", path.display()))?));
                fs::remove_file(path)?;
            }
        }
        most.with_context(|| {
            format!("valgrind wrote no counts of process {id} into {}", self.folder.display())
        })
    }
}

/// The last line that says `totals: NUMBER`. Names of functions in it need not be text.
fn total(file: &[u8]) -> Option<u64> {
    let line = file.split(|byte| *byte == b'\n').rev().find_map(|line| line.strip_prefix(b"totals: "))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_file_is_its_last_line() {
        assert_eq!(total(b"# callgrind format\nfn=(1) \xff\n0 totals: 7\n\ntotals: 190400\n"), Some(190_400));
        assert_eq!(total(b"# callgrind format\n"), None);
    }
}
