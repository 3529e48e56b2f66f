//! Grace periods by cause (rules D1, D2, D3).

use identity_sync::{Deprovision, Guards, Kind, MembershipsOnDelete, Period, Preset, Timestamp};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{World, capabilities};

/// Three users, all in `staff`, which is assigned; a month of grace for everything.
fn staff() -> World {
    let mut w = World::new();
    w.users("ada bob eve");
    w.group("staff", "ada bob eve");
    w.assign("staff");
    w.options.guards = Guards::off();
    w.options.users.grace.deleted_in_source = Period::of_days(30);
    w.options.users.grace.left_scope = Period::of_days(30);
    w.options.groups.grace.deleted_in_source = Period::of_days(30);
    w.options.groups.grace.left_scope = Period::of_days(30);
    w
}

#[test]
fn a_deleted_user_loses_memberships_at_once_and_the_record_after_the_period() {
    // rule D1
    let mut t = Timeline::start(staff());
    t.delete("eve");
    let pending = "pending Delete user eve (DeletedInSource, day 1 to 31)";
    assert_eq!(t.days(1).run(), ["remove staff: eve (NoPath)", pending, "kept user eve"]);
    assert_eq!(t.days(29).run(), [pending, "kept user eve"]);
    assert_eq!(t.days(1).run(), ["delete user eve (DeletedInSource)"]);
    assert_eq!(t.days(1).run(), [""; 0]);
}

#[test]
fn the_period_is_over_at_the_second_and_not_before() {
    // rule D1
    let mut t = Timeline::start(staff());
    t.delete("eve");
    t.run();
    t.now += 30 * 86_400 - 1;
    assert!(t.plan().is_empty());
    t.now += 1;
    assert_eq!(t.lines(), ["delete user eve (DeletedInSource)"]);
}

#[test]
fn whoever_comes_back_within_the_period_keeps_the_record_and_starts_anew_when_leaving_again() {
    // rule D1
    let mut w = staff();
    w.options.users.left_scope = Deprovision::Delete;
    let mut t = Timeline::start(w);
    let id = t.id("eve");
    t.edit_group("staff").members("ada bob");
    t.days(1).run();
    t.days(20);
    t.edit_group("staff").members("ada bob eve");
    assert_eq!(t.run(), ["add staff: eve (Entitled)"]);
    assert_eq!(t.id("eve"), id);
    t.edit_group("staff").members("ada bob");
    t.days(20);
    // Day 41: forty days after she left for the first time.
    let lines = t.run();
    assert_eq!(lines[1], "pending Delete user eve (LeftScope, day 41 to 71)");
    t.days(29);
    assert!(t.plan().is_empty());
    t.days(1);
    assert_eq!(t.lines(), ["delete user eve (LeftScope)"]);
}

#[test]
fn each_cause_has_a_period_of_its_own_and_the_strictest_that_is_due_wins() {
    // rule D1
    let mut w = staff();
    w.options.users.left_scope = Deprovision::Delete;
    w.options.users.grace.disabled_in_source = Period::of_days(10);
    let mut t = Timeline::start(w);
    t.edit_group("staff").members("ada bob");
    t.edit("eve").disabled();
    t.run();
    assert_eq!(
        t.days(9).lines(),
        [
            "pending Delete user eve (LeftScope, day 0 to 30)",
            "pending Deactivate user eve (DisabledInSource, day 0 to 10)",
            "kept user eve",
        ]
    );
    assert_eq!(t.days(1).run()[0], "deactivate eve (DisabledInSource)");
    assert_eq!(t.days(20).run(), ["delete user eve (LeftScope)"]);
}

#[test]
fn a_disabled_user_within_the_period_is_neither_made_inactive_nor_active_nor_cut_off() {
    // rules D1, A5, A7
    let mut w = staff();
    w.options.users.grace.disabled_in_source = Period::of_days(10);
    let mut t = Timeline::start(w);
    t.edit("eve").disabled().set("title", "on leave");
    assert_eq!(t.run()[0], "update user eve [title:  -> on leave] (Changed)");
    t.store.state().users.get_mut("user-3").unwrap().active = false;
    assert_eq!(t.days(1).run(), ["pending Deactivate user eve (DisabledInSource, day 0 to 10)"]);
    t.store.state().users.get_mut("user-3").unwrap().active = true;
    assert_eq!(t.days(9).run(), ["deactivate eve (DisabledInSource)"]);
}

#[test]
fn a_partial_read_neither_ends_nor_begins_a_period() {
    // rules D1, C2
    let mut w = staff();
    w.options.users.left_scope = Deprovision::Deactivate;
    let mut t = Timeline::start(w);
    t.edit_group("staff").members("ada bob");
    t.run();
    t.days(29);
    t.edit_group("staff").partial();
    t.look();
    assert!(t.days(1).plan().is_empty(), "nothing is proven today");
    t.edit_group("staff").whole();
    assert_eq!(t.run()[0], "deactivate eve (LeftScope)");
}

#[test]
fn a_user_who_will_be_deleted_leaves_every_group_at_once_also_a_kept_one_and_one_read_in_part() {
    // rules D1, D2, C2
    for cascade in [MembershipsOnDelete::Cascade, MembershipsOnDelete::RemoveFirst] {
        let mut store = capabilities();
        store.memberships_on_delete = cascade;
        let mut w = World { store: World::with_store(store).store, ..staff() };
        w.group("partial", "ada eve");
        w.group("kept", "ada eve");
        w.group("gone", "ada eve");
        w.assign("partial kept gone ada");
        let mut t = Timeline::start(w);
        t.unassign("kept");
        t.delete("gone");
        t.edit_group("partial").partial();
        t.delete("eve");
        let lines = t.run();
        let removed: Vec<&String> = lines.iter().filter(|line| line.starts_with("remove")).collect();
        assert_eq!(
            removed,
            [
                "remove gone: eve (MemberLeaving)",
                "remove kept: eve (NoPath)",
                "remove partial: eve (MemberLeaving)",
                "remove staff: eve (NoPath)",
            ]
        );
        assert!(t.plan().is_empty());
        let lines = t.days(30).run();
        let deleted: Vec<&String> = lines.iter().filter(|line| line.starts_with("delete")).collect();
        assert_eq!(deleted, ["delete user eve (DeletedInSource)", "delete group gone (DeletedInSource)"]);
    }
}

#[test]
fn a_group_within_its_period_counts_as_kept() {
    // rules D1, D3
    let mut w = staff();
    w.options.groups.left_scope = Deprovision::Deactivate;
    w.group("club", "ada bob");
    w.assign("club");
    let mut t = Timeline::start(w);
    t.unassign("club");
    t.edit_group("club").members("ada eve");
    assert_eq!(
        t.run(),
        [
            "remove club: bob (NoPath)",
            "pending Deactivate group club (LeftScope, day 0 to 30)",
            "kept group club",
        ]
    );
    assert_eq!(t.days(30).run()[0], "remove club: ada (GroupRetired)");
}

#[test]
fn a_gone_group_keeps_its_members_until_its_period_is_over() {
    // rules D1, D3
    let mut w = staff();
    w.group("club", "ada bob");
    w.assign("club");
    let mut t = Timeline::start(w);
    t.delete("club");
    let pending = "pending Delete group club (DeletedInSource, day 0 to 30)";
    assert_eq!(t.run()[..2], [pending, "kept group club"]);
    assert_eq!(t.days(30).run()[0], "delete group club (DeletedInSource)");
}

#[test]
fn the_later_shape_of_the_seed_makes_whoever_left_scope_inactive_after_28_days_and_updates_nothing() {
    // rule D1
    let mut w = World::new();
    w.options = Preset::AwsConfigurableSync.options();
    w.options.issuer = Some(crate::world::CORP.into());
    w.users("ada bob");
    w.assign("ada bob");
    let mut t = Timeline::start(w);
    t.unassign("bob");
    t.edit("bob").set("title", "elsewhere");
    assert_eq!(t.run(), ["pending Deactivate user bob (LeftScope, day 0 to 28)", "kept user bob"]);
    assert!(t.days(27).plan().is_empty());
    assert_eq!(t.days(1).run(), ["deactivate bob (LeftScope)", "kept user bob"]);
    // He comes back: the same record, active again.
    t.assign("bob");
    assert_eq!(t.run(), ["update user bob [title:  -> elsewhere] (Changed)", "reactivate bob (Enabled)"]);
}

#[test]
fn a_policy_that_is_tightened_later_counts_from_when_the_cause_was_first_seen() {
    // rule D1
    let mut t = Timeline::start(staff());
    t.edit_group("staff").members("ada bob");
    t.run();
    t.days(40).run();
    t.options.users.left_scope = Deprovision::Deactivate;
    assert_eq!(t.lines()[0], "deactivate eve (LeftScope)");
}

#[test]
fn a_just_in_time_user_who_is_gone_waits_like_any_other() {
    // rules D1, J2
    let mut t = Timeline::start(staff());
    t.user("kim");
    t.record(Kind::User, "k", "kim", &[("userName", "kim")]);
    t.store.state().users.get_mut("k").unwrap().origin = Some(identity_sync::Origin::Jit);
    assert!(t.plan().is_empty());
    t.delete("kim");
    assert_eq!(t.run(), ["pending Delete user kim (DeletedInSource, day 0 to 30)", "kept user kim"]);
    assert_eq!(t.days(30).run(), ["delete user kim (DeletedInSource)"]);
}

#[test]
fn an_unknown_account_state_gives_no_membership_back_within_the_period() {
    // rules D1, A5
    let mut w = staff();
    w.options.users.disabled_in_source = Deprovision::Delete;
    w.options.users.grace.disabled_in_source = Period::of_days(30);
    let mut t = Timeline::start(w);
    t.edit("eve").disabled();
    assert_eq!(t.run()[0], "remove staff: eve (MemberLeaving)");
    t.edit("eve").state(identity_sync::AccountState::Unknown);
    assert!(t.days(1).plan().is_empty());
    t.edit("eve").state(identity_sync::AccountState::Enabled);
    assert_eq!(t.run(), ["add staff: eve (Entitled)"]);
}

#[test]
fn time_that_is_taken_back_reaches_into_no_pause() {
    // rules D1, D7, I3
    let mut w = World::new();
    w.options.guards = identity_sync::Guards::off();
    w.options.users.grace.deleted_in_source = Period::of_days(15);
    w.users("ada bob");
    w.assign("ada bob");
    let mut t = Timeline::start(w);
    t.delete("ada");
    t.look();
    t.days(10).look();
    t.state.pause(Timestamp(t.now));
    t.days(10);
    t.state.resume(Timestamp(t.now));
    // Ten days more, told by a clock that was five days ahead: five of them have passed.
    t.days(10).look();
    t.days(-5);
    t.state.accept_time(Timestamp(t.now));
    assert_eq!(t.lines()[0], "delete user ada (DeletedInSource)");
    t.days(-1);
    t.state.accept_time(Timestamp(t.now));
    assert_eq!(t.lines()[0], "pending Delete user ada (DeletedInSource, day 0 to 25)");
    // Back into the pause: what was counted before it stays counted.
    t.days(-9);
    t.state.accept_time(Timestamp(t.now));
    assert_eq!(t.lines()[0], "pending Delete user ada (DeletedInSource, day 0 to 20)");
}

#[test]
fn whoever_comes_back_begins_his_period_anew_when_he_goes_again() {
    // rule D1
    let mut t = Timeline::start(staff());
    t.delete("eve");
    t.days(1).run();
    // Back, and gone again.
    t.world.source.answers.remove("eve");
    t.users("eve");
    t.edit_group("staff").members("ada bob eve");
    t.days(10).run();
    t.delete("eve");
    let pending = "pending Delete user eve (DeletedInSource, day 12 to 42)";
    assert_eq!(t.days(1).run()[1], pending);
    assert_eq!(t.days(29).run()[0], pending);
    assert_eq!(t.days(1).run()[0], "delete user eve (DeletedInSource)");
}

#[test]
fn what_is_pending_comes_in_the_order_of_the_anchors_not_of_the_store() {
    // rules D1, P2
    let mut w = staff();
    w.options.users.left_scope = Deprovision::Deactivate;
    for (id, anchor) in [("1", "zoe"), ("2", "kim"), ("3", "amy")] {
        w.users(anchor);
        w.record(Kind::User, id, anchor, &[("userName", anchor)]);
    }
    let lines = w.lines();
    let pending: Vec<&String> = lines.iter().filter(|line| line.starts_with("pending")).collect();
    assert_eq!(pending.len(), 3, "{lines:?}");
    for (line, anchor) in pending.iter().zip(["amy", "kim", "zoe"]) {
        assert!(line.contains(anchor), "{lines:?}");
    }
}

#[test]
fn whoever_is_about_to_be_deleted_leaves_at_once_in_a_pass_of_proven_removals_too() {
    // rules D1, S1
    let mut t = Timeline::start(staff());
    t.delete("eve");
    t.options.extent = identity_sync::Extent::ProvenRemovals;
    assert_eq!(t.lines()[0], "remove staff: eve (MemberLeaving)");
}
