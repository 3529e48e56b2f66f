//! One record, understood: what it is, its ids, its state, which of its values are handed on.

use super::ids::{Sid, guid_text, uuid_text};
use super::names::{Names, Range, Role};
use super::record::Record;
use crate::model::{AccountState, MemberKind, Timestamp};

/// What an entry is, by its object classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) enum Class {
    User,
    Group,
    /// Both at once; the engine shall say what it thinks of that (rule M5).
    UserAndGroup,
    Contact,
    Computer,
    Foreign,
    Container,
    Other,
    /// No `objectClass` was given.
    Unclassified,
}

impl Class {
    pub(in crate::adapter) fn is_user(self) -> bool {
        matches!(self, Self::User | Self::UserAndGroup)
    }

    pub(in crate::adapter) fn is_group(self) -> bool {
        matches!(self, Self::Group | Self::UserAndGroup)
    }

    /// What a member that is such an entry is (rule E9).
    pub(in crate::adapter) fn member_kind(self) -> MemberKind {
        match self {
            Self::User => MemberKind::User,
            Self::Group => MemberKind::Group,
            Self::Foreign => MemberKind::Foreign,
            Self::UserAndGroup | Self::Unclassified => MemberKind::Unknown,
            Self::Contact | Self::Computer | Self::Container | Self::Other => MemberKind::Other,
        }
    }

    fn of(record: &Record<'_>, names: &mut Names) -> Self {
        let mut found = Found::default();
        for value in &record.values {
            if names.meaning(value.name()).role == Role::ObjectClass {
                found.add(value.octets());
            }
        }
        found.class()
    }
}

#[derive(Default)]
struct Found {
    any: bool,
    user: bool,
    group: bool,
    special: Option<Class>,
    container: bool,
}

impl Found {
    fn add(&mut self, class: &[u8]) {
        let is = |name: &str| class.eq_ignore_ascii_case(name.as_bytes());
        self.any = true;
        self.user |= ["user", "person", "inetOrgPerson", "posixAccount"].into_iter().any(is);
        self.group |= ["group", "groupOfNames", "groupOfUniqueNames", "groupOfMembers", "posixGroup"]
            .into_iter()
            .any(is);
        self.container |= ["organizationalUnit", "container", "domain", "organization"].into_iter().any(is);
        // A computer has the class of a user, a contact that of a person: what they are beyond that decides.
        if is("computer") || class.to_ascii_lowercase().ends_with(b"managedserviceaccount") {
            self.special = Some(Class::Computer);
        } else if is("contact") {
            self.special = Some(Class::Contact);
        } else if is("foreignSecurityPrincipal") {
            self.special = Some(Class::Foreign);
        }
    }

    fn class(self) -> Class {
        match (self.special, self.user, self.group) {
            _ if !self.any => Class::Unclassified,
            (Some(special), ..) => special,
            (None, true, true) => Class::UserAndGroup,
            (None, true, false) => Class::User,
            (None, false, true) => Class::Group,
            (None, false, false) if self.container => Class::Container,
            (None, false, false) => Class::Other,
        }
    }
}

/// What the host says about entries that they do not say themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::adapter) struct Reading<'o> {
    /// The attribute that holds the immutable id, where the host named one.
    pub(in crate::adapter) anchor: Option<&'o str>,
    /// When `accountExpires` is judged.
    pub(in crate::adapter) now: Option<Timestamp>,
    /// Every account has an `accountExpires`: one that shows none keeps it from us.
    pub(in crate::adapter) ends: bool,
}

/// An anchor, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::adapter) enum Anchor {
    /// `objectGUID`, or what the host named.
    Sure(String),
    /// `entryUUID`, which counts only where no entry has an `objectGUID`: nobody shall have one anchor today and the
    /// other one tomorrow because a right to read was lost.
    EntryUuid(String),
    Missing,
}

/// The group that `primaryGroupID` names (rule E10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) enum PrimaryGroup {
    Rid(u32),
    /// The attribute is there and makes no sense, or it is not there.
    Unknown,
}

/// A record with its values sorted out. Numbers of values point into the record.
#[derive(Debug)]
pub(in crate::adapter) struct Draft {
    pub(in crate::adapter) class: Class,
    pub(in crate::adapter) deleted: bool,
    pub(in crate::adapter) anchor: Anchor,
    pub(in crate::adapter) has_guid: bool,
    pub(in crate::adapter) has_control: bool,
    pub(in crate::adapter) state: AccountState,
    pub(in crate::adapter) version: Option<u64>,
    pub(in crate::adapter) sid: Option<Sid>,
    pub(in crate::adapter) token: Option<u32>,
    pub(in crate::adapter) primary_group: PrimaryGroup,
    pub(in crate::adapter) uids: Vec<usize>,
    pub(in crate::adapter) members: Vec<usize>,
    pub(in crate::adapter) member_uids: Vec<usize>,
    /// The member list is cut short (rule C1).
    pub(in crate::adapter) list_cut: bool,
    /// Names with values that are handed on.
    pub(in crate::adapter) shown: Vec<(u32, usize)>,
    /// Names of which nothing is handed on because some of it could not be read (rule A2).
    pub(in crate::adapter) unreadable: Vec<u32>,
}

/// Values that a sound entry has once.
#[derive(Clone, Copy, Default)]
enum Once<'r> {
    #[default]
    Absent,
    One(&'r [u8]),
    Several,
}

impl<'r> Once<'r> {
    fn add(&mut self, value: &'r [u8]) {
        *self = match self {
            Self::Absent => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    fn octets(self) -> Option<&'r [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Several => None,
        }
    }

    fn number<N: std::str::FromStr>(self) -> Option<N> {
        std::str::from_utf8(self.octets()?).ok()?.trim().parse().ok()
    }

    fn is_absent(self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Sorts out a record. Linear in its values, but for sorting its ranges and unreadable names.
pub(in crate::adapter) fn draft(record: &Record<'_>, names: &mut Names, reading: Reading<'_>) -> Draft {
    let class = Class::of(record, names);
    let (mut guid, mut uuid, mut named) = (Once::default(), Once::default(), Once::default());
    let (mut control, mut expires, mut changed) = (Once::default(), Once::default(), Once::default());
    let (mut sid, mut token, mut primary, mut deleted) =
        (Once::default(), Once::default(), Once::default(), Once::default());
    let (mut uids, mut members, mut member_uids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut shown, mut unreadable, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
    let mut list_cut = record.cut;

    for (i, value) in record.values.iter().enumerate() {
        let meaning = names.meaning(value.name());
        let octets = value.octets();
        if let Some(range) = meaning.range {
            let part = (meaning.name, range, meaning.role);
            if ranges.last() != Some(&part) {
                ranges.push(part);
            }
        }
        if meaning.is_anchor {
            named.add(octets);
        }
        match meaning.role {
            Role::ObjectGuid => guid.add(octets),
            Role::EntryUuid => uuid.add(octets),
            Role::ObjectSid => sid.add(octets),
            Role::PrimaryGroupId => primary.add(octets),
            Role::PrimaryGroupToken => token.add(octets),
            Role::AccountControl => control.add(octets),
            Role::AccountExpires => expires.add(octets),
            Role::Changed => changed.add(octets),
            Role::Deleted => deleted.add(octets),
            Role::Uid => uids.push(i),
            // AD names a range without a value only where there is none: the range still counts.
            Role::Member => members.push(i),
            Role::MemberUid => member_uids.push(i),
            Role::Plain | Role::LeftOut | Role::ObjectClass => {}
        }
        if meaning.role.is_shown() {
            match std::str::from_utf8(octets) {
                Ok(_) => shown.push((meaning.name, i)),
                Err(_) => unreadable.push(meaning.name),
            }
        } else if matches!(meaning.role, Role::Member | Role::MemberUid)
            && std::str::from_utf8(octets).is_err()
        {
            list_cut = true;
        }
    }

    // By name, then by where the range starts.
    ranges.sort_unstable_by_key(|(name, range, _)| (*name, *range));
    for part in ranges.chunk_by(|a, b| a.0 == b.0) {
        let Some((name, _, role)) = part.first() else { continue };
        if !covers_all(part.iter().map(|(_, range, _)| *range)) {
            match role {
                Role::Member | Role::MemberUid => list_cut = true,
                role if role.is_shown() => unreadable.push(*name),
                _ => {}
            }
        }
    }
    unreadable.sort_unstable();
    unreadable.dedup();
    shown.retain(|(name, _)| unreadable.binary_search(name).is_err());

    Draft {
        class,
        deleted: deleted.octets().is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"true")),
        anchor: anchor(reading, guid, uuid, named),
        has_guid: !guid.is_absent(),
        has_control: !control.is_absent(),
        state: state(control.number(), expires, reading),
        version: changed.number(),
        sid: sid.octets().and_then(Sid::parse),
        token: token.number(),
        primary_group: primary.number().map_or(PrimaryGroup::Unknown, PrimaryGroup::Rid),
        uids,
        members,
        member_uids,
        list_cut,
        shown,
        unreadable,
    }
}

/// Whether sorted ranges cover everything from the first value to the last.
fn covers_all(ranges: impl Iterator<Item = Range>) -> bool {
    let mut next = 0;
    for range in ranges {
        if range.first > next {
            return false;
        }
        match range.last {
            None => return true,
            Some(last) => next = next.max(last.saturating_add(1)),
        }
    }
    false
}

fn anchor(reading: Reading<'_>, guid: Once<'_>, uuid: Once<'_>, named: Once<'_>) -> Anchor {
    let text =
        |value: &[u8]| std::str::from_utf8(value).ok().filter(|text| !text.is_empty()).map(str::to_owned);
    let sure = match reading.anchor {
        Some(name) if !name.eq_ignore_ascii_case("objectGUID") => {
            named.octets().and_then(text).map(|text| uuid_text(&text).unwrap_or(text))
        }
        _ => guid.octets().and_then(guid_text),
    };
    match (sure, uuid.octets().and_then(text)) {
        (Some(anchor), _) => Anchor::Sure(anchor),
        (None, Some(anchor)) if reading.anchor.is_none() && guid.is_absent() => {
            Anchor::EntryUuid(uuid_text(&anchor).unwrap_or(anchor))
        }
        _ => Anchor::Missing,
    }
}

/// AD `ACCOUNTDISABLE`.
const DISABLED: i64 = 0x2;
/// From 1601, where AD counts from, to 1970.
const EPOCH_SECONDS: i128 = 11_644_473_600;
/// AD counts steps of 100 ns.
const STEPS: i128 = 10_000_000;

/// Whether the account may sign in (rule A5).
fn state(control: Option<i64>, expires: Once<'_>, reading: Reading<'_>) -> AccountState {
    if control.is_some_and(|control| control & DISABLED != 0) {
        return AccountState::Disabled;
    }
    let expired = match (expires, expires.number::<i64>(), reading.now) {
        (Once::Absent, ..) if reading.ends => None,
        (Once::Absent, ..) | (_, Some(0 | i64::MAX), _) => Some(false),
        (_, Some(end), Some(now)) => Some(i128::from(end) <= (i128::from(now.0) + EPOCH_SECONDS) * STEPS),
        _ => None,
    };
    match (expired, control) {
        (Some(true), _) => AccountState::Disabled,
        (Some(false), Some(_)) => AccountState::Enabled,
        _ => AccountState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Value;
    use super::*;

    fn read(lines: &str, reading: Reading<'_>) -> Draft {
        let value = |line: &str| match line.split_once(": ") {
            Some((name, hex)) if name.ends_with(":hex") => {
                let octets = hex.split(' ').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
                Value::of(name.trim_end_matches(":hex").as_bytes(), octets)
            }
            Some((name, text)) => Value::of(name.as_bytes(), text.as_bytes().to_vec()),
            None => panic!("no line: {line}"),
        };
        let record = Record { values: lines.lines().map(value).collect(), ..Record::default() };
        draft(&record, &mut Names::with_anchor(reading.anchor), reading)
    }

    #[test]
    fn computers_and_contacts_are_no_users_though_their_classes_say_so() {
        let class = |classes: &[&str]| {
            let lines: String = classes.iter().map(|class| format!("objectClass: {class}\n")).collect();
            read(&lines, Reading::default()).class
        };
        assert_eq!(class(&["top", "person", "organizationalPerson", "USER"]), Class::User);
        assert_eq!(class(&["top", "person", "user", "computer"]), Class::Computer);
        assert_eq!(class(&["user", "computer", "msDS-GroupManagedServiceAccount"]), Class::Computer);
        assert_eq!(class(&["top", "person", "contact"]), Class::Contact);
        assert_eq!(class(&["groupOfUniqueNames"]), Class::Group);
        assert_eq!(class(&["account", "posixAccount"]), Class::User);
        assert_eq!(class(&["person", "posixGroup"]), Class::UserAndGroup);
        assert_eq!(class(&["foreignSecurityPrincipal"]), Class::Foreign);
        assert_eq!(class(&["organizationalUnit"]), Class::Container);
        assert_eq!(class(&["device"]), Class::Other);
        assert_eq!(class(&[]), Class::Unclassified);
    }

    #[test]
    fn an_account_is_judged_by_its_flag_and_its_end() {
        // rule A5
        use AccountState::{Disabled, Enabled, Unknown};
        let state = |lines: &str, now: Option<i64>| {
            read(lines, Reading { now: now.map(Timestamp), ..Reading::default() }).state
        };
        assert_eq!(state("userAccountControl: 512\n", None), Enabled);
        assert_eq!(state("userAccountControl: 514\n", None), Disabled);
        assert_eq!(state("", None), Unknown);
        assert_eq!(state("userAccountControl: x\n", None), Unknown);
        // A live controller shows the end of every account that may be read.
        let live = Reading { ends: true, ..Reading::default() };
        assert_eq!(read("userAccountControl: 512\n", live).state, Unknown);
        assert_eq!(read("userAccountControl: 512\naccountExpires: 0\n", live).state, Enabled);
        assert_eq!(read("userAccountControl: 514\n", live).state, Disabled);
        for never in ["0", "9223372036854775807"] {
            assert_eq!(state(&format!("userAccountControl: 512\naccountExpires: {never}\n"), None), Enabled);
        }
        // 2020-01-01T00:00:00Z is 132223104000000000 there and 1577836800 here.
        let expiring = "userAccountControl: 512\naccountExpires: 132223104000000000\n";
        assert_eq!(state(expiring, None), Unknown);
        assert_eq!(state(expiring, Some(1_577_836_799)), Enabled);
        assert_eq!(state(expiring, Some(1_577_836_800)), Disabled);
        assert_eq!(state("accountExpires: 132223104000000000\n", Some(1_577_836_800)), Disabled);
        assert_eq!(state("accountExpires: 132223104000000000\n", Some(0)), Unknown);
        assert_eq!(
            state("userAccountControl: 512\naccountExpires: 1\naccountExpires: 2\n", Some(9)),
            Unknown
        );
        assert_eq!(state("userAccountControl: 512\naccountExpires: 1\n", Some(i64::MAX)), Disabled);
    }

    #[test]
    fn a_list_in_ranges_is_whole_only_from_the_first_value_to_the_last() {
        // rule C1
        let cut = |lines: &str| read(lines, Reading::default()).list_cut;
        assert!(!cut("member: cn=b\n"));
        assert!(cut("member;range=0-1499: cn=b\n"));
        assert!(!cut("member;range=0-*: cn=b\n"));
        assert!(!cut("member;range=1500-*: cn=c\nmember;range=0-1499: cn=b\nmember;Range=0-1499: cn=d\n"));
        assert!(cut("member;range=0-1499: cn=b\nmember;range=1501-*: cn=c\n"));
        assert!(cut("member;range=1500-*: cn=c\n"));
        assert!(cut("member;range=0-x: cn=c\n"));
        assert!(cut("member:hex: ff\n"));
    }

    #[test]
    fn an_attribute_that_is_cut_or_no_text_is_unreadable_as_a_whole() {
        // rule A2
        let draft = read(
            "mail: a@x\nmail:hex: ff\nurl;range=0-9: u\ncn: a\ntitle;range=0-*: t\n",
            Reading::default(),
        );
        assert_eq!(draft.unreadable.len(), 2);
        assert_eq!(draft.shown.len(), 2);
    }

    #[test]
    fn one_anchor_and_only_one_identifies() {
        let anchor = |lines: &str, reading: Reading<'_>| read(lines, reading).anchor;
        let guid = "objectGUID: 03020100-0504-0706-0809-0A0B0C0D0E0F\n";
        let text = "03020100-0504-0706-0809-0a0b0c0d0e0f".to_owned();
        assert_eq!(anchor(guid, Reading::default()), Anchor::Sure(text.clone()));
        assert_eq!(
            anchor(&guid.replace("objectGUID", "entryUUID"), Reading::default()),
            Anchor::EntryUuid(text.clone())
        );
        assert_eq!(anchor(&format!("{guid}{guid}"), Reading::default()), Anchor::Missing);
        assert_eq!(anchor("objectGUID: x\nentryUUID: y\n", Reading::default()), Anchor::Missing);
        let named = Reading { anchor: Some("employeeNumber"), ..Reading::default() };
        assert_eq!(anchor(&format!("{guid}employeenumber: X7\n"), named), Anchor::Sure("X7".to_owned()));
        assert_eq!(
            anchor(guid, Reading { anchor: Some("OBJECTGUID"), ..Reading::default() }),
            Anchor::Sure(text)
        );
    }
}
