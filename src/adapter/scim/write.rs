//! Writes that change what is there: each is answered before the next one is sent.

use serde_json::{Map, Value, json};

use super::ScimStore;
use super::create::TAKEN;
use super::error::Fault;
use super::http::Request;
use super::json::{self, Changes, endpoint};
use super::ledger::LedgerEntry;
use crate::id::{ExternalId, StoreId, Version};
use crate::model::Kind;
use crate::store::{Change, Write, Written};
use crate::trace;

impl ScimStore {
    /// Performs one write that is no create.
    pub(super) async fn perform(&self, write: &Write<'_>) -> Result<Written, Fault> {
        match *write {
            Write::CreateUser { .. } | Write::CreateGroup { .. } => {
                Err(Fault::Unsupported("creates go out with their like"))
            }
            Write::Adopt { kind, id, version, external_id } => {
                self.adopt(kind, id, version, external_id).await
            }
            // Where a user came from is not kept.
            Write::UpdateUser { id, version, changes, origin: _ } => {
                self.update(Kind::User, id, version, changes).await
            }
            Write::UpdateGroup { id, version, changes } => {
                self.update(Kind::Group, id, version, changes).await
            }
            Write::SetActive { id, version, active } => {
                self.patch(Kind::User, id, version, vec![set_active(active)]).await
            }
            Write::DeleteUser { id, version } => self.delete(Kind::User, id, version).await,
            Write::DeleteGroup { id, version } => self.delete(Kind::Group, id, version).await,
            Write::AddMembers { id, version, members } => self.add_members(id, version, members).await,
            Write::RemoveMembers { id, version, members } => self.remove_members(id, version, members).await,
        }
    }

    pub(super) fn new_record(
        &self,
        kind: Kind,
        external_id: &ExternalId,
        attributes: crate::Attributes<'_>,
    ) -> Result<Map<String, Value>, Fault> {
        json::new_record(kind, &self.external_id(external_id)?, attributes, &self.client.capabilities)
    }

    pub(super) fn external_id(&self, external_id: &ExternalId) -> Result<String, Fault> {
        let text = self.client.options.external_ids.write(external_id);
        text.ok_or_else(|| Fault::Invalid("this store cannot hold an external id of this issuer".into()))
    }

    async fn adopt(
        &self,
        kind: Kind,
        id: &StoreId,
        version: Option<&Version>,
        external_id: &ExternalId,
    ) -> Result<Written, Fault> {
        let text = self.external_id(external_id)?;
        let (store, id, version, external_id) =
            (self.clone(), id.clone(), version.cloned(), external_id.clone());
        seen_through(async move {
            let _turn = store.turn().await;
            if store.is_linked(&external_id).await? {
                return Err(Fault::Exists(TAKEN));
            }
            // A create that was announced and lost has not come through; and who is in this group is not known.
            if let Some(ledger) = store.ledger.as_ref().filter(|_| kind == Kind::Group) {
                ledger.not_made(&text).await?;
            }
            let found = store.client.get(kind, id.as_str(), false).await?.ok_or(Fault::NotFound)?;
            if found.external_id.is_some() {
                return Err(Fault::Conflict("the record has an external id by now"));
            }
            // Nobody else may give it one between this look and the write.
            let version = version.or_else(|| found.version.map(Version::from));
            let operation = json!({"op": "add", "path": "externalId", "value": text});
            store.patch(kind, &id, version.as_ref(), vec![operation]).await
        })
        .await
    }

    async fn update(
        &self,
        kind: Kind,
        id: &StoreId,
        version: Option<&Version>,
        changes: &[Change],
    ) -> Result<Written, Fault> {
        let changes = Changes::of(kind, changes, &self.client.capabilities)?;
        let mut record = Map::new();
        if changes.is_empty() || changes.need_record() {
            record = self.client.get_object(kind, id.as_str(), false).await?.ok_or(Fault::NotFound)?;
        }
        let operations = changes.operations(&record);
        if operations.is_empty() {
            // Nothing to do; but what it was to be done to is there, and as it should be.
            let found = json::version(&record).filter(|_| self.client.is_conditional());
            if let (Some(wanted), Some(found)) = (self.client.condition(version), found) {
                if wanted != found {
                    return Err(Fault::Conflict("the record has another version by now"));
                }
            }
            return Ok(found.map_or_else(Written::done, |version| Written::done().with_version(version)));
        }
        self.patch(kind, id, version, operations).await
    }

    pub(super) async fn patch(
        &self,
        kind: Kind,
        id: &StoreId,
        version: Option<&Version>,
        operations: Vec<Value>,
    ) -> Result<Written, Fault> {
        let request = Request::patch(&[endpoint(kind), id.as_str()], json::patch(operations));
        let answer = self.client.http.send(&request.if_match(self.client.condition(version))).await?;
        self.client.written(&answer, kind, id.as_str()).await
    }

    async fn delete(&self, kind: Kind, id: &StoreId, version: Option<&Version>) -> Result<Written, Fault> {
        if let Some(ledger) = &self.ledger {
            ledger.must_be_ours().await?;
        }
        let request = Request::delete(&[endpoint(kind), id.as_str()]);
        let answered = self.client.http.send(&request.if_match(self.client.condition(version))).await;
        if let Some(ledger) = &self.ledger {
            // Gone is gone, whoever deleted it.
            if answered.is_ok() || matches!(&answered, Err(fault) if fault.status() == Some(404)) {
                let gone = match kind {
                    Kind::User => LedgerEntry::UserGone { user: id.clone() },
                    Kind::Group => LedgerEntry::GroupGone { group: id.clone() },
                };
                let noted = ledger.note(gone).await;
                noted.map_err(|_| {
                    Fault::NoAnswer("a record was deleted, and the ledger could not be written")
                })?;
            }
        }
        answered.map(|_| Written::done())
    }
}

pub(super) fn set_active(active: bool) -> Value {
    json!({"op": "replace", "path": "active", "value": active})
}

/// Whether nothing can have come of a request that was answered so.
pub(super) fn is_refusal(fault: &Fault) -> bool {
    match fault {
        // What it does not know (501, 505) it has not done either.
        Fault::Refused(refusal) => {
            matches!(refusal.status, 501 | 505) || (refusal.status < 500 && refusal.status != 408)
        }
        Fault::NoAnswer(_) | Fault::Malformed(_) | Fault::TooLarge(..) => false,
        // Made by the server, as far as it says.
        Fault::Permanent(_) => false,
        Fault::Half(_) | Fault::Partly { .. } => false,
        _ => true,
    }
}

/// Runs to its end also where the caller stops waiting.
pub(super) async fn seen_through<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::spawn(trace::here(work)).await {
        Ok(done) => done,
        // The runtime is shutting down: nobody knows how far it came.
        Err(_) => Err(Fault::NoAnswer("the request was not seen to its end")),
    }
}
