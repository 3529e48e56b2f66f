//! Sends writes, reads records again where the store has no conditional writes, and tries again what may work later.

use crate::error::{ErrorKind, StoreError};
use crate::host::{Host, Retry};
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{Completeness, Kind};
use crate::page::PageEnd;
use crate::plan::{Plan, PlannedAct};
use crate::snapshot::{StoreData, StoreSnapshot};
use crate::store::{
    Concurrency, IdentityStore, StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage, Write,
    WriteBatch,
};
use crate::version::{CONTENT_HASH, version_of};

use super::Outcome;

/// One write, with everything that it needs. A long member list is several.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) op: usize,
    pub(super) subject: u32,
    pub(super) id: Option<StoreId>,
    pub(super) version: Option<Version>,
    /// Not written by this plan before: its version is that of the plan.
    pub(super) fresh: bool,
    pub(super) members: Vec<StoreId>,
}

/// A write that was seen to succeed.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) id: Option<StoreId>,
    pub(super) version: Option<Version>,
}

type Sent = (Prepared, Result<Done, Outcome>);

pub(super) struct Sender<'a, S: IdentityStore + ?Sized> {
    plan: &'a Plan,
    store: &'a S,
    pub(super) capabilities: StoreCapabilities,
    retry: Retry,
    budget: u32,
    host: Host<'a>,
}

impl<'a, S: IdentityStore + ?Sized> Sender<'a, S> {
    pub(super) fn new(
        plan: &'a Plan,
        store: &'a S,
        capabilities: StoreCapabilities,
        retry: Retry,
        budget: u32,
        host: Host<'a>,
    ) -> Self {
        Self { plan, store, capabilities, retry, budget, host }
    }

    /// Sends writes that do not wait for each other; all of them come back with what is known.
    pub(super) async fn send(&mut self, writes: Vec<Prepared>) -> Vec<Sent> {
        let mut sent = Vec::with_capacity(writes.len());
        // A member list in several writes needs the version of the one before: one write per record at a time.
        let mut rounds: Vec<Vec<Prepared>> = Vec::new();
        let mut same = 0;
        for (i, write) in writes.iter().enumerate() {
            same = if i > 0 && writes[i - 1].op == write.op { same + 1 } else { 0 };
            if rounds.len() <= same {
                rounds.push(Vec::new());
            }
            rounds[same].push(write.clone());
        }
        for mut round in rounds {
            round.retain_mut(|write| {
                match sent.iter().rev().find(|(other, _): &&Sent| other.op == write.op) {
                    None => true,
                    Some((_, Ok(done))) => {
                        write.fresh = false;
                        write.version = done.version.clone();
                        true
                    }
                    // Its operation has failed already: the rest of the list must not go out unchecked (rule P7).
                    Some((_, Err(_))) => false,
                }
            });
            sent.extend(self.round(round).await);
        }
        sent
    }

    async fn round(&mut self, writes: Vec<Prepared>) -> Vec<Sent> {
        let (mut open, mut sent) = self.unchanged(writes).await;
        let mut attempt = 1;
        while !open.is_empty() {
            let mut again = Vec::new();
            let mut wait = None;
            let results = self.once(&open).await;
            for (write, result) in open.into_iter().zip(results) {
                match self.judge(&write, result, attempt).await {
                    Verdict::Done(done) => sent.push((write, Ok(done))),
                    Verdict::Out(outcome) => sent.push((write, Err(outcome))),
                    Verdict::Again(asked) => {
                        wait = wait.max(asked);
                        again.push(write);
                    }
                }
            }
            attempt += 1;
            if !again.is_empty() {
                if let Some(timer) = self.host.clock() {
                    timer.sleep(self.retry.wait(attempt, wait, timer.jitter())).await;
                }
            }
            open = again;
        }
        sent
    }

    /// Rule P7 for stores without conditional writes: reads each record again and lets through what is as planned. Between
    /// this read and the write lies a window.
    async fn unchanged(&self, writes: Vec<Prepared>) -> (Vec<Prepared>, Vec<Sent>) {
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        let by_reading = |write: &Prepared| {
            let hashed =
                write.version.as_ref().is_some_and(|version| version.as_str().starts_with(CONTENT_HASH));
            write.fresh
                && write.version.is_some()
                && (hashed || self.capabilities.concurrency == Concurrency::ReadAgain)
        };
        for write in writes.iter().filter(|write| by_reading(write)) {
            match self.plan.subject(write.subject).kind() {
                Kind::User => users.extend(write.id.clone()),
                Kind::Group => groups.extend(write.id.clone()),
            }
        }
        if users.is_empty() && groups.is_empty() {
            return (writes, Vec::new());
        }
        let found = match self.read_ids(&users, &groups).await {
            Ok(found) => found,
            Err(error) => {
                let kind = error.kind();
                let failed = |write: Prepared| {
                    let error = StoreError::new(kind, "the record could not be read again before the write");
                    (write, Err(Outcome::Failed(error)))
                };
                return (Vec::new(), writes.into_iter().map(failed).collect());
            }
        };
        let (mut open, mut sent) = (Vec::new(), Vec::new());
        for mut write in writes {
            if !by_reading(&write) {
                open.push(write);
                continue;
            }
            let kind = self.plan.subject(write.subject).kind();
            let row = write.id.as_ref().and_then(|id| record_row(&found.0, kind, id));
            match row.map(|row| version_of(&found.0, kind, row)) {
                Some(now) if Some(now.as_str()) == write.version.as_ref().map(Version::as_str) => {
                    // The store would not know what to compare.
                    write.version = None;
                    open.push(write);
                }
                Some(_) => {
                    let error = StoreError::new(
                        ErrorKind::Conflict,
                        "the record has changed since the plan was made",
                    );
                    sent.push((write, Err(Outcome::Failed(error))));
                }
                None if self.is_converged_without_record(&write) => sent.push((write, Ok(Done::default()))),
                None => {
                    let error = StoreError::new(ErrorKind::NotFound, "the record is not there any more");
                    sent.push((write, Err(Outcome::Failed(error))));
                }
            }
        }
        (open, sent)
    }

    /// Rule X2: what shall be gone is gone.
    fn is_converged_without_record(&self, write: &Prepared) -> bool {
        matches!(self.act(write), PlannedAct::Delete | PlannedAct::RemoveMembers(_))
    }

    fn act(&self, write: &Prepared) -> &'a PlannedAct {
        &self.plan.operations[write.op].act
    }

    async fn once(&self, writes: &[Prepared]) -> Vec<Option<Result<Done, StoreError>>> {
        let links: Vec<ExternalId> =
            writes.iter().map(|write| self.plan.external_id(write.subject)).collect();
        let nobody = StoreId::from("");
        let mut batch = WriteBatch::new();
        for (write, external_id) in writes.iter().zip(&links) {
            let id = write.id.as_ref().unwrap_or(&nobody);
            let version = write.version.as_ref();
            let group = self.plan.subject(write.subject).kind() == Kind::Group;
            batch.push(match self.act(write) {
                PlannedAct::Create { row, active, origin } => {
                    let attributes = self.plan.values.row(*row as usize);
                    if group {
                        Write::CreateGroup { external_id, attributes }
                    } else {
                        Write::CreateUser { external_id, attributes, active: *active, origin: *origin }
                    }
                }
                PlannedAct::Update { changes, .. } if group => Write::UpdateGroup { id, version, changes },
                PlannedAct::Update { changes, origin } => {
                    Write::UpdateUser { id, version, changes, origin: *origin }
                }
                PlannedAct::Deactivate => Write::SetActive { id, version, active: false },
                PlannedAct::Reactivate => Write::SetActive { id, version, active: true },
                PlannedAct::Delete if group => Write::DeleteGroup { id, version },
                PlannedAct::Delete => Write::DeleteUser { id, version },
                PlannedAct::AddMembers(_) => Write::AddMembers { id, version, members: &write.members },
                PlannedAct::RemoveMembers(_) => Write::RemoveMembers { id, version, members: &write.members },
            });
        }
        let result = self.store.write(&mut batch).await;
        let failed = result.err();
        batch
            .into_answers()
            .map(|answer| match (answer, &failed) {
                (Some(Ok(written)), _) => Some(Ok(Done { id: written.id, version: written.version })),
                (Some(Err(error)), _) => Some(Err(error)),
                // The error stands for all that have no answer.
                (None, Some(error)) => {
                    let mut same = StoreError::new(error.kind(), error.to_string());
                    if let Some(wait) = error.wait() {
                        same = same.retry_after(wait);
                    }
                    Some(Err(same))
                }
                (None, None) => None,
            })
            .collect()
    }

    async fn judge(
        &mut self,
        write: &Prepared,
        result: Option<Result<Done, StoreError>>,
        attempt: u32,
    ) -> Verdict {
        let act = self.act(write);
        let create = matches!(act, PlannedAct::Create { .. });
        let error = match result {
            Some(Ok(done)) if create && done.id.is_none() => return self.find_created(write, None).await,
            Some(Ok(done)) => return Verdict::Done(done),
            Some(Err(error)) => error,
            None if create => return self.find_created(write, None).await,
            None => return Verdict::Out(Outcome::Unknown),
        };
        match error.kind() {
            ErrorKind::AlreadyExists if create => self.find_created(write, Some(error)).await,
            ErrorKind::NotFound if self.is_converged_without_record(write) => Verdict::Done(Done::default()),
            // Our own write may have come through, though its answer was lost: then the version is ours.
            ErrorKind::Conflict if attempt > 1 => match self.is_as_planned(write).await {
                true => Verdict::Done(Done::default()),
                false => Verdict::Out(Outcome::Failed(error)),
            },
            ErrorKind::Transient
                if attempt < self.retry.attempts && self.budget > 0 && self.host.clock().is_some() =>
            {
                self.budget -= 1;
                if create {
                    // Perhaps it was made before the error. Who cannot tell must not make a second one (rule X4).
                    match self.read_created(write).await {
                        Ok(Some(done)) => return Verdict::Done(done),
                        Ok(None) => {}
                        Err(_) => return Verdict::Out(Outcome::Unknown),
                    }
                }
                Verdict::Again(error.wait())
            }
            _ => Verdict::Out(Outcome::Failed(error)),
        }
    }

    /// Looks a create up by its link (rule X2). Only our own link counts, never a name.
    async fn find_created(&self, write: &Prepared, error: Option<StoreError>) -> Verdict {
        match (self.read_created(write).await, error) {
            (Ok(Some(done)), _) => Verdict::Done(done),
            (_, Some(error)) => Verdict::Out(Outcome::Failed(error)),
            (_, None) => Verdict::Out(Outcome::Unknown),
        }
    }

    async fn read_created(&self, write: &Prepared) -> Result<Option<Done>, StoreError> {
        let kind = self.plan.subject(write.subject).kind();
        let links = [self.plan.external_id(write.subject)];
        let found = read(self.store, kind, StoreSelect::ExternalIds(&links)).await?;
        let issuer = found.0.issuer(&self.plan.issuer);
        let ours = found.0.records(kind).iter().find(|record| {
            found.0.links(record).any(|(by, anchor)| by == issuer && anchor == links[0].value.as_str())
        });
        Ok(ours.map(|record| Done {
            id: Some(StoreId::from(found.0.id(record))),
            version: found.0.version(record).map(Version::from),
        }))
    }

    /// Whether a record has what an update or a switch would have written.
    async fn is_as_planned(&self, write: &Prepared) -> bool {
        let kind = self.plan.subject(write.subject).kind();
        let Some(id) = write.id.clone() else { return false };
        let ids = [id];
        let Ok(found) = read(self.store, kind, StoreSelect::Ids(&ids)).await else { return false };
        let Some(row) = record_row(&found.0, kind, &ids[0]) else { return false };
        let attributes = found.0.attributes(kind, row);
        match self.act(write) {
            PlannedAct::Update { changes, origin } => {
                let same = changes.iter().all(|change| {
                    let mut held: Vec<&str> = attributes.values(&change.attribute).collect();
                    held.sort_unstable();
                    held == change.new
                });
                same && origin.is_none_or(|origin| found.0.records(kind)[row].origin == Some(origin))
            }
            PlannedAct::Deactivate => !found.0.records(kind)[row].active,
            PlannedAct::Reactivate => found.0.records(kind)[row].active,
            _ => false,
        }
    }

    async fn read_ids(&self, users: &[StoreId], groups: &[StoreId]) -> Result<StoreSnapshot, StoreError> {
        let mut builder = StoreSnapshot::builder(self.capabilities.clone());
        for (kind, ids) in [(Kind::User, users), (Kind::Group, groups)] {
            if !ids.is_empty() {
                read_into(&mut builder, self.store, kind, StoreSelect::Ids(ids)).await?;
            }
        }
        Ok(builder.finish(Completeness::Complete))
    }
}

enum Verdict {
    Done(Done),
    Out(Outcome),
    Again(Option<std::time::Duration>),
}

fn record_row(found: &StoreData, kind: Kind, id: &StoreId) -> Option<usize> {
    found.records(kind).iter().position(|record| found.id(record) == id.as_str())
}

async fn read<S: IdentityStore + ?Sized>(
    store: &S,
    kind: Kind,
    select: StoreSelect<'_>,
) -> Result<StoreSnapshot, StoreError> {
    let mut builder = StoreSnapshot::builder(store.capabilities());
    read_into(&mut builder, store, kind, select).await?;
    Ok(builder.finish(Completeness::Complete))
}

/// Reads what a selection names. A selection is small: its pages are counted, not its rows.
async fn read_into<S: IdentityStore + ?Sized>(
    builder: &mut crate::snapshot::StoreSnapshotBuilder,
    store: &S,
    kind: Kind,
    select: StoreSelect<'_>,
) -> Result<(), StoreError> {
    const MOST_PAGES: usize = 100_000;
    let too_much = || StoreError::new(ErrorKind::Permanent, "a selection has too many records");
    let mut at = None;
    for _ in 0..MOST_PAGES {
        let end = match kind {
            Kind::User => {
                let mut page = StoredUserPage::default();
                let end = store.read_users(select, at.as_ref(), &mut page).await?;
                builder.users(&page).map_err(|_| too_much())?;
                end
            }
            Kind::Group => {
                let mut page = StoredGroupPage::default();
                let end = store.read_groups(select, at.as_ref(), &mut page).await?;
                builder.groups(&page).map_err(|_| too_much())?;
                end
            }
        };
        match end {
            PageEnd::More(token) if Some(&token) != at.as_ref() => at = Some(token),
            PageEnd::More(_) => {
                return Err(StoreError::new(ErrorKind::Permanent, "the store repeats a page"));
            }
            PageEnd::Last(Completeness::Complete) => return Ok(()),
            PageEnd::Last(Completeness::Partial { .. }) => {
                return Err(StoreError::new(ErrorKind::Permanent, "a selection was not read whole"));
            }
        }
    }
    Err(too_much())
}
