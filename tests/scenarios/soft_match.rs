//! Records without a link that may become ours (rule M3), and who must never get one by a name (threats T1 to T4).

use identity_sync::memory::MemoryRecord;
use identity_sync::{
    Adoption, DeactivatedBy, Deprovision, ExternalId, Guards, Kind, Limit, MemberKind, PlanError,
    StoreCapabilities,
};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{NOTHING, World, anchor, capabilities, record};

fn adopting() -> StoreCapabilities {
    let mut store = capabilities();
    store.adoption = Adoption::Supported;
    store
}

/// Local accounts and a local group that nobody has linked, and a directory in which the same people are.
fn local() -> World {
    let mut w = World::with_store(adopting());
    w.options.soft_match.users.insert("userName".into());
    w.options.soft_match.groups.insert("displayName".into());
    w.options.guards = Guards::off();
    w.put(Kind::User, "L1", record(&[("userName", "Ada"), ("note", "keeps this")]));
    w.put(Kind::User, "L2", record(&[("userName", "bob")]));
    w.put(Kind::Group, "LG", record(&[("displayName", "staff")]));
    w.users("ada bob");
    w.group("staff", "ada");
    w.assign("staff bob");
    w
}

#[test]
fn a_match_is_adopted_and_then_compared_like_any_record_of_ours() {
    // rule M3
    let mut w = local();
    w.put_member("LG", "L2");
    w.edit("ada").set("title", "chief");
    assert_eq!(
        w.lines(),
        [
            "adopt user ada as L1 (Matched)",
            "adopt user bob as L2 (Matched)",
            "adopt group staff as LG (Matched)",
            "remove staff: bob (NoPath)",
            "update user ada [title:  -> chief] (Changed)",
            "add staff: ada (Entitled)",
        ]
    );
    w.sync();
    assert_eq!(
        w.dump(),
        [
            "group staff [displayName=staff]: ada",
            "user ada [note=keeps this title=chief userName=Ada]",
            "user bob [userName=bob]",
        ]
    );
}

#[test]
fn without_being_asked_for_nobody_is_adopted() {
    // rules M3, M7: off by default; the name is a conflict for us
    let mut w = local();
    w.options.soft_match = Default::default();
    assert_eq!(w.lines().iter().filter(|line| !line.starts_with("note")).count(), 0);
    assert_eq!(w.lines().iter().filter(|line| line.contains("has the value")).count(), 3);
}

#[test]
fn every_named_attribute_must_match() {
    // rule M3
    let mut w = local();
    w.options.soft_match.users.insert("emails".into());
    assert!(!w.lines().iter().any(|line| line.starts_with("adopt user")));
    w.edit("ada").set("mail", "ada@x");
    let with_mail = record(&[("userName", "Ada"), ("emails", "other@x"), ("emails", "ada@x")]);
    w.put(Kind::User, "L1", with_mail);
    assert_eq!(w.lines()[0], "adopt user ada as L1 (Matched)");
}

#[test]
fn two_records_that_match_are_ambiguous_and_nothing_is_made() {
    // rules M3, M5
    let mut w = local();
    w.options.soft_match.users = ["emails".to_owned()].into();
    w.edit("ada").set("mail", "ada@x");
    for id in ["L1", "L2"] {
        w.put(Kind::User, id, record(&[("userName", id), ("emails", "ada@x")]));
    }
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.contains(" ada ") && !line.starts_with("note")), "{lines:?}");
    assert!(lines.contains(
        &"note: ambiguous: ada: nobody can tell which record without a link is its own".to_owned()
    ));
}

#[test]
fn t1_two_attackers_with_the_victim_s_mail_in_any_spelling_get_nothing() {
    // rule M3: T1
    for spelling in ["victim@x", "VICTIM@X", "ｖｉｃｔｉｍ@x", " victim@x "] {
        let mut store = adopting();
        let folded =
            identity_sync::AttributeSchema::multi_valued().matching(identity_sync::MatchRule::NfkcCasefold);
        store.users.insert("emails".into(), folded);
        let mut w = World::with_store(store);
        w.options.soft_match.users.insert("emails".into());
        w.put(Kind::User, "V", record(&[("userName", "victim"), ("emails", "victim@x")]));
        w.user("evil1").set("mail", spelling);
        w.user("evil2").set("mail", "Victim@x");
        w.assign("evil1 evil2");
        let before = w.dump();
        w.run();
        assert_eq!(w.dump(), before, "{spelling}");
    }
}

#[test]
fn never_onto_an_inactive_or_protected_record() {
    // rules M3, M8
    let mut w = local();
    w.store.state().users.get_mut("L1").unwrap().active = false;
    w.options.protected.names.insert("BOB".into());
    w.options.protected.ids.insert("LG".into());
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.starts_with("adopt")), "{lines:?}");
    let notes: Vec<&String> = lines.iter().filter(|line| line.ends_with("not adopted")).collect();
    assert_eq!(
        notes,
        [
            "note: user ada matches record L1, which is inactive: not adopted",
            "note: user bob matches record L2, which is protected: not adopted",
            "note: group staff matches record LG, which is protected: not adopted",
        ]
    );
}

#[test]
fn t2_a_link_is_written_once_and_never_pointed_elsewhere() {
    // rule M1: T2
    let mut w = local();
    w.sync();
    let id = w.id("ada");
    // Another object takes her name and her mail; she takes his.
    w.user("evil").set("userPrincipalName", "Ada");
    w.assign("evil");
    w.edit("ada").set("userPrincipalName", "evil");
    w.run();
    assert_eq!(w.id("ada"), id);
    let others = w.store.state().users.get(&id).unwrap().external_ids.clone();
    assert_eq!(others, [ExternalId::new(crate::world::CORP, "ada")]);
}

#[test]
fn a_record_with_a_link_of_anybody_is_never_adopted() {
    // rules M3, M7
    let mut w = local();
    let mut other = record(&[("userName", "Ada")]);
    other.external_ids.push(ExternalId::new("hr", "77"));
    w.put(Kind::User, "L1", other);
    assert!(!w.lines().iter().any(|line| line.contains("adopt user ada")));
}

#[test]
fn a_linked_record_with_the_same_values_is_reason_enough_to_adopt_nobody() {
    // rule M3
    let mut w = local();
    w.options.soft_match.users = ["emails".to_owned()].into();
    w.edit("ada").set("mail", "ada@x");
    w.put(Kind::User, "L1", record(&[("userName", "local"), ("emails", "ada@x")]));
    let mut linked = record(&[("userName", "other"), ("emails", "ada@x")]);
    linked.external_ids.push(ExternalId::new("hr", "77"));
    w.put(Kind::User, "L9", linked);
    let lines = w.lines();
    assert!(lines.contains(
        &"note: user ada matches record L1, which shares its values with a record that has a link: not adopted".to_owned()
    ));
    assert!(lines.contains(&"create user ada [emails=ada@x userName=ada] (Entitled)".to_owned()));
}

#[test]
fn a_disabled_account_that_matches_is_linked_and_made_inactive() {
    // rules M3, A5
    let mut w = local();
    w.edit("ada").disabled();
    let lines = w.lines();
    assert_eq!(lines[0], "adopt user ada as L1 (Matched)");
    assert_eq!(lines[3], "deactivate ada (DisabledInSource)");
    w.sync();
    assert_eq!(w.store.state().users["L1"].deactivated_by, DeactivatedBy::Sync);
    let mut w = local();
    w.options.users.disabled_in_source = Deprovision::Delete;
    w.edit("ada").disabled();
    assert!(!w.lines().iter().any(|line| line.contains("ada")), "none would be made, and none is adopted");
    let mut w = local();
    w.edit("ada").state(identity_sync::AccountState::Unknown);
    assert!(!w.lines().iter().any(|line| line.starts_with("adopt user ada")));
}

#[test]
fn adoptions_have_a_limit_of_their_own_which_holds_all_that_follows() {
    // rules M3, D4, D5
    let mut w = local();
    w.options.guards.adoptions = Some(Limit::new(Some(2), 100, 2));
    w.put_member("LG", "L2");
    w.edit("ada").set("title", "chief");
    assert_eq!(
        w.lines(),
        [
            "limit Adoptions: 3 > 2 of 0",
            "held by [0]: adopt user ada as L1 (Matched)",
            "held by [0]: adopt user bob as L2 (Matched)",
            "held by [0]: adopt group staff as LG (Matched)",
            "held by [0]: remove staff: bob (NoPath)",
            "held by [0]: update user ada [title:  -> chief] (Changed)",
            "held by [0]: add staff: ada (Entitled)",
        ]
    );
    let mut t = Timeline::start(w);
    t.approvals = vec![t.held_file().approve()];
    assert_eq!(t.run().len(), 6);
    assert!(t.plan().is_empty());
}

#[test]
fn nothing_is_written_to_a_record_whose_adoption_failed() {
    // rules M3, M7, X1
    let mut w = local();
    w.put_member("LG", "L2");
    w.edit("bob").set("title", "x");
    let plan = w.plan();
    // Somebody else links the record between plan and apply.
    w.store.state().users.get_mut("L2").unwrap().external_ids.push(ExternalId::new("hr", "1"));
    let before = w.store.state().users["L2"].clone();
    let options = identity_sync::ApplyOptions::default();
    let host = identity_sync::Host::default();
    let report = pollster::block_on(identity_sync::apply(&plan, &w.store, &options, &host)).unwrap();
    assert!(!report.is_success());
    assert_eq!(w.store.state().users["L2"], before);
    assert!(w.store.state().groups["LG"].members.contains("L2"), "not ours to remove");
}

#[test]
fn stores_that_cannot_link_and_attributes_that_are_not_mapped_are_refused_up_front() {
    // rules X5, M3
    let mut w = World::new();
    w.options.soft_match.users.insert("userName".into());
    assert_eq!(w.refused(), PlanError::CannotAdopt);
    let mut w = local();
    w.options.soft_match.users.insert("costCentre".into());
    assert_eq!(w.refused(), PlanError::Unmapped { kind: Kind::User, attribute: "costCentre".into() });
}

#[test]
fn a_sign_in_adopts_nobody() {
    // rules M3, J1
    let w = local();
    let (run, host) = (identity_sync::Run::default(), identity_sync::Host::default());
    let signed = pollster::block_on(identity_sync::sign_in(
        &w.source,
        &w.store,
        &anchor("ada"),
        &w.options,
        &run,
        &host,
    ))
    .unwrap();
    assert!(!signed.allowed);
    assert_eq!(w.store.state().users["L1"].external_ids, []);
}

#[test]
fn a_flood_of_equal_values_is_no_flood_of_work() {
    // rules S1, M3
    let mut w = World::with_store(adopting());
    w.options.soft_match.users.insert("title".into());
    for i in 0..2_000 {
        w.user(&format!("u{i}")).set("title", "same");
        w.put(Kind::User, &format!("L{i}"), record(&[("userName", &format!("l{i}")), ("title", "same")]));
        w.assign(&format!("u{i}"));
    }
    let plan = w.plan();
    assert!(plan.is_empty());
    assert_eq!(plan.diagnostics().len(), 2_000);
}

/// What was written by somebody else.
fn leaver(w: &mut World) -> String {
    w.users("old");
    w.edit("old").set("userPrincipalName", "jdoe").set("mail", "jdoe@x");
    w.group("vault", "");
    w.edit_group("vault").member("old", MemberKind::User);
    w.assign("vault");
    w.sync();
    w.id("old")
}

#[test]
fn t3_a_login_used_again_never_inherits_whatever_became_of_the_leaver() {
    // rules M4, M1: T3, also where records are adopted by name
    for (policy, prove) in [
        (Deprovision::Delete, true),
        (Deprovision::Deactivate, true),
        (Deprovision::Keep, true),
        (Deprovision::Delete, false),
    ] {
        for release in [true, false] {
            let mut w = World::with_store(adopting());
            w.options.soft_match.users.insert("userName".into());
            w.options.release_names = release;
            w.options.guards = Guards::off();
            w.options.users.deleted_in_source = policy;
            let id = leaver(&mut w);
            if prove {
                w.delete("old");
            } else {
                w.hide("old");
                w.edit_group("vault").members("");
            }
            w.user("new").set("userPrincipalName", "JDoe").set("mail", "jdoe@x");
            w.assign("new");
            w.run();
            w.run();
            let state = w.store.state();
            let link = ExternalId::new(crate::world::CORP, "new");
            let of_new: Vec<(&String, &MemoryRecord)> =
                state.users.iter().filter(|(_, user)| user.external_ids.contains(&link)).collect();
            assert!(of_new.iter().all(|(new, _)| **new != id), "{policy:?}, {prove}, {release}");
            assert!(
                state
                    .groups
                    .values()
                    .all(|group| of_new.iter().all(|(new, _)| !group.members.contains(*new)))
            );
            if let Some(old) = state.users.get(&id) {
                assert_eq!(old.external_ids, [ExternalId::new(crate::world::CORP, "old")]);
            }
        }
    }
}

#[test]
fn t4_names_that_only_fold_to_the_same_are_never_two_records_and_never_one_person() {
    // rules M2, M3, M6: T4
    for (ours, local) in
        [("straße", "STRASSE"), ("ﬀion", "ffion"), ("BIGBIRD", "ᴮᴵᴳᴮᴵᴿᴰ"), ("mike", "ｍｉｋｅ")]
    {
        let mut w = World::with_store(adopting());
        w.options.soft_match.users.insert("userName".into());
        w.put(Kind::User, "L", record(&[("userName", local)]));
        w.user("1").set("userPrincipalName", ours);
        w.user("2").set("userPrincipalName", local);
        w.assign("1 2");
        assert_eq!(w.lines().iter().filter(|line| !line.starts_with("note")).count(), 0, "{ours}");
        // One of them alone is a match in both directions; what is written is the source's spelling only where keys differ.
        w.unassign("2");
        assert_eq!(w.lines(), ["adopt user 1 as L (Matched)"], "{ours}");
    }
    // Dotless i is no i.
    let mut w = World::with_store(adopting());
    w.options.soft_match.users.insert("userName".into());
    w.put(Kind::User, "L", record(&[("userName", "mike")]));
    w.user("1").set("userPrincipalName", "mıke");
    w.assign("1");
    assert_eq!(w.lines(), ["create user 1 [userName=mıke] (Entitled)"]);
    assert_ne!(w.lines(), NOTHING);
}

/// A local account of somebody, and an attacker in the directory who has the victim's mail; so has the victim.
fn takeover() -> World {
    let mut w = World::with_store(adopting());
    w.options.soft_match.users.insert("emails".into());
    w.options.guards = Guards::off();
    w.put(Kind::User, "V", record(&[("userName", "old-victim"), ("emails", "victim@x")]));
    w.user("evil").set("mail", "victim@x");
    w.user("victim").set("mail", "victim@x");
    w.assign("evil victim");
    w
}

#[test]
fn t1_the_rightful_owner_counts_whatever_keeps_him_from_being_linked_now() {
    // rule M3: T1
    let cases: [fn(&mut World); 8] = [
        |w| {
            w.edit("victim").state(identity_sync::AccountState::Unknown);
        },
        |w| {
            w.options.users.disabled_in_source = Deprovision::Delete;
            w.edit("victim").disabled();
        },
        |w| {
            w.options.protected.anchors.insert("victim".into());
        },
        |w| w.record(Kind::User, "linked", "victim", &[("userName", "victim")]),
        |w| {
            w.options.user_map.set("emails", "${proxyAddresses}").unwrap();
            for i in 0..4_097 {
                w.edit("victim").add("proxyAddresses", &format!("alias{i}@x"));
            }
            w.edit("victim").add("proxyAddresses", "victim@x");
            w.edit("evil").add("proxyAddresses", "victim@x");
        },
        |w| {
            w.edit("victim").withdrawn();
        },
        // Two rows of his, of which nobody knows which one counts, in either order.
        |w| {
            w.user("victim").set("mail", "another@x");
        },
        |w| {
            w.edit("victim").set("mail", "another@x");
            w.user("victim").set("mail", "victim@x");
        },
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut w = takeover();
        case(&mut w);
        let lines = w.lines();
        assert!(!lines.iter().any(|line| line.starts_with("adopt")), "case {number}: {lines:?}");
        w.run();
        assert!(w.store.state().users["V"].external_ids.is_empty(), "case {number}");
    }
    // Alone he is the owner.
    let mut w = takeover();
    w.hide("evil");
    w.unassign("evil");
    assert_eq!(w.lines()[0], "adopt user victim as V (Matched)");
}

#[test]
fn the_line_of_an_adoption_names_the_record() {
    // rules P8, M3
    let text = local().plan().to_string();
    assert!(text.contains("+ adopt user Ada [ada] as record L1 (has no link"), "{text}");
}

#[test]
fn a_group_is_adopted_whatever_the_users_of_the_store_are() {
    // rule M3: only users are active or not
    let w = local();
    for user in w.store.state().users.values_mut() {
        user.active = false;
    }
    assert!(w.lines().contains(&"adopt group staff as LG (Matched)".to_owned()));
}

#[test]
fn a_quick_pass_makes_no_second_record_for_a_disabled_account_that_matches() {
    // rules M3, I3
    let mut w = local();
    w.edit("ada").disabled();
    w.options.extent = identity_sync::Extent::NewEntitlements;
    let lines = w.lines();
    assert_eq!(lines[..2], ["adopt user bob as L2 (Matched)", "adopt group staff as LG (Matched)"]);
    assert!(!lines.iter().any(|line| line.contains("user ada")), "{lines:?}");
}

#[test]
fn whoever_is_ambiguous_or_protected_himself_is_not_linked() {
    // rules M3, M5, M8
    let mut w = local();
    w.user("ada").set("title", "another row of hers");
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.contains("user ada")), "{lines:?}");
    let mut w = local();
    w.options.protected.anchors.insert("ada".into());
    let lines = w.lines();
    assert!(!lines.iter().any(|line| line.starts_with("adopt user ada")), "{lines:?}");
}

#[test]
fn sharing_one_of_several_values_with_a_linked_record_is_reason_enough() {
    // rule M3
    let mut w = local();
    w.options.soft_match.users = ["emails".to_owned()].into();
    w.options.user_map.set("emails", "${proxyAddresses}").unwrap();
    w.edit("ada").add("proxyAddresses", "a@x").add("proxyAddresses", "b@x");
    w.put(Kind::User, "L1", record(&[("userName", "local"), ("emails", "a@x")]));
    assert!(w.lines().contains(&"adopt user ada as L1 (Matched)".to_owned()));
    let mut linked = record(&[("userName", "other"), ("emails", "b@x")]);
    linked.external_ids.push(ExternalId::new("hr", "77"));
    w.put(Kind::User, "L9", linked);
    assert!(!w.lines().iter().any(|line| line.starts_with("adopt user ada")));
}

/// ada has this many addresses, the last of them `ada@x`; a local account has that one.
fn many_addresses(count: usize) -> World {
    let mut w = World::with_store(adopting());
    w.options.soft_match.users.insert("emails".into());
    w.options.user_map.set("emails", "${proxyAddresses}").unwrap();
    w.options.guards = Guards::off();
    w.users("ada");
    for i in 1..count {
        w.edit("ada").add("proxyAddresses", &format!("alias{i}@x"));
    }
    w.edit("ada").add("proxyAddresses", "ada@x");
    w.assign("ada");
    w.put(Kind::User, "L", record(&[("userName", "local"), ("emails", "ada@x")]));
    w
}

#[test]
fn whoever_has_too_many_values_is_neither_adopted_nor_made() {
    // rules M3, S1
    assert_eq!(many_addresses(4_096).lines()[0], "adopt user ada as L (Matched)");
    let unclear = "note: ambiguous: ada: nobody can tell which record without a link is its own";
    assert_eq!(many_addresses(4_097).lines(), [unclear]);
    // Also where it is a record that has too many: it may be the right one.
    let mut w = many_addresses(1);
    let mut crowd = record(&[("userName", "crowd"), ("emails", "ada@x")]);
    let emails = crowd.attributes.get_mut("emails").unwrap();
    emails.extend((0..4_096).map(|i| format!("alias{i}@x")));
    w.put(Kind::User, "M", crowd);
    assert_eq!(w.lines(), [unclear]);
}

#[test]
fn whoever_has_too_many_values_might_match_wherever_his_first_one_does() {
    // rules M3, S1: two attributes must match, and bob has too many of each to look at
    let mut w = World::with_store(adopting());
    w.options.guards = Guards::off();
    w.options.soft_match.users.extend(["emails".to_owned(), "title".to_owned()]);
    w.options.user_map.set("emails", "${mail}").unwrap();
    w.put(Kind::User, "L", record(&[("userName", "local"), ("emails", "ada@x"), ("title", "chief")]));
    w.users("ada bob");
    w.assign("ada");
    w.edit("ada").set("mail", "ada@x").set("title", "chief");
    assert_eq!(w.lines()[0], "adopt user ada as L (Matched)");
    w.assign("bob");
    w.edit("bob").set("mail", "ada@x").set("title", "clerk");
    assert_eq!(w.lines()[0], "adopt user ada as L (Matched)");
    for i in 0..4_097 {
        w.edit("bob").add("mail", &format!("bob{i}@x"));
    }
    assert!(!w.lines().iter().any(|line| line.starts_with("adopt")), "{:?}", w.lines());
}

#[test]
fn the_members_of_a_group_that_is_adopted_are_read_where_that_is_done_group_by_group() {
    // rules M3, C5
    let mut store = adopting();
    store.members = identity_sync::Members::PerGroup;
    let mut w = local();
    let state = std::mem::take(&mut *w.store.state());
    w.store = World::with_store(store).store;
    *w.store.state() = state;
    w.put_member("LG", "L2");
    assert_eq!(
        w.lines(),
        [
            "adopt user ada as L1 (Matched)",
            "adopt user bob as L2 (Matched)",
            "adopt group staff as LG (Matched)",
            "remove staff: bob (NoPath)",
            "add staff: ada (Entitled)",
        ]
    );
}
