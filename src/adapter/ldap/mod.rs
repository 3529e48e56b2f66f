//! A live directory over LDAP: Active Directory first, and others that have `entryUUID`.
//!
//! ```no_run
//! use identity_sync::adapter::ldap::{LdapOptions, LdapSource};
//! use identity_sync::{DirectorySource, Options};
//!
//! # async fn read(password: String) -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::default();
//! let account = LdapOptions::new("ldaps://dc1.corp.example.com", "svc-idsync@corp.example.com", password)
//!     .trust_pem(std::fs::read("corp-ca.pem")?)
//!     .for_run(&options);
//! let source = LdapSource::connect(account).await?;
//! println!("{:?} at {}", source.server().make, source.identity());
//! # Ok(())
//! # }
//! ```
//!
//! It needs a Tokio runtime with time and I/O enabled: everything here is called from within it.
//!
//! Assignments name anchors: `objectGUID` as text in lower case (`6f68e2af-…`), under the issuer of the run
//! (`Options::issuer`, else the [identity](DirectorySource::identity) of this source). How anchors are found by name shows
//! the example `ad_sync` (`directory.rs`).
//!
//! # What it reads
//!
//! An entry means here what it means in an [export](crate::adapter::ldif): the same classes, anchors, account states and
//! spellings, so that both give the same plan.
//!
//! * **Users and groups** by `objectClass`, below [`LdapOptions::base`], page by page. Aliases are not followed.
//! * **By anchor** in batches, so that a run reads only what is assigned, below that, or linked.
//! * **Members**: Active Directory gives each with its GUID (extended DN), in ranges if there are many. Elsewhere each name
//!   is looked up: one search for each member of the groups that are read, or one scan of the base for a read of all.
//!   `member`, `uniqueMember` and `memberUid` are understood.
//! * **Primary groups** (rule E10): users whose `primaryGroupID` names the group. Where a user was read that shows no such
//!   attribute, the lists of the groups that serve as primary groups count as incomplete.
//! * **Foreign members** (rule E9): below the domain's `CN=ForeignSecurityPrincipals`.
//! * **Account state** (rule A5) for Active Directory; elsewhere by [`LdapOptions::disabled_where`], since servers differ in how they
//!   lock an account, and without that every account is enabled.
//!
//! # What proves what
//!
//! A size, time or administrative limit, a referral (result code 10) and a controller that is not synchronized make a read
//! partial (rule C1). Continuation references lead to other naming contexts; they are counted
//! ([`LdapSource::references`]) and not followed. A base that cannot be seen is an error, never an empty directory.
//!
//! [`existence`](DirectorySource::existence) asks the whole naming context, deleted objects included: `Gone` is
//! answered for a tombstone only. Where the account may not read tombstones ([`Tombstones::Hidden`]) nothing is ever `Gone`,
//! whatever else it may read.
//!
//! LDAP does not tell an attribute that is empty from one that the account may not read. Give the account the right to
//! read what is mapped, and keep the limits on cleared attributes on. This much is checked:
//!
//! * A group of Active Directory that shows no member while somebody shows it in his `memberOf` has a list that may not be
//!   read: it is incomplete. Where no group at all shows a member, every list is ([`LdapOptions::empty_groups`] says that they are
//!   empty indeed); of other directories that is all that is checked.
//! * A group that changes between two ranges of its list has an incomplete one.
//! * An account of Active Directory that shows no `userAccountControl` or no `accountExpires` is of unknown state.
//! * An entry whose `objectClass` or anchor may not be read makes the read partial.
//!
//! A user whom the account may not see at all is in the lists of groups all the same, by his id, and so keeps what he has. But nobody
//! shows that he has some group as *primary* group: do not let access rest on `Domain Users` alone where parts of the
//! directory are hidden, or name a canary in each part ([`Canaries`](crate::Canaries)).
//!
//! A connection is kept for each read that is under way, eight at most. When it breaks, the read ends with an error and begins
//! again with the next run: what was given before belongs to a view that no longer exists.
//!
//! # Rights
//!
//! Active Directory: an ordinary account reads users and groups. To see deletions it needs "List Contents" and "Read
//! Property" on `CN=Deleted Objects`; for [`LdapSource::read_changes`] "Replicating Directory Changes" or, without it, it sees the
//! changes of what it may read. Nothing is ever written.
//!
//! # Security
//!
//! TLS by default, certificates and names checked, with your own authority where you name one. No option switches the check off.
//! Filters are built by types that escape. An answer is bounded in entries and octets; a single message is held whole
//! by the protocol crate, which also recurses as deep as a message nests, and may print what it did not understand
//! when it gives up: a directory that you authenticate to has to be trusted that far, and with StartTLS whoever is on the way
//! before TLS begins. Prefer `ldaps://`.

mod backlinks;
mod changes;
mod connection;
mod der;
mod existence;
mod filter;
mod groups;
mod members;
mod options;
mod pass;
mod server;
mod users;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use indexmap::IndexSet;
use ldap3::Scope;
use ldap3::controls::{PagedResults, RawControl};
use tokio::time::Instant;

use self::connection::{Answer, Connection, Dialer, Search};
use self::filter::{Base, Filter};
use self::pass::{Given, Pass, Passes};
use self::server::{PAGED, names};
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::entry::{Draft, PrimaryGroup, Reading, draft};
use crate::adapter::directory::ids::{guid_octets, uuid_text};
use crate::adapter::directory::names::Names;
use crate::adapter::directory::record::Record;
use crate::error::SourceError;
use crate::id::SourceAnchor;
use crate::model::Timestamp;
use crate::page::PageEnd;
use crate::source::{
    Asked, DirectorySource, Generation, GroupPage, Read, Select, SourceCapabilities, SourceIdentity, UserPage,
};

pub use self::changes::{Change, Changes, Checkpoint};
pub use self::options::{LdapOptions, Make, Password, Security};
pub use self::server::{Server, Tombstones};

/// Most anchors in one read: a filter of some 30 KiB.
const SELECT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(499);
/// How long what a full read of users gathered about primary groups counts.
const GATHERED: Duration = Duration::from_secs(600);

/// What a full read of users found out about groups.
struct Gathered {
    ended: Instant,
    /// RID of the primary group and anchor, sorted.
    users: Vec<(u32, String)>,
    /// Groups that somebody says he is in.
    named: IndexSet<String>,
}

/// A directory read over LDAP. See the [module](self).
pub struct LdapSource {
    dialer: Dialer,
    options: LdapOptions,
    server: Server,
    identity: SourceIdentity,
    users: Filter,
    groups: Filter,
    user_attributes: Arc<[String]>,
    group_attributes: Arc<[String]>,
    passes: Passes,
    gathered: Mutex<Option<Arc<Gathered>>>,
    /// Some user shows no `primaryGroupID`.
    primary_hidden: AtomicBool,
    references: AtomicUsize,
}

impl LdapSource {
    /// Connects, binds, and learns what the server is and lets this account see.
    ///
    /// # Errors
    ///
    /// `Invalid` for options that cannot be meant, a base that is not there among them; `Unauthorized` where the bind is refused or the base
    /// may not be seen; `Permanent` for a certificate that is not accepted; `Transient` where nobody answers;
    /// `Unsupported` outside a Tokio runtime.
    pub async fn connect(options: LdapOptions) -> Result<Self, SourceError> {
        let dialer = Dialer::new(&options)?;
        let with_host = |classes: Filter, also: &Option<String>| match also {
            Some(text) => Filter::of_host(text).map(|also| Filter::all([classes, also])),
            None => Ok(classes),
        };
        let host_users = options.user_filter.clone();
        let host_groups = options.group_filter.clone();
        // Before anybody is asked: a filter that is none would fail each read later.
        with_host(Filter::present("objectClass"), &host_users)?;
        with_host(Filter::present("objectClass"), &host_groups)?;
        let connection = dialer.connect().await?;
        let server = Server::learn(&connection, &options).await?;
        let identity = options.identity.clone().unwrap_or_else(|| server.identity());
        let passes = Passes::default();
        passes.keep(connection);
        Ok(Self {
            users: with_host(user_classes(server.make), &host_users)?,
            groups: with_host(group_classes(server.make), &host_groups)?,
            user_attributes: user_attributes(&options, server.make),
            group_attributes: group_attributes(&options, server.make),
            dialer,
            options,
            server,
            identity,
            passes,
            gathered: Mutex::new(None),
            primary_hidden: AtomicBool::new(false),
            references: AtomicUsize::new(0),
        })
    }

    /// What was learnt of the server on connecting.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Continuation references to other servers that were met and not followed, since this value was made.
    pub fn references(&self) -> usize {
        self.references.load(Ordering::Relaxed)
    }

    async fn connection(&self) -> Result<Connection, SourceError> {
        match self.passes.idle() {
            Some(connection) => Ok(connection),
            None => self.dialer.connect().await,
        }
    }

    /// Carries searches out that belong to no read. A connection that was kept may have been closed since; then a new
    /// one is tried.
    async fn ask(&self, search: Search) -> Result<Answer, SourceError> {
        if let Some(connection) = self.passes.idle()
            && let Ok(answer) = connection.search(search.clone()).await
        {
            self.passes.keep(connection);
            return Ok(answer);
        }
        let connection = self.dialer.connect().await?;
        let answer = connection.search(search).await?;
        self.passes.keep(connection);
        Ok(answer)
    }

    fn anchor_attribute(&self) -> &str {
        anchor_attribute(&self.options, self.server.make)
    }

    /// Whether the id inside an extended DN is the anchor.
    fn anchors_by_guid(&self) -> bool {
        self.server.extended_dn
            && self.server.make == Make::ActiveDirectory
            && self.anchor_attribute().eq_ignore_ascii_case("objectGUID")
    }

    fn user_classes(&self) -> Filter {
        user_classes(self.server.make)
    }

    fn names(&self) -> Names {
        Names::with_anchor(self.options.anchor.as_deref())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an account that expires does so by the machine's clock; the host may give another"
    )]
    fn draft(&self, record: &Record<'_>, names: &mut Names) -> Draft {
        let now = self.options.now.or_else(|| {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok().map(Timestamp)
        });
        let ends = self.server.make == Make::ActiveDirectory;
        draft(record, names, Reading { anchor: self.options.anchor.as_deref(), now, ends })
    }

    /// Whether what is read is all that the naming context holds of it.
    fn reads_whole_context(&self) -> bool {
        let same = |base: &str, context: &str| DnKey::parse(base) == DnKey::parse(context);
        self.options.user_filter.is_none() && same(&self.server.base, &self.server.context)
    }

    /// A search of everything in the naming context, to be filled in.
    fn below_context(&self) -> Search {
        Search { base: Base::named(&self.server.context), ..self.below_base() }
    }

    /// A search of everything below the base, to be filled in.
    fn below_base(&self) -> Search {
        Search {
            base: Base::named(&self.server.base),
            scope: Scope::Subtree,
            filter: Filter::present("objectClass"),
            attributes: names([]),
            controls: Vec::new(),
            most: usize::MAX,
        }
    }

    /// The filter for these objects, or `None` where no such object can be in this directory.
    fn selected(&self, select: Select<'_>, filter: &Filter) -> Option<Filter> {
        let Select::Anchors(anchors) = select else { return Some(filter.clone()) };
        let mut wanted = anchors.iter().filter_map(|anchor| self.by_anchor(anchor)).peekable();
        wanted.peek()?;
        Some(Filter::all([filter.clone(), Filter::any(wanted)]))
    }

    /// `None` where the text cannot be an anchor here.
    fn by_anchor(&self, anchor: &SourceAnchor) -> Option<Filter> {
        let attribute = self.anchor_attribute();
        if attribute.eq_ignore_ascii_case("objectGUID") {
            return guid_octets(anchor.as_str()).map(|octets| Filter::equal(attribute, octets));
        }
        if attribute.eq_ignore_ascii_case("entryUUID") {
            return uuid_text(anchor.as_str()).map(|text| Filter::equal(attribute, text));
        }
        Some(Filter::equal(attribute, anchor.as_str()))
    }

    /// Carries out a search of a read, one page of it, and says where it goes on.
    async fn page(
        &self,
        pass: &Pass,
        mut search: Search,
        cookie: &[u8],
    ) -> Result<(Answer, Vec<u8>), SourceError> {
        let size = usize::from(self.options.page_size.get());
        if self.server.pages {
            let size = i32::from(self.options.page_size.get().min(i16::MAX.unsigned_abs()));
            let mut control: RawControl = PagedResults { size, cookie: cookie.to_vec() }.into();
            control.crit = true;
            search.controls.push(control);
            search.most = size_of_page(self.options.page_size.get());
        } else {
            search.most = search.most.max(size);
        }
        let mut answer = pass.connection.search(search).await?;
        self.references.fetch_add(answer.references, Ordering::Relaxed);
        let cookie = match answer.control(PAGED) {
            Some(value) => cookie_of(value).map(<[u8]>::to_vec),
            // Without the control the search has ended. A server that pages has one in the answer to each page that it carried out
            // (RFC 2696); where one between us has taken it away, there may be more (rule C1).
            None => {
                answer.unpaged = self.server.pages;
                Some(Vec::new())
            }
        };
        let cookie = cookie.ok_or_else(|| {
            SourceError::new(
                crate::ErrorKind::Permanent,
                "the directory sent a page that cannot be understood",
            )
        })?;
        Ok((answer, cookie))
    }

    /// Some of the entries that a search finds: its first page.
    async fn some(&self, pass: &Pass, mut search: Search, most: i32) -> Result<Answer, SourceError> {
        if self.server.pages {
            let mut control: RawControl = PagedResults { size: most, cookie: Vec::new() }.into();
            control.crit = true;
            search.controls.push(control);
        }
        // A server without pages sends them all.
        search.most = 1_000_000;
        pass.connection.search(search).await?.usable()
    }

    /// Begins a read, or goes on with one.
    async fn pass(&self, read: &Read<'_>) -> Result<Pass, SourceError> {
        let pass = match read.at {
            Some(token) => return self.passes.take(token),
            None => self.passes.begin(self.connection().await?),
        };
        Ok(pass)
    }

    /// Ends a read; its connection serves the next one.
    fn end(&self, mut pass: Pass) -> PageEnd {
        if !self.server.synchronized {
            pass.cut("the controller says that it is not synchronized with the others");
        }
        self.passes.keep(pass.connection);
        pass.partial.map_or(PageEnd::COMPLETE, PageEnd::partial)
    }

    fn gathered(&self) -> Option<Arc<Gathered>> {
        let gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.as_ref().filter(|gathered| gathered.ended.elapsed() < GATHERED).cloned()
    }

    fn forget_gathered(&self) {
        *self.gathered.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn gather(&self, mut users: Vec<(u32, String)>, named: IndexSet<String>) {
        users.sort_unstable();
        users.dedup();
        *self.gathered.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(Gathered { ended: Instant::now(), users, named }));
    }
}

/// Where a search goes on (RFC 2696); empty after its last page.
fn cookie_of(control: &[u8]) -> Option<&[u8]> {
    let mut parts = der::Reader::sequence(control)?;
    parts.integer()?;
    parts.octets()
}

/// Most entries that a page may hold.
fn size_of_page(asked: u16) -> usize {
    usize::from(asked)
}

fn anchor_attribute(options: &LdapOptions, make: Make) -> &str {
    options.anchor.as_deref().unwrap_or(match make {
        Make::ActiveDirectory => "objectGUID",
        Make::Generic => "entryUUID",
    })
}

fn user_classes(make: Make) -> Filter {
    let class = |name| Filter::equal("objectClass", name);
    match make {
        Make::ActiveDirectory => Filter::all([class("user"), class("computer").negated()]),
        Make::Generic => Filter::any(["person", "inetOrgPerson", "posixAccount", "user"].map(class)),
    }
}

fn group_classes(make: Make) -> Filter {
    let class = |name| Filter::equal("objectClass", name);
    match make {
        Make::ActiveDirectory => class("group"),
        Make::Generic => Filter::any(
            ["groupOfNames", "groupOfUniqueNames", "groupOfMembers", "posixGroup", "group"].map(class),
        ),
    }
}

/// What the rules need, and what the host wants.
fn user_attributes(options: &LdapOptions, make: Make) -> Arc<[String]> {
    let needed: &[&str] = match make {
        Make::ActiveDirectory => &[
            "objectClass",
            "objectSid",
            "userAccountControl",
            "accountExpires",
            "primaryGroupID",
            "uSNChanged",
            backlinks::MEMBER_OF,
        ],
        Make::Generic => &["objectClass", "uid"],
    };
    let wanted = options.attributes.iter().flatten().map(String::as_str);
    let wanted = wanted.chain(options.disabled.iter().map(|(attribute, _)| attribute.as_str()));
    let all = options.attributes.is_none().then_some("*");
    names(
        [anchor_attribute(options, make)].into_iter().chain(needed.iter().copied()).chain(all).chain(wanted),
    )
}

fn group_attributes(options: &LdapOptions, make: Make) -> Arc<[String]> {
    let needed: &[&str] = match make {
        Make::ActiveDirectory => &["objectClass", "objectSid", "uSNChanged", backlinks::MEMBER_OF],
        Make::Generic => &["objectClass", "uniqueMember", "memberUid"],
    };
    let member = options.range_size.map(|size| format!("member;range=0-{}", size.get() - 1));
    // Members come with their own name or, where ranges are asked for, with that of the first range; `*` would name them twice.
    let wanted = options.attributes.iter().flatten().map(String::as_str);
    let all = options.attributes.is_none().then_some("*");
    let member = member.as_deref().unwrap_or("member");
    names(
        [anchor_attribute(options, make), member]
            .into_iter()
            .chain(needed.iter().copied())
            .chain(all)
            .chain(wanted),
    )
}

#[async_trait]
impl DirectorySource for LdapSource {
    fn identity(&self) -> SourceIdentity {
        self.identity.clone()
    }

    fn capabilities(&self) -> SourceCapabilities {
        let can = SourceCapabilities::default().with_select(SELECT).with_existence();
        match self.server.make {
            Make::ActiveDirectory => can,
            Make::Generic if self.options.disabled.is_empty() => can.without_account_state(),
            Make::Generic => can,
        }
    }

    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        if let Some((Given::Users(given), end)) = read.at.and_then(|token| self.passes.again(token)) {
            // The bounds are the caller's.
            *page = UserPage { limits: page.limits, ..given };
            return Ok(end);
        }
        let end = self.users_page(read, page).await?;
        if let Some(token) = read.at {
            self.passes.gave(token, Given::Users(page.clone()), &end);
        }
        Ok(end)
    }

    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        if let Some((Given::Groups(given), end)) = read.at.and_then(|token| self.passes.again(token)) {
            *page = GroupPage { limits: page.limits, ..given };
            return Ok(end);
        }
        let end = self.groups_page(read, page).await?;
        if let Some(token) = read.at {
            self.passes.gave(token, Given::Groups(page.clone()), &end);
        }
        Ok(end)
    }

    /// `Gone` only for a tombstone that was seen (rule C3); a search of the whole naming context for each batch.
    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        self.answer_existence(asked).await
    }

    /// Active Directory: `highestCommittedUSN` and the `invocationId` of the controller that answers. Elsewhere `None`.
    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        if self.server.make != Make::ActiveDirectory {
            return Ok(None);
        }
        // On a connection that will serve the reads, so that it is the same controller that speaks.
        let connection = self.connection().await?;
        let generation = server::generation(&connection).await?;
        self.passes.keep(connection);
        Ok(generation)
    }
}

impl fmt::Debug for LdapSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapSource")
            .field("identity", &self.identity)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
