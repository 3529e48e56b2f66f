//! What the page lists.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use identity_sync::{
    AccessImpact, Action, Affected, Cause, Change, Deprovision, Diagnostic, Explanation, Kind, Operation,
    Origin, Period, Plan, PlanMembers, SourceAnchor, Subject,
};

use super::html::{Rows, Shown, Text, kind, somebody, subject, with_kind};
use super::{Extras, time};

/// Rows of one list.
const ROWS: usize = 5_000;
/// Rows of members in all groups together: a browser has to hold them.
const MEMBERS: usize = 30_000;
/// Paths that are looked for: each costs as much as the graph is large.
const PATHS: usize = 300;
/// Groups whose members are shown without a click.
const OPEN: usize = 5;

pub(super) struct Sections<'a> {
    plan: &'a Plan,
    extras: &'a Extras<'a>,
    /// What the objects of the plan are called, by anchor.
    names: RefCell<BTreeMap<&'a str, &'a str>>,
    paths: Cell<usize>,
    members: Cell<usize>,
}

/// What happens to one group.
#[derive(Default)]
struct OfGroup<'a> {
    on_itself: Vec<Operation<'a>>,
    added: Vec<(PlanMembers<'a>, Operation<'a>)>,
    removed: Vec<(PlanMembers<'a>, Operation<'a>)>,
}

impl<'a> Sections<'a> {
    pub(super) fn new(plan: &'a Plan, extras: &'a Extras<'a>) -> Self {
        let mut names = BTreeMap::new();
        for operation in plan.operations().chain(plan.held().map(|held| held.operation)) {
            let mut see = |subject: Subject<'a>| {
                if let (Some(anchor), Some(name)) = (subject.anchor(), subject.name()) {
                    names.insert(anchor, name);
                }
            };
            see(operation.subject());
            if let Action::AddMembers(members) | Action::RemoveMembers(members) = operation.action() {
                members.iter().for_each(see);
            }
        }
        Self {
            plan,
            extras,
            names: RefCell::new(names),
            paths: Cell::new(PATHS),
            members: Cell::new(MEMBERS),
        }
    }

    pub(super) fn write(&self) -> String {
        [
            self.impact("impact", "Access impact", self.plan.impact(), true),
            self.held(),
            self.groups(),
            self.users(),
            self.pending(),
            self.blocked(),
            self.kept(),
            self.diagnostics(),
        ]
        .concat()
    }

    /// Who loses and who gains access; rule D6 of the crate's documentation says what counts.
    fn impact(&self, id: &str, title: &str, impact: &AccessImpact, also_empty: bool) -> String {
        if impact.is_empty() {
            let none = "<p class=none>Nobody loses or gains access.</p>\n".to_owned();
            return if also_empty { section(id, title, &none) } else { String::new() };
        }
        let list = |title: &str, class: &str, affected: &[Affected]| {
            let mut rows = Rows::new(ROWS);
            for one in affected {
                rows.add(class, || {
                    format!("{} {}", kind(one.kind), somebody(&one.name, &one.anchor, &one.id))
                });
            }
            if rows.is_empty() {
                String::new()
            } else {
                fold(title, affected.len(), &rows.finish(), Open::Yes)
            }
        };
        let mut gains = Rows::new(ROWS);
        for gain in &impact.gains {
            gains.add("plus", || {
                let far = match gain.groups_on_the_way {
                    0 | 1 => String::new(),
                    groups => format!(", through up to {groups} groups"),
                };
                let users = if gain.users == 1 { "user" } else { "users" };
                let one = &gain.assignment;
                let whom = somebody(&one.name, &one.anchor, &one.id);
                format!("<b>{}</b> {users} by the assignment of {} {whom}{far}", gain.users, kind(one.kind))
            });
        }
        let gained: u64 = impact.gains.iter().map(|gain| gain.users).sum();
        let gains = match gained {
            0 => String::new(),
            _ => {
                fold("Gain access", usize::try_from(gained).unwrap_or(usize::MAX), &gains.finish(), Open::Yes)
            }
        };
        let body = [
            list("Lose their last entitlement", "minus", &impact.loses_last_entitlement),
            list("Groups that drop to empty", "minus", &impact.groups_emptied),
            list("Users made inactive", "minus", &impact.deactivated),
            gains,
        ];
        section(id, title, &body.concat())
    }

    fn held(&self) -> String {
        if self.plan.tripped().is_empty() && self.plan.held().len() == 0 {
            return section("held", "Limits", "<p class=none>No limit is reached.</p>\n");
        }
        let mut limits = Rows::new(ROWS);
        for tripped in self.plan.tripped() {
            limits.add("limit", || {
                let group = tripped.group.as_ref().map(|group| self.name(group.as_str()));
                let group = group.map(|name| format!(" <bdi>{}</bdi>", Text(&name))).unwrap_or_default();
                format!("<b>{}</b>{group}", Shown(tripped))
            });
        }
        let mut rows = Rows::new(ROWS);
        for held in self.plan.held() {
            rows.add("held", || {
                let by = held.by().iter().filter_map(|&by| self.plan.tripped().get(by as usize));
                let by: Vec<String> = by.map(|limit| Shown(limit).to_string()).collect();
                let since = time::show(held.since);
                let why = format!("<span class=why>held since {since} by: {}</span>", by.join("; "));
                format!("{} {why}{}", self.operation(held.operation), self.members(held.operation))
            });
        }
        let held = self.plan.held().len();
        let body = format!("<h3>Reached</h3>\n{}", limits.finish())
            + &fold("Operations held, which need an approval", held, &rows.finish(), Open::Yes);
        section("held", "Limits", &body)
            + &self.impact("held-impact", "Access impact if approved", self.plan.held_impact(), false)
    }

    fn groups(&self) -> String {
        let mut groups: BTreeMap<(String, String, String), (Subject<'a>, OfGroup<'a>)> = BTreeMap::new();
        for operation in self.plan.operations().filter(|one| one.subject().kind() == Kind::Group) {
            let whom = operation.subject();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let key = (text(whom.name()).to_lowercase(), text(whom.anchor()), text(whom.id()));
            let of = &mut groups.entry(key).or_insert_with(|| (whom, OfGroup::default())).1;
            match operation.action() {
                Action::AddMembers(members) => of.added.push((members, operation)),
                Action::RemoveMembers(members) => of.removed.push((members, operation)),
                _ => of.on_itself.push(operation),
            }
        }
        if groups.is_empty() {
            return String::new();
        }
        let (count, mut body) = (groups.len(), String::new());
        for (number, (whom, of)) in groups.into_values().enumerate() {
            if number == ROWS {
                body += &format!("<p class=more>… and {} more groups.</p>\n", count - ROWS);
                break;
            }
            body += &self.group(whom, &of, if count <= OPEN { Open::Yes } else { Open::No });
        }
        section("groups", &format!("Groups ({count})"), &body)
    }

    fn group(&self, group: Subject<'a>, of: &OfGroup<'a>, open: Open) -> String {
        let mut rows = Rows::new(self.members.get().min(ROWS));
        for &operation in &of.on_itself {
            rows.add(sign(operation), || self.operation(operation));
        }
        let lists = of.removed.iter().map(|list| ('−', "minus", list));
        for (sign, class, (members, operation)) in
            lists.chain(of.added.iter().map(|list| ('+', "plus", list)))
        {
            for member in members.iter() {
                rows.add(class, || {
                    let path = if sign == '+' { self.path(Some(group), member) } else { String::new() };
                    format!("<b>{sign}</b> {}{}{path}", subject(member), why(*operation))
                });
            }
        }
        self.members.set(self.members.get().saturating_sub(rows.shown()));
        let sum =
            |lists: &[(PlanMembers<'_>, _)]| lists.iter().map(|(members, _)| members.len()).sum::<usize>();
        let words: Vec<&str> = of.on_itself.iter().map(|&operation| word(operation)).collect();
        let words = if words.is_empty() { String::new() } else { format!(" <em>{}</em>", words.join(", ")) };
        let counts: String = [("plus", '+', sum(&of.added)), ("minus", '−', sum(&of.removed))]
            .into_iter()
            .filter(|(_, _, count)| *count > 0)
            .map(|(class, sign, count)| format!(" <span class={class}>{sign}{count}</span>"))
            .collect();
        format!(
            "<details data-part{}><summary>{}{words}{counts}</summary>\n{}</details>\n",
            open.attribute(),
            subject(group),
            rows.finish()
        )
    }

    fn users(&self) -> String {
        let mut kinds: BTreeMap<(u8, &str), Rows> = BTreeMap::new();
        let mut counts: BTreeMap<(u8, &str), usize> = BTreeMap::new();
        for operation in self.plan.operations().filter(|one| one.subject().kind() == Kind::User) {
            // What takes away comes first.
            let key = match operation.action() {
                Action::Delete => (0, "Deleted"),
                Action::Deactivate => (1, "Made inactive"),
                Action::Reactivate => (2, "Made active again"),
                Action::CreateUser { .. } => (3, "Created"),
                Action::Adopt => (4, "Adopted"),
                Action::Update { .. } => (5, "Updated"),
                _ => (6, "Other"),
            };
            *counts.entry(key).or_default() += 1;
            kinds.entry(key).or_insert_with(|| Rows::new(ROWS)).add(sign(operation), || {
                let gives = matches!(
                    operation.action(),
                    Action::CreateUser { .. } | Action::Reactivate | Action::Adopt
                );
                let path = if gives { self.path(None, operation.subject()) } else { String::new() };
                self.operation(operation) + &path
            });
        }
        if kinds.is_empty() {
            return String::new();
        }
        let total: usize = counts.values().sum();
        let open = if total <= ROWS / 10 { Open::Yes } else { Open::No };
        let body: String = kinds
            .into_iter()
            .map(|(key, rows)| fold(key.1, counts.get(&key).copied().unwrap_or(0), &rows.finish(), open))
            .collect();
        section("users", &format!("Users ({total})"), &body)
    }

    fn pending(&self) -> String {
        let mut rows = Rows::new(ROWS);
        for pending in self.plan.pending() {
            rows.add("minus", || {
                let what = match pending.deprovision {
                    Deprovision::Delete => "delete",
                    _ => "make inactive",
                };
                let left = Period::of_seconds(pending.due.since(self.plan.planned_at()));
                let (since, due) = (time::show(pending.since), time::show(pending.due));
                let why = Shown(pending.cause);
                format!(
                    "{what} {} <span class=why>{why}; since {since}, due {due}, in {left}</span>",
                    with_kind(pending.subject)
                )
            });
        }
        titled(
            "pending",
            "Pending removals, which wait for their grace period",
            rows,
            self.plan.pending().len(),
        )
    }

    fn blocked(&self) -> String {
        let mut rows = Rows::new(ROWS);
        for blocked in self.plan.blocked() {
            rows.add("blocked", || {
                let what = match blocked.member {
                    Some(member) => format!("{} from {}", subject(member), with_kind(blocked.subject)),
                    None => with_kind(blocked.subject),
                };
                format!("{what} <span class=why>{}</span>", Shown(blocked.because))
            });
        }
        titled("blocked", "Removals blocked, which lack a proof", rows, self.plan.blocked().len())
    }

    fn kept(&self) -> String {
        let mut rows = Rows::new(ROWS);
        for kept in self.plan.kept() {
            rows.add("kept", || with_kind(kept));
        }
        titled("kept", "Kept, though wanted no more", rows, self.plan.kept().len())
    }

    fn diagnostics(&self) -> String {
        let mut rows = Rows::new(ROWS);
        for diagnostic in self.plan.diagnostics() {
            rows.add("note", || {
                let text = diagnostic.to_string();
                match diagnostic {
                    Diagnostic::ClockWentBack { latest } => {
                        Shown(text.replace(&latest.0.to_string(), &time::show(*latest))).to_string()
                    }
                    _ => Shown(text).to_string(),
                }
            });
        }
        titled("notes", "Notes", rows, self.plan.diagnostics().len())
    }

    /// An operation but for the members of a list.
    fn operation(&self, operation: Operation<'_>) -> String {
        let whom = with_kind(operation.subject());
        let more = match operation.action() {
            Action::CreateUser { attributes, active, origin } => {
                let mut values: Vec<(&str, &str)> = attributes.iter().collect();
                if !active {
                    values.push(("active", "no"));
                }
                if origin == Origin::Jit {
                    values.push(("origin", "sign-in"));
                }
                self.values(Kind::User, &values)
            }
            Action::CreateGroup { attributes } => {
                self.values(Kind::Group, &attributes.iter().collect::<Vec<_>>())
            }
            Action::Update { changes, origin } => {
                let origin = if origin.is_some() { "<li>origin: sign-in → synced</li>" } else { "" };
                let kind = operation.subject().kind();
                let changes: String = changes.iter().map(|change| self.change(kind, change)).collect();
                format!("<ul class=values>{changes}{origin}</ul>")
            }
            Action::Delete if operation.members_lost() > 0 => {
                format!(" <span class=why>{} members lose it</span>", operation.members_lost())
            }
            Action::AddMembers(members) => format!(" <span class=plus>+{} members</span>", members.len()),
            Action::RemoveMembers(members) => format!(" <span class=minus>−{} members</span>", members.len()),
            _ => String::new(),
        };
        format!("<b>{}</b> {whom}{}{more}", word(operation), why(operation))
    }

    /// The members of a held list.
    fn members(&self, operation: Operation<'_>) -> String {
        let (Action::AddMembers(members) | Action::RemoveMembers(members)) = operation.action() else {
            return String::new();
        };
        let (class, sign) = (sign(operation), if sign(operation) == "plus" { '+' } else { '−' });
        let mut rows = Rows::new(self.members.get().min(ROWS));
        for member in members.iter() {
            rows.add(class, || format!("<b>{sign}</b> {}", subject(member)));
        }
        self.members.set(self.members.get().saturating_sub(rows.shown()));
        let (count, rows) = (members.len(), rows.finish());
        format!("<details><summary>{count} members</summary>\n{rows}</details>")
    }

    fn values(&self, kind: Kind, values: &[(&str, &str)]) -> String {
        let rows: String = values
            .iter()
            .map(|(name, value)| format!("<li>{}: {}</li>", Text(name), self.value(kind, name, value)))
            .collect();
        format!("<ul class=values>{rows}</ul>")
    }

    fn change(&self, kind: Kind, change: &Change) -> String {
        let list = |values: &[String]| {
            let values: Vec<String> =
                values.iter().map(|value| self.value(kind, &change.attribute, value)).collect();
            if values.is_empty() { "<i>nothing</i>".to_owned() } else { values.join(", ") }
        };
        format!(
            "<li>{}: <del>{}</del> → <ins>{}</ins></li>",
            Text(&change.attribute),
            list(&change.old),
            list(&change.new)
        )
    }

    /// A value, or of a sensitive one how long it is.
    fn value(&self, kind: Kind, attribute: &str, value: &str) -> String {
        if self.plan.is_sensitive(kind, attribute) {
            return format!("<i>[redacted, {} bytes]</i>", value.len());
        }
        format!("<bdi>{}</bdi>", Text(value))
    }

    /// Over which groups somebody came in, where that is more than a step.
    fn path(&self, group: Option<Subject<'_>>, user: Subject<'_>) -> String {
        let (Some(evidence), Some(user)) = (self.extras.evidence, user.anchor()) else {
            return String::new();
        };
        let Some(left) = self.paths.get().checked_sub(1) else { return String::new() };
        self.paths.set(left);
        let user = SourceAnchor::from(user);
        let path = match group {
            Some(group) => match group.anchor().map(SourceAnchor::from) {
                Some(group) => evidence.explain_membership(&group, &user).ok().flatten(),
                None => None,
            },
            None => match evidence.explain(&user) {
                Ok(Explanation::Entitled { path }) => Some(path),
                _ => None,
            },
        };
        match path.as_deref() {
            None | Some([]) => String::new(),
            Some([_]) => " <span class=why>assigned directly</span>".to_owned(),
            Some([_, _]) if group.is_some() => String::new(),
            Some(path) => {
                let names: Vec<String> = path
                    .iter()
                    .map(|anchor| format!("<bdi>{}</bdi>", Text(&self.name(anchor.as_str()))))
                    .collect();
                format!(" <span class=why>by {}</span>", names.join(" → "))
            }
        }
    }

    fn name(&self, anchor: &str) -> String {
        let names = self.names.borrow();
        let known = names.get(anchor).copied().or_else(|| self.extras.names.get(anchor).map(String::as_str));
        known.unwrap_or(anchor).to_owned()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Yes,
    No,
}

impl Open {
    fn attribute(self) -> &'static str {
        if self == Self::Yes { " open" } else { "" }
    }
}

fn section(id: &str, title: &str, body: &str) -> String {
    format!("<section data-section aria-labelledby={id}>\n<h2 id={id}>{title}</h2>\n{body}</section>\n")
}

fn fold(title: &str, count: usize, body: &str, open: Open) -> String {
    format!(
        "<details data-part{}><summary>{title} <span class=count>{count}</span></summary>\n{body}</details>\n",
        open.attribute()
    )
}

fn titled(id: &str, title: &str, rows: Rows, count: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    section(id, &format!("{title} ({count})"), &rows.finish())
}

/// The colour of an operation; the word says the same.
fn sign(operation: Operation<'_>) -> &'static str {
    match operation.action() {
        Action::CreateUser { .. } | Action::CreateGroup { .. } | Action::Adopt => "plus",
        Action::Reactivate | Action::AddMembers(_) => "plus",
        Action::Update { .. } => "change",
        _ => "minus",
    }
}

fn word(operation: Operation<'_>) -> &'static str {
    match operation.action() {
        Action::CreateUser { .. } | Action::CreateGroup { .. } => "create",
        Action::Adopt => "adopt",
        Action::Update { .. } => "update",
        Action::Deactivate => "make inactive",
        Action::Reactivate => "make active",
        Action::Delete => "delete",
        Action::AddMembers(_) => "add members",
        Action::RemoveMembers(_) => "remove members",
        _ => "other",
    }
}

fn why(operation: Operation<'_>) -> String {
    let cause: Cause = operation.cause();
    let approved = if operation.is_approved() { ", approved" } else { "" };
    let was_held = operation.was_held().map(|since| format!(", was held since {}", time::show(since)));
    format!(" <span class=why>{}{approved}{}</span>", Shown(cause), was_held.unwrap_or_default())
}
