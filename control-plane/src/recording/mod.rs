//! What a control plane saw, in a file: for bug reports, and as input of tests (docs/replay.md).
//!
//! ```text
//! docker, publish -- steps, without secrets --> Recorder -- lines, bounded --> Writer --> DIR/<time>.jsonl
//!
//! DIR/<time>.jsonl --> read --> Replay: the same watcher, model and translation, with the times of then --> the same bytes
//! ```
//!
//! A recorder hears of everything on which the resources depend, in the order in which it counted: what the engine answered and told,
//! what was decided by hand, the policies file; and of each snapshot its version, so that a replay knows whether it is the same.
//! A recording that cannot go on ends, and is told of; what is served never waits for it.

mod hide;
mod line;
mod printed;
mod read;
mod recorder;
mod replay;
mod said;
mod writer;

pub(crate) use hide::Hide;
pub use line::Settings;
pub use printed::Printer;
pub use read::{Recording, Unreadable, read};
pub use recorder::{Recorder, Target};
pub use replay::{Outcome, Replay, Step, replay};
pub use writer::Writer;
