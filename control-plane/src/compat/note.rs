//! What a translation has to say.

use std::fmt;

/// How much a note weighs, the heaviest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It could not be carried over.
    Lost,
    /// Somebody must do it by hand.
    ByHand,
    /// It is carried over, and is not in every case the same.
    Differs,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "not carried over",
            Self::ByHand => "to do by hand",
            Self::Differs => "not quite the same",
        })
    }
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// How much it weighs.
    pub kind: Kind,
    /// The label (or environment variable) it is about.
    pub label: String,
    /// Its value.
    pub value: String,
    /// Where in the value it is, in bytes from 0, if it is not the whole of it.
    pub place: Option<usize>,
    /// What is not the same, and why.
    pub reason: String,
    /// What to do about it; nothing where nothing need be done.
    pub fix: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value of several lines is shown in one.
        let value = self.value.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}: {}={value}", self.kind, self.label)?;
        // A person counts characters, from one.
        if let Some(before) = self.place.and_then(|place| self.value.get(..place)) {
            write!(f, ", character {}", before.chars().count() + 1)?;
        }
        write!(f, ": {}", self.reason)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

/// Why a part cannot be translated, before it is known whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) place: Option<usize>,
    pub(super) reason: String,
    pub(super) fix: String,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: None, reason: reason.into(), fix: fix.into() }
    }

    /// The same, with the byte of the value at which it is.
    pub(super) fn at(mut self, place: usize) -> Self {
        self.place = Some(place);
        self
    }
}
