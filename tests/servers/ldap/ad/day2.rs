//! The day after: a marriage, a move, a leaver, a lost membership, a disabled account, a new group.

use identity_sync::AccountState;

use super::*;

const PEOPLE: &str = "OU=People,OU=Corp,DC=corp,DC=example,DC=com";
const GROUPS: &str = "OU=Groups,OU=Corp,DC=corp,DC=example,DC=com";

fn person(ou: &str, name: &str) -> String {
    anchor_of(&format!("CN={name},OU={ou},{PEOPLE}"))
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn people_keep_their_anchors_whatever_happens_to_their_names() {
    // rules M1, C3
    let live = source(options()).await;
    let julie = person("Engineering", "Julie Moreau");
    let kofi = person("IT", "Kofi Mensah");
    let paul = person("Engineering", "Paul Gruber");
    let emil = person("Sales", "Emil Dubois");
    let franka = person("Sales", "Franka Keller");
    let sales = anchor_of(&format!("CN=dept-sales,{GROUPS}"));
    let start = live.checkpoint().await.unwrap();
    change(include_str!("../day2.ldif"));

    let seen = see(&live, Select::All).await.unwrap();
    let has = |anchor: &str, name: &str, value: &str| {
        seen.users[anchor].1.contains(&(name.to_owned(), value.to_owned()))
    };
    assert!(has(&julie, "sn", "Moreau-Petit") && has(&julie, "mail", "julie.moreau-petit@corp.example.com"));
    assert!(seen.users.contains_key(&kofi), "a move changes no anchor");
    assert!(!seen.users.contains_key(&paul));
    assert_eq!(seen.users[&franka].0, AccountState::Disabled);
    let members = &seen.groups[&sales].1;
    assert!(!members.contains(&emil) && members.contains(&franka));
    let squad = anchor_of(&format!("CN=squad-ingest,{GROUPS}"));
    assert_eq!(seen.groups[&squad].1.len(), 1);

    let wanted = anchors([&paul, &kofi]);
    let mut asked = Asked::new(&wanted);
    live.existence(&mut asked).await.unwrap();
    for (anchor, answer) in asked.answers() {
        let is = if anchor.as_str() == paul {
            Existence::Gone
        } else {
            Existence::Exists { kind: MemberKind::User }
        };
        assert_eq!(answer, is);
    }

    let Changes::Since { changes, .. } = live.read_changes(&start).await.unwrap() else { panic!("expired") };
    let anchor = |text: &str| SourceAnchor::from(text);
    for changed in [&julie, &kofi, &franka, &squad] {
        assert!(changes.contains(&Change::Changed(anchor(changed))), "{changed}: {changes:?}");
    }
    assert!(changes.contains(&Change::Deleted(anchor(&paul))), "{changes:?}");
    let left = |change: &Change| matches!(change, Change::Removed { group, member } if *group == anchor(&sales) && member.starts_with("CN=Emil Dubois,"));
    assert!(changes.iter().any(left), "{changes:?}");
    is_as_exported(seen).await;
}
