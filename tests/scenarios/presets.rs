//! Policies by name (rules D1, A5).

use identity_sync::{Extent, Guards, Options, Preset};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::{CORP, World};

/// One leaver of every kind: who left scope, who was deleted, who is disabled, whose group left scope, whose group is gone.
fn month(preset: Preset) -> Vec<String> {
    let mut w = World::new();
    w.options = preset.options();
    w.options.issuer = Some(CORP.into());
    w.options.guards = Guards::off();
    w.users("stays left deleted disabled");
    w.group("staff", "stays deleted disabled");
    w.group("club", "stays");
    w.group("gone", "stays");
    w.assign("staff club gone left");
    let mut t = Timeline::start(w);
    t.unassign("left");
    t.unassign("club");
    t.delete("deleted");
    t.delete("gone");
    t.edit("disabled").disabled();
    let mut all = t.run();
    all.retain(|line| !line.starts_with("kept") && !line.starts_with("note") && !line.starts_with("blocked"));
    all.extend(
        t.days(28)
            .run()
            .into_iter()
            .filter(|line| {
                !line.starts_with("kept") && !line.starts_with("note") && !line.starts_with("blocked")
            })
            .map(|line| format!("later: {line}")),
    );
    assert!(t.plan().is_empty());
    all
}

#[test]
fn the_default_is_the_seed() {
    // rule D1
    assert_eq!(Preset::default().options(), Options::default());
    assert_eq!(
        month(Preset::AwsAdSync),
        [
            "deactivate disabled (DisabledInSource)",
            "delete user deleted (DeletedInSource)",
            "delete group gone (DeletedInSource)",
        ]
    );
}

#[test]
fn configurable_sync_waits_for_28_days() {
    // rule D1
    assert_eq!(
        month(Preset::AwsConfigurableSync),
        [
            "deactivate disabled (DisabledInSource)",
            "delete user deleted (DeletedInSource)",
            "delete group gone (DeletedInSource)",
            "pending Deactivate user left (LeftScope, day 0 to 28)",
            "later: deactivate left (LeftScope)",
        ]
    );
}

#[test]
fn strict_offboarding_makes_leavers_inactive_at_once() {
    // rule D1
    assert_eq!(
        month(Preset::StrictOffboarding),
        [
            "deactivate disabled (DisabledInSource)",
            "deactivate left (LeftScope)",
            "remove club: stays (GroupRetired)",
            "delete user deleted (DeletedInSource)",
            "delete group gone (DeletedInSource)",
        ]
    );
}

#[test]
fn a_mirror_holds_nobody_else_of_ours() {
    // rule D1
    assert_eq!(
        month(Preset::Mirror),
        [
            "deactivate disabled (DisabledInSource)",
            "delete user deleted (DeletedInSource)",
            "delete user left (LeftScope)",
            "delete group club (LeftScope)",
            "delete group gone (DeletedInSource)",
        ]
    );
}

#[test]
fn additive_takes_nothing_away_but_the_use_of_a_disabled_account() {
    // rules A5, C7
    assert_eq!(month(Preset::Additive), ["deactivate disabled (DisabledInSource)"]);
    let mut w = World::new();
    w.options = Preset::Additive.options();
    w.options.issuer = Some(CORP.into());
    w.users("a b");
    w.group("g", "a b");
    w.assign("g");
    w.sync();
    w.edit_group("g").members("a");
    assert_eq!(w.lines()[1], "blocked group g: RemovalsOff");
    assert!(w.plan().is_empty());
}

#[test]
fn presets_are_written_and_read_by_name() {
    // rule D1
    let names: Vec<String> =
        Preset::ALL.iter().map(|preset| serde_json::to_string(preset).unwrap()).collect();
    assert_eq!(
        names,
        [
            "\"aws_ad_sync\"",
            "\"aws_configurable_sync\"",
            "\"strict_offboarding\"",
            "\"mirror\"",
            "\"additive\""
        ]
    );
    for preset in Preset::ALL {
        let options = preset.options();
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
        assert_eq!(options.extent, Extent::Full);
    }
}

#[test]
fn only_the_mirror_deletes_whoever_left_and_only_the_additive_one_keeps_what_is_gone() {
    // rule D1
    use identity_sync::{Deprovision, Preset};
    for preset in Preset::ALL {
        let options = preset.options();
        let gone = match preset {
            Preset::Additive => Deprovision::Keep,
            _ => Deprovision::Delete,
        };
        assert_eq!(
            (options.users.deleted_in_source, options.groups.deleted_in_source),
            (gone, gone),
            "{preset:?}"
        );
        let deletes = [options.users.left_scope, options.groups.left_scope].contains(&Deprovision::Delete);
        assert_eq!(deletes, preset == Preset::Mirror, "{preset:?}");
    }
}
