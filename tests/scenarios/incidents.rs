//! Incidents of other projects, each as a regression test.

use identity_sync::{AttributeSchema, Existence, Guards, Kind, MatchRule, PlanError, SourceCapabilities};
use pretty_assertions::assert_eq;

use crate::faulty::{FakeTimer, Fault, Interloper, Scripted, When};
use crate::world::{NOTHING, World, capabilities, partial, record};

fn settled() -> World {
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("staff", "ada bob");
    w.assign("staff kim");
    w.options.guards = Guards::off();
    w.sync();
    w
}

fn takes_nothing_away(w: &World) {
    let plan = w.plan();
    assert!(plan.is_empty(), "{plan}");
}

#[test]
fn gitea_4402_time_limit_disables_all() {
    // go-gitea/gitea#4402: "time limit exceeded" was logged, then every user was deactivated
    // rules C1, C2
    let mut w = settled();
    w.source.fail = Some(("users", 0));
    assert!(w.try_plan().is_err());
    w.source.fail = None;
    w.source.users.truncate(1);
    w.source.users_read = partial();
    takes_nothing_away(&w);
}

#[test]
fn gitea_7949_empty_success() {
    // go-gitea/gitea#7949, #9879: a successful search without an entry deactivated everybody
    // rule C4
    let mut w = settled();
    w.source.users.clear();
    assert_eq!(w.refused(), PlanError::EmptySource { kind: Kind::User });
}

#[test]
fn wg_portal_744_acl_empty_success() {
    // h44z/wg-portal#744: an account without read rights gets success and no entry, even for a base that does not exist
    // rules C4, C3
    let mut w = settled();
    w.source.users.clear();
    w.source.groups.clear();
    assert_eq!(w.refused(), PlanError::EmptySource { kind: Kind::User });
    // Where the rights on one subtree alone are gone, nothing proves a deletion.
    let mut w = settled();
    w.hide("ada");
    w.hide("staff");
    w.group("visible", "");
    let lines = w.lines();
    assert!(
        !lines.iter().any(|line| ["delete", "deactivate", "remove"].iter().any(|bad| line.starts_with(bad)))
    );
}

#[test]
fn glpi_984_cannot_contact() {
    // glpi-project/glpi#984: the server went away half-way, and whoever was not read yet was disabled
    // rule C1
    let mut w = settled();
    w.source.rows = 1;
    for (what, page) in [("users", 1), ("users", 2), ("groups", 0)] {
        w.source.fail = Some((what, page));
        assert!(w.try_plan().is_err());
    }
}

#[test]
fn keycloak_24669_empty_query() {
    // keycloak/keycloak#24669: an empty answer for one user deleted the local user
    // rule C3
    let mut w = settled();
    w.hide("kim");
    w.source.answers.insert("kim".to_owned(), Existence::Unknown);
    takes_nothing_away(&w);
}

#[test]
fn alfresco_mnt_21614_mid_sync_comm_error() {
    // Alfresco/alfresco-repository PR #1149: an error while members were resolved emptied the groups
    // rules C1, C2
    let mut w = settled();
    w.edit_group("staff").members("ada").partial();
    takes_nothing_away(&w);
    assert_eq!(w.plan().blocked().len(), 1);
}

#[test]
fn owncloud_22313_ldap_outage_wipes_clients() {
    // owncloud/core#22313: an outage looked like "no data", and the emptiness was synchronised
    // rules C1, C4
    let mut w = settled();
    w.source.users.clear();
    w.source.groups.clear();
    w.source.users_read = partial();
    w.source.groups_read = partial();
    takes_nothing_away(&w);
}

/// A cycle of groups with everybody around it.
fn circle() -> World {
    let mut w = World::new();
    w.users("ada bob kim");
    w.group("a", "b ada");
    w.group("b", "c bob");
    w.group("c", "a kim c");
    w.assign("a");
    w
}

#[test]
fn bitwarden_233_circular_groups() {
    // bitwarden/directory-connector#233: circular groups overflowed the call stack
    // rule E5
    let w = circle();
    w.sync();
    let groups: Vec<String> = w.dump().into_iter().filter(|line| line.ends_with(": ada bob kim")).collect();
    assert_eq!(groups.len(), 3);
}

#[test]
fn opensearch_887_cycle_gc() {
    // opensearch-project/security#887: a cyclic membership was read over and over
    // rule E5
    let mut w = circle();
    let select = std::num::NonZeroUsize::new(1).unwrap();
    w.source.capabilities = SourceCapabilities::default().with_existence().with_select(select);
    w.sync();
    assert_eq!(w.dump().len(), 6);
}

#[test]
fn nextcloud_25757_cycle_ldaprecord_319_node_ad_9() {
    // nextcloud/server#25757, DirectoryTree/LdapRecord#319, gheeres/node-activedirectory#9: endless loops on A → B → A
    // rule E5
    let mut w = World::new();
    w.users("ada");
    w.group("a", "b");
    w.group("b", "a ada");
    w.assign("b");
    w.sync();
    assert_eq!(
        w.dump(),
        ["group a [displayName=a]: ada", "group b [displayName=b]: ada", "user ada [userName=ada]"]
    );
}

fn unique_mail() -> World {
    let mut store = capabilities();
    store.users.insert("emails".to_owned(), AttributeSchema::unique(MatchRule::NfkcCasefold));
    World::with_store(store)
}

#[test]
fn keycloak_39345_email_reuse() {
    // keycloak/keycloak#39345, #19056: a mail address went to a new user, whose import a ghost blocked for ever
    // rules M4, P4
    let mut w = unique_mail();
    w.user("1").set("mail", "sales@x");
    w.assign("1");
    w.sync();
    w.delete("1");
    w.user("2").set("mail", "sales@x");
    w.assign("2");
    assert_eq!(
        w.lines()[..2],
        ["delete user 1 (DeletedInSource)", "create user 2 [emails=sales@x userName=2] (Entitled)"]
    );
    w.sync();
    assert_eq!(w.dump(), ["user 2 [emails=sales@x userName=2]"]);
}

#[test]
fn eneo_443_silent_email_takeover() {
    // eneo-ai/eneo PR #443: a create without a match by name fell back to the mail address of a local account
    // rules M7, M1
    let mut w = unique_mail();
    w.put(Kind::User, "local", record(&[("userName", "boss"), ("emails", "boss@x")]));
    w.user("mallory").set("mail", "BOSS@x");
    w.assign("mallory");
    assert_eq!(
        w.lines(),
        [
            "create user mallory [userName=mallory] (Entitled)",
            "note: user mallory does not get its emails: record local has the value",
        ]
    );
    w.sync();
    assert_eq!(w.store.state().users["local"].external_ids, []);
}

#[test]
fn kobo_7102_username_merge() {
    // kobotoolbox/kpi PR #7102: two people of one user name were merged
    // rules M7, M6
    let mut w = World::new();
    w.put(Kind::User, "local", record(&[("userName", "ada")]));
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.run();
    assert_eq!(w.dump(), ["group staff [displayName=staff]: ", "user #local [userName=ada]"]);
    takes_nothing_away(&w);
}

#[test]
fn onyx_8455_toctou_duplicate() {
    // onyx-dot-app/onyx PR #8455: two creates at once both passed the check for duplicates
    // rules J4, X2
    let mut w = World::new();
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    for at in 0..3 {
        w.store = World::new().store;
        let plan = w.plan();
        let other = Interloper::new(&w.store, at, When::Before, || w.sync());
        let options = identity_sync::ApplyOptions::default();
        let host = identity_sync::Host::default();
        let report = pollster::block_on(identity_sync::apply(&plan, &other, &options, &host)).unwrap();
        assert!(other.acted());
        assert_eq!(report.outcomes.len(), 3);
        assert_eq!(w.dump(), ["group staff [displayName=staff]: ada", "user ada [userName=ada]"]);
        assert_eq!(w.lines(), NOTHING);
    }
}

#[test]
fn kcp_628_retry_deletes_recreated() {
    // kcp-dev/kcp PR #628: a delete by name that was tried again killed the object made meanwhile
    // rules X2, X3
    let mut w = settled();
    w.delete("kim");
    let plan = w.plan();
    let timer = FakeTimer::default();
    let store = Scripted::new(&w.store, [(0, Fault::LoseAnswer(identity_sync::ErrorKind::Transient))]);
    // While the delete is tried again, somebody new of that name comes.
    let kim = w.id("kim");
    let comes = Comes { inner: &timer, store: &w.store };
    let options = identity_sync::ApplyOptions::default();
    let host = identity_sync::Host::default().timer(&comes);
    let report = pollster::block_on(identity_sync::apply(&plan, &store, &options, &host)).unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(timer.millis().len(), 1);
    assert!(!w.store.state().users.contains_key(&kim));
    assert!(w.store.state().users.contains_key("newcomer"));
}

/// Puts a user of the deleted one's name into the store while apply waits.
struct Comes<'a> {
    inner: &'a FakeTimer,
    store: &'a identity_sync::memory::MemoryStore,
}

#[async_trait::async_trait]
impl identity_sync::Timer for Comes<'_> {
    async fn sleep(&self, wait: std::time::Duration) {
        self.inner.sleep(wait).await;
        self.store.state().users.insert("newcomer".to_owned(), record(&[("userName", "kim")]));
    }

    fn now(&self) -> identity_sync::Timestamp {
        self.inner.now()
    }

    fn jitter(&self) -> f64 {
        self.inner.jitter()
    }
}

#[test]
fn confluence_21981_member_1500() {
    // CONF-21981: the directory gave 1,500 values of `member` and left the rest out without a word
    // rule C2
    let names: String = (0..1_600).map(|i| format!("u{i:04} ")).collect();
    let first: String = (0..1_500).map(|i| format!("u{i:04} ")).collect();
    let mut w = World::new();
    w.users(&names);
    w.group("staff", &names);
    w.assign("staff");
    w.source.rows = 1_000;
    w.sync();
    w.edit_group("staff").members(&first).partial();
    takes_nothing_away(&w);
    assert_eq!(w.plan().blocked().filter(|blocked| blocked.member.is_some()).count(), 100);
}

#[test]
fn gitlab_ce_sync_46_kicks_manual() {
    // Adambean/gitlab-ce-ldap-sync#46: groups that the script did not own were emptied
    // rules M7, D6
    let mut w = settled();
    w.put(Kind::User, "manual", record(&[("userName", "manual")]));
    w.put(Kind::Group, "project", record(&[("displayName", "project")]));
    w.put_member("project", "manual");
    let ada = w.id("ada");
    w.put_member("project", &ada);
    w.put_member(&w.id("staff"), "manual");
    w.edit_group("staff").members("ada");
    assert_eq!(w.lines(), ["remove staff: bob (NoPath)", "kept user bob"]);
    w.sync();
    assert_eq!(
        w.dump()[..2],
        ["group #project [displayName=project]: #manual ada", "group staff [displayName=staff]: #manual ada"]
    );
}

#[test]
fn bitwarden_103_missing_member_until_touched() {
    // bitwarden/directory-connector#103: a user stayed out of a group until removed and added again
    // rules E4, P4
    let w = settled();
    let (staff, ada) = (w.id("staff"), w.id("ada"));
    w.store.state().groups.get_mut(&staff).unwrap().members.remove(&ada);
    assert_eq!(w.lines(), ["add staff: ada (Entitled)"]);
}
