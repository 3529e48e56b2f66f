//! Values that do not stay as they are written (rule A4).

use identity_sync::Guards;
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::World;

fn one() -> Timeline {
    let mut w = World::new();
    w.options.guards = Guards::off();
    w.user("ada").set("title", "Chief");
    w.assign("ada");
    Timeline::start(w)
}

/// The store turns the title into lower case, behind our back.
fn normalise(t: &Timeline) {
    for user in t.store.state().users.values_mut() {
        for value in user.attributes.get_mut("title").into_iter().flatten() {
            *value = value.to_lowercase();
        }
    }
}

const NOTE: &str = "note: title of user ada does not stay as it is written: left alone until it changes";

#[test]
fn a_value_that_comes_back_different_twice_is_left_alone_until_the_source_changes() {
    // rule A4
    let mut t = one();
    normalise(&t);
    assert_eq!(t.run(), ["update user ada [title: chief -> Chief] (Changed)"]);
    normalise(&t);
    t.reload();
    for _ in 0..3 {
        assert_eq!(t.days(1).run(), [NOTE]);
    }
    t.edit("ada").set("title", "Head");
    assert_eq!(t.run(), ["update user ada [title: chief -> Head] (Changed)"]);
    normalise(&t);
    assert_eq!(t.run(), ["update user ada [title: head -> Head] (Changed)"]);
    normalise(&t);
    assert_eq!(t.run(), [NOTE]);
}

#[test]
fn a_value_that_somebody_changes_now_and_then_is_put_right_each_time() {
    // rule A4
    let mut t = one();
    t.run();
    for _ in 0..5 {
        normalise(&t);
        assert_eq!(t.days(1).run(), ["update user ada [title: chief -> Chief] (Changed)"]);
        // It stayed: a run saw it.
        assert!(t.days(1).run().is_empty());
    }
}

#[test]
fn what_flaps_holds_up_nothing_else() {
    // rule A4
    let mut t = one();
    for _ in 0..3 {
        normalise(&t);
        t.run();
    }
    t.edit("ada").set("mail", "ada@x").disabled();
    assert_eq!(
        t.run(),
        ["deactivate ada (DisabledInSource)", "update user ada [emails:  -> ada@x] (Changed)", NOTE,]
    );
}

#[test]
fn a_flapping_name_is_held_and_whoever_waits_for_it_waits() {
    // rules A4, M6
    let mut t = one();
    t.edit("ada").set("userPrincipalName", "Ada.L");
    t.run();
    for _ in 0..3 {
        let id = t.id("ada");
        t.store.state().users.get_mut(&id).unwrap().attributes.insert("userName".into(), vec!["old".into()]);
        t.run();
    }
    assert!(t.lines()[0].contains("does not stay"));
    t.user("bob").set("userPrincipalName", "old");
    t.assign("bob");
    assert!(!t.lines().iter().any(|line| line.starts_with("create")), "{:?}", t.lines());
}

#[test]
fn failed_writes_do_not_count() {
    // rule A4
    let mut t = one();
    normalise(&t);
    for _ in 0..5 {
        let plan = t.plan();
        assert_eq!(plan.len(), 1);
        let id = t.id("ada");
        t.store.state().users.get_mut(&id).unwrap().version += 1;
        let report = t.apply(&plan).unwrap();
        assert_eq!(report.applied(), 0);
        t.state = report.run;
    }
}

#[test]
fn a_value_that_the_source_changed_before_it_was_looked_at_has_not_come_back_yet() {
    // rule A4
    let mut t = one();
    normalise(&t);
    t.edit("ada").set("title", "Head");
    assert_eq!(t.run(), ["update user ada [title: chief -> Head] (Changed)"]);
    normalise(&t);
    assert_eq!(t.run(), ["update user ada [title: head -> Head] (Changed)"]);
    normalise(&t);
    assert_eq!(t.run(), [NOTE]);
}

#[test]
fn what_was_noticed_of_a_value_is_kept_while_the_source_cannot_read_it() {
    // rules A4, A2
    let mut t = one();
    normalise(&t);
    assert_eq!(t.run(), ["update user ada [title: chief -> Chief] (Changed)"]);
    normalise(&t);
    t.edit("ada").unreadable("title");
    assert!(t.run().is_empty());
    t.edit("ada").readable();
    assert_eq!(t.run(), [NOTE]);
}

#[test]
fn a_title_that_changes_every_day_is_not_one_that_does_not_stay() {
    // rules A4, X1
    let mut t = one();
    for day in 0..6 {
        t.edit("ada").set("title", &format!("chief of day {day}"));
        assert_eq!(t.days(1).run().len(), 1);
    }
}
