//! Members are added to groups and taken out, in requests as large as the server takes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::ScimStore;
use super::error::Fault;
use super::filter;
use super::json;
use super::ledger::LedgerEntry;
use super::options::{MemberListing, MemberRemoval};
use super::write::is_refusal;
use crate::id::{StoreId, Version};
use crate::model::Kind;
use crate::store::Written;

/// In or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

impl ScimStore {
    pub(super) async fn add_members(
        &self,
        group: &StoreId,
        version: Option<&Version>,
        members: &[StoreId],
    ) -> Result<Written, Fault> {
        self.change_members(Change::Add, group, version, members).await
    }

    pub(super) async fn remove_members(
        &self,
        group: &StoreId,
        version: Option<&Version>,
        members: &[StoreId],
    ) -> Result<Written, Fault> {
        self.change_members(Change::Remove, group, version, members).await
    }

    async fn change_members(
        &self,
        change: Change,
        group: &StoreId,
        version: Option<&Version>,
        members: &[StoreId],
    ) -> Result<Written, Fault> {
        if members.is_empty() {
            return match self.client.get(Kind::Group, group.as_str(), false).await? {
                Some(record) => Ok(Written { id: None, version: record.version.map(Version::from) }),
                None => Err(Fault::NotFound),
            };
        }
        let mut written = Written { id: None, version: version.cloned() };
        for (number, some) in members.chunks(self.client.options.member_changes).enumerate() {
            let before = written.version.clone();
            written = match self.noted(change, group, before.as_ref(), some).await {
                Err(fault) if number > 0 => return Err(by_half(fault)),
                answered => answered?,
            };
        }
        Ok(written)
    }

    /// One request, written down before and after where the server does not list members.
    async fn noted(
        &self,
        change: Change,
        group: &StoreId,
        version: Option<&Version>,
        members: &[StoreId],
    ) -> Result<Written, Fault> {
        let Some(ledger) = &self.ledger else {
            return self.request_members(change, group, version, members).await;
        };
        let before = ledger.standing(group, members).await;
        let entries = |group: StoreId, members: Vec<StoreId>| match change {
            Change::Add => [
                LedgerEntry::Adding { group: group.clone(), members: members.clone() },
                LedgerEntry::Added { group, members },
            ],
            Change::Remove => [
                LedgerEntry::Removing { group: group.clone(), members: members.clone() },
                LedgerEntry::Removed { group, members },
            ],
        };
        let [intent, done] = entries(group.clone(), members.to_vec());
        ledger.note(intent).await?;
        match self.request_members(change, group, version, members).await {
            Ok(written) => {
                // It is done: whoever takes that for a refusal would leave it alone.
                let noted = ledger.note(done).await;
                noted.map_err(|_| UNNOTED)?;
                Ok(written)
            }
            Err(fault) => {
                if let Fault::Partly { out, refused } = &fault {
                    let gone = LedgerEntry::Removed { group: group.clone(), members: out.clone() };
                    ledger.note(gone).await.map_err(|_| UNNOTED)?;
                    let refused = before.into_iter().filter(|(member, _)| refused.contains(member));
                    ledger.refused(group, refused.collect()).await.map_err(|_| UNNOTED)?;
                } else if is_refusal(&fault) {
                    ledger.refused(group, before).await?;
                }
                Err(fault)
            }
        }
    }

    async fn request_members(
        &self,
        change: Change,
        group: &StoreId,
        version: Option<&Version>,
        members: &[StoreId],
    ) -> Result<Written, Fault> {
        let operations = self.operations(change, members);
        match self.patch(Kind::Group, group, version, operations).await {
            Err(fault) if change == Change::Remove && may_be_a_member(&fault) => {
                self.remove_singly(group, version, members, fault).await
            }
            // It is said of creates that something exists; here two writes met, and the same again does no harm.
            Err(fault) if fault.status() == Some(409) => {
                Err(Fault::NoAnswer("the group was written by somebody else at the same time"))
            }
            answered => answered,
        }
    }

    /// Looks once whether the server shows whom it was told to add: one that leaves `members` out of its answers would make every
    /// group look empty, and nobody would ever be removed (rule C5).
    pub(super) async fn check_listing(&self, group: &StoreId, members: &[StoreId]) -> Result<(), Fault> {
        let listed = self.ledger.is_none() && self.client.options.members != MemberListing::NotListed;
        if !listed || members.is_empty() || self.known.lists_members.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Some servers take a moment to show what they were told.
        for pause in [0, 200, 1_000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // The addition is done, whatever becomes of this look; the next one is looked at then.
            let Ok(Some(record)) = self.client.get_object(Kind::Group, group.as_str(), true).await else {
                return Ok(());
            };
            let shown = json::members(&record)?;
            if members.iter().any(|member| shown.iter().any(|shown| shown == member.as_str())) {
                self.known.lists_members.store(true, Ordering::Relaxed);
                return Ok(());
            }
        }
        Err(Fault::Unsupported(
            "the server does not show the members of a group: declare it as MemberListing::NotListed",
        ))
    }

    /// The operations that add members, where they fit into one request.
    pub(super) fn added(&self, members: &[StoreId]) -> Option<Vec<Value>> {
        let fits = !members.is_empty() && members.len() <= self.client.options.member_changes;
        fits.then(|| self.operations(Change::Add, members))
    }

    fn operations(&self, change: Change, members: &[StoreId]) -> Vec<Value> {
        let values = || -> Value { members.iter().map(|member| json!({"value": member.as_str()})).collect() };
        match (change, self.client.options.member_removal) {
            (Change::Add, _) => vec![json!({"op": "add", "path": "members", "value": values()})],
            (Change::Remove, MemberRemoval::ByValue) => {
                vec![json!({"op": "remove", "path": "members", "value": values()})]
            }
            (Change::Remove, MemberRemoval::ByPath) => {
                let path = |member: &StoreId| format!("members[value eq {}]", filter::quote(member.as_str()));
                members.iter().map(|member| json!({"op": "remove", "path": path(member)})).collect()
            }
        }
    }

    /// A server may refuse the whole request for one who is not in the group, or not there at all. Then one by one, so that the
    /// others do not keep their access for his sake.
    async fn remove_singly(
        &self,
        group: &StoreId,
        version: Option<&Version>,
        members: &[StoreId],
        refused: Fault,
    ) -> Result<Written, Fault> {
        let Some(record) = self.client.get(Kind::Group, group.as_str(), false).await? else {
            return Err(Fault::NotFound);
        };
        if let [_] = members {
            // Out already, as far as the server's words for that are known; what else it may have against it is an error.
            let version = record.version.map(Version::from);
            return if is_out(&refused) { Ok(Written { id: None, version }) } else { Err(refused) };
        }
        let mut written = Written { id: None, version: version.cloned() };
        let (mut refusal, mut out, mut stay) = (None, Vec::new(), Vec::new());
        for member in members {
            let before = written.version.clone();
            let operations = self.operations(Change::Remove, std::slice::from_ref(member));
            match self.patch(Kind::Group, group, before.as_ref(), operations).await {
                Ok(answered) => written = answered,
                Err(fault) if is_out(&fault) => {}
                // The next one can do nothing for it.
                Err(fault) if may_be_a_member(&fault) => {
                    refusal.get_or_insert(fault);
                    stay.push(member.clone());
                    continue;
                }
                Err(fault) if out.is_empty() => return Err(fault),
                Err(fault) => return Err(by_half(fault)),
            }
            out.push(member.clone());
        }
        match refusal {
            None => Ok(written),
            Some(fault) if out.is_empty() => Err(fault),
            Some(_) => Err(Fault::Partly { out, refused: stay }),
        }
    }
}

const UNNOTED: Fault = Fault::NoAnswer("members were written, and the ledger could not be");

/// Whether a refusal may be about one of the members.
fn may_be_a_member(fault: &Fault) -> bool {
    matches!(fault.status(), Some(400 | 404 | 422))
}

/// Whether a refusal says that he who shall be removed is not there.
fn is_out(fault: &Fault) -> bool {
    match fault {
        Fault::Refused(refusal) => refusal.status == 404 || refusal.scim_type == Some("noTarget"),
        _ => false,
    }
}

/// Some were written and some were not: nobody may take that for a refusal of all (rule X1).
fn by_half(fault: Fault) -> Fault {
    match fault {
        Fault::NoAnswer(_) | Fault::Partly { .. } => fault,
        fault if fault.concerns_all() && fault.status() != Some(403) => Fault::Half(Box::new(fault)),
        _ => Fault::NoAnswer("some of the members were written, and others were refused"),
    }
}
