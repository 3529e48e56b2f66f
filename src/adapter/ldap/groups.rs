//! Reading groups: their entries, then what is left of their lists.

use std::sync::atomic::Ordering;

use indexmap::IndexMap;
use ldap3::controls::RawControl;

use super::filter::{Base, Filter};
use super::members::{self, Named, plain};
use super::pass::{Empty, OpenList, Pass, Waiting};
use super::server::{EXTENDED_DN, names, one, texts};
use super::users::text;
use super::{LdapSource, Make, Search, der, group_classes};
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::entry::{Anchor, Class, Draft};
use crate::adapter::directory::ids::Sid;
use crate::adapter::directory::names::{Names, Role};
use crate::adapter::directory::record::Record;
use crate::error::SourceError;
use crate::model::MemberKind;
use crate::page::PageEnd;
use crate::source::{GroupPage, Read, Select};

/// Members on a page after which the next one begins.
const MEMBERS: usize = 20_000;
/// Searches for the rest of lists on a page after which the next one begins.
const SEARCHES: usize = 50;
/// Most pages of a scan of all names.
const SCANS: usize = 1_000_000;
/// Most entries of a scan of all names: some gigabytes.
const SCANNED: usize = 10_000_000;
/// Groups up to this RID come with a domain; some of them are what accounts have as primary group.
const OWN_RIDS: u32 = 1_000;

/// What a group's entry says of its members.
struct Listed {
    members: Vec<Named>,
    /// Where the list goes on, or `None` where this is its end.
    next: Option<u64>,
    /// A part of it cannot be understood.
    torn: bool,
}

impl Listed {
    /// Whether it looks as if there were nobody.
    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.next.is_none() && !self.torn
    }
}

impl LdapSource {
    pub(super) async fn groups_page(
        &self,
        read: Read<'_>,
        page: &mut GroupPage,
    ) -> Result<PageEnd, SourceError> {
        let Some(filter) = self.selected(read.select, &self.groups) else { return Ok(PageEnd::COMPLETE) };
        let mut pass = self.pass(&read).await?;
        if read.at.is_none() && matches!(read.select, Select::All) && !self.anchors_by_guid() {
            self.scan(&mut pass).await?;
        }
        if pass.waiting.is_empty() && !pass.searched {
            let cookie = std::mem::take(&mut pass.cookie);
            let search = Search { attributes: self.group_attributes.clone(), filter, ..self.group_search() };
            let (answer, next) = self.page(&pass, search, &cookie).await?;
            let answer = match answer.usable() {
                Ok(answer) => answer,
                Err(error) => {
                    // The server refused this page and nothing else: it may be asked for again.
                    pass.cookie = cookie;
                    if error.is_transient() && read.at.is_some() {
                        self.passes.unchanged(pass);
                    }
                    return Err(error);
                }
            };
            if let Some(why) = answer.cut() {
                pass.cut(why);
            }
            pass.searched = next.is_empty() || answer.cut().is_some();
            pass.cookie = next;
            self.add_groups(&answer.entries, &read, &mut pass, page).await?;
        }
        self.add_rest(&mut pass, page).await?;
        if pass.waiting.is_empty() && pass.searched {
            self.close_empty(&read, &mut pass, page).await?;
            if matches!(read.select, Select::All) {
                self.forget_gathered();
            }
            return Ok(self.end(pass));
        }
        Ok(PageEnd::More(self.passes.more(pass)))
    }

    /// A search that shows members with their ids.
    fn group_search(&self) -> Search {
        let mut search = self.below_base();
        if self.anchors_by_guid() {
            let value = der::sequence(&[der::integer(1)]);
            search.controls.push(RawControl { ctype: EXTENDED_DN.to_owned(), crit: true, val: Some(value) });
        }
        search
    }

    /// Reads all names below the base, for a read of all groups whose members have to be found by name.
    async fn scan(&self, pass: &mut Pass) -> Result<(), SourceError> {
        let (mut scan, mut scanned) = (members::Scan::default(), 0);
        let mut cookie = Vec::new();
        // Some servers give one cookie for all pages, so that a repeated one tells nothing; the number of pages does.
        for _ in 0..SCANS {
            let attributes = names(["objectClass", "uid", self.anchor_attribute()]);
            let search = Search { attributes, ..self.below_base() };
            let (answer, next) = self.page(pass, search, &cookie).await?;
            let answer = answer.usable()?;
            self.take_scanned(&answer.entries, &mut scan);
            scanned += answer.entries.len();
            if scanned > SCANNED {
                break;
            }
            // Of what a scan that was cut has seen once there may be another: all are looked up then.
            if answer.cut().is_some() {
                return Ok(());
            }
            if next.is_empty() {
                pass.scan = Some(scan);
                return Ok(());
            }
            cookie = next;
        }
        Err(SourceError::new(
            crate::ErrorKind::Permanent,
            "the directory has no last page, or more entries than can be held",
        ))
    }

    async fn add_groups(
        &self,
        entries: &[Record<'static>],
        read: &Read<'_>,
        pass: &mut Pass,
        page: &mut GroupPage,
    ) -> Result<(), SourceError> {
        let mut names = self.names();
        let mut groups = Vec::with_capacity(entries.len());
        for entry in entries {
            pass.note_groups_of(entry);
            let draft = self.draft(entry, &mut names);
            if draft.class == Class::Unclassified {
                // The server found it to be a group, and this account may not read what it is.
                page.unidentified();
            }
            if draft.class.is_group() {
                let listed = self.listed(entry, &draft, &mut names);
                groups.push((entry, draft, listed));
            }
        }
        let named = groups.iter().flat_map(|(_, _, listed)| &listed.members);
        let found = self.find(&pass.connection, pass.scan.as_ref(), named).await?;
        // A list that may not be read looks empty: unless some list shows a member, that has to be told apart.
        let shows_members = groups.iter().any(|(.., listed)| !listed.members.is_empty());
        let unseen = !shows_members && !groups.is_empty() && !self.members_show(pass).await?;
        // Gathered by the read of all users just before, or asked of the server.
        let gathered = if matches!(read.select, Select::All) { self.gathered() } else { None };
        let mut rids = Vec::new();
        for (entry, draft, listed) in &groups {
            let anchor = match &draft.anchor {
                Anchor::Sure(anchor) | Anchor::EntryUuid(anchor) => anchor.as_str(),
                Anchor::Missing => {
                    page.unidentified();
                    continue;
                }
            };
            // A server may compare an anchor of the host's own without regard to case; here it is compared as bytes (rule M2).
            if !read.wants(anchor) {
                continue;
            }
            if draft.deleted {
                page.tombstone(anchor);
                continue;
            }
            let mut row = page.group(anchor);
            if let Some(version) = draft.version {
                row.version(version);
            }
            for &(name, value) in &draft.shown {
                row.attribute(names.spelling(name), plain(text(entry, value)));
            }
            for &name in &draft.unreadable {
                row.unreadable(names.spelling(name));
            }
            let whole = members::add(&mut row, &listed.members, &found);
            let mut open = OpenList {
                version: draft.version,
                partial: !whole || listed.torn || unseen,
                ..OpenList::default()
            };
            if let Some(next) = listed.next {
                open.parts += 1;
                let dn = plain(&entry.dn).to_owned();
                pass.waiting.push_back(Waiting::Range { group: anchor.to_owned(), dn, next });
            }
            if self.server.make == Make::ActiveDirectory && listed.is_empty() && !unseen {
                open.parts += 1;
                let dn = plain(&entry.dn).to_owned();
                pass.empty.push(Empty { group: anchor.to_owned(), key: DnKey::parse(&dn), dn });
            }
            if self.server.make == Make::ActiveDirectory {
                match draft.sid.as_ref().and_then(Sid::rid).or(draft.token) {
                    Some(rid) if gathered.is_some() => {
                        open.parts += 1;
                        pass.waiting.push_back(Waiting::Gathered { group: anchor.to_owned(), rid, from: 0 });
                    }
                    Some(rid) => {
                        open.parts += 1;
                        rids.push((rid, anchor.to_owned()));
                    }
                    // Nobody can say who has it as primary group (rule E10).
                    None => open.partial = true,
                }
            }
            finish_or_wait(anchor, open, pass, page);
        }
        if !rids.is_empty() {
            rids.sort_unstable();
            pass.waiting.push_back(Waiting::Primary { groups: rids, cookie: Vec::new() });
        }
        Ok(())
    }

    /// Whether any group below the base shows this account a member (rule C1).
    async fn members_show(&self, pass: &mut Pass) -> Result<bool, SourceError> {
        if let Some(known) = pass.members_show {
            return Ok(known);
        }
        let lists: &[&str] = match self.server.make {
            Make::ActiveDirectory => &["member"],
            Make::Generic => &["member", "uniqueMember", "memberUid"],
        };
        let any = Filter::any(lists.iter().map(|name| Filter::present(name)));
        let attributes = names(["objectClass"].into_iter().chain(lists.iter().copied()));
        let search = Search {
            filter: Filter::all([group_classes(self.server.make), any]),
            attributes,
            ..self.below_base()
        };
        let answer = self.some(pass, search, 1).await?;
        let shown =
            |entry: &Record<'_>| lists.iter().any(|name| texts(entry, name).any(|value| !value.is_empty()));
        // A long list comes under the name of its range.
        let ranged = |entry: &Record<'_>| {
            entry.values.iter().any(|value| value.name().to_ascii_lowercase().starts_with(b"member;range="))
        };
        let shows = answer.entries.iter().any(|entry| shown(entry) || ranged(entry));
        pass.members_show = Some(shows || self.options.empty_groups);
        Ok(shows || self.options.empty_groups)
    }

    /// The members that an entry names, and where its list goes on.
    fn listed(&self, entry: &Record<'static>, draft: &Draft, names: &mut Names) -> Listed {
        let mut members = Vec::with_capacity(draft.members.len() + draft.member_uids.len());
        let named = |value: usize, named: fn(String) -> Named| {
            let octets = entry.values.get(value).map(|value| value.octets().to_vec()).unwrap_or_default();
            String::from_utf8(octets).map_or(Named::Unreadable, named)
        };
        members.extend(draft.members.iter().map(|&value| named(value, Named::Dn)));
        members.extend(draft.member_uids.iter().map(|&value| named(value, Named::Uid)));
        let (mut ranges, mut torn) = (Vec::new(), false);
        for value in &entry.values {
            let meaning = names.meaning(value.name());
            match (meaning.role, meaning.range) {
                (Role::Member, Some(range)) if ranges.last() != Some(&range) => ranges.push(range),
                (Role::MemberUid, Some(_)) => torn = true,
                _ => {}
            }
        }
        // By default Active Directory names one range, the first; nothing sound names a later one alone.
        let next = match ranges.as_slice() {
            [] => None,
            [range] if range.first == 0 => range.last.map(|last| last.saturating_add(1)),
            _ => {
                torn = true;
                None
            }
        };
        Listed { members, next, torn }
    }

    /// Reads on in lists that wait, as much as is good for one page.
    async fn add_rest(&self, pass: &mut Pass, page: &mut GroupPage) -> Result<(), SourceError> {
        let (mut searches, mut members) = (0, 0);
        while searches < SEARCHES
            && members < MEMBERS
            && let Some(waiting) = pass.waiting.pop_front()
        {
            match waiting {
                Waiting::Range { group, dn, next } => {
                    searches += 1;
                    members += self.add_range(group, dn, next, pass, page).await?;
                }
                Waiting::Gathered { group, rid, from } => {
                    members += self.add_gathered(group, rid, from, pass, page);
                }
                Waiting::Primary { groups, cookie } => {
                    searches += 1;
                    members += self.add_primary(groups, &cookie, pass, page).await?;
                }
            }
        }
        Ok(())
    }

    async fn add_range(
        &self,
        group: String,
        dn: String,
        next: u64,
        pass: &mut Pass,
        page: &mut GroupPage,
    ) -> Result<usize, SourceError> {
        let end = match self.options.range_size {
            Some(size) => next.saturating_add(u64::from(size.get()) - 1).to_string(),
            None => "*".to_owned(),
        };
        let attribute = format!("member;range={next}-{end}");
        // By its id: the group may have been renamed between two ranges.
        let base = if self.anchors_by_guid() { Base::guid(&group) } else { None };
        let mut search =
            one(base.unwrap_or_else(|| Base::named(dn.as_str())), &["objectClass", "uSNChanged", &attribute]);
        search.controls = self.group_search().controls;
        let answer = pass.connection.search(search).await?;
        let known = pass.open.get(&group).and_then(|open| open.version);
        let range = match answer.code {
            // Gone meanwhile.
            super::connection::code::NO_SUCH_OBJECT => None,
            _ => self.range_of(&answer.usable()?.entries, known),
        };
        let Some((range, given)) = range.filter(|(range, _)| range.first == next) else {
            // Changed meanwhile, shorter than it was, or gone: what was given is not the list of any one moment.
            close(&group, true, pass, page);
            return Ok(0);
        };
        let found = self.find(&pass.connection, pass.scan.as_ref(), given.iter()).await?;
        let whole = add_members(&group, pass, page, |row| members::add(row, &given, &found));
        let last = range.last.map(|last| last.saturating_add(1)).filter(|after| *after > next);
        match (range.last, last) {
            (None, _) => close(&group, !whole, pass, page),
            (Some(_), Some(after)) => {
                if let Some(open) = pass.open.get_mut(&group) {
                    open.partial |= !whole;
                }
                pass.waiting.push_front(Waiting::Range { group, dn, next: after });
            }
            // A range that does not go on would be asked for for ever.
            (Some(_), None) => close(&group, true, pass, page),
        }
        Ok(given.len())
    }

    /// The one range of members in an answer. `None` where the group has changed since it had this version: ranges go by place, and
    /// whoever is taken out of an early one moves somebody else over the border.
    fn range_of(
        &self,
        entries: &[Record<'static>],
        known: Option<u64>,
    ) -> Option<(crate::adapter::directory::names::Range, Vec<Named>)> {
        let mut names = self.names();
        let (mut found, mut members) = (None, Vec::new());
        for value in entries.iter().flat_map(|entry| &entry.values) {
            let meaning = names.meaning(value.name());
            if meaning.role == Role::Changed && known.is_some() {
                let version = std::str::from_utf8(value.octets()).ok().and_then(|text| text.parse().ok());
                if version != known {
                    return None;
                }
            }
            if meaning.role != Role::Member {
                continue;
            }
            let range = meaning.range?;
            if found.is_some_and(|known| known != range) {
                return None;
            }
            found = Some(range);
            let text = String::from_utf8(value.octets().to_vec());
            members.push(text.map_or(Named::Unreadable, Named::Dn));
        }
        found.map(|range| (range, members))
    }

    fn add_gathered(
        &self,
        group: String,
        rid: u32,
        from: usize,
        pass: &mut Pass,
        page: &mut GroupPage,
    ) -> usize {
        let Some(gathered) = self.gathered() else {
            // Too old by now: the server is asked.
            pass.waiting.push_back(Waiting::Primary { groups: vec![(rid, group)], cookie: Vec::new() });
            return 0;
        };
        let users = gathered.users.as_slice();
        let start = users.partition_point(|(other, _)| *other < rid);
        let end = users.partition_point(|(other, _)| *other <= rid);
        let part = users.get(start.saturating_add(from)..end).unwrap_or_default();
        let given = part.get(..MEMBERS.min(part.len())).unwrap_or_default();
        if !given.is_empty() {
            add_members(&group, pass, page, |row| {
                for (_, user) in given {
                    row.member_of_kind(user, MemberKind::User);
                }
                true
            });
        }
        if given.len() < part.len() {
            let from = from.saturating_add(given.len());
            pass.waiting.push_front(Waiting::Gathered { group, rid, from });
        } else {
            let unsure = self.unsure_of(rid, end > start);
            close(&group, unsure, pass, page);
        }
        given.len()
    }

    /// A page of the users who have one of these groups as primary group (rule E10): of the whole naming context, as `member` names
    /// users wherever they are, and whatever filter the host has.
    async fn add_primary(
        &self,
        groups: Vec<(u32, String)>,
        cookie: &[u8],
        pass: &mut Pass,
        page: &mut GroupPage,
    ) -> Result<usize, SourceError> {
        let any = Filter::any(groups.iter().map(|(rid, _)| Filter::equal("primaryGroupID", rid.to_string())));
        let search = Search {
            filter: Filter::all([self.user_classes(), any]),
            attributes: names(["objectClass", "primaryGroupID", self.anchor_attribute()]),
            ..self.below_context()
        };
        let (answer, next) = self.page(pass, search, cookie).await?;
        let answer = answer.usable()?;
        let mut all_names = self.names();
        let mut found: IndexMap<u32, Vec<String>> = IndexMap::new();
        let mut torn = answer.cut().is_some();
        for entry in &answer.entries {
            let draft = self.draft(entry, &mut all_names);
            match (&draft.anchor, draft.primary_group) {
                (Anchor::Sure(user) | Anchor::EntryUuid(user), super::PrimaryGroup::Rid(rid)) => {
                    found.entry(rid).or_default().push(user.clone());
                }
                _ => torn = true,
            }
        }
        for (rid, group) in &groups {
            let users = found.get(rid).map(Vec::as_slice).unwrap_or_default();
            if users.is_empty() {
                continue;
            }
            let unsure = self.unsure_of(*rid, true);
            add_members(group, pass, page, |row| {
                for user in users {
                    row.member_of_kind(user, MemberKind::User);
                }
                !unsure
            });
        }
        if !next.is_empty() && !torn {
            pass.waiting.push_front(Waiting::Primary { groups, cookie: next });
        } else {
            for (rid, group) in &groups {
                let unsure = torn || self.unsure_of(*rid, false);
                close(group, unsure, pass, page);
            }
        }
        Ok(answer.entries.len())
    }

    /// Whether users who show no `primaryGroupID` may have this group as theirs.
    fn unsure_of(&self, rid: u32, has_some: bool) -> bool {
        self.primary_hidden.load(Ordering::Relaxed) && (has_some || rid < OWN_RIDS)
    }
}

/// Goes on with a list that is open; `add` answers `false` where a member cannot be told.
fn add_members(
    group: &str,
    pass: &mut Pass,
    page: &mut GroupPage,
    add: impl FnOnce(&mut crate::source::GroupRow<'_>) -> bool,
) -> bool {
    let mut row = page.group(group);
    let open = pass.open.get_mut(group);
    if let Some(version) = open.as_ref().and_then(|open| open.version) {
        row.version(version);
    }
    let whole = add(&mut row);
    if let Some(open) = open {
        open.partial |= !whole;
    }
    whole
}

/// A part of a list is done; the list ends with its last one.
pub(super) fn close(group: &str, torn: bool, pass: &mut Pass, page: &mut GroupPage) {
    let Some(mut open) = pass.open.swap_remove(group) else { return };
    open.parts = open.parts.saturating_sub(1);
    open.partial |= torn;
    if open.parts > 0 {
        pass.open.insert(group.to_owned(), open);
        return;
    }
    let mut row = page.group(group);
    if let Some(version) = open.version {
        row.version(version);
    }
    if open.partial {
        row.members_partial();
    } else {
        row.members_complete();
    }
}

fn finish_or_wait(group: &str, open: OpenList, pass: &mut Pass, page: &mut GroupPage) {
    // Two rows of one anchor: nobody can say whose list it is.
    let twin = pass.open.get(group).map(|twin| twin.parts);
    let parts = open.parts + 1 + twin.unwrap_or_default();
    pass.open.insert(group.to_owned(), OpenList { parts, partial: open.partial || twin.is_some(), ..open });
    close(group, false, pass, page);
}
