//! Between a domain controller and one identity store that is seen through both protocols of AWS.

#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the adapter")]
#[path = "../../aws/bridge/mod.rs"]
mod bridge;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::bridge::{Bridge, INSTANCE, Record, STORE, TOKEN};
use super::desk::Desk;
use super::tenant::{Shown, lives_beside_others};
use crate::variable;

fn shown(bridge: &Bridge) -> Shown {
    let state = bridge.state();
    let is_ours =
        |record: &Value| record["externalId"].as_str().is_some_and(|id| id.starts_with("corp.example.com:"));
    let members = |group: &str| -> Vec<String> {
        let ids = state.members.iter().filter(|(of, _)| of == group);
        ids.map(|(_, user)| state.users[user].scim["userName"].to_string()).collect()
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for user in state.users.values() {
        let scim = &user.scim;
        match is_ours(scim) {
            true => ours.push(format!("user {} {} {}", scim["userName"], scim["externalId"], scim["active"])),
            false => theirs.push(format!("{scim} {:?}", user.foreign)),
        }
    }
    for (id, group) in &state.groups {
        let (scim, members) = (&group.scim, members(id));
        match is_ours(scim) {
            true => ours.push(format!("group {} {} {members:?}", scim["displayName"], scim["externalId"])),
            false => theirs.push(format!("{scim} {:?} {members:?}", group.foreign)),
        }
    }
    ours.sort();
    Shown { ours, theirs }
}

fn put_theirs(bridge: &Bridge) {
    let mut state = bridge.state();
    let admin = state.user("admin");
    let partner = json!({
        "userName": "partner", "displayName": "partner", "externalId": "partner:7", "active": true,
        "name": { "givenName": "p", "familyName": "q" },
    });
    let partner = state.put(true, partner);
    let group = state.group("AWSAdministrators");
    state.members.extend([(group.clone(), admin), (group, partner)]);
}

fn id_of(records: &BTreeMap<String, Record>, pointer: &str, value: &str) -> String {
    let found = records.iter().find(|(_, record)| record.scim[pointer] == value);
    found.map(|(id, _)| id.clone()).unwrap()
}

#[test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
fn an_identity_center_keeps_what_is_not_ours_and_says_who_is_assigned() {
    // rules M7, E11
    let bridge = Bridge::start();
    put_theirs(&bridge);
    let mut desk = Desk::empty();
    desk.secrets.push(("AD_SYNC_TESTS_TOKEN", TOKEN.to_owned()));
    desk.secrets.push(("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY".to_owned()));
    desk.secrets.push(("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()));
    let table = format!(
        "[store.aws]\nregion = \"eu-central-1\"\nidentity_store_id = \"{STORE}\"\ninstance_arn = \"{INSTANCE}\"\n\
         endpoint = \"{}\"\n[store.aws.scim]\nurl = \"{}\"\ntoken_env = \"AD_SYNC_TESTS_TOKEN\"\n\
         [run]\nfile = \"state.json\"\n",
        bridge.url,
        bridge.scim_url()
    );
    let [_, last] = lives_beside_others(&desk, &table, &|| shown(&bridge));

    // From now on who is assigned is said in AWS, by the ids of what is there.
    {
        let mut state = bridge.state();
        let engineering = id_of(&state.groups, "displayName", "dept-engineering");
        let admins = id_of(&state.groups, "displayName", "AWSAdministrators");
        let alva = id_of(&state.users, "userName", "aek@corp.example.com");
        state.assign("arn:ps-1", "111122223333", &engineering);
        state.assign("arn:ps-1", "111122223333", &admins);
        state.applications.insert("arn:app".into(), vec![alva]);
    }
    desk.configure_store(&table, "store = true", &variable("AD_SYNC_ACCOUNT"), "");
    let (code, plan, said) = desk.run(&["--apply"]);
    assert_eq!(code, 0, "{plan}\n{said}");
    assert_eq!(shown(&bridge), last);
}
