//! Step 3: pairing both sides. The one table that says in which situation a record is, and the one policy that says
//! what follows.

use crate::graph::{Class, Graph};
use crate::links::Links;
use crate::model::{AccountState, Existence, Kind, Origin};
use crate::options::{Deprovision, Options};
use crate::scope::Scope;

/// What this run knows about an object in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Read,
    /// Not in a complete read, and not proven deleted.
    Absent,
    /// Not in a partial read.
    Unread,
    /// Proven deleted.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entitled {
    Yes,
    No,
    /// Not reached, but not everything that could reach it was read.
    Unproven,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    None,
    Synced,
    Jit,
}

/// In which situation a pair is (PingIDM and midPoint use the same idea).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Situation {
    /// Not entitled and not in the store, or gone on both sides.
    Nothing,
    /// Entitled, not in the store yet.
    Missing,
    /// Entitled and in the store.
    Confirmed,
    /// Entitled and in the store, but not read.
    Unread,
    /// In the store, read, not entitled any more.
    LeftScope,
    /// In the store, in no complete read, not entitled, not proven deleted.
    Vanished,
    /// In the store, neither reached nor proven out.
    Unproven,
    /// In the store, proven deleted in the source.
    Gone,
    /// Came by sign-in and is not entitled.
    JustInTime,
}

/// The table of situations: in source? · in scope? · in store?
pub(crate) fn situate(presence: Presence, entitled: Entitled, record: Record) -> Situation {
    use {Entitled as E, Presence as P, Record as R};
    match (presence, entitled, record) {
        (P::Gone, _, R::None) => Situation::Nothing,
        (P::Gone, _, _) => Situation::Gone,
        (P::Read, E::Yes, R::None) => Situation::Missing,
        (_, _, R::None) => Situation::Nothing,
        (P::Read, E::Yes, _) => Situation::Confirmed,
        (_, E::Yes, _) => Situation::Unread,
        (_, _, R::Jit) => Situation::JustInTime,
        (P::Read, E::No, R::Synced) => Situation::LeftScope,
        (P::Absent, E::No, R::Synced) => Situation::Vanished,
        (P::Unread, _, R::Synced) | (_, E::Unproven, R::Synced) => Situation::Unproven,
    }
}

/// Why a record is taken out of use (rule D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    DeletedInSource,
    LeftScope,
    DisabledInSource,
}

/// What follows for a record. The strictest of several causes wins (rule D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No record is there, none is made.
    Ignore,
    /// Make one.
    Create,
    /// Compare it.
    Compare,
    /// Leave it as it is, whatever the source says: not read, or not ours to judge.
    LeaveAlone,
    /// It is wanted no more and stays; a group only shrinks.
    Keep,
    Deactivate(Reason),
    Delete(Reason),
}

/// What is known about a record and the objects that it is linked to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) presence: Presence,
    pub(crate) entitled: Entitled,
    pub(crate) record: Record,
    /// Disabled in the source (rule A5).
    pub(crate) disabled: bool,
    /// A look-up says that it exists, though the read lacks it.
    pub(crate) exists: bool,
}

impl Facts {
    /// The facts of a record: over all its anchors, where it has several (rule M5). What one of them is entitled to
    /// is kept; one that is disabled disables it; it is gone only if all are.
    pub(crate) fn of_record(graph: &Graph<'_>, scope: &Scope, kind: Kind, row: u32) -> Self {
        let links = graph.links;
        let jit = kind == Kind::User
            && !scope.by_sign_in
            && links.store.users[row as usize].origin == Some(Origin::Jit);
        let mut facts = Self {
            presence: Presence::Gone,
            entitled: Entitled::No,
            record: if jit { Record::Jit } else { Record::Synced },
            disabled: false,
            exists: false,
        };
        for &node in links.nodes_of(kind, row) {
            let presence = presence(links, graph.classes[node as usize], kind);
            if rank(presence) < rank(facts.presence) {
                facts.presence = presence;
            }
            facts.entitled = match (entitled(graph, scope, node), facts.entitled) {
                (Entitled::Yes, _) | (_, Entitled::Yes) => Entitled::Yes,
                (Entitled::Unproven, _) | (_, Entitled::Unproven) => Entitled::Unproven,
                _ => Entitled::No,
            };
            facts.disabled |= state(links, node) == Some(AccountState::Disabled);
            facts.exists |= matches!(links.source.existence.get(&node), Some(Existence::Exists { .. }));
        }
        facts
    }

    pub(crate) fn situation(&self) -> Situation {
        situate(self.presence, self.entitled, self.record)
    }

    /// The policy: what follows from a user's situation.
    pub(crate) fn user_fate(&self, options: &Options) -> Fate {
        let policy = &options.users;
        let scope = match self.situation() {
            Situation::Nothing => return Fate::Ignore,
            Situation::Unread => return Fate::LeaveAlone,
            // Only its own sign-in looks after it (rule J2).
            Situation::JustInTime => return Fate::LeaveAlone,
            Situation::Missing if self.disabled && policy.disabled_in_source == Deprovision::Delete => {
                return Fate::Ignore;
            }
            Situation::Missing => return Fate::Create,
            Situation::Gone => return deprovision(policy.deleted_in_source, Reason::DeletedInSource),
            Situation::Confirmed => Fate::Compare,
            Situation::Unproven => Fate::Keep,
            Situation::LeftScope => deprovision(policy.left_scope, Reason::LeftScope),
            // Not seen in this run: no delete (rules C3, D1).
            Situation::Vanished => {
                deprovision(policy.left_scope.min(Deprovision::Deactivate), Reason::LeftScope)
            }
        };
        if !self.disabled {
            return scope;
        }
        match deprovision(policy.disabled_in_source.max(Deprovision::Deactivate), Reason::DisabledInSource) {
            disabled if strictness(disabled) > strictness(scope) => disabled,
            // Entitled and disabled: it is compared as well, and made inactive by the caller.
            _ => scope,
        }
    }

    /// The policy: what follows from a group's situation.
    pub(crate) fn group_fate(&self, options: &Options) -> Fate {
        let policy = &options.groups;
        match self.situation() {
            Situation::Nothing => Fate::Ignore,
            Situation::Unread => Fate::LeaveAlone,
            Situation::Missing => Fate::Create,
            Situation::Confirmed => Fate::Compare,
            Situation::Unproven | Situation::JustInTime => Fate::Keep,
            Situation::Gone => deprovision(policy.deleted_in_source, Reason::DeletedInSource),
            Situation::LeftScope => deprovision(policy.left_scope, Reason::LeftScope),
            Situation::Vanished => {
                deprovision(policy.left_scope.min(Deprovision::Deactivate), Reason::LeftScope)
            }
        }
    }
}

fn deprovision(policy: Deprovision, reason: Reason) -> Fate {
    match policy {
        Deprovision::Keep => Fate::Keep,
        Deprovision::Deactivate => Fate::Deactivate(reason),
        Deprovision::Delete => Fate::Delete(reason),
    }
}

fn strictness(fate: Fate) -> u8 {
    match fate {
        Fate::Delete(_) => 2,
        Fate::Deactivate(_) => 1,
        _ => 0,
    }
}

/// The better known presence wins over an object that is known less.
fn rank(presence: Presence) -> u8 {
    match presence {
        Presence::Read => 0,
        Presence::Unread => 1,
        Presence::Absent => 2,
        Presence::Gone => 3,
    }
}

fn presence(links: &Links<'_>, class: Class, kind: Kind) -> Presence {
    match class {
        Class::User | Class::Group | Class::Both => Presence::Read,
        Class::Gone => Presence::Gone,
        Class::Alone | Class::Opaque | Class::Other => {
            let read = match kind {
                Kind::User => &links.source.users_read,
                Kind::Group => &links.source.groups_read,
            };
            if read.is_complete() { Presence::Absent } else { Presence::Unread }
        }
    }
}

pub(crate) fn entitled(graph: &Graph<'_>, scope: &Scope, node: u32) -> Entitled {
    if scope.entitled[node as usize] && graph.classes[node as usize] != Class::Gone {
        Entitled::Yes
    } else if scope.provable {
        Entitled::No
    } else {
        Entitled::Unproven
    }
}

/// The account state of a user that was read (rule A5).
pub(crate) fn state(links: &Links<'_>, node: u32) -> Option<AccountState> {
    let user = links.user_row(node)?;
    if links.source.capabilities.account_state {
        Some(links.source.users[user].state)
    } else {
        Some(AccountState::Enabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_not_seen_is_deleted_for_leaving_scope() {
        // rules C3, D1
        let mut options = Options::default();
        options.users.left_scope = Deprovision::Delete;
        let facts = Facts {
            presence: Presence::Absent,
            entitled: Entitled::No,
            record: Record::Synced,
            disabled: false,
            exists: false,
        };
        assert_eq!(facts.user_fate(&options), Fate::Deactivate(Reason::LeftScope));
        let seen = Facts { presence: Presence::Read, ..facts };
        assert_eq!(seen.user_fate(&options), Fate::Delete(Reason::LeftScope));
        let partial = Facts { presence: Presence::Unread, ..facts };
        assert_eq!(partial.user_fate(&options), Fate::Keep);
    }

    #[test]
    fn the_strictest_cause_wins() {
        // rule D1
        let mut options = Options::default();
        options.users.left_scope = Deprovision::Delete;
        let both = Facts {
            presence: Presence::Read,
            entitled: Entitled::No,
            record: Record::Synced,
            disabled: true,
            exists: false,
        };
        assert_eq!(both.user_fate(&options), Fate::Delete(Reason::LeftScope));
        options.users.left_scope = Deprovision::Keep;
        assert_eq!(both.user_fate(&options), Fate::Deactivate(Reason::DisabledInSource));
        let jit = Facts { record: Record::Jit, ..both };
        assert_eq!(jit.user_fate(&options), Fate::LeaveAlone);
    }
}
