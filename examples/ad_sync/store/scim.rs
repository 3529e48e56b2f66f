//! A SCIM service.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity_sync::adapter::scim::{
    ExternalIds, FileLedger, MemberListing, MemberRemoval, Paging, ScimOptions, ScimStore, Token, Use,
};
use identity_sync::{
    Completeness, ExternalId, IdentityStore as _, Issuer, PageEnd, PageToken, StoreId, StoreSelect,
    StoreSnapshot, StoredGroupPage, StoredUserPage,
};
use serde::Deserialize;

use super::{AnyStore, Memory, failed};
use crate::common::Trouble;
use crate::secret;

/// The service, and what it does not say about itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScimTable {
    url: String,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
    ledger: Option<PathBuf>,
    #[serde(default)]
    anchor_only: bool,
    members: Option<Listing>,
    member_removal: Option<Removal>,
    member_filter: Option<String>,
    paging: Option<PagingName>,
    page_size: Option<u32>,
    etags: Option<When>,
    bulk: Option<When>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Listing {
    PerGroup,
    WithGroups,
    NotListed,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Removal {
    ByPath,
    ByValue,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PagingName {
    Index,
    Cursor,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    AsAnnounced,
    Always,
    Never,
}

impl From<When> for Use {
    fn from(when: When) -> Self {
        match when {
            When::AsAnnounced => Self::AsAnnounced,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

impl ScimTable {
    pub(super) fn has_ledger(&self) -> bool {
        self.ledger.is_some()
    }

    /// How external ids are written; both halves of a store have to agree on it.
    pub(super) fn external_ids(&self, issuer: &Issuer) -> ExternalIds {
        if self.anchor_only {
            ExternalIds::AnchorOnly { issuer: issuer.clone() }
        } else {
            ExternalIds::default()
        }
    }
}

pub(super) async fn open(table: &ScimTable, folder: &Path, issuer: &Issuer) -> Result<AnyStore, Trouble> {
    let store = connect(table, folder, issuer, "store.scim", ScimOptions::new).await?;
    Ok(AnyStore {
        records: Arc::new(store.clone()),
        assignments: None,
        label: format!("SCIM service {}", table.url),
        warnings: Vec::new(),
        memory: Memory::Elsewhere,
        ledger: table.has_ledger().then_some(store),
    })
}

/// Asks about our groups and all users. Whoever is not named counts as outside: both lists have to be whole.
pub(super) async fn rebuild(store: &ScimStore, issuer: &Issuer) -> Result<(usize, usize), Trouble> {
    let (mut users, mut page, mut at) = (Vec::new(), StoredUserPage::default(), None);
    loop {
        page.clear();
        let end = store.read_users(StoreSelect::All, at.as_ref(), &mut page).await.map_err(failed)?;
        users.extend(page.ids().map(StoreId::from));
        at = Some(match whole(end)? {
            Some(token) => token,
            None => break,
        });
    }
    let mut snapshot = StoreSnapshot::builder(store.capabilities());
    let (mut page, mut at) = (StoredGroupPage::default(), None);
    loop {
        page.clear();
        let end = store.read_groups(StoreSelect::All, at.as_ref(), &mut page).await.map_err(failed)?;
        snapshot.groups(&page)?;
        at = Some(match whole(end)? {
            Some(token) => token,
            None => break,
        });
    }
    // The document form is what a program may look into.
    let found: Groups =
        serde_json::from_value(serde_json::to_value(snapshot.finish(Completeness::Complete))?)?;
    let ours = |group: &Group| group.external_ids.iter().any(|link| link.issuer == *issuer);
    let groups: Vec<StoreId> = found.groups.into_iter().filter(ours).map(|group| group.id).collect();
    store.rebuild_ledger(&groups, &users).await.map_err(failed)?;
    Ok((groups.len(), users.len()))
}

fn whole(end: PageEnd) -> Result<Option<PageToken>, Trouble> {
    match end {
        PageEnd::More(token) => Ok(Some(token)),
        PageEnd::Last(Completeness::Complete) => Ok(None),
        PageEnd::Last(partial) => {
            Err(format!("--rebuild-ledger: the store could not be read whole: {partial}").into())
        }
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    id: StoreId,
    external_ids: Vec<ExternalId>,
}

/// A service, beginning with these options.
pub(super) async fn connect(
    table: &ScimTable,
    folder: &Path,
    issuer: &Issuer,
    name: &str,
    begin: impl FnOnce(String, Token) -> ScimOptions,
) -> Result<ScimStore, Trouble> {
    if table.url.split_once("://").is_some_and(|(_, rest)| rest.contains('@')) {
        return Err(format!("{name}.url: an address holds no account").into());
    }
    let token = secret::read(
        &format!("{name}.token"),
        folder,
        table.token_file.as_deref(),
        table.token_env.as_deref(),
    )?;
    let mut options = begin(table.url.clone(), Token::new(token));
    if let Some(file) = &table.ca_file {
        let pem = std::fs::read(folder.join(file)).map_err(|error| format!("{name}.ca_file: {error}"))?;
        options = options.root_certificates(pem);
    }
    options = options.external_ids(table.external_ids(issuer));
    if let Some(listing) = table.members {
        options = options.members(match listing {
            Listing::PerGroup => MemberListing::PerGroup,
            Listing::WithGroups => MemberListing::WithGroups,
            Listing::NotListed => MemberListing::NotListed,
        });
    }
    if let Some(removal) = table.member_removal {
        options = options.member_removal(match removal {
            Removal::ByPath => MemberRemoval::ByPath,
            Removal::ByValue => MemberRemoval::ByValue,
        });
    }
    if let Some(attribute) = &table.member_filter {
        options = options.member_filter(attribute);
    }
    if let Some(paging) = table.paging {
        options = options.paging(match paging {
            PagingName::Index => Paging::Index,
            PagingName::Cursor => Paging::Cursor,
        });
    }
    if let Some(size) = table.page_size {
        options = options.page_size(size);
    }
    if let Some(when) = table.etags {
        options = options.etags(when.into());
    }
    if let Some(when) = table.bulk {
        options = options.bulk(when.into());
    }
    if let Some(file) = &table.ledger {
        options = options.ledger(FileLedger::open(folder.join(file), &table.url).map_err(failed)?);
    }
    ScimStore::connect(options).await.map_err(failed)
}
