//! The serde form of snapshots: documents that other languages can write (format: `examples/README.md`).

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{SourceData, SourceSnapshot, StoreData, StoreSnapshot};
use crate::attributes::Attributes;
use crate::id::{ExternalId, SourceAnchor};
use crate::limits::Limits;
use crate::model::{AccountState, Completeness, DeactivatedBy, Existence, Kind, MemberKind, Origin};
use crate::source::{Generation, GroupPage, ListState, SourceCapabilities, SourceIdentity, UserPage};
use crate::store::{StoreCapabilities, StoredGroupPage, StoredUserPage};

fn complete() -> Completeness {
    Completeness::Complete
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceDocument {
    identity: SourceIdentity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<Generation>,
    #[serde(default)]
    capabilities: SourceCapabilities,
    #[serde(default = "complete")]
    users_read: Completeness,
    #[serde(default = "complete")]
    groups_read: Completeness,
    #[serde(default)]
    users: Vec<UserDocument>,
    #[serde(default)]
    groups: Vec<GroupDocument>,
    #[serde(default)]
    tombstones: Vec<SourceAnchor>,
    #[serde(default)]
    existence: BTreeMap<SourceAnchor, Existence>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Values {
    One(String),
    Many(Vec<String>),
}

type AttributeDocument = IndexMap<String, Values>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserDocument {
    anchor: SourceAnchor,
    #[serde(default)]
    state: AccountState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default)]
    attributes: AttributeDocument,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    withdrawn: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupDocument {
    anchor: SourceAnchor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default)]
    attributes: AttributeDocument,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    withdrawn: bool,
    #[serde(default)]
    members: Vec<MemberDocument>,
    /// A list is complete only where the document says so, as in the traits.
    #[serde(default)]
    members_complete: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "an anchor, or an object with either `anchor` or `unresolved`, and `kind`")]
enum MemberDocument {
    Plain(String),
    Anchor(AnchorDocument),
    Unresolved(UnresolvedDocument),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorDocument {
    anchor: String,
    #[serde(default)]
    kind: MemberKind,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnresolvedDocument {
    unresolved: String,
    #[serde(default)]
    kind: MemberKind,
}

fn attributes_of(attributes: Attributes<'_>) -> AttributeDocument {
    let mut grouped: IndexMap<&str, Vec<String>> = IndexMap::new();
    for (name, value) in attributes.iter() {
        grouped.entry(name).or_default().push(value.to_owned());
    }
    let shorten = |mut values: Vec<String>| match (values.len(), values.pop()) {
        (1, Some(only)) => Values::One(only),
        (_, last) => Values::Many(values.into_iter().chain(last).collect()),
    };
    grouped.into_iter().map(|(name, values)| (name.to_owned(), shorten(values))).collect()
}

fn each_value(attributes: &AttributeDocument, mut add: impl FnMut(&str, &str)) {
    for (name, values) in attributes {
        match values {
            Values::One(value) => add(name, value),
            Values::Many(values) => values.iter().for_each(|value| add(name, value)),
        }
    }
}

impl From<&SourceData> for SourceDocument {
    fn from(data: &SourceData) -> Self {
        let anchor = |node: u32| SourceAnchor::from(data.anchors.text(node));
        let unreadable = |attributes: Attributes<'_>| attributes.unreadable().map(str::to_owned).collect();
        // Rows that another row of the same anchor replaced are told by their number.
        let users =
            data.users.iter().enumerate().filter(|(i, user)| is_current(&data.user_of, user.node, *i));
        let users = users.flat_map(|(i, user)| {
            data.every_row(Kind::User, i as u32).into_iter().map(move |row| UserDocument {
                anchor: anchor(user.node),
                state: user.state,
                version: user.version.filter(|_| !user.ambiguous),
                attributes: attributes_of(row),
                unreadable: unreadable(row),
                withdrawn: user.quarantined || user.ambiguous,
            })
        });
        let members = |group: usize| {
            let anchors = data.members_of(group).iter().map(|&member| {
                MemberDocument::Anchor(AnchorDocument {
                    anchor: data.anchors.text(member).to_owned(),
                    kind: data.hint(member as usize).unwrap_or_default(),
                })
            });
            let unresolved = data.unresolved_of(group).map(|(text, kind)| {
                MemberDocument::Unresolved(UnresolvedDocument { unresolved: text.to_owned(), kind })
            });
            anchors.chain(unresolved).collect::<Vec<_>>()
        };
        let groups = data.groups.iter().enumerate();
        let groups = groups.filter(|(i, group)| is_current(&data.group_of, group.node, *i));
        let groups = groups.flat_map(|(i, group)| {
            data.every_row(Kind::Group, i as u32).into_iter().enumerate().map(move |(nth, row)| {
                GroupDocument {
                    anchor: anchor(group.node),
                    version: group.version.filter(|_| !group.ambiguous),
                    attributes: attributes_of(row),
                    unreadable: unreadable(row),
                    withdrawn: group.quarantined || group.ambiguous,
                    // The lists of several rows are one already.
                    members: if nth == 0 { members(i) } else { Vec::new() },
                    members_complete: group.list == ListState::Complete,
                }
            })
        });
        Self {
            identity: data.identity.clone(),
            generation: data.generation.clone(),
            capabilities: data.capabilities.clone(),
            users_read: data.users_read.clone(),
            groups_read: data.groups_read.clone(),
            users: users.collect(),
            groups: groups.collect(),
            tombstones: (0..data.anchors.len())
                .filter(|&i| data.tombstones[i])
                .map(|i| anchor(i as u32))
                .collect(),
            existence: data.existence.iter().map(|(&node, &answer)| (anchor(node), answer)).collect(),
        }
    }
}

fn is_current(row_of: &[u32], node: u32, row: usize) -> bool {
    row_of.get(node as usize).is_some_and(|&current| current as usize == row)
}

impl SourceDocument {
    fn into_snapshot(self, limits: Limits) -> Result<SourceSnapshot, super::LimitExceeded> {
        let mut builder = SourceSnapshot::builder(self.identity, self.capabilities).limits(limits);
        let mut page = UserPage::with_limits(limits);
        for user in &self.users {
            let mut row = page.user(user.anchor.as_str());
            row.state(user.state);
            if let Some(version) = user.version {
                row.version(version);
            }
            each_value(&user.attributes, |name, value| {
                row.attribute(name, value);
            });
            for name in &user.unreadable {
                row.unreadable(name);
            }
            if user.withdrawn {
                row.withdraw();
            }
        }
        for anchor in &self.tombstones {
            page.tombstone(anchor.as_str());
        }
        builder.users(&page)?;
        drop(page);
        let mut page = GroupPage::with_limits(limits);
        for group in &self.groups {
            let mut row = page.group(group.anchor.as_str());
            if let Some(version) = group.version {
                row.version(version);
            }
            each_value(&group.attributes, |name, value| {
                row.attribute(name, value);
            });
            for name in &group.unreadable {
                row.unreadable(name);
            }
            for member in &group.members {
                match member {
                    MemberDocument::Plain(anchor) => row.member(anchor),
                    MemberDocument::Anchor(AnchorDocument { anchor, kind }) => {
                        row.member_of_kind(anchor, *kind)
                    }
                    MemberDocument::Unresolved(UnresolvedDocument { unresolved, kind }) => {
                        row.unresolved(unresolved, *kind)
                    }
                };
            }
            // A document holds whole rows: an incomplete list goes on nowhere.
            if group.members_complete {
                row.members_complete()
            } else {
                row.members_partial()
            };
            if group.withdrawn {
                row.withdraw();
            }
        }
        builder.groups(&page)?;
        builder.generation(self.generation);
        builder.users_end(self.users_read);
        builder.groups_end(self.groups_read);
        Ok(builder.finish().with_existence(self.existence.iter().map(|(anchor, &answer)| (anchor, answer))))
    }
}

impl Serialize for SourceSnapshot {
    /// Each of several ambiguous rows comes out withdrawn, in the state that counts, and the first one with the members of all;
    /// everything else comes back as it was.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SourceDocument::from(&*self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SourceSnapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SourceDocument::deserialize(deserializer)?.into_snapshot(Limits::default()).map_err(D::Error::custom)
    }
}

fn active() -> bool {
    true
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreDocument {
    #[serde(default)]
    capabilities: StoreCapabilities,
    #[serde(default = "complete")]
    read: Completeness,
    #[serde(default)]
    users: Vec<StoredUserDocument>,
    #[serde(default)]
    groups: Vec<StoredGroupDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUserDocument {
    id: String,
    #[serde(default)]
    external_ids: Vec<ExternalId>,
    #[serde(default = "active")]
    active: bool,
    /// Who made an inactive user so; not said: somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deactivated_by: Option<DeactivatedBy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default)]
    attributes: AttributeDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredGroupDocument {
    id: String,
    #[serde(default)]
    external_ids: Vec<ExternalId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default)]
    attributes: AttributeDocument,
    #[serde(default)]
    members: Vec<String>,
}

impl From<&StoreData> for StoreDocument {
    fn from(data: &StoreData) -> Self {
        let external_ids = |record| {
            data.links(record)
                .map(|(issuer, value)| ExternalId::new(data.issuers.text(issuer), value))
                .collect()
        };
        let users = data.users.iter().enumerate().map(|(row, user)| StoredUserDocument {
            id: data.id(user).to_owned(),
            external_ids: external_ids(user),
            active: user.active,
            deactivated_by: (user.deactivated_by == DeactivatedBy::Sync).then_some(DeactivatedBy::Sync),
            origin: user.origin,
            version: data.version(user).map(str::to_owned),
            attributes: attributes_of(data.attributes(Kind::User, row)),
        });
        let groups = data.groups.iter().enumerate().map(|(row, group)| StoredGroupDocument {
            id: data.id(group).to_owned(),
            external_ids: external_ids(group),
            version: data.version(group).map(str::to_owned),
            attributes: attributes_of(data.attributes(Kind::Group, row)),
            members: data.members_of(row).iter().map(|&id| data.ids.text(id).to_owned()).collect(),
        });
        Self {
            capabilities: data.capabilities.clone(),
            read: data.read.clone(),
            users: users.collect(),
            groups: groups.collect(),
        }
    }
}

impl StoreDocument {
    fn into_snapshot(self, limits: Limits) -> Result<StoreSnapshot, super::LimitExceeded> {
        let mut builder = StoreSnapshot::builder(self.capabilities).limits(limits);
        let mut page = StoredUserPage::default();
        for user in &self.users {
            let mut row = page.user(&user.id);
            row.active(user.active);
            row.deactivated_by(user.deactivated_by.unwrap_or(DeactivatedBy::Other));
            if let Some(origin) = user.origin {
                row.origin(origin);
            }
            if let Some(version) = &user.version {
                row.version(version);
            }
            for id in &user.external_ids {
                row.external_id(id.issuer.as_str(), id.value.as_str());
            }
            each_value(&user.attributes, |name, value| {
                row.attribute(name, value);
            });
        }
        builder.users(&page)?;
        let mut page = StoredGroupPage::default();
        for group in &self.groups {
            let mut row = page.group(&group.id);
            if let Some(version) = &group.version {
                row.version(version);
            }
            for id in &group.external_ids {
                row.external_id(id.issuer.as_str(), id.value.as_str());
            }
            each_value(&group.attributes, |name, value| {
                row.attribute(name, value);
            });
            for member in &group.members {
                row.member(member);
            }
        }
        builder.groups(&page)?;
        Ok(builder.finish(self.read))
    }
}

impl Serialize for StoreSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoreDocument::from(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoreSnapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StoreDocument::deserialize(deserializer)?.into_snapshot(Limits::default()).map_err(D::Error::custom)
    }
}
