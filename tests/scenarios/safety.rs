//! Bounds, hostile input, features (rules S1, S3).

use identity_sync::{
    Assignments, Completeness, Extent, ExternalId, GroupPage, Guards, Limits, MatchRule, MemberKind, Options,
    PlanError, Principal, ReadError, ReconcileError, Run, SourceCapabilities, SourceSnapshot,
    StoreCapabilities, StoreSnapshot, UserPage, plan,
};
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World};

/// ada is in the store; her row and that of newcomer bob are filled by the test.
fn ada_and_bob(limits: impl Fn(&mut Limits), fill: impl Fn(&mut crate::world::UserRow)) -> Vec<String> {
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w.users("bob");
    w.edit_group("staff").members("ada bob");
    w.edit("ada").set("title", "countess");
    for anchor in ["ada", "bob"] {
        fill(w.edit(anchor));
    }
    limits(&mut w.options.limits);
    w.lines()
}

const WITHIN: [&str; 3] = [
    "update user ada [title:  -> countess] (Changed)",
    "create user bob [userName=bob] (Entitled)",
    "add staff: bob (Entitled)",
];

const BEYOND: [&str; 2] = [
    "note: quarantined user ada: its row cannot be used",
    "note: quarantined user bob: its row cannot be used",
];

#[test]
fn an_object_at_its_bound_is_used_and_one_beyond_is_quarantined() {
    // rule S1
    let attributes = |count: usize| {
        move |row: &mut crate::world::UserRow| {
            (0..count).for_each(|i| {
                row.set(&format!("extra{i:04}"), "x");
            });
        }
    };
    let values = |count: usize| {
        move |row: &mut crate::world::UserRow| {
            (0..count).for_each(|i| {
                row.add("proxyAddresses", &format!("{i}"));
            });
        }
    };
    let value = |bytes: usize| {
        move |row: &mut crate::world::UserRow| {
            row.set("info", &"x".repeat(bytes));
        }
    };
    let none = |_: &mut Limits| {};
    // The defaults; each row has a login, ada's and bob's title apart.
    let title = |row: &mut crate::world::UserRow| {
        row.set("title", "countess");
    };
    let created = "create user bob [title=countess userName=bob] (Entitled)";
    assert_eq!(ada_and_bob(none, title)[1], created);
    assert_eq!(ada_and_bob(none, value(64 << 10)), WITHIN);
    assert_eq!(ada_and_bob(none, value((64 << 10) + 1)), BEYOND);
    assert_eq!(ada_and_bob(none, values(5_000)), WITHIN);
    assert_eq!(ada_and_bob(none, values(5_001)), BEYOND);
    let with_title = |count: usize| {
        move |row: &mut crate::world::UserRow| {
            attributes(count)(row);
            row.set("title", "countess");
        }
    };
    assert_eq!(ada_and_bob(none, with_title(198))[1], created);
    assert_eq!(ada_and_bob(none, with_title(199)), BEYOND);
    let total = |bytes: usize| move |limits: &mut Limits| limits.object_bytes = bytes;
    let sized = |bytes: usize| {
        move |row: &mut crate::world::UserRow| {
            row.set("title", "countess").set("info", &"x".repeat(bytes - "countess".len() - "ada".len()));
        }
    };
    assert_eq!(ada_and_bob(total(1_000), sized(1_000))[1], created);
    assert_eq!(ada_and_bob(total(1_000), sized(1_001)), BEYOND);
}

#[test]
fn a_value_of_64_kib_is_written_whole() {
    // rule S1
    let long = "ß".repeat(32 << 10);
    let mut w = World::new();
    w.users("ada");
    w.edit("ada").set("displayName", &long);
    w.assign("ada");
    w.sync();
    assert_eq!(w.store.state().users.values().next().unwrap().attributes["displayName"], [long]);
}

#[test]
fn nobody_exempts_himself_from_removal_with_a_long_title() {
    // rule S1
    let mut w = World::new();
    w.users("ada bob kim eve");
    w.group("staff", "ada bob kim eve");
    w.group("top", "staff");
    w.assign("top");
    w.options.guards = Guards::off();
    w.sync();
    let long = "x".repeat((64 << 10) + 1);
    for anchor in ["ada", "bob", "kim", "eve"] {
        w.edit(anchor).set("title", &long);
    }
    w.edit("ada").disabled();
    w.edit_group("staff").members("ada kim eve");
    w.delete("kim");
    assert_eq!(
        w.lines(),
        [
            "deactivate ada (DisabledInSource)",
            "remove staff: bob (NoPath)",
            "remove top: bob (NoPath)",
            "delete user kim (DeletedInSource)",
            "kept user bob",
            "note: quarantined user ada: its row cannot be used",
            "note: quarantined user bob: its row cannot be used",
            "note: quarantined user eve: its row cannot be used",
        ]
    );
}

#[test]
fn a_quarantined_group_keeps_its_members_and_is_deleted_once_that_is_proven() {
    // rules S1, C2
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.group("top", "staff");
    w.assign("top bob");
    w.sync();
    w.edit_group("staff").members("ada").set("cn", "people").withdrawn();
    assert_eq!(
        w.lines(),
        [
            "blocked bob in staff: ListIncomplete",
            "blocked bob in top: ListIncomplete",
            "note: quarantined group staff: its row cannot be used",
        ]
    );
    w.delete("staff");
    assert_eq!(w.lines()[..2], ["remove top: ada bob (NoPath)", "delete group staff (DeletedInSource)"]);
}

#[test]
fn a_withdrawn_row_counts_as_seen() {
    // rules S1, C3
    let mut w = World::new();
    w.users("ada");
    w.assign("ada");
    w.sync();
    w.edit("ada").set("title", "x").withdrawn();
    assert_eq!(w.lines(), ["note: quarantined user ada: its row cannot be used"]);
    assert_eq!(*w.source.asked.lock().unwrap(), [""; 0]);
}

#[test]
fn what_came_before_the_bound_in_a_row_beyond_it_counts_for_nothing() {
    // rules S1, M5, P2: two rows for one anchor, whose attributes come in either order
    let planned = |backwards: bool, withdrawn: bool| {
        let mut options = Options::for_issuer("corp");
        options.limits.attributes_per_object = 2;
        let mut source =
            SourceSnapshot::builder("corp", SourceCapabilities::default()).limits(options.limits);
        let mut page = UserPage::with_limits(options.limits);
        for last in ["3", "4"] {
            let mut attributes = [("mail", "ada@x"), ("cn", "Ada"), ("title", last)];
            if backwards {
                attributes.reverse();
            }
            let mut row = page.user("ada");
            row.active(true);
            for (name, value) in attributes {
                row.attribute(name, value);
            }
            if withdrawn {
                row.withdraw();
            }
        }
        source.users(&page).unwrap();
        source.users_end(Completeness::Complete);
        source.groups_end(Completeness::Complete);
        let store = StoreSnapshot::builder(StoreCapabilities::named("store")).finish(Completeness::Complete);
        let assigned = Assignments::complete([Principal::External(ExternalId::new("corp", "ada"))]);
        let found = plan(&source.finish(), &store, &assigned, &options, &Run::default()).unwrap();
        serde_json::to_string(&found.plan).unwrap()
    };
    for withdrawn in [false, true] {
        assert_eq!(planned(false, withdrawn), planned(true, withdrawn));
    }
}

#[test]
fn an_account_of_whose_state_a_row_says_nothing_is_of_unknown_state() {
    // rule A5
    let planned = |active: Option<bool>| {
        let mut source = SourceSnapshot::builder("corp", SourceCapabilities::default());
        let mut page = UserPage::default();
        let mut row = page.user("ada");
        row.attribute("userPrincipalName", "ada");
        if let Some(active) = active {
            row.active(active);
        }
        source.users(&page).unwrap();
        source.users_end(Completeness::Complete);
        source.groups_end(Completeness::Complete);
        let store = StoreSnapshot::builder(StoreCapabilities::named("store")).finish(Completeness::Complete);
        let assigned = Assignments::complete([Principal::External(ExternalId::new("corp", "ada"))]);
        let options = Options::for_issuer("corp");
        plan(&source.finish(), &store, &assigned, &options, &Run::default()).unwrap().plan.len()
    };
    assert_eq!((planned(Some(true)), planned(None)), (1, 0));
}

#[test]
fn a_row_beyond_its_bound_is_not_the_same_as_one_that_says_nothing() {
    // rules S1, M5, P2
    let planned = |swapped: bool| {
        let mut w = World::new();
        w.users("ada");
        w.assign("ada");
        w.sync();
        w.users("ada");
        w.source.users[0].unset("userPrincipalName");
        w.source.users[1].set("title", "countess").set("mail", "ada@x");
        w.options.limits.attributes_per_object = 2;
        if swapped {
            w.source.users.swap(0, 1);
        }
        w.lines()
    };
    assert_eq!(planned(false), planned(true));
}

#[test]
fn a_file_of_ambiguous_rows_holds_each_of_them_and_stays_as_it_is() {
    // rules M3, M5, P1
    let mut source = SourceSnapshot::builder("corp", SourceCapabilities::default());
    let (mut users, mut groups) = (UserPage::default(), GroupPage::default());
    for (title, member) in [("countess", "ada"), ("clerk", "bob")] {
        users.user("ada").attribute("title", title);
        groups.group("staff").attribute("cn", title).member(member).members_complete();
    }
    source.users(&users).unwrap();
    source.groups(&groups).unwrap();
    source.users_end(Completeness::Complete);
    source.groups_end(Completeness::Complete);
    let written = serde_json::to_string(&source.finish()).unwrap();
    for text in ["countess", "clerk"] {
        assert_eq!(written.matches(text).count(), 2, "{written}");
    }
    assert_eq!(written.matches("\"bob\"").count(), 1, "{written}");
    let read: SourceSnapshot = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), written);
}

#[test]
fn an_anchor_or_member_beyond_its_bound_makes_the_read_or_the_list_partial() {
    // rules S1, C2
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    w.sync();
    let long = "x".repeat(4_097);
    w.edit_group("staff").members("ada").member(&long, MemberKind::User);
    assert_eq!(w.lines(), ["kept user bob", "blocked bob in staff: ListIncomplete"]);
    w.edit_group("staff").members("ada").unresolved(&long, MemberKind::User);
    assert_eq!(w.lines(), ["kept user bob", "blocked bob in staff: ListIncomplete"]);
    w.edit_group("staff").members("ada bob");
    w.users(&long);
    w.hide("bob");
    w.options.absence_is_proof = true;
    w.source.capabilities = identity_sync::SourceCapabilities::default();
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.starts_with("delete")), "{lines:#?}");
}

fn limit(w: &World) -> Option<String> {
    match w.try_plan() {
        Ok(_) => None,
        Err(
            ReconcileError::Read(ReadError::LimitExceeded(e))
            | ReconcileError::Plan(PlanError::LimitExceeded(e)),
        ) => Some(e.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_total_at_its_bound_is_planned_and_one_beyond_is_refused() {
    // rule S1
    let mut w = World::new();
    w.users("a b c");
    w.group("staff", "a b c");
    w.group("top", "staff");
    w.assign("top");
    w.source.rows = 2;
    let mut check = |set: fn(&mut Limits, usize), bound: usize, what: &str| {
        set(&mut w.options.limits, bound);
        assert_eq!(limit(&w), None, "{what}");
        set(&mut w.options.limits, bound - 1);
        assert_eq!(limit(&w), Some(format!("more than {} {what}", bound - 1)));
        w.options.limits = Limits::default();
    };
    check(|limits, n| limits.objects = n, 5, "objects in the source");
    check(|limits, n| limits.edges = n, 4, "member entries in the source");
    check(|limits, n| limits.memberships = n, 6, "flattened memberships");
    check(|limits, n| limits.operations = n, 7, "operations in the plan");
    check(|limits, n| limits.pages = n, 2, "pages in one read");
}

#[test]
fn the_plan_of_proven_removals_can_be_had_beyond_the_bound_of_memberships() {
    // rule S1
    let mut w = World::new();
    w.users("a b c d");
    w.group("staff", "a b c d");
    w.group("top", "staff");
    w.assign("top");
    w.sync();
    w.options.limits.memberships = 5;
    w.edit("a").disabled();
    w.delete("d");
    assert_eq!(w.refused().to_string(), "more than 5 flattened memberships");
    w.options.extent = Extent::ProvenRemovals;
    let lines = w.lines();
    assert_eq!(lines[..2], ["deactivate a (DisabledInSource)", "delete user d (DeletedInSource)"]);
    assert_eq!(w.plan().len(), 2);
}

#[test]
fn odd_texts_neither_panic_nor_match_by_chance() {
    // rules S1, M2
    let odd = ["\u{0}", " ", "\u{feff}", "a\u{300}", "\u{1f4a9}", "${x}", "ﷺ", "\u{0130}", "~31", "-1", "İ"];
    for text in odd {
        let mut w = World::new();
        w.user(text).set("userPrincipalName", text).set("title", text);
        w.group(&format!("g{text}"), "").set("cn", text).member(text, MemberKind::Unknown);
        let principals = [text.to_owned(), format!("g{text}")]
            .map(|a| identity_sync::Principal::External(identity_sync::ExternalId::new("corp", a)));
        w.assigned.principals.extend(principals);
        w.run();
        let plan = w.plan();
        assert!(plan.is_empty(), "{text:?}: {plan}");
        let key = MatchRule::NfkcCasefold.key(text);
        assert_eq!(MatchRule::NfkcCasefold.key(key.as_str()), key);
    }
    let mut w = World::new();
    w.users("ada");
    w.source.users[0].anchor = String::new();
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn members_taken_over_from_nested_groups_are_bounded_at_their_bound_and_not_before() {
    // rule S1
    let mut w = World::new();
    w.users("ada bob");
    w.group("inner", "ada bob");
    for group in ["one", "two", "three"] {
        w.group(group, "inner");
    }
    w.assign("one two three");
    // Three lists take two members over each.
    w.options.limits.merged_members = 6;
    assert!(!w.plan().is_empty());
    w.options.limits.merged_members = 5;
    assert!(matches!(w.refused(), PlanError::LimitExceeded(_)), "{:?}", w.refused());
}
