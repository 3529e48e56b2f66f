//! Users who come by sign-in (rules J1–J4).

use std::sync::Mutex;

use identity_sync::{
    AccountState, Asked, DirectorySource, Existence, ExternalId, GroupPage, Host, IdentityStore, Issuer,
    Kind, Origin, PageEnd, PageToken, Read, Run, Select, SignIn, SourceCapabilities, SourceError,
    StoreCapabilities, StoreError, StoreSelect, StoredGroupPage, StoredUserPage, UserPage, WriteBatch,
    sign_in,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::faulty::{Interloper, When};
use crate::world::{CORP, NOTHING, World, anchor, lines, record};

fn signs_in(w: &World, who: &str) -> SignIn {
    signs_in_on(w, &w.store, who)
}

fn signs_in_on<S: identity_sync::IdentityStore>(w: &World, store: &S, who: &str) -> SignIn {
    let (run, host) = (Run::default(), Host::default());
    block_on(sign_in(&w.source, store, &anchor(who), &w.options, &run, &host)).unwrap()
}

fn ada() -> World {
    let mut w = World::new();
    w.users("ada kim");
    w.group("staff", "ada");
    w.assign("kim");
    w.sync();
    w
}

#[test]
fn a_first_sign_in_creates_the_user_and_no_membership() {
    // rule J1
    let mut w = ada();
    w.edit("ada").set("title", "countess");
    w.assign("staff");
    w.sync();
    let id = w.id("ada");
    w.store.state().users.remove(&id);
    w.store.state().groups.values_mut().for_each(|group| group.members.clear());
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["create user ada jit [title=countess userName=ada] (SignIn)"]);
    assert!(done.allowed && done.report.is_success());
    assert_eq!(done.record.unwrap().as_str(), w.id("ada"));
    assert_eq!(
        w.dump(),
        [
            "group staff [displayName=staff]: ",
            "user ada jit [title=countess userName=ada]",
            "user kim [userName=kim]"
        ]
    );
}

#[test]
fn where_everybody_is_active_a_sign_in_of_somebody_who_is_gone_does_nothing() {
    // rules J1, X5
    let mut store = crate::world::capabilities();
    store.activation = identity_sync::Activation::AlwaysActive;
    let mut w = World::with_store(store);
    w.options.users.disabled_in_source = identity_sync::Deprovision::Delete;
    w.options.users.deleted_in_source = identity_sync::Deprovision::Delete;
    w.users("ada kim");
    w.assign("ada kim");
    w.sync();
    w.delete("ada");
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), NOTHING);
    assert!(!done.allowed);
}

#[test]
fn the_plan_of_a_sign_in_survives_its_json() {
    // rules J1, P1
    let mut w = World::new();
    w.users("ada");
    let plan = signs_in(&w, "ada").plan;
    let text = serde_json::to_string(&plan).unwrap();
    let read: identity_sync::Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, plan);
    assert_eq!(lines(&read), ["create user ada jit [userName=ada] (SignIn)"]);
}

#[test]
fn a_disabled_user_who_came_by_sign_in_is_a_finding_only_while_he_is_active() {
    // rules J2, A5
    let mut w = ada();
    signs_in(&w, "ada");
    w.edit("ada").disabled();
    let notes = |w: &World| w.lines().iter().filter(|line| line.starts_with("note")).count();
    assert_eq!(notes(&w), 1, "{:?}", w.lines());
    let id = w.id("ada");
    w.store.state().users.get_mut(&id).unwrap().active = false;
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn a_sign_in_of_a_known_user_updates_what_is_mapped_and_nothing_else() {
    // rule J1
    let mut w = ada();
    w.assign("staff");
    w.sync();
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), NOTHING);
    assert!(done.allowed);
    w.edit("ada").set("title", "countess");
    w.edit_group("staff").members("");
    let before = w.dump();
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["update user ada [title:  -> countess] (SignIn)"]);
    // The origin and the memberships are as before.
    assert_eq!(w.dump()[0], before[0]);
    assert_eq!(w.dump()[1], "user ada [title=countess userName=ada]");
}

#[test]
fn a_sign_in_makes_active_again() {
    // rules J1, A7
    let w = ada();
    signs_in(&w, "ada");
    let id = w.id("ada");
    w.store.state().users.get_mut(&id).unwrap().active = false;
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["reactivate ada (SignIn)"]);
    assert!(done.allowed);
}

#[test]
fn a_disabled_or_deleted_account_is_made_inactive_and_never_created() {
    // rule J1
    let mut w = ada();
    w.edit("ada").disabled();
    let done = signs_in(&w, "ada");
    assert_eq!((lines(&done.plan).len(), done.allowed, done.record), (0, false, None));
    w.edit("ada").state(AccountState::Enabled);
    signs_in(&w, "ada");
    w.edit("ada").disabled();
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["deactivate ada (DisabledInSource)"]);
    assert!(!done.allowed);
    w.edit("ada").state(AccountState::Enabled);
    signs_in(&w, "ada");
    w.delete("ada");
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["deactivate ada (DeletedInSource)"]);
    assert!(!done.allowed);
    assert_eq!(lines(&signs_in(&w, "nobody").plan), NOTHING);
    w.source.answers.insert("nobody".to_owned(), Existence::Gone);
    assert_eq!(lines(&signs_in(&w, "nobody").plan), NOTHING);
}

#[test]
fn nobody_is_let_in_of_whom_the_directory_does_not_know_the_state() {
    // rules J1, A5
    let mut w = ada();
    w.edit("ada").state(AccountState::Unknown);
    let done = signs_in(&w, "ada");
    assert_eq!((done.allowed, done.record), (false, None));
    w.edit("ada").state(AccountState::Enabled);
    signs_in(&w, "ada");
    w.edit("ada").state(AccountState::Unknown);
    let done = signs_in(&w, "ada");
    assert!(!done.allowed);
    assert_eq!(w.dump()[0], "user ada jit [userName=ada]");
}

#[test]
fn a_sign_in_takes_no_name_from_another_record() {
    // rules J1, M6, M7
    let mut w = ada();
    w.put(Kind::User, "local", record(&[("userName", "ADA")]));
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["note: user ada does not get its userName: record local has the value"]);
    assert_eq!((done.allowed, done.record), (false, None));
}

#[test]
fn a_jit_user_who_is_not_entitled_is_left_to_his_own_sign_ins() {
    // rule J2
    let mut w = ada();
    signs_in(&w, "ada");
    w.edit("ada").set("title", "countess");
    w.options.users.left_scope = identity_sync::Deprovision::Delete;
    assert_eq!(w.lines(), NOTHING);
    w.edit("ada").disabled();
    assert_eq!(
        w.lines(),
        ["note: user ada is disabled in the source, but came by sign-in and is not entitled"]
    );
}

#[test]
fn once_entitled_a_jit_user_is_adopted_by_anchor_and_is_synced_for_good() {
    // rule J2
    let mut w = ada();
    signs_in(&w, "ada");
    let id = w.id("ada");
    w.assign("staff");
    w.edit("ada").set("title", "countess");
    assert_eq!(
        w.lines(),
        [
            "update user ada [title:  -> countess, origin -> Synced] (Adopted)",
            "create group staff [displayName=staff] (Entitled)",
            "add staff: ada (Entitled)",
        ]
    );
    w.sync();
    assert_eq!(w.id("ada"), id);
    signs_in(&w, "ada");
    w.options.users.left_scope = identity_sync::Deprovision::Deactivate;
    w.edit_group("staff").members("");
    assert_eq!(w.lines(), ["deactivate ada (LeftScope)", "remove staff: ada (NoPath)", "kept user ada"]);
}

#[test]
fn a_jit_user_deleted_in_the_source_is_deleted() {
    // rules J2, D1
    let mut w = ada();
    signs_in(&w, "ada");
    w.delete("ada");
    assert_eq!(w.lines(), ["delete user ada (DeletedInSource)"]);
}

#[test]
fn a_user_of_unknown_origin_counts_as_synced() {
    // rule J2
    let mut w = ada();
    signs_in(&w, "ada");
    w.store.state().users.values_mut().for_each(|user| user.origin = None);
    assert_eq!(w.lines(), ["kept user ada"]);
    w.options.users.left_scope = identity_sync::Deprovision::Deactivate;
    assert_eq!(w.lines(), ["deactivate ada (LeftScope)", "kept user ada"]);
}

#[test]
fn whom_a_late_sign_in_brings_back_the_next_reconcile_deletes_again() {
    // rule J3
    let mut w = ada();
    w.assign("staff");
    w.sync();
    let mut before = World::new();
    before.users("ada");
    w.delete("ada");
    w.sync();
    // This sign-in had read the directory before ada was deleted.
    std::mem::swap(&mut before.store, &mut w.store);
    signs_in(&before, "ada");
    std::mem::swap(&mut before.store, &mut w.store);
    assert_eq!(w.dump()[1], "user ada jit [userName=ada]");
    assert_eq!(w.lines(), ["delete user ada (DeletedInSource)"]);
    w.sync();
}

#[test]
fn a_sign_in_between_plan_and_apply_leaves_one_record_with_its_memberships() {
    // rules J4, X2
    let mut w = ada();
    w.assign("staff");
    let plan = w.plan();
    signs_in(&w, "ada");
    let options = identity_sync::ApplyOptions::default();
    let report = block_on(identity_sync::apply(&plan, &w.store, &options, &Host::default())).unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(
        w.dump(),
        ["group staff [displayName=staff]: ada", "user ada jit [userName=ada]", "user kim [userName=kim]"]
    );
    assert_eq!(w.lines(), ["update user ada [origin -> Synced] (Adopted)"]);
    w.sync();
}

#[test]
fn a_sign_in_at_any_write_of_a_reconcile_leaves_one_record_and_the_same_end() {
    // rules J4, X4
    let start = || {
        let mut w = ada();
        w.users("bob");
        w.group("more", "ada bob");
        w.assign("staff more");
        w
    };
    let straight = start();
    straight.sync();
    let expected = straight.dump();
    let mut moments = 0;
    for at in 0..8 {
        for when in [When::Before, When::After] {
            let w = start();
            let plan = w.plan();
            let store = Interloper::new(&w.store, at, when, || {
                signs_in(&w, "ada");
            });
            let options = identity_sync::ApplyOptions::default();
            let report = block_on(identity_sync::apply(&plan, &store, &options, &Host::default())).unwrap();
            moments += usize::from(store.acted());
            assert!(!report.outcomes.is_empty());
            w.id("ada");
            w.run();
            w.sync();
            assert_eq!(w.dump(), expected, "{when:?} write {at}");
        }
    }
    assert!(moments >= 10, "only {moments} moments");
}

#[test]
fn a_reconcile_at_the_write_of_a_sign_in_leaves_one_record() {
    // rule J4
    let mut w = ada();
    w.assign("staff");
    let store = Interloper::new(&w.store, 0, When::Before, || w.sync());
    let done = signs_in_on(&w, &store, "ada");
    assert!(store.acted());
    assert!(done.allowed && done.report.is_success(), "{}", done.report);
    w.id("ada");
    assert_eq!(w.dump()[1], "user ada [userName=ada]");
    assert_eq!(w.lines(), NOTHING);
}

#[test]
fn two_sign_ins_at_once_leave_one_record() {
    // rule J4
    let w = ada();
    let store = Interloper::new(&w.store, 0, When::Before, || {
        signs_in(&w, "ada");
    });
    let done = signs_in_on(&w, &store, "ada");
    assert!(store.acted() && done.allowed);
    let state = w.store.state();
    let link = ExternalId::new(CORP, "ada");
    let records: Vec<_> = state.users.values().filter(|user| user.external_ids.contains(&link)).collect();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].origin, Some(Origin::Jit));
}

#[test]
fn a_sign_in_follows_none_of_the_options_that_are_about_runs() {
    // rules J1, D1
    let mut w = ada();
    w.options.users.disabled_in_source = identity_sync::Deprovision::Delete;
    w.options.users.deleted_in_source = identity_sync::Deprovision::Delete;
    w.options.users.grace.disabled_in_source = identity_sync::Period::of_days(30);
    w.options.users.grace.deleted_in_source = identity_sync::Period::of_days(30);
    // Nothing that is read for a sign-in could show that somebody has left scope.
    w.options.users.left_scope = identity_sync::Deprovision::Delete;
    for extent in [identity_sync::Extent::ProvenRemovals, identity_sync::Extent::NewEntitlements] {
        w.options.extent = extent;
        w.edit("ada").set("title", &format!("{extent:?}"));
        let done = signs_in(&w, "ada");
        assert_eq!(lines(&done.plan).len(), 1, "{}", done.plan);
        assert!(done.allowed, "{extent:?}");
    }
    w.edit("ada").disabled();
    assert_eq!(lines(&signs_in(&w, "ada").plan), ["deactivate ada (DisabledInSource)"]);
    w.edit("ada").state(AccountState::Enabled);
    assert_eq!(lines(&signs_in(&w, "ada").plan), ["reactivate ada (SignIn)"]);
    w.delete("ada");
    assert_eq!(lines(&signs_in(&w, "ada").plan), ["deactivate ada (DeletedInSource)"]);
}

#[test]
fn a_sign_in_asks_about_the_one_identity_and_only_where_the_read_lacks_it() {
    // rules J1, C3
    let mut w = ada();
    signs_in(&w, "ada");
    assert_eq!(*w.source.asked.lock().unwrap(), [""; 0]);
    w.hide("ada");
    w.hide("kim");
    let done = signs_in(&w, "ada");
    assert_eq!(*w.source.asked.lock().unwrap(), ["ada"]);
    // Nothing proves that she is gone: her record stays as it is, and she is not let in.
    assert_eq!((lines(&done.plan).len(), done.allowed), (0, false), "{}", done.plan);
    assert_eq!(w.dump(), ["user ada jit [userName=ada]", "user kim [userName=kim]"]);
}

#[test]
fn a_sign_in_matches_nobody_by_name_and_takes_no_name_from_a_leaver() {
    // rules J1, M3, M4: both are for a reconcile, which sees more
    let mut store = crate::world::capabilities();
    store.adoption = identity_sync::Adoption::Supported;
    let mut w = World::with_store(store);
    w.options.soft_match.users.insert("userName".into());
    w.put(Kind::User, "local", record(&[("userName", "ada")]));
    w.users("ada");
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["note: user ada does not get its userName: record local has the value"]);
    w.store.state().users.clear();
    w.record(Kind::User, "old", "leaver", &[("userName", "ada")]);
    w.source.tombstones.push("leaver".to_owned());
    let done = signs_in(&w, "ada");
    assert_eq!(lines(&done.plan), ["note: user ada does not get its userName: record old has the value"]);
    assert_eq!(w.dump(), ["user leaver [userName=ada]"]);
}

#[test]
fn a_sign_in_asks_no_source_for_what_it_cannot_do() {
    // rules J1, C3
    struct Plain<'w>(&'w World);

    #[async_trait::async_trait]
    impl DirectorySource for Plain<'_> {
        fn identity(&self) -> Issuer {
            CORP.into()
        }

        fn capabilities(&self) -> SourceCapabilities {
            SourceCapabilities::default()
        }

        async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
            assert!(matches!(read.select, Select::All), "this source cannot select");
            self.0.source.read_users(read, page).await
        }

        async fn read_groups(&self, _: Read<'_>, _: &mut GroupPage) -> Result<PageEnd, SourceError> {
            panic!("a sign-in reads no groups");
        }

        async fn existence(&self, _: &mut Asked<'_>) -> Result<(), SourceError> {
            panic!("this source has no look-ups");
        }
    }

    let w = ada();
    let (run, host) = (Run::default(), Host::default());
    for (who, allowed) in [("ada", true), ("nobody", false)] {
        let done = block_on(sign_in(&Plain(&w), &w.store, &anchor(who), &w.options, &run, &host)).unwrap();
        assert_eq!(done.allowed, allowed, "{who}");
    }
}

/// What a store was asked for, and how its reads end.
struct Asking<'w> {
    world: &'w World,
    selected: Mutex<Vec<String>>,
    /// How reads end instead, from which on.
    end: Option<(usize, PageEnd)>,
}

#[async_trait::async_trait]
impl IdentityStore for Asking<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.world.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let what = match select {
            StoreSelect::ExternalIds(links) => format!("links {}", links.len()),
            StoreSelect::UniqueValue { attribute, value } => format!("{attribute}={value}"),
            other => format!("{other:?}"),
        };
        let number = {
            let mut selected = self.selected.lock().unwrap();
            selected.push(what);
            selected.len() - 1
        };
        let end = self.world.store.read_users(select, at, page).await?;
        Ok(match &self.end {
            Some((from, end)) if number >= *from => end.clone(),
            _ => end,
        })
    }

    async fn read_groups(
        &self,
        _: StoreSelect<'_>,
        _: Option<&PageToken>,
        _: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        panic!("a sign-in reads no groups");
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.world.store.write(batch).await
    }
}

#[test]
fn a_sign_in_reads_the_user_s_record_and_whoever_has_his_unique_values() {
    // rules J1, M6: and nothing else
    let mut w = ada();
    w.edit("ada").set("title", "countess").set("mail", "ada@x");
    let store = Asking { world: &w, selected: Mutex::default(), end: None };
    assert!(signs_in_on(&w, &store, "ada").allowed);
    assert_eq!(*store.selected.lock().unwrap(), ["links 1", "userName=ada", "links 1"]);
    // The same record comes twice: by its link, and by its name.
    let store = Asking { world: &w, selected: Mutex::default(), end: None };
    let done = signs_in_on(&w, &store, "ada");
    assert_eq!((lines(&done.plan).len(), done.allowed), (0, true));
}

#[test]
fn a_sign_in_trusts_no_read_that_ends_in_part_or_never() {
    // rules J1, C5
    let w = ada();
    let (run, host) = (Run::default(), Host::default());
    // Before the write, and after it.
    for number in 0..3 {
        for end in [PageEnd::partial("half of it"), PageEnd::More(PageToken::new(*b"again"))] {
            let expected = if matches!(end, PageEnd::More(_)) { "repeats a page" } else { "half of it" };
            let store = Asking { world: &w, selected: Mutex::default(), end: Some((number, end)) };
            let done = block_on(sign_in(&w.source, &store, &anchor("ada"), &w.options, &run, &host));
            let error = done.map(|done| done.allowed).unwrap_err();
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(format!("{error}: {why}").contains(expected), "read {number}: {error}: {why}");
        }
    }
}

#[test]
fn where_accounts_have_no_state_whoever_signs_in_is_allowed_in() {
    // rules A5, J1
    let mut w = ada();
    w.source.capabilities.account_state = false;
    let done = signs_in(&w, "ada");
    assert!(done.allowed);
    assert_eq!(lines(&done.plan), ["create user ada jit [userName=ada] (SignIn)"]);
}
