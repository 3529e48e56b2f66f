//! A store over the one in memory, with one fault.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use identity_sync::memory::{MemoryRecord, MemoryState, MemoryStore};
use identity_sync::testing::conformance::{BuildError, StoreBuilder, Unmanaged};
use identity_sync::{
    ErrorKind, ExternalId, IdentityStore, Kind, MatchRule, MemberPage, Members, MembershipsOnDelete, PageEnd,
    PageToken, StoreCapabilities, StoreError, StoreId, StoreSelect, StoredGroupPage, StoredUserPage,
    WriteBatch, Written,
};

use super::store_faults::Wrong;
use super::store_writes::is_create;
use super::{Cursor, Paging, network, page};
use crate::store::{InMemory, put};

pub(crate) struct Bent {
    pub(super) inner: MemoryStore,
    pub(super) wrong: Wrong,
    busy: AtomicBool,
    partial: bool,
    /// Links of deleted records.
    pub(super) ghosts: Mutex<Vec<ExternalId>>,
    /// Names that somebody had once.
    pub(super) names: Mutex<BTreeSet<String>>,
    asked: AtomicUsize,
    cursor: Cursor,
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
        if self.is(Wrong::HidesInactive) && !record.active {
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
        if self.is(Wrong::EmptyIsError) && state.users.is_empty() && state.groups.is_empty() {
            return Err(StoreError::new(ErrorKind::NotFound, "nobody is there"));
        }
        let (records, others) = match kind {
            Kind::User => (&state.users, &state.groups),
            Kind::Group => (&state.groups, &state.users),
        };
        let selects = !matches!(select, StoreSelect::All);
        let others = others.iter().filter(|_| selects && self.is(Wrong::SelectsOtherKind));
        let wanted =
            records.iter().chain(others).filter(|(id, record)| self.is_selected(kind, select, id, record));
        let paging = match self.wrong {
            Wrong::Pages(paging) => paging,
            Wrong::SelectsOnePage if selects => Paging::CutAndComplete,
            _ => Paging::Right,
        };
        let most = if selects && self.is(Wrong::SelectsTen) { 10 } else { usize::MAX };
        let hidden = usize::from(self.partial);
        let wanted = wanted.skip(hidden).take(most).map(|(id, record)| (id.clone(), record.clone()));
        let (mut rows, end) = match self.is(Wrong::OwnCursor) {
            true => self.cursor.page(wanted, at),
            false => page(paging, wanted, at),
        };
        if selects && self.is(Wrong::SelectedBare) {
            rows.iter_mut().for_each(|(_, record)| record.attributes.clear());
        }
        let rows = rows.into_iter().flat_map(|row| vec![row.clone(); self.copies(&state, &row)]).collect();
        let honest = match self.wrong {
            Wrong::PartialAsComplete => false,
            Wrong::PartialGroupsAsComplete => kind == Kind::User,
            _ => true,
        };
        let end = match end {
            PageEnd::Last(_) if self.partial && honest => PageEnd::partial("a shard is down"),
            end => end,
        };
        Ok((rows, end))
    }

    /// How often a record comes out of a careless join.
    fn copies(&self, state: &MemoryState, (id, record): &(String, MemoryRecord)) -> usize {
        match self.wrong {
            Wrong::RepeatsForValues => record.attributes.values().map(Vec::len).max().unwrap_or(1),
            Wrong::RepeatsForGroups => {
                state.groups.values().filter(|group| group.members.contains(id)).count().max(1)
            }
            _ => 1,
        }
    }

    /// The members of a group that its list shows.
    fn listed(&self, group: &MemoryRecord) -> Vec<String> {
        let state = self.inner.state();
        let is_shown = |member: &&String| {
            let Some(user) = state.users.get(*member) else { return true };
            match self.wrong {
                Wrong::ListsOnlyLinked => !user.external_ids.is_empty(),
                Wrong::ListsOnlyActive => user.active,
                _ => true,
            }
        };
        let most = if self.is(Wrong::MembersListCut) { 15 } else { usize::MAX };
        group.members.iter().filter(is_shown).take(most).cloned().collect()
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
        if matches!(self.wrong, Wrong::MemberPages(_)) {
            declared.members = Members::PerGroup;
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
        if self.is(Wrong::OwnPage) {
            *out = StoredUserPage::default();
        }
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
        if self.is(Wrong::OwnPage) {
            *out = StoredGroupPage::default();
        }
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
            if !matches!(self.wrong, Wrong::MemberPages(_)) {
                self.listed(&record).iter().for_each(|member| {
                    row.member(member);
                });
            }
        }
        Ok(end)
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        out: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let paging = if let Wrong::MemberPages(paging) = self.wrong { paging } else { Paging::Right };
        let group = self.inner.state().groups.get(group.as_str()).cloned();
        let group = group.ok_or_else(|| StoreError::new(ErrorKind::NotFound, "no such group"))?;
        let (members, end) = page(paging, group.members.into_iter().map(|member| (member, ())), at);
        members.iter().for_each(|(member, ())| out.member(member));
        Ok(end)
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        let before = self.inner.state().clone();
        let mut answers = Vec::new();
        let mut items: Vec<_> = batch.items().collect();
        if self.is(Wrong::Backwards) {
            items.reverse();
        }
        if self.is(Wrong::EmptyBatchIsError) && items.is_empty() {
            return Err(StoreError::new(ErrorKind::Invalid, "nothing to do"));
        }
        let last = items.len() - usize::from(!items.is_empty());
        let mut refused = false;
        for (number, item) in items.iter_mut().enumerate() {
            if self.is(Wrong::AnswersFirst) && is_create(item.write()) {
                item.answer(Ok(Written::created(format!("user-{}", number + 1))));
            }
            let rival = is_create(item.write());
            let link_was_free = rival && !self.link_is_taken(item.write());
            let name_was_free = rival && !self.name_is_taken(item.write());
            network().await;
            if (refused && self.is(Wrong::StopsAtRefusal)) || (number >= CUT && self.is(Wrong::BatchCut)) {
                continue;
            }
            if refused && self.is(Wrong::RestAsDone) {
                item.answer(Ok(Written::done()));
                continue;
            }
            let answer = match self.wrong {
                Wrong::LooksThenCreates if link_was_free => self.create_blindly(item.write()),
                Wrong::LooksThenNames if name_was_free => self.create_beside(item.write()),
                _ => self.perform(item.write()),
            };
            refused |= answer.is_err();
            // As soon as it is known: what was answered survives a dropped future.
            match matches!(self.wrong, Wrong::SwapsAnswers | Wrong::RollsBack) {
                true => answers.push(answer),
                false if number > 0 && number == last && self.is(Wrong::LastUnanswered) => {}
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
        let schemas = full.0.users.values_mut().chain(full.0.groups.values_mut());
        schemas.for_each(|schema| {
            schema.required &= self.0 != Wrong::RequiresNothing;
            schema.unique &= self.0 != Wrong::NothingIsUnique;
        });
        if self.0 == Wrong::KeepsMemberships {
            full.0.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
        }
        let (inner, busy) = (full.build(), AtomicBool::new(false));
        let (ghosts, names) = (Mutex::default(), Mutex::default());
        let (asked, cursor) = (AtomicUsize::new(0), Cursor::default());
        Ok(Bent { inner, wrong: self.0, busy, partial: false, ghosts, names, asked, cursor })
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
