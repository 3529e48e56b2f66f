//! A plan as lines.

use identity_sync::{Action, Operation, Origin, Plan, PlanMembers, Subject};

use crate::world::{Values, spelled};

/// Seconds.
pub(crate) const DAY: i64 = 86_400;

/// A plan as lines: operations with their cause, limits, what they hold, what is kept, blocked removals, findings.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan.operations().map(line).collect();
    for limit in plan.tripped() {
        let group = limit.group.as_ref().map(|group| format!(" of {group}")).unwrap_or_default();
        let attribute = limit.attribute.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        let (planned, allowed, base) = (limit.planned, limit.allowed, limit.base);
        let planned =
            if limit.spent > 0 { format!("{} + {planned}", limit.spent) } else { planned.to_string() };
        lines.push(format!("limit {:?}{group}{attribute}: {planned} > {allowed} of {base}", limit.limit));
    }
    lines.extend(plan.held().map(|held| format!("held by {:?}: {}", held.by(), line(held.operation))));
    for pending in plan.pending() {
        let (kind, who) = (pending.subject.kind(), name(pending.subject));
        let (since, due) = (pending.since.0 / DAY, pending.due.0 / DAY);
        let what = pending.deprovision;
        lines.push(format!("pending {what:?} {kind} {who} ({:?}, day {since} to {due})", pending.cause));
    }
    lines.extend(plan.kept().map(|subject| format!("kept {} {}", subject.kind(), name(subject))));
    for blocked in plan.blocked() {
        let what = match blocked.member {
            Some(member) => format!("{} in {}", name(member), name(blocked.subject)),
            None => format!("{} {}", blocked.subject.kind(), name(blocked.subject)),
        };
        lines.push(format!("blocked {what}: {:?}", blocked.because));
    }
    lines.extend(plan.diagnostics().iter().map(|finding| format!("note: {finding}")));
    lines
}

fn name(subject: Subject<'_>) -> String {
    match (subject.anchor(), subject.id()) {
        (Some(anchor), _) => anchor.to_owned(),
        (None, id) => format!("#{}", id.unwrap_or("?")),
    }
}

fn names(members: PlanMembers<'_>) -> String {
    members.iter().map(name).collect::<Vec<_>>().join(" ")
}

pub(crate) fn line(operation: Operation<'_>) -> String {
    let subject = operation.subject();
    let (kind, who) = (subject.kind(), name(subject));
    let values = |attributes: identity_sync::Attributes<'_>| {
        let mut grouped = Values::new();
        for (name, value) in attributes.iter() {
            grouped.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        spelled(&grouped)
    };
    let what = match operation.action() {
        Action::CreateUser { attributes, active, origin } => {
            let active = if active { "" } else { " inactive" };
            let jit = if origin == Origin::Jit { " jit" } else { "" };
            format!("create user {who}{active}{jit} [{}]", values(attributes))
        }
        Action::CreateGroup { attributes } => format!("create group {who} [{}]", values(attributes)),
        Action::Update { changes, origin } => {
            let mut parts: Vec<String> = changes
                .iter()
                .map(|c| format!("{}: {} -> {}", c.attribute, c.old.join("|"), c.new.join("|")))
                .collect();
            parts.extend(origin.map(|origin| format!("origin -> {origin:?}")));
            format!("update {kind} {who} [{}]", parts.join(", "))
        }
        Action::Adopt => format!("adopt {kind} {who} as {}", subject.id().unwrap_or("?")),
        Action::Deactivate => format!("deactivate {who}"),
        Action::Reactivate => format!("reactivate {who}"),
        Action::Delete => format!("delete {kind} {who}"),
        Action::AddMembers(members) => format!("add {who}: {}", names(members)),
        Action::RemoveMembers(members) => format!("remove {who}: {}", names(members)),
        other => panic!("unknown action {other:?}"),
    };
    let approved = if operation.is_approved() { ", approved" } else { "" };
    format!("{what} ({:?}{approved})", operation.cause())
}
