//! The pure part from end to end: snapshots in, plan and evidence out. It reads top to bottom as the pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::adopt::adopt;
use crate::approved::Approved;
use crate::attributes::AttributeTable;
use crate::diagnostic::Diagnostic;
use crate::diff::{Draft, diff};
use crate::evidence::Evidence;
use crate::graph::Graph;
use crate::guard::{Judgement, Measured, judge, set_limits};
use crate::id::{Issuer, SourceAnchor};
use crate::links::Links;
use crate::mapping::AttributeMap;
use crate::members::{diff_members, spare_protected};
use crate::model::{Completeness, Kind, Origin};
use crate::object::{Objects, ProtectedRecords};
use crate::options::{Deprovision, Extent, Options};
use crate::plan::{Decided, Plan, build};
use crate::run::{Memory, Misfit, Run, RunState, Seen};
use crate::scope::{Scope, questions};
use crate::snapshot::{Assignments, LimitExceeded, NONE, SourceData, SourceSnapshot, StoreSnapshot, within};
use crate::source::SourceIdentity;
use crate::store::{Activation, Adoption, StoreCapabilities};
use crate::trace::{self, Step};
use crate::value::Rules;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The store was not read whole: what looks missing would be created twice (rule C5).
    #[error("the store was not read whole: {}", crate::Escaped(.reason))]
    PartialStore {
        /// Why.
        reason: String,
    },
    /// A complete read holds nobody, while the store holds managed records (rule C4).
    #[error("the source was read as complete and holds no {kind}, but the store holds managed ones")]
    EmptySource {
        /// Of which kind.
        kind: Kind,
    },
    /// There is no assignment, or none that resolves, while the store holds managed records (rule C4).
    #[error("no assignment resolves, but the store holds managed records")]
    EmptyAssignments,
    /// The options ask for something that the store cannot do (rule X5).
    #[error("the store cannot deactivate users, but policy `{policy}` asks for it")]
    CannotDeactivate {
        /// Which policy.
        policy: &'static str,
    },
    /// An option that no run can follow.
    #[error("policy `{policy}` cannot be `keep`")]
    CannotKeep {
        /// Which policy.
        policy: &'static str,
    },
    /// The remembered state belongs to another issuer, to another store, or to another version of this library (rule D7).
    #[error("the run state does not belong to issuer {issuer} and this store, or has another format")]
    ForeignState {
        /// The issuer of this run.
        issuer: Issuer,
    },
    /// Another source answers than in earlier runs (rule C6); [`RunState::accept_source`] where that is meant.
    #[error("the source is {found}, but earlier runs read {known}")]
    OtherSource {
        /// Who it was.
        known: SourceIdentity,
        /// Who it is.
        found: SourceIdentity,
    },
    /// The source had come further in an earlier run: an old replica or a restored backup answers, and would give back what has
    /// been taken away since (rule C6). [`RunState::accept_source`] where that is meant.
    #[error("source {} had come to {known} before, and has come to {found} now", crate::Escaped(.replica))]
    OlderSource {
        /// Which replica.
        replica: String,
        /// How far it had come.
        known: u64,
        /// How far it has come now.
        found: u64,
    },
    /// An approval was given for another issuer or another store (rule D5).
    #[error("an approval belongs to another issuer or another store")]
    ForeignApproval,
    /// Records are to be adopted, but the store cannot give them a link (rules M3, X5).
    #[error("the store cannot adopt records, but soft match asks for it")]
    CannotAdopt,
    /// An option names an attribute that the attribute map does not write.
    #[error("soft match names {}, which is no target of the attribute map of {kind}s", crate::Escaped(.attribute))]
    Unmapped {
        /// A user or a group.
        kind: Kind,
        /// The attribute.
        attribute: String,
    },
    /// The attribute map requires what the store has no place for (rules A3, X5).
    #[error("the attribute map of {kind}s requires {}, for which the store has no place", crate::Escaped(.attribute))]
    NoPlace {
        /// A user or a group.
        kind: Kind,
        /// The attribute.
        attribute: String,
    },
    /// A total is beyond its bound (rule S1). A plan of proven removals can still be had: [`Extent::ProvenRemovals`].
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
}

/// What planning answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reconciliation {
    /// What has to be done; nothing has been written.
    pub plan: Plan,
    /// Why: explains each entitlement and each membership.
    pub evidence: Evidence,
    /// What to remember, also where the plan is not applied (rule D7).
    pub run: RunState,
}

/// Decides what has to be done. Pure: no I/O, no clock, no randomness; the same inputs in any order give the same plan.
///
/// `reconcile` wraps this for hosts that have traits; call it directly where you hold the data already. The anchors about
/// which the source has to be asked first are named by [`questions_for`]; unanswered ones count as `Unknown`.
///
/// Cost: near linear in objects, direct memberships, stored memberships and flattened memberships.
///
/// ```
/// use identity_sync::{Assignments, Completeness, ExternalId, Options, Principal, Run, SourceCapabilities};
/// use identity_sync::{SourceSnapshot, StoreCapabilities, StoreSnapshot, UserPage, plan};
///
/// let mut source = SourceSnapshot::builder("corp", SourceCapabilities::default());
/// let mut page = UserPage::default();
/// page.user("guid-1").active(true).attribute("userPrincipalName", "ada@example.com");
/// source.users(&page)?;
/// source.users_end(Completeness::Complete);
/// source.groups_end(Completeness::Complete);
///
/// let store = StoreSnapshot::builder(StoreCapabilities::named("app")).finish(Completeness::Complete);
/// let assignments = Assignments::complete([Principal::External(ExternalId::new("corp", "guid-1"))]);
/// let found = plan(&source.finish(), &store, &assignments, &Options::for_issuer("corp"), &Run::default())?;
/// assert_eq!(found.plan.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// No plan is made from a store that was read in part, from a read that is empty against the evidence, from options that the
/// store cannot follow, or beyond a bound.
pub fn plan(
    source: &SourceSnapshot,
    store: &StoreSnapshot,
    assignments: &Assignments,
    options: &Options,
    run: &Run,
) -> Result<Reconciliation, PlanError> {
    let issuer = issuer(source, options);
    check_options(store, options)?;
    let mut memory = begin(run, &issuer, store, &source.0.identity)?;
    if let Some(generation) = &source.0.generation {
        memory.meet(generation).map_err(|known| PlanError::OlderSource {
            replica: generation.replica.clone(),
            known,
            found: generation.number,
        })?;
    }
    if let Completeness::Partial { reason } = &store.0.read {
        return Err(PlanError::PartialStore { reason: reason.clone() });
    }
    let mut links = Links::new(&source.0, &store.0, &issuer);
    let mut diagnostics = memory.diagnostics(was_synced(&links));
    diagnostics.extend(missing_canaries(&mut links, options));
    let (graph, mut scope) = trace::step(Step::Scope, || {
        let graph = Graph::new(&links, options);
        let scope = scope(&graph, assignments, &issuer, options);
        (graph, scope)
    });
    scope.diagnostics.append(&mut diagnostics);
    check_empty(&graph, &scope, assignments, options)?;
    let evidence = Evidence::new(Arc::clone(&source.0), &graph, &scope, options.nesting);
    let how = How { issuer: &issuer, run, origin: Origin::Synced, evidence: Some(&evidence) };
    let plan = decide(&graph, &scope, options, memory, how)?;
    Ok(Reconciliation { run: plan.run.clone(), plan, evidence })
}

/// The state of this run, where what was remembered belongs to it.
pub(crate) fn begin(
    run: &Run,
    issuer: &Issuer,
    store: &StoreSnapshot,
    source: &SourceIdentity,
) -> Result<Memory, PlanError> {
    let store = &store.0.capabilities.identity;
    if run.approvals.iter().any(|approval| approval.issuer != *issuer || approval.store != *store) {
        return Err(PlanError::ForeignApproval);
    }
    Memory::begin(run, issuer, store, source).map_err(|misfit| match misfit {
        Misfit::Foreign => PlanError::ForeignState { issuer: issuer.clone() },
        Misfit::OtherSource(known) => PlanError::OtherSource { known, found: source.clone() },
    })
}

/// Whether the store holds a record that a reconcile left; sign-ins remember nothing.
fn was_synced(links: &Links<'_>) -> bool {
    let users = &links.store.users;
    let by_sign_in = |row: u32| users[row as usize].origin == Some(Origin::Jit);
    let mut records = (0..users.len() as u32).filter(|&row| !by_sign_in(row));
    records.any(|row| links.is_managed(Kind::User, row))
        || (0..links.store.groups.len() as u32).any(|row| links.is_managed(Kind::Group, row))
}

fn is_in_use(links: &Links<'_>) -> bool {
    let managed = |kind| (0..links.store.records(kind).len() as u32).any(|row| links.is_managed(kind, row));
    managed(Kind::User) || managed(Kind::Group)
}

/// Rule C6: a read that lacks an object which must be visible is partial.
fn missing_canaries(links: &mut Links<'_>, options: &Options) -> Vec<Diagnostic> {
    let mut missing = Vec::new();
    for (kind, named) in [(Kind::User, &options.canaries.users), (Kind::Group, &options.canaries.groups)] {
        let is_there = |anchor: &SourceAnchor| {
            let node = links.find(anchor.as_str());
            node.is_some_and(|node| match kind {
                Kind::User => links.user_row(node).is_some(),
                Kind::Group => links.group_row(node).is_some(),
            })
        };
        let lacking: Vec<&SourceAnchor> = named.iter().filter(|&anchor| !is_there(anchor)).collect();
        if !lacking.is_empty() {
            links.void(kind, "an object that must be visible was not read");
        }
        missing.extend(
            lacking.into_iter().map(|anchor| Diagnostic::CanaryMissing { kind, anchor: anchor.clone() }),
        );
    }
    missing
}

/// What a plan is made for.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) run: &'a Run,
    /// What created users are marked with: a reconcile, or a sign-in.
    pub(crate) origin: Origin,
    /// Where a person will want to know who gains access by which assignment.
    pub(crate) evidence: Option<&'a Evidence>,
}

/// From entitlements to a plan.
pub(crate) fn decide(
    graph: &Graph<'_>,
    scope: &Scope,
    options: &Options,
    memory: Memory,
    how: How<'_>,
) -> Result<Plan, PlanError> {
    let How { issuer, run, origin, evidence } = how;
    let links = graph.links;
    let protected = ProtectedRecords::new(graph, options);
    let objects = |kind| Objects::new(kind, graph, scope, options, &protected, &memory);
    let (mut users, mut groups) =
        trace::step(Step::Correlate, || (objects(Kind::User), objects(Kind::Group)));
    let (source, stored) = (links.source, links.store);
    let store = &stored.capabilities;
    let user_rules =
        Rules::new(Kind::User, &options.user_map, store, &source.user_attributes, &stored.user_attributes);
    let group_rules = Rules::new(
        Kind::Group,
        &options.group_map,
        store,
        &source.group_attributes,
        &stored.group_attributes,
    );
    let mut draft = Draft { diagnostics: scope.diagnostics.clone(), ..Draft::default() };
    if origin == Origin::Synced {
        draft.diagnostics.extend(without_place(options, source, store));
        if options.extent != Extent::ProvenRemovals {
            for (objects, rules) in [(&mut users, &user_rules), (&mut groups, &group_rules)] {
                adopt(objects, graph, rules, &protected, (options, &memory), &mut draft.diagnostics);
            }
        }
        spare_protected(&mut draft, links, &mut groups, &protected);
    }
    trace::step(Step::Diff, || {
        // A sign-in reads no group: there is none to be compared.
        diff(&mut draft, graph, &users, options, &user_rules, &memory);
        diff(&mut draft, graph, &groups, options, &group_rules, &memory);
        if origin == Origin::Synced {
            return diff_members(&mut draft, graph, &groups, &users, &protected, options);
        }
        sign_in_only(&mut draft);
        Ok(())
    })?;
    within(draft.steps.len(), options.limits.operations, "operations in the plan")?;
    let measured = Measured {
        links,
        users: &users,
        groups: &groups,
        user_rules: &user_rules,
        group_rules: &group_rules,
    };
    // A sign-in is nobody's to approve: it neither uses approvals nor uses them up.
    let approvals = if origin == Origin::Synced { run.approvals.as_slice() } else { &[] };
    let approved = Approved::new(&draft, &measured, approvals, &memory);
    if approved.unused > 0 {
        draft.diagnostics.push(Diagnostic::UnusedApprovals { count: approved.unused as u64 });
    }
    let judgement = match origin {
        Origin::Synced => judge(&draft, &measured, &options.guards, &memory, &approved),
        // One user, asked for by himself: nothing to be measured against.
        Origin::Jit => Judgement::default(),
    };
    trace::verdicts(&judgement);
    let seen = Seen {
        extent: options.extent,
        pending: users.pending.iter().chain(&groups.pending).cloned().collect(),
        written: std::mem::take(&mut draft.written),
        created: std::mem::take(&mut draft.created),
        held: BTreeMap::new(),
        done: BTreeMap::new(),
        window: options.guards.window.map(|window| window.period),
    };
    let decided = Decided {
        links,
        users: &users,
        groups: &groups,
        user_rules: &user_rules,
        group_rules: &group_rules,
        draft,
        judgement,
        approved,
        issuer: issuer.clone(),
        now: run.now,
        origin,
        extent: options.extent,
        memory,
        seen,
        counted: set_limits(&options.guards),
        evidence,
    };
    let plan = trace::step(Step::Plan, || build(decided));
    trace::planned(&plan);
    Ok(plan)
}

/// A sign-in changes no origin (rule J1): only a reconcile adopts.
fn sign_in_only(draft: &mut Draft) {
    use crate::diff::{Act, Cause};
    for step in &mut draft.steps {
        if let Act::Update { adopt, .. } = &mut step.act {
            *adopt = false;
        }
        if matches!(step.cause, Cause::Entitled | Cause::Changed | Cause::Adopted | Cause::Enabled) {
            step.cause = Cause::SignIn;
        }
    }
    draft.steps.retain(|step| !matches!(&step.act, Act::Update { changes, .. } if changes.is_empty()));
    draft.kept.clear();
    draft.blocked.clear();
    draft.released.clear();
}

/// The anchors that the source must be asked about before [`plan`]: those that decide over a deletion or a member list and
/// were not read (rules C3, E9). Sorted; empty where all is known, or where the source cannot answer.
pub fn questions_for(
    source: &SourceSnapshot,
    store: &StoreSnapshot,
    assignments: &Assignments,
    options: &Options,
) -> Vec<SourceAnchor> {
    if !source.0.capabilities.existence {
        return Vec::new();
    }
    let issuer = issuer(source, options);
    let links = Links::new(&source.0, &store.0, &issuer);
    let graph = Graph::new(&links, options);
    let scope = Scope::new(&graph, assignments, &issuer, &options.leaves);
    questions(&graph, &scope, assignments, &issuer)
}

pub(crate) fn issuer(source: &SourceSnapshot, options: &Options) -> Issuer {
    options.issuer.clone().unwrap_or_else(|| source.0.identity.clone())
}

/// What the maps name, the source has, and the store has no place for (rule X5). It is left out rather than refused: default maps
/// serve all stores. Where nobody has it, nothing is left out.
fn without_place(options: &Options, source: &SourceData, store: &StoreCapabilities) -> Vec<Diagnostic> {
    let of = |kind, map: &AttributeMap, table: &AttributeTable| -> Vec<Diagnostic> {
        let absent = map.iter().filter(|(target, _)| store.schema(kind, target).absent);
        let shown = absent.filter(|(_, mapping)| {
            mapping.template.placeholders().any(|name| table.has_value_of(name))
                // A constant is everybody's.
                || (mapping.template.placeholders().next().is_none() && table.rows() > 0)
        });
        shown.map(|(target, _)| Diagnostic::NoPlace { kind, attribute: target.to_owned() }).collect()
    };
    [
        of(Kind::User, &options.user_map, &source.user_attributes),
        of(Kind::Group, &options.group_map, &source.group_attributes),
    ]
    .concat()
}

fn scope(graph: &Graph<'_>, assignments: &Assignments, issuer: &Issuer, options: &Options) -> Scope {
    let mut scope = Scope::new(graph, assignments, issuer, &options.leaves);
    if options.extent == Extent::ProvenRemovals {
        // Nobody is judged by his entitlement: only what is proven on its own counts.
        scope.provable = false;
    }
    scope
}

/// Rule X5: whoever cannot be without a value can, where the store has no place for it, only be without a record.
pub(crate) fn check_required(
    kind: Kind,
    map: &AttributeMap,
    store: &StoreCapabilities,
) -> Result<(), PlanError> {
    let missed = map.iter().find(|(target, mapping)| mapping.required && store.schema(kind, target).absent);
    match missed {
        Some((target, _)) => Err(PlanError::NoPlace { kind, attribute: target.to_owned() }),
        None => Ok(()),
    }
}

/// Rule X5: what the store cannot do is refused before anything is planned.
pub(crate) fn check_options(store: &StoreSnapshot, options: &Options) -> Result<(), PlanError> {
    if options.users.disabled_in_source == Deprovision::Keep {
        return Err(PlanError::CannotKeep { policy: "users.disabled_in_source" });
    }
    for (kind, map) in [(Kind::User, &options.user_map), (Kind::Group, &options.group_map)] {
        let named = options.soft_match.of(kind);
        if !named.is_empty() && store.0.capabilities.adoption == Adoption::Unsupported {
            return Err(PlanError::CannotAdopt);
        }
        check_required(kind, map, &store.0.capabilities)?;
        let is_mapped = |attribute: &&String| {
            map.iter().any(|(target, _)| target == attribute.as_str())
                && !store.0.capabilities.schema(kind, attribute).absent
        };
        if let Some(attribute) = named.iter().find(|attribute| !is_mapped(attribute)) {
            return Err(PlanError::Unmapped { kind, attribute: attribute.clone() });
        }
    }
    if store.0.capabilities.activation == Activation::Supported {
        return Ok(());
    }
    for (policy, set) in [
        ("users.deleted_in_source", options.users.deleted_in_source),
        ("users.left_scope", options.users.left_scope),
        ("users.disabled_in_source", options.users.disabled_in_source),
    ] {
        if set == Deprovision::Deactivate {
            return Err(PlanError::CannotDeactivate { policy });
        }
    }
    Ok(())
}

/// Rule C4: an empty read against a store that is not.
fn check_empty(
    graph: &Graph<'_>,
    scope: &Scope,
    assignments: &Assignments,
    options: &Options,
) -> Result<(), PlanError> {
    if options.extent == Extent::ProvenRemovals {
        return Ok(());
    }
    let links = graph.links;
    let source = links.source;
    let managed = |kind| (0..links.store.records(kind).len() as u32).any(|row| links.is_managed(kind, row));
    for (kind, read, rows, allowed) in [
        // As the source gave them: a missing canary must not let an empty read pass for a partial one.
        (Kind::User, &source.users_read, &source.user_of, options.allow_empty.users),
        (Kind::Group, &source.groups_read, &source.group_of, options.allow_empty.groups),
    ] {
        let found = rows.iter().enumerate().any(|(node, &row)| {
            // Where only asked-for anchors were read, only linked ones tell whether the source answers at all.
            row != NONE && (!source.scoped || links.record(kind, node as u32).is_some())
        });
        if read.is_complete() && !found && !allowed && managed(kind) {
            return Err(PlanError::EmptySource { kind });
        }
    }
    let missing = assignments.read.is_complete() && !scope.resolves && !options.allow_empty.assignments;
    if missing && is_in_use(links) {
        return Err(PlanError::EmptyAssignments);
    }
    Ok(())
}
