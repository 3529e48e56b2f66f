//! What is read by anchor, list by list, page by page (rules C1, C5, E1, E9, X3).

use std::num::NonZeroUsize;
use std::sync::Mutex;

use identity_sync::memory::MemoryStore;
use identity_sync::{
    Asked, AssignmentPage, AssignmentSet, DirectorySource, ErrorKind, Existence, ExternalId, GroupPage,
    Guards, Host, IdentityStore, Issuer, Kind, MemberKind, MemberPage, Members, PageEnd, PageToken,
    Principal, Read, Run, Select, SourceCapabilities, SourceError, StoreCapabilities, StoreError, StoreId,
    StoreSelect, StoredGroupPage, StoredUserPage, UserPage, WriteBatch, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::FakeTimer;
use crate::world::{CORP, World, capabilities, lines};

/// A directory that can select a few anchors at a time.
fn selecting(most: usize) -> SourceCapabilities {
    SourceCapabilities::default().with_existence().with_select(NonZeroUsize::new(most).unwrap())
}

/// Notes what is asked for; a read that asks for one of some anchors ends in part, and fails some times before.
struct Asking<'w> {
    world: &'w World,
    asked: Mutex<Vec<String>>,
    partial: &'static str,
    /// How often each page fails, and how.
    fails: (usize, ErrorKind),
    failed: Mutex<usize>,
}

impl<'w> Asking<'w> {
    fn new(world: &'w World) -> Self {
        let (asked, failed) = (Mutex::default(), Mutex::default());
        Self { world, asked, partial: "", fails: (0, ErrorKind::Transient), failed }
    }

    fn end(&self, kind: Kind, read: Read<'_>, end: PageEnd) -> Result<PageEnd, SourceError> {
        {
            let mut failed = self.failed.lock().unwrap();
            if *failed < self.fails.0 {
                *failed += 1;
                return Err(SourceError::new(self.fails.1, "busy"));
            }
            *failed = 0;
        }
        let Select::Anchors(anchors) = read.select else { return Ok(end) };
        let mut asked = self.asked.lock().unwrap();
        asked.extend(anchors.iter().map(|anchor| format!("{kind} {anchor}")));
        let cut = anchors.iter().any(|anchor| anchor.as_str() == self.partial);
        Ok(if cut { PageEnd::partial("half of it") } else { end })
    }

    fn lines(&self, timer: Option<&FakeTimer>) -> Result<Vec<String>, String> {
        let host = Host::default();
        let host = match timer {
            Some(timer) => host.timer(timer),
            None => host,
        };
        let (w, run) = (self.world, Run::default());
        let found = block_on(reconcile(self, &w.store, &w.assigned, &w.options, &run, &host));
        found.map(|found| lines(&found.plan)).map_err(|error| error.to_string())
    }
}

#[async_trait::async_trait]
impl DirectorySource for Asking<'_> {
    fn identity(&self) -> Issuer {
        CORP.into()
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.world.source.capabilities.clone()
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        let end = self.world.source.read_users(read, page).await?;
        self.end(Kind::User, read, end)
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        let end = self.world.source.read_groups(read, page).await?;
        self.end(Kind::Group, read, end)
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        self.world.source.existence(asked).await
    }
}

#[test]
fn each_anchor_is_asked_for_as_what_it_is_said_to_be_and_once() {
    // rule E1
    let mut w = World::new();
    w.source.capabilities = selecting(2);
    w.users("ada bob kim");
    w.group("staff", "").member("ada", MemberKind::User).member("sub", MemberKind::Group);
    w.group("sub", "").member("ada", MemberKind::User).member("printer", MemberKind::Other);
    w.assign("staff kim");
    w.sync();
    let source = Asking::new(&w);
    source.lines(None).unwrap();
    let mut asked = source.asked.into_inner().unwrap();
    asked.sort_unstable();
    // The store knows what it has linked; of an assignment nobody knows, but for what is linked.
    assert_eq!(asked, ["group kim", "group staff", "group sub", "user ada", "user kim", "user staff"],);
}

#[test]
fn whatever_a_list_or_a_link_says_somebody_is_he_is_read_as_what_he_is() {
    // rules E1, E9: as a full read shows him
    let hints = [MemberKind::User, MemberKind::Group, MemberKind::Unknown, MemberKind::Foreign];
    for (hint, group) in hints.into_iter().flat_map(|hint| [(hint, false), (hint, true)]) {
        for linked in [None, Some(Kind::User), Some(Kind::Group)] {
            let mut w = World::new();
            w.options.guards = Guards::off();
            (w.options.allow_empty.users, w.options.allow_empty.groups) = (true, true);
            w.users("ada");
            w.group("staff", "").member("one", hint);
            if group {
                w.group("one", "ada");
            } else {
                w.users("one");
            }
            w.assign("staff");
            match linked {
                Some(Kind::User) => w.record(Kind::User, "x", "one", &[("userName", "old")]),
                Some(Kind::Group) => w.record(Kind::Group, "x", "one", &[("displayName", "old")]),
                None => {}
            }
            let full = w.lines();
            assert!(!full.is_empty());
            for most in [1, 2, 9] {
                w.source.capabilities = selecting(most);
                assert_eq!(w.lines(), full, "{hint:?}, group {group}, linked {linked:?}, {most} at a time");
            }
        }
    }
}

#[test]
fn one_part_of_a_selection_that_was_cut_short_makes_the_whole_read_partial() {
    // rule C1: whichever part it is
    for (kind, cut) in
        [("user", "a"), ("user", "b"), ("user", "c"), ("group", "g"), ("group", "h"), ("group", "i")]
    {
        let mut w = World::new();
        w.options.guards = Guards::off();
        w.source.capabilities = SourceCapabilities::default().with_select(NonZeroUsize::MIN);
        w.options.absence_is_proof = true;
        w.users("a b c x");
        ["g", "h", "i", "y"].into_iter().for_each(|group| {
            w.group(group, "");
        });
        w.assign("a b c x g h i y");
        w.sync();
        w.unassign("x");
        w.unassign("y");
        w.hide("x");
        w.hide("y");
        let mut source = Asking::new(&w);
        let deleted = |lines: &[String]| lines.iter().filter(|line| line.starts_with("delete")).count();
        assert_eq!(deleted(&source.lines(None).unwrap()), 2);
        source.partial = cut;
        let lines = source.lines(None).unwrap();
        assert_eq!(deleted(&lines), 0, "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with(&format!("blocked {kind}"))), "{lines:?}");
    }
}

#[test]
fn each_page_has_three_tries_and_an_error_for_good_has_one() {
    // rule X3
    let mut w = World::new();
    w.source.rows = 1;
    w.users("a b c");
    w.assign("a b c");
    let (mut source, timer) = (Asking::new(&w), FakeTimer::default());
    source.fails = (2, ErrorKind::Transient);
    assert_eq!(source.lines(Some(&timer)).unwrap().len(), 3);
    // Three pages of users and one of groups.
    assert_eq!(timer.millis(), [200, 400].repeat(4));
    let (mut source, timer) = (Asking::new(&w), FakeTimer::default());
    source.fails = (1, ErrorKind::Permanent);
    assert_eq!(source.lines(Some(&timer)), Err("reading source users failed".to_owned()));
    assert!(timer.millis().is_empty());
}

/// Lists members one by one, group by group.
struct Lists<'w> {
    world: &'w World,
    /// Whose list ends in part.
    partial: Option<StoreId>,
    users_partial: bool,
}

#[async_trait::async_trait]
impl IdentityStore for Lists<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.world.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let end = self.world.store.read_users(select, at, page).await?;
        Ok(if self.users_partial { PageEnd::partial("half of the users") } else { end })
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.world.store.read_groups(select, at, page).await
    }

    async fn read_members(
        &self,
        group: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let state = self.world.store.state();
        let members: Vec<&String> = state.groups[group.as_str()].members.iter().collect();
        let first: usize = at.and_then(PageToken::as_text).map_or(0, |text| text.parse().unwrap());
        members.get(first).into_iter().for_each(|member| page.member(member));
        if first + 1 < members.len() {
            return Ok(PageEnd::More(PageToken::new((first + 1).to_string().into_bytes())));
        }
        let cut = self.partial.as_ref() == Some(group);
        Ok(if cut { PageEnd::partial("half of the list") } else { PageEnd::COMPLETE })
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.world.store.write(batch).await
    }
}

#[test]
fn every_member_list_of_the_store_must_be_whole_and_so_must_the_users() {
    // rule C5
    let mut store = capabilities();
    store.members = Members::PerGroup;
    let mut w = World::with_store(store);
    w.users("a b c");
    for group in ["one", "two", "three"] {
        w.group(group, "a b c");
    }
    w.assign("one two three");
    w.sync();
    let plan = |partial: Option<&str>, users_partial| {
        let partial = partial.map(|group| w.id(group).as_str().into());
        w.plan_on(&Lists { world: &w, partial, users_partial }).map_err(|error| error.to_string())
    };
    assert!(plan(None, false).unwrap().is_empty());
    for group in ["one", "two", "three"] {
        let why = plan(Some(group), false).unwrap_err();
        assert_eq!(why, "the store was not read whole: half of the list");
    }
    assert_eq!(plan(None, true).unwrap_err(), "the store was not read whole: half of the users");
}

#[test]
fn the_members_of_a_group_that_another_issuer_has_linked_too_are_read() {
    // rules C5, M7
    let mut store = capabilities();
    store.members = Members::PerGroup;
    let mut w = World::with_store(store);
    w.users("a b");
    w.group("one", "a b");
    w.assign("one");
    w.sync();
    let id = w.id("one");
    let other = identity_sync::ExternalId::new("other", "x");
    w.store.state().groups.get_mut(&id).unwrap().external_ids.insert(0, other);
    w.edit_group("one").members("a");
    let plan = w.plan_on(&Lists { world: &w, partial: None, users_partial: false }).unwrap();
    assert_eq!(crate::world::lines(&plan)[0], "remove one: b (NoPath)");
}

#[test]
fn a_member_without_an_id_makes_a_list_that_comes_page_by_page_partial() {
    // rule C5
    let mut store = capabilities();
    store.members = Members::PerGroup;
    let mut w = World::with_store(store);
    w.users("a");
    w.group("one", "a");
    w.assign("one");
    w.sync();
    w.put_member(&w.id("one"), "");
    let error = w.plan_on(&Lists { world: &w, partial: None, users_partial: false }).unwrap_err();
    assert!(error.to_string().starts_with("the store was not read whole"), "{error}");
}

#[test]
fn members_that_come_page_by_page_are_counted_once() {
    // rules C5, S1
    let mut store = capabilities();
    store.members = Members::PerGroup;
    let mut w = World::with_store(store);
    w.users("a b c");
    w.group("one", "a b c");
    w.group("two", "a b c");
    w.assign("one two");
    w.sync();
    let plan = |w: &World| w.plan_on(&Lists { world: w, partial: None, users_partial: false });
    w.options.limits.edges = 6;
    assert!(plan(&w).unwrap().is_empty());
    w.options.limits.edges = 5;
    assert!(plan(&w).is_err());
}

/// Assignments on several pages.
struct Paged(Vec<Principal>);

#[async_trait::async_trait]
impl AssignmentSet for Paged {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, identity_sync::AssignmentError> {
        let first: usize = at.and_then(PageToken::as_text).map_or(0, |text| text.parse().unwrap());
        page.assign(self.0[first].clone());
        match first + 1 < self.0.len() {
            true => Ok(PageEnd::More(PageToken::new((first + 1).to_string().into_bytes()))),
            false => Ok(PageEnd::COMPLETE),
        }
    }
}

#[test]
fn assignments_on_several_pages_count_once_each_and_all() {
    // rules E1, E11
    let mut w = World::new();
    w.users("a b c");
    let principal = |issuer: &str, anchor: &str| Principal::External(ExternalId::new(issuer, anchor));
    let assigned = ["a", "b", "c"].map(|anchor| principal(CORP, anchor));
    let foreign = ["x", "y"].map(|anchor| principal("other", anchor));
    let paged = Paged(foreign.into_iter().chain(assigned).collect());
    let (run, host) = (Run::default(), Host::default());
    let found = block_on(reconcile(&w.source, &w.store, &paged, &w.options, &run, &host)).unwrap();
    let lines = lines(&found.plan);
    assert_eq!(found.plan.len(), 3);
    assert!(lines[3].contains(" 2 "), "{lines:?}");
}

#[test]
fn a_look_up_says_what_somebody_is_who_was_not_read() {
    // rules C3, E9: a group hides others, a user does not
    for (kind, removed) in
        [(MemberKind::User, true), (MemberKind::Group, false), (MemberKind::Unknown, false)]
    {
        let mut w = World::new();
        w.options.guards = Guards::off();
        w.users("ada bob");
        w.group("staff", "ada bob");
        w.assign("staff ada bob");
        w.sync();
        w.edit_group("staff").members("ada ghost");
        w.source.answers.insert("ghost".to_owned(), Existence::Exists { kind });
        assert_eq!(w.lines().iter().any(|line| line == "remove staff: bob (NoPath)"), removed, "{kind:?}");
    }
}

#[test]
fn every_page_of_both_sides_counts_the_last_one_too() {
    // rules C1, C5, P4
    for rows in 1..5 {
        let mut w = World::new();
        w.options.guards = Guards::off();
        w.store = MemoryStore::with_capabilities(capabilities()).with_page_size(rows);
        w.source.rows = rows;
        w.users("a b c d");
        for group in ["f", "g", "h", "i"] {
            w.group(group, "a b c d");
        }
        w.assign("a b c d f g h i");
        assert_eq!(w.plan().len(), 12, "{rows} rows a page");
        w.sync();
        // Whoever comes last on either side is compared as well.
        w.edit("d").set("title", "chief");
        w.edit_group("i").members("a b c");
        assert_eq!(
            w.lines(),
            ["remove i: d (NoPath)", "update user d [title:  -> chief] (Changed)"],
            "{rows} rows a page"
        );
    }
}
