//! The serde form of a plan: a document with names in it, for people, scripts and other languages.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    AccessImpact, Action, BlockedOp, FORMAT, HeldOp, Op, Operation, PendingOp, Plan, PlannedAct, Subject,
    Subjects, TrippedLimit,
};
use crate::attributes::AttributeTable;
use crate::diagnostic::Diagnostic;
use crate::diff::{BlockReason, Cause};
use crate::fingerprint::{Digest, Fingerprint};
use crate::guard::LimitName;
use crate::id::Issuer;
use crate::model::{Kind, Origin, Timestamp};
use crate::options::{Deprovision, Extent};
use crate::run::RunState;
use crate::store::Change;

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanDocument {
    format: u32,
    issuer: Issuer,
    store: String,
    planned_at: Timestamp,
    #[serde(default)]
    extent: Extent,
    operations: Vec<OperationDocument>,
    held: Vec<HeldDocument>,
    tripped: Vec<TrippedLimit>,
    #[serde(default)]
    impact: AccessImpact,
    #[serde(default, skip_serializing_if = "AccessImpact::is_empty")]
    held_impact: AccessImpact,
    kept: Vec<SubjectDocument>,
    #[serde(default)]
    pending: Vec<PendingDocument>,
    blocked: Vec<BlockedDocument>,
    diagnostics: Vec<Diagnostic>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sensitive: Vec<(Kind, String)>,
    #[serde(default, skip_serializing_if = "is_false")]
    by_sign_in: bool,
    /// The limits that are set.
    counted: BTreeSet<LimitName>,
    /// What the next run is to be given.
    run: RunState,
    /// Over all of the above; only in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Fingerprint>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubjectDocument {
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) anchor: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionName {
    Adopt,
    Create,
    Update,
    Deactivate,
    Reactivate,
    Delete,
    AddMembers,
    RemoveMembers,
}

/// An operation in full. Its `Debug` is that of what it is about: values may be sensitive (rule S2).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OperationDocument {
    pub(super) action: ActionName,
    pub(super) subject: SubjectDocument,
    pub(super) cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<IndexMap<String, Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Vec<Change>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) members: Option<Vec<SubjectDocument>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) after: Vec<u32>,
    /// Runs under an approval that was shown then (rule D5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) approved: Option<Timestamp>,
    /// For the delete of a group: managed members who lose it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) members_lost: u64,
    /// Was held since then, and runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) was_held: Option<Timestamp>,
}

impl std::fmt::Debug for OperationDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.action, self.subject)
    }
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldDocument {
    operation: OperationDocument,
    by: Vec<u32>,
    #[serde(default)]
    since: Timestamp,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingDocument {
    subject: SubjectDocument,
    cause: Cause,
    deprovision: Deprovision,
    since: Timestamp,
    due: Timestamp,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockedDocument {
    subject: SubjectDocument,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<SubjectDocument>,
    because: BlockReason,
}

fn subject(subject: Subject<'_>) -> SubjectDocument {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    SubjectDocument {
        kind: subject.kind(),
        anchor: text(subject.anchor()),
        id: text(subject.id()),
        name: text(subject.name()),
        version: text(subject.version()),
    }
}

impl From<Operation<'_>> for OperationDocument {
    fn from(operation: Operation<'_>) -> Self {
        let mut document = Self {
            action: ActionName::Delete,
            subject: subject(operation.subject()),
            cause: operation.cause(),
            active: None,
            origin: None,
            attributes: None,
            changes: None,
            members: None,
            after: operation.after().to_vec(),
            approved: operation.op.approved,
            members_lost: operation.members_lost(),
            was_held: operation.was_held(),
        };
        let grouped = |attributes: crate::Attributes<'_>| {
            let mut map: IndexMap<String, Vec<String>> = IndexMap::new();
            for (name, value) in attributes.iter() {
                map.entry(name.to_owned()).or_default().push(value.to_owned());
            }
            Some(map)
        };
        document.action = match operation.action() {
            Action::CreateUser { attributes, active, origin } => {
                document.attributes = grouped(attributes);
                document.active = Some(active);
                document.origin = Some(origin);
                ActionName::Create
            }
            Action::CreateGroup { attributes } => {
                document.attributes = grouped(attributes);
                ActionName::Create
            }
            Action::Update { changes, origin } => {
                document.changes = Some(changes.to_vec());
                document.origin = origin;
                ActionName::Update
            }
            Action::Adopt => ActionName::Adopt,
            Action::Deactivate => ActionName::Deactivate,
            Action::Reactivate => ActionName::Reactivate,
            Action::Delete => ActionName::Delete,
            Action::AddMembers(members) => {
                document.members = Some(members.iter().map(subject).collect());
                ActionName::AddMembers
            }
            Action::RemoveMembers(members) => {
                document.members = Some(members.iter().map(subject).collect());
                ActionName::RemoveMembers
            }
        };
        document
    }
}

impl From<&Plan> for PlanDocument {
    fn from(plan: &Plan) -> Self {
        Self {
            format: FORMAT,
            issuer: plan.issuer.clone(),
            store: plan.store.clone(),
            planned_at: plan.planned_at,
            extent: plan.extent,
            impact: plan.impact.clone(),
            held_impact: plan.held_impact.clone(),
            pending: plan
                .pending()
                .map(|pending| PendingDocument {
                    subject: subject(pending.subject),
                    cause: pending.cause,
                    deprovision: pending.deprovision,
                    since: pending.since,
                    due: pending.due,
                })
                .collect(),
            by_sign_in: plan.by_sign_in,
            counted: plan.counted.clone(),
            run: plan.run.clone(),
            operations: plan.operations().map(OperationDocument::from).collect(),
            held: plan
                .held()
                .map(|held| HeldDocument {
                    operation: held.operation.into(),
                    by: held.by().to_vec(),
                    since: held.since,
                })
                .collect(),
            tripped: plan.tripped.clone(),
            kept: plan.kept().map(subject).collect(),
            blocked: plan
                .blocked()
                .map(|blocked| BlockedDocument {
                    subject: subject(blocked.subject),
                    member: blocked.member.map(subject),
                    because: blocked.because,
                })
                .collect(),
            diagnostics: plan.diagnostics.clone(),
            sensitive: plan.sensitive.iter().cloned().collect(),
            digest: None,
        }
    }
}

impl Serialize for Plan {
    /// Writes the plan, and a digest of it by which damage is noticed when it is read.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let mut document = PlanDocument::from(self);
        document.digest = Some(document.digest().map_err(S::Error::custom)?);
        document.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    /// Refuses another format, operations that cannot have come from a plan, and a plan that is not as it was written: the
    /// digest is no signature, but whatever was damaged or changed by hand is noticed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut document = PlanDocument::deserialize(deserializer)?;
        let written = document.digest.take();
        let digest = document.digest().map_err(D::Error::custom)?;
        // What else is wrong says more than that something is.
        let plan = document.into_plan().map_err(D::Error::custom)?;
        match written {
            Some(written) if written == digest => Ok(plan),
            Some(_) => Err(D::Error::custom("the plan is not as it was written: its digest differs")),
            None => Err(D::Error::custom("the plan has no digest")),
        }
    }
}

/// Subjects of a document, numbered again in their order.
struct Numbers(BTreeMap<SubjectDocument, u32>);

impl Numbers {
    fn of(&self, subject: &SubjectDocument) -> u32 {
        self.0.get(subject).copied().unwrap_or(u32::MAX)
    }
}

impl PlanDocument {
    /// A digest of all but itself, whatever the spaces of the file and the order of its keys.
    fn digest(&mut self) -> Result<Fingerprint, serde_json::Error> {
        let mut digest = Digest::default();
        // One by one, so that no second copy of them all is made.
        let (operations, held) = (std::mem::take(&mut self.operations), std::mem::take(&mut self.held));
        digest.add(&(operations.len(), held.len()))?;
        digest.add(self)?;
        for operation in &operations {
            digest.add(&operation.by_key())?;
        }
        for held in &held {
            digest.add(&(&held.operation.by_key(), &held.by, held.since))?;
        }
        (self.operations, self.held) = (operations, held);
        Ok(digest.finish())
    }

    fn into_plan(self) -> Result<Plan, String> {
        if self.format != FORMAT {
            return Err(format!("plan has format {}, this version reads format {FORMAT}", self.format));
        }
        if !self.run.belongs_to(&self.issuer, &self.store) {
            return Err("the state in the plan belongs to another issuer or store".to_owned());
        }
        let mut mentioned: Vec<&SubjectDocument> = Vec::new();
        for operation in self.operations.iter().chain(self.held.iter().map(|held| &held.operation)) {
            mentioned.push(&operation.subject);
            mentioned.extend(operation.members.iter().flatten());
        }
        mentioned.extend(&self.kept);
        mentioned.extend(self.pending.iter().map(|pending| &pending.subject));
        for blocked in &self.blocked {
            mentioned.push(&blocked.subject);
            mentioned.extend(&blocked.member);
        }
        mentioned.sort_unstable();
        mentioned.dedup();
        let mut subjects = Subjects::default();
        for subject in &mentioned {
            subjects.kinds.push(subject.kind);
            subjects.anchors.push(&subject.anchor);
            subjects.ids.push(&subject.id);
            subjects.names.push(&subject.name);
            subjects.versions.push(&subject.version);
        }
        let numbered = mentioned.iter().enumerate();
        let numbers = Numbers(numbered.map(|(number, &subject)| (subject.clone(), number as u32)).collect());
        let mut values = AttributeTable::default();
        let operations = self
            .operations
            .iter()
            .enumerate()
            .map(|(i, operation)| operation.to_op(i, &numbers, &mut values));
        let operations = operations.collect::<Result<Vec<Op>, String>>()?;
        let mut held = Vec::new();
        for (i, entry) in self.held.iter().enumerate() {
            if entry.by.iter().any(|&by| by as usize >= self.tripped.len()) {
                return Err("a held operation names a limit that did not trip".to_owned());
            }
            let op = entry.operation.to_op(i, &numbers, &mut values)?;
            held.push(HeldOp { op, by: entry.by.clone(), since: entry.since });
        }
        let pending = self.pending.iter().map(|pending| PendingOp {
            subject: numbers.of(&pending.subject),
            cause: pending.cause,
            deprovision: pending.deprovision,
            since: pending.since,
            due: pending.due,
        });
        check_order(&operations, &subjects)?;
        let kept = self.kept.iter().map(|subject| numbers.of(subject)).collect();
        let blocked = self.blocked.iter().map(|blocked| BlockedOp {
            subject: numbers.of(&blocked.subject),
            member: blocked.member.as_ref().map(|member| numbers.of(member)),
            because: blocked.because,
        });
        Ok(Plan {
            blocked: blocked.collect(),
            pending: pending.collect(),
            extent: self.extent,
            impact: self.impact,
            held_impact: self.held_impact,
            run: self.run,
            by_sign_in: self.by_sign_in,
            counted: self.counted,
            issuer: self.issuer,
            store: self.store,
            planned_at: self.planned_at,
            subjects,
            operations,
            held,
            tripped: self.tripped,
            kept,
            diagnostics: self.diagnostics,
            values,
            sensitive: self.sensitive.into_iter().collect(),
        })
    }
}

/// No subject is made twice, and nobody comes before the operation that makes him.
fn check_order(operations: &[Op], subjects: &Subjects) -> Result<(), String> {
    let mut made: BTreeMap<u32, usize> = BTreeMap::new();
    for (position, op) in operations.iter().enumerate() {
        if matches!(op.act, PlannedAct::Create { .. } | PlannedAct::Adopt)
            && made.insert(op.subject, position).is_some()
        {
            return Err(format!("operation {position} makes somebody for the second time"));
        }
    }
    for (position, op) in operations.iter().enumerate() {
        let members: &[u32] = match &op.act {
            PlannedAct::AddMembers(members) | PlannedAct::RemoveMembers(members) => members,
            _ => &[],
        };
        for &whom in members.iter().chain(std::iter::once(&op.subject)) {
            let is_made = made.get(&whom);
            if is_made.is_some_and(|&made| made > position) {
                return Err(format!("operation {position} comes before the one that makes whom it is about"));
            }
            if is_made.is_none() && subjects.ids.at(whom as usize).is_empty() {
                return Err(format!("operation {position} is about somebody without a record"));
            }
        }
    }
    Ok(())
}

/// Operations as a plan that holds nothing else, to be shown.
pub(super) fn plan_of(
    operations: Vec<OperationDocument>,
    sensitive: Vec<(Kind, String)>,
    (issuer, store, planned_at): (Issuer, String, Timestamp),
) -> Result<Plan, String> {
    let document = PlanDocument {
        format: FORMAT,
        issuer: issuer.clone(),
        store: store.clone(),
        planned_at,
        extent: Extent::Full,
        operations: Vec::new(),
        held: operations
            .into_iter()
            .map(|operation| HeldDocument { operation, by: Vec::new(), since: planned_at })
            .collect(),
        tripped: Vec::new(),
        impact: AccessImpact::default(),
        held_impact: AccessImpact::default(),
        kept: Vec::new(),
        pending: Vec::new(),
        blocked: Vec::new(),
        diagnostics: Vec::new(),
        sensitive,
        by_sign_in: false,
        counted: BTreeSet::new(),
        run: RunState::of(issuer, store),
        digest: None,
    };
    document.into_plan()
}

impl OperationDocument {
    /// With its attributes in the order of their names: a tool may have sorted them.
    fn by_key(&self) -> Cow<'_, Self> {
        match &self.attributes {
            Some(attributes) if !attributes.keys().is_sorted() => {
                let mut sorted = self.clone();
                sorted.attributes.iter_mut().for_each(IndexMap::sort_keys);
                Cow::Owned(sorted)
            }
            _ => Cow::Borrowed(self),
        }
    }

    fn to_op(&self, position: usize, numbers: &Numbers, values: &mut AttributeTable) -> Result<Op, String> {
        let broken = |what: &str| Err(format!("operation {position} {what}"));
        if self.after.iter().any(|&before| before as usize >= position) {
            return broken("comes before one that it waits for");
        }
        let group = self.subject.kind == Kind::Group;
        let creates = self.action == ActionName::Create;
        if self.subject.anchor.is_empty() || (self.subject.id.is_empty() && self.needs_id(creates)) {
            return broken("is about nobody");
        }
        let members = || match &self.members {
            Some(members) if group && !members.is_empty() => {
                Ok(members.iter().map(|member| numbers.of(member)).collect::<Vec<u32>>())
            }
            _ => Err(format!("operation {position} has no members")),
        };
        let act = match (self.action, &self.attributes, &self.changes) {
            (ActionName::Create, Some(attributes), None) => {
                let row = values.open_row() as u32;
                for (name, list) in attributes {
                    let name = values.name_index(name);
                    if !list.iter().all(|value| values.push(name, value)) {
                        return broken("is too large");
                    }
                }
                let active = self.active.unwrap_or(true);
                PlannedAct::Create { row, active, origin: self.origin.unwrap_or(Origin::Synced) }
            }
            (ActionName::Update, None, Some(changes)) => {
                PlannedAct::Update { changes: changes.clone(), origin: self.origin }
            }
            (ActionName::Adopt, None, None) => PlannedAct::Adopt,
            (ActionName::Deactivate, None, None) if !group => PlannedAct::Deactivate,
            (ActionName::Reactivate, None, None) if !group => PlannedAct::Reactivate,
            (ActionName::Delete, None, None) => PlannedAct::Delete,
            (ActionName::AddMembers, None, None) => PlannedAct::AddMembers(members()?),
            (ActionName::RemoveMembers, None, None) => PlannedAct::RemoveMembers(members()?),
            _ => return broken("does not say what its action needs"),
        };
        Ok(Op {
            act,
            subject: numbers.of(&self.subject),
            cause: self.cause,
            after: self.after.clone(),
            approved: self.approved,
            loses: self.members_lost,
            was_held: self.was_held,
        })
    }

    /// Members can be added to a group that the same plan creates; all else needs a record.
    fn needs_id(&self, creates: bool) -> bool {
        !creates && self.action != ActionName::AddMembers
    }
}
