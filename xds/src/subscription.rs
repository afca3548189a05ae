//! Which resources of one type a client asked for.
//!
//! The wildcard is a flag of its own: nothing is inferred from an empty set of names, which means "everything" in a
//! client's first request and "nothing" later (xDS protocol, "How the client specifies what resources to return").

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdSet;

use crate::kind::Kind;
use crate::resource::Name;

/// The special name that stands for every resource of a type.
pub(crate) const WILDCARD: &str = "*";

/// The subscription of one stream to one type.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Shared with all that ask for the same, once it is what a snapshot has.
    names: OrdSet<Name>,
    wildcard: bool,
    /// Whether a name, `*` included, was ever given: from then on an empty list means nothing.
    named: bool,
}

/// What a request changed about a subscription.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Names asked for, in delta also those that were asked for before.
    pub(crate) asked: Vec<Name>,
    /// Names no longer asked for by name.
    pub(crate) dropped: Vec<Name>,
    /// Names that nothing covered before.
    pub(crate) gained: BTreeSet<Name>,
    /// The wildcard is on, and was not before.
    pub(crate) wildcard_gained: bool,
    /// The wildcard was turned on, or asked for again.
    pub(crate) wildcard_asked: bool,
    /// The wildcard was turned off.
    pub(crate) wildcard_dropped: bool,
}

impl Subscription {
    /// Whether `name` is covered, by itself or by the wildcard.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether `name` was asked for by name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(crate) const fn wildcard(&self) -> bool {
        self.wildcard
    }

    pub(crate) const fn all_names(&self) -> &OrdSet<Name> {
        &self.names
    }

    /// Keeps `names` in place of its own, where they are the same: most clients ask for every assignment there is.
    pub(crate) fn share(&mut self, names: &OrdSet<Name>) {
        let same = !self.names.ptr_eq(names) && self.names.len() == names.len() && self.names == *names;
        if same {
            self.names = names.clone();
        }
    }

    /// State of the world: `names` is the whole of what the client wants from now on. `share` gives a name that is
    /// in memory already where there is one.
    pub(crate) fn replace(&mut self, kind: Kind, names: &[String], share: impl Fn(&str) -> Name) -> Change {
        let wildcard = kind.allows_wildcard()
            && (names.iter().any(|name| name == WILDCARD) || (names.is_empty() && !self.named));
        self.named |= !names.is_empty();
        let known = |name: &str| self.names.get(name).map_or_else(|| share(name), Arc::clone);
        let wanted: OrdSet<Name> =
            names.iter().filter(|name| is_a_name(kind, name)).map(|name| known(name)).collect();
        let asked: Vec<Name> = wanted.iter().filter(|name| !self.names.contains(*name)).cloned().collect();
        let change = Change {
            gained: if self.wildcard { BTreeSet::new() } else { asked.iter().cloned().collect() },
            asked,
            dropped: self.names.iter().filter(|name| !wanted.contains(*name)).cloned().collect(),
            wildcard_gained: wildcard && !self.wildcard,
            wildcard_asked: wildcard && !self.wildcard,
            wildcard_dropped: self.wildcard && !wildcard,
        };
        // With the same names on every ACK, as clients have them, what is shared stays so.
        if self.names != wanted {
            self.names = wanted;
        }
        self.wildcard = wildcard;
        change
    }

    /// Delta: `subscribe` is added, then `unsubscribe` is taken away. `first` is true for the first request of the
    /// type on this stream, whose empty list is the legacy wildcard. `share` is as in [`replace`](Self::replace).
    pub(crate) fn update(
        &mut self,
        kind: Kind,
        first: bool,
        subscribe: &[String],
        unsubscribe: &[String],
        share: impl Fn(&str) -> Name,
    ) -> Change {
        let mut change = Change::default();
        let before = self.wildcard;
        if kind.allows_wildcard() {
            let legacy = first && subscribe.is_empty();
            if legacy || subscribe.iter().any(|name| name == WILDCARD) {
                self.wildcard = true;
                change.wildcard_asked = true;
            }
        }
        self.named |= !subscribe.is_empty();
        for name in subscribe.iter().filter(|name| is_a_name(kind, name)) {
            let name = self.names.get(name.as_str()).map_or_else(|| share(name), Arc::clone);
            let new = !self.names.contains(&name);
            if new {
                self.names.insert(Arc::clone(&name));
            }
            if new && !before {
                change.gained.insert(Arc::clone(&name));
            }
            change.asked.push(name);
        }
        for name in unsubscribe {
            if kind.allows_wildcard() && name == WILDCARD {
                change.wildcard_dropped = std::mem::take(&mut self.wildcard);
                change.wildcard_asked = false;
            } else if let Some(name) = self.names.remove(name.as_str()) {
                change.asked.retain(|asked| *asked != name);
                change.dropped.push(name);
            } else if self.wildcard {
                // "Unsubscribing from resources": a name that the wildcard still covers is answered with its state.
                change.asked.push(share(name));
            }
        }
        change.wildcard_gained = self.wildcard && !before;
        change
    }
}

/// `*` names nothing on the types without a wildcard, and is the wildcard on the others.
fn is_a_name(kind: Kind, name: &str) -> bool {
    !(kind.allows_wildcard() && name == WILDCARD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn those_who_ask_for_the_same_share_one_list_until_one_of_them_asks_for_more() {
        let there_is = OrdSet::from_iter(["a", "b"].map(Name::from));
        let mut subscriptions = [Subscription::default(), Subscription::default()];
        for subscription in &mut subscriptions {
            subscription.update(Kind::Endpoint, true, &names(&["a", "b"]), &[], |name| name.into());
            subscription.share(&there_is);
            assert!(subscription.names.ptr_eq(&there_is));
        }
        let [one, other] = &mut subscriptions;
        one.update(Kind::Endpoint, false, &names(&["c"]), &names(&["a"]), |name| name.into());
        one.share(&there_is);
        assert!(one.covers("c") && !one.covers("a"));
        assert!(other.covers("a") && !other.covers("c"));
        other.replace(Kind::Endpoint, &names(&["b", "a"]), |name| name.into());
        assert!(other.names.ptr_eq(&there_is));
    }
}
