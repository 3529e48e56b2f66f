//! Who made a record inactive, and who is made active again (rule A7).

use identity_sync::{DeactivatedBy, DeactivationMemory, Diagnostic, Guards, Reactivate, StoreCapabilities};
use pretty_assertions::assert_eq;

use crate::world::{NOTHING, World, capabilities};

fn remembering() -> StoreCapabilities {
    let mut store = capabilities();
    store.deactivation = DeactivationMemory::Remembered;
    store
}

fn one(store: StoreCapabilities) -> World {
    let mut w = World::with_store(store);
    w.options.guards = Guards::off();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w
}

/// What an administrator does.
fn lock(w: &World) {
    let mut state = w.store.state();
    let user = state.users.values_mut().next().unwrap();
    (user.active, user.deactivated_by) = (false, DeactivatedBy::Other);
}

#[test]
fn whom_we_made_inactive_we_make_active_again() {
    // rule A7
    let mut w = one(remembering());
    w.edit("ada").disabled();
    w.sync();
    w.edit("ada").state(identity_sync::AccountState::Enabled);
    assert_eq!(w.lines(), ["reactivate ada (Enabled)"]);
    // Made inactive by us, and locked on top of it.
    lock(&w);
    assert_eq!(w.lines(), ["note: user ada was made inactive by somebody else, and stays so"]);
}

#[test]
fn an_administrator_s_lock_stays_and_all_else_goes_on() {
    // rule A7
    let mut w = one(remembering());
    lock(&w);
    w.edit("ada").set("title", "x");
    w.group("more", "ada");
    w.assign("more");
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> x] (Changed)",
            "create group more [displayName=more] (Entitled)",
            "add more: ada (Entitled)",
            "note: user ada was made inactive by somebody else, and stays so",
        ]
    );
    // Disabled and enabled again in the directory: still the administrator's.
    w.edit("ada").disabled();
    w.sync();
    w.edit("ada").state(identity_sync::AccountState::Enabled);
    let locked = |d: &Diagnostic| matches!(d, Diagnostic::Locked { .. });
    assert!(w.plan().is_empty() && w.plan().diagnostics().iter().any(locked));
}

#[test]
fn the_host_may_ask_for_everybody_to_be_made_active() {
    // rule A7
    let mut w = one(remembering());
    lock(&w);
    w.options.reactivate = Reactivate::Always;
    assert_eq!(w.lines(), ["reactivate ada (Enabled)"]);
    w.sync();
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn where_the_store_cannot_remember_whoever_is_entitled_and_enabled_is_made_active() {
    // rule A7
    let w = one(capabilities());
    lock(&w);
    assert_eq!(w.lines(), ["reactivate ada (Enabled)"]);
}

#[test]
fn a_sign_in_does_not_lift_a_lock_either() {
    // rules A7, J1
    let w = one(remembering());
    lock(&w);
    let (run, host, anchor) = (identity_sync::Run::default(), identity_sync::Host::default(), "ada".into());
    let signed = identity_sync::sign_in(&w.source, &w.store, &anchor, &w.options, &run, &host);
    assert!(!pollster::block_on(signed).unwrap().allowed);
    assert!(!w.store.state().users.values().next().unwrap().active);
}

#[test]
fn a_lock_between_plan_and_apply_is_a_conflict() {
    // rules A7, P7
    let mut store = remembering();
    store.concurrency = identity_sync::Concurrency::ReadAgain;
    let mut w = one(store);
    w.edit("ada").disabled();
    w.sync();
    w.edit("ada").state(identity_sync::AccountState::Enabled);
    let plan = w.plan();
    lock(&w);
    let (options, host) = (identity_sync::ApplyOptions::default(), identity_sync::Host::default());
    let report = pollster::block_on(identity_sync::apply(&plan, &w.store, &options, &host)).unwrap();
    assert_eq!(report.applied(), 0);
    assert!(!w.store.state().users.values().next().unwrap().active);
}
