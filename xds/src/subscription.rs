//! Which resources of one type a client asked for.
//!
//! The wildcard is a flag of its own: nothing is inferred from an empty set of names, which means "everything" in a
//! client's first request and "nothing" later (xDS protocol, "How the client specifies what resources to return").

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::Name;

/// The special name that stands for every resource of a type.
pub(crate) const WILDCARD: &str = "*";

/// The subscription of one stream to one type.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Shared with all that ask for the same, once it is what a snapshot has.
    names: Arc<BTreeSet<Name>>,
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

    pub(crate) fn all_names(&self) -> &BTreeSet<Name> {
        &self.names
    }

    /// Keeps `names` in place of its own, where they are the same: most clients ask for every assignment there is.
    pub(crate) fn share(&mut self, names: &Arc<BTreeSet<Name>>) {
        let same =
            !Arc::ptr_eq(&self.names, names) && self.names.len() == names.len() && self.names == *names;
        if same {
            self.names = Arc::clone(names);
        }
    }

    /// State of the world: `names` is the whole of what the client wants from now on. `share` gives a name that is
    /// in memory already where there is one.
    pub(crate) fn replace(&mut self, kind: Kind, names: &[String], share: impl Fn(&str) -> Name) -> Change {
        let wildcard = kind.allows_wildcard()
            && (names.iter().any(|name| name == WILDCARD) || (names.is_empty() && !self.named));
        self.named |= !names.is_empty();
        let known = |name: &str| self.names.get(name).map_or_else(|| share(name), Arc::clone);
        let wanted: BTreeSet<Name> =
            names.iter().filter(|name| is_a_name(kind, name)).map(|name| known(name)).collect();
        let asked: Vec<Name> = wanted.difference(&self.names).cloned().collect();
        let change = Change {
            gained: if self.wildcard { BTreeSet::new() } else { asked.iter().cloned().collect() },
            asked,
            dropped: self.names.difference(&wanted).cloned().collect(),
            wildcard_gained: wildcard && !self.wildcard,
            wildcard_asked: wildcard && !self.wildcard,
            wildcard_dropped: self.wildcard && !wildcard,
        };
        // With the same names on every ACK, as clients have them, what is shared stays so.
        if *self.names != wanted {
            self.names = Arc::new(wanted);
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
                Arc::make_mut(&mut self.names).insert(Arc::clone(&name));
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
            } else if self.names.contains(name.as_str())
                && let Some(name) = Arc::make_mut(&mut self.names).take(name.as_str())
            {
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
        let there_is = Arc::new(BTreeSet::from(["a".into(), "b".into()]));
        let mut subscriptions = [Subscription::default(), Subscription::default()];
        for subscription in &mut subscriptions {
            subscription.update(Kind::Endpoint, true, &names(&["a", "b"]), &[], |name| name.into());
            subscription.share(&there_is);
            assert!(Arc::ptr_eq(&subscription.names, &there_is));
        }
        let [one, other] = &mut subscriptions;
        one.update(Kind::Endpoint, false, &names(&["c"]), &names(&["a"]), |name| name.into());
        one.share(&there_is);
        assert!(one.covers("c") && !one.covers("a"));
        assert!(other.covers("a") && !other.covers("c"));
        other.replace(Kind::Endpoint, &names(&["b", "a"]), |name| name.into());
        assert!(Arc::ptr_eq(&other.names, &there_is));
    }
}
