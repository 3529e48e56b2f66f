//! The version of a record that has none: a hash of what it holds (rule P7).

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::model::Kind;
use crate::snapshot::StoreData;

/// How the hash of a record's content begins, so that it is not taken for a version of the store's.
pub(crate) const CONTENT_HASH: &str = "identity-sync-content:";

/// The record's version: the store's own, or a hash of its content. The same content gives the same hash everywhere: the
/// key is fixed, since it protects nothing.
pub(crate) fn version_of(store: &StoreData, kind: Kind, row: usize) -> String {
    let Some(record) = store.records(kind).get(row) else { return String::new() };
    if let Some(version) = store.version(record) {
        return version.to_owned();
    }
    let mut hasher = SipHasher24::new();
    hasher.write_u8(u8::from(record.active));
    hasher.write_u8(match record.origin {
        None => 0,
        Some(crate::model::Origin::Synced) => 1,
        Some(crate::model::Origin::Jit) => 2,
    });
    hasher.write_u8(u8::from(record.deactivated_by == crate::model::DeactivatedBy::Sync));
    let mut links: Vec<(&str, &str)> =
        store.links(record).map(|(issuer, anchor)| (store.issuers.text(issuer), anchor)).collect();
    let mut cells: Vec<(&str, &str)> = store.attributes(kind, row).iter().collect();
    links.sort_unstable();
    cells.sort_unstable();
    for list in [&links, &cells] {
        hasher.write_usize(list.len());
        for (name, value) in list {
            hasher.write_usize(name.len());
            hasher.write(name.as_bytes());
            hasher.write_usize(value.len());
            hasher.write(value.as_bytes());
        }
    }
    let hash = hasher.finish128();
    format!("{CONTENT_HASH}{:016x}{:016x}", hash.h1, hash.h2)
}
