//! The plan as data (rules P1–P5, P7).

use identity_sync::{
    ApplyError, ApplyOptions, Assignments, Completeness, Concurrency, ExternalId, GroupPage, Host, Options,
    Plan, Principal, Run, SourceCapabilities, SourceSnapshot, StoreCapabilities, StoreSnapshot,
    StoredGroupPage, StoredUserPage, UserPage, apply,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::world::{CORP, NOTHING, World, capabilities, lines, partial};

/// A world whose plan has an operation of each kind, held ones, limits, blocked ones, findings.
fn eventful() -> World {
    let mut w = World::new();
    w.users("off back moved out gone1 gone2 one two");
    w.group("staff", "off back moved out");
    w.group("open", "off moved");
    w.group("loop", "loop");
    w.edit("back").disabled();
    w.assign("staff open loop one two gone1 gone2");
    w.sync();
    w.edit("off").disabled();
    w.edit("back").state(identity_sync::AccountState::Enabled);
    w.edit("moved").set("mail", "moved@x").add("mail", "also@x");
    w.edit("one").set("userPrincipalName", "two");
    w.edit("two").set("userPrincipalName", "one");
    w.edit_group("staff").members("off back moved new");
    w.edit_group("open").members("moved").partial();
    w.users("new");
    w.delete("gone1");
    w.delete("gone2");
    w.options.guards.user_deletes = Some(identity_sync::Limit::new(Some(1), 100, 0));
    w.assigned.principals.insert(Principal::Stored("missing".into()));
    w
}

#[test]
fn a_plan_survives_json_and_applies_as_it_was_shown() {
    // rules P1, P7
    let w = eventful();
    let plan = w.plan();
    assert!(plan.len() > 6 && plan.held().len() == 2 && plan.blocked().len() > 0 && plan.kept().len() > 0);
    let text = serde_json::to_string(&plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again, plan);
    assert_eq!(again.to_string(), plan.to_string());
    assert_eq!(lines(&again), lines(&plan));
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    let report = block_on(apply(&again, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
    assert!(report.is_success(), "{report}");
    assert!(w.plan().is_empty());
}

#[test]
fn a_plan_of_another_format_or_with_unknown_parts_is_refused() {
    // rule P7
    let text = serde_json::to_string(&eventful().plan()).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        serde_json::from_str::<Plan>(&text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let error = refused("\"format\":1", "\"format\":2");
    assert!(error.starts_with("plan has format 2, this version reads format 1"), "{error}");
    refused("\"issuer\":", "\"owner\":");
    refused("\"action\":\"deactivate\"", "\"action\":\"explode\"");
    refused("\"action\":\"delete\"", "\"approved\":true,\"action\":\"delete\"");
    refused("\"by\":[0]", "\"by\":[7]");
    refused("\"after\":[", "\"after\":[99,");
    refused("\"anchor\":\"off\"", "\"anchor\":\"\"");
    assert!(serde_json::from_str::<Plan>("{}").is_err());
}

#[test]
fn two_plans_are_equal_if_they_say_the_same() {
    // rule P1
    let mut w = eventful();
    let plan = w.plan();
    assert_eq!(w.plan(), plan);
    w.edit("moved").set("title", "x");
    assert_ne!(w.plan(), plan);
}

/// Numbers that look random and are the same everywhere.
struct Shuffle(u64);

impl Shuffle {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn mix<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.next(i + 1));
        }
    }
}

/// The same directory, store and assignments, each list in another order and on pages of another size.
fn shuffled(seed: u64) -> String {
    let mut shuffle = Shuffle(seed);
    let mut users: Vec<usize> = (0..30).collect();
    let mut groups: Vec<usize> = (0..12).collect();
    if seed > 0 {
        shuffle.mix(&mut users);
        shuffle.mix(&mut groups);
    }
    let size = 1 + shuffle.next(9);
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    let mut page = UserPage::default();
    for chunk in users.chunks(size) {
        page.clear();
        for &u in chunk.iter().filter(|&&u| u % 7 != 3) {
            let mut mails = [format!("u{u}@x"), format!("u{u}@y")];
            shuffle.mix(&mut mails);
            let mut row = page.user(&format!("u{u}"));
            row.active(u % 5 != 0)
                .attribute("userPrincipalName", &format!("login{}", u / 2 * 2 + (u + 1) % 2));
            mails.iter().for_each(|mail| {
                row.attribute("mail", mail);
            });
        }
        source.users(&page).unwrap();
    }
    source.users_end(Completeness::Complete);
    let mut page = GroupPage::default();
    for chunk in groups.chunks(size) {
        page.clear();
        for &g in chunk {
            let mut members: Vec<String> =
                (0..30).filter(|u| (u * 5 + g * 3) % 4 == 0).map(|u| format!("u{u}")).collect();
            members.push(format!("g{}", (g * 5 + 1) % 12));
            shuffle.mix(&mut members);
            let mut row = page.group(&format!("g{g}"));
            row.attribute("cn", &format!("group {}", g % 11));
            members.iter().for_each(|member| {
                row.member(member);
            });
            if g == 4 {
                row.members_partial()
            } else {
                row.members_complete()
            };
        }
        source.groups(&page).unwrap();
    }
    source.groups_end(Completeness::Complete);
    let mut store = StoreSnapshot::builder(StoreCapabilities::named("app"));
    let mut page = StoredUserPage::default();
    for &u in users.iter().filter(|&&u| u % 3 != 0) {
        let mut row = page.user(&format!("s{u}"));
        row.external_id(CORP, &format!("u{u}")).attribute("userName", &format!("login{u}"));
        row.attribute("title", "old").active(u % 4 != 0);
    }
    store.users(&page).unwrap();
    let mut page = StoredGroupPage::default();
    for &g in groups.iter().filter(|&&g| g % 2 == 0) {
        let mut row = page.group(&format!("t{g}"));
        row.external_id(CORP, &format!("g{g}")).attribute("displayName", &format!("group {g}"));
        let mut members: Vec<String> =
            (0..30).filter(|u| u % 3 != 0 && (u + g) % 2 == 0).map(|u| format!("s{u}")).collect();
        members.push("stranger".to_owned());
        shuffle.mix(&mut members);
        members.iter().for_each(|member| {
            row.member(member);
        });
    }
    store.groups(&page).unwrap();
    let mut principals: Vec<Principal> = ["g1", "g4", "u2", "u9", "nobody", "g1"]
        .into_iter()
        .map(|anchor| Principal::External(ExternalId::new(CORP, anchor)))
        .collect();
    principals.push(Principal::External(ExternalId::new("elsewhere", "x")));
    shuffle.mix(&mut principals);
    let found = identity_sync::plan(
        &source.finish(),
        &store.finish(Completeness::Complete),
        &Assignments::complete(principals),
        &Options::for_issuer(CORP),
        &Run::default(),
    );
    serde_json::to_string_pretty(&found.unwrap().plan).unwrap()
}

#[test]
fn the_same_inputs_in_any_order_give_the_same_bytes() {
    // rule P2
    let expected = shuffled(0);
    assert!(expected.len() > 10_000);
    for seed in 1..60 {
        assert_eq!(shuffled(seed), expected, "order {seed}");
    }
}

#[test]
fn the_size_of_pages_changes_nothing() {
    // rule P2
    let mut w = eventful();
    let expected = serde_json::to_string(&w.plan()).unwrap();
    for rows in [1, 2, 5, 100] {
        w.source.rows = rows;
        w.source.users.rotate_left(1);
        w.source.groups.reverse();
        assert_eq!(serde_json::to_string(&w.plan()).unwrap(), expected, "{rows} rows");
    }
}

#[test]
fn no_object_has_more_than_one_create_update_or_delete_and_no_list_is_replaced() {
    // rule P3
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada bob");
    w.assign("staff");
    w.sync();
    w.users("kim");
    w.edit("ada").set("title", "a").set("mail", "b").set("company", "c");
    w.edit_group("staff").set("cn", "people").set("description", "all").members("bob kim ada");
    let plan = w.plan();
    assert_eq!(
        lines(&plan),
        [
            "update user ada [emails:  -> b, title:  -> a, organization:  -> c] (Changed)",
            "update group staff [displayName: staff -> people, description:  -> all] (Changed)",
            "create user kim [userName=kim] (Entitled)",
            "add staff: kim (Entitled)",
        ]
    );
}

#[test]
fn when_everything_was_applied_nothing_is_left_though_findings_repeat() {
    // rule P4
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada staff");
    w.assign("staff nobody");
    let findings = w.plan().diagnostics().to_vec();
    assert_eq!(findings.len(), 2);
    assert!(w.run().is_success());
    let plan = w.plan();
    assert_eq!((plan.len(), plan.held().len()), (0, 0));
    assert_eq!(plan.diagnostics(), findings);
    w.edit_group("staff").partial();
    w.edit_group("staff").members("");
    w.run();
    assert_eq!(w.plan().len(), 0);
    w.assigned.read = partial();
    assert_eq!(w.plan().len(), 0);
}

#[test]
fn every_operation_carries_its_cause() {
    // rule P5
    let w = eventful();
    let mut causes: Vec<String> = w.plan().operations().map(|op| format!("{:?}", op.cause())).collect();
    causes.sort_unstable();
    causes.dedup();
    assert_eq!(causes, ["Changed", "DisabledInSource", "Enabled", "Entitled", "NoPath", "Swap"]);
    assert!(w.plan().held().all(|held| format!("{:?}", held.operation.cause()) == "DeletedInSource"));
}

#[test]
fn a_plan_for_another_store_or_issuer_is_refused_and_nothing_is_written() {
    // rule P7
    let w = eventful();
    let plan = w.plan();
    let other = World::with_store(StoreCapabilities::named("other"));
    let host = Host::default();
    let error = block_on(apply(&plan, &other.store, &ApplyOptions::default(), &host)).unwrap_err();
    assert_eq!(error, ApplyError::OtherStore);
    let before = w.dump();
    let mut options = ApplyOptions::default();
    options.issuer = Some("elsewhere".into());
    let error = block_on(apply(&plan, &w.store, &options, &host)).unwrap_err();
    assert_eq!(error, ApplyError::OtherIssuer { issuer: CORP.into() });
    assert_eq!(w.dump(), before);
    options.issuer = Some(CORP.into());
    assert!(block_on(apply(&plan, &w.store, &options, &host)).is_ok());
}

#[test]
fn a_record_that_changed_since_the_plan_is_a_conflict_and_the_rest_goes_on() {
    // rules P7, X1
    for concurrency in [Concurrency::Conditional, Concurrency::ReadAgain] {
        let mut store = capabilities();
        store.concurrency = concurrency;
        let mut w = World::with_store(store);
        w.users("ada bob");
        w.assign("ada bob");
        w.sync();
        w.edit("ada").set("title", "countess");
        w.edit("bob").set("title", "builder");
        let plan = w.plan();
        assert!(plan.operations().all(|operation| operation.subject().version().is_some()));
        let id = w.id("ada");
        {
            let mut state = w.store.state();
            let ada = state.users.get_mut(&id).unwrap();
            ada.attributes.insert("title".to_owned(), vec!["queen".to_owned()]);
            ada.version += 1;
        }
        let report = block_on(apply(&plan, &w.store, &ApplyOptions::default(), &Host::default())).unwrap();
        let kinds: Vec<_> = report
            .outcomes
            .iter()
            .map(|outcome| match outcome {
                identity_sync::Outcome::Failed(error) => format!("{:?}", error.kind()),
                other => other.to_string(),
            })
            .collect();
        assert_eq!(kinds, ["Conflict", "applied"], "{concurrency:?}");
        // Nothing was lost: the next plan starts from what is there.
        assert_eq!(w.dump()[0], "user ada [title=queen userName=ada]");
        assert_eq!(w.lines(), ["update user ada [title: queen -> countess] (Changed)"]);
    }
}

#[test]
fn a_version_that_an_earlier_write_answered_replaces_the_planned_one() {
    // rule P7
    for concurrency in [Concurrency::Conditional, Concurrency::ReadAgain] {
        let mut store = capabilities();
        store.concurrency = concurrency;
        store.members_per_write = 1;
        let mut w = World::with_store(store);
        w.users("a b c d");
        w.group("staff", "a b");
        w.assign("staff a b");
        w.sync();
        // Three kinds of operation and four writes on one group.
        w.edit_group("staff").members("c d").set("cn", "people");
        let report = w.run();
        assert!(report.is_success(), "{concurrency:?}: {report}");
        assert_eq!(w.lines(), NOTHING, "{concurrency:?}");
        assert_eq!(w.dump()[0], "group staff [displayName=people]: c d");
        assert_eq!(w.store.state().groups.len(), 1);
    }
}

#[test]
fn a_plan_file_without_its_state_or_out_of_order_is_refused() {
    // rules P1, D7, M7
    let mut w = World::new();
    w.users("a");
    w.group("g", "a");
    w.assign("g");
    let file = serde_json::to_value(w.plan()).unwrap();
    assert!(serde_json::from_value::<identity_sync::Plan>(file.clone()).is_ok());
    for part in ["run", "counted"] {
        let mut cut = file.clone();
        cut.as_object_mut().unwrap().remove(part);
        assert!(serde_json::from_value::<identity_sync::Plan>(cut).is_err(), "{part}");
    }
    let mut foreign = file.clone();
    foreign["run"]["issuer"] = "other".into();
    assert!(serde_json::from_value::<identity_sync::Plan>(foreign).is_err());
    // Members before the creates that they need.
    let mut turned = file.clone();
    turned["operations"].as_array_mut().unwrap().reverse();
    assert!(serde_json::from_value::<identity_sync::Plan>(turned).is_err());
    let mut doubled = file;
    let first = doubled["operations"][0].clone();
    doubled["operations"].as_array_mut().unwrap().insert(0, first);
    assert!(serde_json::from_value::<identity_sync::Plan>(doubled).is_err());
}

#[test]
fn a_plan_file_that_says_what_no_plan_says_is_refused() {
    // rules P1, P7
    let mut w = World::new();
    w.users("a b");
    w.group("g", "a");
    w.assign("g a");
    w.options.guards = identity_sync::Guards::off();
    w.sync();
    w.users("c d");
    w.group("h", "c d");
    w.assign("h");
    w.edit("a").set("title", "x");
    w.edit_group("g").members("");
    w.options.guards.removals_in_all = Some(identity_sync::Limit::new(Some(0), 0, 0));
    let plan = w.plan();
    let file = serde_json::to_value(&plan).unwrap();
    let read = |file: &serde_json::Value| serde_json::from_value::<Plan>(file.clone());
    assert_eq!(read(&file).unwrap(), plan);
    let operations = file["operations"].as_array().unwrap().len();
    let at = |action: &str| {
        let found = (0..operations).find(|&n| file["operations"][n]["action"] == action);
        found.unwrap_or_else(|| panic!("no {action} in {file:#}"))
    };
    let (create, update, add) = (at("create"), at("update"), at("add_members"));
    // Each by its own message: that the digest differs would be said of all of them.
    let refuse = |message: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = file.clone();
        change(&mut changed);
        let error = read(&changed).unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
    };
    refuse("names a limit that did not trip", &|file| file["held"][0]["by"] = serde_json::json!([1]));
    for before in [add, add + 1] {
        refuse("comes before one that it waits for", &|file| {
            file["operations"][add]["after"] = serde_json::json!([before]);
        });
    }
    refuse("is about nobody", &|file| {
        file["operations"][update]["subject"].as_object_mut().unwrap().remove("id");
    });
    refuse("is about nobody", &|file| file["operations"][create]["subject"]["anchor"] = "".into());
    refuse("has no members", &|file| file["operations"][add]["members"] = serde_json::json!([]));
    refuse("has no members", &|file| {
        let subject = file["operations"][create]["subject"].clone();
        file["operations"][add]["subject"] = subject;
    });
    refuse("is about somebody without a record", &|file| {
        let operation = file["operations"][create].clone();
        assert_eq!(operation["subject"]["kind"], "user");
        file["operations"].as_array_mut().unwrap().remove(create);
        for number in 0..operations - 1 {
            file["operations"][number]["after"] = serde_json::json!([]);
        }
    });
    // A group of which there is no record, and none is made.
    refuse("is about somebody without a record", &|file| {
        file["operations"][add]["subject"]["anchor"] = "nobody".into();
        file["operations"][add]["members"] = serde_json::json!([file["operations"][update]["subject"]]);
    });
    for action in ["deactivate", "reactivate"] {
        refuse("does not say what its action needs", &|file| {
            let mut subject = file["operations"][add]["subject"].clone();
            subject["id"] = "group-9".into();
            file["operations"][update] = serde_json::json!({
                "action": action, "cause": "left_scope", "subject": subject,
            });
        });
    }
    for member in ["add_members", "remove_members"] {
        refuse("comes before the one that makes whom it is about", &|file| {
            let whom = file["operations"][create]["subject"].clone();
            let mut early = file["operations"][update].clone();
            early.as_object_mut().unwrap().remove("changes");
            early["action"] = member.into();
            early["subject"]["kind"] = "group".into();
            early["members"] = serde_json::json!([whom]);
            file["operations"].as_array_mut().unwrap().insert(0, early);
            unwaiting(file);
        });
    }
    refuse("comes before the one that makes whom it is about", &|file| {
        file["operations"].as_array_mut().unwrap().reverse();
        unwaiting(file);
    });
    refuse("is about nobody", &|file| {
        let subject = file["operations"][add]["subject"].clone();
        file["operations"][add] =
            serde_json::json!({ "action": "adopt", "cause": "matched", "subject": subject });
    });
    // An adoption makes somebody as a create does.
    for action in ["create", "adopt"] {
        refuse("makes somebody for the second time", &|file| {
            let mut again = file["operations"][create].clone();
            if action == "adopt" {
                let mut subject = file["operations"][create]["subject"].clone();
                subject["id"] = "user-9".into();
                again = serde_json::json!({ "action": action, "cause": "matched", "subject": subject });
                file["operations"].as_array_mut().unwrap().insert(create, again.clone());
            }
            file["operations"].as_array_mut().unwrap().insert(create, again);
            unwaiting(file);
        });
    }
    for (part, value) in [("issuer", "other"), ("store", "elsewhere")] {
        refuse("the state in the plan belongs to another issuer or store", &|file| {
            file["run"][part] = value.into();
            file["run"].as_object_mut().unwrap().remove("digest");
        });
    }
}

/// A plan file whose operations wait for nothing.
fn unwaiting(file: &mut serde_json::Value) {
    for operation in file["operations"].as_array_mut().unwrap() {
        operation["after"] = serde_json::json!([]);
    }
}
