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
/// of `waits`. Near linear, but for tangles of names over several attributes.
pub(crate) fn order(updates: usize, waits: &[Wait]) -> Ordered {
    let mut ordered = Ordered::default();
    let mut waiting: BTreeMap<u32, Vec<&Wait>> = BTreeMap::new();
    for wait in waits {
        waiting.entry(wait.taker).or_default().push(wait);
    }
    let cycles = cycles(waits.iter());
    let mut cycle_of: BTreeMap<u32, usize> = BTreeMap::new();
    for (number, cycle) in cycles.iter().enumerate() {
        cycle_of.extend(cycle.iter().map(|&update| (update, number)));
    }
    let mut inside: Vec<Vec<&Wait>> = vec![Vec::new(); cycles.len()];
    for wait in waits {
        if let (Some(&taker), Some(holder)) = (cycle_of.get(&wait.taker), cycle_of.get(&wait.holder)) {
            if taker == *holder {
                inside[taker].push(wait);
            }
        }
    }
    for waits in inside {
        break_cycle(waits, &mut ordered.temporary);
    }
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
fn cycles<'w>(waits: impl Iterator<Item = &'w Wait>) -> Vec<Vec<u32>> {
    let mut graph: DiGraph<u32, (), u32> = DiGraph::new();
    let mut nodes = BTreeMap::new();
    for wait in waits {
        let mut node = |update: u32| *nodes.entry(update).or_insert_with(|| graph.add_node(update));
        let (taker, holder) = (node(wait.taker), node(wait.holder));
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

/// The least of a cycle gives up its values first; nobody waits for it any more. Repeated while a cycle is left: once,
/// but where names over several attributes are tangled.
fn break_cycle(mut left: Vec<&Wait>, temporary: &mut BTreeMap<u32, BTreeSet<String>>) {
    loop {
        let rest = cycles(left.iter().copied());
        if rest.is_empty() {
            return;
        }
        for cycle in rest {
            let Some(&least) = cycle.first() else { continue };
            let freed = |wait: &&Wait| wait.holder == least && cycle.binary_search(&wait.taker).is_ok();
            let attributes = left.iter().copied().filter(freed).map(|wait| wait.attribute.clone());
            temporary.entry(least).or_default().extend(attributes);
            left.retain(|wait| !freed(wait));
        }
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

    #[test]
    fn a_chain_of_100_000_names_needs_no_deep_stack() {
        // rule E7
        let waits: Vec<Wait> = (0..100_000).map(|i| wait(i, i + 1)).collect();
        let ordered = order(100_001, &waits);
        assert_eq!(ordered.slots.first(), Some(&Slot::Update(100_000)));
        assert_eq!(ordered.slots.len(), 100_001);
    }
}
