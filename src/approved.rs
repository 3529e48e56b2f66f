//! Which steps of a draft a person has approved (rule D5).

use std::collections::{BTreeMap, BTreeSet};

use crate::approval::{Approval, ApprovedKey, Whom};
use crate::diff::{Act, Draft, MemberRef, Step};
use crate::guard::Measured;
use crate::model::{Kind, Timestamp};
use crate::run::Memory;
use crate::snapshot::NONE;

/// The approved part of a draft, by number of step.
#[derive(Debug, Default)]
pub(crate) struct Approved {
    /// With the time at which the newest approval that covers it was shown.
    steps: BTreeMap<u32, Timestamp>,
    members: BTreeMap<u32, BTreeMap<MemberRef, Timestamp>>,
    /// Approvals that met nothing: done, changed, or used before.
    pub(crate) unused: usize,
}

impl Approved {
    /// Whether a whole step was approved.
    pub(crate) fn is_step(&self, step: u32) -> bool {
        self.steps.contains_key(&step)
    }

    /// When what covers a step, or a member of its list, was shown.
    pub(crate) fn shown(&self, step: u32, member: Option<MemberRef>) -> Option<Timestamp> {
        match member {
            None => self.steps.get(&step).copied(),
            Some(member) => self.members.get(&step)?.get(&member).copied(),
        }
    }

    /// Whether a member of a list was approved.
    pub(crate) fn is_member(&self, step: u32, member: MemberRef) -> bool {
        self.members.get(&step).is_some_and(|members| members.contains_key(&member))
    }

    /// How many of a list were not.
    pub(crate) fn others(&self, step: u32, members: &[MemberRef]) -> u64 {
        members.iter().filter(|&&member| !self.is_member(step, member)).count() as u64
    }

    /// Looks each step up in the approvals. Linear in steps and members, and only where there are approvals.
    pub(crate) fn new(
        draft: &Draft,
        measured: &Measured<'_>,
        approvals: &[Approval],
        memory: &Memory,
    ) -> Self {
        let mut approved = Self::default();
        if approvals.is_empty() {
            return approved;
        }
        let mut met: BTreeSet<ApprovedKey> = BTreeSet::new();
        let mut allows = |key: ApprovedKey| {
            let naming = approvals.iter().filter(|approval| approval.operations.contains(&key));
            let usable = naming.filter(|approval| memory.may_use(key.fingerprint(), approval.shown));
            let shown = usable.map(|approval| approval.shown).max();
            if shown.is_some() {
                met.insert(key);
            }
            shown
        };
        let matcher = Matcher { draft, measured };
        for (number, step) in (0..).zip(&draft.steps) {
            let (Act::Add(members) | Act::Remove(members)) = &step.act else {
                if let Some(shown) = allows(matcher.key(step)) {
                    approved.steps.insert(number, shown);
                }
                continue;
            };
            let named = members
                .iter()
                .filter_map(|&member| Some((member, allows(matcher.member_key(step, member))?)));
            let named: BTreeMap<MemberRef, Timestamp> = named.collect();
            if !named.is_empty() {
                approved.members.insert(number, named);
            }
        }
        let all: BTreeSet<&ApprovedKey> =
            approvals.iter().flat_map(|approval| &approval.operations).collect();
        approved.unused = all.len() - met.len();
        approved
    }
}

struct Matcher<'a> {
    draft: &'a Draft,
    measured: &'a Measured<'a>,
}

impl Matcher<'_> {
    fn whom(&self, kind: Kind, object: u32) -> Whom<'_> {
        let Measured { links, users, groups, .. } = *self.measured;
        let objects = if kind == Kind::User { users } else { groups };
        let object = &objects.all[object as usize];
        let store = links.store;
        let id = match object.record {
            NONE => "",
            record => store.id(&store.records(kind)[record as usize]),
        };
        (kind, links.anchor(object.node), id)
    }

    fn key(&self, step: &Step) -> ApprovedKey {
        let whom = self.whom(step.kind, step.object);
        match &step.act {
            Act::Create { row, active } => {
                ApprovedKey::create(whom, *active, self.draft.values.row(*row as usize).iter())
            }
            Act::Update { changes, adopt } => {
                let changes: Vec<_> = changes
                    .iter()
                    .map(|c| (c.attribute.as_str(), c.old.as_slice(), c.new.as_slice()))
                    .collect();
                ApprovedKey::update(whom, *adopt, &changes)
            }
            Act::Adopt => ApprovedKey::record("adopt", whom),
            Act::Deactivate => ApprovedKey::record("deactivate", whom),
            Act::Reactivate => ApprovedKey::record("reactivate", whom),
            Act::Delete => ApprovedKey::delete(whom, self.measured.lost_with(step)),
            Act::Add(_) => ApprovedKey::record("add", whom),
            Act::Remove(_) => ApprovedKey::record("remove", whom),
        }
    }

    fn member_key(&self, step: &Step, member: MemberRef) -> ApprovedKey {
        let action = if matches!(step.act, Act::Add(_)) { "add" } else { "remove" };
        let group = self.whom(step.kind, step.object);
        let member = match member {
            MemberRef::Object(object) => self.whom(Kind::User, object),
            MemberRef::Stored(id) => (Kind::User, "", self.measured.links.store.ids.text(id)),
        };
        ApprovedKey::member(action, group, member)
    }
}
