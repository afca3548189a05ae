//! What one client holds of one type, and what it still has to hear: the bookkeeping below the session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};
use crate::snapshot::Snapshot;
use crate::subscription::{Change, Subscription};

use super::holdings::{Held, Holdings};
use super::message::{Event, Protocol, Refusal, Response};
use super::trial::{self, Trial, Verdict};

/// One step of a client from what it has to what it shall have: a resource to take, or one to drop.
pub(super) type Step = Option<Arc<Resource>>;

/// The response that a client has not answered yet; there is at most one a type.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) nonce: String,
    pub(super) steps: BTreeMap<Name, Step>,
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
    pub(super) held: Holdings,
    pub(super) outstanding: Option<Outstanding>,
    /// Steps the client refused.
    pub(super) parked: BTreeMap<Name, Refusal>,
    /// Names to send whether or not the client has them already.
    pub(super) owed: BTreeSet<Name>,
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
        let subscription = &self.subscription;
        if change.wildcard_dropped {
            self.held.keep(|name| subscription.names(name));
            self.parked.retain(|name, _| subscription.names(name));
        }
        if change.wildcard_gained {
            self.held.detach(|name| subscription.names(name) && !change.gained.contains(name));
        }
        for name in &change.gained {
            self.held.drop(name);
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

    /// The client let go of `name`: a new subscription to it is answered anew.
    fn forget(&mut self, name: &Name) {
        self.held.drop(name);
        self.parked.remove(name);
        self.owed.remove(name);
        self.unsettled.remove(name);
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.steps.remove(name);
        }
    }

    /// Everything the client has or could have is looked at again.
    pub(super) fn unsettle_all(&mut self, kind: Kind, snapshot: Option<&Snapshot>) {
        self.unsettled.extend(self.held.iter(&self.subscription).map(|(name, _)| Arc::clone(name)));
        if self.subscription.wildcard() {
            self.unsettled
                .extend(snapshot.into_iter().flat_map(|snapshot| snapshot.section(kind).keys().cloned()));
        }
        self.unsettled.extend(self.subscription.all_names().iter().cloned());
    }

    /// Some resources of a new snapshot differ from the last one.
    pub(super) fn unsettle(&mut self, names: &[Name]) {
        let Self { subscription, held, unsettled, .. } = self;
        let affected = |name: &&Name| subscription.covers(name) || held.get(subscription, name).is_some();
        unsettled.extend(names.iter().filter(affected).cloned());
    }

    /// What the client has of that name.
    pub(super) fn held(&self, name: &str) -> Option<Held<'_>> {
        self.held.get(&self.subscription, name)
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.held(name).is_some()
    }

    /// Whether the client refused `name` at that version; no version is its removal.
    fn refused(&self, name: &str, version: Option<Version>) -> bool {
        self.parked.get(name).is_some_and(|refusal| refusal.version == version)
    }

    /// Shares what the client holds with all that hold the same, once nothing is under way.
    pub(super) fn settle(&mut self, kind: Kind, snapshot: &Snapshot) {
        if self.seen && self.outstanding.is_none() && self.unsettled.is_empty() {
            self.held.share(snapshot.shared_section(kind), self.parked.keys(), &self.subscription);
        }
    }

    /// Resolves the outstanding response where `nonce` is that of the newest one.
    pub(super) fn answered(&mut self, nonce: &str, refused: Option<String>) -> Event {
        let Some(outstanding) = self.outstanding.take_if(|outstanding| outstanding.nonce == nonce) else {
            return Event::Subscribed;
        };
        match refused {
            None => Event::Acknowledged { parked: self.accept(outstanding) },
            Some(reason) => Event::Refused { parked: self.refuse(outstanding, &reason), reason },
        }
    }

    /// The outstanding response was accepted: what it said is what the client has. Returns what that convicts.
    fn accept(&mut self, outstanding: Outstanding) -> Vec<Refusal> {
        for (name, step) in outstanding.steps {
            self.parked.remove(&name);
            match step {
                Some(resource) => self.held.take(name, resource),
                None => self.held.drop(&name),
            }
        }
        outstanding.trial.map(|trial| self.judge(trial.if_accepted())).unwrap_or_default()
    }

    /// The outstanding response was refused with `reason`. Returns what that convicts.
    fn refuse(&mut self, outstanding: Outstanding, reason: &str) -> Vec<Refusal> {
        if let Some(trial) = outstanding.trial {
            self.trials.extend(trial.if_refused());
        }
        let charges =
            outstanding.steps.into_iter().map(|(name, step)| (name, step.map(|resource| resource.version())));
        self.judge(trial::try_or_convict(charges.collect(), reason.into()))
    }

    fn judge(&mut self, verdict: Verdict) -> Vec<Refusal> {
        match verdict {
            Verdict::Try(trial) => {
                self.unsettled.extend(trial.names().cloned());
                self.trials.push_front(trial);
                Vec::new()
            }
            Verdict::Convict(charges, reason) => {
                let at = SystemTime::now();
                let refusal = |(name, version)| Refusal { name, version, reason: Arc::clone(&reason), at };
                let refusals: Vec<Refusal> = charges.into_iter().map(refusal).collect();
                self.parked
                    .extend(refusals.iter().map(|refusal| (Arc::clone(&refusal.name), refusal.clone())));
                refusals
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

    /// What the client kept from an earlier stream.
    pub(super) fn inherit(&mut self, versions: BTreeMap<String, String>, share: impl Fn(&str) -> Name) {
        for (name, version) in versions {
            let name = share(&name);
            self.unsettled.insert(Arc::clone(&name));
            self.held.take_foreign(name, version);
        }
    }

    /// What the client must be told about `name`, or nothing where it is up to date.
    pub(super) fn step(
        &mut self,
        protocol: Protocol,
        kind: Kind,
        name: &Name,
        snapshot: &Snapshot,
    ) -> Option<Step> {
        let target = snapshot.get(kind, name).filter(|_| self.subscription.covers(name));
        let owed = self.owed.contains(name);
        match (target, self.held(name)) {
            (Some(resource), Some(held)) if held.is(resource) => {
                self.held.take(Arc::clone(name), Arc::clone(resource));
                owed.then(|| Some(Arc::clone(resource)))
            }
            (Some(resource), _) => {
                (!self.refused(name, Some(resource.version()))).then(|| Some(Arc::clone(resource)))
            }
            (None, Some(_)) if protocol == Protocol::StateOfTheWorld && !kind.is_full_state() => {
                // Absence says nothing in a partial response; the client lets go by itself.
                self.held.drop(name);
                None
            }
            (None, Some(_)) => (!self.refused(name, None)).then_some(None),
            // "If the server does not know the resource, it says so in removed_resources", once.
            (None, None) => (owed && protocol == Protocol::Delta).then_some(None),
        }
    }

    /// The message for `steps`.
    pub(super) fn response(
        &self,
        protocol: Protocol,
        kind: Kind,
        nonce: String,
        steps: &BTreeMap<Name, Step>,
    ) -> Response {
        let sent = steps.values().flatten().map(Arc::clone);
        let resources: Vec<Arc<Resource>> = if protocol == Protocol::StateOfTheWorld && kind.is_full_state() {
            let held = self.held.iter(&self.subscription);
            let kept = held.filter(|(name, _)| !steps.contains_key(*name));
            let mut all: Vec<_> = kept.filter_map(|(_, held)| held.known().cloned()).chain(sent).collect();
            all.sort_by(|a, b| a.name().cmp(b.name()));
            all
        } else {
            sent.collect()
        };
        let removed = match protocol {
            Protocol::Delta => {
                steps.iter().filter(|(_, step)| step.is_none()).map(|(name, _)| name.clone()).collect()
            }
            Protocol::StateOfTheWorld => Vec::new(),
        };
        Response { kind, nonce, version: Version::of_list(&resources), resources, removed }
    }
}
