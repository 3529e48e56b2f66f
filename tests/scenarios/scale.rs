//! Big and hostile graphs, each within seconds (rules E7, E12, S1).

use identity_sync::{
    Assignments, Completeness, ExternalId, GroupPage, Options, PlanError, Principal, Reconciliation, Run,
    SourceCapabilities, SourceSnapshot, StoreCapabilities, StoreSnapshot, UserPage, plan,
};
use pretty_assertions::assert_eq;

use crate::world::{CORP, anchor};

/// Groups by number with members by name, and users.
fn directory(users: &[&str], groups: impl Iterator<Item = (String, Vec<String>)>) -> SourceSnapshot {
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    let mut page = UserPage::default();
    for user in users {
        page.user(user).active(true).attribute("userPrincipalName", user);
    }
    source.users(&page).unwrap();
    source.users_end(Completeness::Complete);
    let mut page = GroupPage::default();
    for (group, members) in groups {
        let mut row = page.group(&group);
        row.attribute("cn", &group);
        members.iter().for_each(|member| {
            row.member(member);
        });
        row.members_complete();
        if page.len() == 10_000 {
            source.groups(&page).unwrap();
            page.clear();
        }
    }
    source.groups(&page).unwrap();
    source.groups_end(Completeness::Complete);
    source.finish()
}

fn planned(
    source: &SourceSnapshot,
    assigned: &[&str],
    options: &Options,
) -> Result<Reconciliation, PlanError> {
    let store = StoreSnapshot::builder(StoreCapabilities::named("app")).finish(Completeness::Complete);
    let principals = assigned.iter().map(|&anchor| Principal::External(ExternalId::new(CORP, anchor)));
    plan(source, &store, &Assignments::complete(principals), options, &Run::default())
}

/// On a stack that no recursion over the graph would survive.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_chain_of_a_million_groups_needs_no_deep_stack() {
    // rule E7
    on_a_small_stack(|| {
        let count = 1_000_000;
        let groups = (0..count).map(|i| {
            let member = if i + 1 == count { "ada".to_owned() } else { format!("g{}", i + 1) };
            (format!("g{i}"), vec![member])
        });
        let source = directory(&["ada"], groups);
        let found = planned(&source, &["g0"], &Options::for_issuer(CORP)).unwrap();
        // Every group, its one member, and ada.
        assert_eq!(found.plan.len(), 2 * count + 1);
        // Depth is reported, never cut.
        let findings: Vec<String> = found.plan.diagnostics().iter().map(ToString::to_string).collect();
        assert_eq!(findings, [format!("groups are nested {} levels deep below g0", count - 1)]);
        let identity_sync::Explanation::Entitled { path } = found.evidence.explain(&anchor("ada")).unwrap()
        else {
            panic!("not entitled");
        };
        assert_eq!(path.len(), count + 1);
    });
}

#[test]
fn one_component_of_100_000_groups_has_one_finding() {
    // rules E5, E7
    on_a_small_stack(|| {
        let count = 100_000;
        let groups = (0..count).map(|i| {
            let mut members = vec![format!("g{}", (i + 1) % count), format!("g{}", (i * 7 + 3) % count)];
            if i == count / 2 {
                members.extend(["ada".to_owned(), "bob".to_owned()]);
            }
            (format!("g{i}"), members)
        });
        let source = directory(&["ada", "bob"], groups);
        let found = planned(&source, &["g17"], &Options::for_issuer(CORP)).unwrap();
        assert_eq!(found.plan.diagnostics().len(), 1);
        assert_eq!(found.plan.len(), 2 + 2 * count);
        let added = found.plan.operations().filter_map(|operation| match operation.action() {
            identity_sync::Action::AddMembers(members) => Some(members.len()),
            _ => None,
        });
        assert!(added.into_iter().all(|members| members == 2));
    });
}

#[test]
fn ten_thousand_diamonds_are_flattened_and_explained_in_linear_time() {
    // rules E12, E6, E7
    on_a_small_stack(|| {
        let count = 10_000;
        let groups = (0..count).flat_map(|i| {
            let next = if i + 1 == count { "ada".to_owned() } else { format!("top{}", i + 1) };
            [
                (format!("top{i}"), vec![format!("left{i}"), format!("right{i}")]),
                (format!("left{i}"), vec![next.clone()]),
                (format!("right{i}"), vec![next]),
            ]
        });
        let source = directory(&["ada"], groups);
        let found = planned(&source, &["top0"], &Options::for_issuer(CORP)).unwrap();
        assert_eq!(found.plan.len(), 1 + 2 * 3 * count);
        let path = found.evidence.explain_membership(&anchor("top0"), &anchor("ada")).unwrap().unwrap();
        assert_eq!(path.len(), 2 * count + 1);
        // Of the two ways through each diamond the one of the lesser name.
        assert!(path.iter().all(|step| !step.as_str().starts_with("right")));
    });
}

#[test]
fn the_flattening_bomb_is_refused_before_it_goes_off() {
    // rule S1
    let (chain, users) = (5_000, 20_001);
    let names: Vec<String> = (0..users).map(|i| format!("u{i}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let groups = (0..chain).map(|i| {
        let members = if i + 1 == chain { names.clone() } else { vec![format!("g{}", i + 1)] };
        (format!("g{i}"), members)
    });
    let source = directory(&users, groups);
    let started = std::thread::spawn(move || {
        let error = planned(&source, &["g0"], &Options::for_issuer(CORP)).unwrap_err();
        assert_eq!(error.to_string(), "more than 100000000 flattened memberships");
        // A smaller bound is reached sooner.
        let mut options = Options::for_issuer(CORP);
        options.limits.memberships = 1_000_000;
        assert!(matches!(planned(&source, &["g0"], &options), Err(PlanError::LimitExceeded(_))));
    });
    started.join().unwrap();
}

#[test]
fn a_group_of_300_000_members_is_one_list() {
    // rule E7
    let names: Vec<String> = (0..300_000).map(|i| format!("u{i}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let source = directory(&users, [("all".to_owned(), names.clone())].into_iter());
    let found = planned(&source, &["all"], &Options::for_issuer(CORP)).unwrap();
    assert_eq!(found.plan.len(), names.len() + 2);
}

#[test]
fn a_hundred_thousand_people_that_want_one_name_take_linear_time() {
    // rules S1, M6
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    let mut page = UserPage::default();
    let count = 100_000;
    for i in 0..count {
        page.user(&format!("u{i}")).active(true).attribute("userPrincipalName", "admin");
    }
    source.users(&page).unwrap();
    source.users_end(Completeness::Complete);
    let mut groups = GroupPage::default();
    let mut row = groups.group("all");
    row.attribute("cn", "all");
    (0..count).for_each(|i| {
        row.member(&format!("u{i}"));
    });
    row.members_complete();
    source.groups(&groups).unwrap();
    source.groups_end(Completeness::Complete);
    let found = planned(&source.finish(), &["all"], &Options::for_issuer(CORP)).unwrap();
    assert_eq!((found.plan.len(), found.plan.diagnostics().len()), (1, count));
}

#[test]
fn many_rows_of_one_anchor_take_near_linear_time() {
    // rules S1, M5
    let mut source = SourceSnapshot::builder(CORP, SourceCapabilities::default());
    let mut page = UserPage::default();
    for i in 0..100_000 {
        page.user("ada").active(true).attribute("userPrincipalName", &format!("ada{i}"));
    }
    source.users(&page).unwrap();
    source.users_end(Completeness::Complete);
    source.groups_end(Completeness::Complete);
    let found = planned(&source.finish(), &["ada"], &Options::for_issuer(CORP)).unwrap();
    assert_eq!((found.plan.len(), found.plan.diagnostics().len()), (0, 1));
}

/// Parents that all hold the same groups, each of which holds the same users.
fn crossed(parents: usize, groups: usize, users: usize) -> (SourceSnapshot, Vec<String>) {
    let names: Vec<String> = (0..users).map(|i| format!("u{i}")).collect();
    let shared: Vec<String> = (0..groups).map(|i| format!("g{i}")).collect();
    let tops: Vec<String> = (0..parents).map(|i| format!("top{i}")).collect();
    let rows = tops.iter().map(|top| (top.clone(), shared.clone()));
    let rows = rows.chain(shared.iter().map(|group| (group.clone(), names.clone())));
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    (directory(&users, rows), tops)
}

#[test]
fn many_parents_over_the_same_many_groups_are_refused_before_the_work_is_done() {
    // rules S1, E7: 5 million memberships, but 3.4 billion steps; 3,000 parents, 3,000 groups and 10,000 users took minutes
    let (source, tops) = crossed(1_500, 1_500, 1_500);
    let tops: Vec<&str> = tops.iter().map(String::as_str).collect();
    let error = planned(&source, &tops, &Options::for_issuer(CORP)).unwrap_err();
    assert_eq!(error.to_string(), "more than 2000000000 merged members of nested groups");
}

#[test]
fn merged_members_are_counted_per_nesting_and_bounded() {
    // rule S1
    let (source, tops) = crossed(30, 20, 10);
    let tops: Vec<&str> = tops.iter().map(String::as_str).collect();
    let mut options = Options::for_issuer(CORP);
    options.limits.merged_members = 30 * 20 * 10;
    let found = planned(&source, &tops, &options).unwrap();
    assert_eq!(found.plan.len(), 10 + 2 * (30 + 20));
    options.limits.merged_members -= 1;
    let error = planned(&source, &tops, &options).unwrap_err();
    assert_eq!(error.to_string(), "more than 5999 merged members of nested groups");
}

#[test]
fn a_cycle_of_many_groups_that_all_hold_the_whole_staff_takes_its_list_once() {
    // rules E5, E7, S1
    let (groups, users) = (1_000, 2_000);
    let names: Vec<String> = (0..users).map(|i| format!("u{i}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let ring = (0..groups).map(|i| {
        let member = |i: usize| format!("g{}", i % groups);
        (member(i), vec![member(i + 1), "staff".to_owned()])
    });
    let source = directory(&users, ring.chain([("staff".to_owned(), names.clone())]));
    let mut options = Options::for_issuer(CORP);
    options.limits.merged_members = names.len();
    let found = planned(&source, &["g0"], &options);
    // All of them have all users, and that is bounded by itself.
    assert_eq!(found.unwrap().plan.len(), users.len() + 2 * (groups + 1));
}

#[test]
fn whole_staff_groups_nested_in_several_parents_are_nothing_out_of_the_ordinary() {
    // rule S1
    let (count, parents) = (200_000, 20);
    let names: Vec<String> = (0..count).map(|i| format!("u{i}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let offices = names.chunks(100).enumerate().map(|(i, members)| (format!("office{i}"), members.to_vec()));
    let all = (0..count / 100).map(|i| format!("office{i}")).collect();
    let tops: Vec<String> = (0..parents).map(|i| format!("top{i}")).collect();
    let above = tops.iter().map(|top| (top.clone(), vec!["staff".to_owned(), "office7".to_owned()]));
    let source = directory(&users, offices.chain([("staff".to_owned(), all)]).chain(above));
    let tops: Vec<&str> = tops.iter().map(String::as_str).collect();
    let found = planned(&source, &tops, &Options::for_issuer(CORP)).unwrap();
    assert_eq!(found.plan.len(), count + 2 * (parents + 1 + count / 100));
}
