//! A source over a description, with one fault.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use identity_sync::testing::conformance::{BuildError, SourceBuilder};
use identity_sync::testing::{Directory, DirectoryGroup, DirectoryMember, DirectoryUser};
use identity_sync::{
    AccountState, Asked, Completeness, DirectorySource, ErrorKind, Existence, Generation, GroupPage, Kind,
    MemberKind, PageEnd, PageToken, Read, Select, SourceCapabilities, SourceError, SourceIdentity, UserPage,
};

use super::{Cursor, Paging, network, page};

/// What is wrong with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    Pages(Paging),
    /// Pages come from a cursor that the source keeps: whoever asks gets the next one.
    OwnCursor,
    /// A call that is dropped leaves the connection busy.
    BusyForEver,
    /// It fills a page of its own and hands that over.
    OwnPage,
    /// Anchors are compared without regard to case, as by a column of a careless table.
    FoldsAnchors,
    /// An attribute that is missing has the value of the row before.
    DirtyBuffer,
    FirstValueOnly,
    /// What is not ASCII becomes a question mark.
    LosesUnicode,
    DisabledAsEnabled,
    DeadAmongTheLiving,
    TombstonesOfTheLiving,
    /// No list is ever declared complete.
    ListsLeftOpen,
    /// Lists end after 1,500 members, as those of a domain controller do for who does not ask for the rest.
    ListsCut,
    /// Groups without members are left open.
    EmptyListsLeftOpen,
    /// Members of nested groups are given as direct ones.
    Flattens,
    /// Entries that lead to nobody are skipped.
    DropsDangling,
    /// Foreign entries are called neither user nor group.
    ForeignAsOther,
    GroupsAsUsers,
    /// A selection by anchors is ignored.
    SelectsAll,
    /// A selected group lists only members that were selected, too.
    SelectsMembers,
    /// More than ten selected anchors are cut off.
    SelectsTen,
    SelectsGroupsAmongUsers,
    /// Somebody who is asked for and not there is an error.
    UnknownAsError,
    /// Answers come in the order of the directory, not of the questions.
    AnswersInOrder,
    /// Each answer stands one question too late.
    AnswersShifted,
    TombstoneExists,
    EverybodyExists,
    /// Whoever was not found is called gone, so that a group is gone to a look-up of users.
    GroupsAreGone,
    NewIdentityEachTime,
    GenerationFalls,
    /// Deletions are seen after a restart only.
    RemembersFirstRead,
    /// Fails for an empty directory.
    EmptyIsError,
    /// What it could not see is not there.
    PartialAsComplete,
    /// It panics at an odd name.
    PanicsAtQuotes,
    /// That groups are missing is not said.
    PartialGroupsAsComplete,
    /// Members who are disabled are left out of the lists.
    DropsDisabledMembers,
    /// A join gives a user once for each value of a list.
    RepeatsForValues,
    /// The anchor is made of the name: who is renamed is somebody else.
    AnchorsChange,
    /// The version of a changed row is lower than before.
    VersionsFall,
    /// A row that was selected has its anchor and no attributes.
    SelectedBare,
    /// A user who was selected is enabled.
    SelectedEnabled,
    /// A look-up does not see disabled accounts, and calls them gone.
    DisabledIsGone,
    /// Whoever a look-up may not see is gone.
    HiddenIsGone,
}

pub(crate) struct Bent {
    directory: Directory,
    wrong: Wrong,
    partial: bool,
    calls: AtomicUsize,
    busy: AtomicBool,
    cursor: Cursor,
    /// How often the directory has changed.
    changes: u64,
}

impl Bent {
    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    fn paging(&self) -> Paging {
        if let Wrong::Pages(paging) = self.wrong { paging } else { Paging::Right }
    }

    async fn enter(&self) -> Result<(), SourceError> {
        if self.is(Wrong::EmptyIsError) && self.directory.users.is_empty() && self.directory.groups.is_empty()
        {
            return Err(SourceError::new(ErrorKind::NotFound, "nobody is there"));
        }
        if self.is(Wrong::BusyForEver) && self.busy.swap(true, Ordering::SeqCst) {
            return Err(SourceError::new(ErrorKind::Transient, "the connection is busy"));
        }
        network().await;
        self.busy.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn is_selected(&self, read: Read<'_>, anchor: &str) -> bool {
        read.wants(anchor) || self.is(Wrong::SelectsAll)
    }

    /// One page of the rows, from the place that the token names, or from the source's own.
    fn page<T>(
        &self,
        rows: impl Iterator<Item = (String, T)>,
        at: Option<&PageToken>,
    ) -> (Vec<(String, T)>, PageEnd) {
        match self.is(Wrong::OwnCursor) {
            true => self.cursor.page(rows, at),
            false => page(self.paging(), rows, at),
        }
    }

    fn end(&self, kind: Kind, end: PageEnd) -> PageEnd {
        let honest = match self.wrong {
            Wrong::PartialAsComplete => false,
            Wrong::PartialGroupsAsComplete => kind == Kind::User,
            _ => true,
        };
        let partial = self.partial && honest;
        match end {
            PageEnd::Last(_) if partial => PageEnd::Last(Completeness::partial("a right is missing")),
            end => end,
        }
    }

    fn folded(&self, anchor: &str) -> String {
        if self.is(Wrong::FoldsAnchors) { anchor.to_lowercase() } else { anchor.to_owned() }
    }

    fn living_users(&self) -> BTreeMap<String, DirectoryUser> {
        let users = self.directory.users.iter();
        let mut living: BTreeMap<_, _> =
            users.map(|user| (self.folded(&user.anchor), user.clone())).collect();
        if self.is(Wrong::DeadAmongTheLiving) {
            let dead = self.directory.tombstones.iter().filter(|dead| dead.kind == Kind::User);
            let mut model = Directory::new();
            dead.for_each(|dead| {
                model.add_user(&dead.anchor, BTreeMap::new());
            });
            living.extend(model.users.into_iter().map(|user| (user.anchor.clone(), user)));
        }
        if self.partial {
            living.pop_first();
        }
        living
    }

    fn attributes(&self, attributes: &BTreeMap<String, Vec<String>>, mut add: impl FnMut(&str, &str)) {
        for (name, values) in attributes {
            let most = if self.is(Wrong::FirstValueOnly) { 1 } else { usize::MAX };
            for value in values.iter().take(most) {
                let quoted = self.is(Wrong::PanicsAtQuotes) && value.contains('\'');
                assert!(!quoted, "a quote in a value");
                let lossy = self.is(Wrong::LosesUnicode);
                let value = if lossy { value.replace(|c: char| !c.is_ascii(), "?") } else { value.clone() };
                add(name, &value);
            }
        }
    }

    fn members(&self, group: &DirectoryGroup, seen: &mut BTreeSet<String>) -> Vec<DirectoryMember> {
        let mut members = Vec::new();
        for member in &group.members {
            let nested = self.directory.groups.iter().find(|group| group.anchor == member.text());
            match nested.filter(|_| self.is(Wrong::Flattens)) {
                Some(below) if seen.insert(below.anchor.clone()) => members.extend(self.members(below, seen)),
                Some(_) => {}
                None => members.push(member.clone()),
            }
        }
        members
    }

    fn kind(&self, member: &DirectoryMember) -> MemberKind {
        match self.directory.kind_of(member.text()) {
            Some(Kind::Group) if self.is(Wrong::GroupsAsUsers) => MemberKind::User,
            Some(Kind::User) => MemberKind::User,
            Some(Kind::Group) => MemberKind::Group,
            None if self.is(Wrong::ForeignAsOther) => MemberKind::Other,
            None => MemberKind::Foreign,
        }
    }

    fn is_disabled(&self, anchor: &str) -> bool {
        let mut users = self.directory.users.iter();
        users.any(|user| user.anchor == anchor && user.state == AccountState::Disabled)
    }

    fn exists(&self, anchor: &str) -> Existence {
        let gone = self.directory.tombstones.iter().any(|tombstone| tombstone.anchor == anchor);
        let first = self.directory.users.iter().map(|user| user.anchor.as_str()).min();
        let hidden = self.partial && first == Some(anchor);
        match self.directory.kind_of(anchor) {
            Some(_) if hidden && self.is(Wrong::HiddenIsGone) => Existence::Gone,
            Some(_) if hidden => Existence::Unknown,
            Some(Kind::User) if self.is(Wrong::DisabledIsGone) && self.is_disabled(anchor) => Existence::Gone,
            Some(Kind::Group) if self.is(Wrong::GroupsAreGone) => Existence::Gone,
            Some(Kind::User) => Existence::Exists { kind: MemberKind::User },
            Some(Kind::Group) => Existence::Exists { kind: MemberKind::Group },
            None if gone && self.is(Wrong::TombstoneExists) => Existence::Exists { kind: MemberKind::User },
            None if self.is(Wrong::EverybodyExists) && !gone => {
                Existence::Exists { kind: MemberKind::Unknown }
            }
            None if gone => Existence::Gone,
            None => Existence::Unknown,
        }
    }
}

#[async_trait]
impl DirectorySource for Bent {
    fn identity(&self) -> SourceIdentity {
        if !self.is(Wrong::NewIdentityEachTime) {
            return "corp".into();
        }
        format!("corp-{}", self.calls.fetch_add(1, Ordering::SeqCst)).into()
    }

    fn capabilities(&self) -> SourceCapabilities {
        let select = NonZeroUsize::new(50).unwrap();
        SourceCapabilities::default().with_select(select).with_existence()
    }

    async fn read_users(&self, read: Read<'_>, out: &mut UserPage) -> Result<PageEnd, SourceError> {
        self.enter().await?;
        if self.is(Wrong::OwnPage) {
            *out = UserPage::default();
        }
        let living = self.living_users();
        let selects = matches!(read.select, Select::Anchors(_));
        let unknown = matches!(read.select, Select::Anchors(wanted)
            if wanted.iter().any(|anchor| self.directory.kind_of(anchor.as_str()).is_none()));
        if self.is(Wrong::UnknownAsError) && unknown {
            return Err(SourceError::new(ErrorKind::NotFound, "no such object"));
        }
        let most = if self.is(Wrong::SelectsTen) && selects { 10 } else { usize::MAX };
        let selected = living.into_iter().filter(|(anchor, _)| self.is_selected(read, anchor)).take(most);
        let (rows, end) = self.page(selected, read.at);
        let mut before: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (anchor, user) in rows {
            let renamed = self.changes > 0 && user.attributes.values().flatten().any(|v| v.ends_with(" new"));
            let anchor =
                if renamed && self.is(Wrong::AnchorsChange) { format!("{anchor}-2") } else { anchor };
            let repeats = self.is(Wrong::RepeatsForValues);
            for _ in 1..user.attributes.values().map(Vec::len).max().filter(|_| repeats).unwrap_or(1) {
                out.user(&anchor).active(user.state == AccountState::Enabled);
            }
            let mut row = out.user(&anchor);
            let lenient = selects && self.is(Wrong::SelectedEnabled) || self.is(Wrong::DisabledAsEnabled);
            row.active(user.state == AccountState::Enabled || lenient);
            if self.is(Wrong::VersionsFall) {
                row.version(1_000 - self.changes);
            }
            let mut attributes = user.attributes.clone();
            if selects && self.is(Wrong::SelectedBare) {
                attributes.clear();
            }
            if self.is(Wrong::DirtyBuffer) {
                before.append(&mut attributes);
                attributes = before.clone();
            }
            self.attributes(&attributes, |name, value| {
                row.attribute(name, value);
            });
        }
        if self.is(Wrong::TombstonesOfTheLiving) {
            self.directory.users.iter().take(1).for_each(|user| out.tombstone(&user.anchor));
        }
        if self.is(Wrong::SelectsGroupsAmongUsers) && selects {
            for group in self.directory.groups.iter().filter(|group| read.wants(&group.anchor)) {
                out.user(&group.anchor).active(true);
            }
        }
        Ok(self.end(Kind::User, end))
    }

    async fn read_groups(&self, read: Read<'_>, out: &mut GroupPage) -> Result<PageEnd, SourceError> {
        self.enter().await?;
        if self.is(Wrong::OwnPage) {
            *out = GroupPage::default();
        }
        let mut living: BTreeMap<String, &DirectoryGroup> =
            self.directory.groups.iter().map(|group| (self.folded(&group.anchor), group)).collect();
        if self.partial {
            living.pop_first();
        }
        let selected = living.into_iter().filter(|(anchor, _)| self.is_selected(read, anchor));
        let (rows, end) = self.page(selected, read.at);
        for (anchor, group) in rows {
            let mut row = out.group(&anchor);
            self.attributes(&group.attributes, |name, value| {
                row.attribute(name, value);
            });
            let most = if self.is(Wrong::ListsCut) { 1_500 } else { usize::MAX };
            for member in self.members(group, &mut BTreeSet::new()).iter().take(most) {
                let text = self.folded(member.text());
                let dangling = matches!(member, DirectoryMember::Dangling(_));
                let unselected = self.is(Wrong::SelectsMembers) && !read.wants(&text);
                let disabled = self.is(Wrong::DropsDisabledMembers) && self.is_disabled(&text);
                if (dangling && self.is(Wrong::DropsDangling)) || unselected || disabled {
                    continue;
                }
                match member {
                    DirectoryMember::Object(_) => row.member_of_kind(&text, self.kind(member)),
                    DirectoryMember::Dangling(_) => row.unresolved(&text, MemberKind::Unknown),
                    _ => row.unresolved(&text, self.kind(member)),
                };
            }
            let open = self.is(Wrong::EmptyListsLeftOpen) && group.members.is_empty();
            if !open && !self.is(Wrong::ListsLeftOpen) {
                row.members_complete();
            }
        }
        Ok(self.end(Kind::Group, end))
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        network().await;
        let mut right: Vec<Existence> =
            asked.answers().map(|(anchor, _)| self.exists(anchor.as_str())).collect();
        if self.is(Wrong::AnswersShifted) {
            let one = right.len().min(1);
            right.rotate_right(one);
        }
        if self.is(Wrong::AnswersInOrder) {
            let mut sorted: Vec<(String, Existence)> =
                asked.answers().map(|(anchor, _)| anchor.as_str().to_owned()).zip(right).collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            right = sorted.into_iter().map(|(_, answer)| answer).collect();
        }
        for ((_, slot), answer) in asked.iter_mut().zip(right) {
            *slot = answer;
        }
        Ok(())
    }

    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) as u64;
        let number = if self.is(Wrong::GenerationFalls) { 1_000 - calls } else { 1_000 };
        Ok(Some(Generation::new("one", number)))
    }
}

/// Builds bent sources.
pub(crate) struct Builder(pub(crate) Wrong);

#[async_trait]
impl SourceBuilder for Builder {
    type Source = Bent;

    async fn holding(&self, directory: &Directory) -> Result<Bent, BuildError> {
        let (calls, busy) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (directory, cursor) = (directory.clone(), Cursor::default());
        Ok(Bent { directory, wrong: self.0, partial: false, calls, busy, cursor, changes: 0 })
    }

    fn many(&self) -> usize {
        40
    }

    async fn changed(&self, source: Bent, directory: &Directory) -> Result<Bent, BuildError> {
        let kept = self.0 == Wrong::RemembersFirstRead;
        let directory = if kept { source.directory } else { directory.clone() };
        Ok(Bent { directory, changes: source.changes + 1, ..source })
    }

    async fn partial(&self, directory: &Directory) -> Result<Bent, BuildError> {
        Ok(Bent { partial: true, ..self.holding(directory).await? })
    }
}
