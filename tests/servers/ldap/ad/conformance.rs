//! The conformance suite over the controller: each check has a unit of the directory, filled with the anchors that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Mutex;

use async_trait::async_trait;
use identity_sync::testing::conformance::{self, BuildError, SourceBuilder};
use identity_sync::testing::{Directory, DirectoryMember, Vocabulary};
use identity_sync::{AccountState, Kind};
use serde_json::{Value, json};

use super::*;

const UNIT: &str = "OU=Suite,DC=corp,DC=example,DC=com";

/// Fills the unit again and again: a check looks at one source at a time, or at two of the same content.
#[derive(Default)]
struct Unit {
    /// The anchors of the last directory, whose tombstones stand in the way of the next.
    used: Mutex<Option<BTreeSet<String>>>,
}

impl Unit {
    fn fill(&self, directory: &Directory) -> Result<(), BuildError> {
        let mut names: BTreeMap<&str, String> = BTreeMap::new();
        let users = directory.users.iter().map(|user| user.anchor.as_str());
        let groups = directory.groups.iter().map(|group| group.anchor.as_str());
        for (number, anchor) in users.chain(groups).enumerate() {
            names.insert(anchor, format!("CN=n{number},{UNIT}"));
        }
        let entry = |dn: &str, class: &str, anchor: &str, attributes: &BTreeMap<String, Vec<String>>| {
            // The controller holds no attribute without a value.
            let filled = attributes.iter().filter_map(|(name, values)| {
                let values: Vec<&String> = values.iter().filter(|value| !value.is_empty()).collect();
                (!values.is_empty()).then(|| (name.clone(), json!(values)))
            });
            let mut values: serde_json::Map<String, Value> = filled.collect();
            values.insert("objectClass".into(), json!([class]));
            values.insert("objectGUID".into(), json!([anchor]));
            values.insert("sAMAccountName".into(), json!([format!("s-{}", &anchor[..13])]));
            (dn.to_owned(), values)
        };
        let mut add = Vec::new();
        for user in &directory.users {
            let (dn, mut values) =
                entry(&names[user.anchor.as_str()], "user", &user.anchor, &user.attributes);
            let control = match user.state {
                AccountState::Enabled => "544",
                AccountState::Disabled => "546",
                _ => return Err(BuildError::cannot("the controller gives every account a state")),
            };
            values.insert("userAccountControl".into(), json!([control]));
            add.push(json!({ "dn": dn, "values": values }));
        }
        // First all groups, then who is in them: they may be in each other.
        let mut members = Vec::new();
        for group in &directory.groups {
            let dn = &names[group.anchor.as_str()];
            let (dn, values) = entry(dn, "group", &group.anchor, &group.attributes);
            let mut inside = Vec::new();
            for member in &group.members {
                match member {
                    DirectoryMember::Object(anchor) => inside.push(names[anchor.as_str()].clone()),
                    DirectoryMember::Foreign(_) => inside.push("<SID=S-1-5-21-9-9-9-1109>".to_owned()),
                    _ => {
                        return Err(BuildError::cannot(
                            "a name in a list leads to an object, or is not there",
                        ));
                    }
                }
            }
            members.push(json!({ "dn": dn, "members": inside }));
            add.push(json!({ "dn": dn, "values": values }));
        }
        let mut delete = Vec::new();
        let empty = BTreeMap::new();
        for (number, dead) in directory.tombstones.iter().enumerate() {
            let class = if dead.kind == Kind::User { "user" } else { "group" };
            let (dn, values) = entry(&format!("CN=dead{number},{UNIT}"), class, &dead.anchor, &empty);
            delete.push(dn.clone());
            add.push(json!({ "dn": dn, "values": values }));
        }
        let mut used = self.used.lock().unwrap();
        let wipe = used.clone().unwrap_or_default();
        let told = json!({
            "unit": UNIT, "fresh": used.is_none(), "wipe": wipe, "add": add, "members": members, "delete": delete,
        });
        let gone = directory.tombstones.iter().map(|dead| dead.anchor.as_str());
        let all: BTreeSet<String> = names.keys().copied().chain(gone).map(str::to_owned).collect();
        *used = Some(all);
        drop(used);
        run(&told);
        Ok(())
    }
}

fn run(told: &Value) {
    let folder = variable("AD_DIR");
    let mut child = Command::new("/usr/bin/python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/ldap/fill.py"))
        .args([format!("{folder}/etc/run.conf"), format!("{folder}/private/sam.ldb")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[async_trait]
impl SourceBuilder for Unit {
    type Source = LdapSource;

    async fn holding(&self, directory: &Directory) -> Result<LdapSource, BuildError> {
        self.fill(directory)?;
        let (page, range) = (NonZeroU16::new(20).unwrap(), NonZeroU32::new(50).unwrap());
        // In some of these directories no group has a member.
        let options = options().base(UNIT).page_size(page).range_size(range).empty_groups();
        Ok(LdapSource::connect(options).await?)
    }

    fn vocabulary(&self) -> Vocabulary {
        let mut words = Vocabulary::with_uuids();
        words.user_values = ["displayName", "title"].map(str::to_owned).to_vec();
        words.user_lists = vec!["otherTelephone".to_owned()];
        words.group_values = vec!["description".to_owned()];
        words
    }

    fn many(&self) -> usize {
        45
    }

    fn long_list(&self) -> usize {
        120
    }

    async fn changed(&self, source: LdapSource, directory: &Directory) -> Result<LdapSource, BuildError> {
        self.fill(directory)?;
        Ok(source)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_source_over_a_controller_conforms() {
    let report = conformance::source(&Unit::default()).await;
    println!("{report}");
    report.assert_conforming();
}
