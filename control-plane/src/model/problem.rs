//! What keeps a workload from being routed as its labels say.

use std::fmt;

/// One mistake, or one thing that cannot work: where, what, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the container, or of the entry in the services file.
    pub workload: String,
    /// The label it is about, if it is about one.
    pub label: Option<String>,
    /// That label's value.
    pub value: Option<String>,
    /// What is wrong, and why.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    pub(super) fn new(workload: &str, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            workload: workload.to_owned(),
            label: None,
            value: None,
            reason: reason.into(),
            fix: fix.into(),
        }
    }

    pub(super) fn at(mut self, label: &str, value: &str) -> Self {
        self.label = Some(label.to_owned());
        self.value = Some(value.to_owned());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.workload)?;
        if let Some(label) = &self.label {
            write!(f, "label {label}")?;
            if let Some(value) = &self.value {
                write!(f, "={value:?}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}; {}", self.reason, self.fix)
    }
}
