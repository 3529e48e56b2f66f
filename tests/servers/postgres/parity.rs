//! The same life ends as the same records in both SQL stores.

use identity_sync::RunState;
use identity_sync::adapter::sqlite::SqliteStore;
use pretty_assertions::assert_eq;

use super::world::{content, content_of_file, directory, sync};
use super::*;

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn the_same_life_leaves_the_same_rows_in_sqlite_and_postgres() {
    // rules P4, P7
    run(async {
        for seed in 0..6 {
            let database = Database::new().await;
            let postgres = database.store().await;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("identities.db");
            let sqlite = SqliteStore::open(&path).unwrap();
            let (mut state, mut other, mut operations) = (RunState::default(), RunState::default(), 0);
            for day in 0..6 {
                let directory = directory(seed, day);
                let (count, report) = sync(&postgres, &directory, state).await.unwrap();
                let (same, twin) = sync(&sqlite, &directory, other).await.unwrap();
                assert!(report.is_success() && twin.is_success(), "seed {seed}, day {day}: {report}\n{twin}");
                assert_eq!(count, same, "seed {seed}, day {day}");
                (state, other, operations) = (report.run, twin.run, operations + count);
                let rows = content(&database.client().await, "identity_sync").await;
                assert_eq!(rows, content_of_file(&path), "seed {seed}, day {day}");
                assert!(rows.len() > 400, "seed {seed}: the world is too small to show anything");
            }
            assert!(operations > 300, "seed {seed}: {operations} operations");
        }
    });
}
