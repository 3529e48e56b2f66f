//! Members: by the id inside an extended DN (Active Directory), or by looking their names up.

use std::hash::Hash;

use indexmap::map::Entry;
use indexmap::{IndexMap, IndexSet};

use super::LdapSource;
use super::connection::{Connection, Search, code};
use super::filter::{Base, Filter};
use super::server::{names, one};
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::entry::{Anchor, Draft};
use crate::adapter::directory::ids::uuid_text;
use crate::error::SourceError;
use crate::id::MatchRule;
use crate::model::MemberKind;
use crate::source::GroupRow;

/// Names looked up at once on one connection.
const AT_ONCE: usize = 32;

/// What a name or a `uid` leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Empty where the entry has none.
    anchor: String,
    kind: MemberKind,
}

/// All entries below the base, by name and by `uid`.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// `None` where two entries have names that are spelt differently and seem the same: the server has to tell them apart.
    by_name: IndexMap<DnKey, Option<Target>>,
    /// `None` where two entries claim one `uid`.
    by_uid: IndexMap<String, Option<Target>>,
}

/// The members of some groups, as far as they had to be looked up.
#[derive(Debug, Default)]
pub(super) struct Found {
    names: IndexMap<String, Option<Target>>,
    uids: IndexMap<String, Option<Target>>,
}

/// A member as the group's entry names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    Dn(String),
    Uid(String),
    /// No text: nobody can say who it is.
    Unreadable,
}

impl Target {
    pub(super) fn of(draft: &Draft) -> Self {
        let anchor = match &draft.anchor {
            Anchor::Sure(anchor) | Anchor::EntryUuid(anchor) => anchor.clone(),
            Anchor::Missing => String::new(),
        };
        Self { anchor, kind: draft.class.member_kind() }
    }

    pub(super) fn into_parts(self) -> (String, MemberKind) {
        (self.anchor, self.kind)
    }
}

/// An extended DN (MS-ADTS 3.1.1.3.4.1.5) taken apart: `<GUID=…>;<SID=…>;CN=…`.
fn extended(text: &str) -> (Option<String>, &str) {
    let (mut guid, mut rest) = (None, text);
    while let Some((part, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        if let Some(id) = part.strip_prefix("GUID=") {
            guid = uuid_text(id);
        }
        rest = after.strip_prefix(';').unwrap_or(after);
    }
    (guid, rest)
}

/// A value without the ids that the server put before a name.
pub(super) fn plain(text: &str) -> &str {
    if text.starts_with("<GUID=") || text.starts_with("<SID=") { extended(text).1 } else { text }
}

/// Whether a link still shows an object that was deleted (Samba with the recycle bin on).
fn is_deleted(dn: &str) -> bool {
    dn.contains("\\0ADEL:") && dn.contains(",CN=Deleted Objects,")
}

fn is_foreign(dn: &str) -> bool {
    dn.len() > 25
        && dn.to_ascii_lowercase().contains("foreignsecurityprincipals")
        && DnKey::parse(dn).is_some_and(|key| key.is_foreign())
}

/// Adds members to a row; `false` where one of them cannot be told.
pub(super) fn add(row: &mut GroupRow<'_>, members: &[Named], found: &Found) -> bool {
    let mut all = true;
    for member in members {
        match member {
            Named::Unreadable => all = false,
            Named::Uid(uid) => match found.uids.get(uid).and_then(Option::as_ref) {
                Some(target) if !target.anchor.is_empty() => {
                    row.member_of_kind(&target.anchor, target.kind);
                }
                _ => {
                    row.unresolved(uid, MemberKind::Unknown);
                }
            },
            Named::Dn(text) => {
                let (guid, dn) = extended(text);
                if is_deleted(dn) || text.is_empty() {
                    // Deleted, or the nobody that some directories demand in an empty group.
                    continue;
                }
                let looked_up = found.names.get(text).and_then(Option::as_ref);
                match (guid, looked_up) {
                    (Some(guid), _) => {
                        // The name tells where it lives; what it is only its own entry would.
                        let kind = if is_foreign(dn) { MemberKind::Foreign } else { MemberKind::Unknown };
                        row.member_of_kind(&guid, kind);
                    }
                    (None, Some(target)) if !target.anchor.is_empty() => {
                        row.member_of_kind(&target.anchor, target.kind);
                    }
                    // It is there and cannot be told by its anchor. Were it called a user, a look at the list would miss
                    // him and take him for removed.
                    (None, Some(Target { kind: MemberKind::User, .. })) => {
                        row.unresolved(dn, MemberKind::Unknown);
                    }
                    (None, Some(target)) => {
                        row.unresolved(dn, target.kind);
                    }
                    (None, None) => {
                        let kind = if is_foreign(dn) { MemberKind::Foreign } else { MemberKind::Unknown };
                        row.unresolved(dn, kind);
                    }
                }
            }
        }
    }
    all
}

impl LdapSource {
    /// Looks up the members that do not carry their anchor with them.
    pub(super) async fn find<'m>(
        &self,
        connection: &Connection,
        scan: Option<&Scan>,
        members: impl Iterator<Item = &'m Named>,
    ) -> Result<Found, SourceError> {
        let (mut names, mut uids) = (IndexSet::new(), IndexSet::new());
        for member in members {
            match member {
                Named::Dn(dn) if !self.anchors_by_guid() && !dn.is_empty() => {
                    names.insert(dn.as_str());
                }
                Named::Uid(uid) => {
                    uids.insert(uid.as_str());
                }
                Named::Dn(_) | Named::Unreadable => {}
            }
        }
        let mut found = Found::default();
        let mut asked = Vec::new();
        for name in names {
            match scan.and_then(|scan| scan.by_name.get(&DnKey::parse(plain(name))?)) {
                Some(Some(target)) => {
                    found.names.insert(name.to_owned(), Some(target.clone()));
                }
                // Outside the base, new since the scan, or not to be told from another.
                Some(None) | None => asked.push(name),
            }
        }
        for names in asked.chunks(AT_ONCE) {
            self.look_up(connection, names, &mut found).await?;
        }
        let mut asked = Vec::new();
        for uid in uids {
            match scan.and_then(|scan| scan.by_uid.get(&folded(uid))) {
                Some(target) => {
                    found.uids.insert(uid.to_owned(), target.clone());
                }
                None => asked.push(uid),
            }
        }
        for uids in asked.chunks(AT_ONCE) {
            self.look_up_uids(connection, uids, &mut found).await?;
        }
        Ok(found)
    }

    async fn look_up(
        &self,
        connection: &Connection,
        asked: &[&str],
        found: &mut Found,
    ) -> Result<(), SourceError> {
        let attributes = names(["objectClass", self.anchor_attribute()]);
        let search =
            |name: &&str| Search { attributes: attributes.clone(), ..one(Base::named(plain(name)), &[]) };
        let answers = connection.search_all(asked.iter().map(search).collect()).await?;
        for (&name, answer) in asked.iter().zip(answers) {
            let target = match answer.code {
                // Not there, not for this account to see, elsewhere, or no name at all: dangling (rule E9).
                code::NO_SUCH_OBJECT | code::REFERRAL | 34 | 50 => None,
                _ => {
                    let answer = answer.usable()?;
                    answer.entries.first().map(|entry| Target::of(&self.draft(entry, &mut self.names())))
                }
            };
            found.names.insert(name.to_owned(), target);
        }
        Ok(())
    }

    async fn look_up_uids(
        &self,
        connection: &Connection,
        asked: &[&str],
        found: &mut Found,
    ) -> Result<(), SourceError> {
        let any = Filter::any(asked.iter().map(|uid| Filter::equal("uid", uid)));
        let search = Search {
            filter: Filter::all([self.user_classes(), any]),
            attributes: names(["objectClass", "uid", self.anchor_attribute()]),
            // Whoever may write `uid` could claim one many times: it is then nobody's, and no error.
            most: 1_000_000,
            ..self.below_base()
        };
        let answer = connection.search(search).await?.usable()?;
        let mut by_uid = IndexMap::new();
        self.take_uids(&answer.entries, &mut by_uid);
        for uid in asked {
            let target = by_uid.get(&folded(uid)).cloned().flatten();
            found.uids.insert((*uid).to_owned(), if answer.cut().is_none() { target } else { None });
        }
        Ok(())
    }

    /// Takes in a page of a scan.
    pub(super) fn take_scanned(
        &self,
        entries: &[crate::adapter::directory::record::Record<'static>],
        scan: &mut Scan,
    ) {
        let mut names = self.names();
        for entry in entries {
            if let Some(key) = DnKey::parse(plain(&entry.dn)) {
                only_one(&mut scan.by_name, key, Target::of(&self.draft(entry, &mut names)));
            }
        }
        self.take_uids(entries, &mut scan.by_uid);
    }

    fn take_uids(
        &self,
        entries: &[crate::adapter::directory::record::Record<'static>],
        by_uid: &mut IndexMap<String, Option<Target>>,
    ) {
        let mut names = self.names();
        for entry in entries {
            let draft = self.draft(entry, &mut names);
            if !draft.class.is_user() {
                continue;
            }
            let target = Target::of(&draft);
            for uid in super::server::texts(entry, "uid") {
                only_one(by_uid, folded(uid), target.clone());
            }
        }
    }
}

/// Takes down whom a key leads to; of two who claim it, neither: a wrong guess would give somebody else's access.
fn only_one<K: Hash + Eq>(known: &mut IndexMap<K, Option<Target>>, key: K, target: Target) {
    match known.entry(key) {
        Entry::Vacant(free) => {
            free.insert(Some(target));
        }
        Entry::Occupied(mut taken) if taken.get().as_ref() != Some(&target) => {
            taken.insert(None);
        }
        Entry::Occupied(_) => {}
    }
}

fn folded(uid: &str) -> String {
    MatchRule::NfkcCasefold.fold(uid).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_name_is_taken_apart() {
        let text = "<GUID=D60F7C01-23E2-4A28-8FDB-0400B6AB3F42>;<SID=S-1-5-21-1-2-3-4>;CN=Ada\\, V,DC=x";
        let (guid, dn) = extended(text);
        assert_eq!(guid.as_deref(), Some("d60f7c01-23e2-4a28-8fdb-0400b6ab3f42"));
        assert_eq!(dn, "CN=Ada\\, V,DC=x");
        assert_eq!(plain(text), "CN=Ada\\, V,DC=x");
        assert_eq!(extended("CN=a,DC=x"), (None, "CN=a,DC=x"));
        assert_eq!(extended("<GUID=no>;CN=a"), (None, "CN=a"));
        assert_eq!(extended("<GUID=no"), (None, "<GUID=no"));
        assert_eq!(plain("<3 this club"), "<3 this club");
    }

    #[test]
    fn links_to_what_was_deleted_and_what_is_foreign_are_told_by_their_names() {
        // rule E9
        assert!(is_deleted("CN=Rea\\0ADEL:d60f7c01-23e2-4a28-8fdb-0400b6ab3f42,CN=Deleted Objects,DC=x"));
        assert!(!is_deleted("CN=model DEL:1,DC=x"));
        assert!(is_foreign("CN=S-1-5-21-9,CN=ForeignSecurityPrincipals,DC=corp,DC=com"));
        assert!(!is_foreign("CN=a,OU=ForeignSecurityPrincipals,DC=corp,DC=com"));
    }
}
