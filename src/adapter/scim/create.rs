//! Creates: those that stand side by side in a call are under way together, so that a first load waits less for each answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};
use tokio::sync::OwnedMutexGuard;
use tokio::task::{JoinError, JoinSet};

use super::ScimStore;
use super::ahead::Ahead;
use super::error::{Fault, Refusal};
use super::http::{Request, Tries};
use super::json::{self, endpoint};
use super::ledger::LedgerEntry;
use super::write::{is_refusal, seen_through};
use crate::error::ErrorKind;
use crate::id::{ExternalId, MatchKey, StoreId};
use crate::model::Kind;
use crate::store::{Write, WriteItem, Written};
use crate::trace;

pub(super) const TAKEN: &str = "another record has this external id";

const UNSEEN: Fault = Fault::NoAnswer("a record was made, and could not be looked at");

/// Creates under way at once. Each waits for two answers or three, one after the other: this makes 25 a second where an answer takes
/// up to 160 or 107 ms, and reads are not limited.
const AT_ONCE: usize = 8;

/// Held while links are given.
pub(super) type Turn = Arc<OwnedMutexGuard<()>>;

/// A record that shall be made.
struct Planned {
    kind: Kind,
    link: ExternalId,
    record: Map<String, Value>,
}

/// Creates of one kind that are under way together.
struct Together {
    /// Nobody else of this process gives a link meanwhile.
    turn: Turn,
    /// How many may be under way.
    room: AtomicUsize,
    /// Whether the first one has yet to show that the server keeps links.
    is_probing: AtomicBool,
    made: AtomicUsize,
    halt: OnceLock<Halt>,
}

/// Why no further create of a call goes out.
enum Halt {
    /// What came of one ends the call.
    End,
    /// The store takes no more records.
    Full(Refusal),
}

/// What came of one, and which one it was; `None`: it did not go out.
type Came = (usize, Result<Option<Written>, Fault>);

impl ScimStore {
    /// Waits until nobody else of this process gives a link.
    pub(super) async fn turn(&self) -> Turn {
        Arc::new(Arc::clone(&self.linking).lock_owned().await)
    }

    /// Creates what the items say. SCIM servers need not keep external ids unique, so this one looks first. Calls that give links
    /// wait for each other, and a request that was sent is seen through to its answer also where nobody waits for it any more: the next
    /// call must find what it left (rule J4).
    ///
    /// What ends the call, or what the next one would be told as well, keeps those from going out that have not yet.
    pub(super) async fn create_each(
        &self,
        items: &mut [&mut WriteItem<'_>],
        full: &mut Option<Refusal>,
    ) -> Result<(), Fault> {
        let turn = self.turn().await;
        let (mut runs, mut again): (Vec<Vec<_>>, Vec<_>) = (Vec::new(), Vec::new());
        let (mut links, mut names) = (BTreeSet::new(), BTreeSet::new());
        for item in items {
            let planned = match self.planned(item.write()) {
                Ok(planned) => planned,
                Err(fault) => {
                    super::answer(item, Err(fault));
                    continue;
                }
            };
            let wanted = self.unique_names(item.write());
            let is_first =
                links.insert(planned.link.clone()) && wanted.iter().all(|name| !names.contains(name));
            names.extend(wanted);
            if !is_first {
                again.push((item, planned));
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|(_, last): &(_, Planned)| last.kind == planned.kind) => {
                    run.push((item, planned));
                }
                _ => runs.push(vec![(item, planned)]),
            }
        }
        // What one call asks for twice, the first one gets.
        runs.extend(again.into_iter().map(|twice| vec![twice]));
        for run in runs {
            self.create_run(&turn, run, full).await?;
        }
        Ok(())
    }

    async fn create_run(
        &self,
        turn: &Turn,
        run: Vec<(&mut &mut WriteItem<'_>, Planned)>,
        full: &mut Option<Refusal>,
    ) -> Result<(), Fault> {
        let (mut items, planned): (Vec<_>, Vec<Planned>) = run.into_iter().unzip();
        let is_known =
            planned.first().is_some_and(|first| self.keeps_links(first.kind).load(Ordering::Relaxed));
        let together = Arc::new(Together {
            turn: Arc::clone(turn),
            room: AtomicUsize::new(if is_known { AT_ONCE } else { 1 }),
            is_probing: AtomicBool::new(!is_known),
            made: AtomicUsize::new(0),
            halt: full.clone().map(|refusal| OnceLock::from(Halt::Full(refusal))).unwrap_or_default(),
        });
        let (mut under_way, mut end) = (JoinSet::new(), None);
        let mut settle = |came: Result<Came, JoinError>| {
            let settled = match came {
                Ok((number, outcome)) => match (items.get_mut(number), outcome.transpose()) {
                    (Some(item), Some(outcome)) => super::answer_or_end(item, outcome, full),
                    _ => Ok(()),
                },
                // The runtime is shutting down.
                Err(_) => Err(Fault::NoAnswer("the request was not seen to its end")),
            };
            if let Err(fault) = settled {
                end = Some(weightier(end.take(), fault));
            }
        };
        for (number, planned) in planned.into_iter().enumerate() {
            while under_way.len() >= together.room.load(Ordering::Relaxed) {
                let Some(came) = under_way.join_next().await else { break };
                settle(came);
            }
            let (store, together) = (self.clone(), Arc::clone(&together));
            under_way.spawn(trace::here(async move {
                let outcome = store.create(&together, planned).await;
                if let Err(fault) = &outcome {
                    together.meet(fault);
                }
                (number, outcome)
            }));
        }
        while let Some(came) = under_way.join_next().await {
            settle(came);
        }
        end.map_or(Ok(()), Err)
    }

    /// Up to its first request all of it is given up with the call.
    async fn create(&self, together: &Together, planned: Planned) -> Result<Option<Written>, Fault> {
        if let Some(halt) = together.halt.get() {
            return halt.answer();
        }
        if self.is_linked(&planned.link).await? {
            return Err(Fault::Exists(TAKEN));
        }
        let (mut tries, mut made) = (Tries::begin(), together.made.load(Ordering::Relaxed));
        loop {
            self.client.http.write_turn().await;
            if let Some(halt) = together.halt.get() {
                return halt.answer();
            }
            let (store, turn) = (self.clone(), Arc::clone(&together.turn));
            let (kind, link, record) = (planned.kind, planned.link.clone(), planned.record.clone());
            let made_one = seen_through(async move {
                let _turn = turn;
                store.create_new(kind, &link, record).await
            });
            let fault = match made_one.await {
                Ok(written) => {
                    together.made_one();
                    return Ok(Some(written));
                }
                Err(fault) => fault,
            };
            if fault.status() == Some(429) {
                together.narrow();
                // It goes on, if slowly: others were made since.
                let now = together.made.load(Ordering::Relaxed);
                if now > made {
                    (tries, made) = (Tries::begin(), now);
                }
            }
            if !self.client.http.may_go_again(false, &fault, &mut tries).await {
                return Err(fault);
            }
        }
    }

    fn planned(&self, write: &Write<'_>) -> Result<Planned, Fault> {
        match *write {
            Write::CreateUser { external_id, attributes, active, origin: _ } => {
                let mut record = self.new_record(Kind::User, external_id, attributes)?;
                record.insert("active".to_owned(), json!(active));
                Ok(Planned { kind: Kind::User, link: external_id.clone(), record })
            }
            Write::CreateGroup { external_id, attributes } => {
                let record = self.new_record(Kind::Group, external_id, attributes)?;
                Ok(Planned { kind: Kind::Group, link: external_id.clone(), record })
            }
            _ => Err(Fault::Unsupported("this store does not know this write")),
        }
    }

    /// The values of a create that only one record can have.
    fn unique_names(&self, write: &Write<'_>) -> Vec<(Kind, String, MatchKey)> {
        let (kind, attributes) = match *write {
            Write::CreateUser { attributes, .. } => (Kind::User, attributes),
            Write::CreateGroup { attributes, .. } => (Kind::Group, attributes),
            _ => return Vec::new(),
        };
        let capabilities = &self.client.capabilities;
        let schemas = match kind {
            Kind::User => &capabilities.users,
            Kind::Group => &capabilities.groups,
        };
        let unique = schemas.iter().filter(|(_, schema)| schema.unique);
        let keys = unique.flat_map(|(name, schema)| {
            attributes.values(name).map(move |value| (kind, name.clone(), schema.matching.key(value)))
        });
        keys.collect()
    }

    fn keeps_links(&self, kind: Kind) -> &AtomicBool {
        match kind {
            Kind::User => &self.known.keeps_links_of_users,
            Kind::Group => &self.known.keeps_links_of_groups,
        }
    }

    /// Whether a user or a group carries the external id.
    pub(super) async fn is_linked(&self, external_id: &ExternalId) -> Result<bool, Fault> {
        let look = |kind| {
            let (store, external_id) = (self.clone(), external_id.clone());
            async move { Ok(!store.linked(kind, &external_id, false).await?.is_empty()) }
        };
        let found = Ahead::new(2, [Kind::User, Kind::Group].into_iter().map(look)).all().await?;
        Ok(found.contains(&true))
    }

    async fn create_new(
        &self,
        kind: Kind,
        external_id: &ExternalId,
        record: Map<String, Value>,
    ) -> Result<Written, Fault> {
        let text = self.external_id(external_id)?;
        // Each would be a stranger to the next run, and be made again and again.
        if self.known.drops_links.load(Ordering::Relaxed) {
            return Err(Fault::Unsupported(
                "the server does not keep external ids: it has dropped one before",
            ));
        }
        let ledger = self.ledger.as_ref().filter(|_| kind == Kind::Group);
        // One that was announced before may be there yet, whatever the server says of this one.
        let was_announced = match ledger {
            Some(ledger) => ledger.announce(&text).await?,
            None => false,
        };
        let request = Request::post(&[endpoint(kind)], Value::Object(record));
        let answer = match self.client.http.send_once(&request).await {
            // Not made, but found: whose it is shows when it is looked up by its link.
            Ok(answer) if answer.status != 201 => Err(Fault::Exists("the server has not made a new record")),
            answered => answered,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => {
                // Whatever may have been made after all stays announced.
                if let Some(ledger) = ledger.filter(|_| is_refusal(&fault) && !was_announced) {
                    ledger.note(LedgerEntry::NotMade { external_id: text }).await?;
                }
                return Err(fault);
            }
        };
        let made = answer.object();
        let Some(id) = made.and_then(|made| json::text(made, "id")) else {
            // It is there; only its name is lost. Whoever asks by its external id learns it.
            return Err(Fault::NoAnswer("the server has not told which record it made"));
        };
        if made.and_then(|made| json::text(made, "externalId")).is_some_and(|kept| kept != text) {
            self.known.drops_links.store(true, Ordering::Relaxed);
            return Err(Fault::Permanent("the server has changed the external id of a new record"));
        }
        if made.is_some_and(|made| json::field(made, "externalId").is_none())
            // It is there, whatever becomes of this look: no word about the look is one about the create.
            && !self.keeps_link(kind, id, &text).await.map_err(|_| UNSEEN)?
        {
            return Err(Fault::Permanent("the server has not kept the external id of a new record"));
        }
        self.keeps_links(kind).store(true, Ordering::Relaxed);
        let written = self.client.written(&answer, kind, id).await?;
        let group = StoreId::from(id);
        if let Some(ledger) = ledger {
            let noted = ledger.note(LedgerEntry::Made { external_id: text, group: group.clone() }).await;
            // It is there: whoever takes that for a refusal would leave it alone.
            noted.map_err(|_| Fault::NoAnswer("a group was made, and the ledger could not be written"))?;
        }
        Ok(Written { id: Some(group), ..written })
    }

    /// Whether a new record has its link, where the answer did not show it.
    async fn keeps_link(&self, kind: Kind, id: &str, text: &str) -> Result<bool, Fault> {
        let Some(found) = self.client.get_object(kind, id, false).await? else { return Err(UNSEEN) };
        let keeps = json::text(&found, "externalId") == Some(text);
        if !keeps {
            self.known.drops_links.store(true, Ordering::Relaxed);
        }
        Ok(keeps)
    }
}

impl Together {
    fn made_one(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
        if self.is_probing.swap(false, Ordering::Relaxed) {
            self.room.store(AT_ONCE, Ordering::Relaxed);
        }
    }

    /// It was too much at once: for the rest of the run half as many begin, and half of those for each further 429.
    fn narrow(&self) {
        let half = |room: usize| Some((room / 2).max(1));
        let _ = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, half);
    }

    /// A fault that concerns the others as well.
    fn meet(&self, fault: &Fault) {
        let halt = match fault {
            fault if super::ends_call(fault) => Halt::End,
            Fault::Refused(refusal) if refusal.kind() == ErrorKind::QuotaExceeded => {
                Halt::Full(refusal.clone())
            }
            _ => return,
        };
        let _ = self.halt.set(halt);
    }
}

impl Halt {
    fn answer(&self) -> Result<Option<Written>, Fault> {
        match self {
            Self::End => Ok(None),
            Self::Full(refusal) => Err(Fault::Refused(refusal.clone())),
        }
    }
}

/// The one of two that a call ends with: one after which something may have been made, so that the engine looks; else the one of
/// the longer wait.
fn weightier(one: Option<Fault>, other: Fault) -> Fault {
    let weight = |fault: &Fault| (!is_refusal(fault), fault.wait());
    match one {
        Some(one) if weight(&one) >= weight(&other) => one,
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_ends_with_what_leaves_most_open() {
        // rule X1: 401 is no reason not to look for what another create has left
        let refused = |status, wait| Fault::Refused(Refusal::new(status, None, wait));
        let lost = || Fault::NoAnswer("lost");
        for (one, other) in [(refused(401, None), lost()), (lost(), refused(401, None))] {
            assert!(matches!(weightier(Some(one), other), Fault::NoAnswer(_)));
        }
        let wait = Some(Duration::from_secs(120));
        for (one, other) in [(lost(), refused(503, wait)), (refused(503, wait), lost())] {
            assert_eq!(weightier(Some(one), other).wait(), wait);
        }
    }
}
