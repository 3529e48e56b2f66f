//! One record, understood: what it is, its ids, its state, which of its values are handed on.

use super::ids::{Sid, guid_text, uuid_text};
use super::names::{Names, Range, Role};
use super::options::LdifOptions;
use super::parse::Record;
use crate::model::{AccountState, MemberKind, Timestamp};

/// What an entry is, by its object classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
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
    pub(super) fn is_user(self) -> bool {
        matches!(self, Self::User | Self::UserAndGroup)
    }

    pub(super) fn is_group(self) -> bool {
        matches!(self, Self::Group | Self::UserAndGroup)
    }

    /// What a member that is such an entry is (rule E9).
    pub(super) fn member_kind(self) -> MemberKind {
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

/// An anchor, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// `objectGUID`, or what the host named.
    Sure(String),
    /// `entryUUID`, which counts only where no entry has an `objectGUID`: nobody shall have one anchor today and the
    /// other one tomorrow because a right to read was lost.
    EntryUuid(String),
    Missing,
}

/// The group that `primaryGroupID` names (rule E10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrimaryGroup {
    Rid(u32),
    /// The attribute is there and makes no sense, or it is not there.
    Unknown,
}

/// A record with its values sorted out. Numbers of values point into the record.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) class: Class,
    pub(super) deleted: bool,
    pub(super) anchor: Anchor,
    pub(super) has_guid: bool,
    pub(super) has_control: bool,
    pub(super) state: AccountState,
    pub(super) version: Option<u64>,
    pub(super) sid: Option<Sid>,
    pub(super) token: Option<u32>,
    pub(super) primary_group: PrimaryGroup,
    pub(super) uids: Vec<usize>,
    pub(super) members: Vec<usize>,
    pub(super) member_uids: Vec<usize>,
    /// The member list is cut short (rule C1).
    pub(super) list_cut: bool,
    /// Names with values that are handed on.
    pub(super) shown: Vec<(u32, usize)>,
    /// Names of which nothing is handed on because some of it could not be read (rule A2).
    pub(super) unreadable: Vec<u32>,
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
pub(super) fn draft(record: &Record<'_>, names: &mut Names, options: &LdifOptions) -> Draft {
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
        anchor: anchor(options, guid, uuid, named),
        has_guid: !guid.is_absent(),
        has_control: !control.is_absent(),
        state: state(control.number(), expires, options.now),
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

fn anchor(options: &LdifOptions, guid: Once<'_>, uuid: Once<'_>, named: Once<'_>) -> Anchor {
    let text =
        |value: &[u8]| std::str::from_utf8(value).ok().filter(|text| !text.is_empty()).map(str::to_owned);
    let sure = match &options.anchor {
        Some(name) if !name.eq_ignore_ascii_case("objectGUID") => {
            named.octets().and_then(text).map(|text| uuid_text(&text).unwrap_or(text))
        }
        _ => guid.octets().and_then(guid_text),
    };
    match (sure, uuid.octets().and_then(text)) {
        (Some(anchor), _) => Anchor::Sure(anchor),
        (None, Some(anchor)) if options.anchor.is_none() && guid.is_absent() => {
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
fn state(control: Option<i64>, expires: Once<'_>, now: Option<Timestamp>) -> AccountState {
    if control.is_some_and(|control| control & DISABLED != 0) {
        return AccountState::Disabled;
    }
    let expired = match (expires, expires.number::<i64>(), now) {
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
    use super::super::parse::Records;
    use super::*;

    fn read(lines: &str, options: &LdifOptions) -> Draft {
        let text = format!("dn: cn=a\n{lines}\n");
        let record = Records::new(text.as_bytes()).next().unwrap().unwrap();
        draft(&record, &mut Names::with_anchor(options.anchor.as_deref()), options)
    }

    #[test]
    fn computers_and_contacts_are_no_users_though_their_classes_say_so() {
        let class = |classes: &[&str]| {
            let lines: String = classes.iter().map(|class| format!("objectClass: {class}\n")).collect();
            read(&lines, &LdifOptions::new()).class
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
            let options = LdifOptions { now: now.map(Timestamp), ..LdifOptions::new() };
            read(lines, &options).state
        };
        assert_eq!(state("userAccountControl: 512\n", None), Enabled);
        assert_eq!(state("userAccountControl: 514\n", None), Disabled);
        assert_eq!(state("", None), Unknown);
        assert_eq!(state("userAccountControl: x\n", None), Unknown);
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
        let cut = |lines: &str| read(lines, &LdifOptions::new()).list_cut;
        assert!(!cut("member: cn=b\n"));
        assert!(cut("member;range=0-1499: cn=b\n"));
        assert!(!cut("member;range=0-*: cn=b\n"));
        assert!(!cut("member;range=1500-*: cn=c\nmember;range=0-1499: cn=b\nmember;Range=0-1499: cn=d\n"));
        assert!(cut("member;range=0-1499: cn=b\nmember;range=1501-*: cn=c\n"));
        assert!(cut("member;range=1500-*: cn=c\n"));
        assert!(cut("member;range=0-x: cn=c\n"));
        assert!(cut("member:: /w==\n"));
    }

    #[test]
    fn an_attribute_that_is_cut_or_no_text_is_unreadable_as_a_whole() {
        // rule A2
        let draft = read(
            "mail: a@x\nmail:: /w==\nurl;range=0-9: u\ncn: a\ntitle;range=0-*: t\n",
            &LdifOptions::new(),
        );
        assert_eq!(draft.unreadable.len(), 2);
        assert_eq!(draft.shown.len(), 2);
    }

    #[test]
    fn one_anchor_and_only_one_identifies() {
        let anchor = |lines: &str, options: LdifOptions| read(lines, &options).anchor;
        let guid = "objectGUID: 03020100-0504-0706-0809-0A0B0C0D0E0F\n";
        let text = "03020100-0504-0706-0809-0a0b0c0d0e0f".to_owned();
        assert_eq!(anchor(guid, LdifOptions::new()), Anchor::Sure(text.clone()));
        assert_eq!(
            anchor(&guid.replace("objectGUID", "entryUUID"), LdifOptions::new()),
            Anchor::EntryUuid(text.clone())
        );
        assert_eq!(anchor(&format!("{guid}{guid}"), LdifOptions::new()), Anchor::Missing);
        assert_eq!(anchor("objectGUID: x\nentryUUID: y\n", LdifOptions::new()), Anchor::Missing);
        let named = LdifOptions::new().anchor("employeeNumber");
        assert_eq!(anchor(&format!("{guid}employeenumber: X7\n"), named), Anchor::Sure("X7".to_owned()));
        assert_eq!(anchor(guid, LdifOptions::new().anchor("OBJECTGUID")), Anchor::Sure(text));
    }
}
