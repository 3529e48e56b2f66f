//! The SCIM store against a server in this process, which is strict, or troublesome, or both.

#![cfg(all(feature = "scim", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

mod aws;
mod bulk;
mod conformance;
mod fake;
mod reads;
mod secrets;
mod together;
mod troubles;

use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
use identity_sync::{
    ErrorKind, ExternalId, IdentityStore, Kind, MemberPage, Origin, PageEnd, StoreError, StoreId,
    StoreSelect, StoredGroupPage, StoredUserPage, Write, WriteBatch, Written,
};

use self::fake::{Dialect, Fake, TOKEN};

fn options(fake: &Fake) -> ScimOptions {
    ScimOptions::new(fake.url.as_str(), Token::new(TOKEN))
}

async fn plain() -> (Fake, ScimStore) {
    let fake = Fake::start(Dialect::Plain).await;
    let store = ScimStore::connect(options(&fake)).await.unwrap();
    (fake, store)
}

/// Writes one item.
async fn write(store: &ScimStore, write: Write<'_>) -> Result<Written, StoreError> {
    let mut batch = WriteBatch::new();
    batch.push(write);
    let call = store.write(&mut batch).await;
    match batch.into_answers().next().flatten() {
        Some(answer) => answer,
        None => Err(call.unwrap_err()),
    }
}

/// Attributes as a directory gives them: a name for users, and what AWS wants to know.
fn person(name: &str) -> StoredUserPage {
    let mut page = StoredUserPage::default();
    let mut row = page.user("x");
    for (attribute, value) in
        [("userName", name), ("displayName", "Ada"), ("name.givenName", "Ada"), ("name.familyName", "L")]
    {
        row.attribute(attribute, value);
    }
    page
}

fn team(name: &str) -> StoredGroupPage {
    let mut page = StoredGroupPage::default();
    page.group("x").attribute("displayName", name);
    page
}

async fn create_user(store: &ScimStore, anchor: &str, name: &str) -> Result<StoreId, StoreError> {
    let (page, external_id) = (person(name), ExternalId::new("corp", anchor));
    let attributes = page.attributes().next().unwrap();
    let create =
        Write::CreateUser { external_id: &external_id, attributes, active: true, origin: Origin::Synced };
    Ok(write(store, create).await?.id.unwrap())
}

async fn create_group(store: &ScimStore, anchor: &str, name: &str) -> Result<StoreId, StoreError> {
    let (page, external_id) = (team(name), ExternalId::new("corp", anchor));
    let attributes = page.attributes().next().unwrap();
    Ok(write(store, Write::CreateGroup { external_id: &external_id, attributes }).await?.id.unwrap())
}

/// Ids and end of a whole read.
async fn read(
    store: &ScimStore,
    kind: Kind,
    select: StoreSelect<'_>,
) -> Result<(Vec<String>, PageEnd), StoreError> {
    let (mut ids, mut at) = (Vec::new(), None);
    for _ in 0..1_000 {
        let end = match kind {
            Kind::User => {
                let mut page = StoredUserPage::default();
                let end = store.read_users(select, at.as_ref(), &mut page).await?;
                ids.extend(page.ids().map(str::to_owned));
                end
            }
            Kind::Group => {
                let mut page = StoredGroupPage::default();
                let end = store.read_groups(select, at.as_ref(), &mut page).await?;
                ids.extend(page.ids().map(str::to_owned));
                end
            }
        };
        match end {
            PageEnd::More(token) => at = Some(token),
            end => return Ok((ids, end)),
        }
    }
    panic!("the read does not end");
}

async fn members(store: &ScimStore, group: &StoreId) -> Result<(Vec<String>, PageEnd), StoreError> {
    let mut page = MemberPage::default();
    let end = store.read_members(group, None, &mut page).await?;
    Ok((page.iter().map(str::to_owned).collect(), end))
}

fn is_partial(end: &PageEnd) -> bool {
    matches!(end, PageEnd::Last(end) if !end.is_complete())
}
