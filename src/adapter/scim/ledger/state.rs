//! What a log of memberships comes to.

use std::collections::{BTreeMap, BTreeSet};

use super::LedgerEntry;
use crate::id::StoreId;

/// How sure it is that somebody is in a group. Who is not named is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    In,
    /// May be in or out; the last that was asked for was to be in.
    Adding,
    /// May be in or out; the last that was asked for was to be out.
    Removing,
}

/// What is known about one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Whether nobody else can be in it: it was made by us, or was listed.
    pub(super) whole: bool,
    pub(super) members: BTreeMap<StoreId, Standing>,
}

impl Group {
    /// Whether there is anything to say about it.
    fn is_known(&self) -> bool {
        self.whole || !self.members.is_empty()
    }
}

/// What all entries together say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) making: BTreeSet<String>,
    pub(super) groups: BTreeMap<StoreId, Group>,
}

impl State {
    pub(super) fn of<'e>(entries: impl IntoIterator<Item = &'e LedgerEntry>) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|entry| state.apply(entry));
        state
    }

    pub(super) fn apply(&mut self, entry: &LedgerEntry) {
        match entry {
            LedgerEntry::Making { external_id } => {
                self.making.insert(external_id.clone());
            }
            LedgerEntry::NotMade { external_id } => {
                self.making.remove(external_id);
            }
            LedgerEntry::Made { external_id, group } => {
                self.making.remove(external_id);
                self.groups.entry(group.clone()).or_default().whole = true;
            }
            LedgerEntry::Adding { group, members } => {
                let group = self.groups.entry(group.clone()).or_default();
                for member in members {
                    let standing = group.members.entry(member.clone()).or_insert(Standing::Adding);
                    // Who is in stays in, whatever comes of it.
                    if *standing == Standing::Removing {
                        *standing = Standing::Adding;
                    }
                }
            }
            LedgerEntry::Added { group, members } => {
                let group = self.groups.entry(group.clone()).or_default();
                group.members.extend(members.iter().map(|member| (member.clone(), Standing::In)));
            }
            LedgerEntry::Removing { group, members } => {
                let group = self.groups.entry(group.clone()).or_default();
                let whole = group.whole;
                for member in members {
                    // Who is out stays out; but of a group that is not known whole nobody is known to be.
                    match group.members.get_mut(member) {
                        Some(standing) => *standing = Standing::Removing,
                        None if whole => {}
                        None => {
                            group.members.insert(member.clone(), Standing::Removing);
                        }
                    }
                }
            }
            LedgerEntry::Removed { group, members } => {
                if let Some(group) = self.groups.get_mut(group) {
                    members.iter().for_each(|member| {
                        group.members.remove(member);
                    });
                }
            }
            LedgerEntry::Listed { group, members } => {
                let members = members.iter().map(|member| (member.clone(), Standing::In)).collect();
                self.groups.insert(group.clone(), Group { whole: true, members });
            }
            LedgerEntry::GroupGone { group } => {
                self.groups.remove(group);
            }
            LedgerEntry::UserGone { user } => {
                self.groups.retain(|_, group| {
                    group.members.remove(user);
                    group.is_known()
                });
            }
        }
        if let LedgerEntry::Adding { group, .. }
        | LedgerEntry::Added { group, .. }
        | LedgerEntry::Removing { group, .. }
        | LedgerEntry::Removed { group, .. } = entry
        {
            if self.groups.get(group).is_some_and(|group| !group.is_known()) {
                self.groups.remove(group);
            }
        }
    }

    /// The fewest entries that come to the same.
    pub(super) fn entries(&self) -> Vec<LedgerEntry> {
        let making =
            self.making.iter().map(|external_id| LedgerEntry::Making { external_id: external_id.clone() });
        let mut entries: Vec<LedgerEntry> = making.collect();
        for (id, group) in &self.groups {
            let having = |wanted| -> Vec<StoreId> {
                let members = group.members.iter().filter(|(_, standing)| **standing == wanted);
                members.map(|(member, _)| member.clone()).collect()
            };
            let all = |members: Vec<StoreId>, entry: fn(StoreId, Vec<StoreId>) -> LedgerEntry| {
                Some(members).filter(|members| !members.is_empty()).map(|members| entry(id.clone(), members))
            };
            let (ins, adding, removing) =
                (having(Standing::In), having(Standing::Adding), having(Standing::Removing));
            if group.whole {
                entries.push(LedgerEntry::Listed { group: id.clone(), members: ins });
            } else {
                entries.extend(all(ins, |group, members| LedgerEntry::Added { group, members }));
            }
            entries.extend(all(adding.clone(), |group, members| LedgerEntry::Adding { group, members }));
            // Only who may be in is removed from a group that is known whole.
            entries.extend(all(removing.clone(), |group, members| LedgerEntry::Adding { group, members }));
            entries.extend(all(removing, |group, members| LedgerEntry::Removing { group, members }));
        }
        entries
    }

    /// Members of whom nobody knows.
    pub(super) fn uncertain(&self, group: &StoreId) -> Vec<(StoreId, Standing)> {
        let members = self.groups.get(group).into_iter().flat_map(|group| &group.members);
        members
            .filter(|(_, standing)| **standing != Standing::In)
            .map(|(member, standing)| (member.clone(), *standing))
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn entry() -> impl Strategy<Value = LedgerEntry> {
        let group = "[gh]".prop_map(StoreId::from);
        let user = "[a-d]".prop_map(StoreId::from);
        let members = proptest::collection::vec(user.clone(), 0..4);
        (0..9_usize, group, members, user, "[xy]").prop_map(|(which, group, members, user, external_id)| {
            match which {
                0 => LedgerEntry::Making { external_id },
                1 => LedgerEntry::NotMade { external_id },
                2 => LedgerEntry::Made { external_id, group },
                3 => LedgerEntry::Adding { group, members },
                4 => LedgerEntry::Added { group, members },
                5 => LedgerEntry::Removing { group, members },
                6 => LedgerEntry::Removed { group, members },
                7 => LedgerEntry::Listed { group, members },
                _ if external_id == "x" => LedgerEntry::GroupGone { group },
                _ => LedgerEntry::UserGone { user },
            }
        })
    }

    fn members(ids: &[&str]) -> Vec<StoreId> {
        ids.iter().map(|&id| StoreId::from(id)).collect()
    }

    #[test]
    fn what_nobody_saw_the_end_of_is_neither_in_nor_out() {
        // rule C5
        let group = StoreId::from("g");
        let mut state = State::default();
        state.apply(&LedgerEntry::Made { external_id: "x".into(), group: group.clone() });
        state.apply(&LedgerEntry::Adding { group: group.clone(), members: members(&["a", "b"]) });
        assert_eq!(state.uncertain(&group).len(), 2);
        state.apply(&LedgerEntry::Added { group: group.clone(), members: members(&["a"]) });
        state.apply(&LedgerEntry::Adding { group: group.clone(), members: members(&["a"]) });
        assert_eq!(state.uncertain(&group), [(StoreId::from("b"), Standing::Adding)]);
        // Who is out cannot come in by being removed.
        state.apply(&LedgerEntry::Removing { group: group.clone(), members: members(&["a", "c"]) });
        let uncertain = [(StoreId::from("a"), Standing::Removing), (StoreId::from("b"), Standing::Adding)];
        assert_eq!(state.uncertain(&group), uncertain);
    }

    proptest! {
        #[test]
        fn a_short_log_says_what_the_long_one_said(entries in proptest::collection::vec(entry(), 0..24)) {
            let state = State::of(&entries);
            prop_assert_eq!(State::of(&state.entries()), state);
        }
    }
}
