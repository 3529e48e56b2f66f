//! Who has access: gives it, takes it back, shows and explains it.

use std::process::ExitCode;

use identity_sync::{
    Assignments, Escaped, Explanation, Extent, ExternalId, Host, IdentityStore as _, Members, Principal, Run,
    SourceAnchor, StoreCapabilities, StoreId, StoreSnapshot, Write, WriteBatch, plan, sign_in,
};

use crate::Operator;
use crate::common::people::{People, read_all};
use crate::common::records::Records;
use crate::common::review::{plan_text, show_plans_for};
use crate::common::{self, Trouble};

impl Operator {
    pub(crate) async fn people(&self) -> Result<People, Trouble> {
        Ok(read_all(&self.config.source(self.now)?).await?.0)
    }

    pub(crate) fn principal(&self, anchor: SourceAnchor) -> Principal {
        Principal::External(ExternalId { issuer: self.config.issuer.clone(), value: anchor })
    }

    pub(crate) async fn assign(&self, names: &[String]) -> Result<ExitCode, Trouble> {
        let people = self.people().await?;
        // All names are looked up first: a slip in the last one changes nothing.
        let anchors = names.iter().map(|name| people.find(name)).collect::<Result<Vec<_>, _>>()?;
        for anchor in anchors {
            let new = self.store.assign(&self.principal(anchor.clone()))?;
            say!("{}: {}", if new { "assigned" } else { "was assigned already" }, people.show(&anchor));
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) async fn unassign(&self, names: &[String]) -> Result<ExitCode, Trouble> {
        let people = self.people().await?;
        let assigned = self.store.assignments()?;
        let mut principals = Vec::new();
        for name in names {
            // Who is not in the export any more can still be named by his anchor, as `assignments` shows it.
            let by_anchor = |principal: &&Principal| match principal {
                Principal::External(id) => id.value.as_str() == name,
                Principal::Stored(id) => id.as_str() == name,
            };
            principals.push(match assigned.iter().find(by_anchor) {
                Some(principal) => principal.clone(),
                None => self.principal(people.find(name)?),
            });
        }
        for principal in principals {
            let was = self.store.unassign(&principal)?;
            let whom = self.show(&people, &principal);
            say!("{}: {whom}", if was { "not assigned any more" } else { "was not assigned" });
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) fn show(&self, people: &People, principal: &Principal) -> String {
        match principal {
            Principal::External(id) if id.issuer == self.config.issuer => people.show(&id.value),
            other => other.to_string(),
        }
    }

    pub(crate) async fn assignments(&self) -> Result<ExitCode, Trouble> {
        let people = self.people().await?;
        for principal in self.store.assignments()? {
            say!("{}", self.show(&people, &principal));
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) async fn explain(&self, name: &str) -> Result<ExitCode, Trouble> {
        let source = self.config.source(self.now)?;
        let (people, snapshot) = read_all(&source).await?;
        let records = Records::read(&self.store).await?;
        let anchor = match (people.find(name), records.find(name)) {
            (Ok(anchor), _) => anchor,
            // Somebody who was deleted in the directory is still known to the store.
            (Err(error), Ok(user)) => user.anchor(&self.config.issuer).ok_or(error)?.clone(),
            (Err(error), Err(_)) => return Err(error.into()),
        };
        say!("{}", people.show(&anchor));
        let entitled = people.has(&anchor) && self.why(&people, &snapshot, &anchor)?;
        match records.of_anchor(&self.config.issuer, &anchor) {
            Some(user) => {
                let (state, origin) = (user.state(), user.origin(&self.config.issuer));
                say!("record {}: {}, {state}, {origin}", user.id, user.name());
                let groups = records.groups_of(&user.id);
                say!("member of: {}", if groups.is_empty() { "nothing".into() } else { groups.join(", ") });
            }
            None => match records.group_of_anchor(&self.config.issuer, &anchor) {
                Some(group) => {
                    say!("record {}: {}, {} members", group.id, group.name(), group.members.len())
                }
                None => say!("no record"),
            },
        }
        match self.decide(&self.run(&[])?, Extent::Full).await {
            Ok(found) => show_plans_for(&found.plan, &anchor),
            Err(error) => say!("no plan: {}", common::line(&error)),
        }
        Ok(if entitled { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    /// Says over which path somebody is entitled, or what would make him so.
    pub(crate) fn why(
        &self,
        people: &People,
        snapshot: &identity_sync::SourceSnapshot,
        anchor: &SourceAnchor,
    ) -> Result<bool, Trouble> {
        // No record is looked at: who is entitled depends on the directory and the assignments alone.
        let mut capabilities = StoreCapabilities::named("none");
        capabilities.members = Members::Unlisted;
        let store = StoreSnapshot::builder(capabilities).finish(identity_sync::Completeness::Complete);
        let assignments = Assignments::complete(self.store.assignments()?);
        let mut options = self.config.options.clone();
        options.soft_match = identity_sync::SoftMatch::default();
        let found = plan(snapshot, &store, &assignments, &options, &Run::at(self.now))?;
        Ok(match found.evidence.explain(anchor)? {
            Explanation::Entitled { path } if path.len() == 1 => {
                say!("entitled: assigned directly");
                true
            }
            Explanation::Entitled { path } => {
                say!("entitled: {}", people.path(&path));
                true
            }
            Explanation::NotEntitled { nearest: Some(path) } => {
                say!("not entitled; an assignment of the first would do: {}", people.path(&path));
                false
            }
            _ => {
                say!("not entitled: not assigned, and in no group");
                false
            }
        })
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Result<ExitCode, Trouble> {
        let anchor = match self.people().await?.find(name) {
            Ok(anchor) => anchor,
            Err(error) => {
                let records = Records::read(&self.store).await?;
                let user = records.find(name).map_err(|_| error)?;
                user.anchor(&self.config.issuer).ok_or("the record is not of this directory")?.clone()
            }
        };
        let source = self.config.source(self.now)?;
        let (run, host) = (self.run(&[])?, Host::new());
        let signed = sign_in(&source, &self.store, &anchor, &self.config.options, &run, &host).await;
        let signed = signed.map_err(common::advise)?;
        common::show(&plan_text(&signed.plan));
        if !signed.report.is_success() {
            say!("report: {}", signed.report);
        }
        say!("may come in: {}", if signed.allowed { "yes" } else { "no" });
        Ok(if signed.allowed { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    pub(crate) async fn users(&self) -> Result<ExitCode, Trouble> {
        for user in Records::read(&self.store).await?.users {
            let (state, origin) = (user.state(), user.origin(&self.config.issuer));
            say!("{}  {state:8}  {origin:8}  {}", user.id, user.name());
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) async fn groups(&self, names: &[String]) -> Result<ExitCode, Trouble> {
        let records = Records::read(&self.store).await?;
        for name in names {
            if !records.groups.iter().any(|group| group.name() == *name) {
                return Err(format!("no group of the store is called {}", Escaped(name)).into());
            }
        }
        for group in records.groups.iter().filter(|group| names.is_empty() || names.contains(&group.name())) {
            let ours = if group.is_ours(&self.config.issuer) { "" } else { ", not ours" };
            say!("{}  {}: {} members{ours}", group.id, group.name(), group.members.len());
            for member in group.members.iter().filter(|_| !names.is_empty()) {
                say!("    {}", records.name_of(member));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) async fn set_active(&self, name: &str, lock: Lock) -> Result<ExitCode, Trouble> {
        let records = Records::read(&self.store).await?;
        // To lock somebody must not depend on an export that can be read.
        let people = self.people().await;
        let anchor = people.as_ref().ok().and_then(|people| people.find(name).ok());
        let user = match (records.find_with(name, &self.config.issuer, anchor.as_ref()), &people) {
            (Ok(user), _) => user,
            (Err(error), Ok(_)) => return Err(error.into()),
            (Err(error), Err(unread)) => {
                return Err(
                    format!("{error}, and only records could be searched: {}", common::line(unread)).into()
                );
            }
        };
        if lock == Lock::Open && user.state() == "inactive" {
            return Err(
                format!("{} is not locked: the sync made him inactive; see `explain`", user.name()).into()
            );
        }
        let why_not = match user.anchor(&self.config.issuer) {
            Some(anchor) if lock == Lock::Open && user.state() == "locked" => people?.why_not_enabled(anchor),
            _ => None,
        };
        if let Some(why_not) = why_not {
            self.hand_back(&user.id).await?;
            say!("unlocked: {} (record {})", user.name(), user.id);
            say!(
                "{why_not}; it stays inactive until it is enabled there, and `apply` (where entitled) or a sign-in makes it active"
            );
            return Ok(ExitCode::SUCCESS);
        }
        let changed = self.store.set_active(&user.id, lock == Lock::Open)?;
        let what = match (lock, changed) {
            (Lock::Closed, true) => "locked",
            (Lock::Closed, false) => "was locked already",
            (Lock::Open, true) => "unlocked",
            (Lock::Open, false) => "was not locked",
        };
        say!("{what}: {} (record {})", user.name(), user.id);
        Ok(ExitCode::SUCCESS)
    }

    /// Makes a lock one of the sync's own, without access in between: a batch is one transaction of this store.
    pub(crate) async fn hand_back(&self, id: &StoreId) -> Result<(), Trouble> {
        let mut batch = WriteBatch::new();
        batch.push(Write::SetActive { id, version: None, active: true });
        batch.push(Write::SetActive { id, version: None, active: false });
        self.store.write(&mut batch).await?;
        for answer in batch.into_answers() {
            answer.ok_or("the store did not answer")??;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lock {
    Open,
    Closed,
}
