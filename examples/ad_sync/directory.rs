//! The directory: connections, whom a name means, and what groups are called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use identity_sync::adapter::ldap::{LdapSource, Tombstones};
use identity_sync::memory::MemoryAssignments;
use identity_sync::{
    Asked, Attributes, Completeness, DirectorySource, Escaped, ExternalId, Generation, GroupPage, MatchRule,
    PageEnd, Principal, Read, Select, SourceAnchor, SourceCapabilities, SourceError, SourceIdentity,
    Timestamp, UserPage,
};

use crate::common::Trouble;
use crate::config::Config;

/// Names that are looked up with one search.
const TOGETHER: usize = 40;
/// Most pages of one search for names: a server that never says which is the last one is not asked for ever.
const PAGES: usize = 10_000;
/// Attributes by which users and groups may be named in the configuration.
const CALLED: [&str; 4] = ["cn", "sAMAccountName", "userPrincipalName", "mail"];

/// What people call the objects that were read, by anchor.
pub(crate) type Names = BTreeMap<String, String>;

/// A directory that also remembers what its groups are called, so that a path through groups that no operation is about can be
/// shown by names.
pub(crate) struct Named {
    source: LdapSource,
    names: Mutex<Names>,
    /// Names of the configuration that do not tell who is meant.
    pub(crate) unclear: Vec<String>,
}

impl Named {
    pub(crate) async fn connect(config: &Config, now: Timestamp) -> Result<Self, Trouble> {
        let ldap = config.ldap(now)?.for_run(&config.options).attributes(["cn"]);
        let (users, groups) = config.filters(None);
        let ldap = users.into_iter().fold(ldap, |ldap, filter| ldap.user_filter(filter));
        let ldap = groups.into_iter().fold(ldap, |ldap, filter| ldap.group_filter(filter));
        let source = LdapSource::connect(ldap).await.map_err(|error| reached(error.into()))?;
        Ok(Self { source, names: Mutex::default(), unclear: Vec::new() })
    }

    pub(crate) fn source(&self) -> &LdapSource {
        &self.source
    }

    pub(crate) fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an operator should know about what this account may see, and about whom the configuration names.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let server = self.source.server();
        let mut warnings = self.unclear.clone();
        match server.tombstones {
            Tombstones::Hidden => warnings.push(
                "this account may not read deleted objects: nobody's deletion can be proven, and nobody is deleted; grant it \
                 \"List Contents\" and \"Read Property\" on CN=Deleted Objects"
                    .to_owned(),
            ),
            Tombstones::None => warnings.push(
                "the directory keeps no deleted objects: nobody's deletion can be proven, and nobody is deleted"
                    .to_owned(),
            ),
            _ => {}
        }
        if !server.synchronized {
            warnings
                .push("the controller says that it is not synchronized: reads count as partial".to_owned());
        }
        if !server.pages {
            warnings.push("the server gives no pages: a limit of it makes reads partial".to_owned());
        }
        warnings
    }

    /// What the reads so far did not follow. Active Directory names its own other partitions in every read of a domain.
    pub(crate) fn elsewhere(&self) -> Option<String> {
        let references = self.source.references();
        (references > 0).then(|| {
            format!("directory: {references} references to other servers or partitions were not followed")
        })
    }
}

/// Which side it was; the error says the rest.
fn reached(error: Trouble) -> Trouble {
    format!("directory: {}", crate::common::line(&error)).into()
}

#[async_trait]
impl DirectorySource for Named {
    fn identity(&self) -> SourceIdentity {
        self.source.identity()
    }

    fn capabilities(&self) -> SourceCapabilities {
        self.source.capabilities()
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        self.source.read_users(read, page).await
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        let end = self.source.read_groups(read, page).await?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for (anchor, attributes, _) in page.groups() {
            if let Some(name) = attributes.get("cn") {
                names.insert(anchor.to_owned(), name.to_owned());
            }
        }
        Ok(end)
    }

    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        self.source.existence(asked).await
    }

    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        self.source.generation().await
    }
}

/// A user or a group that may be meant by a name.
struct Candidate {
    anchor: SourceAnchor,
    called: BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Among {
    Users,
    Groups,
    Both,
}

/// Who is assigned, by the names of the configuration, and which names do not tell. One that means nobody, or several, makes the
/// list partial (rule C1): whoever may be meant by it keeps what he has, and revocations for other causes go on. Where no name tells
/// anything, there is nothing to go on with.
pub(crate) async fn assigned(
    config: &Config,
    now: Timestamp,
) -> Result<(MemoryAssignments, Vec<String>), Trouble> {
    let table = &config.assignments;
    let mut meant = Meant::default();
    match &table.file {
        Some(file) => {
            let lines = lines(&config.folder.join(file))?;
            look_up(config, now, Among::Both, &lines, &mut meant).await?;
        }
        None => {
            look_up(config, now, Among::Groups, &table.groups, &mut meant).await?;
            look_up(config, now, Among::Users, &table.users, &mut meant).await?;
        }
    }
    let Meant { anchors, unclear } = meant;
    if anchors.is_empty() && !unclear.is_empty() {
        return Err(unclear.join("\n").into());
    }
    let read = match unclear.len() {
        0 => Completeness::Complete,
        names => {
            Completeness::partial(format!("{names} of the names that are assigned mean nobody, or several"))
        }
    };
    let principals =
        anchors.into_iter().map(|anchor| Principal::External(ExternalId::new(config.issuer.clone(), anchor)));
    Ok((MemoryAssignments { principals: principals.collect(), read }, unclear))
}

/// Whom names mean, and what there is to say of those that do not tell.
#[derive(Default)]
struct Meant {
    anchors: BTreeSet<SourceAnchor>,
    unclear: Vec<String>,
}

impl Meant {
    fn take(&mut self, one: Result<SourceAnchor, String>) {
        match one {
            Ok(anchor) => {
                self.anchors.insert(anchor);
            }
            Err(why) => self.unclear.push(why),
        }
    }
}

/// One name a line; `#` begins a comment.
fn lines(file: &Path) -> Result<Vec<String>, Trouble> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("assignments.file: {error}"))?;
    let lines = text.lines().map(|line| line.trim_start_matches('\u{feff}').trim());
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

async fn look_up(
    config: &Config,
    now: Timestamp,
    among: Among,
    names: &[String],
    meant: &mut Meant,
) -> Result<(), Trouble> {
    let (anchors, names): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| anchor_of(name).is_some());
    // Whether they are there is for the run to say: an assignment outlives whom it names.
    meant.anchors.extend(anchors.into_iter().filter_map(|name| anchor_of(name)));
    // A distinguished name can be spelt in several ways: the directory compares, and each has a search of its own.
    let (distinguished, names): (Vec<&String>, Vec<&String>) =
        names.into_iter().partition(|name| name.contains('=') && name.contains(','));
    for name in distinguished {
        let filter = format!("(|(distinguishedName={0})(entryDN={0}))", escape(name));
        let candidates = search(config, now, among, &filter).await?;
        meant.take(the_one(name, candidates.iter()));
    }
    for names in names.chunks(TOGETHER) {
        let parts = names.iter().flat_map(|name| CALLED.map(|called| format!("({called}={})", escape(name))));
        let candidates = search(config, now, among, &format!("(|{})", parts.collect::<String>())).await?;
        for name in names {
            let key = key(name);
            meant.take(the_one(name, candidates.iter().filter(|candidate| candidate.called.contains(&key))));
        }
    }
    Ok(())
}

fn the_one<'c>(
    name: &str,
    mut candidates: impl Iterator<Item = &'c Candidate>,
) -> Result<SourceAnchor, String> {
    let shown = Escaped(name);
    match (candidates.next(), candidates.next()) {
        (Some(one), None) => Ok(one.anchor.clone()),
        (None, _) => Err(format!(
            "assignments: nobody in the directory is called {shown}, and nobody loses access for want of an assignment until that \
             is cleared up: name whom you mean by the present name, or by the anchor, which outlives renames; or take the entry out"
        )),
        (Some(one), Some(other)) => Err(format!(
            "assignments: several are called {shown}, and nobody loses access for want of an assignment until that is cleared up: \
             name one by its anchor, such as {} or {}",
            by_anchor(&one.anchor),
            by_anchor(&other.anchor)
        )),
    }
}

/// Whoever matches a filter, with all that he may be called.
async fn search(
    config: &Config,
    now: Timestamp,
    among: Among,
    filter: &str,
) -> Result<Vec<Candidate>, Trouble> {
    let ldap = config.ldap(now)?.attributes(CALLED);
    let (users, groups) = config.filters(Some(filter));
    let ldap = users.into_iter().fold(ldap, |ldap, filter| ldap.user_filter(filter));
    let ldap = groups.into_iter().fold(ldap, |ldap, filter| ldap.group_filter(filter));
    let source = LdapSource::connect(ldap).await.map_err(|error| reached(error.into()))?;
    let mut found = BTreeMap::new();
    if among != Among::Groups {
        let (mut page, mut at) = (UserPage::default(), None);
        for number in 0.. {
            if number > PAGES {
                return Err("assignments: a search for names has too many pages".into());
            }
            page.clear();
            let end = source.read_users(Read::new(Select::All, at.as_ref()), &mut page).await;
            let end = end.map_err(|error| reached(error.into()))?;
            page.users().for_each(|(anchor, _, attributes)| see(&mut found, anchor, attributes));
            at = Some(match whole(end)? {
                Some(token) => token,
                None => break,
            });
        }
    }
    if among != Among::Users {
        let (mut page, mut at) = (GroupPage::default(), None);
        for number in 0.. {
            if number > PAGES {
                return Err("assignments: a search for names has too many pages".into());
            }
            page.clear();
            let end = source.read_groups(Read::new(Select::All, at.as_ref()), &mut page).await;
            let end = end.map_err(|error| reached(error.into()))?;
            page.groups().for_each(|(anchor, attributes, _)| see(&mut found, anchor, attributes));
            at = Some(match whole(end)? {
                Some(token) => token,
                None => break,
            });
        }
    }
    Ok(found.into_iter().map(|(anchor, called)| Candidate { anchor: anchor.into(), called }).collect())
}

fn see(found: &mut BTreeMap<String, BTreeSet<String>>, anchor: &str, attributes: Attributes<'_>) {
    let called = found.entry(anchor.to_owned()).or_default();
    called.extend(CALLED.into_iter().flat_map(|name| attributes.values(name)).map(key));
}

/// Where a search goes on. One that was cut short says nothing about whom else the name may mean.
fn whole(end: PageEnd) -> Result<Option<identity_sync::PageToken>, Trouble> {
    match end {
        PageEnd::More(token) => Ok(Some(token)),
        PageEnd::Last(Completeness::Complete) => Ok(None),
        PageEnd::Last(partial) => Err(format!("assignments: names could not be looked up: {partial}").into()),
    }
}

fn key(text: &str) -> String {
    MatchRule::NfkcCasefold.key(text).as_str().to_owned()
}

/// A value inside a filter (RFC 4515).
pub(crate) fn escape(value: &str) -> String {
    value.chars().fold(String::new(), |text, c| match c {
        '*' | '(' | ')' | '\\' | '\0' => text + &format!("\\{:02x}", u32::from(c)),
        c => text + c.encode_utf8(&mut [0; 4]),
    })
}

/// How an anchor is told from a name, where it does not have a form of its own.
const ANCHOR: &str = "anchor:";

/// Whom an entry names by the anchor: what has the form of a GUID, and what is said to be one.
fn anchor_of(entry: &str) -> Option<SourceAnchor> {
    if is_guid(entry) {
        return Some(entry.to_lowercase().into());
    }
    let anchor = entry.strip_prefix(ANCHOR)?.trim();
    (!anchor.is_empty()).then(|| if is_guid(anchor) { anchor.to_lowercase().into() } else { anchor.into() })
}

/// An anchor as an entry has it.
fn by_anchor(anchor: &SourceAnchor) -> String {
    let text = anchor.to_string();
    if is_guid(&text) { text } else { format!("{ANCHOR}{text}") }
}

/// Whether a text has the form of `objectGUID` and `entryUUID`.
fn is_guid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::{PL, StructureTag, Tag};
    use proptest::prelude::*;

    use super::*;

    /// Name and value of an equality filter, as the parser of the LDAP library understands it.
    fn understood(filter: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let tag: Tag = ldap3::parse_filter(filter).ok()?;
        let StructureTag { id: 3, payload: PL::C(parts), .. } = ldap3::asn1::ASNTag::into_structure(tag)
        else {
            return None;
        };
        let mut parts = parts.into_iter().map(StructureTag::expect_primitive);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Some(name)), Some(Some(value)), None) => Some((name, value)),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_is_understood_as_it_was(
            value in prop_oneof![any::<String>(), "[()*\\\\&|!=<>~:a-c\u{0}é ]*"],
        ) {
            let one = format!("(cn={})", escape(&value));
            prop_assert_eq!(understood(&one), Some((b"cn".to_vec(), value.clone().into_bytes())));
            // Beside others, as names are looked up.
            let several = format!("(|(cn={0})(mail={0}))", escape(&value));
            prop_assert!(ldap3::parse_filter(&several).is_ok());
        }
    }

    #[test]
    fn a_name_cannot_change_the_filter_that_looks_for_it() {
        assert_eq!(escape("a*)(cn=\\é\0"), "a\\2a\\29\\28cn=\\5cé\\00");
    }

    #[test]
    fn any_anchor_can_be_named() {
        let named = |entry: &str| anchor_of(entry).map(|anchor| anchor.to_string());
        assert_eq!(named("anchor:4711").as_deref(), Some("4711"));
        assert_eq!(named("anchor: E-4711 ").as_deref(), Some("E-4711"));
        let guid = "3f2c8b1e-0000-4abc-8def-0123456789ab";
        assert_eq!(named(&guid.to_uppercase()).as_deref(), Some(guid));
        assert_eq!(named(&format!("anchor:{}", guid.to_uppercase())).as_deref(), Some(guid));
        for name in ["4711", "anchor", "anchor:", "anchor: ", "dept-sales"] {
            assert_eq!(named(name), None, "{name}");
        }
        for anchor in ["4711", guid] {
            assert_eq!(
                anchor_of(&by_anchor(&anchor.into())),
                Some(anchor.into()),
                "what a message says can be used"
            );
        }
    }

    #[test]
    fn a_guid_is_told_from_a_name() {
        assert!(is_guid("3f2c8b1e-0000-4abc-8def-0123456789AB"));
        for name in ["dept-sales", "3f2c8b1e-0000-4abc-8def-0123456789AZ", "3f2c8b1e00004abc8def0123456789ab"]
        {
            assert!(!is_guid(name), "{name}");
        }
    }
}
