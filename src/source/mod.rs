//! The directory that is read, and the pages that it fills.

mod page;

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::id::SourceAnchor;
use crate::model::Existence;
use crate::page::{PageEnd, PageToken};

pub use page::{GroupPage, GroupRow, UserPage, UserRow};
pub(crate) use page::{ListState, RowHealth};

/// A directory: Active Directory, LDAP, an export, a table of people.
///
/// # Contract
///
/// * A read is a sequence of calls, the first with `at: None`, each next one with the token of the call before,
///   until [`PageEnd::Last`]. The engine hands in an empty page each time and reads it only after `Ok`, so a
///   call may be repeated after an error without doubling a row.
/// * The page belongs to the caller, with its bounds (rule S1): an adapter adds rows to it and does nothing else with it.
/// * A call may be dropped at any await point, and several reads may go on at once.
/// * Rows may come in any order, and the same row twice; order never matters (rule P2).
/// * **An error is never an empty page** (rule C1). Return `Err`, or end with usable data as
///   [`Completeness::Partial`](crate::Completeness). Whatever is not shown to be complete removes nobody.
/// * [`Completeness::Complete`](crate::Completeness) promises that every object of the kind, among those asked for, was given.
/// * An object that is asked for by its anchor reads as it does among all, but for the kinds of members, which may be unknown.
/// * A member list says for itself that it is complete ([`GroupRow::members_complete`]); one that does not is
///   treated as cut short.
///
/// # Which wrong answers cost what
///
/// A missing object costs nothing under `Partial`; under `Complete` it loses its memberships, and its record as far
/// as the policy for `LeftScope` says. It is deleted only after [`existence`](Self::existence) said `Gone`.
///
/// Whether an adapter keeps this contract, `testing::conformance::source` checks (feature `testing`).
#[async_trait]
pub trait DirectorySource: Send + Sync {
    /// Who the source is: a domain or tenant. It is also the issuer of the anchors where the options name none.
    fn identity(&self) -> SourceIdentity;

    /// What the source can do beyond reading everything.
    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities::default()
    }

    /// Reads a page of users.
    ///
    /// # Errors
    ///
    /// Any error ends the read, and there is no plan (rule C1); a transient one is tried again first.
    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError>;

    /// Reads a page of groups with their direct members.
    ///
    /// # Errors
    ///
    /// As [`read_users`](Self::read_users).
    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError>;

    /// Answers, for each anchor asked about, whether the object is gone (rule C3). Called only where
    /// [`SourceCapabilities::existence`] is set. Answer `Gone` only for a tombstone that was seen, or where you would have
    /// seen the object or its tombstone if either existed; an empty answer is `Unknown`.
    ///
    /// # Errors
    ///
    /// Any error ends the run without a plan.
    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        let _ = asked;
        Ok(())
    }

    /// How far the directory has come, asked before each read: a number that only grows (AD: `highestCommittedUSN` of one
    /// controller). Where it is smaller than in an earlier run, an old replica or a restored backup answers, and there
    /// is no plan (rule C6). `None`: the source cannot say.
    ///
    /// # Errors
    ///
    /// Any error ends the run without a plan.
    async fn generation(&self) -> Result<Option<Generation>, SourceError> {
        Ok(None)
    }
}

/// Who a source is: a domain, a tenant, a directory's id.
pub type SourceIdentity = crate::id::Issuer;

/// How far a source has come. Only numbers of the same replica are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Which copy of the directory counts (AD: the controller's `invocationId`).
    pub replica: String,
    /// A number that only grows there.
    pub number: u64,
}

impl Generation {
    /// A number of a replica.
    pub fn new(replica: impl Into<String>, number: u64) -> Self {
        Self { replica: replica.into(), number }
    }
}

/// What a source can do, and which notions it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceCapabilities {
    /// Most anchors in one [`Select::Anchors`]; `None`: only full reads. Where it can select, the engine reads only
    /// what is assigned, below that, or linked already.
    pub select: Option<NonZeroUsize>,
    /// Whether [`DirectorySource::existence`] can ever answer anything but `Unknown`.
    pub existence: bool,
    /// Whether accounts can be disabled here at all (rule A5). Where not, every account is enabled.
    pub account_state: bool,
}

impl Default for SourceCapabilities {
    fn default() -> Self {
        Self { select: None, existence: false, account_state: true }
    }
}

impl SourceCapabilities {
    /// Can select up to this many anchors in one read.
    #[must_use]
    pub fn with_select(mut self, most: NonZeroUsize) -> Self {
        self.select = Some(most);
        self
    }

    /// Can prove that an object is gone.
    #[must_use]
    pub fn with_existence(mut self) -> Self {
        self.existence = true;
        self
    }

    /// Has no notion of a disabled account.
    #[must_use]
    pub fn without_account_state(mut self) -> Self {
        self.account_state = false;
        self
    }
}

/// Which objects a read is about.
#[derive(Clone, Copy, Debug)]
pub enum Select<'a> {
    /// All of them.
    All,
    /// Exactly these, sorted and without repetition; only where [`SourceCapabilities::select`] allows so many.
    Anchors(&'a [SourceAnchor]),
}

/// One call of a read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Read<'a> {
    /// Which objects.
    pub select: Select<'a>,
    /// Where to go on; `None` on the first call.
    pub at: Option<&'a PageToken>,
}

impl<'a> Read<'a> {
    /// A read of everything, from its start.
    pub const ALL: Read<'static> = Read { select: Select::All, at: None };

    /// A call of a read.
    pub fn new(select: Select<'a>, at: Option<&'a PageToken>) -> Self {
        Self { select, at }
    }

    /// Whether this read is about an anchor; logarithmic in the number asked for.
    pub fn wants(&self, anchor: &str) -> bool {
        match self.select {
            Select::All => true,
            Select::Anchors(anchors) => anchors.binary_search_by(|a| a.as_str().cmp(anchor)).is_ok(),
        }
    }
}

/// Questions about the existence of anchors, each answer beside its question, filled with `Unknown` at first.
#[derive(Debug)]
pub struct Asked<'a> {
    anchors: &'a [SourceAnchor],
    answers: Vec<Existence>,
}

impl<'a> Asked<'a> {
    /// Asks about these.
    pub fn new(anchors: &'a [SourceAnchor]) -> Self {
        Self { anchors, answers: vec![Existence::Unknown; anchors.len()] }
    }

    /// Each anchor with the place for its answer.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'a SourceAnchor, &mut Existence)> {
        self.anchors.iter().zip(&mut self.answers)
    }

    /// Each anchor with its answer.
    pub fn answers(&self) -> impl Iterator<Item = (&'a SourceAnchor, Existence)> {
        self.anchors.iter().zip(self.answers.iter().copied())
    }
}

macro_rules! forward_source {
    ([$($generics:tt)*] $target:ty) => {
        // A forwarding impl that lacks a method would silently answer with its default.
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<$($generics)*> DirectorySource for $target {
            fn identity(&self) -> SourceIdentity {
                (**self).identity()
            }
            fn capabilities(&self) -> SourceCapabilities {
                (**self).capabilities()
            }
            async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
                (**self).read_users(read, page).await
            }
            async fn read_groups(
                &self,
                read: Read<'_>,
                page: &mut GroupPage,
            ) -> Result<PageEnd, SourceError> {
                (**self).read_groups(read, page).await
            }
            async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
                (**self).existence(asked).await
            }
            async fn generation(&self) -> Result<Option<Generation>, SourceError> {
                (**self).generation().await
            }
        }
    };
}
forward_source!([T: DirectorySource + ?Sized] &T);
forward_source!([T: DirectorySource + ?Sized] Box<T>);
forward_source!([T: DirectorySource + ?Sized] Arc<T>);
#[cfg(feature = "testing")]
pub(crate) use forward_source;
