//! The operations of the Identity Store API that only read, for users and groups alike.

use aws_sdk_identitystore::Client;
use aws_sdk_identitystore::types::{AlternateIdentifier, ExternalId, UniqueAttribute};
use aws_smithy_types::Document;
use serde::de::DeserializeOwned;

use super::call::Caller;
use super::fault;
use super::record::Memberships;
use super::wire::Kept;
use crate::error::{AdapterError, ErrorKind};
use crate::model::Kind;

/// Records in a page of AWS.
const PAGE: i32 = 100;

/// One identity store.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    pub(super) client: Client,
    pub(super) store: String,
    pub(super) caller: Caller,
}

impl Operations {
    /// A page of users or groups.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        kind: Kind,
        token: Option<&str>,
    ) -> Result<T, AdapterError> {
        let token = token.map(str::to_owned);
        match kind {
            Kind::User => {
                const WHAT: &str = "listing users";
                let kept = Kept::with_enterprise(true);
                let call = || {
                    let call = self.client.list_users().identity_store_id(&self.store).max_results(PAGE);
                    call.set_next_token(token.clone()).customize().interceptor(kept.clone()).send()
                };
                self.caller.ask(WHAT, call).await?;
                parsed(WHAT, &kept)
            }
            Kind::Group => {
                const WHAT: &str = "listing groups";
                let kept = Kept::default();
                let call = || {
                    let call = self.client.list_groups().identity_store_id(&self.store).max_results(PAGE);
                    call.set_next_token(token.clone()).customize().interceptor(kept.clone()).send()
                };
                self.caller.ask(WHAT, call).await?;
                parsed(WHAT, &kept)
            }
        }
    }

    /// A page of the memberships of a group.
    pub(super) async fn memberships(
        &self,
        group: &str,
        token: Option<&str>,
    ) -> Result<Memberships, AdapterError> {
        const WHAT: &str = "listing the members of a group";
        let kept = Kept::default();
        let token = token.map(str::to_owned);
        let call = || {
            let call = self.client.list_group_memberships().identity_store_id(&self.store).group_id(group);
            let call = call.max_results(PAGE).set_next_token(token.clone());
            call.customize().interceptor(kept.clone()).send()
        };
        self.caller.ask(WHAT, call).await?;
        parsed(WHAT, &kept)
    }

    /// A user or group by its id; `None` where there is none.
    pub(super) async fn describe<T: DeserializeOwned>(
        &self,
        kind: Kind,
        id: &str,
    ) -> Result<Option<T>, AdapterError> {
        let kept = Kept::with_enterprise(kind == Kind::User);
        let (what, asked) = match kind {
            Kind::User => {
                const WHAT: &str = "reading a user";
                let call = || {
                    let call = self.client.describe_user().identity_store_id(&self.store).user_id(id);
                    call.customize().interceptor(kept.clone()).send()
                };
                (WHAT, self.caller.ask(WHAT, call).await.map(drop))
            }
            Kind::Group => {
                const WHAT: &str = "reading a group";
                let call = || {
                    let call = self.client.describe_group().identity_store_id(&self.store).group_id(id);
                    call.customize().interceptor(kept.clone()).send()
                };
                (WHAT, self.caller.ask(WHAT, call).await.map(drop))
            }
        };
        match asked {
            Ok(()) => parsed(what, &kept).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The id of the user or group that has an external id; `None` where there is none.
    pub(super) async fn id_by_link(
        &self,
        kind: Kind,
        issuer: &str,
        id: &str,
    ) -> Result<Option<String>, AdapterError> {
        let link = ExternalId::builder().issuer(issuer).id(id).build();
        self.id_of(kind, AlternateIdentifier::ExternalId(link.map_err(cannot_ask)?)).await
    }

    /// The id of the user or group whose unique attribute has this value; `None` where there is none.
    pub(super) async fn id_by_value(
        &self,
        kind: Kind,
        path: &str,
        value: &str,
    ) -> Result<Option<String>, AdapterError> {
        let value = Document::String(value.to_owned());
        let attribute = UniqueAttribute::builder().attribute_path(path).attribute_value(value).build();
        self.id_of(kind, AlternateIdentifier::UniqueAttribute(attribute.map_err(cannot_ask)?)).await
    }

    async fn id_of(&self, kind: Kind, wanted: AlternateIdentifier) -> Result<Option<String>, AdapterError> {
        let (what, found) = match kind {
            Kind::User => {
                const WHAT: &str = "looking a user up";
                let call = || {
                    let call = self.client.get_user_id().identity_store_id(&self.store);
                    call.alternate_identifier(wanted.clone()).send()
                };
                (WHAT, self.caller.ask(WHAT, call).await.map(|found| found.user_id))
            }
            Kind::Group => {
                const WHAT: &str = "looking a group up";
                let call = || {
                    let call = self.client.get_group_id().identity_store_id(&self.store);
                    call.alternate_identifier(wanted.clone()).send()
                };
                (WHAT, self.caller.ask(WHAT, call).await.map(|found| found.group_id))
            }
        };
        match found {
            // The SDK puts an empty text where the answer has none.
            Ok(id) if id.is_empty() => Err(fault::incomplete(what, "id")),
            Ok(id) => Ok(Some(id)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The records of an answer. One that does not hold what the API says is an error, never an empty page (rule C1).
fn parsed<T: DeserializeOwned>(what: &str, kept: &Kept) -> Result<T, AdapterError> {
    let text = kept.take().ok_or_else(|| fault::incomplete(what, "text"))?;
    // The parser's words would name what it found; where it found it is enough.
    serde_json::from_slice(&text).map_err(|error| {
        let message =
            format!("{what}: the answer is not as the api describes it, at column {}", error.column());
        AdapterError::new(ErrorKind::Permanent, message)
    })
}

fn cannot_ask(_: aws_sdk_identitystore::error::BuildError) -> AdapterError {
    AdapterError::new(ErrorKind::Invalid, "the look-up cannot be made")
}
