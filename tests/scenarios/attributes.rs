//! Attributes and account states (rules A1–A7).

use identity_sync::{
    AccountState, Activation, AttributeMap, AttributeSchema, Deprovision, Kind, MappingError, MatchRule,
    Missing, SourceCapabilities,
};
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World, capabilities, record};

fn ada() -> World {
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w
}

#[test]
fn templates_join_values_and_a_bare_one_passes_them_all() {
    // rule A1
    let mut w = ada();
    w.edit("ada").set("givenName", "Ada").set("sn", "King").add("mail", "b@x").add("mail", "a@x");
    w.edit("ada").add("title", "second").add("title", "first");
    w.options.user_map.set("displayName", "${givenName} ${sn}").unwrap();
    assert_eq!(
        w.lines(),
        ["create user ada [displayName=Ada King emails=a@x|b@x name.familyName=King name.givenName=Ada \
             title=first userName=ada] (Entitled)"]
    );
}

#[test]
fn a_template_is_empty_only_if_all_its_placeholders_are() {
    // rule A1
    let mut w = ada();
    w.options.user_map = AttributeMap::new()
        .with("userName", "${userPrincipalName}")
        .unwrap()
        .with("displayName", "${a} of ${b}")
        .unwrap();
    assert_eq!(w.lines(), ["create user ada [userName=ada] (Entitled)"]);
    w.edit("ada").set("b", "Kent");
    assert_eq!(w.lines(), ["create user ada [displayName=of Kent userName=ada] (Entitled)"]);
}

#[test]
fn where_nothing_is_required_the_only_value_is_set_and_cleared_like_any_other() {
    // rules A2, A4
    let mut store = capabilities();
    store.groups.clear();
    let mut w = World::with_store(store);
    w.options.guards = identity_sync::Guards::off();
    w.options.group_map = AttributeMap::new().with("note", "${info}").unwrap();
    w.group("staff", "");
    w.assign("staff");
    w.sync();
    w.edit_group("staff").set("info", "x");
    assert_eq!(w.lines(), ["update group staff [note:  -> x] (Changed)"]);
    w.sync();
    w.edit_group("staff").set("info", " ");
    assert_eq!(w.lines(), ["update group staff [note: x -> ] (Changed)"]);
    w.sync();
}

#[test]
fn several_values_are_the_same_in_any_order_and_shown_in_one() {
    // rules A4, A6
    let mut w = ada();
    w.edit("ada").add("mail", "a@x").add("mail", "b@x");
    w.sync();
    let id = w.id("ada");
    let turned = vec!["b@x".to_owned(), "a@x".to_owned()];
    w.store.state().users.get_mut(&id).unwrap().attributes.insert("emails".to_owned(), turned);
    assert_eq!(w.lines(), NOTHING);
    w.edit("ada").set("mail", "c@x");
    assert_eq!(w.lines(), ["update user ada [emails: a@x|b@x -> c@x] (Changed)"]);
}

#[test]
fn a_value_that_a_record_holds_twice_is_shown_once() {
    // rules A4, A6
    let mut w = ada();
    w.edit("ada").set("title", "countess");
    w.sync();
    let id = w.id("ada");
    let twice = vec!["countess".to_owned(), "countess".to_owned()];
    w.store.state().users.get_mut(&id).unwrap().attributes.insert("title".to_owned(), twice);
    assert_eq!(w.lines(), NOTHING);
    w.edit("ada").set("title", "queen");
    assert_eq!(w.lines(), ["update user ada [title: countess -> queen] (Changed)"]);
}

#[test]
fn only_mapped_attributes_are_compared_and_written() {
    // rule A1
    let mut w = ada();
    w.sync();
    w.edit("ada").set("shoeSize", "38");
    let id = w.id("ada");
    let theirs = ("nickName".to_owned(), vec!["countess".to_owned()]);
    w.store.state().users.get_mut(&id).unwrap().attributes.extend([theirs]);
    assert_eq!(w.lines(), NOTHING);
    w.edit("ada").set("title", "countess");
    w.sync();
    assert_eq!(w.dump(), ["user ada [nickName=countess title=countess userName=ada]"]);
}

#[test]
fn active_cannot_be_mapped() {
    // rule A1
    assert_eq!(AttributeMap::new().with("active", "${enabled}"), Err(MappingError::ActiveIsNoTarget));
}

#[test]
fn a_missing_value_clears_a_kept_one_stays_and_an_unreadable_one_changes_nothing() {
    // rules A2, A6
    let mut w = ada();
    w.edit("ada").set("title", "countess").set("company", "analytical").set("telephoneNumber", "1");
    w.options.user_map.set("organization", "${company}").unwrap().missing = Missing::Keep;
    w.sync();
    w.edit("ada").set("title", "  ").unset("company").unset("telephoneNumber").unreadable("telephoneNumber");
    assert_eq!(w.lines(), ["update user ada [title: countess -> ] (Changed)"]);
}

#[test]
fn a_template_with_one_unreadable_part_changes_nothing() {
    // rule A2
    let mut w = ada();
    w.options.user_map.set("displayName", "${givenName} ${sn}").unwrap();
    w.edit("ada").set("givenName", "Ada").set("sn", "King");
    w.sync();
    w.edit("ada").set("givenName", "Augusta").unset("sn").unreadable("sn");
    assert_eq!(w.lines(), ["update user ada [name.givenName: Ada -> Augusta] (Changed)"]);
}

#[test]
fn an_object_without_a_required_value_is_not_created() {
    // rule A3
    let mut w = ada();
    w.edit("ada").unset("userPrincipalName");
    w.group("staff", "ada").set("cn", " ");
    w.assign("staff");
    assert_eq!(
        w.lines(),
        [
            "note: user ada has no userName, which is required",
            "note: group staff has no displayName, which is required",
        ]
    );
}

#[test]
fn a_required_value_that_goes_missing_takes_nobody_s_access_away() {
    // rule A3
    let mut w = ada();
    w.users("bob");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w.edit("ada").unset("userPrincipalName").set("title", "countess");
    w.edit_group("staff").members("ada bob");
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> countess] (Changed)",
            "create user bob [userName=bob] (Entitled)",
            "add staff: bob (Entitled)",
            "note: user ada has no userName, which is required",
        ]
    );
}

#[test]
fn spaces_order_repetition_and_folded_case_are_no_change() {
    // rule A4
    let mut store = capabilities();
    store
        .users
        .insert("displayName".to_owned(), AttributeSchema::default().matching(MatchRule::AsciiCaseFold));
    let mut w = World::with_store(store);
    w.user("ada").set("displayName", "Ada").set("title", "countess").add("mail", "a@x").add("mail", "b@x");
    w.assign("ada");
    w.sync();
    w.source.users.clear();
    let row =
        w.user("ada").set("userPrincipalName", " ADA ").set("displayName", "aDA").set("title", "countess ");
    row.add("mail", "b@x").add("mail", " a@x").add("mail", "b@x").add("mail", " ").set("department", "");
    assert_eq!(w.lines(), NOTHING);
    // An attribute of which the store declares nothing is compared exactly.
    w.edit("ada").set("title", "Countess");
    assert_eq!(w.lines(), ["update user ada [title: countess -> Countess] (Changed)"]);
}

#[test]
fn a_disabled_account_is_made_inactive_entitled_or_kept() {
    // rules A5, D1
    let mut w = ada();
    w.users("bob");
    w.assign("bob");
    w.sync();
    w.edit("ada").disabled().set("title", "countess");
    w.edit("bob").disabled().set("title", "clerk");
    w.unassign("bob");
    assert_eq!(
        w.lines(),
        [
            "deactivate ada (DisabledInSource)",
            "deactivate bob (DisabledInSource)",
            "update user ada [title:  -> countess] (Changed)",
            "kept user bob",
        ]
    );
    w.sync();
}

#[test]
fn a_disabled_account_without_a_record_is_created_inactive_or_under_delete_not_at_all() {
    // rule A5
    let mut w = ada();
    w.edit("ada").disabled();
    w.group("staff", "ada");
    w.assign("staff");
    assert_eq!(w.lines()[0], "create user ada inactive [userName=ada] (Entitled)");
    assert_eq!(w.lines()[2], "add staff: ada (Entitled)");
    w.options.users.disabled_in_source = Deprovision::Delete;
    assert_eq!(w.lines(), ["create group staff [displayName=staff] (Entitled)"]);
}

#[test]
fn a_disabled_account_under_delete_is_deleted_and_stays_away() {
    // rules A5, D1, P4
    let mut w = ada();
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w.edit("ada").disabled();
    w.options.users.disabled_in_source = Deprovision::Delete;
    assert_eq!(w.lines(), ["delete user ada (DisabledInSource)"]);
    w.sync();
}

#[test]
fn an_unknown_account_state_leaves_active_creates_nobody_and_lets_the_rest_go_on() {
    // rule A5
    let mut w = ada();
    w.users("bob kim");
    w.group("staff", "bob");
    w.assign("bob kim staff");
    w.edit("kim").disabled();
    w.sync();
    w.users("new");
    w.assign("new");
    for anchor in ["ada", "bob", "kim", "new"] {
        w.edit(anchor).state(AccountState::Unknown).set("title", "x");
    }
    w.edit_group("staff").members("ada new");
    let note = |who: &str| format!("note: account state of user {who} could not be read");
    assert_eq!(
        w.lines(),
        [
            "remove staff: bob (NoPath)".to_owned(),
            "update user ada [title:  -> x] (Changed)".to_owned(),
            "update user bob [title:  -> x] (Changed)".to_owned(),
            "update user kim [title:  -> x] (Changed)".to_owned(),
            "add staff: ada (Entitled)".to_owned(),
            note("ada"),
            note("bob"),
            note("kim"),
            note("new"),
        ]
    );
}

#[test]
fn in_a_source_without_account_states_everybody_is_enabled() {
    // rule A5
    let mut w = ada();
    w.edit("ada").state(AccountState::Unknown);
    w.source.capabilities = SourceCapabilities::default().without_account_state();
    assert_eq!(w.lines(), ["create user ada [userName=ada] (Entitled)"]);
}

#[test]
fn an_update_carries_old_and_new_value_of_each_changed_attribute() {
    // rule A6
    let mut w = ada();
    w.edit("ada").set("title", "miss").add("mail", "a@x").add("mail", "b@x");
    w.sync();
    w.edit("ada").set("title", "countess").set("mail", "c@x").set("company", "analytical");
    assert_eq!(
        w.lines(),
        ["update user ada [emails: a@x|b@x -> c@x, title: miss -> countess, \
             organization:  -> analytical] (Changed)"]
    );
}

#[test]
fn reactivation_is_a_grant_of_its_own_after_everything_else() {
    // rules A7, P6
    let mut w = ada();
    w.edit("ada").disabled();
    w.sync();
    w.group("staff", "ada");
    w.assign("staff");
    w.edit("ada").state(AccountState::Enabled).set("title", "countess");
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> countess] (Changed)",
            "create group staff [displayName=staff] (Entitled)",
            "add staff: ada (Entitled)",
            "reactivate ada (Enabled)",
        ]
    );
    w.sync();
    assert_eq!(w.dump()[1], "user ada [title=countess userName=ada]");
}

#[test]
fn nobody_is_made_active_who_is_kept_disabled_or_of_unknown_state() {
    // rules A7, D3
    let mut w = ada();
    w.users("off unknown");
    w.put(Kind::User, "x", record(&[("userName", "x")]));
    for anchor in ["ada", "off", "unknown"] {
        w.record(Kind::User, anchor, anchor, &[("userName", anchor)]);
        w.store.state().users.get_mut(anchor).unwrap().active = false;
    }
    w.assign("off unknown");
    w.unassign("ada");
    w.edit("off").disabled();
    w.edit("unknown").state(AccountState::Unknown);
    assert_eq!(w.lines(), ["kept user ada", "note: account state of user unknown could not be read"]);
}

#[test]
fn a_store_without_activation_is_never_asked_to_switch_anybody() {
    // rules X5, A5
    let mut store = capabilities();
    store.activation = Activation::AlwaysActive;
    let mut w = World::with_store(store);
    w.users("ada");
    w.assign("ada");
    w.options.users.disabled_in_source = Deprovision::Delete;
    w.sync();
    let id = w.id("ada");
    w.store.state().users.get_mut(&id).unwrap().active = false;
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_map_of_any_length_is_followed_to_its_last_target() {
    // rules A1, A4
    for count in [31, 32, 33, 64] {
        let mut w = World::new();
        w.users("ada");
        w.assign("ada");
        for i in 0..count {
            w.options.user_map.set(&format!("extra{i:02}"), &format!("${{source{i:02}}}")).unwrap();
            w.edit("ada").set(&format!("source{i:02}"), "old");
        }
        w.sync();
        for i in [0, count - 1] {
            w.edit("ada").set(&format!("source{i:02}"), "new");
            assert_eq!(w.lines(), [format!("update user ada [extra{i:02}: old -> new] (Changed)")]);
            w.sync();
        }
    }
}

#[test]
fn one_source_attribute_may_fill_several_targets() {
    // rules A1, A4
    let mut w = World::new();
    w.users("ada");
    w.edit("ada").set("mail", "ada@x");
    w.assign("ada");
    w.sync();
    w.options.user_map.set("nickName", "${mail}").unwrap();
    assert_eq!(w.lines(), ["update user ada [nickName:  -> ada@x] (Changed)"]);
    w.sync();
    let id = w.id("ada");
    for target in ["nickName", "emails"] {
        w.store.state().users.get_mut(&id).unwrap().attributes.remove(target);
        assert_eq!(w.lines(), [format!("update user ada [{target}:  -> ada@x] (Changed)")]);
        w.sync();
    }
}

#[test]
fn a_map_can_be_asked_and_refuses_targets_that_are_none() {
    // rule A1
    let mut map = identity_sync::AttributeMap::new();
    map.set("userName", "${uid}").unwrap();
    assert_eq!(map.mapping("userName").unwrap().template.to_string(), "${uid}");
    assert_eq!(map.mapping("nickName"), None);
    assert!(map.set("", "${uid}").is_err());
    assert!(map.set("active", "${uid}").is_err());
}

#[test]
fn the_values_of_an_operation_are_a_table_in_json() {
    // rule P1
    let mut w = World::new();
    w.users("ada");
    w.options.user_map.set("emails", "${mail}").unwrap();
    w.edit("ada").set("mail", "a@x").add("mail", "b@x");
    w.assign("ada");
    let plan = w.plan();
    let operation = plan.operations().next().unwrap();
    let identity_sync::Action::CreateUser { attributes, .. } = operation.action() else { panic!("{plan}") };
    let json = serde_json::to_value(attributes).unwrap();
    assert_eq!(json, serde_json::json!({ "userName": "ada", "emails": ["a@x", "b@x"] }));
    assert!(!attributes.is_empty());
}

#[test]
fn a_template_of_several_parts_takes_the_least_of_several_values() {
    // rules A1, P2
    let mut w = World::new();
    w.options.user_map.set("displayName", "${givenName} ${sn}").unwrap();
    w.users("ada");
    w.edit("ada").set("givenName", "Ada").set("sn", "Lovelace").add("sn", "King").add("sn", "Noel");
    w.assign("ada");
    assert_eq!(
        w.lines(),
        [
            "create user ada [displayName=Ada King name.familyName=King name.givenName=Ada userName=ada] (Entitled)"
        ]
    );
}
