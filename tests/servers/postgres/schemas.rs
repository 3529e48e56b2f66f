//! Which schemas are opened, by how many and by whom, and what is left alone.

use identity_sync::{
    AttributeSchema, ErrorKind, ExternalId, IdentityStore, MatchRule, RunState, StoreSelect, StoredUserPage,
};
use indexmap::IndexMap;
use pretty_assertions::assert_eq;

use super::world::{content, directory, sync};
use super::*;

/// All that is in a database but for one schema, as far as the catalogue and the rows tell.
async fn theirs(client: &Client) -> Vec<String> {
    let sql = "SELECT n.nspname || '.' || c.relname || ' ' || c.relkind::text || ' ' || c.xmin::text
            || ' ' || coalesce(c.relacl::text, '') AS line
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('identity_sync', 'information_schema')
        UNION ALL SELECT 'row ' || x.xmin::text || ' ' || x::text FROM public.users x
        UNION ALL SELECT 'row ' || x.xmin::text || ' ' || x::text FROM shop.meta x ORDER BY line";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

const THEIRS: &str = "CREATE TABLE public.users (id text PRIMARY KEY, active boolean, version bigint);
    INSERT INTO public.users SELECT 'theirs ' || n, true, 7 FROM generate_series(1, 50) n;
    CREATE SCHEMA shop; CREATE TABLE shop.meta (name text, value text);
    INSERT INTO shop.meta VALUES ('application', 'a shop'), ('version', '1');
    CREATE FUNCTION public.replace(text, text, text) RETURNS text LANGUAGE sql AS 'SELECT ''hijacked''';";

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn tables_of_others_are_left_alone() {
    // rule M7
    run(async {
        let database = Database::new().await;
        let client = database.client().await;
        client.batch_execute(THEIRS).await.unwrap();
        let before = theirs(&client).await;
        assert!(before.len() > 50);
        let mut config = database.config.clone();
        config.options("-c search_path=public");
        let store = PostgresStore::connect(config, NoTls, PostgresOptions::new()).await.unwrap();
        for day in 0..3 {
            let (_, report) = sync(&store, &directory(1, day), RunState::default()).await.unwrap();
            assert!(report.is_success(), "{report}");
        }
        assert!(content(&client, "identity_sync").await.len() > 400);
        assert_eq!(theirs(&client).await, before);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_schema_of_others_or_a_newer_one_is_refused_and_left_as_it_was() {
    run(async {
        let database = Database::new().await;
        let client = database.client().await;
        client.batch_execute(THEIRS).await.unwrap();
        let before = theirs(&client).await;
        let open = |schema: &str| {
            let options = PostgresOptions::new().schema(schema);
            PostgresStore::connect(database.config.clone(), NoTls, options)
        };
        for schema in ["public", "shop"] {
            assert_eq!(open(schema).await.unwrap_err().kind(), ErrorKind::Invalid, "{schema}");
        }
        for schema in ["", "pg_catalog", "information_schema", "a\0b"] {
            assert_eq!(open(schema).await.unwrap_err().kind(), ErrorKind::Invalid, "{schema}");
        }
        assert_eq!(theirs(&client).await, before);
        drop(open("identity_sync").await.unwrap());
        client
            .execute("UPDATE identity_sync.meta SET value = '2' WHERE name = 'version'", &[])
            .await
            .unwrap();
        let error = open("identity_sync").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("version 2"), "{error}");
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn opened_again_everything_is_there_and_other_attributes_are_refused() {
    run(async {
        let database = Database::new().await;
        let store = database.store_with(PostgresOptions::new().schema("O'Brien\"s {s} {r}")).await;
        let options = || PostgresOptions::new().schema("O'Brien\"s {s} {r}");
        let id = store.add_user(&named("ada").inactive()).await.unwrap();
        let (counts, capabilities) = (store.counts().await.unwrap(), store.capabilities());
        store.close().await.unwrap();
        let again = database.store_with(options()).await;
        assert_eq!((again.counts().await.unwrap(), again.capabilities()), (counts, capabilities.clone()));
        let mut page = StoredUserPage::default();
        again.read_users(StoreSelect::All, None, &mut page).await.unwrap();
        assert_eq!(page.ids().collect::<Vec<_>>(), [id.as_str()]);
        let users = IndexMap::from([("mail".to_owned(), AttributeSchema::unique(MatchRule::Exact))]);
        let other = PostgresStore::connect(database.config.clone(), NoTls, options().users(users)).await;
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Invalid);
        drop(database.store_with(options().users(capabilities.users).groups(capabilities.groups)).await);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn of_many_that_open_a_new_schema_at_once_one_creates_it() {
    run(async {
        for _ in 0..5 {
            let database = Database::new().await;
            let open = || {
                let config = database.config.clone();
                tokio::spawn(PostgresStore::connect(config, NoTls, PostgresOptions::new()))
            };
            let mut names = Vec::new();
            for task in (0..8).map(|_| open()).collect::<Vec<_>>() {
                names.push(task.await.unwrap().unwrap().capabilities().identity);
            }
            names.dedup();
            assert_eq!(names.len(), 1);
        }
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn the_least_rights_suffice_and_what_is_missing_is_told() {
    run(async {
        let database = Database::new().await;
        let admin = database.client().await;
        let role = format!("{}_role", database.name);
        let password = "Pa55 of the role";
        let grants = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}'; REVOKE ALL ON DATABASE {0} FROM PUBLIC;
             GRANT CONNECT ON DATABASE {0} TO {role}; CREATE SCHEMA identity_sync;
             GRANT USAGE, CREATE ON SCHEMA identity_sync TO {role}",
            database.name
        );
        admin.batch_execute(&grants).await.unwrap();
        let mut config = database.config.clone();
        config.user(&role).password(password);
        let open = |schema: &str| {
            PostgresStore::connect(config.clone(), NoTls, PostgresOptions::new().schema(schema))
        };
        assert_eq!(open("elsewhere").await.unwrap_err().kind(), ErrorKind::Unauthorized);
        let store = open("identity_sync").await.unwrap();
        // Without the right to temporary tables: the slow way.
        let (_, report) = sync(&store, &directory(2, 0), RunState::default()).await.unwrap();
        assert!(report.is_success(), "{report}");
        let rows = content(&admin, "identity_sync").await;
        drop(store);
        let own = format!(
            "ALTER SCHEMA identity_sync OWNER TO CURRENT_USER; REASSIGN OWNED BY {role} TO CURRENT_USER;
             REVOKE ALL ON SCHEMA identity_sync FROM {role}; GRANT USAGE ON SCHEMA identity_sync TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA identity_sync TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA identity_sync TO {role};
             GRANT TEMPORARY ON DATABASE {} TO {role}",
            database.name
        );
        admin.batch_execute(&own).await.unwrap();
        let runner = open("identity_sync").await.unwrap().exclusive().await.unwrap();
        let (_, report) = sync(&runner, &directory(2, 3), RunState::default()).await.unwrap();
        assert!(report.is_success(), "{report}");
        assert!(content(&admin, "identity_sync").await != rows);
        // A policy that hides rows makes an error, never a short list.
        let policy = "ALTER TABLE identity_sync.users ENABLE ROW LEVEL SECURITY;
            CREATE POLICY hide ON identity_sync.users USING (pk % 2 = 0)";
        admin.batch_execute(policy).await.unwrap();
        let mut page = StoredUserPage::default();
        let error = runner.read_users(StoreSelect::All, None, &mut page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        admin.batch_execute("ALTER TABLE identity_sync.users DISABLE ROW LEVEL SECURITY").await.unwrap();
        runner.close().await.unwrap();
        let wrong = config.clone().password("wrong Pa55").to_owned();
        let error = PostgresStore::connect(wrong, NoTls, PostgresOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(!format!("{error:?} {error}").contains("Pa55"));
        let none: Config =
            format!("host=127.0.0.1 port={} user={role}", config.get_ports()[0]).parse().unwrap();
        let error = PostgresStore::connect(none, NoTls, PostgresOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        admin.batch_execute(&drop).await.unwrap();
        let log = std::fs::read_to_string(variable("POSTGRES_LOG")).unwrap();
        // The test itself gave the role its password, in a statement; the adapter says none.
        let told = log.lines().filter(|line| line.contains("Pa55") && !line.contains("CREATE ROLE")).count();
        assert_eq!(told, 0, "the log tells a password");
        let own = variable("POSTGRES_URL");
        let own = own.split_whitespace().find_map(|word| word.strip_prefix("password=")).unwrap();
        assert!(!log.contains(own), "the log tells the password of the server");
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn a_database_that_cannot_hold_all_names_is_refused() {
    run(async {
        let database = Database::new().await;
        let name = format!("{}_latin", database.name);
        let admin = database.client().await;
        let sql = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
        admin.batch_execute(&sql).await.unwrap();
        let mut config = database.config.clone();
        config.dbname(&name);
        let error = PostgresStore::connect(config, NoTls, PostgresOptions::new()).await.unwrap_err();
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
#[ignore = "needs postgres: tests/servers/run postgres"]
fn errors_and_debug_output_hold_no_value_of_a_record() {
    // rule S2
    run(async {
        let database = Database::new().await;
        let store = database.store().await;
        let ada = named("ada-secret-value").external_id(ExternalId::new("ad", "secret-anchor"));
        store.add_user(&ada).await.unwrap();
        // A constraint of somebody else's, of which the server says the whole row.
        let check = "ALTER TABLE identity_sync.user_attributes ADD CHECK (value NOT LIKE '%refused%')";
        database.client().await.batch_execute(check).await.unwrap();
        let long = "secret-".repeat(400);
        let records = [ada, named("refused-secret"), named("secret\0"), named(&long)];
        let kinds = [ErrorKind::AlreadyExists, ErrorKind::Invalid, ErrorKind::Invalid, ErrorKind::Invalid];
        for (record, kind) in records.iter().zip(kinds) {
            let error = store.add_user(record).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(!format!("{error:?} {error:#?} {error} {store:?}").contains("secret"), "{error:?}");
        }
        assert_eq!(store.counts().await.unwrap().users, 1);
    });
}
