//! What a session knows of its client, for people and programs that ask.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};

use super::Session;
use super::holdings::Held;
use super::ledger::Ledger;
use super::message::Refusal;

/// How far a client is with one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sync {
    /// It acknowledged the newest version, or had it when it connected.
    Acknowledged,
    /// It was sent the newest version, and has not answered yet.
    Sent,
    /// The newest version waits: for another resource's acknowledgement, or for a response in flight.
    NotSent,
    /// It refused the newest version.
    Refused(Refusal),
    /// It asked for a resource that does not exist.
    Missing,
}

/// The version of a resource that a client has. Made for thousands of resources at each look, so it is text only where the
/// client itself said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldVersion {
    /// One that this stream sent, and the client acknowledged.
    Acknowledged(Version),
    /// What the client said that it had when it connected; it may be a version of another server.
    Said(String),
}

impl HeldVersion {
    /// Whether it is this version.
    #[must_use]
    pub fn is(&self, version: Version) -> bool {
        match self {
            Self::Acknowledged(held) => *held == version,
            Self::Said(text) => *text == version.to_string(),
        }
    }
}

impl fmt::Display for HeldVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(version) => version.fmt(f),
            Self::Said(text) => f.write_str(text),
        }
    }
}

/// One resource, as far as one client is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceStatus {
    /// Its name.
    pub name: Name,
    /// The newest version there is; nothing where it is gone, or never was.
    pub newest: Option<Arc<Resource>>,
    /// The version that the client has, as far as is known.
    pub acknowledged: Option<HeldVersion>,
    /// How far the client is.
    pub sync: Sync,
}

impl ResourceStatus {
    /// Whether what the client has is `resource`: the same version, or nothing where that is nothing. What is newest for
    /// whoever asks may be newer than what the session has heard of.
    #[must_use]
    pub fn has(&self, resource: Option<&Arc<Resource>>) -> bool {
        match (&self.acknowledged, resource) {
            (Some(held), Some(resource)) => held.is(resource.version()),
            (None, None) => true,
            _ => false,
        }
    }
}

/// One type, as far as one client is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeStatus {
    /// The type.
    pub kind: Kind,
    /// What the client asked for, or has, by name.
    pub resources: Vec<ResourceStatus>,
}

impl Session {
    /// Whether the client has asked for anything.
    pub(crate) fn has_asked(&self) -> bool {
        self.ledgers.iter().any(|ledger| ledger.seen)
    }

    /// What the client refused of what there is, with the types.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (Kind, &Refusal)> {
        Kind::ALL
            .into_iter()
            .flat_map(|kind| self.ledgers[kind.index()].parked.values().map(move |refusal| (kind, refusal)))
    }

    /// The snapshot of which the client has all that it asked for and did not refuse, and since when; nothing while something is
    /// under way.
    pub(crate) const fn settled(&self) -> Option<(Version, Instant)> {
        self.settled
    }

    /// How far the client is, for each type it has asked for.
    #[must_use]
    pub fn status(&self) -> Vec<TypeStatus> {
        let seen = Kind::ALL.into_iter().filter(|kind| self.ledgers[kind.index()].seen);
        seen.map(|kind| TypeStatus { kind, resources: self.resources(kind) }).collect()
    }

    fn resources(&self, kind: Kind) -> Vec<ResourceStatus> {
        let ledger = &self.ledgers[kind.index()];
        let mut names: BTreeSet<&Name> =
            ledger.held.iter(&ledger.subscription).map(|(name, _)| name).collect();
        names.extend(ledger.subscription.all_names());
        if let Some(snapshot) = self.snapshot.as_ref().filter(|_| ledger.subscription.wildcard()) {
            names.extend(snapshot.section(kind).keys());
        }
        names.into_iter().map(|name| self.resource(kind, ledger, name)).collect()
    }

    fn resource(&self, kind: Kind, ledger: &Ledger, name: &Name) -> ResourceStatus {
        let newest = self.snapshot.as_ref().and_then(|snapshot| snapshot.get(kind, name));
        let newest = newest.filter(|_| ledger.subscription.covers(name));
        let version: Option<Version> = newest.map(|resource| resource.version());
        let held = ledger.held(name);
        let sent = ledger.outstanding.as_ref().and_then(|outstanding| outstanding.steps.get(name));
        let sync = if let Some(refusal) = ledger.parked.get(name).filter(|refusal| refusal.version == version)
        {
            Sync::Refused(refusal.clone())
        } else if sent.is_some_and(|step| step.as_ref().map(|resource| resource.version()) == version) {
            Sync::Sent
        } else if sent.is_some() {
            // An older version is on its way, and will be what the client has.
            Sync::NotSent
        } else {
            match (newest, held) {
                (Some(newest), Some(held)) if held.is(newest) => Sync::Acknowledged,
                (None, None) => Sync::Missing,
                _ => Sync::NotSent,
            }
        };
        let acknowledged = held.map(|held| match held {
            Held::Known(resource) => HeldVersion::Acknowledged(resource.version()),
            Held::Foreign(version) => HeldVersion::Said(version.to_owned()),
        });
        ResourceStatus { name: Arc::clone(name), newest: newest.cloned(), acknowledged, sync }
    }
}
