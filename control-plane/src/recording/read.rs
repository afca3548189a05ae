//! Reading a recording. Its last line may be cut off: a process that is killed is in the middle of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::line::{End, Head, Line, SCHEMA, What};
use super::recorder::SUFFIX;

/// A recording, read.
#[derive(Debug)]
pub struct Recording {
    /// The file that it is in.
    pub path: PathBuf,
    pub(super) head: Head,
    /// Each with the number that it has in the file.
    pub(super) lines: Vec<(usize, Line)>,
    /// What a person has to know about it.
    pub notes: Vec<String>,
}

impl Recording {
    /// By whom it was made, and when.
    #[must_use]
    pub fn made(&self) -> String {
        format!("portolan {}, from {} on", self.head.portolan, self.head.began)
    }
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file system says so.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why it was not.
        error: io::Error,
    },
    /// There is none.
    #[error("there is no recording in {}: portolan serve --record makes one, and its name ends in .{SUFFIX}", .0.display())]
    None(PathBuf),
    /// The file is something else.
    #[error("{} is no recording; one begins with {{\"portolan-recording\":{SCHEMA}", .0.display())]
    Foreign(PathBuf),
    /// It is of another time.
    #[error("{} is of version {version}, and this is version {SCHEMA}: replay it with the portolan that made it, {portolan}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// Who wrote it.
        portolan: String,
    },
    /// Something was done to it.
    #[error("{}:{line}: {reason}; the file was changed, or is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

/// Reads the recording at `path`: a file, or a folder, of which it is the newest one.
///
/// # Errors
///
/// [`Unreadable`].
pub fn read(path: &Path) -> Result<Recording, Unreadable> {
    let mut notes = Vec::new();
    let path = if path.is_dir() { newest(path, &mut notes)? } else { path.to_owned() };
    let text = fs::read(&path).map_err(|error| Unreadable::Io { path: path.clone(), error })?;
    let text = String::from_utf8_lossy(&text);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut all = whole.lines().zip(1..);
    let head = head(&path, all.next().map(|(line, _)| line).unwrap_or_default())?;
    let mut lines = Vec::new();
    for (text, number) in all {
        let damaged = |error: serde_json::Error| Unreadable::Damaged {
            path: path.clone(),
            line: number,
            reason: error.to_string(),
        };
        lines.push((number, serde_json::from_str::<Line>(text).map_err(damaged)?));
    }
    if whole.len() + 1 < text.len() {
        notes.push("its last line is cut off, and left out".to_owned());
    }
    notes.push(match lines.last().map(|(_, line)| &line.what) {
        Some(What::End(End::Stopped)) => "it goes on until the control plane was stopped".to_owned(),
        Some(What::End(End::Full)) => "it ends where it was as large as --record-limit let it be".to_owned(),
        _ => {
            "it has no end: the control plane still runs, was killed, or could not write any more".to_owned()
        }
    });
    Ok(Recording { path, head, lines, notes })
}

fn head(path: &Path, line: &str) -> Result<Head, Unreadable> {
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|_| Unreadable::Foreign(path.to_owned()))?;
    match value.get("portolan-recording").and_then(serde_json::Value::as_u64) {
        None => return Err(Unreadable::Foreign(path.to_owned())),
        Some(version) if version != u64::from(SCHEMA) => {
            let portolan = value["portolan"].as_str().unwrap_or("whatever that was").to_owned();
            return Err(Unreadable::Version { path: path.to_owned(), version, portolan });
        }
        Some(_) => {}
    }
    serde_json::from_value(value).map_err(|error| Unreadable::Damaged {
        path: path.to_owned(),
        line: 1,
        reason: error.to_string(),
    })
}

/// The one with the last name, since names are times.
fn newest(folder: &Path, notes: &mut Vec<String>) -> Result<PathBuf, Unreadable> {
    let io = |error| Unreadable::Io { path: folder.to_owned(), error };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            all.push(path);
        }
    }
    // Of one second the second one has a number behind it, and is longer.
    all.sort_by_key(|path| {
        path.file_stem().map(|stem| (stem.to_string_lossy().chars().take(20).collect::<String>(), stem.len()))
    });
    let newest = all.pop().ok_or_else(|| Unreadable::None(folder.to_owned()))?;
    if !all.is_empty() {
        notes.push(format!("of {} recordings in {} it is the newest", all.len() + 1, folder.display()));
    }
    Ok(newest)
}
