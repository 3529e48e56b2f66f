//! Every bound at its number and one beyond (T16, T18). Those of whole reads and of most parts of an object are in
//! `scenarios/safety.rs` and `scenarios/scale.rs`; here are the others, and the list of all.

use identity_sync::{
    Guards, Host, IdentityStore, Kind, Limit, Limits, MemberKind, MemberPage, Members, PageEnd, PageToken,
    Run, StoreCapabilities, StoreError, StoreId, StoreSelect, StoredGroupPage, StoredUserPage, WriteBatch,
    reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::world::{World, capabilities, record};

/// Which test shows a bound at n and n + 1.
const SHOWN: [(&str, &str); 13] = [
    ("id_bytes", "ids_and_member_texts_at_their_bound_are_used_and_one_byte_more_is_not"),
    ("value_bytes", "an_object_at_its_bound_is_used_and_one_beyond_is_quarantined"),
    ("values_per_attribute", "an_object_at_its_bound_is_used_and_one_beyond_is_quarantined"),
    ("attributes_per_object", "an_object_at_its_bound_is_used_and_one_beyond_is_quarantined"),
    ("object_bytes", "an_object_at_its_bound_is_used_and_one_beyond_is_quarantined"),
    ("attribute_names", "so_many_names_of_attributes_in_a_page_and_one_more_are_told_apart"),
    ("objects", "a_total_at_its_bound_is_planned_and_one_beyond_is_refused"),
    ("edges", "a_total_at_its_bound_is_planned_and_one_beyond_is_refused"),
    ("memberships", "a_total_at_its_bound_is_planned_and_one_beyond_is_refused"),
    ("merged_members", "merged_members_are_counted_per_nesting_and_bounded"),
    ("operations", "a_total_at_its_bound_is_planned_and_one_beyond_is_refused"),
    ("depth_reported", "depth_is_reported_beyond_its_bound_and_never_cut"),
    ("pages", "a_total_at_its_bound_is_planned_and_one_beyond_is_refused"),
];

#[test]
fn each_bound_of_the_limits_has_a_test() {
    // threats T16, T18
    let limits = serde_json::to_value(Limits::default()).unwrap();
    let mut fields: Vec<&String> = limits.as_object().unwrap().keys().collect();
    fields.sort_unstable();
    let mut shown: Vec<&str> = SHOWN.iter().map(|(field, _)| *field).collect();
    shown.sort_unstable();
    assert_eq!(fields, shown);
    let tests = crate::table::tests();
    for (field, test) in SHOWN {
        assert!(tests.contains_key(test), "{field}: no test `{test}`");
    }
}

#[test]
fn ids_and_member_texts_at_their_bound_are_used_and_one_byte_more_is_not() {
    // threat T18
    for (bytes, within) in [(32, true), (33, false)] {
        let id = "x".repeat(bytes);
        let mut w = World::new();
        w.options.limits.id_bytes = 32;
        w.user(&id).set("userPrincipalName", "login");
        w.users("ada");
        w.group("staff", "ada");
        w.assign(&format!("staff {id}"));
        let lines = w.lines();
        assert_eq!(
            lines.iter().any(|line| line.starts_with(&format!("create user {id} "))),
            within,
            "{lines:?}"
        );
        // A member of which nobody can tell who it is makes the list incomplete.
        let mut w = World::new();
        w.options.limits.id_bytes = 32;
        w.options.guards = Guards::off();
        w.users("ada bob");
        w.group("staff", "ada bob");
        w.assign("staff ada bob");
        w.sync();
        w.edit_group("staff").members("ada").unresolved(&id, MemberKind::User);
        assert_eq!(
            w.lines().iter().any(|line| line.starts_with("remove staff: bob")),
            within,
            "{:?}",
            w.lines()
        );
        w.edit_group("staff").members("ada").member(&id, MemberKind::Other);
        assert_eq!(
            w.lines().iter().any(|line| line.starts_with("remove staff: bob")),
            within,
            "{:?}",
            w.lines()
        );
        // The name of an attribute is an id, too.
        let mut w = World::new();
        w.options.limits.id_bytes = 32;
        w.user("ada").set(&id, "v");
        w.assign("ada");
        assert_eq!(w.lines().iter().any(|line| line.starts_with("create user ada")), within);
    }
}

fn quarantined(w: &World, user: &str) -> bool {
    w.lines().iter().any(|line| line.starts_with(&format!("note: quarantined user {user}:")))
}

#[test]
fn so_many_names_of_attributes_in_a_page_and_one_more_are_told_apart() {
    // threat T18: attributes that only one object has, one after the other
    for (others, within) in [(7, true), (8, false)] {
        let mut w = World::new();
        w.options.limits.attribute_names = 8;
        w.source.rows = 100;
        w.user("a");
        w.user("b");
        for i in 0..others {
            w.edit("b").set(&format!("made-up-{i}"), "x");
        }
        w.user("c");
        w.assign("a b c");
        assert_eq!(["a", "b", "c"].map(|user| quarantined(&w, user)), [false, !within, false]);
    }
}

#[test]
fn an_object_of_very_many_attributes_does_not_use_up_the_names_of_the_others() {
    // threat T18: it is quarantined itself, and nobody behind it on the page is
    let mut w = World::new();
    w.options.limits.attribute_names = 1_000;
    w.source.rows = 100;
    w.user("a");
    for i in 0..2_000 {
        w.edit("a").set(&format!("made-up-{i}"), "x");
    }
    w.user("b").set("title", "chief");
    w.assign("a b");
    assert_eq!(["a", "b"].map(|user| quarantined(&w, user)), [true, false]);
}

/// A store that lists members of its one group for ever.
struct Endless(World);

#[async_trait::async_trait]
impl IdentityStore for Endless {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = self.0.store.capabilities();
        capabilities.members = Members::PerGroup;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.0.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.0.store.read_groups(select, at, page).await
    }

    async fn read_members(
        &self,
        _: &StoreId,
        at: Option<&PageToken>,
        page: &mut MemberPage,
    ) -> Result<PageEnd, StoreError> {
        let number: u64 = at.and_then(PageToken::as_text).map_or(0, |text| text.parse().unwrap());
        assert!(number < 1_000, "the engine reads on and on");
        page.member(&number.to_string());
        Ok(PageEnd::More(PageToken::new((number + 1).to_string().into_bytes())))
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.0.store.write(batch).await
    }
}

#[test]
fn members_that_a_store_lists_for_ever_are_counted_as_they_come() {
    // threats T16, T26
    let mut w = World::with_store(capabilities());
    w.users("ada");
    w.group("staff", "ada");
    w.assign("staff");
    w.sync();
    w.options.limits.edges = 500;
    let store = Endless(w);
    let w = &store.0;
    let found =
        block_on(reconcile(&w.source, &store, &w.assigned, &w.options, &Run::default(), &Host::new()));
    assert_eq!(found.unwrap_err().to_string(), "more than 500 memberships in the store");
}

#[test]
fn totals_of_the_store_and_of_assignments_are_bounded_like_those_of_the_source() {
    // threats T16, T18
    let refused = |set: fn(&mut Limits, usize), bound: usize| {
        let mut w = World::new();
        for i in 0..6 {
            w.put(Kind::User, &format!("U{i}"), record(&[("userName", &format!("local{i}"))]));
        }
        w.put(Kind::Group, "G", record(&[("displayName", "local")]));
        (0..4).for_each(|i| w.put_member("G", &format!("U{i}")));
        set(&mut w.options.limits, bound);
        w.try_plan().err().map(|error| error.to_string())
    };
    assert_eq!(refused(|limits, n| limits.objects = n, 7), None);
    let error = refused(|limits, n| limits.objects = n, 6).unwrap();
    assert!(error.starts_with("more than 6 "), "{error}");
    assert_eq!(refused(|limits, n| limits.edges = n, 4), None);
    assert_eq!(refused(|limits, n| limits.edges = n, 3).unwrap(), "more than 3 memberships in the store");
    let mut w = World::new();
    w.assign("a b c d");
    w.options.limits.objects = 4;
    assert!(w.try_plan().is_ok());
    w.options.limits.objects = 3;
    assert_eq!(w.try_plan().unwrap_err().to_string(), "more than 3 assignments");
}

fn user(number: usize) -> String {
    format!("u{number:02}")
}

#[test]
fn the_floor_of_each_default_limit_lets_its_number_pass_and_holds_one_more() {
    // threat T16, T24: five deletes, ten removals and cleared values, ten adoptions, in however small a tenant
    let names = |count: usize| (0..count).map(|i| user(i) + " ").collect::<String>();
    type Take = fn(&mut World, usize);
    let cases: [(&str, Take, usize); 5] = [
        ("user deletes", |w, n| (0..n).for_each(|i| w.delete(&user(i))), 5),
        (
            "deactivations",
            |w, n| {
                (0..n).for_each(|i| {
                    w.edit(&user(i)).disabled();
                });
            },
            5,
        ),
        ("group deletes", |w, n| (0..n).for_each(|i| w.delete(&format!("g{i:02}"))), 5),
        (
            "removals",
            |w, n| {
                w.edit_group("all").members(&(n..12).map(|i| user(i) + " ").collect::<String>());
            },
            10,
        ),
        (
            "clears",
            |w, n| {
                (0..n).for_each(|i| {
                    w.edit(&user(i)).unset("title");
                });
            },
            10,
        ),
    ];
    for (what, take, floor) in cases {
        for (count, held) in [(floor, false), (floor + 1, true)] {
            let mut w = World::new();
            w.users(&names(12));
            for user in names(12).split_whitespace() {
                w.edit(user).set("title", "x");
            }
            w.group("all", &names(12));
            for i in 0..12 {
                w.group(&format!("g{i:02}"), "");
                w.assign(&format!("g{i:02}"));
            }
            w.assign(&names(12));
            w.assign("all");
            w.sync();
            take(&mut w, count);
            assert_eq!(w.plan().held().len() > 0, held, "{what}: {count}\n{}", w.plan());
        }
    }
    assert_eq!(Guards::default().adoptions, Some(Limit::new(Some(10), 0, 10)));
}
