//! From records to a [`Directory`]: entries first, then what leads from one to another.

use std::collections::BTreeSet;
use std::ops::Range;

use indexmap::IndexMap;

use super::directory::{Directory, Entry, Group, Member};
use super::error::{Fault, LdifError};
use super::link::{DnIndex, Found, Target, Unique, shared_domain};
use super::options::LdifOptions;
use super::parse::Marks;
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::entry::{Anchor, Class, Draft, PrimaryGroup, draft};
use crate::adapter::directory::ids::Sid;
use crate::adapter::directory::names::Names;
use crate::adapter::directory::record::Record;
use crate::id::MatchRule;
use crate::model::MemberKind;
use crate::page::TextColumn;

pub(super) struct Builder<'o> {
    options: &'o LdifOptions,
    directory: Directory,
    /// As spelled, by entry.
    dns: TextColumn,
    index: DnIndex,
    /// Members as spelled, all groups in a row, and whether each is a `uid`.
    member_texts: TextColumn,
    member_is_uid: Vec<bool>,
    groups: Vec<RawGroup>,
    claims: Vec<Claim>,
    uids: Vec<(Box<str>, u32)>,
    /// Entries whose anchor counts only where no `objectGUID` was seen.
    only_uuid: Vec<u32>,
    has_guid: bool,
    has_control: bool,
    domain: Option<String>,
}

struct RawGroup {
    entry: u32,
    texts: Range<usize>,
    sid: Option<Sid>,
    token: Option<u32>,
    list_cut: bool,
}

/// A user's word about its primary group.
struct Claim {
    user: u32,
    sid: Option<Sid>,
    group: PrimaryGroup,
}

impl<'o> Builder<'o> {
    pub(super) fn new(options: &'o LdifOptions) -> Self {
        let names = Names::with_anchor(options.anchor.as_deref());
        Self {
            options,
            directory: Directory { names, ..Directory::default() },
            dns: TextColumn::default(),
            index: DnIndex::default(),
            member_texts: TextColumn::default(),
            member_is_uid: Vec::new(),
            groups: Vec::new(),
            claims: Vec::new(),
            uids: Vec::new(),
            only_uuid: Vec::new(),
            has_guid: false,
            has_control: false,
            domain: None,
        }
    }

    pub(super) fn add(&mut self, record: &Record<'_>) -> Result<(), LdifError> {
        let key = DnKey::parse(&record.dn).ok_or_else(|| LdifError::at(record.line, Fault::Dn))?;
        if key.is_empty() {
            // The root DSE tells about the server, and is no object of the directory.
            return Ok(());
        }
        let number = u32::try_from(self.directory.entries.len());
        let number = number.map_err(|_| LdifError::at(record.line, Fault::Entries))?;
        let draft = draft(record, &mut self.directory.names, self.options.reading());
        self.has_guid |= draft.has_guid;
        self.has_control |= draft.has_control;
        self.directory.anchors.push(match &draft.anchor {
            Anchor::Sure(anchor) | Anchor::EntryUuid(anchor) => anchor,
            Anchor::Missing => "",
        });
        if matches!(draft.anchor, Anchor::EntryUuid(_)) {
            self.only_uuid.push(number);
        }
        if draft.class.is_user() || draft.class.is_group() {
            let shared =
                self.domain.as_deref().map_or(key.domain(), |domain| shared_domain(domain, key.domain()));
            if self.domain.as_deref() != Some(shared) {
                self.domain = Some(shared.to_owned());
            }
        }
        self.dns.push(&record.dn);
        self.index.add(key, number, draft.deleted);
        let cells = self.add_values(record, &draft);
        self.directory.entries.push(Entry {
            class: draft.class,
            deleted: draft.deleted,
            cut: record.cut,
            state: draft.state,
            version: draft.version,
            cells,
        });
        if !draft.deleted {
            self.add_links(record, draft, number);
        }
        Ok(())
    }

    fn add_values(&mut self, record: &Record<'_>, draft: &Draft) -> Range<usize> {
        let cells = &mut self.directory.cells;
        let first = cells.len();
        if !draft.deleted && !record.cut && (draft.class.is_user() || draft.class.is_group()) {
            for &(name, value) in &draft.shown {
                cells.push(name, text(record, value));
            }
            for &name in &draft.unreadable {
                cells.push_unreadable(name);
            }
        }
        first..cells.len()
    }

    fn add_links(&mut self, record: &Record<'_>, draft: Draft, entry: u32) {
        if draft.class.is_user() {
            for value in draft.uids {
                let uid = MatchRule::NfkcCasefold.fold(text(record, value)).into_owned();
                self.uids.push((uid.into(), entry));
            }
            self.claims.push(Claim { user: entry, sid: draft.sid.clone(), group: draft.primary_group });
        }
        if draft.class.is_group() {
            let first = self.member_texts.len();
            let by_dn = draft.members.into_iter().map(|value| (value, false));
            for (value, is_uid) in by_dn.chain(draft.member_uids.into_iter().map(|value| (value, true))) {
                self.member_texts.push(text(record, value));
                self.member_is_uid.push(is_uid);
            }
            self.groups.push(RawGroup {
                entry,
                texts: first..self.member_texts.len(),
                sid: draft.sid,
                token: draft.token,
                list_cut: draft.list_cut,
            });
        }
    }

    /// Links all that was added.
    pub(super) fn link(mut self, marks: Marks) -> Directory {
        if self.has_guid {
            // A column cannot be changed in the middle; such a mixture is rare, so it is made anew.
            let dropped: BTreeSet<u32> = self.only_uuid.drain(..).collect();
            if !dropped.is_empty() {
                let kept = std::mem::take(&mut self.directory.anchors);
                for (entry, anchor) in (0..).zip(kept.iter()) {
                    self.directory.anchors.push(if dropped.contains(&entry) { "" } else { anchor });
                }
            }
        }
        let anchors = &self.directory.anchors;
        let same = |a: u32, b: u32| {
            !anchors.at(a as usize).is_empty() && anchors.at(a as usize) == anchors.at(b as usize)
        };
        self.index.settle(|entry| self.dns.at(entry as usize), same);
        let mut uids = Unique::default();
        for (uid, entry) in self.uids.drain(..) {
            uids.add(uid, entry, same);
        }
        let primary = self.link_primary_groups();
        self.link_members(&uids, &primary);
        self.sort_and_count(&marks);
        self.directory.domain = self.domain.unwrap_or_default();
        self.directory.has_state = self.has_guid || self.has_control || self.directory.entries.is_empty();
        self.directory
    }

    /// Answers (group, user) for each membership through `primaryGroupID`, sorted (rule E10).
    ///
    /// Where it is not sure whom a group gets so, the group's list counts as cut: not knowing a member must not
    /// remove him.
    fn link_primary_groups(&mut self) -> Vec<(usize, u32)> {
        let anchors = &self.directory.anchors;
        let groups = &self.groups;
        let same = |a: u32, b: u32| {
            let anchor =
                |group: u32| groups.get(group as usize).map_or("", |group| anchors.at(group.entry as usize));
            !anchor(a).is_empty() && anchor(a) == anchor(b)
        };
        let mut by_sid = Unique::default();
        let mut by_token = Unique::default();
        let mut by_rid: IndexMap<u32, Vec<usize>> = IndexMap::new();
        for (number, group) in (0..).zip(groups) {
            match (&group.sid, group.token) {
                (Some(sid), _) => by_sid.add(sid.clone(), number, same),
                (None, Some(token)) => by_token.add(token, number, same),
                (None, None) => continue,
            }
            if let Some(rid) = group.sid.as_ref().and_then(Sid::rid).or(group.token) {
                by_rid.entry(rid).or_default().push(number as usize);
            }
        }

        let mut pairs = Vec::new();
        let mut unsure = BTreeSet::new();
        let summary = &mut self.directory.summary;
        let any = self.claims.iter().any(|claim| claim.group != PrimaryGroup::Unknown);
        for claim in self.claims.drain(..) {
            let PrimaryGroup::Rid(rid) = claim.group else {
                summary.primary_groups_unknown += usize::from(any);
                continue;
            };
            let by_domain =
                claim.sid.as_ref().and_then(|sid| sid.sibling(rid)).and_then(|sid| by_sid.find(&sid));
            match by_domain.or_else(|| by_token.find(&rid)) {
                Some(Found::Entry(group)) => pairs.push((group as usize, claim.user)),
                None if claim.sid.is_some() || !by_rid.contains_key(&rid) => {
                    summary.primary_groups_missing += 1
                }
                Some(Found::Nothing) | None => {
                    unsure.insert(rid);
                }
            }
        }
        pairs.sort_unstable();
        let mut cut: Vec<usize> =
            unsure.iter().filter_map(|rid| by_rid.get(rid)).flatten().copied().collect();
        if summary.primary_groups_unknown > 0 {
            cut.extend(pairs.iter().map(|(group, _)| *group));
        }
        for number in cut {
            if let Some(group) = self.groups.get_mut(number) {
                group.list_cut = true;
            }
        }
        pairs
    }

    /// Makes the member lists: what is written in the group, then who has it as primary group.
    fn link_members(&mut self, uids: &Unique<Box<str>>, primary: &[(usize, u32)]) {
        // An export made without the attribute looks as if every group were empty.
        let all_empty = self.member_texts.len() == 0 && !self.options.empty_groups;
        let mut primary = primary.iter().peekable();
        for (number, raw) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            let first = self.directory.members.len();
            let mut list_cut = raw.list_cut || all_empty;
            for i in raw.texts {
                let member = self.member_texts.at(i);
                let target = if self.member_is_uid.get(i).copied().unwrap_or_default() {
                    match uids.find(MatchRule::NfkcCasefold.fold(member).as_ref()) {
                        Some(Found::Entry(entry)) => Target::Entry(entry),
                        _ => Target::Unresolved(MemberKind::Unknown),
                    }
                } else {
                    self.index.find(member)
                };
                list_cut |= !self.directory.add_member(target, member);
            }
            while let Some((_, user)) = primary.next_if(|(group, _)| *group == number) {
                list_cut |= !self.directory.add_member(Target::Entry(*user), self.dns.at(*user as usize));
            }
            let members = first..self.directory.members.len();
            self.directory.groups.push(Group { entry: raw.entry, members, list_cut });
        }
    }

    fn sort_and_count(&mut self, marks: &Marks) {
        let directory = &mut self.directory;
        let summary = &mut directory.summary;
        summary.references = marks.references;
        summary.unresolved_members = directory.unresolved_kinds.len();
        for (number, entry) in (0..).zip(&directory.entries) {
            let anchored = !directory.anchors.at(number as usize).is_empty();
            if entry.deleted {
                summary.tombstones += 1;
                if anchored {
                    match entry.class {
                        Class::User => directory.users.push(number),
                        // A deleted group has no list: its tombstone is all that is told.
                        Class::Group => {
                            directory.groups.push(Group { entry: number, members: 0..0, list_cut: true });
                        }
                        _ => directory.others.push(number),
                    }
                }
                continue;
            }
            let (user, group) = (entry.class.is_user(), entry.class.is_group());
            summary.users += usize::from(user && anchored);
            summary.groups += usize::from(group && anchored);
            summary.unidentified_users += usize::from(user && !anchored);
            summary.unidentified_groups += usize::from(group && !anchored);
            match entry.class {
                Class::User | Class::Group | Class::UserAndGroup => {}
                Class::Contact => summary.skipped.contacts += 1,
                Class::Computer => summary.skipped.computers += 1,
                Class::Foreign => summary.skipped.foreign += 1,
                Class::Container => summary.skipped.containers += 1,
                Class::Other => summary.skipped.others += 1,
                Class::Unclassified => summary.skipped.unclassified += 1,
            }
            if user && anchored {
                directory.users.push(number);
            }
            if !user && !group && anchored {
                directory.others.push(number);
            }
        }
        directory.partial = partial(self.options, marks, directory);
        let anchors = &directory.anchors;
        let anchor = |entry: u32| anchors.at(entry as usize);
        directory.groups.retain(|group| !anchor(group.entry).is_empty());
        // Stable: rows of one anchor stay in the order of the text.
        directory.users.sort_by(|a, b| anchor(*a).cmp(anchor(*b)));
        directory.others.sort_by(|a, b| anchor(*a).cmp(anchor(*b)));
        directory.groups.sort_by(|a, b| anchor(a.entry).cmp(anchor(b.entry)));
    }
}

impl Directory {
    /// Adds a member; `false` where it had to be left out.
    fn add_member(&mut self, target: Target, spelled: &str) -> bool {
        let kind = match target {
            Target::Nobody => return true,
            Target::Unresolved(kind) => kind,
            Target::Entry(number) => {
                if !self.anchor(number).is_empty() {
                    self.members.push(Member::Entry(number));
                    return true;
                }
                // It is there and cannot be told by its anchor. Were it called a user, a look at the list would
                // miss him and take him for removed.
                match self.entry(number).map_or(MemberKind::Unknown, |entry| entry.class.member_kind()) {
                    MemberKind::User => MemberKind::Unknown,
                    kind => kind,
                }
            }
        };
        let Ok(number) = u32::try_from(self.unresolved_kinds.len()) else { return false };
        self.members.push(Member::Text(number));
        self.unresolved.push(spelled);
        self.unresolved_kinds.push(kind);
        true
    }
}

/// Why absence from this export proves nothing, where it does not (rule C1).
fn partial(options: &LdifOptions, marks: &Marks, directory: &Directory) -> Option<String> {
    let mut reasons: Vec<String> = options.partial.iter().cloned().collect();
    if let Some(code) = marks.failed {
        reasons.push(format!("the search ended with result code {code}"));
    }
    if marks.cut {
        reasons.push("the export ends in the middle of a line".to_owned());
    }
    if marks.unfinished {
        reasons.push("the export ends before the result of the search".to_owned());
    }
    if marks.more_pages {
        reasons.push("the export ends before its last page".to_owned());
    }
    match directory.summary.skipped.unclassified {
        0 => {}
        some => reasons.push(format!("entries without objectClass: {some}")),
    }
    if directory.entries.is_empty() {
        reasons.push("the export holds no entry".to_owned());
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// A value that was found to be text before; one that was not is empty.
fn text<'r>(record: &'r Record<'_>, value: usize) -> &'r str {
    record.values.get(value).and_then(|value| std::str::from_utf8(value.octets()).ok()).unwrap_or_default()
}
