//! Batches: the fast way and the slow way answer the same, and rivals are answered as they should be.

use identity_sync::{AttributeSchema, MatchRule};
use identity_sync::{
    Attributes, Change, ErrorKind, ExternalId, IdentityStore, Origin, StoreId, Version, Write, WriteBatch,
    Written,
};
use indexmap::IndexMap;
use pretty_assertions::assert_eq;

use super::*;

type Answer = Result<Written, ErrorKind>;

/// `userName` is unique and may be missing, so that users can be made without attributes.
fn lenient() -> PostgresOptions {
    let name = AttributeSchema::unique(MatchRule::NfkcCasefold);
    PostgresOptions::new()
        .users(IndexMap::from([("userName".to_owned(), name)]))
        .groups(IndexMap::from([("displayName".to_owned(), name)]))
}

async fn write<'w>(store: &PostgresStore, writes: impl IntoIterator<Item = Write<'w>>) -> Vec<Answer> {
    let mut batch = WriteBatch::new();
    writes.into_iter().for_each(|write| batch.push(write));
    store.write(&mut batch).await.unwrap();
    batch.into_answers().map(|answer| answer.unwrap().map_err(|error| error.kind())).collect()
}

fn user(external_id: &ExternalId) -> Write<'_> {
    Write::CreateUser { external_id, attributes: Attributes::EMPTY, active: true, origin: Origin::Synced }
}

fn group(external_id: &ExternalId) -> Write<'_> {
    Write::CreateGroup { external_id, attributes: Attributes::EMPTY }
}

fn anchors(prefix: &str, count: usize) -> Vec<ExternalId> {
    (0..count).map(|number| ExternalId::new("ad", format!("{prefix}{number:05}"))).collect()
}

fn ids(answers: &[Answer]) -> Vec<StoreId> {
    answers.iter().map(|answer| answer.as_ref().unwrap().id.clone().unwrap()).collect()
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn in_a_large_batch_each_item_is_answered_in_its_slot() {
    // rules X1, X2
    run(async {
        let database = Database::new().await;
        let store = database.store_with(lenient()).await;
        let mut links = anchors("u", 300);
        write(&store, [user(&links[7])]).await;
        links[40] = links[39].clone();
        links[50] = ExternalId::new("ad", "nul\0");
        links[60] = ExternalId::new("ad", "long".repeat(400));
        links[299] = links[0].clone();
        let answers = write(&store, links.iter().map(user)).await;
        let refused: Vec<_> =
            answers.iter().enumerate().filter_map(|(n, a)| a.as_ref().err().map(|e| (n, *e))).collect();
        let taken = ErrorKind::AlreadyExists;
        let invalid = ErrorKind::Invalid;
        assert_eq!(refused, [(7, taken), (40, taken), (50, invalid), (60, invalid), (299, taken)]);
        assert_eq!(store.counts().await.unwrap().users, 296);
        // Nobody has it, so nobody is found by it, and it cannot be written to.
        let nobody = StoreId::from("no\0body");
        let answers = write(&store, [Write::DeleteUser { id: &nobody, version: None }]).await;
        assert_eq!(answers, [Err(ErrorKind::NotFound)]);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_null_character_is_refused_in_its_slot_wherever_it_stands() {
    // rule S1
    run(async {
        let database = Database::new().await;
        let store = database.store_with(lenient()).await;
        let answers = write(&store, anchors("u", 20).iter().map(user)).await;
        let ids = ids(&answers);
        let change = |attribute: &str, value: &str| {
            [Change { attribute: attribute.to_owned(), old: Vec::new(), new: vec![value.to_owned()] }]
        };
        let changes = [
            change("title", "fine"),
            change("title", "a\0b"),
            change("ti\0tle", "x"),
            change("userName", "\0"),
            change("title", "also fine"),
        ];
        let writes = changes.iter().zip(&ids).map(|(changes, id)| Write::UpdateUser {
            id,
            version: None,
            changes,
            origin: None,
        });
        let answers = write(&store, writes).await;
        let two = || Ok(Written::done().with_version("2"));
        let invalid = || Err(ErrorKind::Invalid);
        assert_eq!(answers, [two(), invalid(), invalid(), invalid(), two()]);
        let sql = "SELECT string_agg(value, ',' ORDER BY user_pk) FROM identity_sync.user_attributes";
        let row = database.client().await.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "fine,also fine");
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn many_members_are_added_as_the_versions_allow() {
    // rule P7
    run(async {
        let database = Database::new().await;
        let store = database.store_with(lenient()).await;
        let users = ids(&write(&store, anchors("u", 500).iter().map(user)).await);
        let groups = ids(&write(&store, anchors("g", 6).iter().map(group)).await);
        let mut unknown = users.clone();
        unknown.push("nobody".into());
        let (one, nine, nobody) = (Version::from("1"), Version::from("9"), StoreId::from("nobody"));
        let mut twice = users[..20].to_vec();
        twice.extend_from_slice(&users[..20]);
        let add = |id, version, members| Write::AddMembers { id, version, members };
        let answers = write(
            &store,
            [
                add(&groups[0], Some(&one), &users[..]),
                add(&groups[1], Some(&nine), &users[..]),
                add(&groups[2], Some(&one), &unknown[..]),
                add(&nobody, None, &users[..]),
                add(&groups[3], None, &twice[..]),
                add(&groups[4], Some(&one), &[]),
                add(&groups[0], None, &users[..]),
                add(&groups[0], Some(&one), &users[..1]),
            ],
        )
        .await;
        let at = |version: &str| Ok(Written::done().with_version(version));
        let (conflict, missing) = (|| Err(ErrorKind::Conflict), || Err(ErrorKind::NotFound));
        assert_eq!(
            answers,
            [at("2"), conflict(), missing(), missing(), at("2"), at("1"), at("2"), conflict()]
        );
        assert_eq!(store.counts().await.unwrap().memberships, 520);
        let remove = |id, members| Write::RemoveMembers { id, version: None, members };
        let answers =
            write(&store, [remove(&groups[0], &unknown[..]), remove(&groups[3], &users[400..])]).await;
        assert_eq!(answers, [at("3"), at("2")]);
        assert_eq!(store.counts().await.unwrap().memberships, 20);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn of_large_batches_at_once_each_record_is_made_by_one() {
    // rules J4, X3
    run(async {
        let database = Database::new().await;
        drop(database.store_with(lenient()).await);
        for round in 0..5 {
            let rivals = (0..4).map(|rival| {
                let config = database.config.clone();
                tokio::spawn(async move {
                    let store = PostgresStore::connect(config, NoTls, PostgresOptions::new()).await.unwrap();
                    let mut links = anchors(&format!("{round}-"), 200);
                    // In different orders they wait for each other, also in circles.
                    links.rotate_left(rival * 50);
                    let mut made = 0;
                    loop {
                        let mut batch = WriteBatch::new();
                        links.iter().for_each(|link| batch.push(user(link)));
                        if let Err(error) = store.write(&mut batch).await {
                            assert!(error.is_transient(), "{error:?}");
                            continue;
                        }
                        for answer in batch.into_answers() {
                            match answer.unwrap() {
                                Ok(_) => made += 1,
                                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
                            }
                        }
                        return made;
                    }
                })
            });
            let mut made = 0;
            for rival in rivals.collect::<Vec<_>>() {
                made += rival.await.unwrap();
            }
            assert_eq!(made, 200, "round {round}");
        }
        assert_eq!(database.store().await.counts().await.unwrap().users, 1_000);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_trigger_that_refuses_one_record_refuses_that_one_only() {
    run(async {
        let database = Database::new().await;
        let store = database.store_with(lenient()).await;
        let check = "ALTER TABLE identity_sync.external_ids ADD CHECK (value <> 'u00033')";
        database.client().await.batch_execute(check).await.unwrap();
        let answers = write(&store, anchors("u", 100).iter().map(user)).await;
        let refused: Vec<_> =
            answers.iter().enumerate().filter_map(|(n, a)| a.as_ref().err().map(|e| (n, *e))).collect();
        assert_eq!(refused, [(33, ErrorKind::Invalid)]);
        assert_eq!(store.counts().await.unwrap().users, 99);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_record_that_somebody_else_holds_keeps_no_other_from_being_written() {
    // rule X1: an application's transaction on one user must not save the access of all others
    run(async {
        let database = Database::new().await;
        let options = || lenient().lock_timeout(std::time::Duration::from_secs(4));
        let store = database.store_with(options()).await;
        let links = anchors("u", 40);
        let made = ids(&write(&store, links.iter().map(user)).await);
        let mut client = database.client().await;
        fn off(made: &[StoreId]) -> Vec<Write<'_>> {
            made.iter().map(|id| Write::SetActive { id, version: None, active: false }).collect()
        }

        let held = client.transaction().await.unwrap();
        let lock = "SELECT 1 FROM identity_sync.users WHERE id = $1 FOR UPDATE";
        held.execute(lock, &[&made[5].as_str()]).await.unwrap();
        let answers = write(&store, off(&made[..20])).await;
        let refused: Vec<usize> = (0..20).filter(|at| answers[*at].is_err()).collect();
        assert_eq!(refused, [5]);
        assert_eq!(answers[5], Err(ErrorKind::Transient));

        // Of many, a few are waited for in one call.
        for id in &made[22..34] {
            held.execute(lock, &[&id.as_str()]).await.unwrap();
        }
        let begun = std::time::Instant::now();
        let answers = write(&store, off(&made[20..])).await;
        let refused: Vec<usize> = (0..20).filter(|at| answers[*at].is_err()).collect();
        assert_eq!(refused, (2..14).collect::<Vec<_>>());
        assert!(begun.elapsed() < std::time::Duration::from_secs(40));
        held.rollback().await.unwrap();
        assert!(write(&store, off(&made)).await.iter().all(Result::is_ok));

        // So does a statement that takes too long; the rest is for the next call.
        let slow = "CREATE FUNCTION identity_sync.slow() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN IF OLD.id = TG_ARGV[0] THEN PERFORM pg_sleep(30); END IF; RETURN OLD; END $$";
        client.batch_execute(slow).await.unwrap();
        let trigger = format!(
            "CREATE TRIGGER slow BEFORE DELETE ON identity_sync.users FOR EACH ROW
             EXECUTE FUNCTION identity_sync.slow('{}')",
            made[0].as_str()
        );
        client.batch_execute(&trigger).await.unwrap();
        let store = database.store_with(options().statement_timeout(std::time::Duration::from_secs(1))).await;
        let mut batch = WriteBatch::new();
        made[..5].iter().for_each(|id| batch.push(Write::DeleteUser { id, version: None }));
        assert_eq!(store.write(&mut batch).await.unwrap_err().kind(), ErrorKind::Transient);
        let answers: Vec<Option<bool>> =
            batch.into_answers().map(|answer| answer.map(|answer| answer.is_ok())).collect();
        assert_eq!(answers, [Some(false), None, None, None, None]);
        let answers =
            write(&store, made[1..5].iter().map(|id| Write::DeleteUser { id, version: None })).await;
        assert!(answers.iter().all(Result::is_ok));
    });
}
