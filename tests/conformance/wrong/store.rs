//! A store over the one in memory, with one fault.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use identity_sync::memory::{MemoryRecord, MemoryStore};
use identity_sync::testing::conformance::{BuildError, StoreBuilder, Unmanaged};
use identity_sync::{
    ErrorKind, ExternalId, IdentityStore, Kind, MatchRule, MemberPage, MembershipsOnDelete, PageEnd,
    PageToken, StoreCapabilities, StoreError, StoreId, StoreSelect, StoredGroupPage, StoredUserPage,
    WriteBatch, Written,
};

use super::store_writes::is_create;
use super::{Paging, network, page};
use crate::store::{InMemory, put};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    Pages(Paging),
    BusyForEver,
    /// Records without a link are not read.
    HidesUnmanaged,
    /// A selection is ignored.
    SelectsAll,
    /// The issuer of an external id is not looked at in a selection.
    SelectsAnyIssuer,
    /// A unique value is looked for byte for byte.
    SelectsExactly,
    /// Unique values are compared byte for byte, against what is declared.
    UniqueExactly,
    /// Unique values are compared by folding, against what is declared.
    UniqueFolded,
    /// Nobody looks whether a record's name is its own.
    OwnNameIsTaken,
    /// The issuer of an external id is not looked at in a create.
    LinksAnyIssuer,
    /// A second create is answered as done, with the record that is there.
    ExistsAsDone,
    /// Anything that is refused is answered as done.
    RefusedAsDone,
    /// A delete is answered and not done.
    DeletePretends,
    /// A delete of a user who is in a group is declared to end his memberships, and does not.
    KeepsMemberships,
    /// Ids are given again.
    ReusesIds,
    /// A deleted record's link stays taken.
    KeepsLinks,
    /// An update replaces all attributes.
    UpdateReplacesAll,
    /// A value is added to those that are there.
    UpdateAdds,
    /// What shall be cleared is left.
    ClearIsLost,
    /// Only the first attribute of an update is written.
    UpdatesFirstOnly,
    /// Adding members replaces those who are there.
    AddReplaces,
    /// Removing members removes all.
    RemoveEmpties,
    /// Members who are there make the whole item fail.
    AddRefusesThere,
    /// Only so many members of one item are written.
    MembersCut,
    /// Good members are added before a bad one makes the item fail.
    AddsHalf,
    /// An adoption takes the place of the link that is there.
    AdoptOverwrites,
    /// An adoption takes a link that another record has.
    AdoptsTwice,
    /// An adoption clears what the record has.
    AdoptClears,
    /// Versions are not compared.
    IgnoresVersion,
    /// The version before the write is answered.
    AnswersOldVersion,
    /// Versions are not read.
    HidesVersion,
    /// Who was created inactive is active.
    CreatesActive,
    /// Nobody knows who made a user inactive.
    ForgetsWho,
    /// A lock of an administrator becomes ours.
    TakesLocks,
    /// Answers stand in the wrong slots.
    SwapsAnswers,
    /// The items after one that was refused are not performed.
    StopsAtRefusal,
    /// One refused item takes back those before it, which are answered as done.
    RollsBack,
    /// Items are performed from the last to the first.
    Backwards,
    /// Only so many items of a batch are performed.
    BatchCut,
    /// Answers before it performs.
    AnswersFirst,
    /// Looks for the link, waits for the network, and creates.
    LooksThenCreates,
    /// Values are stored in lower case, against what is declared.
    Lowers,
    /// What is not ASCII is lost.
    LosesUnicode,
    /// It is another store after each start.
    ForgetsAll,
    /// What it could not see is not there.
    PartialAsComplete,
    /// Its name is another one each time.
    NewIdentityEachTime,
}

pub(crate) struct Bent {
    pub(super) inner: MemoryStore,
    pub(super) wrong: Wrong,
    busy: AtomicBool,
    partial: bool,
    /// Links of deleted records.
    pub(super) ghosts: Mutex<Vec<ExternalId>>,
    asked: AtomicUsize,
}

/// So many are written of what is cut.
pub(super) const CUT: usize = 40;

impl Bent {
    pub(super) fn is(&self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    async fn enter(&self) -> Result<(), StoreError> {
        if self.is(Wrong::BusyForEver) && self.busy.swap(true, Ordering::SeqCst) {
            return Err(StoreError::new(ErrorKind::Transient, "the connection is busy"));
        }
        network().await;
        self.busy.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn rule(&self, kind: Kind, attribute: &str) -> MatchRule {
        if self.is(Wrong::SelectsExactly) {
            return MatchRule::Exact;
        }
        self.capabilities().schema(kind, attribute).matching
    }

    fn is_selected(&self, kind: Kind, select: StoreSelect<'_>, id: &str, record: &MemoryRecord) -> bool {
        let any = self.is(Wrong::SelectsAnyIssuer);
        let same = |a: &ExternalId, b: &ExternalId| a.value == b.value && (any || a.issuer == b.issuer);
        if self.is(Wrong::HidesUnmanaged) && record.external_ids.is_empty() {
            return false;
        }
        match select {
            _ if self.is(Wrong::SelectsAll) => true,
            StoreSelect::All => true,
            StoreSelect::Ids(ids) => ids.iter().any(|wanted| wanted.as_str() == id),
            StoreSelect::ExternalIds(links) => {
                record.external_ids.iter().any(|link| links.iter().any(|wanted| same(link, wanted)))
            }
            StoreSelect::UniqueValue { attribute, value } => {
                let rule = self.rule(kind, attribute);
                let held = record.attributes.get(attribute);
                held.into_iter().flatten().any(|held| rule.key(held) == rule.key(value))
            }
            _ => false,
        }
    }

    async fn rows(
        &self,
        kind: Kind,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
    ) -> Result<(Vec<(String, MemoryRecord)>, PageEnd), StoreError> {
        self.enter().await?;
        let state = self.inner.state();
        let records = if kind == Kind::User { &state.users } else { &state.groups };
        let wanted = records.iter().filter(|(id, record)| self.is_selected(kind, select, id, record));
        let paging = if let Wrong::Pages(paging) = self.wrong { paging } else { Paging::Right };
        let hidden = usize::from(self.partial);
        let wanted = wanted.skip(hidden).map(|(id, record)| (id.clone(), record.clone()));
        let (rows, end) = page(paging, wanted, at);
        let honest = self.partial && !self.is(Wrong::PartialAsComplete);
        let end = match end {
            PageEnd::Last(_) if honest => PageEnd::partial("a shard is down"),
            end => end,
        };
        Ok((rows, end))
    }
}

#[async_trait]
impl IdentityStore for Bent {
    fn capabilities(&self) -> StoreCapabilities {
        let mut declared = InMemory::full().0;
        if self.is(Wrong::NewIdentityEachTime) {
            declared.identity = format!("app-{}", self.asked.fetch_add(1, Ordering::SeqCst));
        }
        if self.is(Wrong::UniqueFolded) {
            declared.users.values_mut().for_each(|schema| schema.matching = MatchRule::Exact);
        }
        declared
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        out: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let (rows, end) = self.rows(Kind::User, select, at).await?;
        for (id, record) in rows {
            let mut row = out.user(&id);
            row.active(record.active);
            if !self.is(Wrong::ForgetsWho) {
                row.deactivated_by(record.deactivated_by);
            }
            record.origin.map(|origin| row.origin(origin));
            if !self.is(Wrong::HidesVersion) {
                row.version(&record.version.to_string());
            }
            for link in &record.external_ids {
                row.external_id(link.issuer.as_str(), link.value.as_str());
            }
            for (name, value) in
                record.attributes.iter().flat_map(|(n, values)| values.iter().map(move |v| (n, v)))
            {
                row.attribute(name, value);
            }
        }
        Ok(end)
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        out: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        let (rows, end) = self.rows(Kind::Group, select, at).await?;
        for (id, record) in rows {
            let mut row = out.group(&id);
            row.version(&record.version.to_string());
            for link in &record.external_ids {
                row.external_id(link.issuer.as_str(), link.value.as_str());
            }
            for (name, value) in
                record.attributes.iter().flat_map(|(n, values)| values.iter().map(move |v| (n, v)))
            {
                row.attribute(name, value);
            }
            record.members.iter().for_each(|member| {
                row.member(member);
            });
        }
        Ok(end)
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        out: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        self.inner.read_members(group, at, out).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        let before = self.inner.state().clone();
        let mut answers = Vec::new();
        let mut items: Vec<_> = batch.items().collect();
        if self.is(Wrong::Backwards) {
            items.reverse();
        }
        let mut refused = false;
        for (number, item) in items.iter_mut().enumerate() {
            if self.is(Wrong::AnswersFirst) && is_create(item.write()) {
                item.answer(Ok(Written::created(format!("user-{}", number + 1))));
            }
            let rival = self.is(Wrong::LooksThenCreates) && is_create(item.write());
            let taken = rival && self.link_is_taken(item.write());
            network().await;
            if (refused && self.is(Wrong::StopsAtRefusal)) || (number >= CUT && self.is(Wrong::BatchCut)) {
                continue;
            }
            let answer = match rival && !taken {
                true => self.create_blindly(item.write()),
                false => self.perform(item.write()),
            };
            refused |= answer.is_err();
            // As soon as it is known: what was answered survives a dropped future.
            match matches!(self.wrong, Wrong::SwapsAnswers | Wrong::RollsBack) {
                true => answers.push(answer),
                false => item.answer(answer),
            }
        }
        if self.is(Wrong::SwapsAnswers) {
            let one = answers.len().min(1);
            answers.rotate_right(one);
        }
        if self.is(Wrong::RollsBack) && refused {
            *self.inner.state() = before;
        }
        for (item, answer) in items.into_iter().zip(answers) {
            item.answer(answer);
        }
        Ok(())
    }
}

/// Builds bent stores.
pub(crate) struct Builder(pub(crate) Wrong);

#[async_trait]
impl StoreBuilder for Builder {
    type Store = Bent;

    async fn empty(&self) -> Result<Bent, BuildError> {
        let mut full = InMemory::full();
        if self.0 == Wrong::UniqueExactly {
            full.0.users.values_mut().for_each(|schema| schema.matching = MatchRule::Exact);
        }
        if self.0 == Wrong::KeepsMemberships {
            full.0.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
        }
        let (busy, ghosts, asked) = (AtomicBool::new(false), Mutex::default(), AtomicUsize::new(0));
        Ok(Bent { inner: full.build(), wrong: self.0, busy, partial: false, ghosts, asked })
    }

    fn many(&self) -> usize {
        20
    }

    async fn put_unmanaged(&self, store: &Bent, record: &Unmanaged) -> Result<StoreId, BuildError> {
        Ok(put(&store.inner, record))
    }

    async fn reopen(&self, store: Bent) -> Result<Bent, BuildError> {
        if self.0 == Wrong::ForgetsAll { self.empty().await } else { Ok(store) }
    }

    async fn partial(&self, store: Bent) -> Result<Bent, BuildError> {
        Ok(Bent { partial: true, ..store })
    }
}
