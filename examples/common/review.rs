//! Plans and held operations, as an operator looks at them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use identity_sync::{
    Action, ApplyReport, Deprovision, Diagnostic, Extent, HeldSet, Kind, Operation, Outcome, Plan,
    PlanMembers, SourceAnchor, Stop, Timestamp,
};

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

/// A plan as text. The first line also says that removals are blocked, which else only the end would.
pub(crate) fn plan_text(plan: &Plan) -> String {
    let mut text = plan.to_string();
    for diagnostic in plan.diagnostics() {
        text = text.replace(&diagnostic.to_string(), &note(diagnostic));
    }
    match (plan.blocked().len(), text.strip_prefix("nothing to do\n")) {
        (0, _) => text,
        (blocked, Some(rest)) => format!("nothing to do; {blocked} removals blocked, see below\n{rest}"),
        (blocked, None) => format!("{blocked} removals blocked, see below\n{text}"),
    }
}

/// What a person should know; times as people write them.
pub(crate) fn note(diagnostic: &Diagnostic) -> String {
    let text = diagnostic.to_string();
    match diagnostic {
        Diagnostic::ClockWentBack { latest } => text.replace(&latest.0.to_string(), &time::show(*latest)),
        _ => text,
    }
}

/// By how many seconds an earlier run may have told a later time: clocks of two machines differ.
const CLOCKS_DIFFER: u64 = 60;

/// The time that an earlier run told, where that lies so far ahead that no period would grow older, for as long as that takes.
pub(crate) fn later_before(plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    plan.diagnostics().iter().find_map(|diagnostic| match diagnostic {
        Diagnostic::ClockWentBack { latest } if latest.since(now) > CLOCKS_DIFFER => Some(*latest),
        _ => None,
    })
}

/// Says, beside the plan, where what is held can be seen and approved.
pub(crate) fn hint(plan: &Plan) {
    if plan.held().len() > 0 {
        eprintln!("held: see `sync held --out FILE`");
    }
}

/// The first operations that are held, with the limits that hold them.
pub(crate) fn list_held(plan: &Plan) {
    const SHOWN: usize = 10;
    for held in plan.held().take(SHOWN) {
        let limits = held.by().iter().filter_map(|&by| plan.tripped().get(by as usize));
        let limits: Vec<String> = limits.map(ToString::to_string).collect();
        let (limits, since) = (limits.join("; "), time::show(held.since));
        say!("    {}; since {since}; limit: {limits}", first_line(held.operation));
    }
    let more = plan.held().len().saturating_sub(SHOWN);
    if more > 0 {
        say!("    … and {more} more: `sync held`");
    }
}

/// It names the operation; those below would name everybody in a list.
fn first_line(operation: Operation<'_>) -> String {
    operation.to_string().lines().next().unwrap_or_default().to_owned()
}

pub(crate) fn code(plan: &Plan) -> ExitCode {
    ExitCode::from(match (plan.held().len(), plan.len()) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 3,
    })
}

/// What came of a run, in one line.
pub(crate) fn summary(plan: &Plan, report: &ApplyReport) -> String {
    let failed = report.outcomes.iter().filter(|outcome| !outcome.is_applied()).count();
    let mut text = format!(
        "{} applied, {failed} not applied, {} held, {} pending, {} blocked, {} notes",
        report.applied(),
        plan.held().len(),
        plan.pending().len(),
        plan.blocked().len(),
        plan.diagnostics().len()
    );
    for limit in plan.tripped() {
        text += &format!("; limit: {limit}");
    }
    let first = report.outcomes.iter().find(|outcome| matches!(outcome, Outcome::Failed(_)));
    if let Some(outcome) = first {
        text += &format!("; first {outcome}");
    }
    match report.stopped {
        Some(Stop::Unauthorized) => text += "; stopped: the store does not accept the credentials",
        Some(Stop::FailureBudget) => text += "; stopped: too many operations failed",
        Some(Stop::Cancelled) => text += "; stopped: cancelled",
        Some(_) => text += "; stopped",
        None => {}
    }
    text
}

/// The exit code of a run that has written.
pub(crate) fn done_code(plan: &Plan, report: &ApplyReport) -> u8 {
    match (report.is_success(), plan.held().len(), plan.len()) {
        (false, ..) => 1,
        (_, 0, 0) => 0,
        (_, 0, _) => 2,
        _ => 3,
    }
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
    let show = |what: &str, operation: Operation<'_>| say!("{what}: {}", first_line(operation));
    plan.operations()
        .filter(|&operation| is_about(operation))
        .for_each(|operation| show("planned", operation));
    for held in plan.held().filter(|held| is_about(held.operation)) {
        show("held", held.operation);
    }
    let mut waits = false;
    for pending in plan.pending().filter(|pending| pending.subject.anchor() == Some(anchor)) {
        let what = match (pending.deprovision, pending.subject.kind()) {
            (Deprovision::Delete, _) => "deleted",
            (_, Kind::User) => "made inactive",
            (_, Kind::Group) => "emptied",
        };
        say!("pending: {what} at {}, unless that changes ({})", time::show(pending.due), pending.cause);
        waits = true;
    }
    if !waits && plan.kept().any(|kept| kept.anchor() == Some(anchor)) {
        say!("kept: wanted no more, and stays as it is");
    }
    for note in plan.diagnostics().iter().map(note).filter(|text| text.contains(anchor)) {
        say!("note: {note}");
    }
}
