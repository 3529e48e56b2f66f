//! What has changed since a moment: DirSync on Active Directory, `modifyTimestamp` elsewhere.
//!
//! It tells a host when a run is worth while; it is no substitute for one, which always reads what it decides on.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ldap3::Scope;
use ldap3::controls::RawControl;
use serde::{Deserialize, Serialize};

use super::filter::{Base, Filter};
use super::members::Target;
use super::server::{DIR_SYNC, names, texts};
use super::{LdapSource, Make, Search, der};
use crate::adapter::directory::names::Role;
use crate::adapter::directory::record::Record;
use crate::error::{ErrorKind, SourceError};
use crate::fingerprint::Fingerprint;
use crate::id::SourceAnchor;
use crate::source::Generation;

/// LDAP_DIRSYNC_OBJECT_SECURITY: what the account may read, without the right to replicate.
const OBJECT_SECURITY: i64 = 1;
/// LDAP_DIRSYNC_INCREMENTAL_VALUES: of a changed member list only what was added and removed. The bit of the sign.
const INCREMENTAL: i64 = -2_147_483_648;
/// Most octets of an answer that the server is asked for at once.
const MOST: i64 = 1 << 20;
/// Answers of one call; a server that always has more is not followed further.
const ANSWERS: usize = 10_000;

/// Most objects of one second that are remembered as told.
const TOLD: usize = 10_000;

/// Where objects live: to move or rename one changes all below it, and none of those says so.
const CONTAINERS: [&str; 4] = ["organizationalUnit", "container", "builtinDomain", "organization"];

/// A moment of a directory. It may be kept in a file; it counts for the same directory, base, filters and attributes only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What it was taken of.
    #[serde(default)]
    of: String,
    /// Active Directory: whose copy the cookie belongs to, and how far that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<Generation>,
    /// A cookie in base64, or a time stamp.
    at: String,
    /// Elsewhere: what was told already of those that changed at this very time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<Told>,
}

/// An object that was told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// Its anchor and, where the server has one, the number of its change.
    change: String,
    /// It need not be told again: the number says whether it changed once more within the second, or it was told twice.
    done: bool,
}

/// What changed last, while changes are read by time.
#[derive(Default)]
struct Newest {
    at: String,
    told: Vec<Told>,
}

impl Newest {
    /// Takes an object in; `false` where it has been told before.
    fn take(&mut self, entry: &Record<'_>, anchor: &str, since: &Checkpoint) -> bool {
        let at = texts(entry, "modifyTimestamp").max().unwrap_or_default();
        let number = texts(entry, "entryCSN").next();
        let change = number.map_or_else(|| anchor.to_owned(), |number| format!("{anchor} {number}"));
        let known = since.told.iter().find(|told| at == since.at && told.change == change);
        if at > self.at.as_str() {
            self.at = at.to_owned();
            self.told.clear();
        }
        if at == self.at && self.told.len() < TOLD {
            self.told.push(Told { change, done: number.is_some() || known.is_some() });
        }
        !known.is_some_and(|known| known.done)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint([{} bytes])", self.at.len())
    }
}

/// What the controller made of a cookie.
enum Taken {
    Accepted,
    Refused,
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A user or a group was made, or an attribute of it changed; or something that others live below was made, moved or renamed.
    Changed(SourceAnchor),
    /// An object was deleted.
    Deleted(SourceAnchor),
    /// A group got a member, by the member's distinguished name.
    Added {
        /// The group.
        group: SourceAnchor,
        /// The member.
        member: String,
    },
    /// A group lost a member.
    Removed {
        /// The group.
        group: SourceAnchor,
        /// The member.
        member: String,
    },
    /// Something changed whose anchor could not be read.
    Unidentified,
}

/// What has changed since a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changes {
    /// These, and where the next call goes on.
    Since {
        /// In the order of the server; the same object may come twice.
        changes: Vec<Change>,
        /// For the next call.
        next: Checkpoint,
    },
    /// The checkpoint is of no more use, for this reason: only a full run tells what has changed.
    Expired(String),
}

impl LdapSource {
    /// The present moment. Active Directory sends all objects once to say it, with few attributes.
    ///
    /// # Errors
    ///
    /// As [`read_changes`](Self::read_changes).
    pub async fn checkpoint(&self) -> Result<Checkpoint, SourceError> {
        match self.server.make {
            Make::ActiveDirectory => {
                let mut cookie = Vec::new();
                self.dir_sync(&mut cookie, |_| ()).await?;
                self.sealed(&cookie).await
            }
            Make::Generic => {
                let nothing = self.nothing_yet();
                let (mut newest, mut any) = (Newest::default(), false);
                self.each_since("", |entry, anchor| {
                    any = true;
                    newest.take(entry, anchor, &nothing);
                })
                .await?;
                if any && newest.at.is_empty() {
                    return Err(SourceError::new(
                        ErrorKind::Unsupported,
                        "this account may not read when objects changed (modifyTimestamp)",
                    ));
                }
                Ok(Checkpoint { at: newest.at, told: newest.told, ..nothing })
            }
        }
    }

    /// What has changed in the naming context since a checkpoint.
    ///
    /// Active Directory: DirSync with incremental values; changes of `member`, names, states and all mapped attributes. A cookie that the
    /// controller refuses, another controller, or one that stands before the checkpoint (a restored backup: USN rollback) make it
    /// [`Changes::Expired`]. Where the account may not see deleted objects ([`Tombstones::Hidden`](super::Tombstones::Hidden)), deletions do not
    /// show, also not later: the cookie passes them.
    ///
    /// Elsewhere: objects whose `modifyTimestamp` is not before that of the checkpoint, those left out that were told. Without
    /// `entryCSN` (OpenLDAP has it) what changed in the last second is told twice, and what changes a third time within it is
    /// missed. What was deleted does not show, and neither do members removed by the server itself, or changes that come from another
    /// server with an older time stamp.
    ///
    /// So run in full from time to time. A checkpoint of another directory, base, filter or set of attributes is `Expired`, too.
    ///
    /// # Errors
    ///
    /// `Unauthorized` where the account may not ask, `Unsupported` where Active Directory offers no DirSync, `Permanent` for an answer
    /// that cannot be understood or is beyond the bounds.
    pub async fn read_changes(&self, since: &Checkpoint) -> Result<Changes, SourceError> {
        if since.of != self.nothing_yet().of {
            return Ok(Changes::Expired(
                "the checkpoint was taken of something else than is read now".to_owned(),
            ));
        }
        match self.server.make {
            Make::ActiveDirectory => self.changes_by_cookie(since).await,
            Make::Generic => self.changes_by_time(since).await,
        }
    }

    async fn changes_by_cookie(&self, since: &Checkpoint) -> Result<Changes, SourceError> {
        let expired = |why: &str| Ok(Changes::Expired(why.to_owned()));
        let Ok(mut cookie) = STANDARD.decode(&since.at) else {
            return expired("the checkpoint is no cookie");
        };
        match (&since.generation, self.generation_now().await?) {
            (Some(then), Some(now)) if then.replica != now.replica => {
                return expired("another controller answers than the one that gave the checkpoint");
            }
            (Some(then), Some(now)) if then.number > now.number => {
                return expired("the controller stands before the checkpoint: it was restored from a backup");
            }
            (Some(_), Some(_)) | (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                return expired("nobody can say whether the controller is the one that gave the checkpoint");
            }
        }
        let mut changes = Vec::new();
        match self.dir_sync(&mut cookie, |entry| self.changed(entry, &mut changes)).await? {
            Taken::Accepted => Ok(Changes::Since { changes, next: self.sealed(&cookie).await? }),
            Taken::Refused => expired("the controller refused the checkpoint"),
        }
    }

    /// A checkpoint before the first change.
    fn nothing_yet(&self) -> Checkpoint {
        let watched = self.watched();
        let parts =
            [self.identity.as_str(), &self.server.context, &self.server.base, self.anchor_attribute()];
        let filters = [self.users.as_str(), self.groups.as_str()];
        let all = parts.into_iter().chain(filters).chain(watched.iter().map(String::as_str));
        let of = format!("{:?}", Fingerprint::of(all));
        Checkpoint { of, generation: None, at: String::new(), told: Vec::new() }
    }

    /// A cookie with the controller that gave it.
    async fn sealed(&self, cookie: &[u8]) -> Result<Checkpoint, SourceError> {
        let generation = self.generation_now().await?;
        Ok(Checkpoint { generation, at: STANDARD.encode(cookie), ..self.nothing_yet() })
    }

    async fn generation_now(&self) -> Result<Option<Generation>, SourceError> {
        let connection = self.connection().await?;
        let generation = super::server::generation(&connection).await?;
        self.passes.keep(connection);
        Ok(generation)
    }

    /// Asks on until the server has no more, and leaves the last cookie behind.
    async fn dir_sync(
        &self,
        cookie: &mut Vec<u8>,
        mut each: impl FnMut(&Record<'static>),
    ) -> Result<Taken, SourceError> {
        if !self.server.dir_sync {
            return Err(SourceError::new(ErrorKind::Unsupported, "the directory has no DirSync"));
        }
        let torn = || {
            SourceError::new(
                ErrorKind::Permanent,
                "the directory sent a DirSync answer that cannot be understood",
            )
        };
        for round in 0..ANSWERS {
            let value = der::sequence(&[
                der::integer(INCREMENTAL | OBJECT_SECURITY),
                der::integer(MOST),
                der::octets(cookie),
            ]);
            let control = RawControl { ctype: DIR_SYNC.to_owned(), crit: true, val: Some(value) };
            let search = Search {
                base: Base::named(&self.server.context),
                scope: Scope::Subtree,
                filter: Filter::any(
                    ["user", "group"]
                        .iter()
                        .chain(&CONTAINERS)
                        .map(|class| Filter::equal("objectClass", class)),
                ),
                attributes: self.watched(),
                controls: vec![control],
                most: usize::MAX,
            };
            let answer = match self.ask(search).await?.usable() {
                // What a controller answers to a cookie that it cannot use (Samba: code 12).
                Err(error)
                    if round == 0
                        && !cookie.is_empty()
                        && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Permanent) =>
                {
                    return Ok(Taken::Refused);
                }
                answer => answer?,
            };
            if let Some(why) = answer.cut() {
                return Err(SourceError::new(ErrorKind::Transient, why));
            }
            answer.entries.iter().for_each(&mut each);
            let mut parts = answer.control(DIR_SYNC).and_then(der::Reader::sequence).ok_or_else(torn)?;
            let (more, _, next) = (parts.integer(), parts.integer(), parts.octets());
            let (Some(more), Some(next)) = (more, next) else { return Err(torn()) };
            if more != 0 && next == cookie.as_slice() {
                return Err(SourceError::new(ErrorKind::Permanent, "the directory repeats a DirSync cookie"));
            }
            *cookie = next.to_vec();
            if more == 0 {
                return Ok(Taken::Accepted);
            }
        }
        Err(SourceError::new(ErrorKind::Permanent, "the directory has more changes than are read at once"))
    }

    /// What counts as a change: all that a plan may come from.
    fn watched(&self) -> std::sync::Arc<[String]> {
        let needed = [
            "objectGUID",
            "isDeleted",
            "member",
            "name",
            "userAccountControl",
            "accountExpires",
            "primaryGroupID",
        ];
        let wanted = self.options.attributes.iter().flatten().map(String::as_str);
        let wanted = wanted.chain(self.options.disabled.iter().map(|(attribute, _)| attribute.as_str()));
        let common =
            ["sAMAccountName", "userPrincipalName", "displayName", "mail", "givenName", "sn", "description"];
        names(needed.into_iter().chain(common).chain(wanted))
    }

    fn changed(&self, entry: &Record<'static>, changes: &mut Vec<Change>) {
        let mut names = self.names();
        let draft = self.draft(entry, &mut names);
        let (anchor, _) = Target::of(&draft).into_parts();
        if anchor.is_empty() {
            changes.push(Change::Unidentified);
            return;
        }
        let anchor = SourceAnchor::from(anchor);
        if draft.deleted {
            changes.push(Change::Deleted(anchor));
            return;
        }
        let mut other = false;
        for value in &entry.values {
            let meaning = names.meaning(value.name());
            match (meaning.role, meaning.range.and_then(|range| range.last.map(|last| (range.first, last)))) {
                (Role::Member, Some(range)) => {
                    let member = String::from_utf8_lossy(value.octets()).into_owned();
                    let group = anchor.clone();
                    changes.push(match range {
                        (0, 0) => Change::Removed { group, member },
                        _ => Change::Added { group, member },
                    });
                }
                (Role::ObjectGuid, _) => {}
                _ => other = true,
            }
        }
        // An attribute that was emptied comes without a value: an entry with nothing else has changed as well.
        let has_members = matches!(changes.last(), Some(Change::Added { group, .. } | Change::Removed { group, .. }) if *group == anchor);
        if other || !has_members {
            changes.push(Change::Changed(anchor));
        }
    }

    async fn changes_by_time(&self, since: &Checkpoint) -> Result<Changes, SourceError> {
        if !since.at.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
            return Ok(Changes::Expired("the checkpoint is no time stamp".to_owned()));
        }
        let mut changes = Vec::new();
        let mut newest = Newest { at: since.at.clone(), told: Vec::new() };
        self.each_since(&since.at, |entry, anchor| {
            if newest.take(entry, anchor, since) {
                changes.push(match anchor.is_empty() {
                    true => Change::Unidentified,
                    false => Change::Changed(SourceAnchor::from(anchor)),
                });
            }
        })
        .await?;
        let next = Checkpoint { at: newest.at, told: newest.told, ..self.nothing_yet() };
        Ok(Changes::Since { changes, next })
    }

    /// Each object that changed at this time or later, with its anchor; every one where the time is empty.
    async fn each_since(
        &self,
        since: &str,
        mut each: impl FnMut(&Record<'static>, &str),
    ) -> Result<(), SourceError> {
        let mut pass = self.passes.begin(self.connection().await?);
        let containers = CONTAINERS.map(|class| Filter::equal("objectClass", class));
        let mut filter = Filter::any([self.users.clone(), self.groups.clone()].into_iter().chain(containers));
        let mut all_names = self.names();
        if !since.is_empty() {
            filter = Filter::all([filter, Filter::at_least("modifyTimestamp", since)]);
        }
        for _ in 0..ANSWERS {
            let search = Search {
                filter: filter.clone(),
                attributes: names(["objectClass", "modifyTimestamp", "entryCSN", self.anchor_attribute()]),
                ..self.below_base()
            };
            let cookie = std::mem::take(&mut pass.cookie);
            let (answer, next) = self.page(&pass, search, &cookie).await?;
            let answer = answer.usable()?;
            if let Some(why) = answer.cut() {
                return Err(SourceError::new(ErrorKind::Transient, why));
            }
            for entry in &answer.entries {
                let (anchor, _) = Target::of(&self.draft(entry, &mut all_names)).into_parts();
                each(entry, &anchor);
            }
            if next.is_empty() {
                self.passes.keep(pass.connection);
                return Ok(());
            }
            pass.cookie = next;
        }
        Err(SourceError::new(ErrorKind::Permanent, "the directory has more changes than are read at once"))
    }
}
