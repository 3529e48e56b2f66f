//! Any text as a DN. The parser is private: what an export makes of entries and members tells whether two texts name one thing.

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::{DirectorySource, GroupPage, PageEnd, Read};

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    one: &'a str,
    other: &'a str,
    value: &'a str,
}

/// The name of the group that holds the member asked about; no other text may name it.
const HOLDER: &str = "cn=holder-7f3a";

pub fn run(bytes: &[u8]) {
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(bytes)) else { return };
    if [case.one, case.other, case.value].iter().any(|text| text.to_ascii_lowercase().contains("7f3a")) {
        return;
    }
    same_both_ways(case.one, case.other);
    same_however_escaped(case.value);
}

/// Being the same is symmetric, and neither the case of ASCII letters nor spaces at the ends matter.
fn same_both_ways(one: &str, other: &str) {
    assert_eq!(is_same(one, other), is_same(other, one), "{one:?} and {other:?}");
    if !is_same(one, one) {
        return; // no name
    }
    let (upper, lower) = (one.to_ascii_uppercase(), one.to_ascii_lowercase());
    assert!(is_same(one, &upper) && is_same(&upper, &lower), "{one:?}");
    let identity = |dn: &str| read(dn, dn).map(|source| source.identity());
    assert_eq!(identity(one), identity(&upper), "another domain of {one:?}");
    if is_same(one, other) {
        assert_eq!(identity(one), identity(other), "one name in two domains: {one:?} and {other:?}");
    }
}

/// RFC 4514: a value may be written with specials escaped, all in hex, or between quotes.
fn same_however_escaped(value: &str) {
    let hex: String = value.bytes().map(|octet| format!("\\{octet:02X}")).collect();
    let mut quoted = String::new();
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    let (hex, quoted) = (format!("CN={hex},DC=x"), format!("cn = \"{quoted}\" , dc=X"));
    assert!(is_same(&hex, &quoted), "{value:?}");
    let longer = format!("CN=a{hex}");
    assert!(!is_same(&longer, &hex), "{value:?}");
}

/// Whether a member of this name is the entry of that one; no entry has a name that is none.
fn is_same(entry: &str, member: &str) -> bool {
    let Some(source) = read(entry, member) else { return false };
    let mut page = GroupPage::default();
    let end = pollster::block_on(source.read_groups(Read::ALL, &mut page));
    assert!(matches!(end, Ok(PageEnd::Last(_))), "{end:?}");
    page.groups().any(|(_, _, mut members)| members.any(|member| member == "u1"))
}

fn read(entry: &str, member: &str) -> Option<LdifSource> {
    let (entry, member) = (STANDARD.encode(entry), STANDARD.encode(member));
    let export = format!(
        "dn:: {entry}\nobjectClass: person\nentryUUID: u1\n\n\
         dn: {HOLDER}\nobjectClass: groupOfNames\nentryUUID: g1\nmember:: {member}\n"
    );
    LdifSource::parse(export, &LdifOptions::new()).ok()
}
