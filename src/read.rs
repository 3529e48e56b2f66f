//! Reads both sides, page by page, into snapshots (rules C1, C5). Transient errors are tried again, page by page.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use indexmap::IndexSet;
use thiserror::Error;

use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::AdapterError;
use crate::host::{Event, Host, Reading, Retry};
use crate::id::{Issuer, SourceAnchor};
use crate::model::{Completeness, Kind, MemberKind, Principal};
use crate::options::{Nesting, Options};
use crate::page::{PageEnd, PageToken};
use crate::snapshot::{
    Assignments, LimitExceeded, MemberPages, SourceSnapshot, SourceSnapshotBuilder, StoreSnapshot, within,
};
use crate::source::{Asked, DirectorySource, Generation, GroupPage, Read, Select, UserPage};
use crate::store::{IdentityStore, MemberPage, Members, StoreSelect, StoredGroupPage, StoredUserPage};
use crate::trace;

/// Why a side could not be read. There is no plan then (rule C1).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The adapter failed.
    #[error("reading {what} failed")]
    Adapter {
        /// What was being read.
        what: &'static str,
        /// The adapter's error.
        source: AdapterError,
    },
    /// The adapter gave the same page token twice: the read would never end.
    #[error("reading {what} repeats a page")]
    RepeatedPage {
        /// What was being read.
        what: &'static str,
    },
    /// There is more than the bounds allow (rule S1).
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// The host asked to stop.
    #[error("cancelled while reading")]
    Cancelled,
    /// Reading takes longer than the host allows (see [`Host::read_deadline`]).
    #[error("the time for reading was over while reading {what}")]
    DeadlineExceeded {
        /// What was being read.
        what: &'static str,
    },
}

/// Reads, but no longer than the host allows. What has not come by then is dropped.
pub(crate) async fn in_time<'h, T, R>(
    host: Host<'h>,
    reading: &'h Reading,
    read: impl FnOnce(Host<'h>) -> R,
) -> Result<T, ReadError>
where
    R: Future<Output = Result<T, ReadError>>,
{
    let Some((timer, most)) = host.deadline() else { return read(host).await };
    let (mut read, mut end) = (pin!(read(host.noting(reading))), timer.sleep(most));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => {
            let over = |()| Err(ReadError::DeadlineExceeded { what: reading.what() });
            end.as_mut().poll(context).map(over)
        }
    })
    .await
}

/// One read: its pages, its tries, its end.
pub(crate) struct Pages<'h> {
    what: &'static str,
    host: &'h Host<'h>,
    pub(crate) at: Option<PageToken>,
    seen: BTreeSet<PageToken>,
    /// Pages that may still come, this one included.
    left: usize,
    most: usize,
    attempt: u32,
    rows: usize,
    trace: trace::Read,
}

impl<'h> Pages<'h> {
    pub(crate) fn new(what: &'static str, options: &Options, host: &'h Host<'h>) -> Self {
        let most = options.limits.pages;
        host.reads(what);
        Self {
            what,
            host,
            at: None,
            seen: BTreeSet::new(),
            left: most,
            most,
            attempt: 1,
            rows: 0,
            trace: trace::Read::start(what),
        }
    }

    /// Whether the read is over; `Err` if it can never be.
    ///
    /// The page had so many rows and so many bytes of text.
    pub(crate) async fn end(
        &mut self,
        end: PageEnd,
        (rows, bytes): (usize, usize),
    ) -> Result<Option<Completeness>, ReadError> {
        self.trace.page(rows, bytes);
        self.rows += rows;
        self.attempt = 1;
        self.host.tell(Event::Read { what: self.what, rows: self.rows });
        self.host.give_way().await;
        match end {
            PageEnd::Last(completeness) => {
                self.trace.end(completeness.is_complete());
                Ok(Some(completeness))
            }
            PageEnd::More(token) => {
                if !self.seen.insert(token.clone()) {
                    return Err(ReadError::RepeatedPage { what: self.what });
                }
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    return Err(LimitExceeded { what: "pages in one read", limit: self.most }.into());
                }
                if self.host.is_cancelled() {
                    return Err(ReadError::Cancelled);
                }
                self.at = Some(token);
                Ok(None)
            }
        }
    }

    /// Waits and lets the caller try the page again, where that may help.
    pub(crate) async fn again(&mut self, error: AdapterError) -> Result<(), ReadError> {
        let retry = Retry::default();
        match self.host.clock() {
            Some(timer) if error.is_transient() && self.attempt < retry.attempts => {
                self.attempt += 1;
                self.trace.again(self.attempt, error.kind());
                timer.sleep(retry.wait(self.attempt, error.wait(), timer.jitter())).await;
                Ok(())
            }
            _ => {
                self.trace.failed(error.kind());
                Err(ReadError::Adapter { what: self.what, source: error })
            }
        }
    }
}

/// Reads all assignments.
pub(crate) async fn read_assignments(
    set: &dyn AssignmentSet,
    options: &Options,
    host: &Host<'_>,
) -> Result<Assignments, ReadError> {
    let mut pages = Pages::new("assignments", options, host);
    let mut page = AssignmentPage::default();
    let mut principals = Vec::new();
    loop {
        page.clear();
        match set.read_assignments(pages.at.as_ref(), &mut page).await {
            Ok(end) => {
                within(principals.len() + page.principals().len(), options.limits.objects, "assignments")?;
                principals.extend_from_slice(page.principals());
                if let Some(read) = pages.end(end, page.size()).await? {
                    return Ok(Assignments { read, principals });
                }
            }
            Err(error) => pages.again(error).await?,
        }
    }
}

/// Reads the whole store.
pub(crate) async fn read_store(
    store: &dyn IdentityStore,
    issuer: &Issuer,
    options: &Options,
    host: &Host<'_>,
) -> Result<(StoreSnapshot, Vec<(SourceAnchor, Kind)>), ReadError> {
    let capabilities = store.capabilities();
    let members = capabilities.members;
    let mut builder = StoreSnapshot::builder(capabilities).limits(options.limits).only_mapped(options);
    let mut read = Completeness::Complete;
    let mut pages = Pages::new("store users", options, host);
    let mut page = StoredUserPage::default();
    let users = loop {
        page.clear();
        match store.read_users(StoreSelect::All, pages.at.as_ref(), &mut page).await {
            Ok(end) => {
                builder.users(&page)?;
                if let Some(end) = pages.end(end, page.size()).await? {
                    break end;
                }
            }
            Err(error) => pages.again(error).await?,
        }
    };
    let mut pages = Pages::new("store groups", options, host);
    let mut page = StoredGroupPage::default();
    let groups = loop {
        page.clear();
        match store.read_groups(StoreSelect::All, pages.at.as_ref(), &mut page).await {
            Ok(end) => {
                builder.groups(&page)?;
                if let Some(end) = pages.end(end, page.size()).await? {
                    break end;
                }
            }
            Err(error) => pages.again(error).await?,
        }
    };
    for end in [users, groups] {
        if !end.is_complete() {
            read = end;
        }
    }
    if members == Members::PerGroup {
        let (mut lists, mut total) = (Vec::new(), 0);
        // A group without a link may become ours in this run (rule M3).
        let also_unlinked = !options.soft_match.groups.is_empty();
        for group in builder.listed_groups(issuer, also_unlinked) {
            let mut list = MemberPages::default();
            if let Some(group) = group {
                let mut pages = Pages::new("store members", options, host);
                let mut page = MemberPage::default();
                loop {
                    page.clear();
                    match store.read_members(&group, pages.at.as_ref(), &mut page).await {
                        Ok(end) => {
                            total += page.0.len();
                            within(total, options.limits.edges, "memberships in the store")?;
                            list.extend(&page);
                            if let Some(end) = pages.end(end, (1, page.0.text_bytes())).await? {
                                if !end.is_complete() {
                                    read = end;
                                }
                                break;
                            }
                        }
                        Err(error) => pages.again(error).await?,
                    }
                }
            }
            lists.push(list);
        }
        builder.member_lists(&lists)?;
    }
    let linked = builder.linked_anchors(issuer);
    Ok((builder.finish(read), linked))
}

/// Reads the directory: only what is assigned, below that, or linked, where the source can select by anchor; all of it
/// where it cannot. Both give the same operations.
pub(crate) async fn read_source(
    source: &dyn DirectorySource,
    assignments: &Assignments,
    linked: &[(SourceAnchor, Kind)],
    issuer: &Issuer,
    options: &Options,
    host: &Host<'_>,
) -> Result<SourceSnapshot, ReadError> {
    let capabilities = source.capabilities();
    let most = capabilities.select.map(std::num::NonZeroUsize::get);
    let mut builder =
        SourceSnapshot::builder(source.identity(), capabilities).limits(options.limits).only_mapped(options);
    builder.generation(read_generation(source, options, host).await?);
    let Some(most) = most else {
        let users = read_users(source, &mut builder, Select::All, options, host).await?;
        builder.users_end(users);
        let groups = read_groups(source, &mut builder, Select::All, options, host).await?;
        builder.groups_end(groups);
        return Ok(builder.finish());
    };
    builder.scoped();
    let assigned = assignments.principals.iter().filter_map(|principal| match principal {
        Principal::External(id) if id.issuer == *issuer => Some((id.value.clone(), None)),
        _ => None,
    });
    let linked = linked.iter().map(|(anchor, kind)| {
        let kind = if *kind == Kind::User { MemberKind::User } else { MemberKind::Group };
        (anchor.clone(), Some(kind))
    });
    let mut level: Vec<(SourceAnchor, Option<MemberKind>)> = assigned.chain(linked).collect();
    let (mut users_read, mut groups_read) = (Completeness::Complete, Completeness::Complete);
    let mut asked: BTreeSet<SourceAnchor> = BTreeSet::new();
    let mut depth = 0;
    while !level.is_empty() {
        let before = builder.members();
        let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for (anchor, kind) in &level {
            asked.insert(anchor.clone());
            if *kind != Some(MemberKind::Group) {
                users.insert(anchor.clone());
            }
            if *kind != Some(MemberKind::User) {
                groups.insert(anchor.clone());
            }
        }
        select(source, &mut builder, Kind::User, &users, most, &mut users_read, options, host).await?;
        select(source, &mut builder, Kind::Group, &groups, most, &mut groups_read, options, host).await?;
        // Whoever is not what the list or the link says is looked for among the others.
        let missing = |kind: Kind,
                       of: &BTreeSet<SourceAnchor>,
                       also: &BTreeSet<SourceAnchor>|
         -> BTreeSet<SourceAnchor> {
            of.iter().filter(|a| !also.contains(*a) && !builder.has_row(kind, a.as_str())).cloned().collect()
        };
        let (others, strays) = (missing(Kind::User, &users, &groups), missing(Kind::Group, &groups, &users));
        select(source, &mut builder, Kind::Group, &others, most, &mut groups_read, options, host).await?;
        select(source, &mut builder, Kind::User, &strays, most, &mut users_read, options, host).await?;
        depth += 1;
        if depth > 1 && options.nesting == Nesting::DirectOnly {
            break;
        }
        level = builder
            .members_since(before)
            .filter(|(_, kind)| !matches!(kind, Some(MemberKind::Other)))
            .map(|(anchor, kind)| (SourceAnchor::from(anchor), kind))
            .filter(|(anchor, _)| !asked.contains(anchor))
            .collect();
        level.sort_unstable();
        level.dedup_by(|a, b| a.0 == b.0);
    }
    // Canaries last, and nothing below them: they need only be there (rule C6).
    let unseen = |kind, named: &IndexSet<SourceAnchor>| -> BTreeSet<SourceAnchor> {
        named.iter().filter(|anchor| !builder.has_row(kind, anchor.as_str())).cloned().collect()
    };
    let (users, groups) =
        (unseen(Kind::User, &options.canaries.users), unseen(Kind::Group, &options.canaries.groups));
    select(source, &mut builder, Kind::User, &users, most, &mut users_read, options, host).await?;
    select(source, &mut builder, Kind::Group, &groups, most, &mut groups_read, options, host).await?;
    builder.users_end(users_read);
    builder.groups_end(groups_read);
    Ok(builder.finish())
}

async fn read_generation(
    source: &dyn DirectorySource,
    options: &Options,
    host: &Host<'_>,
) -> Result<Option<Generation>, ReadError> {
    let mut pages = Pages::new("source generation", options, host);
    loop {
        match source.generation().await {
            Ok(generation) => return Ok(generation),
            Err(error) => pages.again(error).await?,
        }
    }
}

/// Reads some anchors of one kind, in batches that the source can take.
#[expect(clippy::too_many_arguments, reason = "a step of `read_source` that needs most of what it has")]
async fn select(
    source: &dyn DirectorySource,
    builder: &mut SourceSnapshotBuilder,
    kind: Kind,
    anchors: &BTreeSet<SourceAnchor>,
    most: usize,
    read: &mut Completeness,
    options: &Options,
    host: &Host<'_>,
) -> Result<(), ReadError> {
    let anchors: Vec<SourceAnchor> = anchors.iter().cloned().collect();
    for batch in anchors.chunks(most) {
        let end = match kind {
            Kind::User => read_users(source, builder, Select::Anchors(batch), options, host).await?,
            Kind::Group => read_groups(source, builder, Select::Anchors(batch), options, host).await?,
        };
        if !end.is_complete() {
            *read = end;
        }
    }
    Ok(())
}

pub(crate) async fn read_users(
    source: &dyn DirectorySource,
    builder: &mut SourceSnapshotBuilder,
    select: Select<'_>,
    options: &Options,
    host: &Host<'_>,
) -> Result<Completeness, ReadError> {
    let mut pages = Pages::new("source users", options, host);
    let mut page = UserPage::with_limits(options.limits);
    loop {
        page.clear();
        match source.read_users(Read::new(select, pages.at.as_ref()), &mut page).await {
            Ok(end) => {
                builder.users(&page)?;
                if let Some(end) = pages.end(end, page.size()).await? {
                    return Ok(end);
                }
            }
            Err(error) => pages.again(error).await?,
        }
    }
}

async fn read_groups(
    source: &dyn DirectorySource,
    builder: &mut SourceSnapshotBuilder,
    select: Select<'_>,
    options: &Options,
    host: &Host<'_>,
) -> Result<Completeness, ReadError> {
    let mut pages = Pages::new("source groups", options, host);
    let mut page = GroupPage::with_limits(options.limits);
    loop {
        page.clear();
        match source.read_groups(Read::new(select, pages.at.as_ref()), &mut page).await {
            Ok(end) => {
                builder.groups(&page)?;
                if let Some(end) = pages.end(end, page.size()).await? {
                    return Ok(end);
                }
            }
            Err(error) => pages.again(error).await?,
        }
    }
}

/// Asks the source about anchors, in batches (rule C3).
pub(crate) async fn ask(
    source: &dyn DirectorySource,
    snapshot: SourceSnapshot,
    anchors: &[SourceAnchor],
    options: &Options,
    host: &Host<'_>,
) -> Result<SourceSnapshot, ReadError> {
    const BATCH: usize = 1_000;
    let mut snapshot = snapshot;
    for batch in anchors.chunks(BATCH) {
        let mut pages = Pages::new("look-ups", options, host);
        let asked = loop {
            let mut asked = Asked::new(batch);
            match source.existence(&mut asked).await {
                Ok(()) => {
                    host.give_way().await;
                    break asked;
                }
                Err(error) => pages.again(error).await?,
            }
        };
        snapshot = snapshot.with_existence(asked.answers());
    }
    Ok(snapshot)
}
