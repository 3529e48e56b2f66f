//! The plan for a person: what happens to whom, what is held, what is blocked (rule P8).

use std::fmt;

use super::{Action, Members, Operation, Plan, Subject, TrippedLimit};
use crate::diff::{BlockReason, Cause};
use crate::escape::Escaped;
use crate::guard::LimitName;
use crate::model::{Kind, Origin, Period};
use crate::options::Deprovision;
use crate::store::Change;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() && self.held.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        for operation in self.operations() {
            writeln!(f, "{operation}")?;
        }
        self.totals(f)?;
        for (number, tripped) in self.tripped.iter().enumerate() {
            writeln!(f, "limit {}: {tripped}", number + 1)?;
        }
        for held in self.held() {
            let by: Vec<String> = held.by().iter().map(|by| (by + 1).to_string()).collect();
            writeln!(f, "held by limit {}: {}", by.join(", "), held.operation)?;
            let since = self.planned_at.since(held.since);
            if since > 0 {
                writeln!(f, "    held for {}", Period::of_seconds(since))?;
            }
        }
        self.impacts(f)?;
        for subject in self.kept() {
            writeln!(f, "kept: {subject}")?;
        }
        for pending in self.pending() {
            let what = match pending.deprovision {
                Deprovision::Delete => "delete",
                Deprovision::Deactivate | Deprovision::Keep => "deactivate",
            };
            let left = Period::of_seconds(pending.due.since(self.planned_at));
            writeln!(f, "pending: {what} {} in {left} ({})", pending.subject, why(pending.cause))?;
        }
        if !self.blocked.is_empty() {
            writeln!(f, "removals blocked: {}", self.blocked.len())?;
        }
        for blocked in self.blocked() {
            write!(f, "removal blocked: ")?;
            match blocked.member {
                Some(member) => write!(f, "{member} from {}", blocked.subject)?,
                None => write!(f, "{}", blocked.subject)?,
            }
            writeln!(f, ": {}", because(blocked.because))?;
        }
        for diagnostic in &self.diagnostics {
            writeln!(f, "note: {diagnostic}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn impacts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (prefix, impact) in [("impact", &self.impact), ("impact if approved", &self.held_impact)] {
            for line in impact.to_string().lines() {
                writeln!(f, "{prefix}: {line}")?;
            }
        }
        Ok(())
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut adopt, mut create, mut update, mut delete, mut off, mut on, mut added, mut removed) =
            (0, 0, 0, 0, 0, 0, 0, 0);
        for operation in self.operations() {
            match operation.action() {
                Action::CreateUser { .. } | Action::CreateGroup { .. } => create += 1,
                Action::Adopt => adopt += 1,
                Action::Update { .. } => update += 1,
                Action::Delete => delete += 1,
                Action::Deactivate => off += 1,
                Action::Reactivate => on += 1,
                Action::AddMembers(members) => added += members.len(),
                Action::RemoveMembers(members) => removed += members.len(),
            }
        }
        if self.is_empty() && self.held.is_empty() {
            return Ok(());
        }
        let parts = [
            (adopt, "adopted"),
            (create, "created"),
            (update, "updated"),
            (delete, "deleted"),
            (off, "deactivated"),
            (on, "reactivated"),
            (added, "members added"),
            (removed, "members removed"),
            (self.held.len(), "operations held"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        writeln!(f, "total: {}", parts.join(", "))
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        match self.name() {
            Some(name) => write!(f, "{}", Escaped(name))?,
            None => f.write_str("(no name)")?,
        }
        match (self.anchor(), self.id()) {
            (Some(anchor), _) => write!(f, " [{}]", Escaped(anchor)),
            (None, Some(id)) => write!(f, " [record {}]", Escaped(id)),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.subject();
        let kind = subject.kind();
        match self.action() {
            Action::CreateUser { attributes, active, origin } => {
                write!(f, "+ create {subject}")?;
                if !active {
                    f.write_str(" inactive")?;
                }
                if origin == Origin::Jit {
                    f.write_str(" by sign-in")?;
                }
                self.values(f, kind, attributes)?;
            }
            Action::CreateGroup { attributes } => {
                write!(f, "+ create {subject}")?;
                self.values(f, kind, attributes)?;
            }
            Action::Update { changes, origin } => {
                write!(f, "~ update {subject}")?;
                for change in changes {
                    write!(f, "; {}: ", Escaped(&change.attribute))?;
                    self.change(f, kind, change)?;
                }
                if origin.is_some() {
                    f.write_str("; origin: sign-in → synced")?;
                }
            }
            Action::Adopt => {
                write!(f, "+ adopt {subject} as record {}", Escaped(subject.id().unwrap_or_default()))?;
            }
            Action::Deactivate => write!(f, "- deactivate {subject}")?,
            Action::Reactivate => write!(f, "+ reactivate {subject}")?,
            Action::Delete => {
                write!(f, "- delete {subject}")?;
                if self.members_lost() > 0 {
                    write!(f, ", {} members lose it", self.members_lost())?;
                }
            }
            Action::AddMembers(members) => {
                write!(f, "+ members of {subject}: {} ({})", members.len(), self.reason())?;
                return names(f, '+', members);
            }
            Action::RemoveMembers(members) => {
                write!(f, "- members of {subject}: {} ({})", members.len(), self.reason())?;
                return names(f, '-', members);
            }
        }
        write!(f, " ({})", self.reason())
    }
}

impl fmt::Display for TrippedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", limit(self.limit))?;
        if let Some(group) = &self.group {
            write!(f, " of {group}")?;
        }
        if let Some(attribute) = &self.attribute {
            write!(f, " {}", Escaped(attribute))?;
        }
        write!(f, ": {} planned, ", self.planned)?;
        if let Some(window) = self.window {
            write!(f, "{} done in the last {window}, ", self.spent)?;
        }
        write!(f, "{} allowed of {}", self.allowed, self.base)
    }
}

/// Every member on a line of its own: escaped names cannot hold a line break.
fn names(f: &mut fmt::Formatter<'_>, sign: char, members: Members<'_>) -> fmt::Result {
    for member in members.iter() {
        write!(f, "\n    {sign} {member}")?;
    }
    Ok(())
}

impl Operation<'_> {
    fn reason(&self) -> String {
        let approved = if self.is_approved() { ", approved" } else { "" };
        let held = self.was_held().map(|since| Period::of_seconds(self.plan.planned_at.since(since)));
        let held = held.filter(|held| *held > Period::ZERO).map(|held| format!(", was held for {held}"));
        format!("{}{approved}{}", why(self.cause()), held.unwrap_or_default())
    }

    fn values(
        &self,
        f: &mut fmt::Formatter<'_>,
        kind: Kind,
        attributes: crate::Attributes<'_>,
    ) -> fmt::Result {
        for (name, value) in attributes.iter() {
            write!(f, "; {}: ", Escaped(name))?;
            self.value(f, kind, name, value)?;
        }
        Ok(())
    }

    fn change(&self, f: &mut fmt::Formatter<'_>, kind: Kind, change: &Change) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[String]| {
            if values.is_empty() {
                return f.write_str("nothing");
            }
            for (i, value) in values.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { ", " })?;
                self.value(f, kind, &change.attribute, value)?;
            }
            Ok(())
        };
        list(f, &change.old)?;
        f.write_str(" → ")?;
        list(f, &change.new)
    }

    fn value(&self, f: &mut fmt::Formatter<'_>, kind: Kind, name: &str, value: &str) -> fmt::Result {
        if self.plan.is_sensitive(kind, name) {
            write!(f, "[redacted, {} bytes]", value.len())
        } else {
            write!(f, "{}", Escaped(value))
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(why(*self))
    }
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(because(*self))
    }
}

fn why(cause: Cause) -> &'static str {
    match cause {
        Cause::Entitled => "entitled",
        Cause::Matched => "has no link, and is the only match",
        Cause::Changed => "changed in the source",
        Cause::Adopted => "signed in before, entitled now",
        Cause::Enabled => "entitled and enabled",
        Cause::DeletedInSource => "deleted in the source",
        Cause::LeftScope => "not entitled any more",
        Cause::DisabledInSource => "disabled in the source",
        Cause::NoPath => "no path is left",
        Cause::MemberLeaving => "the member's account will be deleted",
        Cause::Unmanaged => "not ours, put in by somebody else",
        Cause::MemberDeleted => "before the member is deleted",
        Cause::GroupDeleted => "before the group is deleted",
        Cause::GroupRetired => "the group is out of use",
        Cause::Swap => "gives its value free for another",
        Cause::NameReleased => "gives up a name that is its own no more",
        Cause::SignIn => "signs in",
    }
}

fn because(reason: BlockReason) -> &'static str {
    match reason {
        BlockReason::DeletionUnproven => "it was not read, and nothing proves that it was deleted",
        BlockReason::ScopeUnproven => "not everything that could entitle it was read",
        BlockReason::NotSeen => "it was not seen in this run, so it is not deleted",
        BlockReason::ListIncomplete => "the member list, or one below, is incomplete",
        BlockReason::MembersUnlisted => "the store cannot list the members",
        BlockReason::RemovalsOff => "the options take nobody out of a group",
        BlockReason::Protected => "a protected member would go with it",
    }
}

fn limit(name: LimitName) -> &'static str {
    match name {
        LimitName::UserDeletes => "user deletes",
        LimitName::Deactivations => "deactivations",
        LimitName::GroupDeletes => "group deletes",
        LimitName::RemovalsInAll => "member removals in all",
        LimitName::RemovalsPerGroup => "member removals",
        LimitName::ClearsPerAttribute => "cleared values",
        LimitName::Adoptions => "adoptions",
        LimitName::Grants => "grants",
    }
}
