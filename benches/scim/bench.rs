//! How near writes come to the limit of the server, which is what a first load of a store takes its time from.
//!
//! ```text
//! cargo bench --bench scim --features scim -- --writes 200
//! ```
//!
//! The server is one of the tests, in this process: it answers after 30 ms, or after 120, and takes 25 writes in any second and refuses what
//! is beyond. Creates look first whether their external ids are free, and a limit of reads bounds them as well: AWS's 40
//! reads a second are two look-ups for each of 20 creates.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement that fails shall say so"
)]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../../tests/scim/fake.rs"]
mod fake;

use std::time::{Duration, Instant};

use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
use identity_sync::{
    ExternalId, IdentityStore, Origin, StoreId, StoredGroupPage, StoredUserPage, Write, WriteBatch,
};

use fake::{Dialect, Fake, TOKEN};

/// Writes that the server takes in a second.
const LIMIT: usize = 25;

const LATENCY: Duration = Duration::from_millis(30);

/// As the engine does: as many in a call as the store takes.
async fn write_all<'w>(
    store: &ScimStore,
    writes: impl Iterator<Item = Write<'w>>,
) -> (Duration, Vec<StoreId>) {
    let writes: Vec<Write<'_>> = writes.collect();
    let (begun, mut ids) = (Instant::now(), Vec::new());
    for some in writes.chunks(store.capabilities().batch) {
        let mut batch = WriteBatch::new();
        some.iter().for_each(|write| batch.push(write.clone()));
        store.write(&mut batch).await.unwrap();
        ids.extend(batch.into_answers().filter_map(|answer| answer.unwrap().unwrap().id));
    }
    (begun.elapsed(), ids)
}

fn report(what: &str, requests: usize, took: Duration, refused: usize) {
    let rate = requests as f64 / took.as_secs_f64();
    println!(
        "{what}: {requests} writes in {:.1} s, {rate:.1} a second; the server takes {LIMIT}, and refused {refused}",
        took.as_secs_f64()
    );
}

async fn creates(name: &str, reads: u32, latency: Duration, count: usize) -> (Fake, ScimStore, Vec<StoreId>) {
    let fake = Fake::start(Dialect::Aws).await;
    let options = ScimOptions::aws_identity_center(fake.url.as_str(), Token::new(TOKEN)).rates(reads, 25);
    let store = ScimStore::connect(options).await.unwrap();
    fake.state().pace = Some((LIMIT, latency));
    let mut page = StoredUserPage::default();
    for number in 0..count {
        let login = format!("user-{number}");
        let mut row = page.user(&login);
        for attribute in ["userName", "displayName", "name.givenName", "name.familyName"] {
            row.attribute(attribute, &login);
        }
    }
    let links: Vec<ExternalId> =
        (0..count).map(|number| ExternalId::new("corp", format!("a{number}"))).collect();
    let writes = page.attributes().zip(&links).map(|(attributes, external_id)| Write::CreateUser {
        external_id,
        attributes,
        active: true,
        origin: Origin::Synced,
    });
    let (took, ids) = write_all(&store, writes).await;
    assert_eq!(fake.state().users.len(), count);
    report(name, count, took, fake.requests("POST", "/Users") - count);
    (fake, store, ids)
}

async fn memberships(fake: &Fake, store: &ScimStore, users: &[StoreId], count: usize) {
    let mut page = StoredGroupPage::default();
    page.group("team").attribute("displayName", "team");
    let (link, attributes) = (ExternalId::new("corp", "team"), page.attributes().next().unwrap());
    let create = Write::CreateGroup { external_id: &link, attributes };
    let (_, groups) = write_all(store, std::iter::once(create)).await;
    let members = &users[..users.len().min(100)];
    let (id, before) = (&groups[0], fake.requests("PATCH", "/Groups"));
    // In and out again: each is a request with a hundred changes.
    let writes = (0..count).map(|number| match number % 2 {
        0 => Write::AddMembers { id, version: None, members },
        _ => Write::RemoveMembers { id, version: None, members },
    });
    let (took, _) = write_all(store, writes).await;
    let refused = fake.requests("PATCH", "/Groups") - before - count;
    report(&format!("changes of {} members each", members.len()), count, took, refused);
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mut count = 200;
    while let Some(word) = words.next() {
        if word == "--writes" {
            count = words.next().and_then(|text| text.parse().ok()).unwrap_or(count);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (fake, store, users) = creates("creates, reads without limit", 0, LATENCY, count).await;
        memberships(&fake, &store, &users, count).await;
        creates("creates, 40 reads a second", 40, LATENCY, count).await;
        creates("creates, each answer after 120 ms", 0, LATENCY * 4, count).await;
    });
}
