//! How long a first load takes, by copying and by single rows. `IDENTITY_SYNC_LOAD_USERS=100000` measures a large one.

use std::time::Instant;

use identity_sync::{AttributeSchema, MatchRule};
use identity_sync::{
    Attributes, ExternalId, IdentityStore, Origin, StoreId, StoredUserPage, Write, WriteBatch,
};
use indexmap::IndexMap;

use super::*;

/// Writes batches as apply does, and answers the ids and how many items a second.
async fn timed<'w>(
    store: &PostgresStore,
    what: &str,
    rows: usize,
    writes: impl Iterator<Item = Write<'w>>,
) -> Vec<StoreId> {
    let (start, mut ids) = (Instant::now(), Vec::new());
    let mut writes = writes.peekable();
    while writes.peek().is_some() {
        let mut batch = WriteBatch::new();
        writes.by_ref().take(1_000).for_each(|write| batch.push(write));
        store.write(&mut batch).await.unwrap();
        ids.extend(batch.into_answers().filter_map(|answer| answer.unwrap().unwrap().id));
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{what}: {rows} rows in {seconds:.1} s, {:.0} a second", rows as f64 / seconds);
    ids
}

fn anchors(prefix: &str, count: usize) -> Vec<ExternalId> {
    (0..count).map(|number| ExternalId::new("ad", format!("{prefix}{number:07}"))).collect()
}

/// The memberships once more, each by a statement of its own, in one transaction.
async fn one_by_one(client: &Client) {
    client.batch_execute("SET log_statement = none").await.unwrap();
    let sql = "SELECT group_pk, user_pk FROM identity_sync.memberships ORDER BY 1, 2";
    let rows = client.query(sql, &[]).await.unwrap();
    client.batch_execute("DELETE FROM identity_sync.memberships; BEGIN").await.unwrap();
    let start = Instant::now();
    let insert = client.prepare("INSERT INTO identity_sync.memberships VALUES ($1, $2)").await.unwrap();
    for row in &rows {
        let pair: (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(client.execute(&insert, &[&pair.0, &pair.1]).await.unwrap(), 1);
    }
    client.batch_execute("COMMIT").await.unwrap();
    let (count, seconds) = (rows.len(), start.elapsed().as_secs_f64());
    eprintln!(
        "a statement a membership: {count} rows in {seconds:.1} s, {:.0} a second",
        count as f64 / seconds
    );
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_first_load_is_measured_by_copy_and_by_single_rows() {
    let users =
        std::env::var("IDENTITY_SYNC_LOAD_USERS").map_or(2_000, |count| count.parse::<usize>().unwrap());
    run(async {
        let mut rates = Vec::new();
        for (way, temporary) in [("copy", true), ("single rows", false)] {
            let database = Database::new().await;
            let name = AttributeSchema::unique(MatchRule::NfkcCasefold);
            let options = PostgresOptions::new().users(IndexMap::from([("userName".to_owned(), name)]));
            let options = options.groups(IndexMap::from([("displayName".to_owned(), name)]));
            let admin = database.client().await;
            let role = format!("{}_role", database.name);
            // Without temporary tables there is no copying.
            let sql = format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'load'; GRANT CREATE ON DATABASE {0} TO {role};
                 REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC; {1}",
                database.name,
                if temporary {
                    format!("GRANT TEMPORARY ON DATABASE {} TO {role}", database.name)
                } else {
                    String::new()
                }
            );
            admin.batch_execute(&sql).await.unwrap();
            // The log of statements is for the tests that search it.
            admin.batch_execute(&format!("ALTER ROLE {role} SET log_statement = none")).await.unwrap();
            let mut config = database.config.clone();
            config.user(&role).password("load");
            let store = PostgresStore::connect(config, NoTls, options).await.unwrap();
            let start = Instant::now();
            let (people, teams) = (anchors("u", users), anchors("g", users / 100));
            let mut page = StoredUserPage::default();
            for link in &people {
                let name = link.value.as_str();
                let mail = format!("{name}@example.com");
                let mut row = page.user(name);
                row.attribute("userName", &mail).attribute("displayName", name);
                row.attribute("title", "engineer").attribute("mail", &mail);
            }
            let creates = people.iter().zip(page.attributes()).map(|(external_id, attributes)| {
                Write::CreateUser { external_id, attributes, active: true, origin: Origin::Synced }
            });
            let ids = timed(&store, &format!("{way}, users with 4 values"), users, creates).await;
            let creates = teams
                .iter()
                .map(|external_id| Write::CreateGroup { external_id, attributes: Attributes::EMPTY });
            let groups = timed(&store, &format!("{way}, groups"), teams.len(), creates).await;
            // Ten memberships for each user, 1,000 members a group.
            let of_group = |group: usize| (0..1_000.min(users)).map(move |n| (group * 613 + n * 7) % users);
            let members: Vec<Vec<StoreId>> = (0..groups.len())
                .map(|group| of_group(group).map(|user| ids[user].clone()).collect())
                .collect();
            let count = members.iter().map(Vec::len).sum();
            let adds = groups.iter().zip(&members).map(|(id, members)| Write::AddMembers {
                id,
                version: None,
                members,
            });
            timed(&store, &format!("{way}, memberships"), count, adds).await;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{way}: the whole load in {seconds:.1} s");
            assert_eq!(store.counts().await.unwrap().users, users as u64);
            assert_eq!(store.counts().await.unwrap().memberships, count as u64);
            rates.push(seconds);
            drop(store);
            if !temporary {
                one_by_one(&admin).await;
            }
            // What the role owns goes with the database.
            drop((admin, database));
            client(&server()).await.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
        }
        eprintln!("one by one takes {:.1} times as long", rates[1] / rates[0]);
    });
}
