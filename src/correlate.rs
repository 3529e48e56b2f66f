//! Step 3: pairing both sides. The one table that says in which situation a record is, and the one policy that says
//! what follows.

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Enabled in the source, as far as it has the notion.
    pub(crate) enabled: bool,
    /// A look-up says that it exists, though the read lacks it.
    pub(crate) exists: bool,
}

/// What this run can tell about a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Holds,
    /// The contrary was seen.
    Over,
    /// Nothing was seen either way: what was known before stands.
    Open,
}

/// Which causes have lasted long enough, and what waits until they have (rule D1).
pub(crate) struct Grace<'f> {
    /// Whether a cause has lasted as long as the policy asks for.
    is_due: &'f dyn Fn(Reason) -> bool,
    /// What will follow, once it has.
    waiting: Vec<(Reason, Deprovision)>,
}

impl<'f> Grace<'f> {
    pub(crate) fn new(is_due: &'f dyn Fn(Reason) -> bool) -> Self {
        Self { is_due, waiting: Vec::new() }
    }

    /// What follows now: nothing, before the period is over.
    fn deprovision(&mut self, policy: Deprovision, reason: Reason) -> Fate {
        let fate = match policy {
            Deprovision::Keep => return Fate::Keep,
            Deprovision::Deactivate => Fate::Deactivate(reason),
            Deprovision::Delete => Fate::Delete(reason),
        };
        if (self.is_due)(reason) {
            return fate;
        }
        self.waiting.push((reason, policy));
        Fate::Keep
    }

    pub(crate) fn into_waiting(self) -> Vec<(Reason, Deprovision)> {
        self.waiting
    }
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
            enabled: false,
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
            match state(links, node) {
                Some(AccountState::Disabled) => facts.disabled = true,
                Some(AccountState::Enabled) => facts.enabled = true,
                Some(AccountState::Unknown) | None => {}
            }
            facts.exists |= matches!(links.source.existence.get(&node), Some(Existence::Exists { .. }));
        }
        facts
    }

    pub(crate) fn situation(&self) -> Situation {
        situate(self.presence, self.entitled, self.record)
    }

    /// What this run can tell about a cause (rule D1).
    pub(crate) fn standing(&self, cause: Reason) -> Standing {
        match (cause, self.presence, self.situation()) {
            (Reason::DeletedInSource, Presence::Gone, _) => Standing::Holds,
            (Reason::DeletedInSource, Presence::Read, _) => Standing::Over,
            (Reason::DeletedInSource, ..) if self.exists => Standing::Over,
            (Reason::LeftScope, _, Situation::LeftScope | Situation::Vanished) => Standing::Holds,
            (Reason::LeftScope, ..) if self.entitled == Entitled::Yes => Standing::Over,
            (Reason::DisabledInSource, Presence::Read, _) if self.disabled => Standing::Holds,
            (Reason::DisabledInSource, Presence::Read, _) if self.enabled => Standing::Over,
            _ => Standing::Open,
        }
    }

    /// The policy: what follows from a user's situation.
    pub(crate) fn user_fate(&self, options: &Options, grace: &mut Grace<'_>) -> Fate {
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
            Situation::Gone => {
                return grace.deprovision(policy.deleted_in_source, Reason::DeletedInSource);
            }
            Situation::Confirmed => Fate::Compare,
            Situation::Unproven => Fate::Keep,
            Situation::LeftScope => grace.deprovision(policy.left_scope, Reason::LeftScope),
            // Not seen in this run: no delete (rules C3, D1).
            Situation::Vanished => {
                grace.deprovision(policy.left_scope.min(Deprovision::Deactivate), Reason::LeftScope)
            }
        };
        if !self.disabled {
            return scope;
        }
        let policy = policy.disabled_in_source.max(Deprovision::Deactivate);
        match grace.deprovision(policy, Reason::DisabledInSource) {
            disabled if strictness(disabled) > strictness(scope) => disabled,
            // Entitled and disabled: it is compared as well, and made inactive by the caller.
            _ => scope,
        }
    }

    /// The policy: what follows from a group's situation.
    pub(crate) fn group_fate(&self, options: &Options, grace: &mut Grace<'_>) -> Fate {
        let policy = &options.groups;
        match self.situation() {
            Situation::Nothing => Fate::Ignore,
            Situation::Unread => Fate::LeaveAlone,
            Situation::Missing => Fate::Create,
            Situation::Confirmed => Fate::Compare,
            Situation::Unproven | Situation::JustInTime => Fate::Keep,
            Situation::Gone => grace.deprovision(policy.deleted_in_source, Reason::DeletedInSource),
            Situation::LeftScope => grace.deprovision(policy.left_scope, Reason::LeftScope),
            Situation::Vanished => {
                grace.deprovision(policy.left_scope.min(Deprovision::Deactivate), Reason::LeftScope)
            }
        }
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
            if links.read(kind).is_complete() {
                Presence::Absent
            } else {
                Presence::Unread
            }
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

    fn fate(facts: Facts, options: &Options) -> Fate {
        facts.user_fate(options, &mut Grace::new(&|_| true))
    }

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
            enabled: true,
            exists: false,
        };
        assert_eq!(fate(facts, &options), Fate::Deactivate(Reason::LeftScope));
        let seen = Facts { presence: Presence::Read, ..facts };
        assert_eq!(fate(seen, &options), Fate::Delete(Reason::LeftScope));
        let partial = Facts { presence: Presence::Unread, ..facts };
        assert_eq!(fate(partial, &options), Fate::Keep);
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
            enabled: false,
            exists: false,
        };
        assert_eq!(fate(both, &options), Fate::Delete(Reason::LeftScope));
        options.users.left_scope = Deprovision::Keep;
        assert_eq!(fate(both, &options), Fate::Deactivate(Reason::DisabledInSource));
        let jit = Facts { record: Record::Jit, ..both };
        assert_eq!(fate(jit, &options), Fate::LeaveAlone);
    }

    #[test]
    fn of_several_causes_the_strictest_that_has_lasted_long_enough_wins() {
        // rule D1
        let mut options = Options::default();
        options.users.left_scope = Deprovision::Delete;
        let both = Facts {
            presence: Presence::Read,
            entitled: Entitled::No,
            record: Record::Synced,
            disabled: true,
            enabled: false,
            exists: false,
        };
        let is_due = |cause| cause == Reason::DisabledInSource;
        let mut grace = Grace::new(&is_due);
        assert_eq!(both.user_fate(&options, &mut grace), Fate::Deactivate(Reason::DisabledInSource));
        assert_eq!(grace.into_waiting(), [(Reason::LeftScope, Deprovision::Delete)]);
    }
}
