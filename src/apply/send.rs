//! Sends writes, reads records again where the store has no conditional writes, and tries again what may work later.

use std::time::Duration;

use crate::error::{ErrorKind, StoreError};
use crate::host::{Host, Retry};
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{Completeness, Kind};
use crate::page::PageEnd;
use crate::plan::{Plan, PlannedAct};
use crate::snapshot::{NONE, StoreData, StoreSnapshot};
use crate::store::{
    Concurrency, IdentityStore, Members, StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage,
    Write, WriteBatch,
};
use crate::trace::{self, Step};
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

/// Users and groups that were looked up.
type Looked = (Result<StoreSnapshot, StoreError>, Result<StoreSnapshot, StoreError>);

/// A write without an outcome yet.
struct Open {
    write: Prepared,
    /// Sent before, and the answer may have been lost.
    sent: bool,
    /// The last call that perhaps failed because of it, counted from 1: it goes behind the others, since a record that ends every call
    /// that it is in must not keep them from being written (rule X1).
    blamed: usize,
}

pub(super) struct Sender<'a> {
    plan: &'a Plan,
    store: &'a dyn IdentityStore,
    pub(super) capabilities: StoreCapabilities,
    retry: Retry,
    budget: u32,
    host: Host<'a>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        store: &'a dyn IdentityStore,
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
        let mut sent = Vec::with_capacity(writes.len());
        let mut open: Vec<Open> =
            writes.into_iter().map(|write| Open { write, sent: false, blamed: 0 }).collect();
        let (mut attempt, mut calls) = (1, 0);
        while !open.is_empty() {
            calls += 1;
            let (ready, mut known) = self.check(std::mem::take(&mut open), attempt).await;
            let (answers, failed) = self.once(&ready).await;
            let has_come_further =
                failed.is_some() && answers.iter().any(|answer| matches!(answer, Some(Ok(_))));
            if has_come_further {
                attempt = 1;
            }
            let has_failed = failed.is_some();
            known.extend(self.judge_all(ready, answers, failed, (attempt, calls)).await);
            let mut wait = None;
            for (tried, verdict) in known {
                match verdict {
                    Verdict::Done(done) => sent.push((tried.write, Ok(done))),
                    Verdict::Out(outcome) => sent.push((tried.write, Err(outcome))),
                    Verdict::Again(asked) => {
                        wait = wait.max(asked);
                        open.push(tried);
                    }
                }
            }
            open.sort_by_key(|open| open.blamed);
            let untried = open.partition_point(|open| open.blamed == 0);
            if let Some(untried) = open.get_mut(..untried).filter(|_| has_failed && attempt > 1) {
                // They may stand side by side: of those that nobody has tried, the next call begins in the middle.
                untried.rotate_left(untried.len() / 2);
            }
            // What a call has come through with is no try that failed. Those in a row that come to nothing are counted, and the budget
            // ends the others.
            attempt += u32::from(!has_come_further);
            if !open.is_empty() {
                if let Some(timer) = self.host.clock() {
                    timer.sleep(self.retry.wait(attempt.max(2), wait, timer.jitter())).await;
                }
            }
        }
        sent
    }

    /// Looks at what must be known before each try: which writes may go out, and what is clear about the others already.
    ///
    /// Rule P7 for stores without conditional writes: each record is read again, and what is as planned goes out. Between
    /// this read and the write lies a window. Rule X4: a create that may have come through is looked up first.
    async fn check(&mut self, open: Vec<Open>, attempt: u32) -> (Vec<Open>, Vec<(Open, Verdict)>) {
        let users = self.read_again(Kind::User, &open, attempt).await;
        let groups = self.read_again(Kind::Group, &open, attempt).await;
        let made_users = self.look_up(Kind::User, &open, attempt).await;
        let made_groups = self.look_up(Kind::Group, &open, attempt).await;
        let (mut ready, mut known) = (Vec::with_capacity(open.len()), Vec::new());
        for next in open {
            let (found, made) = match self.plan.subject(next.write.subject).kind() {
                Kind::User => (&users, &made_users),
                Kind::Group => (&groups, &made_groups),
            };
            let verdict = match found {
                _ if self.may_be_made(&next) => match made {
                    Ok(made) => self.created(&next.write, &made.0).map(Verdict::Done),
                    Err(unread) if unread.again => Some(Verdict::Again(unread.wait)),
                    // Who cannot tell must not make a second one (rule X4).
                    Err(_) => Some(Verdict::Out(Outcome::Unknown)),
                },
                _ if !self.is_read_again(&next.write) => None,
                Ok(found) => self.compare(&next, &found.0),
                Err(unread) => Some(unread.verdict()),
            };
            match verdict {
                None => ready.push(next),
                Some(verdict) => known.push((next, verdict)),
            }
        }
        (ready, known)
    }

    /// Whether a write goes out only after its record was read, since the store would not know what to compare.
    fn is_read_again(&self, write: &Prepared) -> bool {
        let is_hash = |version: &Version| version.as_str().starts_with(CONTENT_HASH);
        let without_condition = self.capabilities.concurrency == Concurrency::ReadAgain;
        write.fresh && write.version.as_ref().is_some_and(|version| without_condition || is_hash(version))
    }

    /// Reads the records of a kind that have to be read again; nothing, where there are none.
    async fn read_again(&mut self, kind: Kind, open: &[Open], attempt: u32) -> Result<StoreSnapshot, Unread> {
        let of_kind = |write: &&Prepared| self.plan.subject(write.subject).kind() == kind;
        let writes = open.iter().map(|open| &open.write);
        let wanted = writes.filter(of_kind).filter(|write| self.is_read_again(write));
        let ids: Vec<StoreId> = wanted.filter_map(|write| write.id.clone()).collect();
        if ids.is_empty() {
            return Ok(StoreSnapshot::builder(self.capabilities.clone()).finish(Completeness::Complete));
        }
        let found = read(self.store, kind, StoreSelect::Ids(&ids)).await;
        found.map_err(|error| self.unread(&error, attempt))
    }

    fn unread(&mut self, error: &StoreError, attempt: u32) -> Unread {
        let again = error.is_transient() && self.may_try_again(attempt);
        Unread { kind: error.kind(), wait: error.wait(), again }
    }

    /// Whether a record that was read again lets its write through (`None`), or what else comes of it.
    fn compare(&self, Open { write, sent, .. }: &Open, found: &StoreData) -> Option<Verdict> {
        let kind = self.plan.subject(write.subject).kind();
        let Some(row) = write.id.as_ref().and_then(|id| record_row(found, kind, id)) else {
            if self.is_converged_without_record(write) {
                return Some(Verdict::Done(Done::default()));
            }
            let error = StoreError::new(ErrorKind::NotFound, "the record is not there any more");
            return Some(Verdict::Out(Outcome::Failed(error)));
        };
        if write.version.as_ref().map(Version::as_str) == Some(version_of(found, kind, row).as_str()) {
            return None;
        }
        // Our own write may have come through, though its answer was lost.
        if let Some(done) = self.as_planned(write, found, row).filter(|_| *sent) {
            return Some(Verdict::Done(done));
        }
        let error = StoreError::new(ErrorKind::Conflict, "the record has changed since the plan was made");
        Some(Verdict::Out(Outcome::Failed(error)))
    }

    /// Whether a record may be there already: its create was sent before, or was in a call that failed.
    fn may_be_made(&self, open: &Open) -> bool {
        open.sent && self.is_create(&open.write)
    }

    async fn look_up(&mut self, kind: Kind, open: &[Open], attempt: u32) -> Result<StoreSnapshot, Unread> {
        let sent = open.iter().filter(|open| self.may_be_made(open));
        let found = self.read_all_created(kind, sent).await;
        found.map_err(|error| self.unread(&error, attempt))
    }

    /// Reads what was made of these creates of a kind, by their links (rule X4). Nothing is read where there are none.
    async fn read_all_created<'o>(
        &self,
        kind: Kind,
        creates: impl Iterator<Item = &'o Open>,
    ) -> Result<StoreSnapshot, StoreError> {
        let of_kind = creates.filter(|open| self.plan.subject(open.write.subject).kind() == kind);
        let links: Vec<ExternalId> = of_kind.map(|open| self.plan.external_id(open.write.subject)).collect();
        if links.is_empty() {
            return Ok(StoreSnapshot::builder(self.capabilities.clone()).finish(Completeness::Complete));
        }
        read(self.store, kind, StoreSelect::ExternalIds(&links)).await
    }

    /// Takes one retry from the budget, where there is one (rule X3).
    fn may_try_again(&mut self, attempt: u32) -> bool {
        let may = attempt < self.retry.attempts && self.budget > 0 && self.host.clock().is_some();
        self.budget -= u32::from(may);
        if may {
            trace::retry(attempt + 1);
        }
        may
    }

    /// Rule X2: what shall be gone is gone.
    fn is_converged_without_record(&self, write: &Prepared) -> bool {
        matches!(self.act(write), PlannedAct::Delete | PlannedAct::RemoveMembers(_))
    }

    fn act(&self, write: &Prepared) -> &'a PlannedAct {
        &self.plan.operations[write.op].act
    }

    fn is_create(&self, write: &Prepared) -> bool {
        matches!(self.act(write), PlannedAct::Create { .. })
    }

    /// One call: the answers of the items, and why the call failed, where it did. That stands for all that have no answer.
    async fn once(&self, open: &[Open]) -> (Vec<Option<Result<Done, StoreError>>>, Option<StoreError>) {
        if open.is_empty() {
            return (Vec::new(), None);
        }
        let links: Vec<ExternalId> =
            open.iter().map(|open| self.plan.external_id(open.write.subject)).collect();
        let nobody = StoreId::from("");
        let mut batch = WriteBatch::new();
        for (Open { write, .. }, external_id) in open.iter().zip(&links) {
            let id = write.id.as_ref().unwrap_or(&nobody);
            let version = write.version.as_ref().filter(|_| !self.is_read_again(write));
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
                PlannedAct::Adopt => {
                    let kind = if group { Kind::Group } else { Kind::User };
                    Write::Adopt { kind, id, version, external_id }
                }
                PlannedAct::Deactivate => Write::SetActive { id, version, active: false },
                PlannedAct::Reactivate => Write::SetActive { id, version, active: true },
                PlannedAct::Delete if group => Write::DeleteGroup { id, version },
                PlannedAct::Delete => Write::DeleteUser { id, version },
                PlannedAct::AddMembers(_) => Write::AddMembers { id, version, members: &write.members },
                PlannedAct::RemoveMembers(_) => Write::RemoveMembers { id, version, members: &write.members },
            });
        }
        let result = trace::within(Step::Write, self.store.write(&mut batch)).await;
        let answers = batch.into_answers().map(|answer| {
            answer.map(|answer| answer.map(|written| Done { id: written.id, version: written.version }))
        });
        (answers.collect(), result.err())
    }

    /// What comes of the writes of one call. A call that fails is one failure, however many of them it leaves without an answer:
    /// most were never sent.
    async fn judge_all(
        &mut self,
        tried: Vec<Open>,
        answers: Vec<Option<Result<Done, StoreError>>>,
        failed: Option<StoreError>,
        (attempt, call): (u32, usize),
    ) -> Vec<(Open, Verdict)> {
        let silent = || {
            let pairs = tried.iter().zip(&answers);
            pairs.filter(|(_, answer)| answer.is_none()).map(|(open, _)| open)
        };
        let failed = failed.filter(|_| silent().next().is_some());
        let again = failed.as_ref().is_some_and(|error| error.is_transient()) && self.may_try_again(attempt);
        let mut made = None;
        if failed.as_ref().is_some_and(|error| error.is_transient() && !again) {
            // Perhaps some were made before the error (rule X4).
            let creates = || silent().filter(|open| self.is_create(&open.write));
            let users = self.read_all_created(Kind::User, creates()).await;
            made = Some((users, self.read_all_created(Kind::Group, creates()).await));
        }
        let mut known = Vec::with_capacity(tried.len());
        // Many stores send one after the other: then the first without an answer is where it ended.
        let mut is_first = true;
        for (open, answer) in tried.into_iter().zip(answers) {
            let is_blamed = failed.is_some() && (answer.is_some() || std::mem::take(&mut is_first));
            let blamed = if is_blamed { call } else { open.blamed };
            let verdict = match (answer, &failed, &made) {
                (None, Some(error), _) if again => Verdict::Again(error.wait()),
                (None, Some(error), Some(made)) if self.is_create(&open.write) => {
                    self.made_or_failed(&open.write, made, error)
                }
                (None, Some(error), _) => self.judge(&open, Some(Err(of_item(error))), None).await,
                (answer, ..) => self.judge(&open, answer, Some(attempt)).await,
            };
            known.push((Open { sent: true, blamed, ..open }, verdict));
        }
        known
    }

    /// What comes of a create in a call that failed for the moment, and was looked up afterwards.
    fn made_or_failed(&self, write: &Prepared, made: &Looked, error: &StoreError) -> Verdict {
        let (users, groups) = made;
        let found = match self.plan.subject(write.subject).kind() {
            Kind::User => users,
            Kind::Group => groups,
        };
        match found.as_ref().map(|found| self.created(write, &found.0)) {
            Ok(Some(done)) => Verdict::Done(done),
            Ok(None) => Verdict::Out(Outcome::Failed(of_item(error))),
            // Nobody said no, and nobody can tell.
            Err(_) => Verdict::Out(Outcome::Unknown),
        }
    }

    /// What comes of a write that was answered so; it is tried again after try number `attempt`, where there is one.
    async fn judge(
        &mut self,
        Open { write, sent, .. }: &Open,
        result: Option<Result<Done, StoreError>>,
        attempt: Option<u32>,
    ) -> Verdict {
        let create = self.is_create(write);
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
            // A record that has a link already, perhaps ours, may be answered by either.
            ErrorKind::Conflict | ErrorKind::AlreadyExists if *sent => {
                match self.read_as_planned(write).await {
                    Some(done) => Verdict::Done(done),
                    None => Verdict::Out(Outcome::Failed(error)),
                }
            }
            ErrorKind::Transient if attempt.is_some_and(|attempt| self.may_try_again(attempt)) => {
                Verdict::Again(error.wait())
            }
            // Perhaps it was made before the error (rule X4).
            ErrorKind::Transient if create => self.find_created(write, Some(error)).await,
            _ => Verdict::Out(Outcome::Failed(error)),
        }
    }

    /// Looks a create up by its link (rule X2). Only our own link counts, never a name.
    async fn find_created(&self, write: &Prepared, error: Option<StoreError>) -> Verdict {
        match (self.read_created(write).await, error) {
            (Ok(Some(done)), _) => Verdict::Done(done),
            // Nobody said no, and nobody can tell.
            (Err(_), Some(error)) if error.is_transient() => Verdict::Out(Outcome::Unknown),
            (_, Some(error)) => Verdict::Out(Outcome::Failed(error)),
            (_, None) => Verdict::Out(Outcome::Unknown),
        }
    }

    async fn read_created(&self, write: &Prepared) -> Result<Option<Done>, StoreError> {
        let kind = self.plan.subject(write.subject).kind();
        let links = [self.plan.external_id(write.subject)];
        let found = read(self.store, kind, StoreSelect::ExternalIds(&links)).await?;
        Ok(self.created(write, &found.0))
    }

    /// The record that a create has made, where it is among these.
    fn created(&self, write: &Prepared, found: &StoreData) -> Option<Done> {
        let kind = self.plan.subject(write.subject).kind();
        let link = self.plan.external_id(write.subject);
        let issuer = found.issuer(&self.plan.issuer);
        let ours = found.records(kind).iter().find(|record| {
            found.links(record).any(|(by, anchor)| by == issuer && anchor == link.value.as_str())
        });
        ours.map(|record| Done {
            id: Some(StoreId::from(found.id(record))),
            version: found.version(record).map(Version::from),
        })
    }

    async fn read_as_planned(&self, write: &Prepared) -> Option<Done> {
        let kind = self.plan.subject(write.subject).kind();
        let ids = [write.id.clone()?];
        let found = read(self.store, kind, StoreSelect::Ids(&ids)).await.ok()?;
        self.as_planned(write, &found.0, record_row(&found.0, kind, &ids[0])?)
    }

    /// The record's version, where it has what the write would have given it.
    fn as_planned(&self, write: &Prepared, found: &StoreData, row: usize) -> Option<Done> {
        let kind = self.plan.subject(write.subject).kind();
        let record = found.records(kind).get(row)?;
        // A snapshot's member lists are sorted.
        let is_member = |id: &StoreId| {
            let number = found.ids.find(id.as_str());
            number.is_some_and(|number| found.members_of(row).binary_search(&number).is_ok())
        };
        // Other stores' records do not tell who is in a group.
        let listed = found.capabilities.members == Members::WithGroups;
        let same = match self.act(write) {
            PlannedAct::Update { changes, origin } => {
                let same = changes.iter().all(|change| {
                    let mut held: Vec<&str> = found.attributes(kind, row).values(&change.attribute).collect();
                    held.sort_unstable();
                    held == change.new
                });
                same && origin.is_none_or(|origin| record.origin == Some(origin))
            }
            PlannedAct::Adopt => {
                let link = self.plan.external_id(write.subject);
                let issuer = found.issuer(&link.issuer);
                found.links(record).any(|(by, anchor)| by == issuer && anchor == link.value.as_str())
            }
            PlannedAct::Deactivate => !record.active,
            PlannedAct::Reactivate => record.active,
            PlannedAct::AddMembers(_) => listed && write.members.iter().all(is_member),
            PlannedAct::RemoveMembers(_) => listed && !write.members.iter().any(is_member),
            PlannedAct::Create { .. } | PlannedAct::Delete => false,
        };
        same.then(|| Done { id: None, version: found.version(record).map(Version::from) })
    }
}

/// The error of a write without an answer, in a call that failed. That a whole call found nothing, a wrong address perhaps, does not
/// show that any one record is gone.
fn of_item(error: &StoreError) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::NotFound => ErrorKind::Permanent,
        kind => kind,
    };
    let same = StoreError::new(kind, error.to_string());
    match error.wait() {
        Some(wait) => same.retry_after(wait),
        None => same,
    }
}

/// A record could not be read again: why, and whether that may be tried once more.
struct Unread {
    kind: ErrorKind,
    wait: Option<Duration>,
    again: bool,
}

impl Unread {
    fn verdict(&self) -> Verdict {
        if self.again {
            return Verdict::Again(self.wait);
        }
        let error = StoreError::new(self.kind, "the record could not be read again before the write");
        Verdict::Out(Outcome::Failed(error))
    }
}

enum Verdict {
    Done(Done),
    Out(Outcome),
    Again(Option<Duration>),
}

fn record_row(found: &StoreData, kind: Kind, id: &StoreId) -> Option<usize> {
    let rows = match kind {
        Kind::User => &found.user_of,
        Kind::Group => &found.group_of,
    };
    let row = *rows.get(found.ids.find(id.as_str())? as usize)?;
    (row != NONE).then_some(row as usize)
}

async fn read(
    store: &dyn IdentityStore,
    kind: Kind,
    select: StoreSelect<'_>,
) -> Result<StoreSnapshot, StoreError> {
    let mut builder = StoreSnapshot::builder(store.capabilities());
    read_into(&mut builder, store, kind, select).await?;
    Ok(builder.finish(Completeness::Complete))
}

/// Reads what a selection names. A selection is small: its pages are counted, not its rows.
async fn read_into(
    builder: &mut crate::snapshot::StoreSnapshotBuilder,
    store: &dyn IdentityStore,
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
