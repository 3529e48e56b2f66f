//! What the causes of rule D1 do to each managed record, once it is known which of them have lasted long enough.

use super::super::world::{Deprovision, Extent, Options};
use super::facts::{Fate, Managed, listed_members, protected_member};
use super::source::{Kind, View};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a record is not wanted as it is (rule D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    DeletedInSource,
    LeftScope,
    DisabledInSource,
}

impl Cause {
    pub const ALL: [Self; 3] = [Self::DeletedInSource, Self::LeftScope, Self::DisabledInSource];
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeletedInSource => "deleted_in_source",
            Self::LeftScope => "left_scope",
            Self::DisabledInSource => "disabled_in_source",
        })
    }
}

/// What one run shows of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Holds,
    Contradicted,
    /// Neither: what was remembered stays.
    Open,
}

/// What this run shows of a cause for a record.
pub fn shown(view: &View<'_>, record: &Managed<'_>, cause: Cause) -> Shown {
    let (holds, contradicted) = match cause {
        Cause::DeletedInSource => (record.gone, record.read || record.looked_up),
        Cause::LeftScope => {
            let jit = record.jit && !record.entitled;
            let left = !record.entitled && !record.gone && !jit && provable(view, record);
            (left, record.entitled)
        }
        Cause::DisabledInSource => (record.disabled, record.enabled),
    };
    match (holds, contradicted) {
        (true, _) => Shown::Holds,
        (false, true) => Shown::Contradicted,
        (false, false) => Shown::Open,
    }
}

/// Rule C2: it is known that a record that is not entitled has left the scope.
fn provable(view: &View<'_>, record: &Managed<'_>) -> bool {
    let source = &view.world.source;
    let complete = match record.kind {
        Kind::User => source.users_complete,
        Kind::Group => source.groups_complete,
    };
    view.scope_provable && (record.read || complete)
}

/// What the options want for a cause.
pub fn policy(options: &Options, kind: Kind, cause: Cause) -> Deprovision {
    match (kind, cause) {
        (Kind::User, Cause::DeletedInSource) => options.users.deleted_in_source,
        (Kind::User, Cause::LeftScope) => options.users.left_scope,
        (Kind::User, Cause::DisabledInSource) => options.users.disabled_in_source,
        (Kind::Group, Cause::DeletedInSource) => options.groups.deleted_in_source,
        (Kind::Group, Cause::LeftScope) => options.groups.left_scope,
        (Kind::Group, Cause::DisabledInSource) => Deprovision::Keep,
    }
}

/// How long they let it last first.
pub fn grace(options: &Options, kind: Kind, cause: Cause) -> u64 {
    match (kind, cause) {
        (Kind::User, Cause::DeletedInSource) => options.users.grace.deleted_in_source,
        (Kind::User, Cause::LeftScope) => options.users.grace.left_scope,
        (Kind::User, Cause::DisabledInSource) => options.users.grace.disabled_in_source,
        (Kind::Group, Cause::DeletedInSource) => options.groups.grace.deleted_in_source,
        (Kind::Group, Cause::LeftScope) => options.groups.grace.left_scope,
        (Kind::Group, Cause::DisabledInSource) => 0,
    }
}

/// Gives every record its fate. `due` holds the causes that have lasted long enough, by store id.
pub fn settle(
    view: &View<'_>,
    records: &mut BTreeMap<&str, Managed<'_>>,
    due: &BTreeMap<String, BTreeSet<Cause>>,
) {
    let none = BTreeSet::new();
    for record in records.values_mut() {
        let due = due.get(record.id).unwrap_or(&none);
        record.fate = match record.kind {
            Kind::User => user_fate(view, record, due),
            Kind::Group => group_fate(view, record, due),
        };
        if view.world.options.extent == Extent::NewEntitlements && record.fate != Fate::Untouched {
            // The quick pass takes nothing away, but gives nothing to whom a full run would delete either.
            record.leaving |= record.fate == Fate::Deleted || record.disabled;
            record.fate = if record.entitled { Fate::Entitled } else { Fate::Kept };
            record.blocked = false;
        }
    }
}

fn user_fate(view: &View<'_>, record: &mut Managed<'_>, due: &BTreeSet<Cause>) -> Fate {
    if record.protected || (record.jit && !record.entitled && !record.gone) {
        return Fate::Untouched;
    }
    let policy = |cause| policy(&view.world.options, Kind::User, cause);
    let mut action = Deprovision::Keep;
    let mut leaving = false;
    if record.gone {
        judge(Cause::DeletedInSource, policy(Cause::DeletedInSource), due, &mut action, &mut leaving);
    } else if !record.entitled {
        let wanted = left_scope(view, record, policy(Cause::LeftScope), due);
        judge(Cause::LeftScope, wanted, due, &mut action, &mut leaving);
    }
    record.kept = !record.entitled && action == Deprovision::Keep;
    if record.disabled {
        judge(Cause::DisabledInSource, policy(Cause::DisabledInSource), due, &mut action, &mut leaving);
    }
    record.kept &= action != Deprovision::Delete;
    record.leaving = leaving && action != Deprovision::Delete;
    let stays = match (record.gone, record.entitled) {
        (true, _) => Fate::KeptGone,
        (false, true) => Fate::Entitled,
        (false, false) => Fate::Kept,
    };
    fate_of(action, stays)
}

/// The strictest of the causes that are due wins; one that would delete and is not due makes a user leave.
fn judge(
    cause: Cause,
    wanted: Deprovision,
    due: &BTreeSet<Cause>,
    action: &mut Deprovision,
    leaving: &mut bool,
) {
    if due.contains(&cause) {
        *action = (*action).max(wanted);
    } else {
        *leaving |= wanted == Deprovision::Delete;
    }
}

/// What leaving the scope does to a record that is neither entitled nor gone; notes what is blocked.
fn left_scope(
    view: &View<'_>,
    record: &mut Managed<'_>,
    policy: Deprovision,
    due: &BTreeSet<Cause>,
) -> Deprovision {
    if !provable(view, record) {
        record.blocked = policy != Deprovision::Keep;
        return Deprovision::Keep;
    }
    if !record.read && policy == Deprovision::Delete {
        record.blocked = due.contains(&Cause::LeftScope);
        return Deprovision::Deactivate;
    }
    policy
}

fn group_fate(view: &View<'_>, record: &mut Managed<'_>, due: &BTreeSet<Cause>) -> Fate {
    if record.protected {
        return Fate::Untouched;
    }
    if record.entitled {
        return Fate::Entitled;
    }
    let policy = |cause| policy(&view.world.options, Kind::Group, cause);
    let mut action = Deprovision::Keep;
    let mut leaving = false;
    let stays = if record.gone {
        judge(Cause::DeletedInSource, policy(Cause::DeletedInSource), due, &mut action, &mut leaving);
        Fate::KeptGone
    } else {
        let wanted = left_scope(view, record, policy(Cause::LeftScope), due);
        judge(Cause::LeftScope, wanted, due, &mut action, &mut leaving);
        Fate::Kept
    };
    let fate = fate_of(action, stays);
    record.kept = matches!(fate, Fate::Kept | Fate::KeptGone);
    // Rule M8: the delete would strip a protected member, so only the others go.
    if fate == Fate::Deleted
        && listed_members(view.world, record.id).iter().any(|m| protected_member(view, m))
    {
        record.blocked = true;
        return Fate::Deactivated;
    }
    fate
}

fn fate_of(action: Deprovision, stays: Fate) -> Fate {
    match action {
        Deprovision::Keep => stays,
        Deprovision::Deactivate => Fate::Deactivated,
        Deprovision::Delete => Fate::Deleted,
    }
}
