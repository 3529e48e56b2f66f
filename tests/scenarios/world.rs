//! Builders: a directory, assignments and a store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use identity_sync::memory::{MemoryRecord, MemoryStore};
use identity_sync::{
    AccountState, ApplyOptions, ApplyReport, Asked, AssignmentError, AssignmentPage, AssignmentSet,
    Assignments, Completeness, Concurrency, DirectorySource, Existence, ExternalId, Generation, GroupPage,
    Guards, Host, IdentityStore, Issuer, Kind, MemberKind, Options, Origin, PageEnd, PageToken, Plan,
    PlanError, Principal, Read, ReconcileError, Run, RunState, SourceAnchor, SourceCapabilities, SourceError,
    SourceSnapshot, StoreCapabilities, StoreSnapshot, Timestamp, UserPage, apply, plan, reconcile,
};
use pollster::block_on;

pub(crate) use crate::lines::lines;

/// The issuer of every world.
pub(crate) const CORP: &str = "corp";
/// A plan without a line.
pub(crate) const NOTHING: [&str; 0] = [];

pub(crate) type Values = BTreeMap<String, Vec<String>>;

#[derive(Clone, Debug)]
pub(crate) struct UserRow {
    pub(crate) anchor: String,
    state: AccountState,
    version: Option<u64>,
    attributes: Values,
    unreadable: Vec<String>,
    withdrawn: bool,
}

impl UserRow {
    /// One value instead of all.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.attributes.insert(name.to_owned(), vec![value.to_owned()]);
        self
    }
    pub(crate) fn add(&mut self, name: &str, value: &str) -> &mut Self {
        self.attributes.entry(name.to_owned()).or_default().push(value.to_owned());
        self
    }
    pub(crate) fn unset(&mut self, name: &str) -> &mut Self {
        self.attributes.remove(name);
        self
    }
    pub(crate) fn state(&mut self, state: AccountState) -> &mut Self {
        self.state = state;
        self
    }
    pub(crate) fn disabled(&mut self) -> &mut Self {
        self.state(AccountState::Disabled)
    }
    pub(crate) fn version(&mut self, version: u64) -> &mut Self {
        self.version = Some(version);
        self
    }
    pub(crate) fn unreadable(&mut self, name: &str) -> &mut Self {
        self.unreadable.push(name.to_owned());
        self
    }
    /// All attributes can be read again.
    pub(crate) fn readable(&mut self) -> &mut Self {
        self.unreadable.clear();
        self
    }
    pub(crate) fn withdrawn(&mut self) -> &mut Self {
        self.withdrawn = true;
        self
    }
}

#[derive(Clone, Debug)]
pub(crate) struct GroupRow {
    pub(crate) anchor: String,
    version: Option<u64>,
    attributes: Values,
    members: Vec<(String, MemberKind)>,
    unresolved: Vec<(String, MemberKind)>,
    partial: bool,
    withdrawn: bool,
}

impl GroupRow {
    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.attributes.insert(name.to_owned(), vec![value.to_owned()]);
        self
    }
    /// These members, of whom the list says no kind.
    pub(crate) fn members(&mut self, anchors: &str) -> &mut Self {
        self.members = anchors.split_whitespace().map(|a| (a.to_owned(), MemberKind::Unknown)).collect();
        self
    }
    pub(crate) fn member(&mut self, anchor: &str, kind: MemberKind) -> &mut Self {
        self.members.push((anchor.to_owned(), kind));
        self
    }
    pub(crate) fn unresolved(&mut self, text: &str, kind: MemberKind) -> &mut Self {
        self.unresolved.push((text.to_owned(), kind));
        self
    }
    pub(crate) fn version(&mut self, version: u64) -> &mut Self {
        self.version = Some(version);
        self
    }

    pub(crate) fn partial(&mut self) -> &mut Self {
        self.partial = true;
        self
    }
    pub(crate) fn whole(&mut self) -> &mut Self {
        self.partial = false;
        self
    }
    pub(crate) fn withdrawn(&mut self) -> &mut Self {
        self.withdrawn = true;
        self
    }
}

/// What the directory answers.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) users: Vec<UserRow>,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) tombstones: Vec<String>,
    pub(crate) answers: BTreeMap<String, Existence>,
    pub(crate) users_read: Completeness,
    pub(crate) groups_read: Completeness,
    pub(crate) capabilities: SourceCapabilities,
    pub(crate) identity: Issuer,
    pub(crate) generation: Option<Generation>,
    pub(crate) rows: usize,
    /// The read that fails, and on which of its pages.
    pub(crate) fail: Option<(&'static str, usize)>,
    /// Every anchor that was asked about.
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Directory {
    fn page(&self, what: &'static str, at: Option<&PageToken>) -> Result<usize, SourceError> {
        let first: usize = at.and_then(PageToken::as_text).map_or(0, |text| text.parse().unwrap());
        match self.fail {
            Some((failing, page)) if failing == what && first == page * self.rows => {
                Err(SourceError::new(identity_sync::ErrorKind::Permanent, "cannot contact the directory"))
            }
            _ => Ok(first),
        }
    }

    fn end(&self, next: usize, rows: usize, read: &Completeness) -> PageEnd {
        if next < rows {
            PageEnd::More(PageToken::new(next.to_string().into_bytes()))
        } else {
            PageEnd::Last(read.clone())
        }
    }
}

#[async_trait::async_trait]
impl DirectorySource for Directory {
    fn identity(&self) -> Issuer {
        self.identity.clone()
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.capabilities.clone()
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        let first = self.page("users", read.at)?;
        if first == 0 {
            self.tombstones.iter().for_each(|anchor| page.tombstone(anchor));
        }
        let wanted = || self.users.iter().filter(|user| read.wants(&user.anchor));
        for user in wanted().skip(first).take(self.rows) {
            let mut row = page.user(&user.anchor);
            row.state(user.state);
            user.version.iter().for_each(|&version| {
                row.version(version);
            });
            for (name, values) in &user.attributes {
                values.iter().for_each(|value| {
                    row.attribute(name, value);
                });
            }
            user.unreadable.iter().for_each(|name| {
                row.unreadable(name);
            });
            if user.withdrawn {
                row.withdraw();
            }
        }
        Ok(self.end(first + self.rows, wanted().count(), &self.users_read))
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        let first = self.page("groups", read.at)?;
        let wanted = || self.groups.iter().filter(|group| read.wants(&group.anchor));
        for group in wanted().skip(first).take(self.rows) {
            let mut row = page.group(&group.anchor);
            group.version.iter().for_each(|&version| {
                row.version(version);
            });
            for (name, values) in &group.attributes {
                values.iter().for_each(|value| {
                    row.attribute(name, value);
                });
            }
            for (member, kind) in &group.members {
                row.member_of_kind(member, *kind);
            }
            for (text, kind) in &group.unresolved {
                row.unresolved(text, *kind);
            }
            if group.partial {
                row.members_partial()
            } else {
                row.members_complete()
            };
            if group.withdrawn {
                row.withdraw();
            }
        }
        Ok(self.end(first + self.rows, wanted().count(), &self.groups_read))
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        self.page("look-ups", None)?;
        for (anchor, answer) in asked.iter_mut() {
            self.asked.lock().unwrap().push(anchor.as_str().to_owned());
            *answer = self.answers.get(anchor.as_str()).copied().unwrap_or_default();
        }
        Ok(())
    }

    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        Ok(self.generation.clone())
    }
}

/// Who was given access.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) principals: BTreeSet<Principal>,
    pub(crate) read: Completeness,
    pub(crate) fail: bool,
}

#[async_trait::async_trait]
impl AssignmentSet for Assigned {
    async fn read_assignments(
        &self,
        _at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        if self.fail {
            return Err(AssignmentError::new(identity_sync::ErrorKind::Permanent, "no assignments today"));
        }
        self.principals.iter().for_each(|principal| page.assign(principal.clone()));
        Ok(PageEnd::Last(self.read.clone()))
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) source: Directory,
    pub(crate) assigned: Assigned,
    pub(crate) store: MemoryStore,
    pub(crate) options: Options,
}

pub(crate) fn capabilities() -> StoreCapabilities {
    let mut capabilities = StoreCapabilities::named("app");
    capabilities.concurrency = Concurrency::Conditional;
    capabilities
}

/// No limit but what is set.
pub(crate) fn guards(set: impl FnOnce(&mut Guards)) -> Guards {
    let mut guards = Guards::off();
    set(&mut guards);
    guards
}

pub(crate) fn partial() -> Completeness {
    Completeness::partial("time limit exceeded")
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_store(capabilities())
    }

    pub(crate) fn with_store(capabilities: StoreCapabilities) -> Self {
        Self {
            source: Directory {
                users: Vec::new(),
                groups: Vec::new(),
                tombstones: Vec::new(),
                answers: BTreeMap::new(),
                users_read: Completeness::Complete,
                groups_read: Completeness::Complete,
                capabilities: SourceCapabilities::default().with_existence(),
                identity: CORP.into(),
                generation: None,
                rows: 3,
                fail: None,
                asked: Mutex::default(),
            },
            assigned: Assigned { principals: BTreeSet::new(), read: Completeness::Complete, fail: false },
            store: MemoryStore::with_capabilities(capabilities),
            options: Options::for_issuer(CORP),
        }
    }

    /// Users whose login is their anchor.
    pub(crate) fn users(&mut self, anchors: &str) {
        anchors.split_whitespace().for_each(|anchor| {
            self.user(anchor);
        });
    }

    pub(crate) fn user(&mut self, anchor: &str) -> &mut UserRow {
        self.source.users.push(UserRow {
            anchor: anchor.to_owned(),
            state: AccountState::Enabled,
            version: None,
            attributes: Values::from([("userPrincipalName".to_owned(), vec![anchor.to_owned()])]),
            unreadable: Vec::new(),
            withdrawn: false,
        });
        self.source.users.last_mut().unwrap()
    }

    /// A group whose name is its anchor.
    pub(crate) fn group(&mut self, anchor: &str, members: &str) -> &mut GroupRow {
        self.source.groups.push(GroupRow {
            anchor: anchor.to_owned(),
            version: None,
            attributes: Values::from([("cn".to_owned(), vec![anchor.to_owned()])]),
            members: Vec::new(),
            unresolved: Vec::new(),
            partial: false,
            withdrawn: false,
        });
        self.source.groups.last_mut().unwrap().members(members)
    }

    pub(crate) fn edit(&mut self, anchor: &str) -> &mut UserRow {
        self.source.users.iter_mut().find(|row| row.anchor == anchor).unwrap()
    }

    pub(crate) fn edit_group(&mut self, anchor: &str) -> &mut GroupRow {
        self.source.groups.iter_mut().find(|row| row.anchor == anchor).unwrap()
    }

    /// No row of it any more; nothing says why.
    pub(crate) fn hide(&mut self, anchor: &str) {
        self.source.users.retain(|row| row.anchor != anchor);
        self.source.groups.retain(|row| row.anchor != anchor);
    }

    /// Deleted in the directory, which can prove it.
    pub(crate) fn delete(&mut self, anchor: &str) {
        self.hide(anchor);
        for group in &mut self.source.groups {
            group.members.retain(|(member, _)| member != anchor);
        }
        self.source.answers.insert(anchor.to_owned(), Existence::Gone);
    }

    pub(crate) fn assign(&mut self, anchors: &str) {
        let named =
            anchors.split_whitespace().map(|anchor| Principal::External(ExternalId::new(CORP, anchor)));
        self.assigned.principals.extend(named);
    }

    pub(crate) fn unassign(&mut self, anchor: &str) {
        self.assigned.principals.remove(&Principal::External(ExternalId::new(CORP, anchor)));
    }

    /// A record in the store that is linked to an anchor, active, by a reconcile.
    pub(crate) fn record(&mut self, kind: Kind, id: &str, anchors: &str, attributes: &[(&str, &str)]) {
        let links = anchors.split_whitespace().map(|anchor| ExternalId::new(CORP, anchor)).collect();
        self.put(kind, id, MemoryRecord { external_ids: links, ..record(attributes) });
    }

    pub(crate) fn put(&mut self, kind: Kind, id: &str, record: MemoryRecord) {
        let mut state = self.store.state();
        let records = if kind == Kind::User { &mut state.users } else { &mut state.groups };
        records.insert(id.to_owned(), record);
    }

    /// Puts somebody into a group behind the engine's back.
    pub(crate) fn put_member(&mut self, group: &str, member: &str) {
        self.store.state().groups.get_mut(group).unwrap().members.insert(member.to_owned());
    }

    /// The store id of the one record that carries an anchor.
    pub(crate) fn id(&self, anchor: &str) -> String {
        let state = self.store.state();
        let link = ExternalId::new(CORP, anchor);
        let mut found =
            state.users.iter().chain(&state.groups).filter(|(_, r)| r.external_ids.contains(&link));
        let id = found.next().map(|(id, _)| id.clone()).unwrap_or_else(|| panic!("no record of {anchor}"));
        assert!(found.next().is_none(), "{anchor} has two records");
        id
    }

    pub(crate) fn try_plan(&self) -> Result<Plan, ReconcileError> {
        self.plan_on(&self.store)
    }

    pub(crate) fn plan_on<S: IdentityStore + ?Sized>(&self, store: &S) -> Result<Plan, ReconcileError> {
        // As in any run but the first: earlier ones are known, and left nothing behind.
        let issuer = self.options.issuer.clone().unwrap_or(CORP.into());
        let state = remembered(&store.capabilities().identity, issuer);
        let (run, host) = (Run::new(state, Timestamp(0)), Host::default());
        Ok(block_on(reconcile(&self.source, store, &self.assigned, &self.options, &run, &host))?.plan)
    }

    pub(crate) fn plan(&self) -> Plan {
        self.try_plan().unwrap()
    }

    /// The plan, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.plan())
    }

    /// Why there is no plan.
    pub(crate) fn refused(&self) -> PlanError {
        match self.try_plan() {
            Err(ReconcileError::Plan(error)) => error,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// Plans and applies once.
    pub(crate) fn run(&self) -> ApplyReport {
        let plan = self.plan();
        block_on(apply(&plan, &self.store, &ApplyOptions::default(), &Host::default())).unwrap()
    }

    /// Plans and applies; nothing is left to do then.
    pub(crate) fn sync(&self) {
        let report = self.run();
        assert!(report.is_success(), "{report}");
        assert!(self.plan().is_empty(), "does not come to rest:\n{}", self.plan());
    }

    /// What the store holds, by anchors.
    pub(crate) fn dump(&self) -> Vec<String> {
        dump(&self.store)
    }
}

/// What is remembered of a run that had nothing to do.
pub(crate) fn remembered(store: &str, issuer: Issuer) -> RunState {
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    source.users_end(Completeness::Complete);
    source.groups_end(Completeness::Complete);
    let store = StoreSnapshot::builder(StoreCapabilities::named(store)).finish(Completeness::Complete);
    let (nobody, options) = (Assignments::complete([]), Options::for_issuer(issuer));
    plan(&source.finish(), &store, &nobody, &options, &Run::default()).unwrap().run
}

/// A record of nobody's.
pub(crate) fn record(attributes: &[(&str, &str)]) -> MemoryRecord {
    let mut values = Values::new();
    for (name, value) in attributes {
        values.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    MemoryRecord { attributes: values, origin: Some(Origin::Synced), ..MemoryRecord::default() }
}

pub(crate) fn dump(store: &MemoryStore) -> Vec<String> {
    let state = store.state();
    let name = |id: &str| {
        let record = state.users.get(id).or_else(|| state.groups.get(id));
        match record.map(|record| record.external_ids.as_slice()) {
            Some([link]) => link.value.as_str().to_owned(),
            _ => format!("#{id}"),
        }
    };
    let mut lines = Vec::new();
    for (id, user) in &state.users {
        let active = if user.active { "" } else { " inactive" };
        let jit = if user.origin == Some(Origin::Jit) { " jit" } else { "" };
        lines.push(format!("user {}{active}{jit} [{}]", name(id), spelled(&user.attributes)));
    }
    for (id, group) in &state.groups {
        let mut members: Vec<String> = group.members.iter().map(|member| name(member)).collect();
        members.sort_unstable();
        lines.push(format!("group {} [{}]: {}", name(id), spelled(&group.attributes), members.join(" ")));
    }
    lines.sort_unstable();
    lines
}

pub(crate) fn spelled(values: &Values) -> String {
    let each = values.iter().map(|(name, values)| format!("{name}={}", values.join("|")));
    each.collect::<Vec<_>>().join(" ")
}

pub(crate) fn anchor(text: &str) -> SourceAnchor {
    SourceAnchor::from(text)
}
