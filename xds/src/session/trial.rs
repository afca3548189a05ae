//! Finding the bad one among resources that were refused together.
//!
//! A client refuses a response, not a resource. The group is split and one half is sent again alone: what is accepted
//! is innocent, and where one half of a bad group is innocent, the other one is not. A group of one that is refused is
//! convicted and parked. The bad ones among `n` are found in about `2 log2 n` responses each, three where the client
//! names them in its reason, as Envoy does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resource::{Name, Version};

use super::ledger::Step;

/// Steps that were refused, by the version that was; `None` is a removal.
pub(super) type Charges = BTreeMap<Name, Option<Version>>;

/// A group to send again without the rest of what was refused with it.
#[derive(Debug)]
pub(super) struct Trial {
    tried: Charges,
    /// The other part of the refused group: bad if `tried` turns out to be innocent. Empty where that proves nothing.
    otherwise: Charges,
    /// What the client said of the whole group.
    reason: Arc<str>,
}

/// What follows from a refusal.
#[derive(Debug)]
pub(super) enum Verdict {
    /// More than one could be at fault.
    Try(Trial),
    /// These are at fault, beyond doubt, for this reason.
    Convict(Charges, Arc<str>),
}

impl Trial {
    /// The names of the whole group.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.tried.keys().chain(self.otherwise.keys())
    }

    pub(super) fn tries(&self, name: &Name) -> bool {
        self.tried.contains_key(name)
    }

    pub(super) fn suspects(&self, name: &Name) -> bool {
        self.tries(name) || self.otherwise.contains_key(name)
    }

    /// Drops what `steps` no longer holds at the refused version: new content is under no suspicion. A trial that
    /// lost a member proves nothing about the other part any more, so all that is left is tried on its own.
    /// Returns whether anything is left.
    pub(super) fn keep(&mut self, steps: &BTreeMap<Name, Step>) -> bool {
        let before = self.tried.len() + self.otherwise.len();
        let stands = |name: &Name, version: &mut Option<Version>| {
            steps.get(name).is_some_and(|step| step.as_ref().map(|resource| resource.version()) == *version)
        };
        self.tried.retain(stands);
        self.otherwise.retain(stands);
        if self.tried.len() + self.otherwise.len() < before {
            self.tried.append(&mut self.otherwise);
        }
        !self.tried.is_empty()
    }

    /// The tried part was accepted: the other part is bad, and the reason is about it.
    pub(super) fn if_accepted(self) -> Verdict {
        try_or_convict(self.otherwise, self.reason)
    }

    /// The tried part was refused: whether the other part is bad as well is open.
    pub(super) fn if_refused(self) -> Option<Self> {
        (!self.otherwise.is_empty()).then(|| Self {
            tried: self.otherwise,
            otherwise: Charges::new(),
            ..self
        })
    }
}

/// Sends a group once more as it is: something that was refused with it went since, and may have been at fault.
pub(super) fn try_again(bad: Charges, reason: Arc<str>) -> Verdict {
    if bad.is_empty() {
        return Verdict::Convict(bad, reason);
    }
    Verdict::Try(Trial { tried: bad, otherwise: Charges::new(), reason })
}

/// Convicts a group of one (or none), or one of removals, which are all alike; splits any other one, trying first those
/// whose names are not in `reason`.
pub(super) fn try_or_convict(mut bad: Charges, reason: Arc<str>) -> Verdict {
    if bad.len() <= 1 || bad.values().all(Option::is_none) {
        return Verdict::Convict(bad, reason);
    }
    let (mut named, rest): (Charges, Charges) = bad
        .iter()
        .map(|(name, version)| (name.clone(), *version))
        .partition(|(name, _)| mentions(&reason, name));
    if !named.is_empty() && !rest.is_empty() {
        return Verdict::Try(Trial { tried: rest, otherwise: std::mem::take(&mut named), reason });
    }
    let middle = bad.keys().nth(bad.len() / 2).cloned();
    let otherwise = middle.map(|middle| bad.split_off(&middle)).unwrap_or_default();
    Verdict::Try(Trial { tried: bad, otherwise, reason })
}

/// Whether `text` holds `name` as a word of its own, and not as a part of a longer name.
fn mentions(text: &str, name: &str) -> bool {
    let of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/');
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].chars().next();
            !before.is_some_and(of_a_name) && !after.is_some_and(of_a_name)
        })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_name_is_found_as_a_word_only() {
        let reason = "Error adding/updating cluster(s) shop/web-2: bad, api: worse.";
        assert!(mentions(reason, "shop/web-2"));
        assert!(mentions(reason, "api"));
        assert!(!mentions(reason, "web"));
        assert!(!mentions(reason, "web-2"));
        assert!(!mentions(reason, ""));
    }
}
