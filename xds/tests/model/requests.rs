//! What a client says: subscriptions derived from what it holds, answers, and what it repeats for no good reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xds_server::session::{Protocol, Request, Response, Wants};
use xds_server::{Kind, Name, Resource};

use super::{Client, Manner, Style, at};

/// The order in which one type follows from another.
const ORDER: [Kind; 6] =
    [Kind::Listener, Kind::Extension, Kind::Route, Kind::Cluster, Kind::Endpoint, Kind::Secret];

/// A client's end of one type.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) held: BTreeMap<Name, Arc<Resource>>,
    /// Names somebody asked for, beside those that follow from what the client holds.
    extra: BTreeSet<Name>,
    /// Whether it ever asked for this type, on any stream.
    started: bool,
    /// Whether it asked for this type on this stream.
    pub(super) open: bool,
    /// Whether it gave a name on this stream: from then on it must say `*` for the wildcard.
    named: bool,
    /// The names it told the server on this stream.
    told: BTreeSet<Name>,
    /// The nonces of the newest response of this stream and of the one before.
    nonce: String,
    older: String,
    /// The last nonce of the stream before.
    relic: String,
    last: Option<Request>,
}

impl Channel {
    pub(super) fn received(&mut self, nonce: &str) {
        self.older = std::mem::replace(&mut self.nonce, nonce.to_owned());
    }
}

impl Client {
    /// The names it wants, `*` apart.
    pub(super) fn wanted(&self, kind: Kind) -> BTreeSet<Name> {
        let mut names = self.derived(kind);
        names.extend(self.channels[at(kind)].extra.iter().cloned());
        names
    }

    /// On a new stream: asks for everything again.
    pub(super) fn open_all(&mut self) {
        for channel in &mut self.channels {
            (channel.open, channel.named, channel.last) = (false, false, None);
            channel.told.clear();
            channel.older.clear();
            channel.relic = std::mem::take(&mut channel.nonce);
        }
        let order = match self.manner.style {
            Style::Envoy => Kind::ALL,
            Style::Grpc => ORDER,
        };
        for kind in order {
            self.open(kind);
        }
    }

    /// The first request of a type on a stream, if there is anything to ask for.
    fn open(&mut self, kind: Kind) {
        let wildcard = self.is_wildcard(kind);
        let names = self.wanted(kind);
        let clings = self.manner.clings && self.channels[at(kind)].started;
        let empty = names.is_empty() && (kind.allows_wildcard() || !clings);
        if self.withholds(kind) || (!wildcard && empty) {
            return;
        }
        let channel = &mut self.channels[at(kind)];
        let listed = channel.listed(wildcard, &names);
        let wants = match self.manner.protocol {
            Protocol::StateOfTheWorld => Wants::Names(listed),
            Protocol::Delta => Wants::Update {
                subscribe: listed,
                unsubscribe: Vec::new(),
                initial_versions: channel.versions(),
            },
        };
        (channel.started, channel.open, channel.told) = (true, true, names);
        let nonce = if clings { channel.relic.clone() } else { String::new() };
        self.post(Request { node: None, kind, nonce, refused: None, wants });
        // A nonce of the last stream must not come again: it may be one of this stream by then.
        self.channels[at(kind)].last.iter_mut().for_each(|last| last.nonce.clear());
    }

    /// Answers `response` and subscribes to what follows from it. Until it is answered its nonce is not used.
    pub(super) fn answer(&mut self, response: &Response, refused: Option<String>, reconfigured: bool) {
        let (kind, Manner { answers_first, merges, .. }) = (response.kind, self.manner);
        if !answers_first {
            self.resume();
            for other in ORDER.into_iter().filter(|other| !merges || *other != kind) {
                self.sync(other, reconfigured);
            }
        }
        self.channels[at(kind)].received(&response.nonce);
        let change = if merges { self.change(kind) } else { None };
        self.reply(kind, refused, change);
        ORDER.into_iter().for_each(|kind| self.sync(kind, answers_first && reconfigured));
        self.resume();
    }

    fn reply(&mut self, kind: Kind, refused: Option<String>, change: Option<Wants>) {
        let channel = &self.channels[at(kind)];
        let wants = change.unwrap_or_else(|| match self.manner.protocol {
            Protocol::StateOfTheWorld => Wants::Names(channel.listed_again(self.is_wildcard(kind))),
            Protocol::Delta => nothing(),
        });
        let nonce = channel.nonce.clone();
        self.post(Request { node: None, kind, nonce, refused, wants });
    }

    /// Tells the server what changed about the names of `kind`. State of the world: Envoy says it again after its
    /// clusters changed, even where no name did.
    fn sync(&mut self, kind: Kind, reconfigured: bool) {
        if !self.channels[at(kind)].open {
            if !self.wanted(kind).is_empty() || (kind == Kind::Cluster && self.channels[at(kind)].started) {
                self.open(kind);
            }
            return;
        }
        let sotw = self.manner.protocol == Protocol::StateOfTheWorld;
        let again = sotw && kind == Kind::Endpoint && reconfigured;
        match self.change(kind) {
            Some(wants) => {
                let nonce = if sotw { self.channels[at(kind)].nonce.clone() } else { String::new() };
                self.post(Request { node: None, kind, nonce, refused: None, wants });
            }
            None if again => self.reply(kind, None, None),
            None => {}
        }
    }

    /// What to tell the server about the names of `kind`, which are then told. Lets go of what is not wanted any more.
    fn change(&mut self, kind: Kind) -> Option<Wants> {
        let wildcard = self.is_wildcard(kind);
        let names = self.wanted(kind);
        let protocol = self.manner.protocol;
        let channel = &mut self.channels[at(kind)];
        if !wildcard {
            channel.held.retain(|name, _| names.contains(name));
        }
        if !channel.open || names == channel.told {
            return None;
        }
        let old = std::mem::replace(&mut channel.told, names.clone());
        channel.named |= !names.is_empty();
        let strings = |names: Vec<&Name>| names.into_iter().map(|name| name.to_string()).collect();
        Some(match protocol {
            Protocol::StateOfTheWorld => Wants::Names(channel.listed(wildcard, &names)),
            Protocol::Delta => Wants::Update {
                subscribe: strings(names.difference(&old).collect()),
                unsubscribe: strings(old.difference(&names).collect()),
                initial_versions: BTreeMap::new(),
            },
        })
    }

    fn post(&mut self, request: Request) {
        self.channels[at(request.kind)].last = Some(request.clone());
        if self.withholds(request.kind) { self.withheld.push(request) } else { self.outbox.push(request) }
    }

    /// All clusters are warm: what was withheld goes out.
    pub(super) fn resume(&mut self) {
        if !self.withholds(Kind::Cluster) {
            self.outbox.append(&mut self.withheld);
            self.sync(Kind::Cluster, false);
        }
    }

    /// Somebody wants one more name, or no longer wants it. Routes without a listener only where a server can say that
    /// they are gone: one that is kept for ever in state of the world is nobody's.
    pub fn ask(&mut self, kind: Kind, name: &str, wanted: bool) {
        if kind == Kind::Route && self.manner.protocol == Protocol::StateOfTheWorld {
            return;
        }
        let extra = &mut self.channels[at(kind)].extra;
        if wanted {
            extra.insert(name.into())
        } else {
            extra.remove(name)
        };
        ORDER.into_iter().for_each(|kind| self.sync(kind, false));
    }

    /// Says once more what it said last about `kind`.
    pub fn repeat(&mut self, kind: Kind) {
        if let Some(request) = self.channels[at(kind)].last.clone() {
            self.post(request);
        }
    }

    /// Says what it wants of `kind` once more, with a nonce that is not the newest; `refused` if it refuses with it.
    pub fn stale(&mut self, kind: Kind, refused: bool) {
        let channel = &self.channels[at(kind)];
        if !channel.open || channel.older == channel.nonce {
            return;
        }
        let wants = match self.manner.protocol {
            Protocol::StateOfTheWorld => Wants::Names(channel.listed_again(self.is_wildcard(kind))),
            Protocol::Delta => nothing(),
        };
        let nonce = channel.older.clone();
        self.post(Request { node: None, kind, nonce, refused: refused.then(|| "stale".to_owned()), wants });
    }

    /// Says again, with the newest nonce, what it last answered.
    pub fn acknowledge_again(&mut self, kind: Kind) {
        if self.channels[at(kind)].open {
            self.reply(kind, None, None);
        }
    }
}

impl Channel {
    /// `names` as a request lists them.
    fn listed(&mut self, wildcard: bool, names: &BTreeSet<Name>) -> Vec<String> {
        self.named |= !names.is_empty();
        let star = (wildcard && self.named).then(|| "*".to_owned());
        star.into_iter().chain(names.iter().map(|name| name.to_string())).collect()
    }

    /// The names that were told, as a request lists them.
    fn listed_again(&self, wildcard: bool) -> Vec<String> {
        let star = (wildcard && self.named).then(|| "*".to_owned());
        star.into_iter().chain(self.told.iter().map(|name| name.to_string())).collect()
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.held.values().map(|held| (held.name().to_string(), held.version().to_string())).collect()
    }
}

const fn nothing() -> Wants {
    Wants::Update { subscribe: Vec::new(), unsubscribe: Vec::new(), initial_versions: BTreeMap::new() }
}
