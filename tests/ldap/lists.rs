//! Member lists in ranges, and primary groups.

use identity_sync::adapter::ldap::{LdapSource, Make};
use identity_sync::{DirectorySource as _, PageEnd};
use serde_json::Value;

use crate::fake::{Asked, Fake, Say, guid, texts};
use crate::{DOMAIN, controller, groups, last, options, source, user, users};

/// A member as a controller shows it when it is asked for extended DNs.
fn member(number: u32) -> Vec<u8> {
    format!(
        "<GUID=00000000-0000-0000-0000-{number:012x}>;<SID=S-1-5-21-1-2-3-{number}>;CN=m{number},{DOMAIN}"
    )
    .into_bytes()
}

fn group(number: u8, rid: u32, members: Vec<(&'static str, Vec<Vec<u8>>)>) -> Say {
    let mut sid = vec![1, 5, 0, 0, 0, 0, 0, 5];
    [21, 1, 2, 3, rid].iter().for_each(|part: &u32| sid.extend_from_slice(&part.to_le_bytes()));
    let mut attributes = vec![
        ("objectClass", texts(&["top", "group"])),
        ("objectGUID", vec![guid(number).0]),
        ("objectSid", vec![sid]),
    ];
    attributes.extend(members);
    Say::Entry("<GUID=00000000-0000-0000-0000-000000000001>;CN=g,DC=corp,DC=example,DC=com", attributes)
}

fn is_primary(asked: &Asked) -> bool {
    asked.mentions("primaryGroupID")
}

/// The question who says that he is in a group.
fn is_backlink(asked: &Asked) -> bool {
    asked.mentions("memberOf")
}

fn list(document: &Value, number: u8) -> (usize, bool) {
    let groups = document["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["anchor"] == guid(number).1.as_str()).unwrap();
    (group["members"].as_array().map_or(0, Vec::len), group["members_complete"] == true)
}

#[tokio::test]
async fn a_range_that_nobody_asked_for_is_followed_to_its_end() {
    // rule C1: Active Directory gives 1,500 of a longer list, with an empty `member` beside it
    let (source, fake) = source(|asked| {
        let range = |name: &'static str, from, to| {
            vec![group(1, 2000, vec![(name, (from..to).map(member).collect())]), Say::Done(0, None)]
        };
        if asked.wants("member;range=1500-*") {
            range("member;range=1500-2999", 1500, 3000)
        } else if asked.wants("member;range=3000-*") {
            range("member;range=3000-*", 3000, 3100)
        } else if is_primary(asked) {
            vec![last(0, b"")]
        } else {
            let first = (0..1500).map(member).collect();
            vec![group(1, 2000, vec![("member", vec![]), ("member;range=0-1499", first)]), last(0, b"")]
        }
    })
    .await;
    let (document, end) = groups(&source).await.unwrap();
    assert_eq!(end, PageEnd::COMPLETE);
    assert_eq!(list(&document, 1), (3_100, true));
    // By its id, so that a rename between two ranges does not matter.
    let log = fake.log.lock().unwrap();
    let ranges: Vec<_> = log.iter().filter(|asked| asked.wants("member;range=1500-*")).collect();
    assert_eq!(ranges[0].base, "<GUID=00000000000000000000000000000001>");
}

#[tokio::test]
async fn a_list_whose_ranges_do_not_fit_together_is_incomplete_and_reading_it_ends() {
    // rule C1
    for (name, answer) in [
        ("the same range again", "member;range=0-1"),
        ("a gap", "member;range=3-*"),
        ("no list any more", "description"),
        ("a range that makes no sense", "member;range=x-y"),
    ] {
        let (source, _fake) = source(move |asked| {
            if asked.attributes.iter().any(|name| name.starts_with("member;range=2-")) {
                vec![group(1, 2000, vec![(answer, vec![member(8), member(9)])]), Say::Done(0, None)]
            } else if is_primary(asked) {
                vec![last(0, b"")]
            } else {
                vec![group(1, 2000, vec![("member;range=0-1", vec![member(1), member(2)])]), last(0, b"")]
            }
        })
        .await;
        let (document, _) = groups(&source).await.unwrap();
        let (members, complete) = list(&document, 1);
        assert!(!complete && members >= 2, "{name}: {members}");
    }
}

#[tokio::test]
async fn a_group_that_is_deleted_between_two_ranges_has_an_incomplete_list() {
    // rule C1
    let (source, _fake) = source(|asked| {
        if asked.attributes.iter().any(|name| name.starts_with("member;range=2-")) {
            vec![Say::Done(32, None)]
        } else if is_primary(asked) {
            vec![last(0, b"")]
        } else {
            vec![group(1, 2000, vec![("member;range=0-1", vec![member(1), member(2)])]), last(0, b"")]
        }
    })
    .await;
    let (document, _) = groups(&source).await.unwrap();
    assert_eq!(list(&document, 1), (2, false));
}

#[tokio::test]
async fn primary_members_come_from_the_server_and_from_what_a_full_read_gathered() {
    // rule E10
    let answer = |asked: &Asked| {
        if is_backlink(asked) {
            vec![last(0, b"")]
        } else if is_primary(asked) || !asked.wants("member") {
            vec![user(0x21), user(0x22), last(0, b"")]
        } else {
            vec![group(1, 513, vec![("member", vec![member(1)])]), group(2, 2000, vec![]), last(0, b"")]
        }
    };
    let (live, fake) = source(answer).await;
    let (document, _) = groups(&live).await.unwrap();
    assert_eq!((list(&document, 1), list(&document, 2)), ((3, true), (0, true)));
    assert_eq!(fake.log.lock().unwrap().iter().filter(|asked| is_primary(asked)).count(), 1);

    let (live, fake) = source(answer).await;
    users(&live).await.unwrap();
    let (gathered, _) = groups(&live).await.unwrap();
    assert_eq!(gathered, document);
    assert_eq!(fake.log.lock().unwrap().iter().filter(|asked| is_primary(asked)).count(), 0);
}

#[tokio::test]
async fn where_primary_groups_may_not_be_read_the_lists_of_the_domains_own_groups_are_incomplete() {
    // rules C1, E10: who is a member that way must not look removed
    let (live, _fake) = source(|asked| {
        if is_primary(asked) || is_backlink(asked) {
            vec![last(0, b"")]
        } else if asked.wants("member") {
            vec![group(1, 513, vec![]), group(2, 2000, vec![("member", vec![member(1)])]), last(0, b"")]
        } else {
            let hidden = vec![("objectClass", texts(&["user"])), ("objectGUID", vec![guid(0x21).0])];
            vec![Say::Entry("CN=a,DC=corp,DC=example,DC=com", hidden), last(0, b"")]
        }
    })
    .await;
    users(&live).await.unwrap();
    let (document, _) = groups(&live).await.unwrap();
    assert_eq!((list(&document, 1), list(&document, 2)), ((0, false), (1, true)));
}

#[tokio::test]
async fn links_to_deleted_objects_are_no_members_and_foreign_ones_say_so() {
    // rule E9
    let (source, _fake) = source(|asked| {
        if is_primary(asked) {
            return vec![last(0, b"")];
        }
        let members = vec![
            b"<GUID=00000000-0000-0000-0000-00000000000a>;CN=x\\0ADEL:00000000-0000-0000-0000-00000000000a,CN=Deleted Objects,DC=corp,DC=example,DC=com".to_vec(),
            b"<GUID=00000000-0000-0000-0000-00000000000b>;<SID=S-1-5-21-9-9-9-9>;CN=S-1-5-21-9-9-9-9,CN=ForeignSecurityPrincipals,DC=corp,DC=example,DC=com".to_vec(),
            b"CN=without an id,DC=corp,DC=example,DC=com".to_vec(),
            b"\xff\xfe".to_vec(),
        ];
        vec![group(1, 2000, vec![("member", members)]), last(0, b"")]
    })
    .await;
    let (document, _) = groups(&source).await.unwrap();
    let members = document["groups"][0]["members"].as_array().unwrap();
    assert_eq!(members.len(), 2, "{members:?}");
    assert_eq!(members[0]["anchor"], "00000000-0000-0000-0000-00000000000b");
    assert_eq!(members[0]["kind"], "foreign");
    assert_eq!(members[1]["unresolved"], "CN=without an id,DC=corp,DC=example,DC=com");
    // One that is no text may be anybody.
    assert_eq!(list(&document, 1), (2, false));
}

#[tokio::test]
async fn lists_that_may_not_be_read_are_not_taken_for_empty() {
    // rule C1: this account sees the groups, and not who is in them
    let answer = |seen: bool| {
        move |asked: &Asked| match asked {
            _ if is_primary(asked) || is_backlink(asked) => vec![last(0, b"")],
            // The question whether any group shows a member.
            _ if !asked.wants("objectSid") && seen => {
                vec![group(9, 2009, vec![("member", vec![member(1)])]), last(0, b"more")]
            }
            _ if !asked.wants("objectSid") => vec![last(0, b"")],
            _ => vec![group(1, 2000, vec![]), group(2, 2001, vec![]), last(0, b"")],
        }
    };
    let (hidden, _fake) = source(answer(false)).await;
    let (document, _) = groups(&hidden).await.unwrap();
    assert_eq!((list(&document, 1), list(&document, 2)), ((0, false), (0, false)));
    let (empty, _fake) = source(answer(true)).await;
    let (document, _) = groups(&empty).await.unwrap();
    assert_eq!((list(&document, 1), list(&document, 2)), ((0, true), (0, true)));
    // The host knows better.
    let fake = Fake::start(move |asked| controller(asked).unwrap_or_else(|| answer(false)(asked))).await;
    let known = LdapSource::connect(options(&fake).empty_groups()).await.unwrap();
    let (document, _) = groups(&known).await.unwrap();
    assert_eq!(list(&document, 1), (0, true));
}

#[tokio::test]
async fn an_entry_that_does_not_show_what_it_is_makes_the_read_partial() {
    // rule C1: the server found it to be a user, or a group
    let (live, _fake) = source(|asked| {
        let nameless = vec![("objectGUID", vec![guid(7).0])];
        let entry = Say::Entry("CN=a,DC=corp,DC=example,DC=com", nameless);
        if is_primary(asked) { vec![last(0, b"")] } else { vec![entry, last(0, b"")] }
    })
    .await;
    let mut page = identity_sync::UserPage::default();
    let mut builder = identity_sync::SourceSnapshot::builder(live.identity(), live.capabilities());
    live.read_users(identity_sync::Read::ALL, &mut page).await.unwrap();
    builder.users(&page).unwrap();
    builder.users_end(identity_sync::Completeness::Complete);
    builder.groups_end(identity_sync::Completeness::Complete);
    let users = serde_json::to_value(builder.finish()).unwrap();
    assert_ne!(users["users_read"], "complete", "{users}");
    let (document, _) = groups(&live).await.unwrap();
    assert_ne!(document["groups_read"], "complete", "{document}");
}

/// A group by its name, which shows no member.
fn hidden(number: u8, dn: &'static str, more: Vec<(&'static str, Vec<Vec<u8>>)>) -> Say {
    let Say::Entry(_, attributes) = group(number, 2000 + u32::from(number), more) else { panic!() };
    Say::Entry(dn, attributes)
}

const SALES: &str = "<GUID=00000000-0000-0000-0000-000000000002>;CN=Sales\\, EU,DC=corp,DC=example,DC=com";
const EMPTY: &str = "<GUID=00000000-0000-0000-0000-000000000003>;CN=Empty,DC=corp,DC=example,DC=com";
const TEAMS: &str = "<GUID=00000000-0000-0000-0000-000000000004>;CN=Teams,DC=corp,DC=example,DC=com";

fn three_of_four_show_nobody() -> Vec<Say> {
    // The one that shows its members is itself in another one.
    let inside = (
        "memberOf",
        texts(&["<GUID=00000000-0000-0000-0000-000000000004>;cn=Teams,DC=corp,DC=example,DC=com"]),
    );
    vec![
        group(1, 2001, vec![("member", vec![member(1)]), inside]),
        hidden(2, SALES, vec![]),
        hidden(3, EMPTY, vec![]),
        hidden(4, TEAMS, vec![]),
        last(0, b""),
    ]
}

#[tokio::test]
async fn a_single_list_that_may_not_be_read_is_found_out_by_those_who_are_in_it() {
    // rule C1: other lists show members, so that nothing is wrong with the account in general
    let (live, fake) = source(|asked| match asked {
        _ if is_primary(asked) => vec![last(0, b"")],
        // One page of whoever is in any of them; the second question leaves those out that are known.
        _ if is_backlink(asked) && asked.mentions("Sales") => {
            let Say::Entry(dn, mut attributes) = user(0x21) else { panic!() };
            attributes.push(("memberOf", texts(&["CN=sales\\2c eu,DC=corp,DC=example,DC=com"])));
            vec![Say::Entry(dn, attributes), last(0, b"more")]
        }
        _ if is_backlink(asked) && asked.mentions("Teams") => {
            let Say::Entry(dn, mut attributes) = user(0x22) else { panic!() };
            attributes.push(("memberOf", texts(&["CN=Teams,DC=corp,DC=example,DC=com"])));
            vec![Say::Entry(dn, attributes), last(0, b"")]
        }
        _ if is_backlink(asked) => vec![last(0, b"")],
        _ => three_of_four_show_nobody(),
    })
    .await;
    let (document, end) = groups(&live).await.unwrap();
    assert_eq!(end, PageEnd::COMPLETE);
    let lists: Vec<_> = (1..=4).map(|number| list(&document, number)).collect();
    assert_eq!(lists, [(1, true), (0, false), (0, true), (0, false)]);
    assert_eq!(fake.log.lock().unwrap().iter().filter(|asked| is_backlink(asked)).count(), 3);
}

#[tokio::test]
async fn a_read_of_all_has_heard_from_everybody_and_asks_nobody_again() {
    // rule C1
    let (live, fake) = source(|asked| {
        if asked.wants("member") {
            return three_of_four_show_nobody();
        }
        let Say::Entry(dn, mut attributes) = user(0x21) else { panic!() };
        attributes.push(("memberOf", texts(&["CN=Sales\\, EU,DC=corp,DC=example,DC=com"])));
        vec![Say::Entry(dn, attributes), last(0, b"")]
    })
    .await;
    users(&live).await.unwrap();
    let (document, _) = groups(&live).await.unwrap();
    let lists: Vec<_> = (1..=4).map(|number| list(&document, number)).collect();
    assert_eq!(lists, [(1, true), (0, false), (0, true), (0, false)]);
    assert_eq!(fake.log.lock().unwrap().iter().filter(|asked| is_backlink(asked)).count(), 0);
}

#[tokio::test]
async fn a_list_that_changes_between_two_ranges_is_incomplete() {
    // rule C1: ranges go by place, and one removal moves somebody over the border
    for (version, complete) in [("5", true), ("6", false)] {
        let (source, _fake) = source(move |asked| {
            if asked.attributes.iter().any(|name| name.starts_with("member;range=2-")) {
                let range = vec![("uSNChanged", texts(&[version])), ("member;range=2-*", vec![member(9)])];
                vec![group(1, 2000, range), Say::Done(0, None)]
            } else if is_primary(asked) {
                vec![last(0, b"")]
            } else {
                let first =
                    vec![("uSNChanged", texts(&["5"])), ("member;range=0-1", vec![member(1), member(2)])];
                vec![group(1, 2000, first), last(0, b"")]
            }
        })
        .await;
        let (document, _) = groups(&source).await.unwrap();
        let (members, whole) = list(&document, 1);
        assert_eq!(whole, complete, "{members}");
    }
}

#[tokio::test]
async fn who_lives_outside_of_the_base_keeps_his_primary_group() {
    // rule E10: an edge like any other, and those do not end at the base
    let fake = Fake::start(|asked| {
        const BASE: &str = "OU=Corp,DC=corp,DC=example,DC=com";
        if let Some(answer) = controller(asked) {
            return answer;
        }
        match asked {
            _ if asked.base == BASE && asked.scope == 0 => {
                vec![
                    Say::Entry(BASE, vec![("objectClass", texts(&["organizationalUnit"]))]),
                    Say::Done(0, None),
                ]
            }
            // Only from the root of the domain are both found, and only without the filter of the host.
            _ if is_primary(asked) && asked.base == DOMAIN && !asked.mentions("robot") => {
                vec![user(0x21), user(0x22), last(0, b"")]
            }
            _ if is_primary(asked) || !asked.wants("member") => vec![user(0x21), last(0, b"")],
            _ => vec![group(1, 513, vec![]), last(0, b"")],
        }
    })
    .await;
    let options = options(&fake).base("OU=Corp,DC=corp,DC=example,DC=com").empty_groups();
    for options in [options.clone(), options.user_filter("(!(employeeType=robot))")] {
        let live = LdapSource::connect(options).await.unwrap();
        users(&live).await.unwrap();
        let (document, _) = groups(&live).await.unwrap();
        assert_eq!(list(&document, 1).0, 2);
    }
}

#[tokio::test]
async fn whoever_hides_something_else_still_says_in_which_groups_he_is() {
    // rule C1: no primary group, no class, more groups than the server tells at once
    let says = ("memberOf", texts(&["CN=Sales\\, EU,DC=corp,DC=example,DC=com"]));
    let ranged = ("memberOf;range=0-0", says.1.clone());
    let whole = ("objectClass", texts(&["user"]));
    let id = ("objectGUID", vec![guid(0x21).0]);
    for attributes in [
        vec![whole.clone(), id.clone(), says.clone()],
        vec![id.clone(), says.clone()],
        vec![whole, id, ranged],
    ] {
        let (live, _fake) = source(move |asked| match asked {
            _ if is_backlink(asked) => {
                let entry = Say::Entry("CN=a,DC=corp,DC=example,DC=com", attributes.clone());
                if asked.mentions("Sales") { vec![entry, last(0, b"")] } else { vec![last(0, b"")] }
            }
            _ if is_primary(asked) => vec![last(0, b"")],
            _ if asked.wants("member") => three_of_four_show_nobody(),
            _ => vec![Say::Entry("CN=a,DC=corp,DC=example,DC=com", attributes.clone()), last(0, b"")],
        })
        .await;
        users(&live).await.unwrap();
        let (document, _) = groups(&live).await.unwrap();
        assert_eq!((list(&document, 2), list(&document, 3).1), ((0, false), true));
    }
}

#[tokio::test]
async fn a_page_without_entries_that_is_not_the_last_proves_nothing() {
    // rule C1
    let (live, _fake) = source(|asked| match asked {
        _ if is_primary(asked) => vec![last(0, b"")],
        _ if is_backlink(asked) => vec![last(0, b"more")],
        _ => three_of_four_show_nobody(),
    })
    .await;
    let (document, _) = groups(&live).await.unwrap();
    assert_eq!((list(&document, 2), list(&document, 3)), ((0, false), (0, false)));
}

#[tokio::test]
async fn two_names_that_seem_the_same_are_told_apart_by_the_server() {
    // rule E9: a list of names found in one scan must not give one person's membership to the other
    const SHARP: &str = "CN=Jan Weiß,DC=corp,DC=example,DC=com";
    const PLAIN: &str = "CN=Jan Weiss,DC=corp,DC=example,DC=com";
    fn entry(name: &'static str) -> Say {
        let number = if name == SHARP { 1 } else { 2 };
        let uuid = format!("00000000-0000-0000-0000-{number:012x}");
        Say::Entry(name, vec![("objectClass", texts(&["person"])), ("entryUUID", texts(&[&uuid]))])
    }
    let fake = Fake::start(|asked| {
        if let Some(known) = controller(asked) {
            return known;
        }
        match asked.base.as_str() {
            SHARP => vec![entry(SHARP), Say::Done(0, None)],
            PLAIN => vec![entry(PLAIN), Say::Done(0, None)],
            _ if asked.mentions("groupOfNames") => {
                let uuid = "00000000-0000-0000-0000-000000000009";
                let group = vec![
                    ("objectClass", texts(&["groupOfNames"])),
                    ("entryUUID", texts(&[uuid])),
                    ("member", texts(&[SHARP])),
                ];
                vec![Say::Entry("CN=g,DC=corp,DC=example,DC=com", group), last(0, b"")]
            }
            _ => vec![entry(SHARP), entry(PLAIN), last(0, b"")],
        }
    })
    .await;
    let live = LdapSource::connect(options(&fake).make(Make::Generic)).await.unwrap();
    let (document, end) = groups(&live).await.unwrap();
    assert_eq!(end, PageEnd::COMPLETE);
    let members = document["groups"][0]["members"].to_string();
    assert!(members.contains("-000000000001") && !members.contains("-000000000002"), "{members}");
}
