//! The ledger as the store uses it: what it says, and how what is uncertain becomes certain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use super::state::{Standing, State};
use super::{Ledger, LedgerEntry};
use crate::adapter::scim::client::Client;
use crate::adapter::scim::error::Fault;
use crate::adapter::scim::filter;
use crate::adapter::scim::json::Record;
use crate::adapter::scim::links::ExternalIds;
use crate::id::StoreId;
use crate::model::Kind;
use crate::page::PageEnd;

/// A ledger, and what all its entries come to.
pub(in super::super) struct Tracked {
    log: Arc<dyn Ledger>,
    state: Mutex<State>,
    /// Whether this process has written to it, so that nobody else does.
    is_ours: AtomicBool,
}

/// Memberships of one group that nobody knows of.
#[derive(Debug)]
pub(in super::super) struct Uncertain {
    pub(in super::super) group: StoreId,
    pub(in super::super) members: Vec<StoreId>,
}

impl Tracked {
    pub(in super::super) async fn open(log: Arc<dyn Ledger>) -> Result<Self, Fault> {
        let entries = log.read().await.map_err(Fault::Ledger)?;
        Ok(Self { log, state: Mutex::new(State::of(&entries)), is_ours: AtomicBool::new(false) })
    }

    /// Reads it again where somebody else may have written to it since.
    pub(in super::super) async fn catch_up(&self) -> Result<(), Fault> {
        let mut state = self.state.lock().await;
        if !self.is_ours.load(Ordering::Relaxed) {
            *state = State::of(&self.log.read().await.map_err(Fault::Ledger)?);
        }
        Ok(())
    }

    /// An error where nothing could be written down: before what is written down afterwards.
    pub(in super::super) async fn must_be_ours(&self) -> Result<(), Fault> {
        self.write(&mut *self.state.lock().await, &[]).await
    }

    /// Writes down that a group is about to be made; whether that stood there already.
    pub(in super::super) async fn announce(&self, external_id: &str) -> Result<bool, Fault> {
        let mut state = self.state.lock().await;
        let was_announced = state.making.contains(external_id);
        self.write(&mut state, &[LedgerEntry::Making { external_id: external_id.to_owned() }]).await?;
        Ok(was_announced)
    }

    /// Writes down, and counts only what is written.
    pub(in super::super) async fn note(&self, entry: LedgerEntry) -> Result<(), Fault> {
        self.write(&mut *self.state.lock().await, &[entry]).await
    }

    /// A create that was announced has not come through, and will not be taken for what is found later.
    pub(in super::super) async fn not_made(&self, external_id: &str) -> Result<(), Fault> {
        let mut state = self.state.lock().await;
        if !state.making.contains(external_id) {
            return Ok(());
        }
        let entry = LedgerEntry::NotMade { external_id: external_id.to_owned() };
        self.write(&mut state, &[entry]).await
    }

    async fn write(&self, state: &mut State, entries: &[LedgerEntry]) -> Result<(), Fault> {
        self.log.append(entries).await.map_err(Fault::Ledger)?;
        self.is_ours.store(true, Ordering::Relaxed);
        entries.iter().for_each(|entry| state.apply(entry));
        Ok(())
    }

    /// A change of members that was refused as a whole: who was certain before is what he was.
    pub(in super::super) async fn refused(
        &self,
        group: &StoreId,
        before: Vec<(StoreId, Before)>,
    ) -> Result<(), Fault> {
        let of = |wanted: Before| -> Vec<StoreId> {
            let members = before.iter().filter(|(_, was)| *was == wanted);
            members.map(|(member, _)| member.clone()).collect()
        };
        let (members, group) = (of(Before::In), group.clone());
        let was_in = LedgerEntry::Added { group: group.clone(), members };
        let was_out = LedgerEntry::Removed { group, members: of(Before::Out) };
        self.write(&mut *self.state.lock().await, &[was_in, was_out]).await
    }

    /// What is known of these members now.
    pub(in super::super) async fn standing(
        &self,
        group: &StoreId,
        members: &[StoreId],
    ) -> Vec<(StoreId, Before)> {
        let state = self.state.lock().await;
        let known = state.groups.get(group);
        let standing = |member: &StoreId| match known.and_then(|group| group.members.get(member)) {
            Some(Standing::In) => Before::In,
            Some(Standing::Adding | Standing::Removing) => Before::Unknown,
            None if known.is_some_and(|group| group.whole) => Before::Out,
            None => Before::Unknown,
        };
        members.iter().map(|member| (member.clone(), standing(member))).collect()
    }

    /// Groups that were read: one that we were making when its answer was lost is known by its external id, and has nobody.
    pub(in super::super) async fn found(&self, groups: &[Record], links: &ExternalIds) -> Result<(), Fault> {
        let mut state = self.state.lock().await;
        if state.making.is_empty() {
            return Ok(());
        }
        let made = groups.iter().filter_map(|record| {
            let external_id = links.write(record.external_id.as_ref()?)?;
            let group = StoreId::from(record.id.as_str());
            state.making.contains(&external_id).then_some(LedgerEntry::Made { external_id, group })
        });
        let made: Vec<LedgerEntry> = made.collect();
        if made.is_empty() { Ok(()) } else { self.write(&mut state, &made).await }
    }

    /// The members of a group. Who is uncertain is asked about where the server answers such questions.
    pub(in super::super) async fn members(
        &self,
        client: &Client,
        group: &StoreId,
    ) -> Result<(Vec<String>, PageEnd), Fault> {
        let uncertain = self.state.lock().await.uncertain(group);
        let mut settled = Vec::new();
        if let Some(attribute) = client.options.member_filter.as_deref().filter(|_| !uncertain.is_empty()) {
            trust(client, attribute, group).await?;
            for (member, _) in &uncertain {
                let (group, members) = (group.clone(), vec![member.clone()]);
                settled.push(match is_member(client, attribute, &group, member).await? {
                    true => LedgerEntry::Added { group, members },
                    false => LedgerEntry::Removed { group, members },
                });
            }
        }
        let mut state = self.state.lock().await;
        // Only what is still as uncertain as it was when the server was asked.
        if !settled.is_empty() && state.uncertain(group) == uncertain {
            self.write(&mut state, &settled).await?;
        }
        let Some(known) = state.groups.get(group).filter(|known| known.whole) else {
            return Ok((
                Vec::new(),
                PageEnd::partial("the ledger does not know who is in a group: rebuild it"),
            ));
        };
        let uncertain = known.members.values().filter(|standing| **standing != Standing::In).count();
        if uncertain > 0 {
            let reason = format!("{uncertain} memberships of a group are uncertain: settle them");
            return Ok((Vec::new(), PageEnd::partial(reason)));
        }
        Ok((known.members.keys().map(|member| member.as_str().to_owned()).collect(), PageEnd::COMPLETE))
    }

    /// Asks who is in a group, and writes it down.
    pub(in super::super) async fn list(
        &self,
        client: &Client,
        group: &StoreId,
        users: &[StoreId],
    ) -> Result<(), Fault> {
        let Some(attribute) = client.options.member_filter.as_deref() else {
            return Err(Fault::Unsupported("the options name no filter for members"));
        };
        trust(client, attribute, group).await?;
        let mut members = Vec::new();
        for user in users {
            if is_member(client, attribute, group, user).await? {
                members.push(user.clone());
            }
        }
        self.note(LedgerEntry::Listed { group: group.clone(), members }).await
    }

    /// All that is uncertain, group by group.
    pub(in super::super) async fn uncertain(&self) -> Vec<Uncertain> {
        let state = self.state.lock().await;
        let of_group = |group: &StoreId| {
            let members = state.uncertain(group).into_iter().map(|(member, _)| member).collect();
            Uncertain { group: group.clone(), members }
        };
        state.groups.keys().map(of_group).filter(|group| !group.members.is_empty()).collect()
    }
}

/// What was known of a membership before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Before {
    In,
    Out,
    Unknown,
}

/// Nobody has this id; a server that finds him in a group answers such questions with anything.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Whether the server really compares members.
async fn trust(client: &Client, attribute: &str, group: &StoreId) -> Result<(), Fault> {
    match is_member(client, attribute, group, &StoreId::from(NOBODY)).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Fault::Unsupported("the server does not compare members in filters")),
        // It may say that there is no such user.
        Err(fault) if matches!(fault.status(), Some(400 | 404)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

async fn is_member(
    client: &Client,
    attribute: &str,
    group: &StoreId,
    member: &StoreId,
) -> Result<bool, Fault> {
    let filter = filter::and(&filter::eq("id", group.as_str()), &filter::eq(attribute, member.as_str()));
    if !client.filters {
        return Err(Fault::Unsupported("the server has no filters"));
    }
    let found = client.find(Kind::Group, &filter, false, |record| record.id == group.as_str()).await;
    match found {
        Ok(found) => Ok(!found.is_empty()),
        // A user or group that is not there is not a member, or has none.
        Err(fault) if fault.status() == Some(404) => Ok(false),
        Err(fault) => Err(fault),
    }
}
