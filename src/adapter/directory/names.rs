//! Attribute names: how each is spelled, and what it means to this adapter.

use indexmap::IndexMap;

/// What an attribute is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter) enum Role {
    /// Handed on and nothing else.
    Plain,
    /// Neither handed on nor used: binary, secret, or told otherwise.
    LeftOut,
    ObjectClass,
    ObjectGuid,
    ObjectSid,
    EntryUuid,
    /// Members by DN.
    Member,
    /// Members by `uid`.
    MemberUid,
    Uid,
    PrimaryGroupId,
    PrimaryGroupToken,
    AccountControl,
    AccountExpires,
    Changed,
    Deleted,
}

impl Role {
    /// Whether values with this role are attributes of the object too.
    pub(in crate::adapter) fn is_shown(self) -> bool {
        !matches!(
            self,
            Self::LeftOut
                | Self::ObjectClass
                | Self::ObjectGuid
                | Self::ObjectSid
                | Self::Member
                | Self::MemberUid
        )
    }
}

/// A part of a ranged attribute: `member;range=0-1499`, or `*` for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::adapter) struct Range {
    pub(in crate::adapter) first: u64,
    /// `None`: up to the last value.
    pub(in crate::adapter) last: Option<u64>,
}

/// What a spelling of a name stands for.
#[derive(Clone, Copy, Debug)]
pub(in crate::adapter) struct Meaning {
    /// Number of the name without range and without regard to case.
    pub(in crate::adapter) name: u32,
    pub(in crate::adapter) role: Role,
    pub(in crate::adapter) is_anchor: bool,
    pub(in crate::adapter) range: Option<Range>,
}

/// All names of an export, each spelling looked at once.
#[derive(Debug, Default)]
pub(in crate::adapter) struct Names {
    meanings: IndexMap<Box<[u8]>, Meaning>,
    /// Lower case to the spelling that is handed on.
    spelled: IndexMap<Box<str>, Box<str>>,
    anchor: Option<Box<str>>,
}

impl Names {
    /// With the attribute that the host named as anchor.
    pub(in crate::adapter) fn with_anchor(anchor: Option<&str>) -> Self {
        Self { anchor: anchor.map(|name| name.to_ascii_lowercase().into()), ..Self::default() }
    }

    pub(in crate::adapter) fn meaning(&mut self, spelling: &[u8]) -> Meaning {
        if let Some(known) = self.meanings.get(spelling) {
            return *known;
        }
        let meaning = self.work_out(&String::from_utf8_lossy(spelling));
        self.meanings.insert(spelling.into(), meaning);
        meaning
    }

    /// The spelling that is handed on.
    pub(in crate::adapter) fn spelling(&self, name: u32) -> &str {
        self.spelled.get_index(name as usize).map_or("", |(_, spelled)| spelled)
    }

    fn work_out(&mut self, spelling: &str) -> Meaning {
        let mut range = None;
        let mut kept = Vec::new();
        for part in spelling.split(';') {
            match range_of(part) {
                Some(found) => range = Some(found),
                None => kept.push(part),
            }
        }
        let lower = kept.join(";").to_ascii_lowercase();
        let base = lower.split(';').next().unwrap_or_default();
        let plain = lower.len() == base.len();
        let known = known_role(base);
        let role = match known {
            // Options do not make a photo or a password readable; another language of a name is another attribute.
            Role::LeftOut => Role::LeftOut,
            _ if lower.split(';').skip(1).any(|option| option == "binary") => Role::LeftOut,
            known if plain => known,
            _ => Role::Plain,
        };
        let is_anchor = plain && self.anchor.as_deref() == Some(base);
        let canonical = match well_known(base) {
            Some(canonical) if plain => canonical.to_owned(),
            Some(canonical) => {
                kept.iter().skip(1).fold(canonical.to_owned(), |name, option| name + ";" + option)
            }
            None => kept.join(";"),
        };
        let entry = self.spelled.entry(lower.into());
        let name = u32::try_from(entry.index()).unwrap_or(u32::MAX);
        entry.or_insert_with(|| canonical.into());
        Meaning { name, role, is_anchor, range }
    }
}

fn range_of(option: &str) -> Option<Range> {
    let (word, bounds) = option.split_once('=')?;
    if !word.eq_ignore_ascii_case("range") {
        return None;
    }
    // What cannot be understood covers nothing, so that the list counts as cut.
    let nothing = Range { first: u64::MAX, last: Some(0) };
    let Some((first, last)) = bounds.split_once('-') else { return Some(nothing) };
    let Ok(first) = first.parse() else { return Some(nothing) };
    let last = if last == "*" { None } else { Some(last.parse().unwrap_or(0)) };
    Some(Range { first, last })
}

fn known_role(lower: &str) -> Role {
    match lower {
        "objectclass" => Role::ObjectClass,
        "objectguid" => Role::ObjectGuid,
        "objectsid" => Role::ObjectSid,
        "entryuuid" => Role::EntryUuid,
        "member" | "uniquemember" => Role::Member,
        "memberuid" => Role::MemberUid,
        "uid" => Role::Uid,
        "primarygroupid" => Role::PrimaryGroupId,
        "primarygrouptoken" => Role::PrimaryGroupToken,
        "useraccountcontrol" => Role::AccountControl,
        "accountexpires" => Role::AccountExpires,
        "usnchanged" => Role::Changed,
        "isdeleted" => Role::Deleted,
        _ if LEFT_OUT.contains(&lower) => Role::LeftOut,
        _ => Role::Plain,
    }
}

fn well_known(lower: &str) -> Option<&'static str> {
    WELL_KNOWN.iter().find(|name| name.eq_ignore_ascii_case(lower)).copied()
}

/// Back links, binary values and secrets, in lower case.
const LEFT_OUT: &[&str] = &[
    "audio",
    "cacertificate",
    "certificaterevocationlist",
    "dbcspwd",
    "jpegphoto",
    "krbextradata",
    "krbprincipalkey",
    "lmpwdhistory",
    "logonhours",
    "memberof",
    "mslaps-encryptedpassword",
    "mslaps-encryptedpasswordhistory",
    "mslaps-password",
    "ms-ds-consistencyguid",
    "ms-mcs-admpwd",
    "msds-managedpassword",
    "msexcharchiveguid",
    "msexchmailboxguid",
    "msexchmailboxsecuritydescriptor",
    "ntpwdhistory",
    "ntsecuritydescriptor",
    "photo",
    "replpropertymetadata",
    "repluptodatevector",
    "sambalmpassword",
    "sambantpassword",
    "sidhistory",
    "supplementalcredentials",
    "thumbnaillogo",
    "thumbnailphoto",
    "tokengroups",
    "tokengroupsglobalanduniversal",
    "tokengroupsnogcacceptable",
    "unicodepwd",
    "usercertificate",
    "userparameters",
    "userpassword",
    "userpkcs12",
    "usersmimecertificate",
];

/// Spelled as Active Directory spells them, so that an attribute map need not know which tool wrote the export.
const WELL_KNOWN: &[&str] = &[
    "accountExpires",
    "adminCount",
    "badPwdCount",
    "businessCategory",
    "c",
    "carLicense",
    "cn",
    "co",
    "codePage",
    "comment",
    "company",
    "countryCode",
    "department",
    "departmentNumber",
    "description",
    "displayName",
    "displayNamePrintable",
    "distinguishedName",
    "division",
    "employeeID",
    "employeeNumber",
    "employeeType",
    "entryUUID",
    "facsimileTelephoneNumber",
    "gecos",
    "generationQualifier",
    "gidNumber",
    "givenName",
    "groupType",
    "homeDirectory",
    "homePhone",
    "homePostalAddress",
    "info",
    "initials",
    "ipPhone",
    "isCriticalSystemObject",
    "isDeleted",
    "l",
    "labeledURI",
    "lastKnownParent",
    "lastLogon",
    "lastLogonTimestamp",
    "legacyExchangeDN",
    "lockoutTime",
    "loginShell",
    "mail",
    "mailNickname",
    "managedBy",
    "manager",
    "middleName",
    "mobile",
    "name",
    "o",
    "objectCategory",
    "otherMailbox",
    "otherMobile",
    "otherTelephone",
    "ou",
    "pager",
    "personalTitle",
    "physicalDeliveryOfficeName",
    "postalAddress",
    "postalCode",
    "postOfficeBox",
    "preferredLanguage",
    "primaryGroupID",
    "primaryGroupToken",
    "proxyAddresses",
    "pwdLastSet",
    "sAMAccountName",
    "sAMAccountType",
    "secretary",
    "serialNumber",
    "servicePrincipalName",
    "sn",
    "st",
    "street",
    "streetAddress",
    "targetAddress",
    "telephoneNumber",
    "title",
    "uid",
    "uidNumber",
    "url",
    "userAccountControl",
    "userPrincipalName",
    "uSNChanged",
    "uSNCreated",
    "whenChanged",
    "whenCreated",
    "wWWHomePage",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_names_are_spelled_one_way_and_options_stay_apart() {
        let mut names = Names::default();
        let mut spelling = |text: &str| {
            let name = names.meaning(text.as_bytes()).name;
            names.spelling(name).to_owned()
        };
        assert_eq!(spelling("GIVENNAME"), "givenName");
        assert_eq!(spelling("samaccountname"), "sAMAccountName");
        assert_eq!(spelling("GivenName;Lang-EN"), "givenName;Lang-EN");
        assert_eq!(spelling("myAttr"), "myAttr");
        assert_eq!(spelling("MYATTR"), "myAttr");
        assert_eq!(spelling("proxyaddresses;RANGE=0-9"), "proxyAddresses");
    }

    #[test]
    fn ranges_and_roles_are_told_from_the_name() {
        let mut names = Names::with_anchor(Some("ipaUniqueID"));
        let part = names.meaning(b"member;range=1500-*");
        assert_eq!((part.role, part.range), (Role::Member, Some(Range { first: 1500, last: None })));
        let broken = names.meaning(b"member;range=x");
        assert_eq!(broken.range, Some(Range { first: u64::MAX, last: Some(0) }));
        assert_eq!(names.meaning(b"userCertificate;binary").role, Role::LeftOut);
        assert_eq!(names.meaning(b"member;lang-en").role, Role::Plain);
        assert!(names.meaning(b"IPAUNIQUEID").is_anchor);
    }

    #[test]
    fn the_table_of_left_out_names_is_in_lower_case() {
        assert!(LEFT_OUT.iter().all(|name| !name.bytes().any(|b| b.is_ascii_uppercase())), "{LEFT_OUT:?}");
    }
}
