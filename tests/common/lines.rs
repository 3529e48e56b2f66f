//! A plan in the canonical lines of the oracle.

use std::collections::BTreeSet;

use identity_sync::{Action, Cause, Kind, Operation, Plan, Subject};

/// How a record is named in lines: by its store id, or by its anchor where the plan creates it.
fn reference(subject: Subject<'_>) -> String {
    match subject.id() {
        Some(id) => id.to_owned(),
        None => format!("@{}", subject.anchor().unwrap_or_default()),
    }
}

fn list(values: &[String]) -> String {
    let mut values: Vec<&str> = values.iter().map(|value| value.trim()).collect();
    values.sort_unstable();
    format!("[{}]", values.join("|"))
}

pub fn line(operation: Operation<'_>) -> String {
    let subject = operation.subject();
    let kind = match subject.kind() {
        Kind::User => "user",
        Kind::Group => "group",
    };
    let attributes = |attributes: identity_sync::Attributes<'_>| {
        let mut grouped = std::collections::BTreeMap::<&str, Vec<String>>::new();
        for (name, value) in attributes.iter() {
            grouped.entry(name).or_default().push(value.to_owned());
        }
        let parts: Vec<String> =
            grouped.iter().map(|(name, values)| format!("{name}={}", list(values))).collect();
        parts.join(";")
    };
    let members = |members: identity_sync::PlanMembers<'_>| {
        let mut all: Vec<String> = members.iter().map(reference).collect();
        all.sort_unstable();
        all.join(",")
    };
    let anchor = subject.anchor().unwrap_or_default();
    match operation.action() {
        Action::CreateUser { attributes: values, active, .. } => {
            let active = if active { "active" } else { "inactive" };
            format!("create_user {anchor} {active} {}", attributes(values))
        }
        Action::CreateGroup { attributes: values } => format!("create_group {anchor} {}", attributes(values)),
        Action::Update { changes, origin } => {
            let mut parts: Vec<String> = changes
                .iter()
                .map(|change| format!("{}:{}->{}", change.attribute, list(&change.old), list(&change.new)))
                .collect();
            parts.sort_unstable();
            if origin.is_some() {
                parts.push("origin:jit->synced".to_owned());
            }
            let name = if operation.cause() == Cause::Swap {
                "temp_update".into()
            } else {
                format!("update_{kind}")
            };
            format!("{name} {} {}", reference(subject), parts.join(";"))
        }
        Action::Adopt => format!("adopt_{kind} {} {anchor}", reference(subject)),
        Action::Deactivate => format!("deactivate {}", reference(subject)),
        Action::Reactivate => format!("reactivate {}", reference(subject)),
        Action::Delete => format!("delete_{kind} {}", reference(subject)),
        Action::AddMembers(list) => format!("add_members {} : {}", reference(subject), members(list)),
        Action::RemoveMembers(list) => {
            let name = match operation.cause() {
                Cause::MemberDeleted | Cause::GroupDeleted => "remove_members_before_delete",
                _ => "remove_members",
            };
            format!("{name} {} : {}", reference(subject), members(list))
        }
        other => panic!("unknown action {other:?}"),
    }
}

pub fn operations(plan: &Plan) -> BTreeSet<String> {
    plan.operations().map(line).collect()
}

pub fn held(plan: &Plan) -> BTreeSet<String> {
    plan.held().map(|held| line(held.operation)).collect()
}
