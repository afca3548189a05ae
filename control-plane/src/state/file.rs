//! The file: one line that says what it is, then JSON.
//!
//! ```text
//! portolan-state 1 5f0c2a9b1e7d4c36 81920
//! {"source":"docker","saved":1795558334,"workloads":[...],"kept":[...]}
//! ```
//!
//! The line holds the version of the schema, and hash and length of what follows. A file is written beside the old one, to
//! the disk, and takes its place in one step; so it is whole, or damaged by something else, and then it is ignored.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Seek as _, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::inventory::{Inventory, Workload};
use crate::model::Kept;

/// The version of what follows the first line. Another shape of a [`Workload`], or of what is kept, is another version.
const SCHEMA: u32 = 1;
const MAGIC: &str = "portolan-state";
/// No file of this control plane is larger: some hundred thousand containers.
const MAX_BYTES: u64 = 512 << 20;

#[derive(Serialize)]
struct Written<'a> {
    source: &'a str,
    saved: u64,
    workloads: Vec<&'a Workload>,
    // Not there where it is empty: files from before it was known are of the same version.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    kept: &'a [Kept],
}

#[derive(Deserialize)]
struct Read {
    source: String,
    saved: u64,
    workloads: Vec<Workload>,
    #[serde(default)]
    kept: Vec<Kept>,
}

/// What is kept alone, without the containers: they are many.
#[derive(Deserialize)]
struct ReadKept {
    source: String,
    #[serde(default)]
    kept: Vec<Kept>,
}

/// A view from the file.
#[derive(Debug)]
pub struct Saved {
    /// The containers.
    pub inventory: Inventory,
    /// Who asked for the routes that stood although nobody asks for them any more.
    pub kept: Vec<Kept>,
    /// When it was saved. It may have been right for longer: a view that does not change is not saved again.
    pub at: SystemTime,
}

/// Why there is no view in a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is none")]
    Missing,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it is no saved view")]
    Foreign,
    #[error("it is of version {0}, and this is version {SCHEMA}")]
    Version(String),
    #[error("it is cut off or damaged")]
    Damaged,
    #[error("it is what {0:?} has shown")]
    Source(String),
}

/// Reads a view of `source`.
pub(super) fn load(path: &Path, source: &str) -> Result<Saved, Unusable> {
    let (saved, of) = read_saved(path)?;
    if of == source { Ok(saved) } else { Err(Unusable::Source(of)) }
}

/// Reads a view of whatever source.
pub(super) fn load_any(path: &Path) -> Result<Saved, Unusable> {
    read_saved(path).map(|(saved, _)| saved)
}

/// Reads what is kept besides a view of `source`.
pub(super) fn load_kept(path: &Path, source: &str) -> Result<Vec<Kept>, Unusable> {
    let ReadKept { source: of, kept } = read_as(path)?;
    if of == source { Ok(kept) } else { Err(Unusable::Source(of)) }
}

/// The view, and the source it is of.
fn read_saved(path: &Path) -> Result<(Saved, String), Unusable> {
    let read: Read = read_as(path)?;
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(read.saved)).unwrap_or(UNIX_EPOCH);
    Ok((Saved { inventory: read.workloads.into_iter().collect(), kept: read.kept, at }, read.source))
}

fn read_as<T: DeserializeOwned>(path: &Path) -> Result<T, Unusable> {
    let bytes = read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unusable::Missing,
        _ => Unusable::Unreadable(error),
    })?;
    serde_json::from_slice(body(&bytes)?).map_err(|_| Unusable::Damaged)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > MAX_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has {length} bytes")));
    }
    fs::read(path)
}

/// What follows the first line, if that is right about it.
fn body(bytes: &[u8]) -> Result<&[u8], Unusable> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(Unusable::Foreign)?;
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Unusable::Damaged)?;
    let line = std::str::from_utf8(&rest[..end]).map_err(|_| Unusable::Damaged)?;
    let body = &rest[end + 1..];
    let mut words = line.split_ascii_whitespace();
    let version = words.next().ok_or(Unusable::Damaged)?;
    if version != SCHEMA.to_string() {
        return Err(Unusable::Version(version.chars().take(20).collect()));
    }
    let expected = header(xxh3_64(body), body.len() as u64);
    if bytes.starts_with(expected.as_bytes()) { Ok(body) } else { Err(Unusable::Damaged) }
}

/// The first line; of the same length whatever it says.
fn header(hash: u64, length: u64) -> String {
    format!("{MAGIC} {SCHEMA} {hash:016x} {length:010}\n")
}

/// Writes `view` of `source`, and what is kept besides, in the place of what is at `path`.
pub(super) fn save(path: &Path, source: &str, view: &Inventory, kept: &[Kept]) -> io::Result<()> {
    replace(path, |file| write(file, source, view, kept))
}

/// Puts what `write` writes, and brings to the disk, in the place of what is at `path`, in one step.
pub(super) fn replace(path: &Path, write: impl FnOnce(File) -> io::Result<()>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = File::create(&beside).and_then(write).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The new name is on the disk when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(mut file: File, source: &str, view: &Inventory, kept: &[Kept]) -> io::Result<()> {
    file.write_all(header(0, 0).as_bytes())?;
    let saved = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let workloads = view.workloads.values().map(AsRef::as_ref).collect();
    let mut body = Hashed { file: BufWriter::new(file), hash: Xxh3::new(), length: 0 };
    serde_json::to_writer(&mut body, &Written { source, saved, workloads, kept })?;
    let Hashed { file, hash, length } = body;
    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    file.write_all(header(hash.digest(), length).as_bytes())?;
    file.sync_all()
}

/// Counts and hashes what is written, so that it need not be held in memory.
struct Hashed {
    file: BufWriter<File>,
    hash: Xxh3,
    length: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
