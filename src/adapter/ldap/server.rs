//! What the server says of itself, and what it lets this account see.

use std::sync::Arc;

use ldap3::Scope;
use ldap3::controls::RawControl;

use super::connection::{Connection, Search, code};
use super::filter::{Base, Filter};
use super::options::{LdapOptions, Make};
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::ids::guid_text;
use crate::adapter::directory::record::Record;
use crate::error::{ErrorKind, SourceError};
use crate::id::Issuer;
use crate::source::Generation;

/// Whether deletions can be seen (rule C3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tombstones {
    /// Deleted objects can be read: a deletion is proven by its tombstone.
    Readable,
    /// The server keeps tombstones, and this account may not read them: absence proves nothing, and nobody is ever deleted. Grant
    /// the account "List Contents" and "Read Property" on the container `CN=Deleted Objects`.
    Hidden,
    /// The server keeps none: absence proves nothing.
    None,
}

/// What was learnt of a server on connecting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Server {
    /// Which make it is.
    pub make: Make,
    /// Where reads begin.
    pub base: String,
    /// The naming context that holds the base: where one asks whether an object exists.
    pub context: String,
    /// Whether deletions can be seen.
    pub tombstones: Tombstones,
    /// Whether the server gives results page by page. Where not, a limit of the server makes the reads partial.
    pub pages: bool,
    /// Whether it says of itself that it has caught up with the other controllers. Where not, reads are partial.
    pub synchronized: bool,
    pub(super) extended_dn: bool,
    pub(super) recycled: bool,
    pub(super) dir_sync: bool,
}

pub(super) const PAGED: &str = "1.2.840.113556.1.4.319";
pub(super) const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";
pub(super) const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
pub(super) const DIR_SYNC: &str = "1.2.840.113556.1.4.841";
const AD_CAPABILITY: &str = "1.2.840.113556.1.4.800";

/// Also those whose time in the recycle bin is over (MS-ADTS 3.1.1.3.4.1.26).
pub(super) const SHOW_RECYCLED: &str = "1.2.840.113556.1.4.2064";

pub(super) fn show_deleted() -> RawControl {
    RawControl { ctype: SHOW_DELETED.to_owned(), crit: true, val: None }
}

/// A search of one object.
pub(super) fn one(base: Base, attributes: &[&str]) -> Search {
    Search {
        base,
        scope: Scope::Base,
        filter: Filter::present("objectClass"),
        attributes: attributes.iter().map(|&name| name.to_owned()).collect::<Vec<_>>().into(),
        controls: Vec::new(),
        most: 1,
    }
}

/// All values of an attribute that are text.
pub(super) fn texts<'r>(record: &'r Record<'_>, name: &'r str) -> impl Iterator<Item = &'r str> {
    record
        .values
        .iter()
        .filter(move |value| value.is(name))
        .filter_map(|value| std::str::from_utf8(value.octets()).ok())
}

impl Server {
    pub(super) async fn learn(connection: &Connection, options: &LdapOptions) -> Result<Self, SourceError> {
        let root = root(connection).await?;
        let lists = |name, value| texts(&root, name).any(|found| found == value);
        let make = options.make.unwrap_or(match lists("supportedCapabilities", AD_CAPABILITY) {
            true => Make::ActiveDirectory,
            false => Make::Generic,
        });
        let contexts: Vec<&str> = texts(&root, "namingContexts").collect();
        let base = match (&options.base, texts(&root, "defaultNamingContext").next(), contexts.as_slice()) {
            (Some(base), ..) => base.clone(),
            (None, Some(context), _) => context.to_owned(),
            (None, None, [context]) => (*context).to_owned(),
            _ => {
                return Err(SourceError::new(
                    ErrorKind::Invalid,
                    "the directory has no default naming context: name the base to read",
                ));
            }
        };
        let key = DnKey::parse(&base)
            .ok_or_else(|| SourceError::new(ErrorKind::Invalid, "the base is no distinguished name"))?;
        // The longest of those that hold it; another forest's domain may be served by the same controller.
        let holds = |context: &&&str| DnKey::parse(context).is_some_and(|context| key.is_below(&context));
        let context = contexts.iter().filter(holds).max_by_key(|context| context.len());
        let context = context.map_or_else(|| base.clone(), |context| (*context).to_owned());
        let mut server = Self {
            make,
            base,
            tombstones: Tombstones::None,
            pages: lists("supportedControl", PAGED),
            synchronized: !texts(&root, "isSynchronized").any(|value| value.eq_ignore_ascii_case("FALSE")),
            extended_dn: lists("supportedControl", EXTENDED_DN),
            recycled: lists("supportedControl", SHOW_RECYCLED),
            dir_sync: lists("supportedControl", DIR_SYNC),
            context,
        };
        server.must_exist(connection).await?;
        if make == Make::ActiveDirectory && lists("supportedControl", SHOW_DELETED) {
            server.tombstones = server.probe(connection).await?;
        }
        Ok(server)
    }

    /// A base that is not there, or not for this account to see, is no empty directory (rule C1).
    async fn must_exist(&self, connection: &Connection) -> Result<(), SourceError> {
        let search = one(Base::named(&self.base), &["objectClass"]);
        let answer = connection.search(search).await?.usable()?;
        match answer.entries.is_empty() {
            true => Err(SourceError::new(
                ErrorKind::Unauthorized,
                "the account may not see the base that it shall read",
            )),
            false => Ok(()),
        }
    }

    /// Whether this account sees the container of what was deleted. Where it may not, searches for tombstones succeed
    /// and find nothing: that silence must not be taken for an answer.
    async fn probe(&self, connection: &Connection) -> Result<Tombstones, SourceError> {
        let container = Base::named(format!("CN=Deleted Objects,{}", self.context));
        let search = Search { controls: vec![show_deleted()], ..one(container, &["isDeleted"]) };
        let answer = connection.search(search).await?;
        let shown = answer.entries.iter().any(|entry| texts(entry, "isDeleted").next().is_some());
        Ok(if answer.code == 0 && shown { Tombstones::Readable } else { Tombstones::Hidden })
    }

    /// `dc=corp,dc=example` to `corp.example`, as for an export.
    pub(super) fn identity(&self) -> Issuer {
        let key = DnKey::parse(&self.context);
        let domain = key.as_ref().map_or("", DnKey::domain);
        let labels: Vec<&str> = domain.split(',').filter_map(|rdn| rdn.strip_prefix("dc=")).collect();
        if labels.is_empty() { Issuer::from(self.context.as_str()) } else { Issuer::from(labels.join(".")) }
    }
}

/// The root DSE.
async fn root(connection: &Connection) -> Result<Record<'static>, SourceError> {
    let attributes = [
        "defaultNamingContext",
        "dsServiceName",
        "highestCommittedUSN",
        "isSynchronized",
        "namingContexts",
        "supportedCapabilities",
        "supportedControl",
    ];
    let answer = connection.search(one(Base::named(""), &attributes)).await?.usable()?;
    answer.entries.into_iter().next().ok_or_else(|| {
        SourceError::new(ErrorKind::Permanent, "the directory does not say what it holds (root DSE)")
    })
}

/// How far this controller has come, and which copy of the directory it has (rule C6).
pub(super) async fn generation(connection: &Connection) -> Result<Option<Generation>, SourceError> {
    let root = root(connection).await?;
    let number = texts(&root, "highestCommittedUSN").next().and_then(|text| text.parse().ok());
    let (Some(number), Some(service)) = (number, texts(&root, "dsServiceName").next()) else {
        return Ok(None);
    };
    let answer = connection.search(one(Base::named(service), &["invocationId"])).await?;
    let replica = match answer.code {
        0 => answer
            .entries
            .iter()
            .flat_map(|entry| &entry.values)
            .find_map(|value| value.is("invocationId").then(|| guid_text(value.octets()))?),
        code::NO_SUCH_OBJECT | 50 => None,
        _ => return answer.usable().map(|_| None),
    };
    // An account that may not read the id still knows which controller it talks to.
    Ok(Some(Generation::new(replica.unwrap_or_else(|| service.to_owned()), number)))
}

/// The attributes of a search, those that are named twice once.
pub(super) fn names<'a>(all: impl IntoIterator<Item = &'a str>) -> Arc<[String]> {
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    names.into()
}
