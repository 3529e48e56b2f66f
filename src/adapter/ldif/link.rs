//! Names to entries: DNs, `uid`s, SIDs.

use std::hash::Hash;

use indexmap::{Equivalent, IndexMap};

use crate::adapter::directory::dn::DnKey;
use crate::model::MemberKind;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Entry(u32),
    /// Several, or none.
    Nothing,
}

/// Names that lead to one entry each; one that two entries claim leads nowhere, since a wrong guess would give
/// somebody else's access.
#[derive(Debug)]
pub(super) struct Unique<K>(IndexMap<K, Found>);

impl<K> Default for Unique<K> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<K: Hash + Eq> Unique<K> {
    /// Adds a claim. `same` says whether two entries are one object.
    pub(super) fn add(&mut self, name: K, entry: u32, same: impl Fn(u32, u32) -> bool) {
        let found = self.0.entry(name).or_insert(Found::Entry(entry));
        if !matches!(*found, Found::Entry(first) if first == entry || same(first, entry)) {
            *found = Found::Nothing;
        }
    }

    pub(super) fn find<Q: ?Sized + Hash + Equivalent<K>>(&self, name: &Q) -> Option<Found> {
        self.0.get(name).copied()
    }
}

/// The DNs of all entries.
#[derive(Debug, Default)]
pub(super) struct DnIndex {
    by_key: IndexMap<DnKey, Holder>,
    /// Entries whose key another entry has too, with the number of the key.
    doubles: Vec<(usize, u32)>,
    by_text: Unique<Box<str>>,
}

#[derive(Debug)]
struct Holder {
    entry: u32,
    deleted: bool,
    unsure: bool,
}

/// Where a member's DN leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Entry(u32),
    /// No entry, or nobody knows which.
    Unresolved(MemberKind),
    /// The empty name, which some directories demand in an empty group.
    Nobody,
}

impl DnIndex {
    /// Adds an entry. A living one takes its name back from a deleted one.
    pub(super) fn add(&mut self, key: DnKey, entry: u32, deleted: bool) {
        let place = self.by_key.entry(key);
        let number = place.index();
        let holder = place.or_insert(Holder { entry, deleted, unsure: false });
        if holder.entry == entry || (deleted && !holder.deleted) {
            return;
        }
        if holder.deleted && !deleted {
            *holder = Holder { entry, deleted, unsure: false };
            return;
        }
        self.doubles.push((number, entry));
    }

    /// Looks at the names that came twice, once all entries are known. `same` says whether two entries are one object.
    pub(super) fn settle<'d>(&mut self, text: impl Fn(u32) -> &'d str, same: impl Fn(u32, u32) -> bool) {
        for (number, entry) in &self.doubles {
            let Some((_, holder)) = self.by_key.get_index_mut(*number) else { continue };
            holder.unsure |= !same(holder.entry, *entry);
            // Keys fold more than some directories do: two names with one key may still differ as they are spelled.
            self.by_text.add(text(holder.entry).into(), holder.entry, &same);
            self.by_text.add(text(*entry).into(), *entry, &same);
        }
    }

    pub(super) fn find(&self, text: &str) -> Target {
        let Some(key) = DnKey::parse(text) else { return Target::Unresolved(MemberKind::Unknown) };
        if key.is_empty() {
            return Target::Nobody;
        }
        match self.by_key.get(&key) {
            Some(holder) if !holder.unsure => Target::Entry(holder.entry),
            Some(_) => match self.by_text.find(text) {
                Some(Found::Entry(entry)) => Target::Entry(entry),
                _ => Target::Unresolved(MemberKind::Unknown),
            },
            None if key.is_foreign() => Target::Unresolved(MemberKind::Foreign),
            None => Target::Unresolved(MemberKind::Unknown),
        }
    }
}

/// The longest run of last RDNs that two domains share.
pub(super) fn shared_domain<'a>(one: &'a str, other: &str) -> &'a str {
    if one == other {
        return one;
    }
    let shared = one.rsplit(',').zip(other.rsplit(',')).take_while(|(a, b)| a == b);
    let length: usize = shared.map(|(rdn, _)| rdn.len() + 1).sum();
    one.get(one.len().saturating_sub(length.saturating_sub(1))..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_share_their_last_components() {
        assert_eq!(shared_domain("dc=a,dc=x,dc=com", "dc=b,dc=x,dc=com"), "dc=x,dc=com");
        assert_eq!(shared_domain("dc=x,dc=com", "dc=b,dc=x,dc=com"), "dc=x,dc=com");
        assert_eq!(shared_domain("dc=ax,dc=com", "dc=x,dc=com"), "dc=com");
        assert_eq!(shared_domain("dc=x,dc=com", "dc=x,dc=org"), "");
        assert_eq!(shared_domain("", "dc=x"), "");
        assert_eq!(shared_domain("dc=x", ""), "");
    }

    #[test]
    fn a_name_with_two_holders_leads_nowhere_unless_its_spelling_tells() {
        let texts = ["cn=A²,dc=x", "cn=a2,dc=x", "cn=b,dc=x", "cn=B,dc=x", "cn=c,dc=x", "cn=c,dc=x"];
        let mut index = DnIndex::default();
        for (i, text) in texts.iter().enumerate() {
            index.add(DnKey::parse(text).unwrap(), i as u32, i == 2);
        }
        index.settle(|entry| texts[entry as usize], |_, _| false);
        assert_eq!(index.find("cn=A²,dc=x"), Target::Entry(0));
        assert_eq!(index.find("cn=a2,dc=x"), Target::Entry(1));
        assert_eq!(index.find("CN=A2,dc=x"), Target::Unresolved(MemberKind::Unknown));
        // The living one has the name.
        assert_eq!(index.find("cn=b,dc=x"), Target::Entry(3));
        assert_eq!(index.find("cn=c,dc=x"), Target::Unresolved(MemberKind::Unknown));
        assert_eq!(index.find(""), Target::Nobody);
        assert_eq!(index.find("no name"), Target::Unresolved(MemberKind::Unknown));
        assert_eq!(
            index.find("cn=S-1,cn=ForeignSecurityPrincipals,dc=x"),
            Target::Unresolved(MemberKind::Foreign)
        );
    }
}
