//! What one client holds of one type, and what it still has to hear: the bookkeeping below the session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};
use crate::snapshot::Snapshot;
use crate::subscription::{Change, Subscription};

use super::trial::{self, Charges, Trial, Verdict};

/// A resource that a client has.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// One that this stream sent and the client acknowledged.
    Known(Arc<Resource>),
    /// One that the client had when it connected, by its version; what it refers to is not known.
    Foreign(String),
}

impl Held {
    /// Whether it is the same content as `resource`.
    pub(super) fn is(&self, resource: &Resource) -> bool {
        match self {
            Self::Known(held) => held.version() == resource.version(),
            Self::Foreign(version) => *version == resource.version().to_string(),
        }
    }

    pub(super) const fn known(&self) -> Option<&Arc<Resource>> {
        match self {
            Self::Known(resource) => Some(resource),
            Self::Foreign(_) => None,
        }
    }
}

/// Most steps of one name that are remembered as refused with others, the newest.
const MAX_DOUBTS: usize = 4;

/// One step of a client from what it has to what it shall have: a resource to take, or one to drop.
pub(super) type Step = Option<Arc<Resource>>;

/// The response that a client has not answered yet; there is at most one a type.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) nonce: String,
    pub(super) steps: BTreeMap<Name, Step>,
    /// Whether the client let go of something in it since: what is left may not be what it refuses.
    pub(super) diminished: bool,
    /// Whether it lists everything: what it does not list is gone.
    pub(super) whole: bool,
    /// Set where the response tries out a group that was refused before.
    pub(super) trial: Option<Trial>,
}

/// All there is to know about one type on one stream.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Whether the client has sent any request of this type.
    pub(super) seen: bool,
    pub(super) subscription: Subscription,
    /// What the client acknowledged (or had when it came).
    pub(super) held: BTreeMap<Name, Held>,
    pub(super) outstanding: Option<Outstanding>,
    /// Steps the client refused, by the version it refused; `None` is a removal.
    pub(super) parked: BTreeMap<Name, Option<Version>>,
    /// Steps that were refused together with others. Envoy takes in what is good in a response that it refuses: until
    /// such a name is accepted or at fault, it may have the one or the other.
    pub(super) doubted: BTreeMap<Name, Vec<Step>>,
    /// Whether the client brought anything along from an earlier stream.
    pub(super) resumed: bool,
    /// Names to send whether or not the client has them already.
    pub(super) owed: BTreeSet<Name>,
    /// Whether the client accepted a list of everything. Before, it may have what came over an earlier stream.
    pub(super) told_whole: bool,
    /// Whether it has to hear such a list now, though nothing in it is new.
    pub(super) whole_due: bool,
    /// An answer is due even if it is empty.
    pub(super) answer_due: bool,
    /// Names whose resource may differ from what the client has.
    pub(super) unsettled: BTreeSet<Name>,
    /// Groups that were refused, to be tried one at a time.
    pub(super) trials: VecDeque<Trial>,
}

impl Ledger {
    /// Takes over what a request changed about the subscription.
    pub(super) fn apply(&mut self, change: Change, kind: Kind, snapshot: Option<&Snapshot>) {
        if change.wildcard_dropped {
            self.forget_all_but_named();
        }
        for name in change.dropped {
            if self.subscription.covers(&name) {
                self.owe(name);
            } else {
                self.forget(&name);
            }
        }
        if change.wildcard_asked {
            self.unsettle_all(kind, snapshot);
        }
        for name in change.asked {
            self.owe(name);
        }
    }

    /// The client shall hear of `name` again, changed or not.
    pub(super) fn owe(&mut self, name: Name) {
        self.unsettled.insert(name.clone());
        self.owed.insert(name);
    }

    /// The client let go of the wildcard, and of what it did not ask for by name as well.
    fn forget_all_but_named(&mut self) {
        let sent = self.outstanding.iter().flat_map(|outstanding| outstanding.steps.keys());
        let kept = self.held.keys().chain(self.parked.keys()).chain(self.doubted.keys());
        let to_say = self.owed.iter().chain(&self.unsettled);
        let names: BTreeSet<Name> = sent.chain(kept).chain(to_say).cloned().collect();
        for name in names.iter().filter(|name| !self.subscription.names(name)).collect::<Vec<_>>() {
            self.forget(name);
        }
    }

    /// The client let go of `name`: a new subscription to it is answered anew.
    fn forget(&mut self, name: &str) {
        self.held.remove(name);
        self.parked.remove(name);
        self.doubted.remove(name);
        self.owed.remove(name);
        self.unsettled.remove(name);
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.diminished |= outstanding.steps.remove(name).is_some();
        }
    }

    /// Everything the client has or could have is looked at again.
    pub(super) fn unsettle_all(&mut self, kind: Kind, snapshot: Option<&Snapshot>) {
        self.unsettled.extend(self.held.keys().cloned());
        if self.subscription.wildcard() {
            self.unsettled
                .extend(snapshot.into_iter().flat_map(|snapshot| snapshot.section(kind).keys().cloned()));
        }
        self.unsettled.extend(self.subscription.all_names().iter().cloned());
    }

    /// What was refused is parked until its content differs from what there is. Where that was all the client ever
    /// heard, it now has to hear the rest, if only that it is nothing; `whole` if a response lists everything.
    pub(super) fn release_parked(&mut self, kind: Kind, snapshot: &Snapshot, whole: bool) {
        let before = self.parked.len();
        self.parked
            .retain(|name, refused| snapshot.get(kind, name).map(|resource| resource.version()) == *refused);
        self.whole_due |= whole && !self.told_whole && before > 0 && self.parked.is_empty();
    }

    /// Some resources of a new snapshot differ from the last one.
    pub(super) fn unsettle(&mut self, names: &[Name]) {
        let subscription = &self.subscription;
        let held = &self.held;
        let affected = names.iter().filter(|name| subscription.covers(name) || held.contains_key(*name));
        self.unsettled.extend(affected.cloned());
    }

    /// The outstanding response was accepted: what it said is what the client has. Returns what that convicts.
    pub(super) fn accept(&mut self, outstanding: Outstanding) -> Charges {
        if outstanding.whole {
            (self.told_whole, self.whole_due) = (true, false);
            self.doubted.clear();
        }
        for (name, step) in outstanding.steps {
            self.doubted.remove(&name);
            match step {
                Some(resource) => {
                    self.held.insert(name, Held::Known(resource));
                }
                None => {
                    self.held.remove(&name);
                }
            }
        }
        outstanding.trial.map(|trial| self.judge(trial.if_accepted())).unwrap_or_default()
    }

    /// The outstanding response was refused with `reason`. Returns what that convicts.
    pub(super) fn refuse(&mut self, outstanding: Outstanding, reason: &str) -> Charges {
        if let Some(trial) = outstanding.trial {
            self.trials.extend(trial.if_refused());
        }
        // There is nothing about a removal that a client could refuse, as long as there is something else.
        let is_suspect = |step: &Step| step.is_some() || outstanding.steps.values().all(Option::is_none);
        let mut charges = Charges::new();
        for (name, step) in &outstanding.steps {
            if is_suspect(step) {
                charges.insert(name.clone(), step.as_ref().map(|resource| resource.version()));
            } else {
                self.unsettled.insert(name.clone());
            }
        }
        for (name, step) in outstanding.steps {
            let steps = self.doubted.entry(name).or_default();
            if steps.len() == MAX_DOUBTS {
                steps.remove(0);
            }
            steps.push(step);
        }
        self.judge(if outstanding.diminished {
            trial::try_again(charges)
        } else {
            trial::try_or_convict(charges, reason)
        })
    }

    fn judge(&mut self, verdict: Verdict) -> Charges {
        match verdict {
            Verdict::Try(trial) => {
                self.unsettled.extend(trial.names().cloned());
                self.trials.push_front(trial);
                Charges::new()
            }
            Verdict::Convict(charges) => {
                self.doubted.retain(|name, steps| {
                    let refused = charges.get(name);
                    steps.retain(|step| Some(&step.as_ref().map(|resource| resource.version())) != refused);
                    !steps.is_empty()
                });
                self.parked.extend(charges.clone());
                charges
            }
        }
    }

    /// Picks from `steps` what may go out together: first what is under no suspicion, else the next group to try.
    pub(super) fn choose(
        &mut self,
        mut steps: BTreeMap<Name, Step>,
    ) -> (BTreeMap<Name, Step>, Option<Trial>) {
        self.trials.retain_mut(|trial| trial.keep(&steps));
        if self.trials.is_empty() {
            return (steps, None);
        }
        let suspected = |name: &Name| self.trials.iter().any(|trial| trial.suspects(name));
        if steps.keys().any(|name| !suspected(name)) {
            steps.retain(|name, _| !suspected(name));
            return (steps, None);
        }
        let trial = self.trials.pop_front();
        if let Some(trial) = &trial {
            steps.retain(|name, _| trial.tries(name));
        }
        (steps, trial)
    }
}
