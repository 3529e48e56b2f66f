//! The order of updates that hand names on to each other, and cycles of names (rule P6).

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

/// One update waits for another that frees a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wait {
    pub(crate) taker: u32,
    pub(crate) holder: u32,
    pub(crate) attribute: String,
}

/// What has to be run in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The update's values go to temporary ones first.
    Temporary(u32),
    /// The update itself.
    Update(u32),
}

/// The updates in an order in which every value is free before it is taken.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    pub(crate) slots: Vec<Slot>,
    /// Which attributes an update has to give a temporary value first.
    pub(crate) temporary: BTreeMap<u32, BTreeSet<String>>,
}

impl Ordered {
    /// Whether what is waited for is free as soon as the temporary values are written.
    fn is_freed(&self, wait: &Wait) -> bool {
        self.temporary.get(&wait.holder).is_some_and(|attributes| attributes.contains(&wait.attribute))
    }
}

/// Orders updates. `updates` comes in the order that holds where nothing else matters; positions in it are the numbers
/// of `waits`. `O(n log² n)`, and near linear but for tangles of names over several attributes.
pub(crate) fn order(updates: usize, waits: &[Wait]) -> Ordered {
    let mut ordered = Ordered::default();
    let mut waiting: BTreeMap<u32, Vec<&Wait>> = BTreeMap::new();
    for wait in waits {
        waiting.entry(wait.taker).or_default().push(wait);
    }
    let cycles = cycles(waits.iter().map(|wait| (wait.taker, wait.holder)));
    let mut cycle_of: BTreeMap<u32, usize> = BTreeMap::new();
    for (number, cycle) in cycles.iter().enumerate() {
        cycle_of.extend(cycle.iter().map(|&update| (update, number)));
    }
    ordered.temporary = break_cycles(waits, &leasts(&cycles));
    let mut emitted = vec![false; updates];
    // Depth first with a stack of its own: chains of names may be long.
    for first in 0..updates as u32 {
        let mut stack = vec![(first, false)];
        while let Some((update, ready)) = stack.pop() {
            if emitted[update as usize] {
                continue;
            }
            let unit: Vec<u32> = match cycle_of.get(&update) {
                Some(&number) => cycles[number].clone(),
                None => vec![update],
            };
            if ready {
                emit(&unit, &waiting, &mut ordered, &mut emitted);
                continue;
            }
            stack.push((update, true));
            let before = unit.iter().rev().flat_map(|update| waiting.get(update).into_iter().flatten());
            let own = cycle_of.get(&update);
            let outside = before.map(|wait| wait.holder);
            let outside = outside.filter(|holder| own.is_none() || cycle_of.get(holder) != own);
            stack.extend(outside.filter(|&holder| !emitted[holder as usize]).map(|holder| (holder, false)));
        }
    }
    ordered
}

/// The strongly connected sets of more than one update, each sorted.
fn cycles(waits: impl Iterator<Item = (u32, u32)>) -> Vec<Vec<u32>> {
    let mut graph: DiGraph<u32, (), u32> = DiGraph::new();
    let mut nodes = BTreeMap::new();
    for (taker, holder) in waits {
        let mut node = |update: u32| *nodes.entry(update).or_insert_with(|| graph.add_node(update));
        let (taker, holder) = (node(taker), node(holder));
        graph.add_edge(taker, holder, ());
    }
    let mut cycles: Vec<Vec<u32>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|nodes| nodes.len() > 1)
        .map(|nodes| nodes.into_iter().filter_map(|node| graph.node_weight(node).copied()).collect())
        .collect();
    for cycle in &mut cycles {
        cycle.sort_unstable();
    }
    cycles.sort_unstable();
    cycles
}

/// Per update of a cycle the least one of it.
fn leasts(cycles: &[Vec<u32>]) -> BTreeMap<u32, u32> {
    let mut leasts = BTreeMap::new();
    for cycle in cycles {
        let Some(&least) = cycle.first() else { continue };
        leasts.extend(cycle.iter().map(|&update| (update, least)));
    }
    leasts
}

/// The least of a cycle gives up its values first; nobody in the cycle waits for it any more. Repeated while a cycle is
/// left: once, but where names over several attributes are tangled. `first`: the least of the cycle of each update.
fn break_cycles(waits: &[Wait], first: &BTreeMap<u32, u32>) -> BTreeMap<u32, BTreeSet<String>> {
    let mut temporary: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let mut free = |wait: &Wait| {
        temporary.entry(wait.holder).or_default().insert(wait.attribute.clone());
    };
    let inside = |leasts: &BTreeMap<u32, u32>, wait: &&Wait| {
        leasts.get(&wait.holder).is_some_and(|least| leasts.get(&wait.taker) == Some(least))
    };
    let (freed, left): (Vec<&Wait>, Vec<&Wait>) = waits
        .iter()
        .filter(|wait| inside(first, wait))
        .partition(|w| first.get(&w.holder) == Some(&w.holder));
    freed.into_iter().for_each(&mut free);
    let second = leasts(&cycles(left.iter().map(|wait| (wait.taker, wait.holder))));
    let tangled: Vec<&Wait> = left.into_iter().filter(|wait| inside(&second, wait)).collect();
    untangle(&tangled, free);
    temporary
}

/// A wait between two updates, or between what they have been drawn together to.
struct Tie<'w> {
    taker: u32,
    holder: u32,
    /// When both are there, the greatest update coming first.
    at: usize,
    wait: &'w Wait,
}

/// All rounds of breaking cycles at once; one after the other they would be quadratic.
///
/// In the round in which an update is the least of its cycle, all lesser ones that it was in a cycle with have stepped
/// aside, and none that is greater. So it gives up what is waited for by those with whom it is in a cycle that leads
/// over no lesser update. Or: if the updates come one by one, the greatest first, it is the waits for it that are in a
/// cycle as soon as it comes. When each wait gets into a cycle is found by halving the time: those that are in one by the
/// middle belong to the first half; for the others each cycle up to then is drawn together to one point. `O(n log² n)`.
fn untangle(waits: &[&Wait], mut free: impl FnMut(&Wait)) {
    let mut updates: Vec<u32> = waits.iter().flat_map(|wait| [wait.taker, wait.holder]).collect();
    updates.sort_unstable_by(|a, b| b.cmp(a));
    updates.dedup();
    let coming: BTreeMap<u32, usize> = updates.iter().enumerate().map(|(at, &update)| (update, at)).collect();
    let ties = waits.iter().filter_map(|&wait| {
        let at = *coming.get(&wait.taker.min(wait.holder))?;
        Some(Tie { taker: wait.taker, holder: wait.holder, at, wait })
    });
    // Each of these waits gets into a cycle in its span of time.
    let mut open = vec![(ties.collect::<Vec<_>>(), 0, updates.len())];
    while let Some((ties, first, end)) = open.pop() {
        if ties.is_empty() {
            continue;
        }
        if end - first <= 1 {
            let closing = ties.iter().filter(|tie| tie.at == first && tie.wait.holder < tie.wait.taker);
            closing.for_each(|tie| free(tie.wait));
            continue;
        }
        let middle = first + (end - first) / 2;
        let there = ties.iter().filter(|tie| tie.at < middle);
        let points = leasts(&cycles(there.map(|tie| (tie.taker, tie.holder))));
        let point = |update: u32| points.get(&update).copied().unwrap_or(update);
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for tie in ties {
            let (taker, holder) = (point(tie.taker), point(tie.holder));
            if taker == holder {
                early.push(tie);
            } else {
                late.push(Tie { taker, holder, ..tie });
            }
        }
        open.push((early, first, middle));
        open.push((late, middle, end));
    }
}

/// Puts a unit out: temporary values first, then each update after those that it still waits for. The operations of a
/// cycle are consecutive.
fn emit(unit: &[u32], waiting: &BTreeMap<u32, Vec<&Wait>>, ordered: &mut Ordered, emitted: &mut [bool]) {
    for &update in unit {
        if ordered.temporary.contains_key(&update) && unit.len() > 1 {
            ordered.slots.push(Slot::Temporary(update));
        }
    }
    let inside: BTreeSet<u32> = unit.iter().copied().collect();
    for &first in unit {
        let mut stack = vec![(first, false)];
        while let Some((update, ready)) = stack.pop() {
            if emitted[update as usize] {
                continue;
            }
            if ready {
                emitted[update as usize] = true;
                ordered.slots.push(Slot::Update(update));
                continue;
            }
            stack.push((update, true));
            // Who gave that attribute a temporary value holds nobody up.
            let waits = waiting.get(&update).into_iter().flatten();
            let before = waits.filter(|wait| !ordered.is_freed(wait)).map(|wait| wait.holder);
            let before: Vec<u32> = before.collect();
            stack.extend(
                before
                    .into_iter()
                    .filter(|&h| inside.contains(&h) && !emitted[h as usize])
                    .map(|holder| (holder, false)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(taker: u32, holder: u32) -> Wait {
        Wait { taker, holder, attribute: "userName".to_owned() }
    }

    #[test]
    fn the_least_of_a_cycle_steps_aside_however_it_is_reached() {
        // rule P6
        for (waits, least) in [
            ([wait(0, 2), wait(1, 0), wait(2, 1)], 0),
            ([wait(0, 1), wait(1, 2), wait(2, 0)], 0),
            ([wait(0, 2), wait(1, 2), wait(2, 1)], 1),
        ] {
            let ordered = order(3, &waits);
            assert_eq!(ordered.temporary.keys().copied().collect::<Vec<_>>(), [least]);
            assert_eq!(ordered.slots.len(), 4);
        }
    }

    #[test]
    fn a_temporary_value_of_one_attribute_frees_no_other() {
        // rule P6: of 1 the mail is free at once, the name only after 2
        let named = |taker, holder, attribute: &str| Wait { taker, holder, attribute: attribute.to_owned() };
        let waits = [wait(0, 1), wait(1, 0), wait(1, 2), named(2, 1, "emails")];
        let ordered = order(3, &waits);
        use Slot::{Temporary, Update};
        assert_eq!(ordered.slots, [Temporary(0), Temporary(1), Update(2), Update(1), Update(0)]);
        assert_eq!(ordered.temporary[&1].iter().collect::<Vec<_>>(), ["emails"]);
    }

    #[test]
    fn a_chain_runs_from_its_free_end() {
        // rule P6
        let ordered = order(4, &[wait(0, 1), wait(1, 2)]);
        assert_eq!(ordered.slots, [2, 1, 0, 3].map(Slot::Update));
        assert!(ordered.temporary.is_empty());
    }

    #[test]
    fn a_swap_goes_over_one_temporary_value_of_the_least() {
        // rule P6
        let ordered = order(3, &[wait(1, 2), wait(2, 1)]);
        assert_eq!(ordered.slots, [Slot::Update(0), Slot::Temporary(1), Slot::Update(2), Slot::Update(1)]);
    }

    #[test]
    fn a_cycle_of_three_is_consecutive() {
        // rule P6
        let ordered = order(3, &[wait(0, 2), wait(2, 1), wait(1, 0)]);
        assert_eq!(ordered.slots, [Slot::Temporary(0), Slot::Update(1), Slot::Update(2), Slot::Update(0)]);
    }

    #[test]
    fn many_swaps_and_one_long_cycle_are_ordered_in_near_linear_time() {
        // rules S1, P6
        let swaps: Vec<Wait> = (0..100_000).map(|i| wait(i, i ^ 1)).collect();
        assert_eq!(order(100_000, &swaps).slots.len(), 150_000);
        let cycle: Vec<Wait> = (0..100_000).map(|i| wait(i, (i + 1) % 100_000)).collect();
        let ordered = order(100_000, &cycle);
        assert_eq!(ordered.slots.len(), 100_001);
        assert_eq!(ordered.slots[..2], [Slot::Temporary(0), Slot::Update(99_999)]);
        assert_eq!(ordered.slots[100_000], Slot::Update(0));
    }

    /// One round after the other, as rule P6 says it.
    fn one_by_one(waits: &[Wait]) -> BTreeMap<u32, BTreeSet<String>> {
        let mut temporary: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        let mut left: Vec<&Wait> = waits.iter().collect();
        loop {
            let rest = cycles(left.iter().map(|wait| (wait.taker, wait.holder)));
            if rest.is_empty() {
                return temporary;
            }
            for cycle in rest {
                let freed =
                    |wait: &&Wait| wait.holder == cycle[0] && cycle.binary_search(&wait.taker).is_ok();
                let attributes = left.iter().copied().filter(freed).map(|wait| wait.attribute.clone());
                temporary.entry(cycle[0]).or_default().extend(attributes);
                left.retain(|wait| !freed(wait));
            }
        }
    }

    /// Each update wants the name and, perhaps, the mail of another; `next` gives numbers below its argument.
    fn tangle(updates: u32, mails: u32, mut next: impl FnMut(u32) -> u32) -> Vec<Wait> {
        let mut waits = Vec::new();
        for (attribute, takers) in [("userName", updates), ("mail", mails)] {
            let mut holders: Vec<u32> = (0..updates).collect();
            for i in 1..updates {
                holders.swap(i as usize, next(i + 1) as usize);
            }
            let each = (0..takers).zip(holders).filter(|(taker, holder)| taker != holder);
            waits.extend(
                each.map(|(taker, holder)| Wait { attribute: attribute.to_owned(), ..wait(taker, holder) }),
            );
        }
        waits.sort_unstable();
        waits
    }

    /// Numbers that look random and are the same each time (Knuth's MMIX generator).
    fn numbers(mut seed: u64) -> impl FnMut(u32) -> u32 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % u64::from(below)) as u32
        }
    }

    /// Every value is free before it is taken.
    fn is_in_order(ordered: &Ordered, waits: &[Wait]) -> bool {
        let place: BTreeMap<Slot, usize> =
            ordered.slots.iter().enumerate().map(|(place, &slot)| (slot, place)).collect();
        waits.iter().all(|wait| {
            let freed = match ordered.is_freed(wait) {
                true => Slot::Temporary(wait.holder),
                false => Slot::Update(wait.holder),
            };
            place[&freed] < place[&Slot::Update(wait.taker)]
        })
    }

    #[test]
    fn a_tangle_over_two_attributes_is_broken_as_if_one_after_the_other_stepped_aside() {
        // rule P6
        let mut tangled = 0;
        for seed in 0..3_000 {
            let updates = 2 + seed as u32 % 24;
            let mut next = numbers(seed);
            let mails = next(updates + 1);
            let waits = tangle(updates, mails, next);
            let ordered = order(updates as usize, &waits);
            let expected = one_by_one(&waits);
            assert_eq!(ordered.temporary, expected, "{waits:?}");
            assert!(is_in_order(&ordered, &waits), "{waits:?}");
            tangled += usize::from(expected.len() > 3);
        }
        assert!(tangled > 1_000, "{tangled}");
    }

    #[test]
    fn a_tangle_of_many_updates_over_two_attributes_takes_near_linear_time() {
        // rules S1, P6
        let waits = tangle(2_500, 2_500, numbers(7));
        let ordered = order(2_500, &waits);
        assert!(ordered.temporary.len() > 500);
        assert_eq!(ordered.temporary, one_by_one(&waits));
        // One round after the other, these would take minutes.
        let waits = tangle(50_000, 50_000, numbers(11));
        let ordered = order(50_000, &waits);
        assert!(ordered.temporary.len() > 10_000);
        assert!(is_in_order(&ordered, &waits));
    }

    #[test]
    fn a_chain_of_100_000_names_needs_no_deep_stack() {
        // rule E7
        let waits: Vec<Wait> = (0..100_000).map(|i| wait(i, i + 1)).collect();
        let ordered = order(100_001, &waits);
        assert_eq!(ordered.slots.first(), Some(&Slot::Update(100_000)));
        assert_eq!(ordered.slots.len(), 100_001);
    }
}
