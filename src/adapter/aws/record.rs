//! Users, groups and memberships as the Identity Store shows them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::link::Links;
use super::wire::ENTERPRISE;
use crate::adapter::scim;
use crate::model::Kind;
use crate::store::{StoredGroupPage, StoredUserPage};

/// A page of users.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Users {
    users: Vec<User>,
    next_token: Option<String>,
}

/// A page of groups.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Groups {
    groups: Vec<Group>,
    next_token: Option<String>,
}

/// A page of memberships of one group.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Memberships {
    pub(super) group_memberships: Vec<Membership>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Membership {
    pub(super) member_id: Member,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Member {
    pub(super) user_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ExternalIdEntry {
    pub(super) issuer: String,
    pub(super) id: String,
}

/// What `DescribeUser` answers, and one user of `ListUsers`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct User {
    user_id: String,
    revision: Option<String>,
    user_status: Option<String>,
    external_ids: Option<Vec<ExternalIdEntry>>,
    extensions: Option<Map<String, Value>>,
    /// Everything else.
    #[serde(flatten)]
    attributes: Map<String, Value>,
}

/// What `DescribeGroup` answers, and one group of `ListGroups`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Group {
    group_id: String,
    revision: Option<String>,
    external_ids: Option<Vec<ExternalIdEntry>>,
    display_name: Option<String>,
    description: Option<String>,
}

/// How records are shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) links: Arc<Links>,
    /// The attributes of users that the store which writes declares: those of a certain type are shown where it names them.
    pub(super) declared: scim::Declared,
}

/// A kind of record, and where its rows go.
pub(super) trait Record: for<'a> Deserialize<'a> + Send {
    /// A page as `ListUsers` or `ListGroups` answers it.
    type Listed: for<'a> Deserialize<'a>;
    /// The page of the engine.
    type Page: Send;
    const KIND: Kind;

    fn listed(page: Self::Listed) -> (Vec<Self>, Option<String>);
    fn id(&self) -> &str;
    fn external_ids(&self) -> &[ExternalIdEntry];
    /// The values of a unique attribute.
    fn unique(&self, attribute: &str) -> Vec<&str>;
    fn put(&self, shown: &Shown, page: &mut Self::Page);
}

impl Record for User {
    type Listed = Users;
    type Page = StoredUserPage;
    const KIND: Kind = Kind::User;

    fn listed(page: Users) -> (Vec<Self>, Option<String>) {
        (page.users, page.next_token)
    }

    fn id(&self) -> &str {
        &self.user_id
    }

    fn external_ids(&self) -> &[ExternalIdEntry] {
        self.external_ids.as_deref().unwrap_or_default()
    }

    fn unique(&self, attribute: &str) -> Vec<&str> {
        match attribute {
            "userName" => self.attributes.get("UserName").and_then(Value::as_str).into_iter().collect(),
            "emails" => {
                let emails = self.attributes.get("Emails").and_then(Value::as_array).into_iter().flatten();
                emails.filter_map(|email| email.get("Value").and_then(Value::as_str)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn put(&self, shown: &Shown, page: &mut StoredUserPage) {
        let mut row = page.user(&self.user_id);
        // Every other state, and a server that knows none, counts as active: then a disabled account is still made inactive.
        row.active(self.user_status.as_deref() != Some("DISABLED"));
        if let Some(revision) = given(&self.revision) {
            row.version(revision);
        }
        shown.links.each(self.external_ids(), |issuer, value| {
            row.external_id(issuer, value);
        });
        for (name, value) in scim::attributes(&self.in_scim(), &shown.declared) {
            row.attribute(&name, &value);
        }
    }
}

/// What is no attribute of a person.
const ABOUT_THE_RECORD: [&str; 6] =
    ["IdentityStoreId", "UserArn", "CreatedAt", "CreatedBy", "UpdatedAt", "UpdatedBy"];

impl User {
    /// The user in SCIM's words, which this protocol writes with a capital letter first.
    fn in_scim(&self) -> Map<String, Value> {
        let attributes =
            self.attributes.iter().filter(|(name, _)| !ABOUT_THE_RECORD.contains(&name.as_str()));
        let mut user: Map<String, Value> =
            attributes.map(|(name, value)| (camel(name), camels(value))).collect();
        if let Some(held) = self.extensions.as_ref().and_then(|all| all.get(ENTERPRISE)) {
            // How AWS writes the first letter of these is not documented.
            user.insert(scim::ENTERPRISE.to_owned(), camels(held));
        }
        user
    }
}

/// A value with the names of its parts as SCIM has them, and without texts that say nothing.
fn camels(value: &Value) -> Value {
    match value {
        Value::Object(parts) => {
            Value::Object(parts.iter().map(|(name, value)| (camel(name), camels(value))).collect())
        }
        Value::Array(values) => values.iter().map(camels).collect(),
        Value::String(text) if text.is_empty() => Value::Null,
        value => value.clone(),
    }
}

fn camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

impl Record for Group {
    type Listed = Groups;
    type Page = StoredGroupPage;
    const KIND: Kind = Kind::Group;

    fn listed(page: Groups) -> (Vec<Self>, Option<String>) {
        (page.groups, page.next_token)
    }

    fn id(&self) -> &str {
        &self.group_id
    }

    fn external_ids(&self) -> &[ExternalIdEntry] {
        self.external_ids.as_deref().unwrap_or_default()
    }

    fn unique(&self, attribute: &str) -> Vec<&str> {
        match attribute {
            "displayName" => self.display_name.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn put(&self, shown: &Shown, page: &mut StoredGroupPage) {
        let mut row = page.group(&self.group_id);
        if let Some(revision) = given(&self.revision) {
            row.version(revision);
        }
        shown.links.each(self.external_ids(), |issuer, value| {
            row.external_id(issuer, value);
        });
        let texts = [("displayName", &self.display_name), ("description", &self.description)];
        each(&texts, &mut |name: &str, value: &str| {
            row.attribute(name, value);
        });
    }
}

/// A text that says something: where one is missing, servers and SDK put an empty one.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn each(texts: &[(&str, &Option<String>)], put: &mut impl FnMut(&str, &str)) {
    for (name, text) in texts {
        if let Some(text) = given(text) {
            put(name, text);
        }
    }
}
