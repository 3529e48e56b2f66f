//! A world in the library's own terms, by pages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use identity_sync::{
    AccountState, Activation, Adoption, Assignments, AttributeSchema, Completeness, DeactivatedBy,
    DeactivationMemory, Deprovision, Existence, Extent, ExternalId, Generation, GroupPage, Guards, Limit,
    MatchRule, MemberKind, MemberRemovals, Members, MembershipsOnDelete, Missing, Nesting, OnTrip, Options,
    Origin, Period, Principal, Reactivate, Sensitivity, SourceAnchor, SourceCapabilities, SourceSnapshot,
    StoreCapabilities, StoreSnapshot, StoredGroupPage, StoredUserPage, UnmanagedMembers, UserPage,
};

use super::world::{
    Answer, Assigned, Fate, Group, Guard, Hint, List, Member, Policy, Record, State, User, World,
};

pub const ISSUER: &str = "corp";
const SOURCE_NAMES: [&str; 6] = ["userPrincipalName", "cn", "displayName", "mail", "title", "description"];
const STORE_NAMES: [&str; 6] = ["userName", "displayName", "displayName", "emails", "title", "description"];
/// Rows on a page.
const ROWS: usize = 3;

/// What planning takes.
pub struct Built {
    pub source: SourceSnapshot,
    pub store: StoreSnapshot,
    pub assignments: Assignments,
    pub options: Options,
}

/// Builds worlds; every text of them ends with the same one.
#[derive(Clone, Copy)]
pub struct Builder<'t> {
    pub ending: &'t str,
    /// Rows, values and members come in the opposite order.
    pub reversed: bool,
}

impl Builder<'_> {
    pub fn build(self, world: &World<'_>) -> Built {
        let options = self.options(world);
        Built {
            source: self.source(world, &options),
            store: self.store(world),
            assignments: self.assignments(world),
            options,
        }
    }

    /// A text of the world, as this builder gives it.
    pub fn text(self, text: String) -> String {
        text + self.ending
    }

    fn ordered<T>(self, items: &[T]) -> Vec<&T> {
        let mut items: Vec<&T> = items.iter().collect();
        if self.reversed {
            items.reverse();
        }
        items
    }

    fn source(self, world: &World<'_>, options: &Options) -> SourceSnapshot {
        let mut capabilities = SourceCapabilities::default().with_existence();
        capabilities.account_state = !world.capabilities.no_account_state;
        let mut builder = SourceSnapshot::builder(ISSUER, capabilities).limits(options.limits);
        builder.generation(world.generation.map(|n| Generation::new(self.text("dc".into()), n.into())));
        for rows in self.ordered(&world.users).chunks(ROWS) {
            let mut page = UserPage::with_limits(options.limits);
            rows.iter().for_each(|user| self.user(&mut page, user));
            let _ = builder.users(&page);
        }
        for rows in self.groups(world).chunks(ROWS) {
            let mut page = GroupPage::with_limits(options.limits);
            rows.iter().for_each(|group| self.group(&mut page, group));
            let _ = builder.groups(&page);
        }
        builder.users_end(self.completeness(world.users_read));
        builder.groups_end(self.completeness(world.groups_read));
        let answers: BTreeMap<SourceAnchor, Existence> = world
            .existence
            .iter()
            .map(|(anchor, answer)| (SourceAnchor::from(self.text(anchor.text())), existence(*answer)))
            .collect();
        builder.finish().with_existence(answers.iter().map(|(anchor, answer)| (anchor, *answer)))
    }

    /// A list may go on in a later row of its group: the rows of one group keep their order.
    fn groups<'w, 'a>(self, world: &'w World<'a>) -> Vec<&'w Group<'a>> {
        let groups = self.ordered(&world.groups);
        let mut in_order: BTreeMap<String, VecDeque<&Group<'a>>> = BTreeMap::new();
        for group in &world.groups {
            in_order.entry(group.anchor.text()).or_default().push_back(group);
        }
        let next = groups.iter().map(|group| in_order.get_mut(&group.anchor.text())?.pop_front());
        next.flatten().collect()
    }

    fn user(self, page: &mut UserPage, user: &User<'_>) {
        let anchor = self.text(user.anchor.text());
        match user.fate {
            Fate::Tombstone => return page.tombstone(&anchor),
            Fate::Unidentified => return page.unidentified(),
            _ => {}
        }
        let mut row = page.user(&anchor);
        row.state(match user.state {
            State::Enabled | State::Active => AccountState::Enabled,
            State::Disabled => AccountState::Disabled,
            State::Unknown => AccountState::Unknown,
        });
        if let Some(version) = user.version {
            row.version(version.into());
        }
        for (name, value) in self.ordered(&user.attributes) {
            row.attribute(name_of(&SOURCE_NAMES, *name), &self.text(value.text()));
        }
        if let Some(name) = user.unreadable {
            row.unreadable(name_of(&SOURCE_NAMES, name));
        }
        if user.fate == Fate::Withdrawn {
            row.withdraw();
        }
    }

    fn group(self, page: &mut GroupPage, group: &Group<'_>) {
        let anchor = self.text(group.anchor.text());
        match group.fate {
            Fate::Tombstone => return page.tombstone(&anchor),
            Fate::Unidentified => return page.unidentified(),
            _ => {}
        }
        let mut row = page.group(&anchor);
        if let Some(version) = group.version {
            row.version(version.into());
        }
        for (name, value) in self.ordered(&group.attributes) {
            row.attribute(name_of(&SOURCE_NAMES, *name), &self.text(value.text()));
        }
        if let Some(name) = group.unreadable {
            row.unreadable(name_of(&SOURCE_NAMES, name));
        }
        for member in self.ordered(&group.members) {
            match member {
                Member::Anchor(id, hint) => row.member_of_kind(&self.text(id.text()), kind(*hint)),
                Member::Known(n) => row.member(&self.text(format!("a{}", n % 12))),
                Member::Text(text, hint) => row.unresolved(&self.text(text.text()), kind(*hint)),
            };
        }
        match group.list {
            List::Complete | List::Whole => {
                row.members_complete();
            }
            List::Partial => {
                row.members_partial();
            }
            List::Open => {}
        }
        if group.fate == Fate::Withdrawn {
            row.withdraw();
        }
    }

    fn store(self, world: &World<'_>) -> StoreSnapshot {
        let mut builder = StoreSnapshot::builder(capabilities(world));
        for rows in self.records(world, &world.stored_users).chunks(ROWS) {
            let mut page = StoredUserPage::default();
            for record in rows {
                let mut row = page.user(&self.text(record.id.text()));
                row.active(!record.inactive);
                row.deactivated_by(if record.by_sync { DeactivatedBy::Sync } else { DeactivatedBy::Other });
                if let Some(jit) = record.origin {
                    row.origin(if jit { Origin::Jit } else { Origin::Synced });
                }
                for (issuer, anchor) in self.links(record) {
                    row.external_id(issuer, &anchor);
                }
                for (name, value) in self.ordered(&record.attributes) {
                    row.attribute(name_of(&STORE_NAMES, *name), &self.text(value.text()));
                }
                if let Some(version) = record.version {
                    row.version(&self.text(version.to_string()));
                }
            }
            let _ = builder.users(&page);
        }
        for rows in self.records(world, &world.stored_groups).chunks(ROWS) {
            let mut page = StoredGroupPage::default();
            for record in rows {
                let mut row = page.group(&self.text(record.id.text()));
                for (issuer, anchor) in self.links(record) {
                    row.external_id(issuer, &anchor);
                }
                for (name, value) in self.ordered(&record.attributes) {
                    row.attribute(name_of(&STORE_NAMES, *name), &self.text(value.text()));
                }
                if let Some(version) = record.version {
                    row.version(&self.text(version.to_string()));
                }
                let listed = !world.capabilities.unlisted;
                for member in self.ordered(&record.members).into_iter().filter(|_| listed) {
                    row.member(&self.text(member.text()));
                }
            }
            let _ = builder.groups(&page);
        }
        builder.finish(Completeness::Complete)
    }

    /// Each record once, unless the world is one to be refused.
    fn records<'w, 'a>(self, world: &World<'_>, records: &'w [Record<'a>]) -> Vec<&'w Record<'a>> {
        let mut seen = BTreeSet::from([String::new()]);
        let mut kept: Vec<_> =
            records.iter().filter(|record| is_refused(world) || seen.insert(record.id.text())).collect();
        if self.reversed {
            kept.reverse();
        }
        kept
    }

    /// The links of a record: issuer and anchor.
    pub fn links(self, record: &Record<'_>) -> Vec<(&'static str, String)> {
        let ours = record.ours.iter().map(|anchor| (ISSUER, anchor));
        let links = record.links.iter().map(|(ours, anchor)| (if *ours { ISSUER } else { "other" }, anchor));
        let mut links: Vec<_> =
            ours.chain(links).map(|(issuer, anchor)| (issuer, self.text(anchor.text()))).collect();
        if self.reversed {
            links.reverse();
        }
        links
    }

    fn assignments(self, world: &World<'_>) -> Assignments {
        let principals = self.ordered(&world.assigned).into_iter().map(|assigned| match assigned {
            Assigned::External(id) => Principal::External(ExternalId::new(ISSUER, self.text(id.text()))),
            Assigned::Ours(n) => {
                Principal::External(ExternalId::new(ISSUER, self.text(format!("a{}", n % 12))))
            }
            Assigned::Foreign(id) => Principal::External(ExternalId::new("other", self.text(id.text()))),
            Assigned::Stored(id) => Principal::Stored(self.text(id.text()).into()),
        });
        Assignments { read: self.completeness(world.assignments_read), principals: principals.collect() }
    }

    /// Complete where the bytes end: most worlds are read whole.
    fn completeness(self, partial: bool) -> Completeness {
        if partial { Completeness::partial(self.text("cut".into())) } else { Completeness::Complete }
    }

    fn options(self, world: &World<'_>) -> Options {
        let choices = &world.choices;
        let mut options = Options::for_issuer(ISSUER);
        let can_deactivate = is_refused(world) || !world.capabilities.always_active;
        let followed = |chosen| match policy(chosen) {
            Deprovision::Deactivate if !can_deactivate => Deprovision::Delete,
            policy => policy,
        };
        let [gone, left, disabled] = choices.users.map(followed);
        (options.users.deleted_in_source, options.users.left_scope) = (gone, left);
        options.users.disabled_in_source = match disabled {
            Deprovision::Keep if !is_refused(world) => followed(Policy::Deactivate),
            policy => policy,
        };
        let [gone, left] = choices.groups.map(policy);
        (options.groups.deleted_in_source, options.groups.left_scope) = (gone, left);
        let grace = Period::of_hours(choices.grace.unwrap_or(0).into());
        options.users.grace.left_scope = grace;
        options.users.grace.deleted_in_source = grace;
        options.groups.grace.left_scope = grace;
        options.release_names = !choices.hold_names;
        options.absence_is_proof = choices.absence_is_proof;
        let allowed = !choices.refuse_empty;
        options.allow_empty.users = allowed;
        options.allow_empty.groups = allowed;
        options.allow_empty.assignments = allowed;
        if choices.direct_only {
            options.nesting = Nesting::DirectOnly;
        }
        if choices.remove_unmanaged {
            options.unmanaged_members = UnmanagedMembers::Remove;
        }
        if choices.never_remove {
            options.member_removals = MemberRemovals::Never;
        }
        if choices.reactivate_always {
            options.reactivate = Reactivate::Always;
        }
        if choices.soft_match && world.capabilities.adopts {
            options.soft_match.users.insert("userName".to_owned());
            options.soft_match.groups.insert("displayName".to_owned());
        }
        if choices.proven_removals {
            options.extent = Extent::ProvenRemovals;
        } else if choices.new_entitlements {
            options.extent = Extent::NewEntitlements;
        }
        if choices.tiny_limits {
            options.limits.id_bytes = 8;
            options.limits.value_bytes = 12;
            options.limits.attributes_per_object = 2;
            options.limits.values_per_attribute = 2;
        }
        options.guards = guards(choices.guard);
        self.map(world, &mut options);
        self.name(world, &mut options);
        options
    }

    fn map(self, world: &World<'_>, options: &mut Options) {
        let title = if world.choices.constant_title { "Staff" } else { "${title}: ${mail}" };
        if let Ok(mapping) = options.user_map.set("title", title) {
            if world.choices.keep_missing {
                mapping.missing = Missing::Keep;
            }
            if world.choices.sensitive {
                mapping.sensitivity = Sensitivity::Sensitive;
            }
        }
    }

    fn name(self, world: &World<'_>, options: &mut Options) {
        let named = &world.named;
        for id in &named.protected {
            options.protected.ids.insert(self.text(id.text()).into());
            options.protected.anchors.insert(self.text(id.text()).into());
        }
        options.protected.names.extend(named.protected_names.iter().map(|name| self.text(name.text())));
        options.leaves.anchors.extend(named.leaves.iter().map(|id| self.text(id.text()).into()));
        options.leaves.texts.extend(named.leaf_texts.iter().map(|text| self.text(text.text())));
        options.leaves.dn_suffixes.extend(named.leaf_suffixes.iter().map(|text| self.text(text.text())));
        options.canaries.users.extend(named.canary.iter().map(|id| self.text(id.text()).into()));
        options.add_members_to.extend(named.add_members_to.iter().map(|id| self.text(id.text()).into()));
    }
}

fn is_refused(world: &World<'_>) -> bool {
    world.choices.refused == Some(true)
}

fn name_of(names: &[&'static str], number: u8) -> &'static str {
    names[usize::from(number) % names.len()]
}

fn kind(hint: Hint) -> MemberKind {
    match hint {
        Hint::None => MemberKind::Unknown,
        Hint::User => MemberKind::User,
        Hint::Group => MemberKind::Group,
        Hint::Other => MemberKind::Other,
        Hint::Foreign => MemberKind::Foreign,
    }
}

fn existence(answer: Answer) -> Existence {
    match answer {
        Answer::Gone => Existence::Gone,
        Answer::Unknown => Existence::Unknown,
        Answer::Exists(hint) => Existence::Exists { kind: kind(hint) },
    }
}

fn policy(policy: Policy) -> Deprovision {
    match policy {
        Policy::Keep => Deprovision::Keep,
        Policy::Deactivate => Deprovision::Deactivate,
        Policy::Delete => Deprovision::Delete,
    }
}

fn guards(guard: Guard) -> Guards {
    let mut guards = Guards::default();
    match guard {
        Guard::Default => {}
        Guard::Off => guards = Guards::off(),
        Guard::Tight | Guard::Abort => {
            let none = Some(Limit::new(Some(0), 0, 0));
            guards.user_deletes = none;
            guards.deactivations = none;
            guards.removals_per_group = none;
            guards.clears_per_attribute = none;
            guards.adoptions = none;
            guards.grants = Some(Limit::new(Some(2), 50, 1));
        }
    }
    if let Guard::Abort = guard {
        guards.on_trip = OnTrip::Abort;
    }
    guards
}

fn capabilities(world: &World<'_>) -> StoreCapabilities {
    let can = &world.capabilities;
    let mut store = StoreCapabilities::named("store");
    let matching = match can.matching {
        None => MatchRule::NfkcCasefold,
        Some(true) => MatchRule::AsciiCaseFold,
        Some(false) => MatchRule::Exact,
    };
    let name = AttributeSchema::unique(matching).required();
    store.users.insert("userName".to_owned(), name);
    store.groups.insert("displayName".to_owned(), name);
    let mut mail = AttributeSchema::multi_valued();
    mail.unique = can.unique_mail;
    store.users.insert("emails".to_owned(), mail);
    if can.required_title {
        store.users.insert("title".to_owned(), AttributeSchema::default().required());
    }
    if can.unlisted {
        store.members = Members::Unlisted;
    }
    if can.remove_first {
        store.memberships_on_delete = MembershipsOnDelete::RemoveFirst;
    }
    if can.always_active {
        store.activation = Activation::AlwaysActive;
    }
    if can.remembers {
        store.deactivation = DeactivationMemory::Remembered;
    }
    if can.adopts {
        store.adoption = Adoption::Supported;
    }
    store
}
