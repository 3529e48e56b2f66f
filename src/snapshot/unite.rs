//! Several rows of one anchor (rule M5).

use std::collections::BTreeMap;

use super::builder::SourceSnapshotBuilder;
use super::source::{SourceData, UserEntry};
use crate::model::{AccountState, MemberKind};
use crate::page::TextColumn;

impl SourceSnapshotBuilder {
    /// Rule M5: equal rows are one, else the higher version counts, else the anchor is ambiguous.
    pub(super) fn unite_users(&mut self) {
        let data = &mut self.data;
        for (first, rows) in by_first(&self.twice_users) {
            let same = |a: usize, b: usize| {
                let (x, y) = (&data.users[a], &data.users[b]);
                x.state == y.state
                    && x.quarantined == y.quarantined
                    && data.user_row(a).same_as(data.user_row(b))
            };
            let winner = winner(&rows, same, |row| data.users[row].version);
            let states: Vec<AccountState> = rows.iter().map(|&row| data.users[row].state).collect();
            let quarantined = rows.iter().any(|&row| data.users[row].quarantined);
            let entry = match winner {
                Some(row) => data.users[row].clone(),
                None => {
                    data.ambiguous_users.insert(first as u32, rows.iter().map(|&row| row as u32).collect());
                    UserEntry {
                        ambiguous: true,
                        quarantined,
                        state: if states.contains(&AccountState::Disabled) {
                            AccountState::Disabled
                        } else if states.contains(&AccountState::Unknown) {
                            AccountState::Unknown
                        } else {
                            AccountState::Enabled
                        },
                        ..data.users[first].clone()
                    }
                }
            };
            data.users[first] = entry;
        }
    }

    pub(super) fn unite_groups(&mut self) {
        let twice = by_first(&self.twice_groups);
        if twice.is_empty() {
            return;
        }
        let data = &mut self.data;
        // Where rows are united their lists are, too: collect the new lists first, then lay all out again.
        let mut lists: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (first, rows) in twice {
            let same = |a: usize, b: usize| {
                let (x, y) = (&data.groups[a], &data.groups[b]);
                x.list == y.list
                    && x.torn == y.torn
                    && x.quarantined == y.quarantined
                    && data.group_row(a).same_as(data.group_row(b))
                    && sorted(data.members_of(a)) == sorted(data.members_of(b))
                    && sorted_unresolved(data, a) == sorted_unresolved(data, b)
            };
            match winner(&rows, same, |row| data.groups[row].version) {
                Some(row) => {
                    data.groups[first] = data.groups[row].clone();
                    lists.insert(first, vec![row]);
                }
                None => {
                    let quarantined = rows.iter().any(|&row| data.groups[row].quarantined);
                    let group = &mut data.groups[first];
                    group.ambiguous = true;
                    group.quarantined = quarantined;
                    data.ambiguous_groups.insert(first as u32, rows.iter().map(|&row| row as u32).collect());
                    lists.insert(first, rows);
                }
            }
        }
        let mut members = Vec::with_capacity(data.members.len());
        let mut unresolved = TextColumn::default();
        let mut kinds = Vec::new();
        let (mut starts, mut unresolved_starts) = (vec![0], vec![0]);
        for group in 0..data.groups.len() {
            let own = vec![group];
            for &row in lists.get(&group).unwrap_or(&own) {
                members.extend_from_slice(data.members_of(row));
                for (text, kind) in data.unresolved_of(row) {
                    unresolved.push(text);
                    kinds.push(kind);
                }
            }
            starts.push(members.len());
            unresolved_starts.push(unresolved.len());
        }
        data.members = members;
        data.unresolved = unresolved;
        data.unresolved_kinds = kinds;
        data.member_starts = starts;
        data.unresolved_starts = unresolved_starts;
    }
}

/// All rows of each anchor that came more than once, under the first one.
fn by_first(twice: &[(u32, u32)]) -> Vec<(usize, Vec<usize>)> {
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(first, row) in twice {
        rows.entry(first as usize).or_insert_with(|| vec![first as usize]).push(row as usize);
    }
    rows.into_iter().collect()
}

/// The row that counts: all are equal, or all have versions and those with the highest are equal.
fn winner(
    rows: &[usize],
    same: impl Fn(usize, usize) -> bool,
    version: impl Fn(usize) -> Option<u64>,
) -> Option<usize> {
    let all_equal = |rows: &[usize]| rows.windows(2).all(|pair| same(pair[0], pair[1]));
    if all_equal(rows) {
        return rows.first().copied();
    }
    let versions: Option<Vec<u64>> = rows.iter().map(|&row| version(row)).collect();
    let highest = versions?.into_iter().max()?;
    let newest: Vec<usize> = rows.iter().copied().filter(|&row| version(row) == Some(highest)).collect();
    all_equal(&newest).then(|| newest[0])
}

fn sorted(members: &[u32]) -> Vec<u32> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.dedup();
    members
}

fn sorted_unresolved(data: &SourceData, group: usize) -> Vec<(&str, MemberKind)> {
    let mut all: Vec<_> = data.unresolved_of(group).collect();
    all.sort_unstable();
    all.dedup();
    all
}
