//! How the bent store writes: what takes the place of a right write, and what happens after it.

use std::collections::BTreeSet;

use identity_sync::{
    DeactivatedBy, ErrorKind, IdentityStore, Kind, StoreError, StoreId, Version, Write, WriteBatch, Written,
};

use super::store::{Bent, CUT};
use super::store_faults::Wrong;

impl Bent {
    /// Does one write, in the way of this store.
    pub(super) fn perform(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let before = self.inner.state().clone();
        let instead = self.changed(write).or_else(|| self.changed_create(write));
        let instead = instead.or_else(|| self.changed_update(write)).or_else(|| self.changed_group(write));
        let answer = instead.unwrap_or_else(|| self.inner_write(write));
        let answer = self.afterwards(write, answer).and_then(|written| self.spoilt(write, written));
        match answer {
            Err(_) if self.is(Wrong::RefusedAsDone) => Ok(Written::done()),
            Ok(written) if self.is(Wrong::AnswersOldVersion) && !is_create(write) => {
                let old = id_of(write).and_then(|id| before.users.get(id).or(before.groups.get(id)));
                Ok(old.map_or(written, |old| Written::done().with_version(old.version.to_string())))
            }
            answer => answer,
        }
    }

    pub(super) fn inner_write(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let mut batch = WriteBatch::new();
        let blind =
            self.is(Wrong::IgnoresVersion) || self.is(Wrong::ComparesAnyVersion) && self.is_known(write);
        batch.push(if blind { unconditional(write) } else { write.clone() });
        pollster::block_on(self.inner.write(&mut batch)).unwrap();
        batch.into_answers().next().flatten().unwrap()
    }

    /// Whether any record has the version that this one should have.
    fn is_known(&self, write: &Write<'_>) -> bool {
        let state = self.inner.state();
        let mut all = state.users.values().chain(state.groups.values());
        version_of(write).is_some_and(|known| all.any(|record| record.version.to_string() == known.as_str()))
    }

    /// What takes the place of a right write.
    fn changed(&self, write: &Write<'_>) -> Option<Result<Written, StoreError>> {
        let mut state = self.inner.state();
        match (self.wrong, write) {
            (Wrong::DeletePretends, Write::DeleteUser { id, .. }) => {
                state.users.contains_key(id.as_str()).then(|| Ok(Written::done()))
            }
            (
                Wrong::LinksAnyIssuer,
                Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. },
            ) => {
                let mut all = state.users.values().chain(state.groups.values()).flat_map(|r| &r.external_ids);
                let taken = all.any(|link| link.value == external_id.value);
                taken.then(|| Err(StoreError::new(ErrorKind::AlreadyExists, "this external id is taken")))
            }
            (Wrong::KeepsLinks, Write::DeleteUser { id, .. }) => {
                let links = state.users.get(id.as_str())?.external_ids.clone();
                self.ghosts.lock().unwrap().extend(links);
                None
            }
            (Wrong::KeepsLinks, Write::CreateUser { external_id, .. }) => {
                let kept = self.ghosts.lock().unwrap().contains(external_id);
                kept.then(|| {
                    Err(StoreError::new(ErrorKind::AlreadyExists, "this external id was used before"))
                })
            }
            (Wrong::ExistsAsDone, Write::CreateUser { external_id, .. }) => {
                let mut there = state.users.iter();
                let there = there.find(|(_, record)| record.external_ids.contains(external_id));
                there.map(|(id, record)| {
                    Ok(Written::created(id.as_str()).with_version(record.version.to_string()))
                })
            }
            (Wrong::OwnNameIsTaken, Write::UpdateUser { id, changes, .. }) => {
                let own = state.users.get(id.as_str())?;
                let named = changes.iter().find(|change| change.attribute == "userName")?;
                let mine = own.attributes.get("userName")?.iter().any(|held| named.new.contains(held));
                mine.then(|| Err(StoreError::new(ErrorKind::AlreadyExists, "this name is taken")))
            }
            (Wrong::UpdateReplacesAll, Write::UpdateUser { id, changes, .. }) => {
                let known = ["userName".to_owned()];
                let named =
                    |name: &String| known.contains(name) || changes.iter().any(|c| c.attribute == *name);
                state.users.get_mut(id.as_str())?.attributes.retain(|name, _| named(name));
                None
            }
            (Wrong::AddReplaces, Write::AddMembers { id, .. })
            | (Wrong::RemoveEmpties, Write::RemoveMembers { id, .. }) => {
                state.groups.get_mut(id.as_str())?.members.clear();
                None
            }
            (Wrong::AddRefusesThere, Write::AddMembers { id, members, .. }) => {
                let group = state.groups.get(id.as_str())?;
                let there = members.iter().any(|member| group.members.contains(member.as_str()));
                there.then(|| Err(StoreError::new(ErrorKind::AlreadyExists, "is a member")))
            }
            (Wrong::AddsHalf, Write::AddMembers { id, members, .. }) => {
                let good: BTreeSet<String> = members
                    .iter()
                    .map(|member| member.as_str().to_owned())
                    .filter(|member| state.users.contains_key(member))
                    .collect();
                if good.len() < members.len() {
                    state.groups.get_mut(id.as_str())?.members.extend(good);
                }
                None
            }
            (Wrong::AdoptOverwrites, Write::Adopt { kind, id, external_id, .. }) => {
                let records = if *kind == Kind::User { &mut state.users } else { &mut state.groups };
                let record = records.get_mut(id.as_str())?;
                record.external_ids = vec![(*external_id).clone()];
                record.version += 1;
                Some(Ok(Written::done().with_version(record.version.to_string())))
            }
            (Wrong::AdoptsTwice, Write::Adopt { kind, id, external_id, .. }) => {
                let records = if *kind == Kind::User { &mut state.users } else { &mut state.groups };
                let record = records.get_mut(id.as_str()).filter(|record| record.external_ids.is_empty())?;
                record.external_ids = vec![(*external_id).clone()];
                record.version += 1;
                Some(Ok(Written::done().with_version(record.version.to_string())))
            }
            _ => None,
        }
    }

    /// What happens after a write that should not.
    fn afterwards(
        &self,
        write: &Write<'_>,
        answer: Result<Written, StoreError>,
    ) -> Result<Written, StoreError> {
        let written = answer?;
        let mut state = self.inner.state();
        let created = written.id.as_ref().map(StoreId::as_str);
        match (self.wrong, write) {
            (Wrong::CreatesActive, Write::CreateUser { .. }) => {
                state.users.get_mut(created.unwrap()).unwrap().active = true;
            }
            (Wrong::Lowers | Wrong::LosesUnicode, Write::CreateUser { .. }) => {
                let record = state.users.get_mut(created.unwrap()).unwrap();
                for value in record.attributes.values_mut().flatten() {
                    let lower = value.to_lowercase();
                    let ascii = value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
                    *value = if self.is(Wrong::Lowers) { lower } else { ascii };
                }
            }
            (Wrong::ReusesIds, Write::CreateUser { .. }) => {
                let record = state.users.remove(created.unwrap()).unwrap();
                let free =
                    (0..).map(|n| format!("u{n:04}")).find(|id| !state.users.contains_key(id)).unwrap();
                state.users.insert(free.clone(), record);
                return Ok(Written::created(free).with_version("1"));
            }
            (Wrong::UpdateAdds, Write::UpdateUser { id, changes, .. }) => {
                let record = state.users.get_mut(id.as_str()).unwrap();
                for change in changes.iter().filter(|change| change.attribute == "emails") {
                    let values = record.attributes.entry(change.attribute.clone()).or_default();
                    values.push("other@example.com".to_owned());
                }
            }
            (Wrong::UpdatesFirstOnly, Write::UpdateUser { id, changes, .. }) => {
                let record = state.users.get_mut(id.as_str()).unwrap();
                for change in changes.iter().skip(1) {
                    record.attributes.insert(change.attribute.clone(), change.old.clone());
                }
            }
            (Wrong::ClearIsLost, Write::UpdateUser { id, changes, .. }) => {
                let record = state.users.get_mut(id.as_str()).unwrap();
                for change in changes.iter().filter(|change| change.new.is_empty()) {
                    record.attributes.insert(change.attribute.clone(), vec!["still there".to_owned()]);
                }
            }
            (Wrong::MembersCut, Write::AddMembers { id, members, .. }) => {
                let group = state.groups.get_mut(id.as_str()).unwrap();
                members.iter().skip(CUT).for_each(|member| {
                    group.members.remove(member.as_str());
                });
            }
            (Wrong::AdoptClears, Write::Adopt { id, .. }) => {
                if let Some(record) = state.users.get_mut(id.as_str()) {
                    record.attributes.retain(|name, _| name == "userName");
                }
            }
            (Wrong::TakesLocks, Write::SetActive { id, active: false, .. }) => {
                state.users.get_mut(id.as_str()).unwrap().deactivated_by = DeactivatedBy::Sync;
            }
            _ => {}
        }
        Ok(written)
    }

    pub(super) fn link_is_taken(&self, write: &Write<'_>) -> bool {
        let (Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. }) = write else {
            return false;
        };
        let state = self.inner.state();
        let mut all = state.users.values().chain(state.groups.values());
        all.any(|record| record.external_ids.contains(external_id))
    }

    /// Creates though somebody else may have done so meanwhile.
    pub(super) fn create_blindly(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let mut set_aside = Vec::new();
        if let Write::CreateUser { external_id, .. } | Write::CreateGroup { external_id, .. } = write {
            let mut state = self.inner.state();
            let state = &mut *state;
            for (id, record) in state.users.iter_mut().chain(state.groups.iter_mut()) {
                if record.external_ids.contains(external_id) {
                    set_aside.push((id.clone(), std::mem::take(&mut record.external_ids)));
                }
            }
        }
        let answer = self.inner_write(write);
        let mut state = self.inner.state();
        for (id, links) in set_aside {
            let record =
                if id.starts_with("user") { state.users.get_mut(&id) } else { state.groups.get_mut(&id) };
            record.unwrap().external_ids = links;
        }
        answer
    }
}

pub(super) fn is_create(write: &Write<'_>) -> bool {
    matches!(write, Write::CreateUser { .. } | Write::CreateGroup { .. })
}

pub(super) fn id_of<'w>(write: &Write<'w>) -> Option<&'w str> {
    match write {
        Write::UpdateUser { id, .. }
        | Write::UpdateGroup { id, .. }
        | Write::SetActive { id, .. }
        | Write::DeleteUser { id, .. }
        | Write::DeleteGroup { id, .. }
        | Write::AddMembers { id, .. }
        | Write::RemoveMembers { id, .. }
        | Write::Adopt { id, .. } => Some(id.as_str()),
        _ => None,
    }
}

fn version_of<'w>(write: &Write<'w>) -> Option<&'w Version> {
    match write {
        Write::UpdateUser { version, .. }
        | Write::UpdateGroup { version, .. }
        | Write::SetActive { version, .. }
        | Write::DeleteUser { version, .. }
        | Write::DeleteGroup { version, .. }
        | Write::AddMembers { version, .. }
        | Write::RemoveMembers { version, .. }
        | Write::Adopt { version, .. } => *version,
        _ => None,
    }
}

fn unconditional<'w>(write: &Write<'w>) -> Write<'w> {
    let mut write = write.clone();
    match &mut write {
        Write::UpdateUser { version, .. }
        | Write::UpdateGroup { version, .. }
        | Write::SetActive { version, .. }
        | Write::DeleteUser { version, .. }
        | Write::DeleteGroup { version, .. }
        | Write::AddMembers { version, .. }
        | Write::RemoveMembers { version, .. }
        | Write::Adopt { version, .. } => *version = None,
        _ => {}
    }
    write
}
