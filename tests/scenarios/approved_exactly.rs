//! An approval is for what was shown, and for nothing that only looks like it (rule D5).

use identity_sync::{
    AccountState, Adoption, Guards, Kind, Limit, OnTrip, PlanError, ReconcileError, Timestamp,
};
use pretty_assertions::assert_eq;

use crate::lines::DAY;
use crate::timeline::Timeline;
use crate::world::{World, capabilities, record};

/// Not one.
const NONE: Option<Limit> = Some(Limit::new(Some(0), 0, 0));

/// Approves what is held now, lets the world change, and answers what runs then and what is held.
fn approved_then(mut t: Timeline, change: impl FnOnce(&mut Timeline)) -> (Vec<String>, Vec<String>) {
    t.approvals = vec![t.held_file().approve()];
    change(&mut t);
    let lines = t.days(1).lines();
    let held = |line: &&String| line.starts_with("held");
    let changes =
        |line: &&String| !["held", "note", "limit", "kept"].iter().any(|word| line.starts_with(word));
    (lines.iter().filter(changes).cloned().collect(), lines.iter().filter(held).cloned().collect())
}

/// ada is new, and every grant is held.
fn newcomer() -> Timeline {
    let mut w = World::new();
    w.users("kim");
    w.assign("kim");
    w.options.guards = Guards::off();
    let mut t = Timeline::start(w);
    t.options.guards.grants = NONE;
    t.user("ada").set("userPrincipalName", "ada@x").set("title", "countess");
    t.assign("ada");
    t
}

#[test]
fn the_same_create_runs_and_one_that_differs_in_anything_is_held() {
    // rule D5
    const CREATE: &str = "create user ada [title=countess userName=ada@x] (Entitled";
    let same = approved_then(newcomer(), |_| ());
    assert_eq!(same, (vec![format!("{CREATE}, approved)")], vec![]));
    let other_value = approved_then(newcomer(), |t| {
        t.edit("ada").set("title", "queen");
    });
    let held = "held by [0]: create user ada [title=queen userName=ada@x] (Entitled)";
    assert_eq!(other_value, (vec![], vec![held.to_owned()]));
    let last_value = approved_then(newcomer(), |t| {
        t.edit("ada").set("userPrincipalName", "eve@x");
    });
    let held = "held by [0]: create user ada [title=countess userName=eve@x] (Entitled)";
    assert_eq!(last_value, (vec![], vec![held.to_owned()]));
    let inactive = approved_then(newcomer(), |t| {
        t.edit("ada").state(AccountState::Disabled);
    });
    let held = "held by [0]: create user ada inactive [title=countess userName=ada@x] (Entitled)";
    assert_eq!(inactive, (vec![], vec![held.to_owned()]));
    let somebody_else = approved_then(newcomer(), |t| {
        t.hide("ada");
        t.unassign("ada");
        t.user("eve").set("userPrincipalName", "ada@x").set("title", "countess");
        t.assign("eve");
    });
    let held = "held by [0]: create user eve [title=countess userName=ada@x] (Entitled)";
    assert_eq!(somebody_else, (vec![], vec![held.to_owned()]));
}

/// ada and bob in staff; nobody may be deleted, made inactive or taken out, and no value cleared.
fn settled() -> Timeline {
    let mut w = World::new();
    w.users("ada bob");
    for anchor in ["ada", "bob"] {
        w.edit(anchor).set("title", "x").set("department", "x").set("company", "x");
    }
    w.group("staff", "ada bob");
    w.assign("staff ada bob");
    w.options.guards = Guards::off();
    let mut t = Timeline::start(w);
    let guards = &mut t.options.guards;
    (guards.user_deletes, guards.deactivations) = (NONE, NONE);
    (guards.removals_in_all, guards.clears_per_attribute, guards.grants) = (NONE, NONE, NONE);
    t
}

#[test]
fn another_action_on_the_same_record_is_held() {
    // rule D5
    let mut t = settled();
    t.edit("ada").disabled();
    let (runs, held) = approved_then(t, |t| {
        t.edit("ada").state(AccountState::Enabled);
        t.delete("ada");
    });
    assert_eq!((runs, held), (vec![], vec!["held by [0]: delete user ada (DeletedInSource)".to_owned()]));
    let mut t = settled();
    t.edit_group("staff").members("ada");
    let (runs, held) = approved_then(t, |t| {
        let (staff, bob) = (t.id("staff"), t.id("bob"));
        t.store.state().groups.get_mut(&staff).unwrap().members.remove(&bob);
        t.edit_group("staff").members("ada bob");
    });
    assert_eq!((runs, held), (vec![], vec!["held by [0]: add staff: bob (Entitled)".to_owned()]));
    // Adopted by hand meanwhile, and then to be made inactive.
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.soft_match.users.insert("userName".into());
    w.options.guards = Guards::off();
    w.users("kim");
    w.assign("kim");
    let mut t = Timeline::start(w);
    (t.options.guards.adoptions, t.options.guards.deactivations) = (NONE, NONE);
    t.put(Kind::User, "L", record(&[("userName", "ada")]));
    t.users("ada");
    t.assign("ada");
    let (runs, held) = approved_then(t, |t| {
        t.record(Kind::User, "L", "ada", &[("userName", "ada")]);
        t.edit("ada").disabled();
    });
    assert_eq!((runs, held), (vec![], vec!["held by [0]: deactivate ada (DisabledInSource)".to_owned()]));
}

#[test]
fn the_same_action_on_another_record_of_the_same_object_is_held() {
    // rule D5
    let mut t = settled();
    t.delete("ada");
    let (runs, held) = approved_then(t, |t| {
        let id = t.id("ada");
        let record = t.store.state().users.remove(&id).unwrap();
        t.put(Kind::User, "made-anew", record);
    });
    assert_eq!((runs, held), (vec![], vec!["held by [0]: delete user ada (DeletedInSource)".to_owned()]));
}

#[test]
fn an_update_that_clears_another_attribute_or_changes_more_is_held() {
    // rule D5
    let start = || {
        let mut t = settled();
        t.edit("ada").unset("title").set("mail", "new@x");
        t
    };
    let shown = "update user ada [emails:  -> new@x, title: x -> ] (Changed";
    let same = approved_then(start(), |_| ());
    assert_eq!(same, (vec![format!("{shown}, approved)")], vec![]));
    let (runs, held) = approved_then(start(), |t| {
        t.edit("ada").set("title", "x").unset("department");
    });
    let line = "held by [0]: update user ada [emails:  -> new@x, department: x -> ] (Changed)";
    assert_eq!((runs, held), (vec![], vec![line.to_owned()]));
    // The same old value of another attribute, in the same place.
    let (runs, held) = approved_then(start(), |t| {
        t.edit("ada").set("title", "x").unset("company");
    });
    let line = "held by [0]: update user ada [emails:  -> new@x, organization: x -> ] (Changed)";
    assert_eq!((runs, held), (vec![], vec![line.to_owned()]));
    let (runs, held) = approved_then(start(), |t| {
        t.edit("ada").set("mail", "other@x");
    });
    let line = "held by [0]: update user ada [emails:  -> other@x, title: x -> ] (Changed)";
    assert_eq!((runs, held), (vec![], vec![line.to_owned()]));
    let (runs, held) = approved_then(start(), |t| {
        let id = t.id("ada");
        let state = &mut t.store.state();
        state.users.get_mut(&id).unwrap().attributes.insert("title".to_owned(), vec!["y".to_owned()]);
    });
    let line = "held by [0]: update user ada [emails:  -> new@x, title: y -> ] (Changed)";
    assert_eq!((runs, held), (vec![], vec![line.to_owned()]));
    // A user who came by sign-in becomes ours with the same update: that is more than was shown.
    let (runs, held) = approved_then(start(), |t| {
        let id = t.id("ada");
        t.store.state().users.get_mut(&id).unwrap().origin = Some(identity_sync::Origin::Jit);
    });
    assert_eq!((runs.len(), held.len()), (0, 1), "{held:?}");
}

#[test]
fn an_approved_swap_of_names_runs_with_its_temporary_value() {
    // rules D5, P6
    let mut t = settled();
    t.edit("ada").set("userPrincipalName", "bob");
    t.edit("bob").set("userPrincipalName", "ada").unset("title");
    t.options.guards.on_trip = OnTrip::Abort;
    assert_eq!((t.plan().len(), t.plan().held().len()), (0, 3));
    t.approvals = vec![t.held_file().approve()];
    assert_eq!(t.plan().held().len(), 0);
    t.run();
    assert!(t.plan().is_empty());
    let mut t = settled();
    t.edit("ada").set("userPrincipalName", "bob");
    t.edit("bob").set("userPrincipalName", "ada").unset("title");
    t.options.guards.on_trip = OnTrip::Abort;
    let (runs, held) = approved_then(t, |t| {
        let id = t.id("ada");
        let state = &mut t.store.state();
        state.users.get_mut(&id).unwrap().attributes.insert("userName".to_owned(), vec!["eve".to_owned()]);
    });
    // Bob's part is what was shown; ada's begins with another value, and is judged on its own.
    assert_eq!(
        runs,
        [
            "update user bob [userName: bob -> ada, title: x -> ] (Changed, approved)",
            "update user ada [userName: eve -> bob] (Changed)",
        ]
    );
    assert_eq!(held, [""; 0]);
}

#[test]
fn an_approval_for_another_issuer_or_store_is_refused() {
    // rules D5, P7
    let mut t = newcomer();
    let file = serde_json::to_string(&t.held_file()).unwrap();
    for (from, to) in
        [("\"issuer\":\"corp\"", "\"issuer\":\"other\""), ("\"store\":\"app\"", "\"store\":\"x\"")]
    {
        assert!(file.contains(from), "{file}");
        let held: identity_sync::HeldSet = serde_json::from_str(&file.replacen(from, to, 1)).unwrap();
        t.approvals = vec![held.approve()];
        match t.found() {
            Err(ReconcileError::Plan(PlanError::ForeignApproval)) => {}
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn an_approval_lasts_a_year_and_a_day_and_not_a_second_more() {
    // rule D5
    for (later, runs) in [(366 * DAY, 1), (366 * DAY + 1, 0)] {
        let mut t = newcomer();
        t.approvals = vec![t.held_file().approve()];
        t.now += later;
        assert_eq!(t.plan().len(), runs, "{later}");
    }
}

#[test]
fn what_is_held_or_was_approved_under_a_wrong_time_is_put_right_with_it() {
    // rules D5, D7
    let mut t = newcomer();
    t.now = 1_000 * DAY;
    t.look();
    assert_eq!((t.state.held(), t.state.causes()), (1, 0));
    t.now = DAY;
    t.state.accept_time(Timestamp(DAY));
    assert_eq!(t.plan().held().next().unwrap().since, Timestamp(DAY));
    // Approved and used under the wrong time; then the record is lost, and the same create is held again.
    let mut t = newcomer();
    t.now = 1_000 * DAY;
    t.approvals = vec![t.held_file().approve()];
    assert_eq!(t.run().len(), 1);
    let id = t.id("ada");
    t.store.state().users.remove(&id);
    t.now = DAY;
    t.state.accept_time(Timestamp(DAY));
    assert_eq!(t.plan().held().len(), 1);
    t.days(1);
    t.approvals = vec![t.held_file().approve()];
    assert_eq!((t.plan().len(), t.plan().held().len()), (1, 0));
}

#[test]
fn a_held_set_and_its_approval_say_how_much_they_hold() {
    // rule D5
    let t = newcomer();
    let held = t.held_file();
    assert_eq!((held.len(), held.is_empty()), (1, false));
    assert_eq!((held.approve().len(), held.approve().is_empty()), (1, false));
    assert_eq!(format!("{:?}", held.approve()), "Approval(1 operations and members, shown at 0)");
    let nothing = held.only(|_| false);
    assert_eq!((nothing.len(), nothing.is_empty()), (0, true));
    assert_eq!((nothing.approve().len(), nothing.approve().is_empty()), (0, true));
    assert_eq!(t.plan().held().len(), 1);
}

#[test]
fn under_abort_an_approved_swap_goes_ahead_of_what_was_not_approved() {
    // rules D5, P6
    let mut t = settled();
    t.users("kim");
    t.assign("kim");
    t.options.guards = Guards::off();
    t.run();
    t.options.guards.user_deletes = NONE;
    t.options.guards.on_trip = OnTrip::Abort;
    t.edit("ada").set("userPrincipalName", "bob");
    t.edit("bob").set("userPrincipalName", "ada");
    t.delete("kim");
    let held = t.held_file();
    let updates: Vec<bool> = held.lines().unwrap().iter().map(|line| line.contains("update")).collect();
    assert_eq!(updates.iter().filter(|update| **update).count(), 3, "{:?}", held.lines());
    t.approvals = vec![held.only(|number| updates[number]).approve()];
    let plan = t.plan();
    assert_eq!((plan.len(), plan.held().len()), (3, 1), "{plan}");
    assert!(plan.held().all(|held| held.operation.to_string().contains("delete user kim")), "{plan}");
}

#[test]
fn an_approval_that_was_not_used_for_a_failed_write_may_be_used_again() {
    // rules D5, X1
    use crate::faulty::{Fault, Scripted};
    let mut t = newcomer();
    t.approvals = vec![t.held_file().approve()];
    let plan = t.plan();
    let store = Scripted::new(&t.store, [(0, Fault::Refuse(identity_sync::ErrorKind::Invalid))]);
    let (options, host) = (identity_sync::ApplyOptions::default(), identity_sync::Host::default());
    let report = pollster::block_on(identity_sync::apply(&plan, &store, &options, &host)).unwrap();
    assert!(!report.is_success());
    t.state = report.run;
    assert_eq!((t.plan().len(), t.plan().held().len()), (1, 0));
    assert_eq!(t.run().len(), 1);
    assert!(t.plan().is_empty());
}
