//! Stores that drop writes in silence, or compare and spell values in another way than they say (T5, WF-17, WF-18).

use identity_sync::memory::MemoryStore;
use identity_sync::{
    AccountState, ApplyOptions, AttributeSchema, Change, Diagnostic, Guards, Host, IdentityStore, Kind,
    MatchRule, PageEnd, PageToken, Plan, Repeated, Run, RunState, StoreCapabilities, StoreError, StoreSelect,
    StoredGroupPage, StoredUserPage, Timestamp, Write, WriteBatch, Written, apply, reconcile,
};
use pollster::block_on;
use pretty_assertions::assert_eq;

use crate::rich::able;
use crate::world::{World, capabilities, lines, record};

/// What a store does with a write.
enum Does {
    /// As it should.
    It,
    /// Nothing, and says that it is done.
    Nothing,
    /// The same with other values.
    Otherwise(Vec<Change>),
}

/// A store that goes its own way.
struct Odd<'s, F> {
    store: &'s MemoryStore,
    capabilities: StoreCapabilities,
    way: F,
}

impl<'s, F: Fn(&Write<'_>) -> Does + Send + Sync> Odd<'s, F> {
    fn new(store: &'s MemoryStore, way: F) -> Self {
        Self { store, capabilities: store.capabilities(), way }
    }

    async fn one(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let changes;
        let other = match ((self.way)(write), write) {
            (Does::Nothing, Write::CreateUser { .. } | Write::CreateGroup { .. }) => {
                return Ok(Written::created("nowhere"));
            }
            (Does::Nothing, _) => return Ok(Written::done()),
            (Does::Otherwise(other), Write::UpdateUser { id, version, origin, .. }) => {
                changes = other;
                Write::UpdateUser { id, version: *version, changes: &changes, origin: *origin }
            }
            _ => write.clone(),
        };
        let mut batch = WriteBatch::new();
        batch.push(other);
        self.store.write(&mut batch).await?;
        batch.into_answers().next().flatten().unwrap()
    }
}

#[async_trait::async_trait]
impl<F: Fn(&Write<'_>) -> Does + Send + Sync> IdentityStore for Odd<'_, F> {
    fn capabilities(&self) -> StoreCapabilities {
        self.capabilities.clone()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            let answer = self.one(item.write()).await;
            item.answer(answer);
        }
        Ok(())
    }
}

/// Runs of a world, one after the other, with what is remembered.
struct Runs<'w, S> {
    world: &'w World,
    store: S,
    state: RunState,
    now: i64,
}

impl<'w, S: IdentityStore> Runs<'w, S> {
    fn new(world: &'w World, store: S) -> Self {
        Self { world, store, state: RunState::default(), now: 0 }
    }

    /// Plans and applies; the state goes over a file. Answers the plan, and how many operations failed.
    fn run(&mut self) -> (Plan, usize) {
        let state = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
        let (w, run, host) = (self.world, Run::new(state, Timestamp(self.now)), Host::new());
        let plan =
            block_on(reconcile(&w.source, &self.store, &w.assigned, &w.options, &run, &host)).unwrap().plan;
        let report = block_on(apply(&plan, &self.store, &ApplyOptions::default(), &host)).unwrap();
        let failed = report.outcomes.len() - report.applied();
        self.state = report.run;
        self.now += 3_600;
        (plan, failed)
    }
}

fn not_converging(plan: &Plan) -> Vec<(String, Repeated, u64)> {
    let found = plan.diagnostics().iter().filter_map(|finding| match finding {
        Diagnostic::NonConverging { anchor, operation, members, .. } => {
            Some((anchor.to_string(), *operation, *members))
        }
        _ => None,
    });
    found.collect()
}

/// A world in which exactly one operation of each kind is due.
fn due() -> World {
    let mut w = World::with_store(able());
    w.users("keep off back gone left new local");
    w.edit("back").disabled();
    w.group("staff", "keep left");
    w.assign("staff off back gone keep left");
    w.options.guards = Guards::off();
    w.sync();
    w.options.soft_match.users.insert("userName".to_owned());
    w.edit("off").disabled();
    w.edit("back").state(AccountState::Enabled);
    w.delete("gone");
    w.edit("keep").set("mail", "keep@x");
    w.edit_group("staff").members("keep new");
    w.put(Kind::User, "L", record(&[("userName", "local")]));
    w.assign("local");
    w
}

type Drops = fn(&Write<'_>) -> bool;

#[test]
fn a_write_that_is_dropped_in_silence_is_told_after_two_runs_whatever_it_is() {
    // threat T5: WF-17
    let cases: [(Drops, &str, Repeated, u64); 7] = [
        (|w| matches!(w, Write::SetActive { active: false, .. }), "off", Repeated::Deactivate, 0),
        (|w| matches!(w, Write::SetActive { active: true, .. }), "back", Repeated::Reactivate, 0),
        (|w| matches!(w, Write::DeleteUser { .. }), "gone", Repeated::Delete, 0),
        (|w| matches!(w, Write::RemoveMembers { .. }), "staff", Repeated::RemoveMembers, 1),
        (|w| matches!(w, Write::CreateUser { .. }), "new", Repeated::Create, 0),
        (|w| matches!(w, Write::AddMembers { .. }), "staff", Repeated::AddMembers, 1),
        (|w| matches!(w, Write::Adopt { .. }), "local", Repeated::Adopt, 0),
    ];
    for (drops, anchor, operation, members) in cases {
        let w = due();
        let way = |write: &Write<'_>| if drops(write) { Does::Nothing } else { Does::It };
        let mut runs = Runs::new(&w, Odd::new(&w.store, way));
        for _ in 0..2 {
            let (plan, _) = runs.run();
            assert_eq!(not_converging(&plan), [], "{operation:?}");
        }
        for _ in 0..3 {
            let (plan, _) = runs.run();
            let told = not_converging(&plan);
            assert!(told.contains(&(anchor.to_owned(), operation, members)), "{operation:?}: {told:?}");
            // It is still tried, and nothing else is told.
            assert!(told.iter().all(|(told, ..)| told == anchor || told == "staff"), "{told:?}");
            assert!(plan.to_string().contains("was reported as done twice and is planned again"), "{plan}");
        }
        // Once the store does as it says, that is the end of it.
        let mut runs =
            Runs { state: runs.state, now: runs.now, ..Runs::new(&w, Odd::new(&w.store, |_| Does::It)) };
        assert_eq!(not_converging(&runs.run().0).len(), not_converging(&runs.run().0).len() + 1);
        assert!(runs.run().0.is_empty());
    }
}

#[test]
fn an_update_that_is_dropped_in_silence_is_left_alone_after_two_runs_and_told() {
    // threat T5: WF-17
    let w = due();
    let way = |write: &Write<'_>| match write {
        Write::UpdateUser { .. } => Does::Nothing,
        _ => Does::It,
    };
    let mut runs = Runs::new(&w, Odd::new(&w.store, way));
    runs.run();
    let update = "update user keep [emails:  -> keep@x] (Changed)".to_owned();
    let note =
        "note: emails of user keep does not stay as it is written: left alone until it changes".to_owned();
    let second = lines(&runs.run().0);
    assert!(second.contains(&update) && !second.contains(&note), "{second:?}");
    let third = lines(&runs.run().0);
    assert!(third.contains(&note) && !third.contains(&update), "{third:?}");
}

#[test]
fn what_somebody_undoes_each_time_is_told_and_what_stays_for_one_run_is_not() {
    // threat T5
    let mut w = World::new();
    w.users("ada bob");
    w.group("staff", "ada");
    w.assign("staff bob");
    w.sync();
    let mut runs = Runs::new(&w, Odd::new(&w.store, |_| Does::It));
    let (staff, bob) = (w.id("staff"), w.id("bob"));
    let undo = || {
        w.store.state().groups.get_mut(&staff).unwrap().members.insert(bob.clone());
    };
    for round in 0..6 {
        undo();
        let told = not_converging(&runs.run().0);
        assert_eq!(told.len(), usize::from(round >= 2), "round {round}: {told:?}");
    }
    for _ in 0..6 {
        assert!(runs.run().0.is_empty());
        undo();
        assert_eq!(not_converging(&runs.run().0), []);
    }
}

#[test]
fn what_is_remembered_of_a_large_run_is_bounded_and_what_never_stays_is_found_all_the_same() {
    // threats T5, T16
    let names: String = (0..3_000).map(|i| format!("u{i:04} ")).collect();
    let mut w = World::new();
    w.users(&names);
    w.group("staff", &names);
    w.assign("staff");
    w.source.rows = 1_000;
    let mut runs = Runs::new(&w, Odd::new(&w.store, |_| Does::It));
    runs.run();
    let size = serde_json::to_value(&runs.state).unwrap()["done"].as_object().unwrap().len();
    assert_eq!(size, 1_000);
    // Ten members are out of the group again after each run.
    let lose = || {
        let staff = w.id("staff");
        let lost: Vec<String> = (0..10).map(|i| w.id(&format!("u{:04}", i * 299))).collect();
        w.store.state().groups.get_mut(&staff).unwrap().members.retain(|member| !lost.contains(member));
    };
    let mut told = 0;
    for _ in 0..4 {
        lose();
        told = not_converging(&runs.run().0).iter().map(|(_, _, members)| members).sum();
    }
    assert_eq!(told, 10);
    let kept = serde_json::to_value(&runs.state).unwrap();
    assert_eq!(kept["done"].as_object().unwrap().len(), 10);
}

/// A world whose users want these names.
fn named(store: StoreCapabilities, names: &[&str]) -> World {
    let mut w = World::with_store(store);
    for (number, name) in names.iter().enumerate() {
        let anchor = number.to_string();
        w.user(&anchor).set("userPrincipalName", name);
        w.assign(&anchor);
    }
    w.options.guards = Guards::off();
    w
}

fn names_by(rule: MatchRule) -> StoreCapabilities {
    let mut store = capabilities();
    store.users.insert("userName".to_owned(), AttributeSchema::unique(rule).required());
    store
}

#[test]
fn a_store_that_is_stricter_than_it_says_makes_nobody_twice_and_merges_nobody() {
    // threat T5
    for names in [["mike", "MIKE"], ["ﬀion", "FFION"], ["straße", "strasse"], ["ＡＤＡ", "ada"]] {
        // It folds, and says that it compares bytes.
        let w = named(names_by(MatchRule::NfkcCasefold), &names);
        let mut store = Odd::new(&w.store, |_| Does::It);
        store.capabilities = names_by(MatchRule::Exact);
        let mut runs = Runs::new(&w, store);
        for round in 0..4 {
            let (plan, failed) = runs.run();
            // One attempt a run, which is reported as failed.
            assert_eq!((failed, plan.len()), (1, if round == 0 { 2 } else { 1 }), "{names:?}");
        }
        let state = w.store.state();
        let user = state.users.values().next().unwrap();
        assert_eq!((state.users.len(), &user.attributes["userName"]), (1, &vec![names[0].to_owned()]));
        assert_eq!(user.external_ids.len(), 1);
    }
}

#[test]
fn a_store_that_is_looser_than_it_says_gives_a_name_to_nobody_twice() {
    // threat T5
    let w = named(names_by(MatchRule::Exact), &["mike", "MIKE", "ada"]);
    let mut store = Odd::new(&w.store, |_| Does::It);
    store.capabilities = names_by(MatchRule::NfkcCasefold);
    let mut runs = Runs::new(&w, store);
    assert_eq!(runs.run().0.len(), 1);
    let (plan, _) = runs.run();
    assert!(plan.is_empty() && plan.diagnostics().len() >= 2, "{plan}");
    assert_eq!(w.store.state().users.len(), 1);
}

#[test]
fn a_store_that_spells_values_in_its_own_way_is_left_alone_after_two_runs() {
    // threat T5: WF-18
    let ways: [fn(&str) -> String; 5] = [
        |value| value.to_lowercase(),
        |value| value.chars().rev().collect(),
        |value| value.chars().take(3).collect(),
        |value| value.replace('\u{301}', ""),
        |_| String::new(),
    ];
    for (number, spell) in ways.into_iter().enumerate() {
        let mut w = World::new();
        w.users("ada");
        w.assign("ada");
        w.sync();
        w.edit("ada").set("title", "Che\u{301}f of All");
        let way = move |write: &Write<'_>| match write {
            Write::UpdateUser { changes, .. } => {
                let spelled = changes.iter().map(|change| Change {
                    new: change
                        .new
                        .iter()
                        .map(|value| spell(value))
                        .filter(|value| !value.is_empty())
                        .collect(),
                    ..change.clone()
                });
                Does::Otherwise(spelled.collect())
            }
            _ => Does::It,
        };
        let mut runs = Runs::new(&w, Odd::new(&w.store, way));
        assert_eq!([runs.run().0.len(), runs.run().0.len()], [1, 1], "way {number}");
        for _ in 0..3 {
            let (plan, _) = runs.run();
            assert!(plan.is_empty(), "way {number}: {plan}");
            assert!(plan.to_string().contains("title of user ada does not stay"), "way {number}: {plan}");
        }
    }
}

#[test]
fn a_store_that_folds_and_says_so_is_in_step_after_one_run() {
    // threat T5
    let mut store = names_by(MatchRule::NfkcCasefold);
    store.users.insert("title".to_owned(), AttributeSchema::default().matching(MatchRule::NfkcCasefold));
    let mut w = named(store, &["Ada"]);
    w.sync();
    w.edit("0").set("title", "ＣＨＩＥＦ  Straße");
    let way = |write: &Write<'_>| match write {
        Write::UpdateUser { changes, .. } => {
            let folded = changes.iter().map(|change| {
                let key = |value: &String| MatchRule::NfkcCasefold.key(value).as_str().to_owned();
                Change { new: change.new.iter().map(key).collect(), ..change.clone() }
            });
            Does::Otherwise(folded.collect())
        }
        _ => Does::It,
    };
    let mut runs = Runs::new(&w, Odd::new(&w.store, way));
    assert_eq!(runs.run().0.len(), 1);
    assert!(runs.run().0.is_empty());
    assert_eq!(runs.run().0.diagnostics(), []);
}
