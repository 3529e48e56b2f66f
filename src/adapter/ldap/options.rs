//! Where the directory is, who asks, and what is read of it.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use indexmap::IndexSet;

use super::filter::is_attribute_name;
use crate::error::{ErrorKind, SourceError};
use crate::id::Issuer;
use crate::model::Timestamp;
use crate::options::Options;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// TLS from the first octet (`ldaps://`, port 636).
    Ldaps,
    /// TLS begun by the StartTLS operation (`ldap://`, port 389), before the password is sent. A server that refuses it is
    /// not talked to.
    StartTls,
    /// No protection: whoever is on the way reads the password and may change who is entitled. For a server on the
    /// same machine only.
    PlainText,
}

/// A password that shows in no `Debug` and no error.
#[derive(Clone)]
pub struct Password(Box<str>);

impl Password {
    /// Takes the password as it is.
    pub fn new(password: impl Into<Box<str>>) -> Self {
        Self(password.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(password: &str) -> Self {
        Self::new(password)
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self::new(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Which make of directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Make {
    /// Active Directory, Samba's domain controller among it: `objectGUID`, extended DNs, primary groups, tombstones.
    ActiveDirectory,
    /// Any other directory with `entryUUID` (RFC 4530): OpenLDAP, 389 Directory Server, ApacheDS.
    Generic,
}

/// What a source needs to know. All but address, account and password has a default.
///
/// ```
/// use identity_sync::adapter::ldap::LdapOptions;
///
/// let options = LdapOptions::new("ldaps://dc1.corp.example.com", "svc-idsync@corp.example.com", "secret")
///     .base("OU=Corp,DC=corp,DC=example,DC=com")
///     .user_filter("(!(employeeType=robot))");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct LdapOptions {
    pub(super) url: String,
    pub(super) account: String,
    pub(super) password: Password,
    pub(super) security: Option<Security>,
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) make: Option<Make>,
    pub(super) base: Option<String>,
    pub(super) identity: Option<Issuer>,
    pub(super) anchor: Option<String>,
    pub(super) user_filter: Option<String>,
    pub(super) group_filter: Option<String>,
    pub(super) attributes: Option<IndexSet<String>>,
    pub(super) empty_groups: bool,
    pub(super) disabled: Vec<(String, Vec<String>)>,
    pub(super) now: Option<Timestamp>,
    pub(super) page_size: NonZeroU16,
    pub(super) range_size: Option<NonZeroU32>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) answer_bytes: usize,
}

impl fmt::Debug for LdapOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address with an account in it is refused when it is used; it may have been shown before.
        let url = if self.url.contains('@') { "hidden" } else { &self.url };
        f.debug_struct("LdapOptions")
            .field("url", &url)
            .field("account", &self.account)
            .field("security", &self.security)
            .field("make", &self.make)
            .field("base", &self.base)
            .field("user_filter", &self.user_filter)
            .field("group_filter", &self.group_filter)
            .finish_non_exhaustive()
    }
}

impl LdapOptions {
    /// An address (`ldaps://host[:port]` or `ldap://host[:port]`), the account that reads (a DN; for Active Directory also
    /// `name@domain`), and its password.
    pub fn new(url: impl Into<String>, account: impl Into<String>, password: impl Into<Password>) -> Self {
        Self {
            url: url.into(),
            account: account.into(),
            password: password.into(),
            security: None,
            roots: Vec::new(),
            make: None,
            base: None,
            identity: None,
            anchor: None,
            user_filter: None,
            group_filter: None,
            attributes: None,
            empty_groups: false,
            disabled: Vec::new(),
            now: None,
            // Active Directory gives 1,000 at most (MaxPageSize).
            page_size: NonZeroU16::MIN.saturating_add(999),
            range_size: None,
            connect_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(120),
            answer_bytes: 256 << 20,
        }
    }

    /// How the connection is protected. Default: [`Security::Ldaps`] for `ldaps://`, [`Security::StartTls`] for `ldap://`.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = Some(security);
        self
    }

    /// Trusts the authorities in this PEM text, and from then on no others. Default: those of the operating system.
    ///
    /// That a certificate is checked, its name and its dates included, cannot be switched off.
    #[must_use]
    pub fn trust_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Which make of directory it is. Default: what the server says of itself.
    #[must_use]
    pub fn make(mut self, make: Make) -> Self {
        self.make = Some(make);
        self
    }

    /// Reads only what is below this name. Default: the server's default naming context, or its only one.
    ///
    /// Objects outside are not read. Whether one of them exists is asked of the whole naming context, so that a move out of the
    /// base is never taken for a deletion (rule C3); who moved and is still in a group keeps what he has (rule E9).
    #[must_use]
    pub fn base(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Who the directory is. Default: the domain components of the naming context (`corp.example.com`), as for an LDIF export
    /// of it.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Issuer>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// The attribute that holds the immutable id: `objectGUID` (default for Active Directory), `entryUUID` (default elsewhere), or
    /// one that holds text (`ipaUniqueID`).
    #[must_use]
    pub fn anchor(mut self, attribute: impl Into<String>) -> Self {
        self.anchor = Some(attribute.into());
        self
    }

    /// Users must match this filter (RFC 4515) as well.
    ///
    /// It chooses who is read, and revokes nothing: who stops matching is there and not read, so that nothing is done to his record
    /// and what he has stays (rule E9). Access ends where an account is disabled, deleted, or taken out of its group.
    #[must_use]
    pub fn user_filter(mut self, filter: impl Into<String>) -> Self {
        self.user_filter = Some(filter.into());
        self
    }

    /// Groups must match this filter (RFC 4515) as well.
    #[must_use]
    pub fn group_filter(mut self, filter: impl Into<String>) -> Self {
        self.group_filter = Some(filter.into());
        self
    }

    /// Asks for these attributes only, besides those that the rules need. Default: all that the server gives for `*`,
    /// photographs included.
    ///
    /// An attribute that is mapped and not asked for looks empty: use [`for_run`](Self::for_run) where you can.
    #[must_use]
    pub fn attributes<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.attributes.get_or_insert_default().extend(names.into_iter().map(Into::into));
        self
    }

    /// Asks for just those attributes that a run with these options uses.
    #[must_use]
    pub fn for_run(self, options: &Options) -> Self {
        let names: Vec<String> =
            options.user_map.sources().chain(options.group_map.sources()).map(str::to_owned).collect();
        self.attributes(names)
    }

    /// This account may read members, and groups are empty where they show none.
    ///
    /// Without this, a directory in which no group shows a member counts every list as incomplete: it cannot be told from one whose
    /// members the account may not read (rule C1).
    #[must_use]
    pub fn empty_groups(mut self) -> Self {
        self.empty_groups = true;
        self
    }

    /// An account is disabled where this attribute has one of these values, compared without regard to the case of ASCII letters; where none is
    /// named, where it has any (rule A5). May be called for several attributes.
    ///
    /// For directories other than Active Directory, of which each has its own: `nsAccountLock` is `true` in 389 Directory
    /// Server and FreeIPA; in OpenLDAP `pwdAccountLockedTime` is `000001010000Z` where an administrator has locked an account (any other
    /// value is a lock-out that passes, which anybody can bring about by wrong passwords). Without this their accounts all
    /// count as enabled, and so does one whose attribute may not be read.
    #[must_use]
    pub fn disabled_where<T: Into<String>>(
        mut self,
        attribute: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.disabled.push((attribute.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// The time at which `accountExpires` is judged (rule A5). Default: that of the machine, at each page.
    #[must_use]
    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// Most entries on a page of the server. Default: 1,000, the most that Active Directory gives.
    #[must_use]
    pub fn page_size(mut self, entries: NonZeroU16) -> Self {
        self.page_size = entries;
        self
    }

    /// Asks for members in ranges of this length. Default: as many at once as the server gives (Active Directory: 1,500).
    /// Ranges that the server makes of its own accord are always followed.
    #[must_use]
    pub fn range_size(mut self, members: NonZeroU32) -> Self {
        self.range_size = Some(members);
        self
    }

    /// How long connecting may take, TLS and bind included. Default: 15 s.
    #[must_use]
    pub fn connect_timeout(mut self, most: Duration) -> Self {
        self.connect_timeout = most;
        self
    }

    /// How long one answer may take, all its entries included. Default: 120 s.
    #[must_use]
    pub fn timeout(mut self, most: Duration) -> Self {
        self.timeout = most;
        self
    }

    /// Most octets in one answer: of names, and of values with the names of their attributes; a server that sends more is not listened to further. Default: 256 MiB.
    #[must_use]
    pub fn answer_bytes(mut self, most: usize) -> Self {
        self.answer_bytes = most;
        self
    }

    /// What can be seen to be wrong without asking anybody.
    pub(super) fn check(&self) -> Result<Security, SourceError> {
        let invalid = |message: &str| Err(SourceError::new(ErrorKind::Invalid, message));
        let security = match (self.url.split_once("://").map(|(scheme, _)| scheme), self.security) {
            (Some("ldaps"), None | Some(Security::Ldaps)) => Security::Ldaps,
            (Some("ldaps"), Some(_)) => return invalid("an address with ldaps:// is for `Security::Ldaps`"),
            (Some("ldap"), None) => Security::StartTls,
            (Some("ldap"), Some(Security::Ldaps)) => {
                return invalid("`Security::Ldaps` is for an address with ldaps://");
            }
            (Some("ldap"), Some(security)) => security,
            _ => return invalid("the address of a directory begins with ldaps:// or ldap://"),
        };
        if self.url.split_once("://").is_some_and(|(_, rest)| rest.contains('@')) {
            return invalid("an address holds no account and no password: they are given apart");
        }
        if self.url.trim_end_matches('/').ends_with(":3268")
            || self.url.trim_end_matches('/').ends_with(":3269")
        {
            return invalid(
                "a global catalog holds a part of each object only: read a domain controller's own port",
            );
        }
        // RFC 4513, 5.1.2: a bind without a password succeeds as nobody.
        if self.account.is_empty() || self.password.expose().is_empty() {
            return invalid("an account and its password are needed: a bind without them succeeds as nobody");
        }
        let disabled = self.disabled.iter().map(|(attribute, _)| attribute);
        let names = self.attributes.iter().flatten().chain(&self.anchor).chain(disabled);
        if names.into_iter().any(|name| !is_attribute_name(name)) {
            return invalid("an attribute that shall be read has no valid name");
        }
        Ok(security)
    }
}
