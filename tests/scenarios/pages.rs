//! What adapters may put into pages, and what is made of it (rules C1, E9, M5, S1).

use identity_sync::{
    AccountState, Assignments, Completeness, Concurrency, Deprovision, ExternalId, GroupPage, Limits,
    MemberKind, Options, Plan, PlanError, Principal, Run, SourceCapabilities, SourceSnapshot,
    SourceSnapshotBuilder, StoreCapabilities, StoreSnapshot, StoreSnapshotBuilder, StoredGroupPage,
    StoredUserPage, UserPage, plan,
};
use pretty_assertions::assert_eq;

use crate::world::{CORP, lines};

/// Users whose login is their anchor.
fn source_of(users: &[&str]) -> SourceSnapshotBuilder {
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    let mut page = UserPage::default();
    for user in users {
        page.user(user).active(true).attribute("userPrincipalName", user);
    }
    source.users(&page).unwrap();
    source.users_end(Completeness::Complete);
    source
}

fn empty_store() -> StoreSnapshot {
    StoreSnapshot::builder(StoreCapabilities::named("app")).finish(Completeness::Complete)
}

/// ada, bob and kim are members of staff.
fn store() -> StoreSnapshotBuilder {
    let mut store = StoreSnapshot::builder(StoreCapabilities::named("app"));
    let mut users = StoredUserPage::default();
    for user in ["ada", "bob", "kim"] {
        users.user(user).external_id(CORP, user).version("1").attribute("userName", user);
    }
    store.users(&users).unwrap();
    let mut groups = StoredGroupPage::default();
    let mut staff = groups.group("staff");
    staff.external_id(CORP, "staff").version("1").attribute("displayName", "staff");
    for user in ["ada", "bob", "kim"] {
        staff.member(user);
    }
    store.groups(&groups).unwrap();
    store
}

fn planned(source: SourceSnapshotBuilder, store: &StoreSnapshot) -> Vec<String> {
    let assigned = ["staff", "ada", "bob", "kim"].map(|a| Principal::External(ExternalId::new(CORP, a)));
    let assigned = Assignments::complete(assigned);
    let options = Options::for_issuer(CORP);
    let found = plan(&source.finish(), store, &assigned, &options, &Run::default());
    lines(&found.unwrap().plan)
}

fn changes(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("note")).collect()
}

#[test]
fn lists_that_go_on_between_those_of_others_are_put_together() {
    // rules C1, E9
    let mut source = source_of(&["ada", "bob", "kim"]);
    let mut page = GroupPage::default();
    page.group("staff").attribute("cn", "staff").member("ada").unresolved("CN=One", MemberKind::Unknown);
    page.group("other").attribute("cn", "other").member("bob").unresolved("CN=Two", MemberKind::Unknown);
    source.groups(&page).unwrap();
    page.clear();
    assert!(page.is_empty());
    assert_eq!(page.len(), 0);
    page.group("staff").member("bob").unresolved("CN=Three", MemberKind::Group).members_complete();
    page.group("other").members_complete();
    assert!(!page.is_empty());
    source.groups(&page).unwrap();
    source.groups_end(Completeness::Complete);
    // Kim would go, but for the two texts that may hide anybody.
    assert_eq!(
        planned(source, &store().finish(Completeness::Complete)),
        [
            "blocked kim in staff: ListIncomplete",
            "note: nothing is remembered of earlier runs: grace periods and the window of the limits start anew",
            "note: group staff: 2 members may hide others, so nobody is removed from it or above",
        ]
    );
}

/// Whether the list of staff takes kim out, after these pages.
fn removes(fill: impl Fn(&mut GroupPage), more: impl Fn(&mut GroupPage)) -> bool {
    let mut source = source_of(&["ada", "bob", "kim"]);
    for fill in [&fill as &dyn Fn(&mut GroupPage), &more] {
        let mut page = GroupPage::default();
        fill(&mut page);
        source.groups(&page).unwrap();
    }
    source.groups_end(Completeness::Complete);
    let changes = changes(planned(source, &store().finish(Completeness::Complete)));
    assert!(changes.len() == 1, "{changes:?}");
    changes[0] == "remove staff: kim (NoPath)"
}

#[test]
fn a_list_removes_only_where_it_is_whole_and_of_one_moment() {
    // rules C1, C2, M5
    let nothing = |_: &mut GroupPage| ();
    let staff = |page: &mut GroupPage| {
        page.group("staff").attribute("cn", "staff").member("ada").member("bob").members_complete();
    };
    assert!(removes(staff, nothing));
    // Nobody said that it is whole.
    let open = |page: &mut GroupPage| {
        page.group("staff").attribute("cn", "staff").version(1).member("ada").member("bob");
    };
    assert!(!removes(open, nothing));
    // It went on, and ended: with the same version, without one, and with another one.
    let end = |version: Option<u64>| {
        move |page: &mut GroupPage| {
            let mut row = page.group("staff");
            version.into_iter().for_each(|version| {
                row.version(version);
            });
            row.members_complete();
        }
    };
    assert!(removes(open, end(Some(1))));
    assert!(removes(open, end(None)));
    assert!(!removes(open, end(Some(2))));
    // Cut short, whatever is said of it later.
    let cut = |page: &mut GroupPage| {
        page.group("staff").attribute("cn", "staff").member("ada").member("bob").members_partial();
    };
    assert!(!removes(cut, nothing));
    let cut_and_whole = |page: &mut GroupPage| {
        let mut row = page.group("staff");
        row.attribute("cn", "staff").member("ada").member("bob").members_partial().members_complete();
    };
    assert!(!removes(cut_and_whole, nothing));
    // A member that is no member was left out.
    let nameless = |page: &mut GroupPage| {
        page.group("staff")
            .attribute("cn", "staff")
            .member("ada")
            .member("bob")
            .member("")
            .members_complete();
    };
    assert!(!removes(nameless, nothing));
    // It cannot be used, on its first page or on a later one.
    let withdrawn = |page: &mut GroupPage| {
        staff(page);
        page.group("staff").withdraw();
    };
    assert!(!removes(withdrawn, nothing));
    let goes_bad = |page: &mut GroupPage| {
        let mut row = page.group("staff");
        row.members_complete();
        row.withdraw();
    };
    assert!(!removes(open, goes_bad));
}

#[test]
fn rows_of_a_group_that_differ_in_any_part_of_their_lists_are_not_one() {
    // rule M5
    let row = |page: &mut GroupPage, change: &dyn Fn(&mut identity_sync::GroupRow<'_>)| {
        let mut row = page.group("staff");
        row.attribute("cn", "staff").member("ada").member("bob").unresolved("CN=X", MemberKind::User);
        change(&mut row);
    };
    let whole = |row: &mut identity_sync::GroupRow<'_>| {
        row.members_complete();
    };
    let other: [&dyn Fn(&mut identity_sync::GroupRow<'_>); 6] = [
        &|row| {
            row.members_partial();
        },
        &|row| {
            row.member("").members_complete();
        },
        &|row| {
            row.unresolved("CN=Y", MemberKind::User).members_complete();
        },
        &|row| {
            row.member("kim").members_complete();
        },
        &|row| {
            row.attribute("description", "other").members_complete();
        },
        &|row| {
            row.members_complete();
            row.withdraw();
        },
    ];
    assert!(removes(|page| row(page, &whole), |page| row(page, &whole)), "equal rows are one");
    for (number, other) in other.into_iter().enumerate() {
        for turned in [false, true] {
            let fills: [&dyn Fn(&mut GroupPage); 2] = [&|page| row(page, &whole), &|page| row(page, other)];
            let order = if turned { [1, 0] } else { [0, 1] };
            let mut source = source_of(&["ada", "bob", "kim"]);
            for which in order {
                let mut page = GroupPage::default();
                fills[which](&mut page);
                source.groups(&page).unwrap();
            }
            source.groups_end(Completeness::Complete);
            let lines = planned(source, &store().finish(Completeness::Complete));
            assert!(!lines.iter().any(|line| line.starts_with("remove")), "case {number}: {lines:?}");
            let finding = "note: ambiguous: staff: the source gives different rows for it".to_owned();
            assert!(lines.contains(&finding), "case {number}: {lines:?}");
        }
    }
}

#[test]
fn a_group_without_a_usable_anchor_makes_the_read_of_groups_partial() {
    // rules S1, C2
    let long = "x".repeat(Limits::default().id_bytes + 1);
    for anchor in ["", long.as_str(), "unidentified"] {
        let mut source = source_of(&["ada", "bob", "kim"]);
        let mut page = GroupPage::default();
        page.group("staff")
            .attribute("cn", "staff")
            .member("ada")
            .member("bob")
            .member("kim")
            .members_complete();
        match anchor {
            "unidentified" => page.unidentified(),
            // What is meant for it must not land in the group before.
            _ => {
                page.group(anchor).attribute("cn", "people").member("eve").members_partial();
            }
        }
        source.groups(&page).unwrap();
        source.groups_end(Completeness::Complete);
        let mut store = store();
        let mut groups = StoredGroupPage::default();
        groups.group("old").external_id(CORP, "old").version("1").attribute("displayName", "old");
        store.groups(&groups).unwrap();
        let mut options = Options::for_issuer(CORP);
        options.absence_is_proof = true;
        let assigned = ["staff", "ada", "bob", "kim"].map(|a| Principal::External(ExternalId::new(CORP, a)));
        let source = source.finish();
        assert_eq!((source.users(), source.groups(), source.edges()), (3, 1, 3));
        let store = store.finish(Completeness::Complete);
        let assigned = Assignments::complete(assigned);
        let found = plan(&source, &store, &assigned, &options, &Run::default()).unwrap();
        assert_eq!(changes(lines(&found.plan)), ["kept group old", "blocked group old: DeletionUnproven"]);
    }
}

#[test]
fn a_tombstone_of_a_group_is_proof_whichever_page_it_is_on() {
    // rule C3
    let mut source = source_of(&["ada", "bob", "kim"]);
    let mut page = GroupPage::default();
    page.tombstone("staff");
    page.group("other").attribute("cn", "other").members_complete();
    source.groups(&page).unwrap();
    source.groups_end(Completeness::Complete);
    assert_eq!(page.groups().map(|(anchor, ..)| anchor).collect::<Vec<_>>(), ["other"]);
    let source = source.finish();
    assert_eq!(source.groups(), 1);
    let assigned = ["ada", "bob", "kim"].map(|a| Principal::External(ExternalId::new(CORP, a)));
    let options = Options::for_issuer(CORP);
    let store = store().finish(Completeness::Complete);
    assert_eq!((store.users(), store.groups(), store.memberships()), (3, 1, 3));
    let found = plan(&source, &store, &Assignments::complete(assigned), &options, &Run::default()).unwrap();
    assert_eq!(changes(lines(&found.plan)), ["delete group staff (DeletedInSource)"]);
}

#[test]
fn an_unreadable_attribute_changes_nothing_and_too_many_make_the_row_useless() {
    // rules A2, S1
    let made = |fill: &dyn Fn(&mut identity_sync::UserRow<'_>)| {
        let mut source = source_of(&[]);
        let mut page = UserPage::default();
        let mut row = page.user("ada");
        row.state(AccountState::Enabled).attribute("userPrincipalName", "ada").optional("title", Some("x"));
        row.optional("mail", None);
        fill(&mut row);
        assert!(!page.is_empty() && page.len() == 1);
        source.users(&page).unwrap();
        page.clear();
        assert!(page.is_empty());
        source.groups_end(Completeness::Complete);
        changes(planned(source, &empty_store()))
    };
    let created = "create user ada [title=x userName=ada] (Entitled)";
    assert_eq!(made(&|_| ()), [created]);
    assert_eq!(
        made(&|row| {
            row.unreadable("mail");
        }),
        [created]
    );
    let most = Limits::default().attributes_per_object;
    let unreadable = |count: usize| {
        move |row: &mut identity_sync::UserRow<'_>| {
            for i in 0..count {
                row.unreadable(&format!("extra{i}"));
            }
        }
    };
    assert_eq!(made(&unreadable(most - 2)), [created]);
    assert_eq!(made(&unreadable(most - 1)), [""; 0]);
    let long = "x".repeat(Limits::default().id_bytes + 1);
    assert_eq!(
        made(&|row| {
            row.attribute(&long, "x");
        }),
        [""; 0]
    );
    assert_eq!(
        made(&|row| {
            row.unreadable(&long).attribute("title", "y");
        }),
        [""; 0]
    );
}

#[test]
fn a_store_that_lists_a_record_twice_or_without_an_id_was_not_read_whole() {
    // rules C5, P7
    let refused = |fill: &dyn Fn(&mut StoredUserPage)| {
        let mut store = store();
        let mut page = StoredUserPage::default();
        fill(&mut page);
        store.users(&page).unwrap();
        let source = source_of(&["ada", "bob", "kim"]).finish();
        let options = Options::for_issuer(CORP);
        let nobody = Assignments::complete([]);
        match plan(&source, &store.finish(Completeness::Complete), &nobody, &options, &Run::default()) {
            Err(PlanError::PartialStore { reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let row = |id: &'static str| {
        move |page: &mut StoredUserPage| {
            page.user(id);
        }
    };
    assert_eq!(refused(&row("ada")), "the same record came twice");
    assert_eq!(refused(&row("")), "a record without an id was read");
}

#[test]
fn a_store_that_lists_a_member_without_an_id_was_not_read_whole() {
    // rules C5, P1: nobody was removed from the group, in a plan that could not be read again
    let mut store = store();
    let mut page = StoredGroupPage::default();
    page.group("other").external_id(CORP, "other").version("1").member("ada").member("");
    store.groups(&page).unwrap();
    let source = source_of(&["ada", "bob", "kim"]).finish();
    let (options, nobody) = (Options::for_issuer(CORP), Assignments::complete([]));
    let found = plan(&source, &store.finish(Completeness::Complete), &nobody, &options, &Run::default());
    let reason = "a member without an id was read".to_owned();
    assert_eq!(found.err(), Some(PlanError::PartialStore { reason }));
}

#[test]
fn a_link_without_a_value_is_no_link() {
    // rules M7, P1: the record was taken for ours, and the plan about it could not be read again
    let mut store = StoreSnapshot::builder(StoreCapabilities::named("app"));
    let mut page = StoredUserPage::default();
    page.user("local").external_id(CORP, "").version("1").attribute("userName", "local");
    page.user("kept")
        .external_id(CORP, "kept")
        .external_id(CORP, "")
        .version("1")
        .attribute("userName", "kept");
    store.users(&page).unwrap();
    let mut page = StoredGroupPage::default();
    page.group("local").external_id(CORP, "").version("1").attribute("displayName", "local");
    store.groups(&page).unwrap();
    let mut source = source_of(&["ada"]);
    source.groups_end(Completeness::Complete);
    let mut options = Options::for_issuer(CORP);
    options.users.left_scope = Deprovision::Deactivate;
    options.groups.left_scope = Deprovision::Delete;
    options.allow_empty.groups = true;
    let ada = Assignments::complete([Principal::External(ExternalId::new(CORP, "ada"))]);
    let store = store.finish(Completeness::Complete);
    let found = plan(&source.finish(), &store, &ada, &options, &Run::default()).unwrap().plan;
    assert_eq!(
        changes(lines(&found)),
        ["deactivate kept (LeftScope)", "create user ada [userName=ada] (Entitled)", "kept user kept"]
    );
    let again: Plan = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again, found);
}

#[test]
fn of_two_records_that_hold_a_value_the_least_is_named_in_any_order() {
    // rules M6, P2
    for ids in [["b", "a"], ["a", "b"]] {
        let mut capabilities = StoreCapabilities::named("app");
        capabilities.concurrency = Concurrency::Conditional;
        let mut store = StoreSnapshot::builder(capabilities);
        let mut page = StoredUserPage::default();
        for id in ids {
            page.user(id).version("1").attribute("userName", "ada");
        }
        store.users(&page).unwrap();
        let mut source = source_of(&["ada"]);
        source.groups_end(Completeness::Complete);
        let lines = planned(source, &store.finish(Completeness::Complete));
        let finding = "note: user ada does not get its userName: record a has the value".to_owned();
        assert!(lines.contains(&finding), "{lines:?}");
    }
}

#[test]
fn a_user_without_a_usable_anchor_makes_the_read_of_users_partial() {
    // rules S1, C2
    let long = "x".repeat(Limits::default().id_bytes + 1);
    for anchor in ["", long.as_str(), "unidentified"] {
        let mut source = source_of(&["bob", "kim"]);
        let mut page = UserPage::default();
        page.user("ada").active(true).attribute("userPrincipalName", "ada");
        match anchor {
            "unidentified" => page.unidentified(),
            // What is meant for it must not land in the row before.
            _ => {
                page.user(anchor).active(false).attribute("title", "somebody else's");
            }
        }
        source.users(&page).unwrap();
        source.groups_end(Completeness::Complete);
        let mut store = store();
        let mut users = StoredUserPage::default();
        users.user("old").external_id(CORP, "old").version("1").attribute("userName", "old");
        store.users(&users).unwrap();
        let store = store.finish(Completeness::Complete);
        let mut options = Options::for_issuer(CORP);
        options.absence_is_proof = true;
        options.allow_empty.groups = true;
        let assigned = ["ada", "bob", "kim"].map(|a| Principal::External(ExternalId::new(CORP, a)));
        let source = source.finish();
        assert_eq!(source.users(), 3);
        let found = plan(&source, &store, &Assignments::complete(assigned), &options, &Run::default());
        let changes = changes(lines(&found.unwrap().plan));
        assert!(changes.contains(&"blocked user old: DeletionUnproven".to_owned()), "{anchor}: {changes:?}");
        assert!(!changes.iter().any(|line| line.contains("ada")), "{anchor}: {changes:?}");
    }
}

#[test]
fn a_user_is_active_or_not_as_the_page_says() {
    // rule A5
    for (active, expected) in
        [(true, "create user ada [userName=ada]"), (false, "create user ada inactive [userName=ada]")]
    {
        let mut source = source_of(&[]);
        let mut page = UserPage::default();
        page.user("ada").active(active).attribute("userPrincipalName", "ada");
        source.users(&page).unwrap();
        source.groups_end(Completeness::Complete);
        assert_eq!(changes(planned(source, &empty_store())), [format!("{expected} (Entitled)")]);
    }
}

#[test]
fn what_a_group_row_says_of_its_attributes_counts_as_for_users() {
    // rules A2, S1
    let made = |fill: &dyn Fn(&mut identity_sync::GroupRow<'_>)| {
        let mut source = source_of(&[]);
        let mut page = GroupPage::default();
        let mut row = page.group("staff");
        row.attribute("cn", "staff").optional("description", Some("x")).optional("info", None);
        fill(&mut row);
        row.members_complete();
        source.groups(&page).unwrap();
        source.groups_end(Completeness::Complete);
        changes(planned(source, &empty_store()))
    };
    let created = "create group staff [description=x displayName=staff] (Entitled)";
    assert_eq!(made(&|_| ()), [created]);
    assert_eq!(made(&|row| drop_unit(row.unreadable("info"))), [created]);
    let unread = made(&|row| drop_unit(row.unreadable("description")));
    assert_eq!(unread, ["create group staff [displayName=staff] (Entitled)"]);
    let most = Limits::default();
    let (long, large) = ("x".repeat(most.id_bytes + 1), "x".repeat(most.value_bytes + 1));
    assert_eq!(made(&|row| drop_unit(row.attribute("info", &large))), [""; 0]);
    assert_eq!(made(&|row| drop_unit(row.attribute(&long, "x"))), [""; 0]);
    assert_eq!(made(&|row| drop_unit(row.unreadable(&long))), [""; 0]);
    // Whatever follows does not make it sound again.
    assert_eq!(
        made(&|row| drop_unit(row.attribute("info", &large).attribute("info", "x").unreadable("info"))),
        [""; 0]
    );
}

/// A row goes on; the closure ends here.
fn drop_unit(_: &mut identity_sync::GroupRow<'_>) {}
