//! This crate: pages, snapshots, `plan`.

use std::error::Error;

use identity_sync::{
    Action, Assignments, Completeness, Deprovision, ExternalId, GroupPage, Guards, Kind, Operation, Options,
    Plan, Principal, Run, SourceCapabilities, SourceSnapshot, StoreCapabilities, StoreSnapshot,
    StoredGroupPage, StoredUserPage, UserPage, plan,
};

use super::{Lines, Meter};
use crate::data::{Case, GROUP_ATTRIBUTES, Guid, Input, MAPPED, USER_ATTRIBUTES};

const ISSUER: &str = "corp";
/// A page ends at so many rows, or so many members.
const ROWS: usize = 1_000;
const MEMBERS: usize = 20_000;

pub(crate) fn run(
    input: &Input<'_>,
    case: Case,
    meter: &mut Meter,
    lines: &mut Lines,
) -> Result<(), Box<dyn Error>> {
    let options = options();
    let source = source(input, &options)?;
    let assignments = input
        .assigned()?
        .into_iter()
        .map(|number| Principal::External(ExternalId::new(ISSUER, Guid::anchor(number).as_str())));
    let assignments = Assignments::complete(assignments);
    meter.step("directory: pages to snapshot")?;
    let store = store(input, case, &options)?;
    meter.step("store: pages to snapshot")?;
    let found = plan(&source, &store, &assignments, &options, &Run::default())?;
    meter.step("plan")?;
    if found.plan.held().len() + found.plan.blocked().len() + found.plan.kept().len() > 0 {
        return Err(
            "something is held, blocked or kept: the options do not make the contenders comparable".into()
        );
    }
    write(&found.plan, lines)?;
    Ok(())
}

/// What is wanted no more is deleted, as the naive contender does.
fn options() -> Options {
    let mut options = Options::for_issuer(ISSUER);
    options.users.left_scope = Deprovision::Delete;
    options.groups.left_scope = Deprovision::Delete;
    options.absence_is_proof = true;
    options.guards = Guards::off();
    options
}

fn source(input: &Input<'_>, options: &Options) -> Result<SourceSnapshot, Box<dyn Error>> {
    let mut builder = SourceSnapshot::builder(ISSUER, SourceCapabilities::default()).only_mapped(options);
    let (mut users, mut page) = (input.users()?, UserPage::default());
    while users.advance()? {
        let mut row = page.user(Guid::anchor(users.number).as_str());
        row.active(true);
        for ((name, _), value) in USER_ATTRIBUTES.iter().zip(&users.values) {
            row.attribute(name, value);
        }
        if page.len() == ROWS {
            builder.users(&page)?;
            page.clear();
        }
    }
    builder.users(&page)?;
    builder.users_end(Completeness::Complete);
    drop(page);
    let (mut groups, mut page, mut members) = (input.groups()?, GroupPage::default(), 0);
    while groups.advance()? {
        let mut row = page.group(Guid::anchor(groups.number).as_str());
        for ((name, _), value) in GROUP_ATTRIBUTES.iter().zip(&groups.values) {
            row.attribute(name, value);
        }
        for &member in &groups.members {
            row.member(Guid::anchor(member).as_str());
        }
        row.members_complete();
        members += groups.members.len();
        if page.len() == ROWS || members >= MEMBERS {
            builder.groups(&page)?;
            page.clear();
            members = 0;
        }
    }
    builder.groups(&page)?;
    builder.groups_end(Completeness::Complete);
    Ok(builder.finish())
}

fn store(input: &Input<'_>, case: Case, options: &Options) -> Result<StoreSnapshot, Box<dyn Error>> {
    let mut builder = StoreSnapshot::builder(StoreCapabilities::named("app")).only_mapped(options);
    if !case.has_store() {
        return Ok(builder.finish(Completeness::Complete));
    }
    let (mut users, mut page) = (input.stored_users()?, StoredUserPage::default());
    while users.advance()? {
        let mut row = page.user(Guid::stored(users.number).as_str());
        row.external_id(ISSUER, Guid::anchor(users.number).as_str());
        for ((_, name), value) in USER_ATTRIBUTES[..MAPPED].iter().zip(&users.values) {
            row.attribute(name, value);
        }
        if page.len() == ROWS {
            builder.users(&page)?;
            page.clear();
        }
    }
    builder.users(&page)?;
    drop(page);
    let (mut groups, mut page, mut members) = (input.stored_groups()?, StoredGroupPage::default(), 0);
    while groups.advance()? {
        let mut row = page.group(Guid::stored(groups.number).as_str());
        row.external_id(ISSUER, Guid::anchor(groups.number).as_str());
        for ((_, name), value) in GROUP_ATTRIBUTES.iter().zip(&groups.values) {
            row.attribute(name, value);
        }
        for &member in &groups.members {
            row.member(Guid::stored(member).as_str());
        }
        members += groups.members.len();
        if page.len() == ROWS || members >= MEMBERS {
            builder.groups(&page)?;
            page.clear();
            members = 0;
        }
    }
    builder.groups(&page)?;
    Ok(builder.finish(Completeness::Complete))
}

fn write(plan: &Plan, lines: &mut Lines) -> Result<(), Box<dyn Error>> {
    for operation in plan.operations() {
        write_operation(operation, lines)?;
    }
    Ok(())
}

fn write_operation(operation: Operation<'_>, lines: &mut Lines) -> Result<(), Box<dyn Error>> {
    let subject = operation.subject();
    let anchor = subject.anchor().ok_or("an operation without an anchor")?;
    let kind = if subject.kind() == Kind::User { "user" } else { "group" };
    match operation.action() {
        Action::CreateUser { attributes, active: true, .. } | Action::CreateGroup { attributes } => {
            lines.create(kind, anchor, attributes.iter())?;
        }
        Action::Update { changes, origin: None } => {
            for change in changes {
                let (old, new) = (change.old.join("|"), change.new.join("|"));
                lines.push(["update", kind, anchor, &change.attribute, &old, &new])?;
            }
        }
        Action::Delete => lines.push(["delete", kind, anchor])?,
        Action::AddMembers(members) => {
            for member in members.iter() {
                lines.push(["add", anchor, member.anchor().unwrap_or_default()])?;
            }
        }
        Action::RemoveMembers(members) => {
            for member in members.iter() {
                lines.push(["remove", anchor, member.anchor().unwrap_or_default()])?;
            }
        }
        other => return Err(format!("{other:?} was not expected").into()),
    }
    Ok(())
}
