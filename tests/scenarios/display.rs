//! The plan for a person (rules P8, S2).

use identity_sync::{
    Adoption, ApplyOptions, Deprovision, Escaped, Guards, Host, Kind, Limit, Origin, Period, Run,
    Sensitivity, Window, apply, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, record};

#[test]
fn an_empty_plan_says_that_there_is_nothing_to_do() {
    // rule P8
    assert_eq!(World::new().plan().to_string(), "nothing to do\n");
}

#[test]
fn a_plan_shows_members_by_name_totals_limits_held_ones_and_findings() {
    // rule P8
    let mut w = World::new();
    for (anchor, login) in [("1", "ada"), ("2", "bob"), ("3", "kim"), ("4", "eve"), ("5", "joe")] {
        w.user(anchor).set("userPrincipalName", login);
    }
    w.group("10", "1 2 3").set("cn", "Staff");
    w.group("11", "1 2 3").set("cn", "Open");
    w.assign("10 11 4 5");
    w.sync();
    w.options.guards = Guards::off();
    w.options.guards.user_deletes = Some(Limit::new(Some(0), 0, 0));
    w.user("6").set("userPrincipalName", "new");
    w.edit_group("10").members("1 3 6");
    w.edit_group("11").members("1 3").partial();
    w.edit("1").disabled();
    w.edit("3").set("title", "chief");
    w.delete("4");
    assert_eq!(
        w.plan().to_string(),
        "\
- deactivate user ada [1] (disabled in the source)
- members of group Staff [10]: 1 (no path is left)
    - user bob [2]
~ update user kim [3]; title: nothing → chief (changed in the source)
+ create user new [6]; userName: new (entitled)
+ members of group Staff [10]: 1 (entitled)
    + user new [6]
total: 1 created, 1 updated, 1 deactivated, 1 members added, 1 members removed, 1 operations held
limit 1: user deletes: 1 planned, 0 allowed of 5
held by limit 1: - delete user eve [4] (deleted in the source)
impact: becomes inactive: user ada [1]
impact: gain access: 1 through group Staff [10]
impact if approved: loses the last entitlement: user eve [4]
kept: user bob [2]
removals blocked: 1
removal blocked: user bob [2] from group Open [11]: the member list, or one below, is incomplete
note: assignment resolves to nothing: corp:4
"
    );
}

/// Everything that must never reach a terminal as it is.
const HOSTILE: &str = "eve\n+ create user root [0] (entitled)\r\u{1b}[2J\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}\u{0}\u{7f}\u{85}";

#[test]
fn names_cannot_forge_a_line_anywhere() {
    // rules P8, S1
    let mut w = World::new();
    let hostile = |n: usize| format!("{n}{HOSTILE}");
    w.user(&hostile(1)).set("userPrincipalName", &hostile(1)).set("title", HOSTILE);
    w.user(&hostile(2)).set("userPrincipalName", &hostile(2));
    w.group("g", "").set("cn", HOSTILE);
    let members = [hostile(1), hostile(2), "ghost\n".to_owned()];
    for member in &members {
        w.edit_group("g").member(member, identity_sync::MemberKind::Unknown);
    }
    w.edit_group("g").member("g", identity_sync::MemberKind::Group);
    w.put(Kind::User, HOSTILE, record(&[("userName", &hostile(2))]));
    let assigned =
        ["g", HOSTILE].map(|a| identity_sync::Principal::External(identity_sync::ExternalId::new("corp", a)));
    w.assigned.principals.extend(assigned);
    let run = Run::default();
    let found =
        block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &Host::default())).unwrap();
    let plan = &found.plan;
    let report = block_on(apply(plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    let why: Vec<String> = members
        .iter()
        .map(|member| found.evidence.explain(&member.as_str().into()).unwrap().to_string())
        .collect();
    let mut shown =
        vec![report.to_string(), why.join(" "), found.evidence.dot(&members[0].as_str().into()).unwrap()];
    shown.extend(plan.diagnostics().iter().map(|d| format!("{d} {d:?}")));
    shown.extend(plan.operations().map(|op| format!("{op} {op:?}")));
    shown.push(plan.to_string());
    shown.push(format!("{plan:?}"));
    for text in shown {
        let forged = text.lines().any(|line| line.starts_with("+ create user root"));
        let raw = text.chars().find(|&c| {
            c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}".contains(c))
        });
        assert!(!forged && raw.is_none(), "{raw:?} in {text}");
    }
    assert_eq!(plan.to_string().lines().filter(|line| line.starts_with("+ create user")).count(), 1);
}

#[test]
fn errors_from_outside_cannot_forge_a_line_either() {
    // rules P8, S2
    let error = identity_sync::StoreError::new(identity_sync::ErrorKind::Permanent, HOSTILE);
    assert_eq!(error.to_string(), Escaped(HOSTILE).to_string());
    assert_eq!(error.to_string().lines().count(), 1);
    let partial = identity_sync::Completeness::partial(HOSTILE);
    assert_eq!(partial.to_string().lines().count(), 1);
}

#[test]
fn sensitive_values_are_redacted_for_people_and_complete_for_machines() {
    // rules S2, P8
    const SECRET: &str = "hunter2";
    const OLD: &str = "hunter1";
    let mut w = World::new();
    w.users("ada bob");
    w.edit("bob").set("employeeID", OLD);
    w.group("staff", "ada bob").set("description", OLD);
    w.assign("staff");
    for (map, target, template) in [
        (&mut w.options.user_map, "employeeNumber", "${employeeID}"),
        (&mut w.options.group_map, "description", "${description}"),
    ] {
        map.set(target, template).unwrap().sensitivity = Sensitivity::Sensitive;
    }
    w.sync();
    let bob = w.id("bob");
    w.source.users.remove(0);
    w.edit_group("staff").set("description", SECRET).members("bob kim");
    w.edit("bob").set("employeeID", SECRET);
    w.users("kim");
    w.edit("kim").set("employeeID", SECRET);
    let run = Run::default();
    let found =
        block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &Host::default())).unwrap();
    let plan = &found.plan;
    let shown = format!("{plan}\n{plan:?}\n{found:?}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(
        plan.to_string()
            .contains("~ update user bob [bob]; employeeNumber: [redacted, 7 bytes] → [redacted, 7 bytes]")
    );
    let text = serde_json::to_string(plan).unwrap();
    assert_eq!((text.matches(SECRET).count(), text.matches(OLD).count()), (3, 2));
    // Read back from JSON it is as discreet as before.
    let again: identity_sync::Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again.to_string(), plan.to_string());
    let report = block_on(apply(&again, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert!(report.is_success());
    assert_eq!(w.store.state().users[&bob].attributes["employeeNumber"], [SECRET]);
}

#[test]
fn a_sensitive_name_is_shown_nowhere_not_even_as_a_title() {
    // rule S2
    let mut w = World::new();
    w.user("1").set("userPrincipalName", "hunter2");
    w.user("2").set("userPrincipalName", "HUNTER2");
    w.user("3").set("userPrincipalName", "hunter3");
    w.assign("1 2 3");
    let mapping = w.options.user_map.set("userName", "${userPrincipalName}").unwrap();
    mapping.sensitivity = Sensitivity::Sensitive;
    mapping.required = true;
    let plan = w.plan();
    let shown = format!("{plan}\n{plan:?}").to_lowercase();
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(
        plan.to_string().contains("+ create user (no name) [3]; userName: [redacted, 7 bytes] (entitled)"),
        "{plan}"
    );
}

#[test]
fn snapshots_rows_and_writes_show_no_value_in_debug() {
    // rule S2
    let mut page = identity_sync::UserPage::default();
    page.user("ada").active(true).attribute("secret", "hunter2");
    let mut builder =
        identity_sync::SourceSnapshot::builder("corp", identity_sync::SourceCapabilities::default());
    builder.users(&page).unwrap();
    let mut stored = identity_sync::StoredUserPage::default();
    stored.user("u").attribute("secret", "hunter2");
    let mut store = identity_sync::StoreSnapshot::builder(identity_sync::StoreCapabilities::named("app"));
    store.users(&stored).unwrap();
    let change = identity_sync::Change {
        attribute: "secret".to_owned(),
        old: vec!["hunter1".to_owned()],
        new: vec!["hunter2".to_owned()],
    };
    let link = identity_sync::ExternalId::new("corp", "ada");
    let mut batch = identity_sync::WriteBatch::new();
    let attributes = stored.attributes().next().unwrap();
    batch.push(identity_sync::Write::CreateUser {
        external_id: &link,
        attributes,
        active: true,
        origin: identity_sync::Origin::Synced,
    });
    let changes = [change];
    let id = "u".into();
    batch.push(identity_sync::Write::UpdateUser { id: &id, version: None, changes: &changes, origin: None });
    let shown = format!("{page:?} {stored:?} {batch:?} {builder:?} {store:?}");
    assert!(!shown.contains("hunter"), "{shown}");
    let shown = format!("{:?} {:?}", builder.finish(), store.finish(identity_sync::Completeness::Complete));
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn escapes_can_be_told_from_what_they_stand_for() {
    // rule P8
    assert_eq!(Escaped("a\\n\n\r\tb").to_string(), "a\\\\n\\n\\r\\tb");
}

#[test]
fn every_kind_of_operation_limit_and_pending_removal_has_its_line() {
    // rules P8, D1, D4, J2, M3, A6
    let mut store = crate::world::capabilities();
    store.adoption = Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.options.user_map.set("emails", "${proxyAddresses}").unwrap();
    w.options.soft_match.groups.insert("displayName".into());
    w.users("ada bob jit off leaver");
    w.edit("ada").add("proxyAddresses", "a@x").add("proxyAddresses", "b@x").set("title", "x");
    w.group("staff", "ada bob jit off");
    w.group("old", "ada bob");
    w.assign("staff old leaver");
    let mut t = Timeline::start(w);
    let (jit, off) = (t.id("jit"), t.id("off"));
    t.store.state().users.get_mut(&jit).unwrap().origin = Some(Origin::Jit);
    t.store.state().users.get_mut(&off).unwrap().active = false;
    t.store.state().users.get_mut(&off).unwrap().deactivated_by = identity_sync::DeactivatedBy::Sync;
    t.options.users.grace.deleted_in_source = Period::of_days(3);
    t.options.groups.left_scope = Deprovision::Delete;
    t.options.guards.removals_per_group = Some(Limit::new(Some(0), 0, 0));
    t.options.guards.clears_per_attribute = Some(Limit::new(Some(0), 0, 0));
    t.put(Kind::Group, "L", record(&[("displayName", "local")]));
    t.group("local", "");
    t.group("made", "");
    t.users("late");
    t.edit("late").disabled();
    t.assign("local made late");
    t.delete("leaver");
    t.edit("ada").unset("proxyAddresses").add("proxyAddresses", "c@x").add("proxyAddresses", "b@x");
    t.edit("bob").set("title", "chief");
    t.unassign("old");
    t.look();
    t.edit("ada").unset("title");
    t.edit_group("staff").members("ada jit off");
    t.assign("bob");
    t.look();
    assert_eq!(
        t.days(1).plan().to_string(),
        "\
+ adopt group local [local] as record L (has no link, and is the only match)
- delete group old [old], 2 members lose it (not entitled any more)
~ update user bob [bob]; title: nothing → chief (changed in the source)
~ update user jit [jit]; origin: sign-in → synced (signed in before, entitled now)
+ create user late [late] inactive; userName: late (entitled)
+ create group made [made]; displayName: made (entitled)
+ reactivate user off [off] (entitled and enabled)
total: 1 adopted, 2 created, 2 updated, 1 deleted, 1 reactivated, 2 operations held
limit 1: member removals of staff: 1 planned, 0 allowed of 4
limit 2: cleared values title: 1 planned, 0 allowed of 1
held by limit 1: - members of group staff [staff]: 1 (no path is left)
    - user bob [bob]
    held for 1day
held by limit 2: ~ update user ada [ada]; emails: a@x, b@x → b@x, c@x; title: x → nothing (changed in the source)
    held for 1day
impact: gain access: 2 through group staff [staff]
kept: user leaver [leaver]
pending: delete user leaver [leaver] in 2days (deleted in the source)
note: assignment resolves to nothing: corp:leaver
"
    );
    // Approved after a day, it says so; what was held only now has not been held for any time.
    t.approvals = vec![t.held_file().approve()];
    let text = t.plan().to_string();
    assert!(text.contains("x → nothing (changed in the source, approved, was held for 1day)"), "{text}");
    assert!(
        text.contains("- members of group staff [staff]: 1 (no path is left, approved, was held for 1day)"),
        "{text}"
    );
}

#[test]
fn a_limit_over_several_runs_names_what_was_done_in_its_window() {
    // rules P8, D4
    let mut w = World::new();
    w.users("a b c");
    w.assign("a b c");
    w.options.guards = Guards::off();
    w.options.guards.user_deletes = Some(Limit::new(Some(1), 100, 1));
    w.options.guards.window = Some(Window { period: Period::of_days(2), percent: 100 });
    let mut t = Timeline::start(w);
    t.delete("a");
    t.run();
    t.delete("b");
    let text = t.days(1).plan().to_string();
    assert!(text.starts_with("total: 1 operations held\n"), "{text}");
    let limit = "limit 1: user deletes: 1 planned, 1 done in the last 2days, 1 allowed of 3\n";
    assert!(text.contains(limit), "{text}");
}

#[test]
fn causes_and_reasons_can_be_shown_alone_and_members_counted() {
    // rules P5, C7, P8
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    let plan = w.plan();
    let members = plan.operations().find_map(|operation| match operation.action() {
        identity_sync::Action::AddMembers(members) => Some((members, operation.cause())),
        _ => None,
    });
    let (members, cause) = members.unwrap();
    assert_eq!((members.len(), members.is_empty(), cause.to_string().as_str()), (2, false, "entitled"));
    w.sync();
    w.edit_group("staff").members("ada").partial();
    let plan = w.plan();
    let because = plan.blocked().next().unwrap().because;
    assert_eq!(because.to_string(), "the member list, or one below, is incomplete");
}
