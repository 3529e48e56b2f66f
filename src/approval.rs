//! Which operations a person has approved (rule D5).

use std::collections::BTreeSet;
use std::fmt;

use crate::fingerprint::Fingerprint;
use crate::id::Issuer;
use crate::model::{Kind, Timestamp};

/// Held operations that a person has seen and approved, for one use each, as far as the [`RunState`](crate::RunState) is kept.
///
/// It comes from a [`HeldSet`](crate::HeldSet) and goes into a [`Run`](crate::Run). What it names runs if it is still
/// planned unchanged: same kind, same object, same values; the version of the record is taken afresh. Of a member list each
/// member counts by itself. It is not counted by any limit; what it does not name is judged on its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    pub(crate) issuer: Issuer,
    pub(crate) store: String,
    /// When the held set was planned.
    pub(crate) shown: Timestamp,
    pub(crate) operations: BTreeSet<ApprovedKey>,
}

impl fmt::Debug for Approval {
    /// How much it covers, not what: values may be sensitive (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Approval({} operations and members, shown at {})", self.operations.len(), self.shown.0)
    }
}

impl Approval {
    /// How many operations and members it names.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// An operation, or one member of a list, with everything that makes it this one and no other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApprovedKey(String);

/// Whom an operation is about: its anchor, and its store id where it has a record.
pub(crate) type Whom<'a> = (Kind, &'a str, &'a str);

impl ApprovedKey {
    fn of<'p>(action: &str, (kind, anchor, id): Whom<'_>, rest: impl IntoIterator<Item = &'p str>) -> Self {
        let mut key = Self(String::new());
        key.push(action);
        key.push(if kind == Kind::User { "user" } else { "group" });
        key.push(anchor);
        key.push(id);
        rest.into_iter().for_each(|part| key.push(part));
        key
    }

    /// Parts are told apart by their length: no text can pass for two.
    fn push(&mut self, part: &str) {
        self.0.push_str(&part.len().to_string());
        self.0.push(':');
        self.0.push_str(part);
    }

    /// A delete; of a group with how many members lose it, so that nobody is lost with it whom nobody saw.
    pub(crate) fn delete(whom: Whom<'_>, members_lost: u64) -> Self {
        Self::of("delete", whom, [members_lost.to_string().as_str()])
    }

    /// An action that needs no values: `deactivate`, `reactivate`, `adopt`.
    pub(crate) fn record(action: &str, whom: Whom<'_>) -> Self {
        Self::of(action, whom, [])
    }

    /// A create with its values, which are compared in the order of their names.
    pub(crate) fn create<'v>(
        whom: Whom<'_>,
        active: bool,
        values: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Self {
        let mut values: Vec<(&str, &str)> = values.into_iter().collect();
        values.sort_unstable();
        let active = if active { "active" } else { "inactive" };
        let values = values.into_iter().flat_map(|(name, value)| [name, value]);
        Self::of("create", (whom.0, whom.1, ""), std::iter::once(active).chain(values))
    }

    /// An update with old and new values.
    pub(crate) fn update(whom: Whom<'_>, adopt: bool, changes: &[(&str, &[String], &[String])]) -> Self {
        let mut changes: Vec<_> = changes.to_vec();
        changes.sort_unstable();
        let mut key = Self::of("update", whom, [if adopt { "synced" } else { "" }]);
        for (attribute, old, new) in changes {
            key.push(attribute);
            for values in [old, new] {
                key.push(&values.len().to_string());
                values.iter().for_each(|value| key.push(value));
            }
        }
        key
    }

    /// One member who comes into a group or leaves it.
    pub(crate) fn member(action: &str, group: Whom<'_>, member: Whom<'_>) -> Self {
        Self::of(action, group, [member.1, member.2])
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([self.0.as_str()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Whom<'static> = (Kind::User, "ada", "1");

    #[test]
    fn operations_that_differ_in_anything_have_different_keys() {
        // rule D5
        let of = |rest: &[&'static str]| ApprovedKey::of("update", ADA, rest.iter().copied());
        let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<String>>();
        let update = |old: &[&str], new: &[&str]| {
            ApprovedKey::update(ADA, false, &[("emails", &list(old), &list(new))])
        };
        let pairs = [
            (ApprovedKey::delete(ADA, 0), ApprovedKey::delete((Kind::Group, "ada", "1"), 0)),
            (ApprovedKey::delete(ADA, 0), ApprovedKey::delete(ADA, 1)),
            (ApprovedKey::delete(ADA, 0), ApprovedKey::delete((Kind::User, "ad", "a1"), 0)),
            (of(&["ab", "c"]), of(&["a", "bc"])),
            (of(&["a:b"]), of(&["a", "b"])),
            (of(&["1b1c1d1e1f0"]), of(&["1", "b", "c", "d", "e", "f", ""])),
            (update(&["a", "b"], &["c"]), update(&["a"], &["b", "c"])),
            (update(&["a"], &[]), update(&[], &["a"])),
        ];
        for (one, other) in pairs {
            assert!(one != other, "{}", one.0);
        }
    }

    #[test]
    fn the_order_of_values_and_changes_makes_no_other_operation() {
        // rule D5
        let values = [("a", "1"), ("b", "2"), ("b", "3")];
        let turned = values.iter().rev().copied();
        assert!(ApprovedKey::create(ADA, true, values) == ApprovedKey::create(ADA, true, turned));
        let (old, new) = (vec!["x".to_owned()], Vec::new());
        let changes: [(&str, &[String], &[String]); 2] = [("a", &old, &new), ("b", &new, &old)];
        let turned = [changes[1], changes[0]];
        assert!(ApprovedKey::update(ADA, false, &changes) == ApprovedKey::update(ADA, false, &turned));
    }
}
