//! The LDIF source, seen from outside: users, tombstones, completeness, faults.

#![cfg(feature = "ldif")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeMap;

use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::{
    AccountState, Asked, DirectorySource, Existence, GroupPage, Limits, MemberKind, PageEnd, PageToken, Read,
    Select, SourceAnchor, Timestamp, UserPage,
};
use pollster::block_on;
use pretty_assertions::assert_eq;
use proptest::prelude::*;

const DAY_1: &str = "examples/data/corp-export.ldif";
const DAY_2: &str = "examples/data/corp-export-day2.ldif";
/// 2026-11-22, the day of the export.
const TODAY: Timestamp = Timestamp(1_795_305_600);

fn corp(path: &str) -> LdifSource {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    LdifSource::open(path, &LdifOptions::new().now(TODAY)).unwrap()
}

fn parse(text: &str) -> LdifSource {
    LdifSource::parse(text, &LdifOptions::new()).unwrap()
}

#[derive(Debug, Default)]
struct User {
    state: AccountState,
    attributes: BTreeMap<String, Vec<String>>,
    unreadable: Vec<String>,
}

fn users(source: &LdifSource, select: Select<'_>) -> (BTreeMap<String, User>, PageEnd) {
    let mut all = BTreeMap::new();
    let mut page = UserPage::with_limits(Limits::default());
    let mut token: Option<PageToken> = None;
    loop {
        page.clear();
        let end = block_on(source.read_users(Read::new(select, token.as_ref()), &mut page)).unwrap();
        for (anchor, state, attributes) in page.users() {
            let mut user = User { state, ..User::default() };
            for (name, value) in attributes.iter() {
                user.attributes.entry(name.to_owned()).or_default().push(value.to_owned());
            }
            user.unreadable.extend(attributes.unreadable().map(str::to_owned));
            all.insert(anchor.to_owned(), user);
        }
        match end {
            PageEnd::More(next) => token = Some(next),
            last => return (all, last),
        }
    }
}

fn user_named(source: &LdifSource, logon: &str) -> (String, User) {
    let (all, _) = users(source, Select::All);
    let has = |user: &User| user.attributes.get("sAMAccountName").is_some_and(|names| names[0] == logon);
    all.into_iter().find(|(_, user)| has(user)).unwrap_or_else(|| panic!("nobody is called {logon}"))
}

fn existence(source: &LdifSource, anchor: &str) -> Existence {
    let anchors = [SourceAnchor::from(anchor)];
    let mut asked = Asked::new(&anchors);
    block_on(source.existence(&mut asked)).unwrap();
    asked.answers().next().unwrap().1
}

fn end(text: &str) -> PageEnd {
    let source = parse(text);
    let (_, users) = users(&source, Select::All);
    let mut page = GroupPage::default();
    assert_eq!(block_on(source.read_groups(Read::ALL, &mut page)).unwrap(), users);
    users
}

#[test]
fn the_corp_exports_are_read_whole() {
    let (first, second) = (corp(DAY_1), corp(DAY_2));
    let counts = |source: &LdifSource| {
        let found = source.summary();
        (found.users, found.groups, found.tombstones, found.skipped.computers, found.skipped.contacts)
    };
    assert_eq!(counts(&first), (66, 54, 3, 2, 1));
    assert_eq!(counts(&second), (65, 55, 4, 2, 1));
    assert_eq!(first.identity().as_str(), "corp.example.com");
    assert_eq!(first.identity(), second.identity());
    for source in [first, second] {
        assert_eq!(source.summary().unidentified_users + source.summary().unidentified_groups, 0);
        assert_eq!(source.summary().references, 1);
        let (all, end) = users(&source, Select::All);
        assert_eq!((all.len(), end), (source.summary().users, PageEnd::COMPLETE));
        assert!(source.capabilities().account_state && source.capabilities().existence);
    }
}

#[test]
fn disabled_and_expired_accounts_are_disabled_and_others_are_not() {
    // rule A5
    let source = corp(DAY_1);
    let state = |logon| user_named(&source, logon).1.state;
    assert_eq!(state("ddisabled"), AccountState::Disabled);
    assert_eq!(state("svc-backup"), AccountState::Disabled);
    assert_eq!(state("eexpired"), AccountState::Disabled);
    assert_eq!(state("nnever"), AccountState::Enabled);
    assert_eq!(state("mchange"), AccountState::Enabled);
    let timeless = LdifSource::parse(std::fs::read(DAY_1).unwrap(), &LdifOptions::new()).unwrap();
    assert_eq!(user_named(&timeless, "eexpired").1.state, AccountState::Unknown);
    assert_eq!(user_named(&timeless, "ddisabled").1.state, AccountState::Disabled);
}

#[test]
fn attributes_are_text_and_photos_and_links_are_left_out() {
    let source = corp(DAY_1);
    let (anchor, zoe) = user_named(&source, "zmueller");
    assert_eq!(anchor, "d60f7c01-23e2-4a28-8fdb-0400b6ab3f42");
    assert_eq!(zoe.attributes["displayName"], ["Zoë Müller-Lüdenscheidt"]);
    assert_eq!(user_named(&source, "avogel").1.attributes["proxyAddresses"].len(), 3);
    let (_, photo) = user_named(&source, "photo");
    assert_eq!(photo.attributes["info"], ["first line\r\nsecond line\r\n"]);
    assert!(photo.unreadable.is_empty());
    for name in ["thumbnailPhoto", "objectSid", "objectGUID", "memberOf", "objectClass"] {
        assert!(!photo.attributes.contains_key(name) && !zoe.attributes.contains_key(name), "{name}");
    }
}

#[test]
fn the_same_person_keeps_the_anchor_when_name_and_place_change() {
    // rule M1
    let (first, _) = users(&corp(DAY_1), Select::All);
    let (second, _) = users(&corp(DAY_2), Select::All);
    let dn = |user: &User| user.attributes["distinguishedName"].clone();
    let moved =
        first.iter().filter(|(anchor, user)| second.get(*anchor).is_some_and(|now| dn(now) != dn(user)));
    assert_eq!(moved.count(), 2);
}

#[test]
fn a_tombstone_is_proof_and_absence_is_not() {
    // rule C3
    let (first, second) = (corp(DAY_1), corp(DAY_2));
    let (leaver, _) = user_named(&first, "pgruber");
    assert_eq!(existence(&first, &leaver), Existence::Exists { kind: MemberKind::User });
    assert_eq!(existence(&second, &leaver), Existence::Gone);
    assert_eq!(existence(&second, "00000000-0000-0000-0000-000000000000"), Existence::Unknown);
    let anchors = [SourceAnchor::from(leaver.as_str())];
    let mut page = UserPage::default();
    block_on(second.read_users(Read::new(Select::Anchors(&anchors), None), &mut page)).unwrap();
    assert_eq!((page.len(), page.users().count()), (1, 0));
}

#[test]
fn the_living_beat_their_own_tombstone() {
    // rule M5
    let guid = "objectGUID: 00000000-0000-0000-0000-000000000001\nobjectClass: user\n";
    let source = parse(&format!("dn: CN=a,DC=x\n{guid}isDeleted: TRUE\n\ndn: CN=b,DC=x\n{guid}"));
    let answer = existence(&source, "00000000-0000-0000-0000-000000000001");
    assert_eq!(answer, Existence::Exists { kind: MemberKind::User });
}

#[test]
fn a_selection_gives_those_and_only_those() {
    let source = corp(DAY_1);
    let (all, _) = users(&source, Select::All);
    let mut wanted: Vec<SourceAnchor> = all.keys().step_by(3).map(|anchor| anchor.as_str().into()).collect();
    wanted.push("zzz".into());
    let (some, end) = users(&source, Select::Anchors(&wanted));
    assert_eq!(some.len(), wanted.len() - 1);
    assert!(some.keys().all(|anchor| wanted.iter().any(|w| w.as_str() == anchor)));
    assert_eq!(end, PageEnd::COMPLETE);
    assert!(users(&source, Select::Anchors(&[])).0.is_empty());
}

#[test]
fn many_users_come_on_many_pages_each_once() {
    let text: String = (0..2_500)
        .map(|i| format!("dn: uid=u{i},o=x\nobjectClass: person\nuid: u{i}\nentryUUID: {i}\n\n"))
        .collect();
    let source = parse(&text);
    assert_eq!(users(&source, Select::All).0.len(), 2_500);
    assert_eq!(source.identity().as_str(), "ldif");
    let token = PageToken::new(*b"nonsense");
    assert!(
        block_on(source.read_users(Read::new(Select::All, Some(&token)), &mut UserPage::default())).is_err()
    );
}

#[test]
fn broken_text_is_refused_with_its_line() {
    let cases = [
        ("dn: CN=a,DC=x\nno colon here\n", 2, "a colon is missing after the attribute name"),
        ("dn: CN=a,DC=x\ncn:: a\n b\n c=d\n", 2, "the value is no valid base64"),
        ("dn: CN=a,DC=x\n\n\ncn: a\n", 4, "a record must begin with its dn"),
        ("dn: CN=a,DC=x\ncn: a\ndn: CN=b,DC=x\n", 3, "a second dn in one record"),
        ("# c\n# c\ndn: nonsense\n", 3, "this is no distinguished name"),
        ("dn:: //8=\n", 1, "this is no distinguished name"),
        ("dn: CN=a,DC=x\njpegPhoto:< file:///etc/passwd\n", 2, "values from a url are not read"),
        ("dn: CN=a,DC=x\nchangetype: modify\nadd: cn\n", 2, "a change record was found"),
        ("version: 2\ndn: CN=a,DC=x\n", 1, "only version 1"),
        ("dn: CN=a,DC=x\n\n folded\n", 3, "a continued line follows no line"),
        ("dn: CN=a,DC=x\nc n: a\n", 2, "this is no attribute name"),
        ("dn: CN=a,DC=x\n: a\n", 2, "this is no attribute name"),
        ("search: 2\nresult: what\n", 2, "the result of the search has no code"),
    ];
    for (text, line, message) in cases {
        let error = LdifSource::parse(text, &LdifOptions::new()).unwrap_err();
        assert_eq!(error.line(), Some(line), "{text:?}");
        assert!(error.to_string().starts_with(&format!("line {line}: {message}")), "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error_without_a_line() {
    let error = LdifSource::open("tests/data/not-there.ldif", &LdifOptions::new()).unwrap_err();
    assert_eq!(error.line(), None);
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn an_export_that_is_not_whole_is_partial() {
    // rule C1
    let whole = "dn: CN=a,DC=x\nobjectClass: user\nobjectGUID:: AXwP1uIjKEqP2wQAtqs/Qg==\n\n";
    assert_eq!(end(whole), PageEnd::COMPLETE);
    assert_eq!(end(&format!("{whole}search: 2\nresult: 0 Success\n")), PageEnd::COMPLETE);
    for (rest, reason) in [
        ("search: 2\nresult: 4 Size limit exceeded\n", "the search ended with result code 4"),
        ("search: 2\nresult: 3 Time limit exceeded\n", "the search ended with result code 3"),
        ("# pagedresults: cookie=AAEC\n", "the export ends before its last page"),
        ("# extended LDIF\n", "the export ends before the result of the search"),
        ("dn: CN=b,DC=x\ncn: b\n", "entries without objectClass: 1"),
        ("dn: CN=b,D", "the export ends in the middle of a line"),
    ] {
        assert_eq!(end(&format!("{whole}{rest}")), PageEnd::partial(reason));
    }
    assert_eq!(end(""), PageEnd::partial("the export holds no entry"));
    let told = LdifSource::parse(whole, &LdifOptions::new().partial("one unit only")).unwrap();
    assert_eq!(users(&told, Select::All).1, PageEnd::partial("one unit only"));
}

#[test]
fn an_entry_uuid_stands_in_only_where_no_guid_is() {
    let user = |name: &str, id: &str| format!("dn: CN={name},DC=x\nobjectClass: user\n{id}\n\n");
    let uuid = user("a", "entryUUID: U1");
    assert_eq!(users(&parse(&uuid), Select::All).0.keys().collect::<Vec<_>>(), ["U1"]);
    let mixed = parse(&(uuid + &user("b", "objectGUID: 00000000-0000-0000-0000-00000000000B")));
    let (found, _) = users(&mixed, Select::All);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["00000000-0000-0000-0000-00000000000b"]);
    assert_eq!(mixed.summary().unidentified_users, 1);
}

#[test]
fn utf_16_and_crlf_give_the_same_as_plain_text() {
    let plain = std::fs::read_to_string(DAY_1).unwrap();
    let dos = plain.replace('\n', "\r\n");
    let wide: Vec<u8> =
        std::iter::once(0xfeff).chain(dos.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let wide = LdifSource::parse(wide, &LdifOptions::new()).unwrap();
    let plain = parse(&plain);
    assert_eq!(wide.summary(), plain.summary());
    assert_eq!(format!("{:?}", users(&wide, Select::All)), format!("{:?}", users(&plain, Select::All)));
}

#[test]
fn neither_debug_nor_errors_show_what_stands_in_an_export() {
    // rule S2
    let secret = "hunter2";
    let entry =
        format!("dn: CN={secret},DC=x\nobjectClass: user\ndescription: {secret}\nuserPassword: {secret}\n");
    assert!(!format!("{:?}", parse(&entry)).contains(secret));
    for broken in
        [format!("{entry}cn:: {secret}!\n"), format!("{entry}{secret}\n"), format!("dn: {secret}\n")]
    {
        let error = LdifSource::parse(broken, &LdifOptions::new()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret));
    }
}

proptest! {
    #[test]
    fn no_octets_panic(octets in any::<Vec<u8>>()) {
        // rule S1
        let _ = LdifSource::parse(octets, &LdifOptions::new());
    }

    #[test]
    fn a_damaged_export_gives_an_error_or_pages(at in 0..100_000usize, cut in 0..110_000usize, octet in any::<u8>()) {
        // rule S1
        let mut octets = std::fs::read(DAY_1).unwrap();
        octets.truncate(cut.max(1));
        let at = at % octets.len();
        octets[at] = octet;
        if let Ok(source) = LdifSource::parse(octets, &LdifOptions::new()) {
            let (all, _) = users(&source, Select::All);
            // There are 66; a contact or computer whose class is damaged reads as one more.
            prop_assert!(all.len() <= 67, "{}", all.len());
            let mut page = GroupPage::default();
            let _ = block_on(source.read_groups(Read::ALL, &mut page)).unwrap();
        }
    }
}
