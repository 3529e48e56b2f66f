//! A store over the one in memory, with one fault.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use identity_sync::memory::{MemoryRecord, MemoryStore};
use identity_sync::testing::conformance::{BuildError, StoreBuilder, Unmanaged};
use identity_sync::{
    DeactivatedBy, ErrorKind, ExternalId, IdentityStore, Kind, MatchRule, MemberPage, MembershipsOnDelete,
    PageEnd, PageToken, StoreCapabilities, StoreError, StoreId, StoreSelect, StoredGroupPage, StoredUserPage,
    Write, WriteBatch, Written,
};

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
    inner: MemoryStore,
    wrong: Wrong,
    busy: AtomicBool,
    partial: bool,
    /// Links of deleted records.
    ghosts: Mutex<Vec<ExternalId>>,
    asked: AtomicUsize,
}

const CUT: usize = 40;

impl Bent {
    fn is(&self, wrong: Wrong) -> bool {
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

    /// Does one write, in the way of this store.
    fn perform(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let before = self.inner.state().clone();
        let answer = match self.changed(write) {
            Some(answer) => answer,
            None => self.inner_write(write),
        };
        let answer = self.afterwards(write, answer);
        match answer {
            Err(_) if self.is(Wrong::RefusedAsDone) => Ok(Written::done()),
            Ok(written) if self.is(Wrong::AnswersOldVersion) && !is_create(write) => {
                let old = id_of(write).and_then(|id| before.users.get(id).or(before.groups.get(id)));
                Ok(old.map_or(written, |old| Written::done().with_version(old.version.to_string())))
            }
            answer => answer,
        }
    }

    fn inner_write(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let mut batch = WriteBatch::new();
        batch.push(if self.is(Wrong::IgnoresVersion) { unconditional(write) } else { write.clone() });
        pollster::block_on(self.inner.write(&mut batch)).unwrap();
        batch.into_answers().next().flatten().unwrap()
    }

    /// What takes the place of a right write.
    fn changed(&self, write: &Write<'_>) -> Option<Result<Written, StoreError>> {
        let mut state = self.inner.state();
        match (self.wrong, write) {
            (Wrong::DeletePretends, Write::DeleteUser { id, .. }) => {
                state.users.contains_key(id.as_str()).then(|| Ok(Written::done()))
            }
            (
                Wrong::LinksAnyIssuer,
                Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. },
            ) => {
                let mut all = state.users.values().chain(state.groups.values()).flat_map(|r| &r.external_ids);
                let taken = all.any(|link| link.value == external_id.value);
                taken.then(|| Err(StoreError::new(ErrorKind::AlreadyExists, "this external id is taken")))
            }
            (Wrong::KeepsLinks, Write::DeleteUser { id, .. }) => {
                let links = state.users.get(id.as_str())?.external_ids.clone();
                self.ghosts.lock().unwrap().extend(links);
                None
            }
            (Wrong::KeepsLinks, Write::CreateUser { external_id, .. }) => {
                let kept = self.ghosts.lock().unwrap().contains(external_id);
                kept.then(|| {
                    Err(StoreError::new(ErrorKind::AlreadyExists, "this external id was used before"))
                })
            }
            (Wrong::ExistsAsDone, Write::CreateUser { external_id, .. }) => {
                let mut there = state.users.iter();
                let there = there.find(|(_, record)| record.external_ids.contains(external_id));
                there.map(|(id, record)| {
                    Ok(Written::created(id.as_str()).with_version(record.version.to_string()))
                })
            }
            (Wrong::OwnNameIsTaken, Write::UpdateUser { id, changes, .. }) => {
                let own = state.users.get(id.as_str())?;
                let named = changes.iter().find(|change| change.attribute == "userName")?;
                let mine = own.attributes.get("userName")?.iter().any(|held| named.new.contains(held));
                mine.then(|| Err(StoreError::new(ErrorKind::AlreadyExists, "this name is taken")))
            }
            (Wrong::UpdateReplacesAll, Write::UpdateUser { id, changes, .. }) => {
                let known = ["userName".to_owned()];
                let named =
                    |name: &String| known.contains(name) || changes.iter().any(|c| c.attribute == *name);
                state.users.get_mut(id.as_str())?.attributes.retain(|name, _| named(name));
                None
            }
            (Wrong::AddReplaces, Write::AddMembers { id, .. })
            | (Wrong::RemoveEmpties, Write::RemoveMembers { id, .. }) => {
                state.groups.get_mut(id.as_str())?.members.clear();
                None
            }
            (Wrong::AddRefusesThere, Write::AddMembers { id, members, .. }) => {
                let group = state.groups.get(id.as_str())?;
                let there = members.iter().any(|member| group.members.contains(member.as_str()));
                there.then(|| Err(StoreError::new(ErrorKind::AlreadyExists, "is a member")))
            }
            (Wrong::AddsHalf, Write::AddMembers { id, members, .. }) => {
                let good: BTreeSet<String> = members
                    .iter()
                    .map(|member| member.as_str().to_owned())
                    .filter(|member| state.users.contains_key(member))
                    .collect();
                state.groups.get_mut(id.as_str())?.members.extend(good);
                None
            }
            (Wrong::AdoptOverwrites, Write::Adopt { kind, id, external_id, .. }) => {
                let records = if *kind == Kind::User { &mut state.users } else { &mut state.groups };
                let record = records.get_mut(id.as_str())?;
                record.external_ids = vec![(*external_id).clone()];
                record.version += 1;
                Some(Ok(Written::done().with_version(record.version.to_string())))
            }
            (Wrong::AdoptsTwice, Write::Adopt { kind, id, external_id, .. }) => {
                let records = if *kind == Kind::User { &mut state.users } else { &mut state.groups };
                let record = records.get_mut(id.as_str()).filter(|record| record.external_ids.is_empty())?;
                record.external_ids = vec![(*external_id).clone()];
                record.version += 1;
                Some(Ok(Written::done().with_version(record.version.to_string())))
            }
            _ => None,
        }
    }

    /// What happens after a write that should not.
    fn afterwards(
        &self,
        write: &Write<'_>,
        answer: Result<Written, StoreError>,
    ) -> Result<Written, StoreError> {
        let written = answer?;
        let mut state = self.inner.state();
        let created = written.id.as_ref().map(StoreId::as_str);
        match (self.wrong, write) {
            (Wrong::CreatesActive, Write::CreateUser { .. }) => {
                state.users.get_mut(created.unwrap()).unwrap().active = true;
            }
            (Wrong::Lowers | Wrong::LosesUnicode, Write::CreateUser { .. }) => {
                let record = state.users.get_mut(created.unwrap()).unwrap();
                for value in record.attributes.values_mut().flatten() {
                    let lower = value.to_lowercase();
                    let ascii = value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
                    *value = if self.is(Wrong::Lowers) { lower } else { ascii };
                }
            }
            (Wrong::ReusesIds, Write::CreateUser { .. }) => {
                let record = state.users.remove(created.unwrap()).unwrap();
                let free =
                    (0..).map(|n| format!("u{n:04}")).find(|id| !state.users.contains_key(id)).unwrap();
                state.users.insert(free.clone(), record);
                return Ok(Written::created(free).with_version("1"));
            }
            (Wrong::UpdateAdds, Write::UpdateUser { id, changes, .. }) => {
                let record = state.users.get_mut(id.as_str()).unwrap();
                for change in changes.iter().filter(|change| change.attribute == "emails") {
                    let values = record.attributes.entry(change.attribute.clone()).or_default();
                    values.push("other@example.com".to_owned());
                }
            }
            (Wrong::UpdatesFirstOnly, Write::UpdateUser { id, changes, .. }) => {
                let record = state.users.get_mut(id.as_str()).unwrap();
                for change in changes.iter().skip(1) {
                    record.attributes.insert(change.attribute.clone(), change.old.clone());
                }
            }
            (Wrong::ClearIsLost, Write::UpdateUser { id, changes, .. }) => {
                let record = state.users.get_mut(id.as_str()).unwrap();
                for change in changes.iter().filter(|change| change.new.is_empty()) {
                    record.attributes.insert(change.attribute.clone(), vec!["still there".to_owned()]);
                }
            }
            (Wrong::MembersCut, Write::AddMembers { id, members, .. }) => {
                let group = state.groups.get_mut(id.as_str()).unwrap();
                members.iter().skip(CUT).for_each(|member| {
                    group.members.remove(member.as_str());
                });
            }
            (Wrong::AdoptClears, Write::Adopt { id, .. }) => {
                if let Some(record) = state.users.get_mut(id.as_str()) {
                    record.attributes.retain(|name, _| name == "userName");
                }
            }
            (Wrong::TakesLocks, Write::SetActive { id, active: false, .. }) => {
                state.users.get_mut(id.as_str()).unwrap().deactivated_by = DeactivatedBy::Sync;
            }
            _ => {}
        }
        Ok(written)
    }
}

fn is_create(write: &Write<'_>) -> bool {
    matches!(write, Write::CreateUser { .. } | Write::CreateGroup { .. })
}

fn id_of<'w>(write: &Write<'w>) -> Option<&'w str> {
    match write {
        Write::UpdateUser { id, .. }
        | Write::UpdateGroup { id, .. }
        | Write::SetActive { id, .. }
        | Write::DeleteUser { id, .. }
        | Write::DeleteGroup { id, .. }
        | Write::AddMembers { id, .. }
        | Write::RemoveMembers { id, .. }
        | Write::Adopt { id, .. } => Some(id.as_str()),
        _ => None,
    }
}

fn unconditional<'w>(write: &Write<'w>) -> Write<'w> {
    let mut write = write.clone();
    match &mut write {
        Write::UpdateUser { version, .. }
        | Write::UpdateGroup { version, .. }
        | Write::SetActive { version, .. }
        | Write::DeleteUser { version, .. }
        | Write::DeleteGroup { version, .. }
        | Write::AddMembers { version, .. }
        | Write::RemoveMembers { version, .. }
        | Write::Adopt { version, .. } => *version = None,
        _ => {}
    }
    write
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

impl Bent {
    fn link_is_taken(&self, write: &Write<'_>) -> bool {
        let (Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. }) = write else {
            return false;
        };
        let state = self.inner.state();
        let mut all = state.users.values().chain(state.groups.values());
        all.any(|record| record.external_ids.contains(external_id))
    }

    /// Creates though somebody else may have done so meanwhile.
    fn create_blindly(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let mut set_aside = Vec::new();
        if let Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. } = write {
            let mut state = self.inner.state();
            let state = &mut *state;
            for (id, record) in state.users.iter_mut().chain(state.groups.iter_mut()) {
                if record.external_ids.contains(external_id) {
                    set_aside.push((id.clone(), std::mem::take(&mut record.external_ids)));
                }
            }
        }
        let answer = self.inner_write(write);
        let mut state = self.inner.state();
        for (id, links) in set_aside {
            let record =
                if id.starts_with("user") { state.users.get_mut(&id) } else { state.groups.get_mut(&id) };
            record.unwrap().external_ids = links;
        }
        answer
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
