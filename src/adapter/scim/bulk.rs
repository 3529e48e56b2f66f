//! Several writes in one request (RFC 7644, section 3.7), where the server offers that.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::ScimStore;
use super::ahead::Ahead;
use super::create::TAKEN;
use super::error::{Fault, Refusal};
use super::http::Request;
use super::json::{self, Changes, endpoint, field, text};
use super::write::{is_refusal, seen_through, set_active};
use crate::id::{ExternalId, StoreId, Version};
use crate::model::Kind;
use crate::store::{Write, Written};

/// Room for what stands around the operations of a request.
const ENVELOPE: usize = 200;

/// Links that are asked about at once, each in two requests.
const LOOK_AHEAD: usize = 4;

/// A write as an operation of a bulk request.
struct Operation {
    kind: Kind,
    json: Value,
    target: Target,
}

enum Target {
    /// A record that shall be made, with this link.
    New(ExternalId),
    Record(StoreId),
}

/// Writes at the beginning of a list that go out together.
pub(super) struct Run(Vec<Operation>);

/// What came of one operation; `None` where the server says nothing about it.
type Outcome = Option<Result<Written, Fault>>;

impl Run {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl ScimStore {
    /// The writes at the beginning that may go out in one request, without a change of their order: creates together, or
    /// changes of records together, of which each is another one. Fewer than two are none.
    pub(super) fn run<'i, 'w: 'i>(&self, writes: impl Iterator<Item = &'i Write<'w>>) -> Option<Run> {
        let most = self.client.bulk?;
        if self.known.drops_links.load(Ordering::Relaxed) {
            // Creates are refused then, one by one.
            return None;
        }
        let mut run: Vec<Operation> = Vec::new();
        let (mut records, mut bytes) = (BTreeSet::new(), ENVELOPE);
        for write in writes.take(most.operations) {
            let Some(mut operation) = self.operation(write) else { break };
            if let Some(first) = run.first() {
                if matches!(first.target, Target::New(_)) != matches!(operation.target, Target::New(_)) {
                    break;
                }
            }
            if let Target::Record(id) = &operation.target {
                if !records.insert((operation.kind, id.clone())) {
                    break;
                }
            }
            operation.json["bulkId"] = json!(run.len().to_string());
            bytes += operation.json.to_string().len() + 1;
            if bytes > most.bytes {
                break;
            }
            run.push(operation);
        }
        (run.len() > 1).then_some(Run(run))
    }

    /// The operation of a write; `None` for one that needs more than one request, or that is not as it should be.
    fn operation(&self, write: &Write<'_>) -> Option<Operation> {
        let change = |kind, method: &str, id: &StoreId, version: Option<&Version>, data: Option<Value>| {
            // Such an id would make it an operation on all records.
            if matches!(id.as_str(), "" | "." | "..") || id.as_str().contains(['/', '?', '#', '%']) {
                return None;
            }
            let mut json =
                json!({"method": method, "path": format!("/{}/{id}", endpoint(kind), id = id.as_str())});
            if let Some(data) = data {
                json["data"] = data;
            }
            if let Some(version) = self.client.condition(version) {
                json["version"] = json!(version);
            }
            Some(Operation { kind, json, target: Target::Record(id.clone()) })
        };
        let create = |kind, link: &ExternalId, record: Map<String, Value>| {
            let json = json!({"method": "POST", "path": format!("/{}", endpoint(kind)), "data": record});
            Some(Operation { kind, json, target: Target::New(link.clone()) })
        };
        let patch =
            |kind, id, version, operations| change(kind, "PATCH", id, version, Some(json::patch(operations)));
        match *write {
            Write::CreateUser { external_id, attributes, active, origin: _ } => {
                let mut record = self.new_record(Kind::User, external_id, attributes).ok()?;
                record.insert("active".to_owned(), json!(active));
                create(Kind::User, external_id, record)
            }
            Write::CreateGroup { external_id, attributes } => {
                let record = self.new_record(Kind::Group, external_id, attributes).ok()?;
                create(Kind::Group, external_id, record)
            }
            Write::UpdateUser { id, version, changes, origin: _ } => {
                let changes = Changes::of(Kind::User, changes, &self.client.capabilities).ok()?;
                patch(Kind::User, id, version, changes.alone()?)
            }
            Write::UpdateGroup { id, version, changes } => {
                let changes = Changes::of(Kind::Group, changes, &self.client.capabilities).ok()?;
                patch(Kind::Group, id, version, changes.alone()?)
            }
            Write::SetActive { id, version, active } => {
                patch(Kind::User, id, version, vec![set_active(active)])
            }
            Write::DeleteUser { id, version } => change(Kind::User, "DELETE", id, version, None),
            Write::DeleteGroup { id, version } => change(Kind::Group, "DELETE", id, version, None),
            Write::AddMembers { id, version, members } => {
                patch(Kind::Group, id, version, self.added(members)?)
            }
            // One who is out already may fail the request, and then the others have to be removed one by one.
            Write::RemoveMembers { .. } | Write::Adopt { .. } => None,
        }
    }

    /// Sends a run. `Ok(None)`: the server takes no such request, and nothing of it has happened.
    pub(super) async fn send_run(&self, run: Run) -> Result<Option<Vec<Outcome>>, Fault> {
        match run.0.first().map(|first| &first.target) {
            Some(Target::New(_)) => {
                let store = self.clone();
                seen_through(async move { store.create_all(run.0).await }).await
            }
            _ => self.bulk(&run.0).await,
        }
    }

    async fn create_all(&self, run: Vec<Operation>) -> Result<Option<Vec<Outcome>>, Fault> {
        let _turn = self.turn().await;
        let new = run.iter().filter_map(|operation| match &operation.target {
            Target::New(link) => Some(link.clone()),
            Target::Record(_) => None,
        });
        let look = |link: ExternalId| {
            let store = self.clone();
            async move { Ok((store.is_linked(&link).await?, link)) }
        };
        let new: Vec<ExternalId> = new.collect();
        let looked = Ahead::new(LOOK_AHEAD, new.into_iter().map(look)).all().await?;
        let taken: BTreeSet<ExternalId> =
            looked.into_iter().filter(|(taken, _)| *taken).map(|(_, link)| link).collect();
        let (mut outcomes, mut free, mut links): (Vec<Outcome>, Vec<(usize, Operation)>, _) =
            (Vec::new(), Vec::new(), BTreeSet::new());
        for (number, operation) in run.into_iter().enumerate() {
            let taken = match &operation.target {
                Target::New(link) => !links.insert(link.clone()) || taken.contains(link),
                Target::Record(_) => false,
            };
            outcomes.push(taken.then_some(Err(Fault::Exists(TAKEN))));
            if !taken {
                free.push((number, operation));
            }
        }
        let (numbers, operations): (Vec<usize>, Vec<Operation>) = free.into_iter().unzip();
        if operations.is_empty() {
            return Ok(Some(outcomes));
        }
        let Some(mut made) = self.bulk(&operations).await? else { return Ok(None) };
        self.check_links(&operations, &mut made).await;
        for (number, outcome) in numbers.into_iter().zip(made) {
            if let Some(slot) = outcomes.get_mut(number) {
                *slot = outcome;
            }
        }
        Ok(Some(outcomes))
    }

    /// Looks whether the first record that was made has its link: a server that drops it drops it always, and the records
    /// would be strangers to the next run.
    async fn check_links(&self, operations: &[Operation], made: &mut [Outcome]) {
        let done = made.iter().position(|outcome| matches!(outcome, Some(Ok(_))));
        let Some((number, operation)) = done.and_then(|at| Some((at, operations.get(at)?))) else {
            return;
        };
        let (Some(Some(Ok(written))), Target::New(link)) = (made.get(number), &operation.target) else {
            return;
        };
        let Some(id) = &written.id else { return };
        // They are there, whatever becomes of this look; the next ones are looked at then.
        let Ok(Some(found)) = self.client.get(operation.kind, id.as_str(), false).await else { return };
        if found.external_id.as_ref() != Some(link) {
            self.known.drops_links.store(true, Ordering::Relaxed);
            for outcome in made.iter_mut().filter(|outcome| matches!(outcome, Some(Ok(_)))) {
                *outcome =
                    Some(Err(Fault::Permanent("the server has not kept the external id of a new record")));
            }
        }
    }

    async fn bulk(&self, operations: &[Operation]) -> Result<Option<Vec<Outcome>>, Fault> {
        let all: Vec<&Value> = operations.iter().map(|operation| &operation.json).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": all,
        });
        let answer = match self.client.http.send(&Request::post(&["Bulk"], body)).await {
            Ok(answer) => {
                answer.into_object().map_err(|_| Fault::NoAnswer("the answers to a bulk request are lost"))?
            }
            // A token may be good for the records and not for this.
            Err(fault) if fault.status() == Some(403) => return Ok(None),
            Err(fault) if is_refusal(&fault) && !fault.concerns_all() => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let answers =
            field(&answer, "Operations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut outcomes = Vec::with_capacity(operations.len());
        for (number, operation) in operations.iter().enumerate() {
            let answer = own_answer(answers, operation, number, operations.len());
            outcomes.push(match answer {
                Some(answer) => self.outcome(operation, answer).await,
                None => None,
            });
        }
        Ok(Some(outcomes))
    }

    async fn outcome(&self, operation: &Operation, answer: &Map<String, Value>) -> Outcome {
        let response = field(answer, "response").and_then(Value::as_object);
        let status = status(answer)?;
        if !(200..300).contains(&status) {
            let scim_type = response.and_then(|response| text(response, "scimType"));
            return Some(Err(Fault::Refused(Refusal::new(status, scim_type, None))));
        }
        let id = match &operation.target {
            Target::Record(id) => id.clone(),
            Target::New(_) if status != 201 => {
                return Some(Err(Fault::Exists("the server has not made a new record")));
            }
            // Without its id, the record is there and unknown: whoever asks by its link learns it.
            Target::New(_) => {
                StoreId::from(response.and_then(|response| text(response, "id")).map_or_else(
                    || text(answer, "location").and_then(last_segment),
                    |id| Some(id.to_owned()),
                )?)
            }
        };
        let mut written = Written::done();
        if self.client.is_conditional() && operation.json["method"] != "DELETE" {
            let told = text(answer, "version").map(Version::from);
            written.version = match told {
                Some(version) => Some(version),
                None => {
                    let found = self.client.get(operation.kind, id.as_str(), false).await.ok().flatten();
                    found.and_then(|found| found.version).map(Version::from)
                }
            };
        }
        written.id = matches!(operation.target, Target::New(_)).then_some(id);
        Some(Ok(written))
    }
}

/// The answer to an operation: by its id, or by its place where the server gives as many answers as there were questions.
fn own_answer<'a>(
    answers: &'a [Value],
    operation: &Operation,
    number: usize,
    asked: usize,
) -> Option<&'a Map<String, Value>> {
    let id = operation.json["bulkId"].as_str();
    let objects = || answers.iter().filter_map(Value::as_object);
    let mut named = objects().filter(|answer| id.is_some() && text(answer, "bulkId") == id);
    if let Some(answer) = named.next() {
        // Two answers to one question are none.
        return named.next().is_none().then_some(answer);
    }
    let method = operation.json["method"].as_str().unwrap_or_default();
    let in_place = answers.get(number).filter(|_| answers.len() == asked).and_then(Value::as_object);
    in_place.filter(|answer| {
        let same = text(answer, "method").is_some_and(|said| said.eq_ignore_ascii_case(method));
        same && text(answer, "bulkId").is_none()
    })
}

/// A number, a text, or as in drafts of the standard an object with a `code`.
fn status(answer: &Map<String, Value>) -> Option<u16> {
    let status = field(answer, "status")?;
    let status = status.as_object().and_then(|status| field(status, "code")).unwrap_or(status);
    match status {
        Value::String(text) => text.parse().ok(),
        status => status.as_u64().and_then(|status| u16::try_from(status).ok()),
    }
}

/// The id at the end of an address; `None` where it holds what may stand for something else.
fn last_segment(location: &str) -> Option<String> {
    let id = location.rsplit('/').next()?;
    (!id.is_empty() && !id.contains(['?', '#', '%'])).then(|| id.to_owned())
}
