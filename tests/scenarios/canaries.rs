//! What must be visible, and who the source is (rule C6).

use identity_sync::{Generation, PlanError, ReconcileError};
use pretty_assertions::assert_eq;

use crate::timeline::Timeline;
use crate::world::World;

fn watched() -> Timeline {
    let mut w = World::new();
    w.users("ada bob canary");
    w.group("staff", "ada bob");
    w.group("bird", "");
    w.group("third", "");
    w.assign("staff");
    w.options.canaries.users.insert("canary".into());
    w.options.canaries.groups.insert("bird".into());
    Timeline::start(w)
}

#[test]
fn a_read_without_its_canary_takes_nothing_away() {
    // rule C6
    let mut t = watched();
    t.hide("bob");
    t.edit_group("staff").members("ada");
    assert_eq!(t.lines()[0], "remove staff: bob (NoPath)");
    t.hide("canary");
    t.source.users_read = identity_sync::Completeness::Complete;
    let lines = t.lines();
    assert!(
        lines.contains(
            &"note: user canary must be visible and was not read: the read of users is taken for partial"
                .to_owned()
        )
    );
    // What the list itself proves still happens; what the read of users would prove does not.
    assert!(lines.iter().any(|line| line.starts_with("blocked user bob")), "{lines:?}");
    t.hide("bird");
    t.hide("staff");
    assert!(!t.lines().iter().any(|line| line.starts_with("delete") || line.starts_with("remove")));
}

#[test]
fn new_entitlements_go_on_without_the_canary() {
    // rules C6, C2
    let mut t = watched();
    t.hide("canary");
    t.user("new");
    t.assign("new");
    assert_eq!(t.lines()[0], "create user new [userName=new] (Entitled)");
}

#[test]
fn a_canary_that_was_deleted_for_good_is_missing_all_the_same() {
    // rule C6
    let mut t = watched();
    t.delete("canary");
    assert!(t.lines().iter().any(|line| line.contains("must be visible")));
    t.options.canaries.users.clear();
    assert!(!t.lines().iter().any(|line| line.contains("must be visible")));
}

#[test]
fn where_the_source_is_read_by_anchor_canaries_are_read_too() {
    // rule C6
    let mut t = watched();
    t.source.capabilities = t.source.capabilities.clone().with_select(std::num::NonZeroUsize::MIN);
    assert_eq!(t.lines(), crate::world::NOTHING);
    t.hide("canary");
    assert!(t.lines()[0].contains("canary must be visible"), "{:?}", t.lines());
}

#[test]
fn another_source_than_the_one_linked_before_is_an_error() {
    // rule C6
    let mut t = watched();
    t.source.identity = "other.example.com".into();
    match t.found() {
        Err(ReconcileError::Plan(PlanError::OtherSource { known, found })) => {
            assert_eq!((known.as_str(), found.as_str()), ("corp", "other.example.com"));
        }
        other => panic!("{other:?}"),
    }
    t.state.accept_source();
    assert!(t.found().is_ok());
    t.run();
    assert!(t.found().is_ok());
}

#[test]
fn an_older_replica_gives_no_plan() {
    // rule C6: it would take away what is new, and give back what was taken away since
    let mut t = watched();
    t.source.generation = Some(Generation::new("dc1", 100));
    t.run();
    t.source.generation = Some(Generation::new("dc1", 99));
    t.edit("ada").disabled();
    match t.found() {
        Err(ReconcileError::Plan(PlanError::OlderSource { replica, known: 100, found: 99 })) => {
            assert_eq!(replica, "dc1");
        }
        other => panic!("{other:?}"),
    }
    // Other replicas count for themselves, and the same generation again is none the older.
    t.source.generation = Some(Generation::new("dc2", 5));
    assert!(t.found().is_ok());
    t.source.generation = Some(Generation::new("dc1", 100));
    assert!(t.found().is_ok());
    // A backup that was restored on purpose.
    t.source.generation = Some(Generation::new("dc1", 99));
    t.state.accept_source();
    assert_eq!(t.run()[0], "deactivate ada (DisabledInSource)");
}

#[test]
fn an_empty_read_is_refused_with_a_canary_as_without() {
    // rules C4, C6
    let mut t = watched();
    t.source.users.clear();
    t.edit_group("staff").members("");
    assert!(matches!(t.found(), Err(ReconcileError::Plan(PlanError::EmptySource { .. }))));
}

#[test]
fn a_group_that_only_the_store_still_knows_was_not_read() {
    // rule C6
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada bird");
    w.group("bird", "");
    w.assign("staff");
    w.options.canaries.groups.insert("bird".into());
    w.sync();
    w.hide("bird");
    let finding =
        "note: group bird must be visible and was not read: the read of groups is taken for partial";
    assert!(w.lines().contains(&finding.to_owned()), "{:?}", w.lines());
}
