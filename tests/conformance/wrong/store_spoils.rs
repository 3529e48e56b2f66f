//! More of how the bent store writes: faults of creates, of updates, and of groups.

use identity_sync::memory::MemoryRecord;
use identity_sync::{
    Attributes, Change, DeactivatedBy, ErrorKind, ExternalId, Origin, StoreError, StoreId, Version, Write,
    Written,
};

use super::store::Bent;
use super::store_faults::Wrong;

type Answer = Result<Written, StoreError>;

fn exists() -> StoreError {
    StoreError::new(ErrorKind::AlreadyExists, "is taken")
}

fn version(record: &MemoryRecord) -> String {
    record.version.to_string()
}

/// Answers with a version that grows.
fn changed(record: &mut MemoryRecord) -> Answer {
    record.version += 1;
    Ok(Written::done().with_version(version(record)))
}

fn put(record: &mut MemoryRecord, attributes: Attributes<'_>) {
    record.attributes.clear();
    for (name, value) in attributes.iter() {
        record.attributes.entry(name.to_owned()).or_default().push(value.to_owned());
    }
}

/// Writes without looking at anything but the version.
fn overwrite(record: &mut MemoryRecord, expected: Option<&Version>, changes: &[Change]) -> Option<Answer> {
    if expected.is_some_and(|expected| expected.as_str() != version(record)) {
        return None;
    }
    for change in changes {
        record.attributes.insert(change.attribute.clone(), change.new.clone());
    }
    Some(changed(record))
}

fn renames(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.attribute == "userName")
}

impl Bent {
    /// What takes the place of a right create.
    pub(super) fn changed_create(&self, write: &Write<'_>) -> Option<Answer> {
        let mut state = self.inner.state();
        match (self.wrong, write) {
            (Wrong::LinksByKind, Write::CreateGroup { external_id, .. }) => {
                let taken = state.users.values().any(|user| user.external_ids.contains(external_id));
                drop(state);
                taken.then(|| self.create_blindly(write))
            }
            (Wrong::LinksFolded, Write::CreateUser { external_id, .. }) => {
                let folded = |link: &ExternalId| link.value.as_str().to_lowercase();
                let mut links = state.users.values().flat_map(|user| &user.external_ids);
                links.any(|link| folded(link) == folded(external_id)).then(|| Err(exists()))
            }
            (Wrong::NamesStayTaken, Write::CreateUser { attributes, .. }) => {
                let name = attributes.get("userName")?;
                self.names.lock().unwrap().contains(name).then(|| Err(exists()))
            }
            (Wrong::OneNamespace, Write::CreateGroup { attributes, .. }) => {
                let name = attributes.get("displayName")?.to_owned();
                let mut names = state.users.values().filter_map(|user| user.attributes.get("userName"));
                names.any(|held| held.contains(&name)).then(|| Err(exists()))
            }
            (Wrong::CreateOverwrites, Write::CreateUser { external_id, attributes, .. }) => {
                let mut there = state.users.iter_mut();
                let (id, record) = there.find(|(_, user)| user.external_ids.contains(external_id))?;
                put(record, *attributes);
                record.version += 1;
                Some(Ok(Written::created(id.as_str()).with_version(version(record))))
            }
            (Wrong::CreateTakesOver, Write::CreateUser { external_id, attributes, .. }) => {
                let name = attributes.get("userName")?.to_owned();
                let mut there = state.users.iter_mut().filter(|(_, user)| user.external_ids.is_empty());
                let same = |user: &MemoryRecord| user.attributes.get("userName") == Some(&vec![name.clone()]);
                let (id, record) = there.find(|(_, user)| same(user))?;
                put(record, *attributes);
                record.external_ids.push((*external_id).clone());
                record.version += 1;
                Some(Ok(Written::created(id.as_str()).with_version(version(record))))
            }
            _ => None,
        }
    }

    /// What takes the place of a right write to a user.
    pub(super) fn changed_update(&self, write: &Write<'_>) -> Option<Answer> {
        let mut state = self.inner.state();
        match (self.wrong, write) {
            (Wrong::OriginStays, Write::UpdateUser { id, origin: Some(_), changes: [], .. }) => {
                Some(changed(state.users.get_mut(id.as_str())?))
            }
            (Wrong::UniqueAtCreateOnly, Write::UpdateUser { id, version, changes, .. }) => {
                overwrite(state.users.get_mut(id.as_str())?, *version, changes)
            }
            (Wrong::ClearsRequired, Write::UpdateUser { id, version, changes, .. }) => {
                let clears = renames(changes) && changes.iter().any(|change| change.new.is_empty());
                clears.then(|| overwrite(state.users.get_mut(id.as_str())?, *version, changes))?
            }
            (Wrong::RenameLosesMemberships, Write::UpdateUser { id, changes, .. }) if renames(changes) => {
                state.groups.values_mut().for_each(|group| {
                    group.members.remove(id.as_str());
                });
                None
            }
            (Wrong::LockLeavesGroups, Write::SetActive { id, active: false, .. })
            | (Wrong::AdoptLeavesGroups, Write::Adopt { id, .. }) => {
                state.groups.values_mut().for_each(|group| {
                    group.members.remove(id.as_str());
                });
                None
            }
            (Wrong::ReactivationIsLost, Write::SetActive { id, active: true, .. }) => {
                Some(changed(state.users.get_mut(id.as_str())?))
            }
            (Wrong::DeletesTwins, Write::DeleteUser { id, .. }) => {
                let links = state.users.get(id.as_str())?.external_ids.clone();
                let is_twin = |user: &MemoryRecord| {
                    user.external_ids.iter().any(|link| links.iter().any(|own| own.value == link.value))
                };
                state.users.retain(|other, user| other == id.as_str() || !is_twin(user));
                None
            }
            _ => None,
        }
    }

    /// What takes the place of a right write to a group.
    pub(super) fn changed_group(&self, write: &Write<'_>) -> Option<Answer> {
        let mut state = self.inner.state();
        match (self.wrong, write) {
            (Wrong::GoneIsDone, Write::DeleteUser { id, .. }) => {
                (!state.users.contains_key(id.as_str())).then(|| Ok(Written::done()))
            }
            (Wrong::GoneIsDone, Write::DeleteGroup { id, .. }) => {
                (!state.groups.contains_key(id.as_str())).then(|| Ok(Written::done()))
            }
            (Wrong::GroupUpdateDropsMembers, Write::UpdateGroup { id, .. }) => {
                state.groups.get_mut(id.as_str())?.members.clear();
                None
            }
            (Wrong::GroupDeleteEmptiesOthers, Write::DeleteGroup { id, .. }) => {
                let gone = state.groups.get(id.as_str())?.members.clone();
                for group in state.groups.values_mut() {
                    group.members.retain(|member| !gone.contains(member));
                }
                None
            }
            (Wrong::RemovesEverywhere, Write::RemoveMembers { members, .. }) => {
                for group in state.groups.values_mut() {
                    members.iter().for_each(|member| {
                        group.members.remove(member.as_str());
                    });
                }
                None
            }
            (Wrong::RemovesOneTooMany, Write::RemoveMembers { id, members, .. }) => {
                let group = state.groups.get_mut(id.as_str())?;
                for member in *members {
                    if !group.members.remove(member.as_str()) {
                        group.members.pop_first();
                    }
                }
                None
            }
            _ => None,
        }
    }

    /// What happens after a write that should not, and what is answered then.
    pub(super) fn spoilt(&self, write: &Write<'_>, written: Written) -> Answer {
        let mut state = self.inner.state();
        let created = written.id.as_ref().map(StoreId::as_str).unwrap_or_default();
        match (self.wrong, write) {
            (Wrong::DropsUnknown, Write::CreateUser { .. }) => {
                state.users.get_mut(created).unwrap().attributes.remove("title");
            }
            (Wrong::GroupsBare, Write::CreateGroup { .. }) => {
                state.groups.get_mut(created).unwrap().attributes.retain(|name, _| name == "displayName");
            }
            (Wrong::FirstValueOnly, Write::CreateUser { .. }) => {
                let user = state.users.get_mut(created).unwrap();
                user.attributes.values_mut().for_each(|values| values.truncate(1));
            }
            (Wrong::CutsLongValues, Write::CreateUser { .. }) => {
                let user = state.users.get_mut(created).unwrap();
                for value in user.attributes.values_mut().flatten() {
                    *value = value.chars().take(64).collect();
                }
            }
            (Wrong::UpdateResetsOrigin, Write::UpdateUser { id, .. }) => {
                state.users.get_mut(id.as_str()).unwrap().origin = Some(Origin::Synced);
            }
            (Wrong::GroupRenameLosesMembers, Write::UpdateGroup { id, changes, .. })
                if changes.iter().any(|change| change.attribute == "displayName") =>
            {
                state.groups.get_mut(id.as_str()).unwrap().members.clear();
            }
            (Wrong::NamesStayTaken, Write::CreateUser { .. }) => {
                let names = state.users.values().filter_map(|user| user.attributes.get("userName"));
                self.names.lock().unwrap().extend(names.flatten().cloned());
            }
            (Wrong::RenameMakesNew, Write::UpdateUser { id, changes, .. }) if renames(changes) => {
                let record = state.users.remove(id.as_str()).unwrap();
                let (new, answer) = (format!("{id}-renamed"), Written::done().with_version(version(&record)));
                for group in state.groups.values_mut() {
                    if group.members.remove(id.as_str()) {
                        group.members.insert(new.clone());
                    }
                }
                state.users.insert(new, record);
                return Ok(answer);
            }
            (Wrong::LockWipes, Write::SetActive { id, active: false, .. }) => {
                state.users.get_mut(id.as_str()).unwrap().attributes.retain(|name, _| name == "userName");
            }
            (Wrong::LockForgetsWho, Write::SetActive { id, active: false, .. }) => {
                state.users.get_mut(id.as_str()).unwrap().deactivated_by = DeactivatedBy::Other;
            }
            (Wrong::LockKeepsVersion, Write::SetActive { id, .. }) => {
                let user = state.users.get_mut(id.as_str()).unwrap();
                user.version -= 1;
                return Ok(Written::done().with_version(version(user)));
            }
            (Wrong::MembersKeepVersion, Write::AddMembers { id, .. } | Write::RemoveMembers { id, .. }) => {
                let group = state.groups.get_mut(id.as_str()).unwrap();
                group.version -= 1;
                return Ok(Written::done().with_version(version(group)));
            }
            (Wrong::EmptyGroupsVanish, Write::RemoveMembers { .. }) => {
                state.groups.retain(|_, group| !group.members.is_empty());
            }
            (Wrong::RemovalDeactivates, Write::RemoveMembers { members, .. }) => {
                for member in *members {
                    let stays = state.groups.values().any(|group| group.members.contains(member.as_str()));
                    state.users.get_mut(member.as_str()).into_iter().for_each(|user| user.active &= stays);
                }
            }
            _ => {}
        }
        Ok(written)
    }

    pub(super) fn name_is_taken(&self, write: &Write<'_>) -> bool {
        let Some((attribute, name)) = name_of(write) else { return false };
        let state = self.inner.state();
        let users = matches!(write, Write::CreateUser { .. });
        let mut records = if users { state.users.values() } else { state.groups.values() };
        records.any(|record| record.attributes.get(attribute).is_some_and(|held| held.contains(&name)))
    }

    /// Creates though somebody else may have taken the name meanwhile.
    pub(super) fn create_beside(&self, write: &Write<'_>) -> Answer {
        let Some((attribute, name)) = name_of(write) else { return self.inner_write(write) };
        let taken = vec![name];
        let rename = |from: &[String], to: &[String]| {
            let mut state = self.inner.state();
            let state = &mut *state;
            for record in state.users.values_mut().chain(state.groups.values_mut()) {
                let held = record.attributes.get_mut(attribute).filter(|held| *held == from);
                held.into_iter().for_each(|held| *held = to.to_vec());
            }
        };
        let aside = vec!["set aside".to_owned()];
        rename(&taken, &aside);
        let answer = self.inner_write(write);
        rename(&aside, &taken);
        answer
    }
}

/// The unique name that a create asks for.
fn name_of(write: &Write<'_>) -> Option<(&'static str, String)> {
    let (attribute, attributes) = match write {
        Write::CreateUser { attributes, .. } => ("userName", attributes),
        Write::CreateGroup { attributes, .. } => ("displayName", attributes),
        _ => return None,
    };
    Some((attribute, attributes.get(attribute)?.to_owned()))
}
