//! Plans and held operations, as an operator looks at them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use identity_sync::{Action, Extent, HeldSet, Operation, Plan, PlanMembers, SourceAnchor};

use super::{Trouble, time};

/// What was taken out of the file is not forbidden: once the approved part counts no more, the rest may be few enough for the
/// limit. Nobody who cut a file expects that.
pub(crate) fn refuse_rest(before: &Plan, after: &Plan) -> Result<(), Trouble> {
    let held: BTreeSet<_> = before.held().flat_map(|held| parts(held.operation)).collect();
    let open = after.operations().filter(|operation| !operation.is_approved());
    let rest = open.flat_map(parts).filter(|part| held.contains(part)).count();
    if rest == 0 {
        return Ok(());
    }
    Err(format!(
        "nothing was written: {rest} of what is held now is not approved and would run all the same, since so few are \
         within the limit; protect them in the configuration, or say --and-rest"
    )
    .into())
}

/// An operation, or each member of a list, as far as one can be told from another.
fn parts(operation: Operation<'_>) -> Vec<String> {
    let (subject, action) = (operation.subject(), operation.action());
    match action {
        Action::AddMembers(members) => members.iter().map(|member| format!("{subject} + {member}")).collect(),
        Action::RemoveMembers(members) => {
            members.iter().map(|member| format!("{subject} - {member}")).collect()
        }
        _ => vec![format!("{:?} {subject}", std::mem::discriminant(&action))],
    }
}

pub(crate) fn code(plan: &Plan) -> ExitCode {
    ExitCode::from(match (plan.held().len(), plan.len()) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 3,
    })
}

pub(crate) fn extent_name(extent: Extent) -> &'static str {
    match extent {
        Extent::Full => "a full run",
        Extent::NewEntitlements => "a run for new entitlements",
        Extent::ProvenRemovals => "a run for proven removals",
    }
}

pub(crate) fn show_held(held: &HeldSet) -> Result<(), Trouble> {
    // A file that cannot be shown was not written by this program.
    held.lines().map_err(|error| format!("held operations: {error}"))?;
    if held.is_empty() {
        say!("nothing is held");
    }
    super::show(held);
    Ok(())
}

/// Whatever a plan says about one user or group.
pub(crate) fn show_plans_for(plan: &Plan, anchor: &SourceAnchor) {
    let anchor = anchor.as_str();
    let is_him = |members: PlanMembers<'_>| members.iter().any(|member| member.anchor() == Some(anchor));
    let is_about = |operation: Operation<'_>| {
        operation.subject().anchor() == Some(anchor)
            || match operation.action() {
                Action::AddMembers(members) | Action::RemoveMembers(members) => is_him(members),
                _ => false,
            }
    };
    // The first line names the operation; those below would name everybody else in a list.
    let show = |what: &str, operation: Operation<'_>| {
        say!("{what}: {}", operation.to_string().lines().next().unwrap_or_default());
    };
    plan.operations()
        .filter(|&operation| is_about(operation))
        .for_each(|operation| show("planned", operation));
    for held in plan.held().filter(|held| is_about(held.operation)) {
        show("held", held.operation);
    }
    for pending in plan.pending().filter(|pending| pending.subject.anchor() == Some(anchor)) {
        say!("pending: out of use at {}, unless that changes", time::show(pending.due));
    }
    if plan.kept().any(|kept| kept.anchor() == Some(anchor)) {
        say!("kept: wanted no more, and stays as it is");
    }
    for diagnostic in plan.diagnostics().iter().map(ToString::to_string).filter(|text| text.contains(anchor))
    {
        say!("note: {diagnostic}");
    }
}
