//! Puts the plan together, step by step.

use super::super::world::{Deprovision, Extent, World};
use super::approvals::{Approval, Approved, Names};
use super::emit::{Draft, emit, reactivated};
use super::facts::{Fate, Managed, listed_members, managed_records};
use super::fates::{Cause, Shown, settle, shown};
use super::holding::{Op, idle_releases, name_edges, object_edges, with_dependents};
use super::limits::{self, Planned};
use super::members::{additions, removals};
use super::memory::Memory;
use super::soft_match::adoptions;
use super::source::{Kind, View};
use super::writes::{self, schema_and_map};
use super::{Decision, Refusal};
use std::collections::{BTreeMap, BTreeSet};

pub fn decide(
    world: &World,
    memory: &Memory,
    now: u64,
    approvals: &[Approval],
) -> Result<(Decision, Memory), Refusal> {
    refuse_options(world, memory)?;
    let mut after = memory.clone();
    let mut diagnostics = BTreeSet::new();
    if after.tick(now) {
        diagnostics.insert("clock_went_back".to_owned());
    }
    if after.meet(world) {
        return Err(Refusal::OlderSource);
    }
    let given = world;
    let world = effective(world, &mut diagnostics);

    // What is there, before anything is adopted.
    let view = View::of(&world);
    let linked_before = managed_records(&view);
    refuse_reads(&view, given, &linked_before)?;
    if memory.latest.is_none() && !linked_before.is_empty() {
        diagnostics.insert("no_memory".to_owned());
    }
    let adoptions = adoptions(&view);
    diagnostics.extend(source_diagnostics(&view, &linked_before));
    diagnostics.extend(adoptions.barred.iter().map(|anchor| format!("ambiguous {anchor}")));
    diagnostics.extend(adoptions.refused.iter().map(|anchor| format!("not_adopted {anchor}")));

    // From here on what is adopted is ours.
    let linked;
    let mut view = if adoptions.adopted.is_empty() {
        view
    } else {
        linked = adoptions.linked(&world);
        View::of(&linked)
    };
    view.barred = adoptions.barred.iter().map(String::as_str).collect();
    let mut records = managed_records(&view);
    adoptions.mark(&mut records);
    after.observe(&view, &records, now);
    let due = after.due(&view, &records);
    settle(&view, &mut records, &due);
    stay_cut_off(&view, &mut records, memory);

    let users = writes::writes(&view, &records, Kind::User, &mut after, &mut diagnostics);
    let groups = writes::writes(&view, &records, Kind::Group, &mut after, &mut diagnostics);
    let (removals, incomplete) = removals(&view, &records);
    let additions = additions(&view, &records, &users, &groups);
    let draft = Draft::new(&view, &records, &adoptions, users, groups, removals, additions);

    let names = Names { records: &records, lost: lost(&view, &records) };
    let approved = Approved::new(memory, approvals);
    let ops = draft.ops();
    let free: BTreeSet<Op> =
        ops.iter().filter(|op| draft.is_approved(op, &names, &approved)).cloned().collect();
    let planned =
        Planned { removals: &draft.removals, users: &draft.users, groups: &draft.groups, ops: &ops };
    let trips = limits::trips(&view, &records, &planned, &after, &free);
    diagnostics.extend(trips.names.iter().map(|name| format!("tripped {name}")));
    let aborts = trips.aborts(&view);
    let mut held = if aborts { draft.unapproved(&names, &approved) } else { trips.held.clone() };
    let edges = edges(&view, &records, &draft, &ops);
    with_dependents(&mut held, &edges);
    idle_releases(&mut held, &edges, &draft.users);
    idle_releases(&mut held, &edges, &draft.groups);

    let emitted = emit(&draft, &held, &trips.costs, &names, &approved);
    let locked = records.values().filter(|record| record.locked && !reactivated(&view, record));
    let locked = locked.filter(|record| record.fate == Fate::Entitled && record.enabled);
    diagnostics.extend(locked.map(|record| format!("locked {}", record.id)));
    let pending = after.pending_lines(&view, &records, now);
    let decision = Decision {
        operations: emitted.running,
        held: emitted.waiting,
        kept: records.values().filter(|record| record.kept).map(|record| record.id.to_owned()).collect(),
        blocked: blocked(&view, &records, incomplete),
        pending,
        diagnostics,
        notes: emitted.notes,
    };
    if world.options.extent == Extent::Full {
        after.note_held(&decision, &names, now);
    }
    Ok((decision, after))
}

fn edges(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    draft: &Draft<'_>,
    ops: &BTreeSet<Op>,
) -> BTreeSet<(Op, Op)> {
    let mut edges = object_edges(ops);
    for (kind, written) in [(Kind::User, &draft.users), (Kind::Group, &draft.groups)] {
        let (schema, _) = schema_and_map(view, kind);
        let holders = writes::holders(view, records, kind);
        edges.extend(name_edges(kind, records, &holders, schema, written));
    }
    edges
}

/// Rule C7, coarsely.
fn blocked<'a>(
    view: &View<'_>,
    records: &BTreeMap<&'a str, Managed<'a>>,
    mut incomplete: BTreeSet<&'a str>,
) -> BTreeSet<String> {
    if !view.world.store.can_list_members {
        let groups = records.values().filter(|r| r.kind == Kind::Group && !r.protected);
        incomplete.extend(groups.map(|record| record.id));
    }
    let scope = records.values().filter(|record| record.blocked).map(|record| format!("scope {}", record.id));
    incomplete.iter().map(|group| format!("members {group}")).chain(scope).collect()
}

/// Rules C6 and M3: what is refused before anything is looked at.
fn refuse_options(world: &World, memory: &Memory) -> Result<(), Refusal> {
    if memory.source.as_ref().is_some_and(|known| *known != world.source.identity) {
        return Err(Refusal::OtherSource);
    }
    let soft_match = &world.options.soft_match;
    let wanted = !soft_match.users.is_empty() || !soft_match.groups.is_empty();
    if wanted && !world.store.can_adopt {
        return Err(Refusal::CannotAdopt);
    }
    Ok(())
}

/// The world as it counts: reads that rule C6 distrusts are partial, and the quick pass looks nothing up.
fn effective(world: &World, diagnostics: &mut BTreeSet<String>) -> World {
    let mut effective = world.clone();
    let source = &mut effective.source;
    for canary in &world.options.canaries.users {
        if !world.source.users.iter().any(|row| row.anchor == *canary) {
            source.users_complete = false;
            diagnostics.insert(format!("canary {canary}"));
        }
    }
    for canary in &world.options.canaries.groups {
        if !world.source.groups.iter().any(|row| row.anchor == *canary) {
            source.groups_complete = false;
            diagnostics.insert(format!("canary {canary}"));
        }
    }
    if world.options.extent == Extent::NewEntitlements {
        source.existence.clear();
    }
    effective
}

/// Rules C4 and C5.
/// How many members each group would lose by its delete who are not deleted themselves.
fn lost(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) -> BTreeMap<String, usize> {
    let stays = |id: &&str| {
        records.get(id).is_some_and(|member| member.kind == Kind::Group || member.fate != Fate::Deleted)
    };
    let groups = records.values().filter(|record| record.kind == Kind::Group);
    groups
        .map(|group| {
            (group.id.to_owned(), listed_members(view.world, group.id).iter().filter(|id| stays(id)).count())
        })
        .collect()
}

/// Whom a cause would delete stays cut off while nothing contradicts it, also where his state cannot be read today.
fn stay_cut_off(view: &View<'_>, records: &mut BTreeMap<&str, Managed<'_>>, memory: &Memory) {
    let would_delete = view.world.options.users.disabled_in_source == Deprovision::Delete;
    for record in records.values_mut().filter(|record| record.kind == Kind::User && would_delete) {
        let key = (Kind::User, record.anchor().to_owned(), Cause::DisabledInSource);
        let open = shown(view, record, Cause::DisabledInSource) == Shown::Open;
        let judged = record.read && !matches!(record.fate, Fate::Untouched | Fate::Deleted);
        record.leaving |= open && judged && memory.pending.contains_key(&key);
    }
}

/// Empty reads are those that the source gave as complete: a missing canary does not make them partial first.
fn refuse_reads(
    view: &View<'_>,
    given: &World,
    records: &BTreeMap<&str, Managed<'_>>,
) -> Result<(), Refusal> {
    let world = view.world;
    let holds = |kind| records.values().any(|record| record.kind == kind);
    if !world.store.complete {
        return Err(Refusal::PartialStore);
    }
    let source = &given.source;
    let options = &world.options;
    if source.users_complete && source.users.is_empty() && holds(Kind::User) && !options.allow_empty_users {
        return Err(Refusal::EmptySource(Kind::User));
    }
    if source.groups_complete && source.groups.is_empty() && holds(Kind::Group) && !options.allow_empty_groups
    {
        return Err(Refusal::EmptySource(Kind::Group));
    }
    if world.assignments.complete
        && view.resolved == 0
        && !records.is_empty()
        && !options.allow_empty_assignments
    {
        return Err(Refusal::EmptyAssignments);
    }
    Ok(())
}

fn source_diagnostics(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) -> BTreeSet<String> {
    let rows =
        view.users.keys().chain(view.groups.keys()).filter(|anchor| view.ambiguous_rows(anchor)).copied();
    let linked = records.values().filter(|record| record.ambiguous).flat_map(|r| r.anchors.iter().copied());
    let ambiguous = rows.chain(linked).map(|anchor| format!("ambiguous {anchor}"));
    let cycles = view.cycles.iter().map(|cycle| format!("cycle {}", cycle.join(",")));
    let principals = view.unresolved.iter().map(|principal| format!("principal {principal}"));
    ambiguous.chain(cycles).chain(principals).collect()
}
