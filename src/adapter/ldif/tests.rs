//! Groups and their lists: a page of groups can be read only from inside the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::*;
use crate::id::SourceAnchor;
use crate::model::Timestamp;
use crate::source::ListState;

const CORP: &[u8] = include_bytes!("../../../examples/data/corp-export.ldif");

/// A group as all its pages together give it.
#[derive(Debug, Default)]
struct WholeGroup {
    anchor: String,
    name: String,
    members: Vec<(String, MemberKind)>,
    unresolved: Vec<(String, MemberKind)>,
    complete: bool,
    tombstone: bool,
}

fn groups_of(source: &LdifSource, select: Select<'_>) -> (Vec<WholeGroup>, PageEnd) {
    let mut page = GroupPage::default();
    let mut all: Vec<WholeGroup> = Vec::new();
    let mut token = None;
    let mut open = false;
    loop {
        page.clear();
        let end =
            pollster::block_on(source.read_groups(Read::new(select, token.as_ref()), &mut page)).unwrap();
        assert!(page.len() <= ROWS && page.members.len() <= MEMBERS);
        for (i, row) in page.rows.iter().enumerate() {
            if !open {
                let name = page.attributes.table.row(i).get("cn").unwrap_or_default().to_owned();
                all.push(WholeGroup { anchor: page.anchors.at(i).to_owned(), name, ..WholeGroup::default() });
            }
            let group = all.last_mut().unwrap();
            assert_eq!(group.anchor, page.anchors.at(i));
            let next = page.rows.get(i + 1);
            for m in row.members..next.map_or(page.members.len(), |row| row.members) {
                group.members.push((page.members.at(m).to_owned(), page.member_kinds[m]));
            }
            for u in row.unresolved..next.map_or(page.unresolved.len(), |row| row.unresolved) {
                group.unresolved.push((page.unresolved.at(u).to_owned(), page.unresolved_kinds[u]));
            }
            group.complete = row.list == ListState::Complete;
            group.tombstone = row.tombstone;
            open = row.list == ListState::Open && !row.tombstone;
        }
        match end {
            PageEnd::More(next) => token = Some(next),
            PageEnd::Last(_) => {
                assert!(!open);
                return (all, end);
            }
        }
    }
}

fn parse(text: &str) -> LdifSource {
    LdifSource::parse(text, &LdifOptions::new()).unwrap()
}

fn by_name(source: &LdifSource) -> BTreeMap<String, WholeGroup> {
    let (groups, _) = groups_of(source, Select::All);
    groups.into_iter().filter(|group| !group.tombstone).map(|group| (group.name.clone(), group)).collect()
}

/// Anchors of users by `sAMAccountName`.
fn logons(source: &LdifSource) -> BTreeMap<String, String> {
    let mut page = UserPage::default();
    pollster::block_on(source.read_users(Read::ALL, &mut page)).unwrap();
    let logon = |a: crate::Attributes<'_>| a.get("sAMAccountName").unwrap_or_default().to_owned();
    page.users().map(|(anchor, _, attributes)| (logon(attributes), anchor.to_owned())).collect()
}

fn names_of(group: &WholeGroup, all: &BTreeMap<String, WholeGroup>) -> BTreeSet<String> {
    let nested = |anchor: &str| all.values().find(|g| g.anchor == anchor).map(|g| g.name.clone());
    group.members.iter().filter_map(|(anchor, _)| nested(anchor)).collect()
}

fn guid(number: usize) -> String {
    format!("objectGUID: 00000000-0000-0000-0000-{number:012}\n")
}

fn person(number: usize) -> String {
    format!("dn: CN=u{number},DC=x\nobjectClass: user\n{}userAccountControl: 512\n", guid(number))
}

fn group(number: usize) -> String {
    format!("dn: CN=g{number},DC=x\nobjectClass: group\ncn: g{number}\n{}", guid(number))
}

#[test]
fn nested_groups_and_the_cycle_of_the_corp_export_resolve() {
    let source = LdifSource::parse(CORP, &LdifOptions::new()).unwrap();
    let groups = by_name(&source);
    assert_eq!(groups.len(), 54);
    assert!(groups.values().all(|group| group.complete));
    let nested = |name: &str| names_of(&groups[name], &groups);
    let chain =
        ["all-staff", "dept-engineering", "dept-platform", "team-storage", "squad-blob", "squad-blob-oncall"];
    for pair in chain.windows(2) {
        assert!(nested(pair[0]).contains(pair[1]), "{pair:?}");
    }
    assert!(nested("cycle-a").contains("cycle-c"));
    assert!(nested("cycle-b").contains("cycle-a"));
    assert!(nested("cycle-c").contains("cycle-b"));
    assert!(groups["empty-group"].members.is_empty());
}

#[test]
fn members_with_commas_quotes_plus_signs_and_no_ascii_resolve_in_the_corp_export() {
    let source = LdifSource::parse(CORP, &LdifOptions::new()).unwrap();
    let (groups, users) = (by_name(&source), logons(&source));
    let unresolved: Vec<_> = groups.values().flat_map(|group| &group.unresolved).collect();
    assert!(unresolved.iter().all(|(_, kind)| *kind == MemberKind::Foreign), "{unresolved:?}");
    let has =
        |group: &str, logon: &str| groups[group].members.contains(&(users[logon].clone(), MemberKind::User));
    for (group, logon) in [
        ("dept-finance", "jsmith2"),
        ("dept-sales", "jsmith"),
        ("dept-it", "pplus"),
        ("dept-it", "bslash"),
        ("dept-engineering", "zmueller"),
        ("Büro Zürich, Empfang", "anaive"),
    ] {
        assert!(has(group, logon), "{logon} in {group}");
    }
    assert_eq!(groups["Büro Zürich, Empfang"].members.len(), 2);
}

#[test]
fn a_primary_group_is_an_edge_like_any_other() {
    // rule E10
    let source = LdifSource::parse(CORP, &LdifOptions::new()).unwrap();
    let (groups, users) = (by_name(&source), logons(&source));
    let has =
        |group: &str, logon: &str| groups[group].members.contains(&(users[logon].clone(), MemberKind::User));
    assert!(has("Domain Users", "nogroup") && has("Domain Users", "avogel"));
    assert!(has("Domain Guests", "pguest") && !has("Domain Users", "pguest"));
    assert_eq!((source.summary().primary_groups_missing, source.summary().primary_groups_unknown), (0, 0));
}

#[test]
fn contacts_and_computers_are_members_that_count_for_nothing() {
    // rule E9
    let source = LdifSource::parse(CORP, &LdifOptions::new()).unwrap();
    let vpn = &by_name(&source)["vpn-users"];
    assert_eq!(vpn.members.iter().filter(|(_, kind)| *kind == MemberKind::Other).count(), 2);
    assert_eq!(vpn.members.iter().filter(|(_, kind)| *kind == MemberKind::Group).count(), 2);
}

#[test]
fn members_of_other_domains_are_foreign() {
    // rule E9
    let source = LdifSource::parse(CORP, &LdifOptions::new()).unwrap();
    let group = &by_name(&source)["Pre-Windows 2000 Compatible Access"];
    let dn = "CN=S-1-5-11,CN=ForeignSecurityPrincipals,DC=corp,DC=example,DC=com".to_owned();
    assert_eq!(group.unresolved, [(dn, MemberKind::Foreign)]);
    assert!(group.complete);
}

#[test]
fn a_member_without_entry_or_anchor_is_never_dropped() {
    // rule E9
    let text = format!(
        "{}member: CN=nobody,DC=x\nmember: CN=noid,DC=x\nmember: CN=c,DC=x\nmember: not a name\nmember:\n\n\
         dn: CN=noid,DC=x\nobjectClass: user\n\ndn: CN=c,DC=x\nobjectClass: contact\n",
        group(1)
    );
    let (groups, _) = groups_of(&parse(&text), Select::All);
    let kinds: Vec<_> = groups[0].unresolved.iter().map(|(text, kind)| (text.as_str(), *kind)).collect();
    use MemberKind::{Other, Unknown};
    // Nothing would tell the engine that a user without anchor is still there: he makes the list incomplete.
    let expected = [
        ("CN=nobody,DC=x", Unknown),
        ("CN=noid,DC=x", Unknown),
        ("CN=c,DC=x", Other),
        ("not a name", Unknown),
    ];
    assert_eq!(kinds, expected);
    assert!(groups[0].complete);
}

#[test]
fn posix_members_are_found_by_uid() {
    let text = "dn: uid=Ada,dc=x\nobjectClass: posixAccount\nuid: Ada\nentryUUID: u1\n\n\
                dn: cn=g,dc=x\nobjectClass: posixGroup\ncn: g\nentryUUID: g1\nmemberUid: ada\nmemberUid: bob\n";
    let source = parse(text);
    let (groups, _) = groups_of(&source, Select::All);
    assert_eq!(groups[0].members, [("u1".to_owned(), MemberKind::User)]);
    assert_eq!(groups[0].unresolved, [("bob".to_owned(), MemberKind::Unknown)]);
    assert!(!source.capabilities().account_state);
}

#[test]
fn a_primary_group_that_cannot_be_told_cuts_the_lists_it_may_belong_to() {
    // rules C1, E10
    let in_domain = |domain: u32, rid: u32| format!("objectSid: S-1-5-21-{domain}-{rid}\n");
    let lists = |users: &[String]| {
        let mut text = format!("{}{}member: CN=u9,DC=x\n\n", group(1), in_domain(7, 513));
        write!(text, "{}{}\n{}\n", group(2), in_domain(8, 513), group(3)).unwrap();
        for (i, lines) in users.iter().enumerate() {
            writeln!(text, "{}{lines}", person(10 + i)).unwrap();
        }
        let source = parse(&text);
        let (groups, _) = groups_of(&source, Select::All);
        let shape: Vec<_> = groups.iter().map(|group| (group.members.len(), group.complete)).collect();
        (shape, source.summary().primary_groups_missing, source.summary().primary_groups_unknown)
    };
    let primary = "primaryGroupID: 513\n".to_owned();
    let sound = in_domain(7, 1100) + &primary;
    assert_eq!(lists(std::slice::from_ref(&sound)), (vec![(1, true), (0, true), (0, true)], 0, 0));
    // No SID: it may be either domain's group.
    assert_eq!(lists(&[primary]), (vec![(0, false), (0, false), (0, true)], 0, 0));
    // No primary group, though the export has it for others.
    assert_eq!(lists(&[sound, in_domain(7, 1101)]), (vec![(1, false), (0, true), (0, true)], 0, 1));
    // A group that is not in the export.
    assert_eq!(
        lists(&[in_domain(9, 5) + "primaryGroupID: 513\n"]),
        (vec![(0, true), (0, true), (0, true)], 1, 0)
    );
}

#[test]
fn an_export_without_any_member_proves_no_group_empty() {
    // rule C1
    let text = group(1) + "\n" + &person(2);
    assert!(!groups_of(&parse(&text), Select::All).0[0].complete);
    let trusted = LdifSource::parse(&text, &LdifOptions::new().empty_groups()).unwrap();
    assert!(groups_of(&trusted, Select::All).0[0].complete);
}

#[test]
fn a_list_in_ranges_without_its_end_is_partial() {
    // rule C1
    let text = format!("{}member;range=0-0: CN=g2,DC=x\n\n{}member: CN=g1,DC=x\n", group(1), group(2));
    let (groups, _) = groups_of(&parse(&text), Select::All);
    assert_eq!(groups.iter().map(|group| group.complete).collect::<Vec<_>>(), [false, true]);
    assert_eq!(groups[0].members.len(), 1);
}

#[test]
fn a_list_longer_than_a_page_goes_on_and_nothing_is_quadratic() {
    // rule S1
    let count = 25_000;
    let mut text = group(1);
    for i in 0..count {
        writeln!(text, "member: CN=u{},DC=x", 10 + i).unwrap();
    }
    text.push('\n');
    for i in 0..count {
        text += &person(10 + i);
        text.push('\n');
    }
    text += &group(2);
    let source = parse(&text);
    let (groups, end) = groups_of(&source, Select::All);
    assert_eq!(end, PageEnd::COMPLETE);
    assert_eq!(groups.iter().map(|group| group.members.len()).collect::<Vec<_>>(), [count, 0]);
    assert_eq!(groups[0].members.iter().collect::<BTreeSet<_>>().len(), count);
    let wanted = [SourceAnchor::from(groups[1].anchor.as_str()), SourceAnchor::from("z")];
    let (some, _) = groups_of(&source, Select::Anchors(&wanted));
    assert_eq!(some.len(), 1);
    assert_eq!(some[0].name, "g2");
}

#[test]
fn one_dn_with_two_objects_leads_to_neither() {
    let text = format!(
        "{}member: CN=u5,DC=x\nmember: CN=u7,DC=x\n\n{}\n{}\n{}\n{}",
        group(1),
        person(5),
        person(5).replace("000000000005", "000000000006"),
        person(7),
        person(7)
    );
    let source = parse(&text);
    let (groups, _) = groups_of(&source, Select::All);
    assert_eq!(groups[0].unresolved, [("CN=u5,DC=x".to_owned(), MemberKind::Unknown)]);
    assert_eq!(groups[0].members.len(), 1);
    // rule M5: the engine shall see both rows.
    assert_eq!(source.summary().users, 4);
}

#[test]
fn a_cut_group_is_withdrawn_and_its_list_is_partial() {
    // rules C1, S1
    let text = format!("{}\n{}member: CN=u1,DC=x\nmember: CN=u2,D", person(1), group(2));
    let source = LdifSource::parse(text, &LdifOptions::new().now(Timestamp(0))).unwrap();
    let (groups, end) = groups_of(&source, Select::All);
    assert!(!groups[0].complete);
    assert_eq!(end, PageEnd::partial("the export ends in the middle of a line"));
    let mut page = GroupPage::default();
    pollster::block_on(source.read_groups(Read::ALL, &mut page)).unwrap();
    assert_eq!(page.rows[0].health, crate::source::RowHealth::Withdrawn);
}
