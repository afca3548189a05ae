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
use super::trial::{self, Charges, Trial, Verdict};

/// Most steps of one name that are remembered as refused with others, the newest.
const MAX_DOUBTS: usize = 4;

/// One step of a client from what it has to what it shall have: a resource to take, or one to drop.
pub(super) type Step = Option<Arc<Resource>>;

/// Most bytes that are kept of a client's words.
const MAX_WORDS: usize = 4_096;

/// The first part of what a client says, however much it says.
fn cut(words: &str) -> &str {
    let end = (0..=MAX_WORDS.min(words.len())).rev().find(|end| words.is_char_boundary(*end));
    &words[..end.unwrap_or_default()]
}

/// The response that a client has not answered yet; there is at most one a type.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) nonce: String,
    pub(super) steps: BTreeMap<Name, Step>,
    /// What the client let go of since. Where it refuses the response, what is left may not be at fault; where it asks
    /// for a name again before it reads the response, it takes this in after all.
    pub(super) let_go: BTreeMap<Name, Step>,
    /// Whether it lists everything: what it does not list is gone.
    pub(super) whole: bool,
    /// Set where the response tries out a group that was refused before.
    pub(super) trial: Option<Trial>,
}

/// What became of the lists of everything that a client was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Told {
    /// None was answered. The client may have what came over an earlier stream.
    #[default]
    Nothing,
    /// It refused what it was sent, so that still holds.
    Refused,
    /// It accepted one, or would not have one that brings nothing: what it has is known.
    Everything,
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
    /// Steps that were refused together with others. Envoy takes in what is good in a response that it refuses: until
    /// such a name is accepted or at fault, it may have the one or the other.
    pub(super) doubted: BTreeMap<Name, Vec<Step>>,
    /// Whether the client brought anything along from an earlier stream.
    pub(super) resumed: bool,
    /// Names to send whether or not the client has them already.
    pub(super) owed: BTreeSet<Name>,
    pub(super) told: Told,
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
        let subscription = &self.subscription;
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

    /// The client let go of the wildcard, and of what it did not ask for by name as well.
    fn forget_all_but_named(&mut self) {
        let subscription = &self.subscription;
        self.held.keep(|name| subscription.names(name));
        let sent = self.outstanding.iter().flat_map(|outstanding| outstanding.steps.keys());
        let kept = self.parked.keys().chain(self.doubted.keys());
        let to_say = self.owed.iter().chain(&self.unsettled);
        let names: BTreeSet<Name> = sent.chain(kept).chain(to_say).cloned().collect();
        for name in names.iter().filter(|name| !self.subscription.names(name)).collect::<Vec<_>>() {
            self.forget(name);
        }
    }

    /// The client let go of `name`: a new subscription to it is answered anew.
    fn forget(&mut self, name: &Name) {
        self.held.drop(name);
        self.parked.remove(name);
        self.doubted.remove(name);
        self.owed.remove(name);
        self.unsettled.remove(name);
        if let Some(outstanding) = &mut self.outstanding
            && let Some(step) = outstanding.steps.remove(name)
        {
            outstanding.let_go.insert(Arc::clone(name), step);
        }
    }

    /// Everything the client has or could have is looked at again.
    pub(super) fn unsettle_all(&mut self, kind: Kind, snapshot: Option<&Snapshot>) {
        let mut names = std::mem::take(&mut self.unsettled);
        names.extend(self.held.iter(&self.subscription).map(|(name, _)| Arc::clone(name)));
        if self.subscription.wildcard() {
            names.extend(snapshot.into_iter().flat_map(|snapshot| snapshot.section(kind).keys().cloned()));
        }
        names.extend(self.subscription.all_names().iter().cloned());
        names.retain(|name| self.is_concerned(name, snapshot.is_some_and(|s| s.get(kind, name).is_some())));
        self.unsettled = names;
    }

    /// Whether there may be anything to say about `name`, which `exists` or does not. What came and went while the client
    /// was busy with something else is not kept.
    fn is_concerned(&self, name: &Name, exists: bool) -> bool {
        let sent = || self.outstanding.as_ref().is_some_and(|sent| sent.steps.contains_key(name));
        (exists && self.subscription.covers(name))
            || self.held(name).is_some()
            || self.owed.contains(name)
            || self.doubted.contains_key(name)
            || sent()
    }

    /// What was refused is parked until its content differs from what there is, or the client lets go of it. Where that
    /// was all the client ever heard, it now has to hear the rest, if only that it is nothing.
    pub(super) fn release_parked(&mut self, kind: Kind, snapshot: &Snapshot) {
        let newest = |name: &Name| snapshot.get(kind, name).map(|resource| resource.version());
        self.parked.retain(|name, refusal| newest(name) == refusal.version);
        let asks = self.subscription.wildcard() || !self.subscription.all_names().is_empty();
        self.whole_due = self.told == Told::Refused && self.parked.is_empty() && asks;
    }

    /// Some resources of a new snapshot differ from the last one.
    pub(super) fn unsettle(&mut self, names: &[Name], kind: Kind, snapshot: &Snapshot) {
        for name in names {
            if self.is_concerned(name, snapshot.get(kind, name).is_some()) {
                self.unsettled.insert(Arc::clone(name));
            } else {
                self.unsettled.remove(name);
            }
        }
    }

    /// What the client has of that name.
    pub(super) fn held(&self, name: &str) -> Option<Held<'_>> {
        self.held.get(&self.subscription, name)
    }

    /// Whether the client refused `name` at that version.
    pub(super) fn refused(&self, name: &str, version: Option<Version>) -> bool {
        self.parked.get(name).is_some_and(|refusal| refusal.version == version)
    }

    /// Shares what the client asks for and holds with all others that do the same, once nothing is under way.
    pub(super) fn settle(&mut self, kind: Kind, snapshot: &Snapshot) {
        if self.seen && self.outstanding.is_none() && self.unsettled.is_empty() {
            self.subscription.share(snapshot.names(kind));
            self.held.share(snapshot.section(kind), self.parked.keys(), &self.subscription);
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
        if outstanding.whole {
            (self.told, self.whole_due) = (Told::Everything, false);
            self.doubted.clear();
        }
        self.doubt_what_was_let_go(outstanding.let_go);
        for (name, step) in outstanding.steps {
            self.doubted.remove(&name);
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
        if outstanding.whole && self.told != Told::Everything {
            // A client that will not hear that there is nothing is not told again.
            let brought_nothing = outstanding.steps.is_empty() && outstanding.let_go.is_empty();
            self.told = if brought_nothing { Told::Everything } else { Told::Refused };
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
        outstanding.steps.into_iter().for_each(|(name, step)| self.doubt(name, step));
        let verdict = if outstanding.let_go.is_empty() { trial::try_or_convict } else { trial::try_again };
        self.doubt_what_was_let_go(outstanding.let_go);
        self.judge(verdict(charges, reason.into()))
    }

    /// The client may have taken this in, or not.
    fn doubt(&mut self, name: Name, step: Step) {
        let steps = self.doubted.entry(name).or_default();
        if steps.len() == MAX_DOUBTS {
            steps.remove(0);
        }
        steps.push(step);
    }

    /// The client let go of names in a response before it answered that, and asked for some of them again.
    fn doubt_what_was_let_go(&mut self, steps: BTreeMap<Name, Step>) {
        for (name, step) in steps {
            if self.subscription.covers(&name) {
                self.unsettled.insert(Arc::clone(&name));
                self.doubt(name, step);
            }
        }
    }

    fn judge(&mut self, verdict: Verdict) -> Vec<Refusal> {
        match verdict {
            Verdict::Try(trial) => {
                self.unsettled.extend(trial.names().cloned());
                self.trials.push_front(trial);
                Vec::new()
            }
            Verdict::Convict(charges, reason) => {
                let (reason, at) = (cut(&reason).into(), SystemTime::now());
                let refusal = |(name, version)| Refusal { name, version, reason: Arc::clone(&reason), at };
                let refusals: Vec<Refusal> = charges.into_iter().map(refusal).collect();
                refusals.iter().for_each(|refusal| self.park(refusal.clone()));
                refusals
            }
        }
    }

    /// A version that is at fault is not sent again as it is. A client that will not let go of something is left with it.
    fn park(&mut self, refusal: Refusal) {
        let name = Arc::clone(&refusal.name);
        if refusal.version.is_none() {
            self.held.drop(&name);
            self.doubted.remove(&name);
            return;
        }
        if let Some(steps) = self.doubted.get_mut(&name) {
            steps.retain(|step| step.as_ref().map(|resource| resource.version()) != refusal.version);
            if steps.is_empty() {
                self.doubted.remove(&name);
            }
        }
        // What is parked already is the newest: this was what stood in for it.
        self.parked.entry(name).or_insert(refusal);
    }

    /// Picks from `steps` what may go out together: first removals that were refused with something else, then what is
    /// under no suspicion, else the next group to try.
    pub(super) fn choose(
        &mut self,
        mut steps: BTreeMap<Name, Step>,
    ) -> (BTreeMap<Name, Step>, Option<Trial>) {
        self.trials.retain_mut(|trial| trial.keep(&steps));
        let again = |name: &Name| self.doubted.get(name).is_some_and(|doubts| doubts.contains(&None));
        if steps.iter().any(|(name, step)| step.is_none() && again(name)) {
            steps.retain(|name, step| step.is_none() && again(name));
            return (steps, None);
        }
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
        self.resumed = !versions.is_empty();
        for (name, version) in versions {
            let name = share(&name);
            self.unsettled.insert(Arc::clone(&name));
            self.held.take_foreign(name, cut(&version).to_owned());
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
        let doubted = self.doubted.contains_key(name);
        match (target, self.held(name)) {
            (Some(resource), Some(held)) if held.is(resource) => {
                self.held.take(Arc::clone(name), Arc::clone(resource));
                (owed || doubted).then(|| Some(Arc::clone(resource)))
            }
            (Some(resource), _) => {
                (!self.refused(name, Some(resource.version()))).then(|| Some(Arc::clone(resource)))
            }
            (None, held) if held.is_some() || doubted => Some(None),
            // "If the server does not know the resource, it says so in removed_resources", once.
            (None, _) => (owed && protocol == Protocol::Delta).then_some(None),
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
        let resources: Vec<Arc<Resource>> = if protocol.is_whole(kind) {
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
