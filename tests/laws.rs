//! Laws that need no oracle: what must not change when a world changes in a way that does not matter, and in which direction a plan
//! may change when it does. Each law counts the worlds in which it had something to say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod common;

use std::collections::BTreeSet;

use common::live::{Fault, FaultyStore, LiveAssignments, LiveSource, canonical, memory_store};
use common::world::{AccountState, Member, MemberTarget, Principal, UserRow, World};
use common::{convert, r#gen, lines};
use identity_sync::memory::MemoryStore;
use identity_sync::{ApplyOptions, Cause, Diagnostic, Host, Plan, Run, apply, plan, reconcile};
use pollster::block_on;
use pretty_assertions::assert_eq;

/// The worlds to look at: `IDENTITY_SYNC_WORLDS` many, from `IDENTITY_SYNC_FIRST` on.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("IDENTITY_SYNC_FIRST").unwrap_or(0);
    first..first + number("IDENTITY_SYNC_WORLDS").unwrap_or(default)
}

fn planned(world: &World) -> Option<Plan> {
    let told = convert::convert(world);
    plan(&told.source, &told.store, &told.assignments, &told.options, &Run::default())
        .ok()
        .map(|found| found.plan)
}

/// The operations and what is held, apart.
fn all(plan: &Plan) -> (BTreeSet<String>, BTreeSet<String>) {
    (lines::operations(plan), lines::held(plan))
}

/// Whether names had to be told apart, or rows and records: then who comes first may depend on who else is there.
fn is_disputed(plan: &Plan) -> bool {
    let disputed = |diagnostic: &Diagnostic| {
        matches!(
            diagnostic,
            Diagnostic::Ambiguous { .. } | Diagnostic::UniqueConflict { .. } | Diagnostic::NotAdopted { .. }
        )
    };
    let all = || plan.operations().chain(plan.held().map(|held| held.operation));
    plan.diagnostics().iter().any(disputed)
        || all().any(|operation| operation.cause() == Cause::Swap || operation.to_string().contains('~'))
}

/// Every anchor of ours and every store id gets another name; the order among them turns round.
struct Renaming {
    ids: Vec<String>,
}

impl Renaming {
    fn of(world: &World) -> Self {
        let text = serde_json::to_value(world).unwrap();
        let mut ids = BTreeSet::new();
        texts(&text, &mut ids);
        Self { ids: ids.into_iter().collect() }
    }

    fn new_name(&self, old: &str) -> String {
        match self.ids.binary_search_by(|id| id.as_str().cmp(old)) {
            Ok(at) => format!("n{:05}", self.ids.len() - at),
            Err(_) => old.to_owned(),
        }
    }

    fn rename(&self, world: &World) -> World {
        let mut world = world.clone();
        let anew = |id: &mut String| *id = self.new_name(id);
        let issuer = world.options.issuer.clone();
        for user in &mut world.source.users {
            anew(&mut user.anchor);
        }
        for group in &mut world.source.groups {
            anew(&mut group.anchor);
            for member in &mut group.members {
                if let MemberTarget::Anchor(anchor) = &mut member.target {
                    anew(anchor);
                }
            }
        }
        world.source.tombstones.iter_mut().for_each(anew);
        let existence = std::mem::take(&mut world.source.existence);
        world.source.existence =
            existence.into_iter().map(|(id, answer)| (self.new_name(&id), answer)).collect();
        let links = |links: &mut Vec<(String, String)>| {
            links.iter_mut().filter(|(of, _)| *of == issuer).for_each(|(_, value)| anew(value));
        };
        for user in &mut world.store.users {
            anew(&mut user.id);
            links(&mut user.external_ids);
        }
        for group in &mut world.store.groups {
            anew(&mut group.id);
            links(&mut group.external_ids);
            group.members.iter_mut().for_each(anew);
        }
        for principal in &mut world.assignments.principals {
            match principal {
                Principal::External(of, value) if *of == issuer => anew(value),
                Principal::External(..) => {}
                Principal::Stored(id) => anew(id),
            }
        }
        let options = &mut world.options;
        for set in [
            &mut options.protected_ids,
            &mut options.protected_anchors,
            &mut options.leaf_anchors,
            &mut options.add_members_to,
            &mut options.canaries.users,
            &mut options.canaries.groups,
        ] {
            *set = set.iter().map(|id| self.new_name(id)).collect();
        }
        world
    }

    /// The lines of a plan, each id in them by its new name.
    fn lines(&self, lines: &BTreeSet<String>) -> BTreeSet<String> {
        let anew = |word: &str| match word.strip_prefix('@') {
            Some(anchor) => format!("@{}", self.new_name(anchor)),
            None => self.new_name(word),
        };
        let line = |line: &String| {
            let mut words = line.splitn(3, ' ');
            let (action, subject) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let rest = words.next().unwrap_or_default();
            let rest = match (action, rest.strip_prefix(": ")) {
                (_, Some(members)) => {
                    let mut members: Vec<String> = members.split(',').map(anew).collect();
                    members.sort_unstable();
                    format!(": {}", members.join(","))
                }
                ("adopt_user" | "adopt_group", None) => anew(rest),
                _ => rest.to_owned(),
            };
            format!("{action} {} {rest}", anew(subject)).trim_end().to_owned()
        };
        lines.iter().map(line).collect()
    }
}

/// Every text in a document.
fn texts(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => {
            found.insert(text.clone());
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            texts(value, found);
        }),
        _ => {}
    }
}

#[test]
fn other_ids_give_the_same_plan_under_other_names() {
    // rules P2, M1 (INV-5): an id means nothing but itself, and who is first among equals is no matter of ids
    let mut compared = 0;
    for seed in seeds(15_000) {
        let world = r#gen::world(seed);
        let renaming = Renaming::of(&world);
        let (before, after) = (planned(&world), planned(&renaming.rename(&world)));
        assert_eq!(before.is_some(), after.is_some(), "seed {seed}");
        let (Some(before), Some(after)) = (before, after) else { continue };
        if is_disputed(&before) {
            continue;
        }
        let (operations, held) = all(&before);
        assert_eq!((renaming.lines(&operations), renaming.lines(&held)), all(&after), "seed {seed}");
        compared += usize::from(!operations.is_empty());
    }
    assert!(compared > 100 || seeds(15_000).count() < 15_000, "{compared}");
}

#[test]
fn one_more_object_that_cannot_be_used_changes_nothing_for_the_others() {
    // rules S1, A3 (INV-26)
    let mut compared = 0;
    for seed in seeds(15_000) {
        let world = r#gen::world(seed);
        let mut with = world.clone();
        let odd = UserRow {
            anchor: "odd".to_owned(),
            state: AccountState::Enabled,
            version: None,
            attributes: Default::default(),
            unreadable: Default::default(),
            withdrawn: seed % 2 == 0,
        };
        with.source.users.insert(seed as usize % (with.source.users.len() + 1), odd);
        if seed % 4 < 2 {
            with.assignments
                .principals
                .push(Principal::External(with.options.issuer.clone(), "odd".to_owned()));
        }
        let (Some(before), Some(after)) = (planned(&world), planned(&with)) else { continue };
        let others = |lines: BTreeSet<String>| -> BTreeSet<String> {
            lines.into_iter().filter(|line| !line.split(' ').any(|word| word == "odd")).collect()
        };
        let ((operations, held), (then, then_held)) = (all(&before), all(&after));
        // Whoever comes into being may trip the limit of what is given.
        let (now, later): (BTreeSet<_>, BTreeSet<_>) = if with.options.guards.grants.is_some() {
            (&operations | &held, others(&then | &then_held))
        } else {
            assert_eq!(held, others(then_held), "seed {seed}");
            (operations, others(then))
        };
        assert_eq!(now, later, "seed {seed}");
        compared += usize::from(!now.is_empty());
    }
    assert!(compared > 100 || seeds(15_000).count() < 15_000, "{compared}");
}

/// What takes something away from somebody.
fn taken(plan: &Plan) -> BTreeSet<String> {
    let (operations, held) = all(plan);
    let mut taken = BTreeSet::new();
    for line in operations.iter().chain(&held) {
        let mut words = line.splitn(3, ' ');
        let (action, subject) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (action, words.next().and_then(|rest| rest.strip_prefix(": "))) {
            ("remove_members" | "remove_members_before_delete", Some(members)) => {
                taken.extend(members.split(',').map(|member| format!("{subject} loses {member}")));
            }
            ("deactivate" | "delete_user" | "delete_group", _) => {
                taken.insert(format!("{action} {subject}"));
            }
            _ => {}
        }
    }
    taken
}

/// What gives something to somebody.
fn given(plan: &Plan) -> BTreeSet<String> {
    let (operations, held) = all(plan);
    let mut given = BTreeSet::new();
    for line in operations.iter().chain(&held) {
        let mut words = line.splitn(3, ' ');
        let (action, subject) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (action, words.next().and_then(|rest| rest.strip_prefix(": "))) {
            ("add_members", Some(members)) => {
                given.extend(members.split(',').map(|member| format!("{subject} gains {member}")));
            }
            ("create_user" | "create_group" | "reactivate" | "adopt_user" | "adopt_group", _) => {
                given.insert(format!("{action} {subject}"));
            }
            _ => {}
        }
    }
    given
}

#[test]
fn more_entitlement_never_takes_anything_away_and_less_gives_nothing() {
    // rules E1, E4, D1 (INV-27); names in dispute are left out, where who is there decides who gets one
    let (mut compared, mut less, mut gave) = (0, 0, 0);
    for seed in seeds(20_000) {
        let mut world = r#gen::world(seed);
        world.options.guards = common::world::Guards::default();
        // A group that becomes entitled is kept in order from then on, and that is what removing strangers (rule D6) and
        // adoption (rule M3) are for.
        world.options.unmanaged_members = common::world::UnmanagedMembers::Keep;
        world.options.soft_match = Default::default();
        // A disabled account that becomes entitled is made inactive for that, or deleted (rule A5).
        world.source.users.iter_mut().for_each(|user| user.state = AccountState::Enabled);
        let mut more = world.clone();
        let (users, groups) = (&world.source.users, &world.source.groups);
        let anchor = |at: u64, anchors: &[&String]| {
            anchors.get(at as usize % anchors.len().max(1)).map(|&a| a.clone())
        };
        let all_users: Vec<&String> = users.iter().map(|user| &user.anchor).collect();
        let all_groups: Vec<&String> = groups.iter().map(|group| &group.anchor).collect();
        match seed % 3 {
            0 => {
                let Some(user) = anchor(seed / 3, &all_users) else { continue };
                more.assignments.principals.push(Principal::External(world.options.issuer.clone(), user));
            }
            1 => {
                let Some(group) = anchor(seed / 3, &all_groups) else { continue };
                more.assignments.principals.push(Principal::External(world.options.issuer.clone(), group));
            }
            _ => {
                let Some(user) = anchor(seed / 5, &all_users) else { continue };
                let Some(group) = anchor(seed / 3, &all_groups) else { continue };
                let member =
                    Member { target: MemberTarget::Anchor(user), hint: common::world::KindHint::User };
                for row in more.source.groups.iter_mut().filter(|row| row.anchor == group) {
                    row.members.push(member.clone());
                }
            }
        }
        let (Some(before), Some(after)) = (planned(&world), planned(&more)) else { continue };
        if is_disputed(&before) || is_disputed(&after) {
            continue;
        }
        // The other way round: one assignment or membership less, and nobody is given what he would not have got with it.
        let only_with_less: Vec<_> = given(&before).difference(&given(&after)).cloned().collect();
        assert!(only_with_less.is_empty(), "seed {seed}: {only_with_less:?}");
        gave += usize::from(!given(&after).is_empty());
        let (before, after) = (taken(&before), taken(&after));
        // Whoever was to be deleted would have lost his memberships with that.
        let gone = |line: &&String| match line.split_once(" loses ") {
            Some((group, member)) => {
                before.contains(&format!("delete_user {member}"))
                    || before.contains(&format!("delete_group {group}"))
            }
            None => false,
        };
        let new: Vec<_> = after.difference(&before).filter(|line| !gone(line)).collect();
        assert!(new.is_empty(), "seed {seed}: {new:?}");
        compared += usize::from(!before.is_empty());
        less += usize::from(after.len() < before.len());
    }
    let enough = compared > 100 && less > 10 && gave > 100;
    assert!(enough || seeds(20_000).count() < 20_000, "{compared}, {less}, {gave}");
}

#[test]
fn a_limit_moves_operations_to_what_is_held_and_makes_none() {
    // rules D4, D5 (INV-28): whatever is held or planned is what is planned without limits; a wider limit holds no more
    let (mut compared, mut wider) = (0, 0);
    for seed in seeds(20_000) {
        let world = r#gen::world(seed);
        if world.options.guards == common::world::Guards::default() {
            continue;
        }
        let mut wide = world.clone();
        for limit in limits(&mut wide.options.guards).into_iter().flatten() {
            limit.floor += 1;
        }
        let mut free = world.clone();
        free.options.guards = common::world::Guards::default();
        let (Some(tight), Some(wide), Some(free)) = (planned(&world), planned(&wide), planned(&free)) else {
            continue;
        };
        let ((tight, held), (wide, wide_held), (free, none)) = (singly(&tight), singly(&wide), singly(&free));
        assert!(none.is_empty());
        assert_eq!(&tight | &held, free, "seed {seed}");
        assert_eq!(&wide | &wide_held, free, "seed {seed}, a wider limit");
        let lost: Vec<_> = tight.difference(&wide).collect();
        assert!(lost.is_empty(), "seed {seed}: a wider limit holds {lost:?}");
        compared += usize::from(!held.is_empty());
        wider += usize::from(wide_held.len() < held.len());
    }
    assert!(compared > 50 && wider > 10 || seeds(20_000).count() < 20_000, "{compared}, {wider}");
}

/// A list is held in part: each member of it has a line.
fn singly(plan: &Plan) -> (BTreeSet<String>, BTreeSet<String>) {
    let single = |line: &String| match line.split_once(" : ") {
        Some((list, members)) => members.split(',').map(|member| format!("{list} : {member}")).collect(),
        None => vec![line.clone()],
    };
    let (operations, held) = all(plan);
    (operations.iter().flat_map(single).collect(), held.iter().flat_map(single).collect())
}

fn limits(guards: &mut common::world::Guards) -> [&mut Option<common::world::Limit>; 8] {
    [
        &mut guards.user_deletes,
        &mut guards.deactivations,
        &mut guards.group_deletes,
        &mut guards.removals_in_all,
        &mut guards.removals_per_group,
        &mut guards.clears_per_attribute,
        &mut guards.adoptions,
        &mut guards.grants,
    ]
}

fn reconciled(world: &World, store: &MemoryStore) -> Option<Plan> {
    let (source, assigned, options) =
        (LiveSource(world), LiveAssignments(world), convert::options(&world.options));
    let found = block_on(reconcile(&source, store, &assigned, &options, &Run::default(), &Host::default()));
    found.ok().map(|found| found.plan)
}

fn applied<S: identity_sync::IdentityStore>(plan: &Plan, store: &S) {
    drop(block_on(apply(plan, store, &ApplyOptions::default(), &Host::default())));
}

#[test]
fn a_plan_that_is_applied_twice_leaves_what_it_left_once() {
    // rules X2, P4 (INV-31)
    let mut compared = 0;
    for seed in seeds(10_000) {
        let world = r#gen::world(seed);
        let store = memory_store(&world, seed);
        let Some(plan) = reconciled(&world, &store) else { continue };
        applied(&plan, &store);
        let once = canonical(&store.state());
        applied(&plan, &store);
        assert_eq!(once, canonical(&store.state()), "seed {seed}\n{plan}");
        compared += usize::from(!plan.is_empty());
    }
    assert!(compared > 100 || seeds(10_000).count() < 10_000, "{compared}");
}

#[test]
fn what_is_left_after_a_crash_is_never_more_than_what_was_not_done() {
    // rules X4, P4 (INV-34)
    let mut compared = 0;
    for seed in seeds(2_000) {
        let mut world = r#gen::world(seed);
        world.options.guards = common::world::Guards::default();
        let straight = memory_store(&world, seed);
        let Some(plan) = reconciled(&world, &straight) else { continue };
        if is_disputed(&plan) || !world.store.can_list_members {
            continue;
        }
        for at in 0..plan.len() {
            let store = memory_store(&world, seed);
            let crashing = FaultyStore::new(&store, Fault::CrashBefore(at));
            let report = block_on(apply(&plan, &crashing, &ApplyOptions::default(), &Host::default()));
            let done = report
                .map_or(0, |report| report.outcomes.iter().filter(|outcome| outcome.is_applied()).count());
            let Some(next) = reconciled(&world, &store) else { continue };
            let left = plan.len() - done;
            assert!(next.len() <= left, "seed {seed}, crash {at}: {done} done of\n{plan}\nthen\n{next}");
            compared += 1;
        }
    }
    assert!(compared > 100 || seeds(2_000).count() < 2_000, "{compared}");
}
