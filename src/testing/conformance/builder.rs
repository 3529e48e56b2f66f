//! What a host writes to have its adapters checked: one builder for each trait.

use std::error::Error;

use async_trait::async_trait;
use thiserror::Error as ThisError;

use super::super::directory::{Directory, Vocabulary};
use crate::assignment::AssignmentSet;
use crate::id::StoreId;
use crate::model::{Kind, Principal};
use crate::source::DirectorySource;
use crate::store::IdentityStore;

/// Why a builder did not make what a check asked for.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum BuildError {
    /// It cannot make such a thing at all, for this reason; the check is not applicable then.
    #[error("{0}")]
    Cannot(String),
    /// It should have worked. The check fails.
    #[error(transparent)]
    Failed(#[from] Box<dyn Error + Send + Sync>),
}

impl BuildError {
    /// There is no such thing here, for this reason.
    pub fn cannot(reason: impl Into<String>) -> Self {
        Self::Cannot(reason.into())
    }
}

impl From<crate::AdapterError> for BuildError {
    fn from(error: crate::AdapterError) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes the stores that [`store`](super::store) checks: a fresh, empty one each time.
///
/// A closure without arguments is one already: `|| Ok(MyStore::new())`. Whoever can do more for the suite writes the
/// trait out; what is left at its default makes some checks not applicable, and nothing else.
#[async_trait]
pub trait StoreBuilder: Send + Sync {
    /// The store.
    type Store: IdentityStore;

    /// A store without a record. No two of them share anything.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being made.
    async fn empty(&self) -> Result<Self::Store, BuildError>;

    /// Attributes of this kind of record that are optional, have one value, are compared exactly, and take any text. Each
    /// should be one that the capabilities do not name.
    fn attributes(&self, kind: Kind) -> Vec<String> {
        let names: &[&str] = match kind {
            Kind::User => &["displayName", "title"],
            Kind::Group => &["description"],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A value that the store accepts for this attribute; another one for each number, with ASCII letters, all in lower
    /// case. For a store that accepts certain values only (mail addresses, names without spaces). The default has no
    /// space and ends like a mail address.
    fn value(&self, kind: Kind, attribute: &str, number: usize) -> String {
        let _ = kind;
        format!("{}-{number}@example.com", attribute.to_ascii_lowercase())
    }

    /// How many records of a kind need more than one page. Where that is expensive, a store with small pages is a good
    /// one to check.
    fn many(&self) -> usize {
        250
    }

    /// Puts a record into the store that somebody else made: without an external id, and with these values. A user may
    /// be one whom an administrator has locked.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn put_unmanaged(&self, store: &Self::Store, record: &Unmanaged) -> Result<StoreId, BuildError> {
        let _ = (store, record);
        Err(BuildError::cannot("the builder cannot put a record without an external id into the store"))
    }

    /// The same store, after the program that wrote to it has ended and another one has started.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn reopen(&self, store: Self::Store) -> Result<Self::Store, BuildError> {
        drop(store);
        Err(BuildError::cannot("the builder cannot reopen a store"))
    }

    /// The same store, of which not everything can be read now: a right is missing, a shard is down.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn partial(&self, store: Self::Store) -> Result<Self::Store, BuildError> {
        drop(store);
        Err(BuildError::cannot("the builder cannot make a store that is read in part only"))
    }
}

/// A record that somebody else put into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmanaged {
    /// What it is.
    pub kind: Kind,
    /// Its attributes, each with its values.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Users: whether it may use the application. Who may not was locked by an administrator.
    pub active: bool,
}

/// Makes the sources that [`source`](super::source) checks: one that holds what a description says.
///
/// A closure is one already: `|directory: &Directory| Ok(MySource::of(directory))`. A source that reads a file gets the
/// description written into a file; a live directory is filled by its own means.
#[async_trait]
pub trait SourceBuilder: Send + Sync {
    /// The source.
    type Source: DirectorySource;

    /// A source that holds exactly this. No two of them share anything.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] where a source of this make cannot hold such a thing.
    async fn holding(&self, directory: &Directory) -> Result<Self::Source, BuildError>;

    /// The attributes and anchors that the source knows.
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::default()
    }

    /// How many objects of a kind need more than one page.
    fn many(&self) -> usize {
        1_100
    }

    /// How many members need more than one page, where the source goes on with a list on the next page; else some thousand.
    fn long_list(&self) -> usize {
        5_000
    }

    /// The same source, after the directory has become this: objects were added, changed, or deleted (then they are among
    /// the tombstones).
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn changed(&self, source: Self::Source, directory: &Directory) -> Result<Self::Source, BuildError> {
        let _ = (source, directory);
        Err(BuildError::cannot("the builder cannot change a directory"))
    }

    /// A source of this directory that is kept from seeing all of it: a search was cut, a right is missing.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn partial(&self, directory: &Directory) -> Result<Self::Source, BuildError> {
        let _ = directory;
        Err(BuildError::cannot("the builder cannot make a source that sees only a part"))
    }
}

/// Makes the assignment sets that [`assignments`](super::assignments) checks: one that holds these principals.
///
/// A closure is one already: `|principals: &[Principal]| Ok(MySet::of(principals))`.
#[async_trait]
pub trait AssignmentBuilder: Send + Sync {
    /// The set.
    type Set: AssignmentSet;

    /// A set that holds exactly these. No two of them share anything.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] where a set of this make cannot hold such principals.
    async fn holding(&self, principals: &[Principal]) -> Result<Self::Set, BuildError>;

    /// How many assignments need more than one page.
    fn many(&self) -> usize {
        1_100
    }

    /// The same set, after it has become this.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn changed(&self, set: Self::Set, principals: &[Principal]) -> Result<Self::Set, BuildError> {
        let _ = (set, principals);
        Err(BuildError::cannot("the builder cannot change a set"))
    }

    /// A set of which not everything can be read now.
    ///
    /// # Errors
    ///
    /// [`BuildError::Cannot`] by default.
    async fn partial(&self, principals: &[Principal]) -> Result<Self::Set, BuildError> {
        let _ = principals;
        Err(BuildError::cannot("the builder cannot make a set that is read in part only"))
    }
}

#[async_trait]
impl<F, S> StoreBuilder for F
where
    F: Fn() -> Result<S, BuildError> + Send + Sync,
    S: IdentityStore,
{
    type Store = S;

    async fn empty(&self) -> Result<S, BuildError> {
        self()
    }
}

#[async_trait]
impl<F, S> SourceBuilder for F
where
    F: Fn(&Directory) -> Result<S, BuildError> + Send + Sync,
    S: DirectorySource,
{
    type Source = S;

    async fn holding(&self, directory: &Directory) -> Result<S, BuildError> {
        self(directory)
    }
}

#[async_trait]
impl<F, S> AssignmentBuilder for F
where
    F: Fn(&[Principal]) -> Result<S, BuildError> + Send + Sync,
    S: AssignmentSet,
{
    type Set = S;

    async fn holding(&self, principals: &[Principal]) -> Result<S, BuildError> {
        self(principals)
    }
}
