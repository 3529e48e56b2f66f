//! What a store in memory holds, and how it writes.

use std::collections::{BTreeMap, BTreeSet};

use super::Values;
use crate::error::{ErrorKind, StoreError};
use crate::id::{ExternalId, StoreId, Version};
use crate::model::{DeactivatedBy, Kind, Origin};
use crate::store::{Change, MembershipsOnDelete, StoreCapabilities, Write, Written};

/// A record of a [`MemoryStore`](super::MemoryStore).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its links.
    pub external_ids: Vec<ExternalId>,
    /// Its attributes.
    pub attributes: Values,
    /// Users: whether it may use the application.
    pub active: bool,
    /// Users that are inactive: who made them so.
    pub deactivated_by: DeactivatedBy,
    /// Users: how it came here.
    pub origin: Option<Origin>,
    /// Groups: the ids of its members.
    pub members: BTreeSet<String>,
    /// Grows with every change.
    pub version: u64,
}

impl Default for MemoryRecord {
    fn default() -> Self {
        Self {
            external_ids: Vec::new(),
            attributes: Values::new(),
            active: true,
            deactivated_by: DeactivatedBy::Other,
            origin: None,
            members: BTreeSet::new(),
            version: 1,
        }
    }
}

/// What a [`MemoryStore`](super::MemoryStore) holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// Users by store id.
    pub users: BTreeMap<String, MemoryRecord>,
    /// Groups by store id.
    pub groups: BTreeMap<String, MemoryRecord>,
    pub(super) next: u64,
}

pub(super) fn not_found() -> StoreError {
    StoreError::new(ErrorKind::NotFound, "no such record")
}

impl MemoryState {
    pub(super) fn write(
        &mut self,
        capabilities: &StoreCapabilities,
        write: &Write<'_>,
    ) -> Result<Written, StoreError> {
        match write {
            Write::CreateUser { external_id, attributes, active, origin } => {
                let record = MemoryRecord {
                    active: *active,
                    deactivated_by: DeactivatedBy::Sync,
                    origin: Some(*origin),
                    ..MemoryRecord::default()
                };
                self.create(capabilities, Kind::User, record, external_id, *attributes)
            }
            Write::CreateGroup { external_id, attributes } => {
                self.create(capabilities, Kind::Group, MemoryRecord::default(), external_id, *attributes)
            }
            Write::Adopt { kind, id, version, external_id } => {
                self.check_link(external_id)?;
                let records = match kind {
                    Kind::User => &mut self.users,
                    Kind::Group => &mut self.groups,
                };
                let record = expect(records, id, *version)?;
                if !record.external_ids.is_empty() {
                    return Err(StoreError::new(ErrorKind::Conflict, "the record has an external id"));
                }
                record.external_ids.push((*external_id).clone());
                if *kind == Kind::User {
                    record.origin = Some(Origin::Synced);
                }
                Ok(changed(record))
            }
            Write::UpdateUser { id, version, changes, origin } => {
                self.check_changes(capabilities, Kind::User, id, changes)?;
                let record = expect(&mut self.users, id, *version)?;
                set(record, changes);
                record.origin = origin.or(record.origin);
                Ok(changed(record))
            }
            Write::UpdateGroup { id, version, changes } => {
                self.check_changes(capabilities, Kind::Group, id, changes)?;
                let record = expect(&mut self.groups, id, *version)?;
                set(record, changes);
                Ok(changed(record))
            }
            Write::SetActive { id, version, active } => {
                let record = expect(&mut self.users, id, *version)?;
                // An administrator's lock stays his.
                if record.active && !active {
                    record.deactivated_by = DeactivatedBy::Sync;
                }
                record.active = *active;
                Ok(changed(record))
            }
            Write::DeleteUser { id, version } => {
                expect(&mut self.users, id, *version)?;
                self.users.remove(id.as_str());
                self.leave_groups(capabilities, id);
                Ok(Written::done())
            }
            Write::DeleteGroup { id, version } => {
                expect(&mut self.groups, id, *version)?;
                self.groups.remove(id.as_str());
                self.leave_groups(capabilities, id);
                Ok(Written::done())
            }
            Write::AddMembers { id, version, members } => {
                if members.iter().any(|member| !self.users.contains_key(member.as_str())) {
                    return Err(not_found());
                }
                let record = expect(&mut self.groups, id, *version)?;
                record.members.extend(members.iter().map(|member| member.as_str().to_owned()));
                Ok(changed(record))
            }
            Write::RemoveMembers { id, version, members } => {
                let record = expect(&mut self.groups, id, *version)?;
                for member in *members {
                    record.members.remove(member.as_str());
                }
                Ok(changed(record))
            }
        }
    }

    /// A store that does not cascade keeps the memberships of whoever is deleted, as a list of ids does.
    fn leave_groups(&mut self, capabilities: &StoreCapabilities, id: &StoreId) {
        if capabilities.memberships_on_delete == MembershipsOnDelete::Cascade {
            for group in self.groups.values_mut() {
                group.members.remove(id.as_str());
            }
        }
    }

    fn check_link(&self, external_id: &ExternalId) -> Result<(), StoreError> {
        let mut linked =
            self.users.values().chain(self.groups.values()).flat_map(|record| &record.external_ids);
        match linked.any(|link| link == external_id) {
            true => Err(StoreError::new(ErrorKind::AlreadyExists, "a record with this external id exists")),
            false => Ok(()),
        }
    }

    fn create(
        &mut self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        mut record: MemoryRecord,
        external_id: &ExternalId,
        attributes: crate::Attributes<'_>,
    ) -> Result<Written, StoreError> {
        self.check_link(external_id)?;
        for (name, value) in attributes.iter() {
            record.attributes.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        self.check(capabilities, kind, None, &record.attributes)?;
        record.external_ids.push(external_id.clone());
        self.next += 1;
        let (prefix, records) = match kind {
            Kind::User => ("user", &mut self.users),
            Kind::Group => ("group", &mut self.groups),
        };
        let id = format!("{prefix}-{}", self.next);
        let version = record.version.to_string();
        records.insert(id.clone(), record);
        Ok(Written::created(id).with_version(version))
    }

    fn check_changes(
        &self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        id: &StoreId,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let records = match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        };
        if !records.contains_key(id.as_str()) {
            return Err(not_found());
        }
        // What an update does not touch is not its fault.
        let changed = changes.iter().map(|change| (change.attribute.clone(), change.new.clone())).collect();
        self.check(capabilities, kind, Some(id.as_str()), &changed)
    }

    /// Unique, required and single values.
    fn check(
        &self,
        capabilities: &StoreCapabilities,
        kind: Kind,
        own: Option<&str>,
        attributes: &Values,
    ) -> Result<(), StoreError> {
        let (records, schemas) = match kind {
            Kind::User => (&self.users, &capabilities.users),
            Kind::Group => (&self.groups, &capabilities.groups),
        };
        for (name, values) in attributes {
            if values.len() > 1 && !capabilities.schema(kind, name).multi_valued {
                return Err(StoreError::new(
                    ErrorKind::Invalid,
                    "more than one value for a single-valued attribute",
                ));
            }
        }
        for (name, schema) in schemas {
            let values = match (attributes.get(name), own) {
                (Some(values), _) => values.as_slice(),
                (None, None) => &[],
                (None, Some(_)) => continue,
            };
            if schema.required && values.iter().all(|value| value.trim().is_empty()) {
                return Err(StoreError::new(ErrorKind::Invalid, "a required attribute has no value"));
            }
            if !schema.unique {
                continue;
            }
            let keys: BTreeSet<_> = values.iter().map(|value| schema.matching.key(value)).collect();
            let mut others = records.iter().filter(|(id, _)| Some(id.as_str()) != own);
            let taken = others.any(|(_, other)| {
                let held = other.attributes.get(name);
                held.into_iter().flatten().any(|value| keys.contains(&schema.matching.key(value)))
            });
            if taken {
                return Err(StoreError::new(ErrorKind::AlreadyExists, "a unique value is taken"));
            }
        }
        Ok(())
    }
}

fn expect<'m>(
    records: &'m mut BTreeMap<String, MemoryRecord>,
    id: &StoreId,
    version: Option<&Version>,
) -> Result<&'m mut MemoryRecord, StoreError> {
    let record = records.get_mut(id.as_str()).ok_or_else(not_found)?;
    match version {
        Some(expected) if expected.as_str() != record.version.to_string() => {
            Err(StoreError::new(ErrorKind::Conflict, "the record has another version"))
        }
        _ => Ok(record),
    }
}

fn set(record: &mut MemoryRecord, changes: &[Change]) {
    for change in changes {
        if change.new.is_empty() {
            record.attributes.remove(&change.attribute);
        } else {
            record.attributes.insert(change.attribute.clone(), change.new.clone());
        }
    }
}

fn changed(record: &mut MemoryRecord) -> Written {
    record.version += 1;
    Written::done().with_version(record.version.to_string())
}
