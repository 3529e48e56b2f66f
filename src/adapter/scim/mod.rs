//! Identity store: any SCIM 2.0 service (RFC 7643, RFC 7644), with a preset for AWS IAM Identity Center (feature `scim`).
//!
//! Its methods need a Tokio runtime, with time and I/O switched on, which the host brings.
//!
//! ```no_run
//! use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
//! use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
//! use identity_sync::{ApplyOptions, Host, Options, Run, Timestamp, apply, reconcile};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let token = Token::new(std::env::var("SCIM_TOKEN")?);
//! let store = ScimStore::connect(ScimOptions::new("https://app.example.com/scim/v2", token)).await?;
//!
//! # let (directory, assignments) = (MemoryDirectory::new("corp"), MemoryAssignments::of("corp", &["g1"]));
//! let (options, host) = (Options::default(), Host::default());
//! let run = Run::at(Timestamp(1_795_413_600));
//! let found = reconcile(&directory, &store, &assignments, &options, &run, &host).await?;
//! println!("{}", found.plan);
//! apply(&found.plan, &store, &ApplyOptions::default(), &host).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # AWS IAM Identity Center
//!
//! Prefer the feature `aws`, which lists members, where you have AWS credentials. With the token of its SCIM endpoint alone, which does not
//! list the members of groups, a ledger keeps them beside it (rule C5):
//!
//! ```no_run
//! use identity_sync::adapter::scim::{FileLedger, ScimOptions, ScimStore, Token};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let token = Token::new("");
//! let address = "https://scim.eu-central-1.amazonaws.com/tenant/scim/v2/";
//! let ledger = FileLedger::open("/var/lib/sync/aws.ledger", address)?;
//! let store = ScimStore::connect(ScimOptions::aws_identity_center(address, token).ledger(ledger)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Names of attributes
//!
//! The flat names of this crate are SCIM's paths: `userName`, `name.givenName`, `title`, and with its whole name an attribute of
//! an extension, `urn:example:2.0:User:badge`. Of the extension for enterprises the names alone do (`department`,
//! `employeeNumber`, `costCenter`, `organization`, `division`).
//!
//! Of what SCIM keeps as a list of objects (`emails`, `phoneNumbers`, `ims`, `photos`, `roles`, `entitlements`,
//! `x509Certificates`) a flat attribute is the list of their `value`. Written, each value of `emails` and `phoneNumbers` has the
//! type `work`, and the first is the primary one; an update replaces the list. Whoever shares such a list with others maps
//! one value by its type, `emails[type eq "work"].value`, and declares that name in [`ScimOptions::users`]: then only that value
//! is read, written, and cleared. Numbers and booleans are read as text, and texts are written.
//!
//! `id`, `externalId`, `active`, `groups`, `members`, `meta`, `schemas` and `password` are no attributes: a map that names
//! one is refused.
//!
//! # Whose a record is
//!
//! By default `externalId` is written as `issuer:anchor` (see [`ExternalIds`]), so that records which somebody else
//! provisioned, under whatever id, are not ours and never become ours (rules M3, M7). A record without `externalId` is
//! unmanaged.
//!
//! # Guarantees
//!
//! * What the server offers it says itself (`ServiceProviderConfig`), once, when the store connects: filters, versions,
//!   order, bulk, cursors. Options override it.
//! * A list is whole or says that it is not (rules C1, C5). By index, each page begins with the last record of the page
//!   before; where that has moved, it is looked for, and where it is gone, the read is partial. A list ends with a page on
//!   which nothing new stands, and must have as many records as the server announced. By cursor, a cursor must not
//!   repeat, and a server that gives a first page and no cursor is not believed to have given all.
//! * Every answer is bounded in bytes before memory is taken, every list in pages, every request in time. An answer that
//!   cannot be understood, or holds a record without an id, is an error and never left out.
//! * What a filter finds is compared again, external ids byte for byte and unique values by the declared rule.
//! * A create looks first, in two requests, whether any user or group has the external id, since SCIM servers need not keep it
//!   unique. Calls that create or adopt wait for each other, and a create that was sent is seen through to its answer also where
//!   the call is dropped (rules J4, X4). A server that answers with a record which it did not make, or does not keep the
//!   external id, is found out; of the latter no other record is asked.
//! * A lost answer, half of one, and `5xx` are transient: the write may have happened, and the engine looks again before
//!   it sends anything a second time (rule X4).
//! * What cannot have changed anything is sent again by this store itself, five times in all (creates: since another one was made), with growing and jittered pauses:
//!   reads after no answer, 408, 425, 429 and `5xx`, writes after 429 alone (refused: nothing has happened). `Retry-After` is
//!   waited for, up to a minute; a longer one is in the error. A read that has taken the whole
//!   [`timeout`](ScimOptions::timeout) is not repeated.
//! * Each item is answered before the next write is sent, but for creates of one kind that stand side by side: eight of them are under
//!   way together, once the server was seen to keep an external id of that kind, and fewer after a 429. Where reads are not limited, that
//!   makes 25 a second with answers that take up to 160 ms. What two of them both want, a link or a unique value, the first one gets;
//!   the second is tried after all creates that stand beside it.
//! * Several writes go out as one bulk request where the server takes those: creates together, or changes of different records
//!   together, in their order; an answer that cannot be told to belong to an item leaves it unknown.
//! * Where the server has versions, writes carry `If-Match`; it compares them itself (rule P7).
//! * Members are removed as RFC 7644 says, one path for each. Where the server refuses a whole request for one who is not there,
//!   the others are removed one by one.
//! * The token goes over TLS with checked certificates only, or to this machine, and to no address that a redirect names. It, the
//!   addresses of records and their values are in no error and no `Debug` (rule S2); what a server says about an error is
//!   not repeated.
//!
//! # Limits
//!
//! * Two processes that create at once may both find an external id free. Then only the uniqueness of `userName` keeps them
//!   apart; for groups the host must see to it that one process writes (rule J4).
//! * A request that is delayed in the network until after its answer was given up can take effect later than what was
//!   written since. The next run sees it.
//! * Somebody who is created by others while a list is read by index may be missing in it; his create is then answered
//!   `AlreadyExists`.
//! * Origins of users (rule J2) and who made a user inactive (rule A7) are not kept: SCIM has no place for them. All users
//!   count as synced, and an entitled user is made active again whoever made him inactive.
//! * A server that lists members is looked at once, after the first addition: where it does not show who was added, that
//!   write is answered `Unsupported`, and it has to be declared as [`MemberListing::NotListed`]. Before that, it is believed.
//! * Unique attributes are those of the options, compared by the rule that they name. Where the server's own rule is another
//!   one, declare the wider one of the two.
//!
//! # Memberships in a ledger
//!
//! A [`FileLedger`] is read when it is opened and locked when it is first written to: a dry run may look while another process
//! writes, and of two that write the second is refused. A read that makes an uncertain membership certain, or finds a group
//! whose create was lost, is such a write.
//!
//! A [`Ledger`] holds what this store did to memberships, written down before each request and after its answer. Who others
//! put into a group is not in it, and is not seen. A membership whose write was never answered is uncertain: where the server
//! answers filters for members ([`ScimOptions::member_filter`], AWS does), the next read asks it; else the read is partial until
//! [`ScimStore::settle_memberships`] has taken out whoever is uncertain; the next plan adds again who is entitled. A group that the ledger does not know, after a ledger was lost or
//! for a record that was adopted, makes reads partial until [`ScimStore::rebuild_ledger`] has asked about it.
//!
//! # Rights
//!
//! The token needs to read `ServiceProviderConfig`, and to read and write `Users` and `Groups`. `Bulk` only where the server offers
//! it; `Schemas`, `Me` and passwords never.
//!
//! # Tested with
//!
//! scim2-server 0.8.3 (strict: versions, bulk, order), scimmy-routers 1.3.2 (lax: no versions, members twice), and a server of
//! the tests that has AWS's limits and every fault named here. Not with AWS itself: its limits are those of its developer guide.
//! There is no crate of SCIM types among the dependencies: flat attributes need paths into JSON, which types of fixed
//! attributes do not give.

mod ahead;
mod bulk;
mod client;
mod config;
mod create;
mod date;
mod error;
mod filter;
mod http;
mod json;
mod ledger;
mod links;
mod list;
mod members;
mod options;
mod read;
mod token;
mod write;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::client::Client;
use self::error::{Fault, Refusal};
#[cfg(feature = "aws")]
pub(crate) use self::json::{Declared, ENTERPRISE, attributes};
pub use self::ledger::{FileLedger, Ledger, LedgerEntry};
use self::ledger::{Tracked, Uncertain};
pub use self::links::ExternalIds;
pub use self::options::{MemberListing, MemberRemoval, Paging, ScimLimits, ScimOptions, Use};
pub use self::token::{Token, TokenProvider};
use crate::error::{ErrorKind, StoreError};
use crate::id::StoreId;
use crate::model::Kind;
use crate::page::{PageEnd, PageToken};
use crate::store::{
    IdentityStore, MemberPage, StoreCapabilities, StoreSelect, StoredGroupPage, StoredUserPage, Write,
    WriteBatch, WriteItem, Written,
};

/// An [`IdentityStore`] behind a SCIM 2.0 service. Clones share one connection, its limits and its ledger.
///
/// See the [module](self) for what it guarantees and what it cannot do.
#[derive(Clone)]
pub struct ScimStore {
    client: Arc<Client>,
    ledger: Option<Arc<Tracked>>,
    /// Held while a link is given: between the look whether it is free and the write, nobody else of this process gives one.
    linking: Arc<Mutex<()>>,
    known: Arc<Known>,
}

/// What the server has shown about itself.
#[derive(Debug, Default)]
struct Known {
    /// It has shown somebody who was added to a group.
    lists_members: AtomicBool,
    /// It has not kept the external id of a record that it made.
    drops_links: AtomicBool,
    /// It has kept the external id of a user that it made …
    keeps_links_of_users: AtomicBool,
    /// … and of a group.
    keeps_links_of_groups: AtomicBool,
}

impl ScimStore {
    /// Asks the server what it can do, and reads the ledger where there is one. Nothing is written.
    ///
    /// # Errors
    ///
    /// `Invalid` for options that cannot be meant; `Unsupported` for a server without PATCH; and whatever the first request
    /// meets.
    pub async fn connect(options: ScimOptions) -> Result<Self, StoreError> {
        let client = Arc::new(Client::connect(options).await?);
        let ledger = match &client.options.ledger {
            Some(log) => Some(Arc::new(Tracked::open(Arc::clone(log)).await?)),
            None => None,
        };
        Ok(Self { client, ledger, linking: Arc::default(), known: Arc::default() })
    }

    /// Makes memberships certain whose write was never answered, where the server cannot be asked about them: takes out whom an
    /// earlier run was removing, and whom it was adding as well. Who of those is entitled is added again by the next plan; to
    /// add him here might give back what he has lost since. Answers how many memberships are certain now.
    ///
    /// Nothing is left to do where no write went unanswered, where there is no ledger, and where reads settle it themselves
    /// ([`ScimOptions::member_filter`]).
    ///
    /// # Errors
    ///
    /// Whatever a write meets. What was finished before stays so.
    pub async fn settle_memberships(&self) -> Result<usize, StoreError> {
        let mut settled = 0;
        let Some(ledger) = &self.ledger else { return Ok(settled) };
        if self.client.options.member_filter.is_some() {
            return Ok(settled);
        }
        for Uncertain { group, members } in ledger.uncertain().await {
            match self.remove_members(&group, None, &members).await {
                // Nobody is in a group that is gone. For one who is gone himself the next read says so.
                Err(fault) if fault.kind() == ErrorKind::NotFound => {
                    if self.client.get(Kind::Group, group.as_str(), false).await?.is_some() {
                        return Err(fault.into());
                    }
                    ledger.note(LedgerEntry::GroupGone { group }).await?;
                }
                answered => drop(answered?),
            }
            settled += members.len();
        }
        Ok(settled)
    }

    /// Asks the server who of these users is in these groups, and writes that into the ledger in place of what it said: for a
    /// ledger that was lost, or groups that were made without it. One request for each user and group.
    ///
    /// Name all users whom the store holds: who is not named counts as outside. Stop all writers before.
    ///
    /// # Errors
    ///
    /// `Unsupported` without a ledger or without [`ScimOptions::member_filter`]. Groups that were asked about before the error
    /// are written.
    pub async fn rebuild_ledger(&self, groups: &[StoreId], users: &[StoreId]) -> Result<(), StoreError> {
        let ledger = self.ledger.as_ref().ok_or(Fault::Unsupported("this store has no ledger"))?;
        for group in groups {
            ledger.list(&self.client, group, users).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScimStore {
    /// What the store can do; nothing of the token (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScimStore").field("capabilities", &self.client.capabilities).finish_non_exhaustive()
    }
}

#[async_trait]
impl IdentityStore for ScimStore {
    fn capabilities(&self) -> StoreCapabilities {
        self.client.capabilities.clone()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        let found = self.page(Kind::User, select, at).await?;
        read::fill_users(&found.records, page);
        Ok(found.end)
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        let found = self.page(Kind::Group, select, at).await?;
        read::fill_groups(&found.records, page);
        Ok(found.end)
    }

    async fn read_members(
        &self,
        group: &StoreId,
        _at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let (members, end) = self.members_of(group).await?;
        members.iter().for_each(|member| page.member(member));
        Ok(end)
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        let mut open: Vec<&mut WriteItem<'_>> = batch.items().filter(|item| !item.is_answered()).collect();
        let mut rest = open.as_mut_slice();
        // What the first create beyond a quota was told, the others of the call would be told as well.
        let mut full = None;
        let mut is_open = false;
        while !rest.is_empty() {
            let is_vain = full.is_some() && rest.first().is_some_and(|first| is_create(first.write()));
            let run = self.run(rest.iter().map(|item| item.write())).filter(|_| !is_vain);
            let size = match &run {
                Some(run) => run.len(),
                None if self.client.bulk.is_some() => 1,
                None => rest.len(),
            };
            let (now, later) = rest.split_at_mut(size);
            let outcomes = match run {
                Some(run) => self.send_run(run).await.map_err(|fault| left_open(fault, is_open))?,
                None => None,
            };
            match outcomes {
                // What the server says nothing about stays without an answer: nobody knows.
                Some(outcomes) => {
                    for (item, outcome) in now.iter_mut().zip(outcomes) {
                        is_open |= outcome.is_none();
                        if let Some(outcome) = outcome {
                            let outcome = self.checked(item.write(), outcome).await;
                            note_quota(item, &outcome, &mut full);
                            answer(item, outcome);
                        }
                    }
                }
                None => {
                    self.singly(now, &mut full).await.map_err(|fault| left_open(fault, is_open))?;
                }
            }
            rest = later;
        }
        Ok(())
    }
}

/// What a call ends with: no refusal where the server has left the outcome of an item before it open, since the engine takes one
/// for the word on all that has no answer.
fn left_open(fault: Fault, is_open: bool) -> Fault {
    if is_open && write::is_refusal(&fault) {
        return Fault::NoAnswer("the server has not told what came of some writes");
    }
    fault
}

impl ScimStore {
    /// Writes in their order; creates that stand side by side go out together.
    async fn singly(
        &self,
        mut rest: &mut [&mut WriteItem<'_>],
        full: &mut Option<Refusal>,
    ) -> Result<(), Fault> {
        while !rest.is_empty() {
            let creates = rest.iter().take_while(|item| is_create(item.write())).count();
            let (now, later) = rest.split_at_mut(creates.max(1));
            match now {
                [item] if creates == 0 => {
                    let outcome = self.perform(item.write()).await;
                    let outcome = self.checked(item.write(), outcome).await;
                    answer_or_end(item, outcome, full)?;
                }
                creates => self.create_each(creates, full).await?,
            }
            rest = later;
        }
        Ok(())
    }

    /// What came of a write, once it is seen that the server shows it.
    async fn checked(&self, write: &Write<'_>, outcome: Result<Written, Fault>) -> Result<Written, Fault> {
        match (write, outcome) {
            (Write::AddMembers { id, members, .. }, Ok(written)) => {
                self.check_listing(id, members).await.map(|()| written)
            }
            (_, outcome) => outcome,
        }
    }
}

fn is_create(write: &Write<'_>) -> bool {
    matches!(write, Write::CreateUser { .. } | Write::CreateGroup { .. })
}

/// Answers an item; what the next one would meet as well ends the call.
fn answer_or_end(
    item: &mut WriteItem<'_>,
    outcome: Result<Written, Fault>,
    full: &mut Option<Refusal>,
) -> Result<(), Fault> {
    match outcome {
        Err(fault) if ends_call(&fault) => Err(fault),
        outcome => {
            note_quota(item, &outcome, full);
            answer(item, outcome);
            Ok(())
        }
    }
}

fn ends_call(fault: &Fault) -> bool {
    fault.concerns_all() && fault.status() != Some(403)
}

fn note_quota(item: &WriteItem<'_>, outcome: &Result<Written, Fault>, full: &mut Option<Refusal>) {
    if let (true, Err(Fault::Refused(refusal))) = (is_create(item.write()), outcome) {
        if refusal.kind() == ErrorKind::QuotaExceeded {
            *full = Some(refusal.clone());
        }
    }
}

fn answer(item: &mut WriteItem<'_>, outcome: Result<Written, Fault>) {
    item.answer(match outcome {
        Ok(written) => Ok(written),
        // One record may be closed to us, and the others open: revocations of those must go on.
        Err(fault) if fault.status() == Some(403) => {
            Err(Fault::Permanent("the server forbids this write").into())
        }
        Err(fault) => Err(fault.into()),
    });
}
