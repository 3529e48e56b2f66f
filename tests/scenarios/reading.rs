//! Reading by anchor, reading all, and reading through forwarding impls (rules E1, C3, C4).

use std::num::NonZeroUsize;
use std::sync::Arc;

use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
use identity_sync::{
    AccountState, Asked, AssignmentPage, AssignmentSet, Completeness, Deprovision, DirectorySource,
    Existence, GroupPage, Guards, Host, IdentityStore, MemberKind, MemberPage, Members, Options, Read,
    ReconcileError, Run, SourceCapabilities, StoreId, StoreSelect, StoredUserPage, UserPage, WriteBatch,
    reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::world::{CORP, capabilities, lines, partial, record};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// A small directory, a store that is partly in step with it, and assignments.
fn directory(seed: u64) -> (MemoryDirectory, MemoryStore, MemoryAssignments, Options) {
    let mut dice = Dice(seed);
    let mut source = MemoryDirectory::new(CORP).with_page_size(1 + dice.roll(4));
    let store = MemoryStore::with_capabilities(capabilities());
    let objects = 12;
    for i in 0..objects {
        match dice.roll(8) {
            0 => {
                source.tombstones.insert(format!("o{i}"));
            }
            1 => {}
            2..5 => {
                let members: Vec<String> =
                    (0..dice.roll(5)).map(|_| format!("o{}", dice.roll(objects))).collect();
                let members: Vec<&str> = members.iter().map(String::as_str).collect();
                let name = format!("name {}", dice.roll(objects * 4));
                source.add_group(&format!("o{i}"), &[("cn", &name)], &members).members_partial =
                    dice.roll(12) == 0;
            }
            _ => {
                let name = format!("login{}", dice.roll(objects * 4));
                let user = source.add_user(&format!("o{i}"), &[("userPrincipalName", &name)]);
                user.state =
                    [AccountState::Enabled, AccountState::Enabled, AccountState::Disabled][dice.roll(3)];
            }
        }
        if dice.roll(3) == 0 {
            let mut state = store.state();
            let link = identity_sync::ExternalId::new(CORP, format!("o{i}"));
            let group = source.groups.contains_key(&format!("o{i}")) || dice.roll(10) == 0;
            let name = format!("{} {}", if group { "name" } else { "held" }, dice.roll(objects * 4));
            let mut row = record(&[(if group { "displayName" } else { "userName" }, &format!("{name}.{i}"))]);
            row.external_ids.push(link);
            if group {
                row.members = (0..dice.roll(4)).map(|_| format!("s{}", dice.roll(objects))).collect();
                state.groups.insert(format!("s{i}"), row);
            } else {
                state.users.insert(format!("s{i}"), row);
            }
        }
    }
    for read in [&mut source.users_read, &mut source.groups_read] {
        *read = if dice.roll(10) == 0 { partial() } else { Completeness::Complete };
    }
    let mut assigned = MemoryAssignments::of(CORP, &[]);
    for _ in 0..1 + dice.roll(3) {
        assigned.assign(CORP, format!("o{}", dice.roll(objects)));
    }
    let mut options = Options::for_issuer(CORP);
    options.guards = Guards::off();
    options.users.left_scope =
        [Deprovision::Keep, Deprovision::Deactivate, Deprovision::Delete][dice.roll(3)];
    options.groups.left_scope = options.users.left_scope;
    options.allow_empty.users = true;
    options.allow_empty.groups = true;
    options.allow_empty.assignments = true;
    (source, store, assigned, options)
}

fn operations<D, S, A>(
    source: &D,
    store: &S,
    assigned: &A,
    options: &Options,
) -> Result<Vec<String>, ReconcileError>
where
    D: DirectorySource + ?Sized,
    S: IdentityStore + ?Sized,
    A: AssignmentSet + ?Sized,
{
    let (run, host) = (Run::default(), Host::default());
    let plan = block_on(reconcile(source, store, assigned, options, &run, &host))?.plan;
    Ok(lines(&plan).into_iter().take(plan.len()).collect())
}

#[test]
fn reading_by_anchor_gives_the_operations_that_a_full_read_gives() {
    // rules E1, C2, C3
    let mut operations_seen = 0;
    for seed in 0..300 {
        let (source, store, assigned, options) = directory(seed);
        let full = source.clone().with_capabilities(SourceCapabilities::default().with_existence());
        let most = NonZeroUsize::new(1 + (seed % 5) as usize).unwrap();
        let some = source.with_capabilities(SourceCapabilities::default().with_existence().with_select(most));
        let (full, some) =
            (operations(&full, &store, &assigned, &options), operations(&some, &store, &assigned, &options));
        let (full, some) = (full.unwrap(), some.unwrap());
        assert_eq!(some, full, "seed {seed}");
        operations_seen += full.len();
    }
    assert!(operations_seen > 1_000, "only {operations_seen} operations");
}

/// Notes which anchors were asked for.
struct Watched<D>(D, std::sync::Mutex<Vec<String>>);

#[async_trait::async_trait]
impl<D: DirectorySource> DirectorySource for Watched<D> {
    fn identity(&self) -> identity_sync::SourceIdentity {
        self.0.identity()
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.0.capabilities()
    }

    async fn read_users(
        &self,
        read: Read<'_>,
        page: &mut UserPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::SourceError> {
        if let identity_sync::Select::Anchors(anchors) = read.select {
            self.1.lock().unwrap().extend(anchors.iter().map(|anchor| anchor.as_str().to_owned()));
        }
        self.0.read_users(read, page).await
    }

    async fn read_groups(
        &self,
        read: Read<'_>,
        page: &mut GroupPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::SourceError> {
        if let identity_sync::Select::Anchors(anchors) = read.select {
            self.1.lock().unwrap().extend(anchors.iter().map(|anchor| anchor.as_str().to_owned()));
        }
        self.0.read_groups(read, page).await
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), identity_sync::SourceError> {
        self.0.existence(asked).await
    }
}

#[test]
fn only_what_is_assigned_below_that_or_linked_is_read() {
    // rule E1
    let mut source = MemoryDirectory::new(CORP);
    for anchor in ["ada", "bob", "kim", "far"] {
        source.add_user(anchor, &[("userPrincipalName", anchor)]);
    }
    source.add_group("staff", &[("cn", "staff")], &["sub"]);
    source.add_group("sub", &[("cn", "sub")], &["ada"]);
    source.add_group("other", &[("cn", "other")], &["far"]);
    let store = MemoryStore::new("app");
    let mut kim = record(&[("userName", "kim")]);
    kim.external_ids.push(identity_sync::ExternalId::new(CORP, "kim"));
    store.state().users.insert("k".to_owned(), kim);
    let watched = Watched(source, std::sync::Mutex::default());
    let found =
        operations(&watched, &store, &MemoryAssignments::of(CORP, &["staff"]), &Options::for_issuer(CORP))
            .unwrap();
    assert_eq!(found.len(), 5);
    let mut asked = watched.1.into_inner().unwrap();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, ["ada", "kim", "staff", "sub"]);
}

/// A directory whose calls fail with this, so many times; or that gives the same page token for ever.
struct Flaky {
    directory: MemoryDirectory,
    failures: std::sync::Mutex<usize>,
    stuck: bool,
}

#[async_trait::async_trait]
impl DirectorySource for Flaky {
    fn identity(&self) -> identity_sync::SourceIdentity {
        self.directory.identity()
    }

    async fn read_users(
        &self,
        read: Read<'_>,
        page: &mut UserPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::SourceError> {
        let end = self.directory.read_users(read, page).await?;
        if self.stuck {
            return Ok(identity_sync::PageEnd::More(identity_sync::PageToken::new(*b"again")));
        }
        let mut left = self.failures.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            // Rows are on the page already: they count only once the call succeeds.
            return Err(identity_sync::SourceError::new(identity_sync::ErrorKind::Transient, "busy"));
        }
        Ok(end)
    }

    async fn read_groups(
        &self,
        read: Read<'_>,
        page: &mut GroupPage,
    ) -> Result<identity_sync::PageEnd, identity_sync::SourceError> {
        self.directory.read_groups(read, page).await
    }
}

fn flaky(failures: usize, stuck: bool) -> (Result<usize, String>, Vec<u128>) {
    let mut directory = MemoryDirectory::new(CORP).with_page_size(1);
    for anchor in ["ada", "bob"] {
        directory.add_user(anchor, &[("userPrincipalName", anchor)]);
    }
    let source = Flaky { directory, failures: failures.into(), stuck };
    let timer = crate::faulty::FakeTimer::default();
    let (run, host) = (Run::default(), Host::default());
    let (store, assigned) = (MemoryStore::new("app"), MemoryAssignments::of(CORP, &["ada", "bob"]));
    let host = host.timer(&timer);
    let found = block_on(reconcile(&source, &store, &assigned, &Options::for_issuer(CORP), &run, &host));
    (found.map(|found| found.plan.len()).map_err(|error| error.to_string()), timer.millis())
}

#[test]
fn a_busy_directory_is_asked_again_and_gives_no_plan_after_three_tries() {
    // rules C1, X3
    assert_eq!(flaky(0, false), (Ok(2), vec![]));
    assert_eq!(flaky(2, false), (Ok(2), vec![200, 400]));
    assert_eq!(flaky(3, false), (Err("reading source users failed".to_owned()), vec![200, 400]));
}

#[test]
fn a_directory_that_repeats_a_page_for_ever_is_stopped() {
    // rules S1, C1
    assert_eq!(flaky(0, true).0, Err("reading source users repeats a page".to_owned()));
}

fn forwards_source(source: impl DirectorySource) {
    assert_eq!(source.identity().as_str(), CORP);
    let capabilities = source.capabilities();
    assert!(capabilities.existence && capabilities.select.is_some());
    let anchors = ["gone".into(), "ada".into(), "unknown".into()];
    let mut asked = Asked::new(&anchors);
    block_on(source.existence(&mut asked)).unwrap();
    let answers: Vec<Existence> = asked.answers().map(|(_, answer)| answer).collect();
    assert_eq!(answers, [Existence::Gone, Existence::Exists { kind: MemberKind::User }, Existence::Unknown]);
    let (mut users, mut groups) = (UserPage::default(), GroupPage::default());
    block_on(source.read_users(Read::ALL, &mut users)).unwrap();
    block_on(source.read_groups(Read::ALL, &mut groups)).unwrap();
    assert_eq!((users.users().count(), groups.groups().count()), (1, 1));
}

fn forwards_store(store: impl IdentityStore) {
    assert_eq!(store.capabilities().members, Members::PerGroup);
    assert_eq!(store.capabilities().identity, "app");
    let mut page = StoredUserPage::default();
    block_on(store.read_users(StoreSelect::All, None, &mut page)).unwrap();
    assert_eq!(page.len(), 1);
    let mut page = MemberPage::default();
    block_on(store.read_members(&StoreId::from("g"), None, &mut page)).unwrap();
    assert_eq!(page.iter().collect::<Vec<_>>(), ["u"]);
    let mut batch = WriteBatch::new();
    let id = StoreId::from("u");
    batch.push(identity_sync::Write::SetActive { id: &id, version: None, active: true });
    block_on(store.write(&mut batch)).unwrap();
    assert!(batch.items().all(|item| item.is_answered()));
}

fn forwards_assignments(assigned: impl AssignmentSet) {
    let mut page = AssignmentPage::default();
    block_on(assigned.read_assignments(None, &mut page)).unwrap();
    assert_eq!(page.principals().len(), 1);
}

#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "the impl for references is what is tested")]
fn references_boxes_and_arcs_lose_no_capability_and_no_look_up() {
    // rules C3, C5
    let mut source = MemoryDirectory::new(CORP);
    source.add_user("ada", &[]);
    source.add_group("staff", &[], &["ada"]);
    source.tombstones.insert("gone".to_owned());
    forwards_source(&source);
    forwards_source(Box::new(source.clone()));
    forwards_source(Arc::new(source.clone()));
    forwards_source(&Arc::new(Box::new(source.clone()) as Box<dyn DirectorySource>));
    let store = || {
        let mut capabilities = capabilities();
        capabilities.members = Members::PerGroup;
        let store = MemoryStore::with_capabilities(capabilities);
        store.state().users.insert("u".to_owned(), record(&[]));
        let mut group = record(&[]);
        group.members.insert("u".to_owned());
        store.state().groups.insert("g".to_owned(), group);
        store
    };
    forwards_store(&store());
    forwards_store(Box::new(store()));
    forwards_store(Arc::new(store()));
    forwards_store(&Arc::new(Box::new(store()) as Box<dyn IdentityStore>));
    let assigned = MemoryAssignments::of(CORP, &["ada"]);
    forwards_assignments(&assigned);
    forwards_assignments(Box::new(assigned.clone()));
    forwards_assignments(Arc::new(assigned.clone()));
    forwards_assignments(&Arc::new(Box::new(assigned) as Box<dyn AssignmentSet>));
}

#[test]
fn a_reconcile_through_trait_objects_deletes_as_one_without_them() {
    // rule C3
    let mut source = MemoryDirectory::new(CORP);
    source.add_user("ada", &[("userPrincipalName", "ada")]);
    source.add_user("bob", &[("userPrincipalName", "bob")]);
    let store = MemoryStore::new("app");
    for anchor in ["ada", "bob"] {
        let mut row = record(&[("userName", anchor)]);
        row.external_ids.push(identity_sync::ExternalId::new(CORP, anchor));
        store.state().users.insert(anchor.to_owned(), row);
    }
    source.remove("bob");
    let assigned = MemoryAssignments::of(CORP, &["ada"]);
    let source: Box<dyn DirectorySource> = Box::new(source);
    let store: Arc<dyn IdentityStore> = Arc::new(store);
    let assigned: Box<dyn AssignmentSet> = Box::new(assigned);
    let found = operations(&*source, &*store, &*assigned, &Options::for_issuer(CORP)).unwrap();
    assert_eq!(found, ["delete user bob (DeletedInSource)"]);
    assert_eq!(operations(&source, &store, &assigned, &Options::for_issuer(CORP)).unwrap(), found);
}

#[test]
fn under_direct_only_the_members_of_nested_groups_are_not_asked_for() {
    // rules E8, E1
    let mut source = MemoryDirectory::new(CORP);
    for anchor in ["ada", "bob"] {
        source.add_user(anchor, &[("userPrincipalName", anchor)]);
    }
    source.add_group("staff", &[("cn", "staff")], &["sub", "bob"]);
    source.add_group("sub", &[("cn", "sub")], &["ada"]);
    let store = MemoryStore::new("app");
    let watched = Watched(source, std::sync::Mutex::default());
    let mut options = Options::for_issuer(CORP);
    options.nesting = identity_sync::Nesting::DirectOnly;
    let found = operations(&watched, &store, &MemoryAssignments::of(CORP, &["staff"]), &options).unwrap();
    assert_eq!(
        found,
        [
            "create user bob [userName=bob] (Entitled)",
            "create group staff [displayName=staff] (Entitled)",
            "add staff: bob (Entitled)",
        ]
    );
    let mut asked = watched.1.into_inner().unwrap();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, ["bob", "staff", "sub"]);
}

#[test]
fn canaries_are_asked_for_once_and_only_where_they_were_not_seen() {
    // rules C6, E1
    let mut source = MemoryDirectory::new(CORP);
    source.add_user("ada", &[("userPrincipalName", "ada")]);
    source.add_group("staff", &[("cn", "staff")], &["ada"]);
    let watched = Watched(source, std::sync::Mutex::default());
    let store = MemoryStore::new("app");
    let mut options = Options::for_issuer(CORP);
    // Canaries are asked for, and only those that were not seen before.
    options.canaries.users.extend(["ada".into(), "kim".into()]);
    options.canaries.groups.extend(["staff".into(), "other".into()]);
    operations(&watched, &store, &MemoryAssignments::of(CORP, &["staff"]), &options).unwrap();
    let asked = watched.1.into_inner().unwrap();
    let times = |anchor: &str| asked.iter().filter(|asked| *asked == anchor).count();
    assert_eq!((times("kim"), times("other")), (1, 1));
    // The list says that ada is a user; of an assignment nobody knows.
    assert_eq!((times("ada"), times("staff")), (1, 2));
}

#[test]
fn a_sign_in_asks_for_one_identity_where_the_source_can_select() {
    // rule J1
    let mut source = MemoryDirectory::new(CORP);
    for anchor in ["ada", "bob"] {
        source.add_user(anchor, &[("userPrincipalName", anchor)]);
    }
    let watched = Watched(source, std::sync::Mutex::default());
    let store = MemoryStore::new("app");
    let (run, host) = (Run::default(), Host::default());
    let who = crate::world::anchor("ada");
    let signed =
        block_on(identity_sync::sign_in(&watched, &store, &who, &Options::for_issuer(CORP), &run, &host));
    assert!(signed.unwrap().allowed);
    assert_eq!(watched.1.into_inner().unwrap(), ["ada"]);
}
