//! What limits hold, as a file that a person reads, cuts down, and approves (rule D5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::document::{ActionName, OperationDocument, SubjectDocument, plan_of};
use super::{FORMAT, Plan, TrippedLimit};
use crate::approval::{Approval, ApprovedKey, Whom};
use crate::diff::Cause;
use crate::escape::Escaped;
use crate::id::Issuer;
use crate::model::{Kind, Timestamp};

/// The operations of a plan that limits hold, in full: to be written to a file, read by a person, and approved as a whole or in
/// part. Whatever is left in the file when it is read back is what the approval covers: operations may be taken out, and so
/// may members of a list.
///
/// ```
/// # use identity_sync::HeldSet;
/// # fn approve(file: &str) -> Result<identity_sync::Approval, serde_json::Error> {
/// let held: HeldSet = serde_json::from_str(file)?;
/// Ok(held.approve()) // goes into `Run::approving`
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldSet {
    #[serde(deserialize_with = "this_format")]
    format: u32,
    issuer: Issuer,
    store: String,
    /// When the plan was made that shows them.
    shown_at: Timestamp,
    tripped: Vec<TrippedLimit>,
    operations: Vec<OperationDocument>,
    /// Attributes whose values are not shown as text (rule S2); the file holds them in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sensitive: Vec<(Kind, String)>,
}

fn this_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        other => {
            Err(D::Error::custom(format_args!("held set has format {other}, this version reads {FORMAT}")))
        }
    }
}

impl Plan {
    /// What limits hold, to be reviewed and approved (rule D5).
    pub fn held_set(&self) -> HeldSet {
        HeldSet {
            format: FORMAT,
            issuer: self.issuer.clone(),
            store: self.store.clone(),
            shown_at: self.planned_at,
            tripped: self.tripped.clone(),
            sensitive: self.sensitive.iter().cloned().collect(),
            operations: self
                .held()
                .map(|held| OperationDocument { after: Vec::new(), ..held.operation.into() })
                .collect(),
        }
    }
}

impl HeldSet {
    /// Number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Each operation as a person reads it, in the order of the plan.
    ///
    /// # Errors
    ///
    /// The file names an operation that no plan can hold.
    pub fn lines(&self) -> Result<Vec<String>, serde_json::Error> {
        let about = (self.issuer.clone(), self.store.clone(), self.shown_at);
        let plan = plan_of(self.operations.clone(), self.sensitive.clone(), about);
        let plan = plan.map_err(serde_json::Error::custom)?;
        Ok(plan.held().map(|held| held.operation.to_string()).collect())
    }

    /// The part of it that somebody chose, by position.
    #[must_use]
    pub fn only(mut self, chosen: impl Fn(usize) -> bool) -> Self {
        let mut at = 0;
        self.operations.retain(|_| {
            at += 1;
            chosen(at - 1)
        });
        self
    }

    /// Approves all that is in it.
    pub fn approve(&self) -> Approval {
        let keys = keys(&self.operations);
        Approval {
            issuer: self.issuer.clone(),
            store: self.store.clone(),
            shown: self.shown_at,
            operations: keys.into_iter().flatten().collect::<BTreeSet<_>>(),
        }
    }
}

impl fmt::Display for HeldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tripped in &self.tripped {
            writeln!(f, "{tripped}")?;
        }
        match self.lines() {
            Ok(lines) => {
                for (number, line) in lines.iter().enumerate() {
                    writeln!(f, "{}: {line}", number + 1)?;
                }
                Ok(())
            }
            Err(error) => writeln!(f, "cannot be shown: {}", Escaped(&error.to_string())),
        }
    }
}

/// The keys of each operation: one, or one per member. A temporary value of a cycle of names has none: it stands and falls with
/// the update behind it, whose old values are those before it.
pub(super) fn keys(operations: &[OperationDocument]) -> Vec<Vec<ApprovedKey>> {
    let mut before: BTreeMap<(Kind, &str, &str), &[String]> = BTreeMap::new();
    let mut keys = Vec::with_capacity(operations.len());
    for operation in operations {
        let subject = &operation.subject;
        let changes = operation.changes.as_deref().unwrap_or_default();
        if operation.cause == Cause::Swap {
            for change in changes {
                before.insert((subject.kind, &subject.anchor, &change.attribute), &change.old);
            }
            keys.push(Vec::new());
            continue;
        }
        let whom = whom(subject);
        let members = operation.members.iter().flatten();
        keys.push(match operation.action {
            ActionName::Create => {
                let values = operation.attributes.iter().flatten();
                let values =
                    values.flat_map(|(name, values)| values.iter().map(|v| (name.as_str(), v.as_str())));
                vec![ApprovedKey::create(whom, operation.active.unwrap_or(true), values)]
            }
            ActionName::Update => {
                let old = |attribute: &str, old| {
                    before.get(&(subject.kind, subject.anchor.as_str(), attribute)).copied().unwrap_or(old)
                };
                let changes: Vec<_> = changes
                    .iter()
                    .map(|change| {
                        (
                            change.attribute.as_str(),
                            old(&change.attribute, &change.old),
                            change.new.as_slice(),
                        )
                    })
                    .collect();
                vec![ApprovedKey::update(whom, operation.origin.is_some(), &changes)]
            }
            ActionName::Adopt => vec![ApprovedKey::record("adopt", whom)],
            ActionName::Deactivate => vec![ApprovedKey::record("deactivate", whom)],
            ActionName::Reactivate => vec![ApprovedKey::record("reactivate", whom)],
            ActionName::Delete => vec![ApprovedKey::delete(whom, operation.members_lost)],
            ActionName::AddMembers => {
                members.map(|member| ApprovedKey::member("add", whom, self::whom(member))).collect()
            }
            ActionName::RemoveMembers => {
                members.map(|member| ApprovedKey::member("remove", whom, self::whom(member))).collect()
            }
        });
    }
    keys
}

fn whom(subject: &SubjectDocument) -> Whom<'_> {
    (subject.kind, &subject.anchor, &subject.id)
}
