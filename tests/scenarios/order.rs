//! The order of a plan, and names that hand on to each other (rule P6).

use identity_sync::{AccountState, ApplyOptions, Deprovision, Guards, Host, Kind, apply};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::{Fault, Scripted};
use crate::world::{World, lines, record};

#[test]
fn a_plan_takes_away_before_it_gives() {
    // rules P6, P3
    let mut w = World::new();
    w.users("off gone moved stays back out");
    w.group("staff", "off gone moved stays back out");
    w.group("old", "stays");
    w.assign("staff old");
    w.edit("back").disabled();
    w.options.guards = Guards::off();
    w.options.users.left_scope = Deprovision::Delete;
    w.sync();
    w.edit("off").disabled();
    w.delete("gone");
    w.delete("old");
    w.edit("moved").set("userPrincipalName", "elsewhere");
    w.edit("back").state(AccountState::Enabled);
    w.users("new");
    w.edit_group("staff").members("off moved back new").set("cn", "people");
    w.group("fresh", "new stays");
    w.assign("fresh");
    assert_eq!(
        w.lines(),
        [
            "deactivate off (DisabledInSource)",
            "remove staff: stays (NoPath)",
            "delete user gone (DeletedInSource)",
            "delete user out (LeftScope)",
            "delete group old (DeletedInSource)",
            "update user moved [userName: moved -> elsewhere] (Changed)",
            "update group staff [displayName: staff -> people] (Changed)",
            "create user new [userName=new] (Entitled)",
            "create group fresh [displayName=fresh] (Entitled)",
            "add fresh: new stays (Entitled)",
            "add staff: new (Entitled)",
            "reactivate back (Enabled)",
            "note: assignment resolves to nothing: corp:old",
        ]
    );
    w.sync();
}

/// Users 1, 2 and 3 whose logins go around.
fn around(names: &[(&str, &str)]) -> World {
    let mut w = World::new();
    w.users("1 2 3");
    w.assign("1 2 3");
    w.sync();
    for (anchor, name) in names {
        w.edit(anchor).set("userPrincipalName", name);
    }
    w
}

const SWAP: [(&str, &str); 2] = [("1", "2"), ("2", "1")];
const THREE: [(&str, &str); 3] = [("1", "2"), ("2", "3"), ("3", "1")];

#[test]
fn a_swap_of_names_goes_over_one_temporary_value_of_the_least_anchor() {
    // rules P6, P3
    let w = around(&SWAP);
    assert_eq!(
        w.lines(),
        [
            "update user 1 [userName: 1 -> ~31] (Swap)",
            "update user 2 [userName: 2 -> 1] (Changed)",
            "update user 1 [userName: ~31 -> 2] (Changed)",
        ]
    );
    w.sync();
    assert_eq!(w.dump(), ["user 1 [userName=2]", "user 2 [userName=1]", "user 3 [userName=3]"]);
}

#[test]
fn a_cycle_of_three_names_is_consecutive_and_has_one_temporary_value() {
    // rules P6, P3
    let mut w = around(&THREE);
    w.users("0");
    w.assign("0");
    assert_eq!(
        w.lines(),
        [
            "update user 1 [userName: 1 -> ~31] (Swap)",
            "update user 3 [userName: 3 -> 1] (Changed)",
            "update user 2 [userName: 2 -> 3] (Changed)",
            "update user 1 [userName: ~31 -> 2] (Changed)",
            "create user 0 [userName=0] (Entitled)",
        ]
    );
    w.sync();
}

#[test]
fn a_swap_of_mail_addresses_takes_a_temporary_local_part() {
    // rule P6
    let mut store = crate::world::capabilities();
    let mail = identity_sync::AttributeSchema::unique(identity_sync::MatchRule::NfkcCasefold);
    store.users.insert("emails".to_owned(), mail);
    let mut w = World::with_store(store);
    w.user("1").set("mail", "a@x.org");
    w.user("2").set("mail", "b@x.org");
    w.assign("1 2");
    w.sync();
    w.edit("1").set("mail", "b@x.org");
    w.edit("2").set("mail", "a@x.org");
    assert_eq!(
        w.lines(),
        [
            "update user 1 [emails: a@x.org -> ~31@x.org] (Swap)",
            "update user 2 [emails: b@x.org -> a@x.org] (Changed)",
            "update user 1 [emails: ~31@x.org -> b@x.org] (Changed)",
        ]
    );
    w.sync();
}

#[test]
fn a_temporary_value_that_somebody_else_has_already_gets_a_number() {
    // rules P6, M7, M2: an engine with another issuer may have left it, or somebody who wants no swap to succeed
    let mut w = around(&SWAP);
    for (id, name) in [("X", "~31"), ("Y", "\u{ff5e}31~2")] {
        w.put(Kind::User, id, record(&[("userName", name)]));
    }
    assert_eq!(
        w.lines(),
        [
            "update user 1 [userName: 1 -> ~31~3] (Swap)",
            "update user 2 [userName: 2 -> 1] (Changed)",
            "update user 1 [userName: ~31~3 -> 2] (Changed)",
        ]
    );
    w.sync();
}

#[test]
fn the_domain_of_an_address_begins_behind_its_last_at_sign() {
    // rules P6, M4: a quoted local part may hold one
    let mut store = crate::world::capabilities();
    let mail = identity_sync::AttributeSchema::unique(identity_sync::MatchRule::NfkcCasefold);
    store.users.insert("emails".to_owned(), mail);
    let mut w = World::with_store(store);
    let (one, two) = ("\"a@b\"@x.org", "\"c@d\"@x.org");
    w.user("1").set("mail", one);
    w.user("2").set("mail", two);
    w.assign("1 2");
    w.sync();
    w.edit("1").set("mail", two);
    w.edit("2").set("mail", one);
    assert_eq!(w.lines()[0], format!("update user 1 [emails: {one} -> ~31@x.org] (Swap)"));
    w.sync();
    // He leaves and is kept; somebody else is given his address.
    w.user("3").set("mail", two);
    w.assign("3");
    w.options.users.deleted_in_source = Deprovision::Keep;
    w.delete("1");
    assert!(
        w.lines().contains(&format!("update user 1 [emails: {two} -> \"c@d\"~1@x.org] (NameReleased)")),
        "{:?}",
        w.lines()
    );
}

#[test]
fn groups_swap_their_names_too() {
    // rule P6
    let mut w = World::new();
    w.group("1", "");
    w.group("2", "");
    w.assign("1 2");
    w.sync();
    w.edit_group("1").set("cn", "2");
    w.edit_group("2").set("cn", "1");
    assert_eq!(w.lines().len(), 3);
    w.sync();
    assert_eq!(w.dump(), ["group 1 [displayName=2]: ", "group 2 [displayName=1]: "]);
}

#[test]
fn a_cycle_of_names_that_was_cut_anywhere_is_completed_by_the_next_run() {
    // rules P6, X4
    for (names, writes) in [(&SWAP[..], 3), (&THREE[..], 4)] {
        let straight = around(names);
        straight.sync();
        for cut in 0..=writes {
            for lost in [false, true] {
                let w = around(names);
                let plan = w.plan();
                let fault = |at| (at, Fault::Break(identity_sync::ErrorKind::Unauthorized));
                let before = (lost && cut > 0)
                    .then(|| (cut - 1, Fault::LoseAnswer(identity_sync::ErrorKind::Transient)));
                let store = Scripted::new(&w.store, [fault(cut)].into_iter().chain(before));
                let report =
                    block_on(apply(&plan, &store, &ApplyOptions::default(), &Host::default())).unwrap();
                assert_eq!(report.is_success(), cut == writes && !lost);
                let next = w.plan();
                assert!(next.len() <= writes, "cut after {cut}:\n{next}");
                w.sync();
                assert_eq!(w.dump(), straight.dump(), "cut after {cut}, answer lost: {lost}");
            }
        }
    }
}

#[test]
fn a_held_update_of_a_cycle_holds_the_whole_cycle() {
    // rules P6, D5
    let mut w = around(&SWAP);
    w.edit("1").set("title", "x");
    w.sync();
    w.edit("1").set("userPrincipalName", "1").unset("title");
    w.edit("2").set("userPrincipalName", "2");
    w.options.guards.clears_per_attribute = Some(identity_sync::Limit::new(Some(0), 0, 0));
    let plan = w.plan();
    assert_eq!((plan.len(), plan.held().len()), (0, 3), "{:#?}", lines(&plan));
}

#[test]
fn a_value_taken_over_from_a_deleted_record_waits_for_the_delete() {
    // rules P6, M6
    let mut w = around(&[]);
    w.delete("3");
    w.edit("1").set("userPrincipalName", "3");
    assert_eq!(
        w.lines(),
        [
            "delete user 3 (DeletedInSource)",
            "update user 1 [userName: 1 -> 3] (Changed)",
            "note: assignment resolves to nothing: corp:3",
        ]
    );
    assert_eq!(w.plan().operations().nth(1).unwrap().after(), [0]);
    // If the delete fails, the update does not run into the taken name.
    let store = Scripted::new(&w.store, [(0, Fault::Refuse(identity_sync::ErrorKind::Permanent))]);
    let report = block_on(apply(&w.plan(), &store, &ApplyOptions::default(), &Host::default())).unwrap();
    let outcomes: Vec<String> = report.outcomes.iter().map(ToString::to_string).collect();
    assert_eq!(outcomes, ["failed: as scripted", "skipped because of operation 0"]);
}

#[test]
fn a_chain_of_names_runs_from_its_free_end() {
    // rule P6
    let w = around(&[("1", "2"), ("2", "3"), ("3", "4")]);
    assert_eq!(
        w.lines(),
        [
            "update user 3 [userName: 3 -> 4] (Changed)",
            "update user 2 [userName: 2 -> 3] (Changed)",
            "update user 1 [userName: 1 -> 2] (Changed)",
        ]
    );
    w.sync();
}

#[test]
fn no_operation_refers_to_an_object_that_an_earlier_one_deleted() {
    // rule P6
    let mut w = World::new();
    w.users("1 2 3");
    w.group("staff", "1 2 3");
    w.group("old", "1 2");
    w.assign("staff old");
    w.options.guards = Guards::off();
    w.sync();
    w.delete("1");
    w.delete("old");
    w.edit_group("staff").members("2");
    let plan = w.plan();
    let mut deleted: Vec<(Kind, String)> = Vec::new();
    for operation in plan.operations() {
        let subject = operation.subject();
        let key = (subject.kind(), subject.anchor().unwrap().to_owned());
        assert!(!deleted.contains(&key), "{operation}");
        match operation.action() {
            identity_sync::Action::Delete => deleted.push(key),
            identity_sync::Action::AddMembers(members) | identity_sync::Action::RemoveMembers(members) => {
                for member in members.iter() {
                    let key = (member.kind(), member.anchor().unwrap().to_owned());
                    assert!(!deleted.contains(&key), "{operation}");
                }
            }
            _ => {}
        }
    }
    assert_eq!(deleted.len(), 2);
}
