//! What the store holds, for a person to look at.

use std::collections::BTreeMap;

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{
    Completeness, DeactivatedBy, Escaped, ExternalId, IdentityStore, Issuer, MatchRule, Origin, PageEnd,
    SourceAnchor, StoreId, StoreSelect, StoreSnapshot, StoredGroupPage, StoredUserPage,
};
use serde::Deserialize;

use super::Trouble;

/// All records. The document form of a snapshot is what a program may look into.
#[derive(Deserialize)]
pub(crate) struct Records {
    pub(crate) users: Vec<User>,
    pub(crate) groups: Vec<Group>,
}

#[derive(Deserialize)]
pub(crate) struct User {
    pub(crate) id: StoreId,
    external_ids: Vec<ExternalId>,
    active: bool,
    deactivated_by: Option<DeactivatedBy>,
    origin: Option<Origin>,
    attributes: BTreeMap<String, Values>,
}

#[derive(Deserialize)]
pub(crate) struct Group {
    pub(crate) id: StoreId,
    external_ids: Vec<ExternalId>,
    attributes: BTreeMap<String, Values>,
    pub(crate) members: Vec<StoreId>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Values {
    fn first(&self) -> &str {
        match self {
            Self::One(value) => value,
            Self::Many(values) => values.first().map_or("", String::as_str),
        }
    }
}

impl Records {
    pub(crate) async fn read(store: &SqliteStore) -> Result<Self, Trouble> {
        let mut snapshot = StoreSnapshot::builder(store.capabilities());
        let mut at = None;
        loop {
            let mut page = StoredUserPage::default();
            let end = store.read_users(StoreSelect::All, at.as_ref(), &mut page).await?;
            snapshot.users(&page)?;
            let PageEnd::More(token) = end else { break };
            at = Some(token);
        }
        let mut at = None;
        loop {
            let mut page = StoredGroupPage::default();
            let end = store.read_groups(StoreSelect::All, at.as_ref(), &mut page).await?;
            snapshot.groups(&page)?;
            let PageEnd::More(token) = end else { break };
            at = Some(token);
        }
        Ok(serde_json::from_value(serde_json::to_value(snapshot.finish(Completeness::Complete))?)?)
    }

    /// Whom a text may mean: by id, anchor, user name or display name.
    fn called(&self, text: &str) -> Vec<&User> {
        let key = |text: &str| MatchRule::NfkcCasefold.key(text);
        let wanted = key(text);
        let is_meant = |user: &&User| {
            let called = ["userName", "displayName"].into_iter().filter_map(|name| user.attributes.get(name));
            let linked = user.external_ids.iter().map(|id| id.value.as_str());
            user.id.as_str() == text
                || linked.chain(called.map(Values::first)).any(|called| key(called) == wanted)
        };
        self.users.iter().filter(is_meant).collect()
    }

    /// The one user who is meant: by id, anchor, user name or display name.
    pub(crate) fn find(&self, text: &str) -> Result<&User, String> {
        Self::only(text, self.called(text).into_iter())
    }

    /// The same, or by what the account of this anchor is called in the directory.
    pub(crate) fn find_with(
        &self,
        text: &str,
        issuer: &Issuer,
        anchor: Option<&SourceAnchor>,
    ) -> Result<&User, String> {
        let linked = anchor.and_then(|anchor| self.of_anchor(issuer, anchor));
        let others =
            self.called(text).into_iter().filter(|user| linked.is_none_or(|linked| linked.id != user.id));
        Self::only(text, linked.into_iter().chain(others))
    }

    fn only<'a>(text: &str, mut meant: impl Iterator<Item = &'a User>) -> Result<&'a User, String> {
        match (meant.next(), meant.next()) {
            (Some(user), None) => Ok(user),
            (None, _) => Err(format!("no record is called {}", Escaped(text))),
            (Some(one), Some(other)) => {
                let text = Escaped(text);
                Err(format!("several records are called {text}, such as {} and {}", one.id, other.id))
            }
        }
    }

    pub(crate) fn of_anchor(&self, issuer: &Issuer, anchor: &SourceAnchor) -> Option<&User> {
        self.users.iter().find(|user| user.anchor(issuer) == Some(anchor))
    }

    pub(crate) fn group_of_anchor(&self, issuer: &Issuer, anchor: &SourceAnchor) -> Option<&Group> {
        let is_his = |id: &ExternalId| id.issuer == *issuer && id.value == *anchor;
        self.groups.iter().find(|group| group.external_ids.iter().any(is_his))
    }

    /// The groups that a record is in, by name.
    pub(crate) fn groups_of(&self, user: &StoreId) -> Vec<String> {
        let groups = self.groups.iter().filter(|group| group.members.contains(user));
        groups.map(Group::name).collect()
    }

    pub(crate) fn name_of(&self, id: &StoreId) -> String {
        self.users.iter().find(|user| user.id == *id).map_or_else(|| id.to_string(), User::name)
    }
}

impl User {
    pub(crate) fn anchor(&self, issuer: &Issuer) -> Option<&SourceAnchor> {
        self.external_ids.iter().find(|id| id.issuer == *issuer).map(|id| &id.value)
    }

    pub(crate) fn name(&self) -> String {
        Escaped(self.attributes.get("userName").map_or("(no name)", Values::first)).to_string()
    }

    /// Whether he may use the application, and who said no.
    pub(crate) fn state(&self) -> &'static str {
        match (self.active, self.deactivated_by) {
            (true, _) => "active",
            (false, Some(DeactivatedBy::Sync)) => "inactive",
            (false, _) => "locked",
        }
    }

    /// How the record came here.
    pub(crate) fn origin(&self, issuer: &Issuer) -> &'static str {
        match (self.anchor(issuer), self.origin) {
            (None, _) => "not ours",
            (_, Some(Origin::Jit)) => "sign-in",
            _ => "synced",
        }
    }
}

impl Group {
    pub(crate) fn name(&self) -> String {
        Escaped(self.attributes.get("displayName").map_or("(no name)", Values::first)).to_string()
    }

    pub(crate) fn is_ours(&self, issuer: &Issuer) -> bool {
        self.external_ids.iter().any(|id| id.issuer == *issuer)
    }
}
