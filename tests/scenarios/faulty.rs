//! Stores that misbehave, and a timer without time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use identity_sync::memory::MemoryStore;
use identity_sync::{
    ErrorKind, Event, IdentityStore, Kind, PageEnd, PageToken, Progress, StoreCapabilities, StoreError,
    StoreId, StoreSelect, StoredGroupPage, StoredUserPage, Timer, Timestamp, Write, WriteBatch, Written,
};

/// Reads only half of its users or groups.
pub(crate) struct PartialStore<'s>(pub(crate) &'s MemoryStore, pub(crate) Kind);

impl PartialStore<'_> {
    fn end(&self, kind: Kind, end: PageEnd) -> PageEnd {
        if self.1 == kind { PageEnd::partial("half of it") } else { end }
    }
}

#[async_trait::async_trait]
impl IdentityStore for PartialStore<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        Ok(self.end(Kind::User, self.0.read_users(select, at, page).await?))
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        Ok(self.end(Kind::Group, self.0.read_groups(select, at, page).await?))
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.0.write(batch).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// Somebody else acts just before, or just after, one write.
pub(crate) struct Interloper<'s, F> {
    store: &'s MemoryStore,
    at: usize,
    when: When,
    act: F,
    writes: AtomicUsize,
    acted: AtomicBool,
}

impl<'s, F: Fn() + Send + Sync> Interloper<'s, F> {
    pub(crate) fn new(store: &'s MemoryStore, at: usize, when: When, act: F) -> Self {
        Self { store, at, when, act, writes: AtomicUsize::new(0), acted: AtomicBool::new(false) }
    }

    pub(crate) fn acted(&self) -> bool {
        self.acted.load(Ordering::SeqCst)
    }

    fn perhaps(&self, number: usize, when: When) {
        if number == self.at && when == self.when {
            (self.act)();
            self.acted.store(true, Ordering::SeqCst);
        }
    }
}

#[async_trait::async_trait]
impl<F: Fn() + Send + Sync> IdentityStore for Interloper<'_, F> {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        for item in batch.items() {
            let number = self.writes.fetch_add(1, Ordering::SeqCst);
            self.perhaps(number, When::Before);
            let mut single = WriteBatch::new();
            single.push(item.write().clone());
            self.store.write(&mut single).await?;
            let answer = single.into_answers().next().flatten();
            self.perhaps(number, When::After);
            answer.into_iter().for_each(|answer| item.answer(answer));
        }
        Ok(())
    }
}

/// What happens to one write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Refused, nothing happens.
    Refuse(ErrorKind),
    /// Refused as busy, with a time to wait.
    Busy(Duration),
    /// It happens, and an error comes back.
    LoseAnswer(ErrorKind),
    /// It happens, and its slot stays empty.
    KeepSilent,
    /// Nothing happens, and its slot stays empty.
    Forget,
    /// It happens, and the answer names no record.
    KeepId,
    /// It happens, and the answer names this record.
    Name(&'static str),
    /// Nothing happens, and it is answered as done.
    Pretend,
    /// The whole call fails from here on.
    Break(ErrorKind),
    /// The whole call is refused as busy from here on, with a time to wait.
    Shut(Duration),
}

/// Follows a script: what goes wrong, by the number of the write.
pub(crate) struct Scripted<'s> {
    store: &'s MemoryStore,
    script: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    /// Writes at which the call fails, whenever they arrive.
    stuck: Vec<String>,
    /// Every write that arrived: what it is about.
    pub(crate) log: Mutex<Vec<String>>,
    /// Items of each call.
    pub(crate) calls: Mutex<Vec<usize>>,
}

impl<'s> Scripted<'s> {
    pub(crate) fn new(store: &'s MemoryStore, script: impl IntoIterator<Item = (usize, Fault)>) -> Self {
        let script = script.into_iter().collect();
        Self {
            store,
            script,
            always: None,
            stuck: Vec::new(),
            log: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    pub(crate) fn always(store: &'s MemoryStore, fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::new(store, []) }
    }

    pub(crate) fn stuck_at(self, writes: impl IntoIterator<Item = String>) -> Self {
        Self { stuck: writes.into_iter().collect(), ..self }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn described(write: &Write<'_>) -> String {
    let ids = |ids: &[StoreId]| ids.len();
    match write {
        Write::CreateUser { external_id, .. } => format!("create user {}", external_id.value),
        Write::CreateGroup { external_id, .. } => format!("create group {}", external_id.value),
        Write::UpdateUser { id, .. } => format!("update {id}"),
        Write::UpdateGroup { id, .. } => format!("update {id}"),
        Write::SetActive { id, active, .. } => {
            format!("{} {id}", if *active { "switch on" } else { "switch off" })
        }
        Write::DeleteUser { id, .. } | Write::DeleteGroup { id, .. } => format!("delete {id}"),
        Write::Adopt { id, .. } => format!("adopt {id}"),
        Write::AddMembers { id, members, .. } => format!("add {} to {id}", ids(members)),
        Write::RemoveMembers { id, members, .. } => format!("remove {} from {id}", ids(members)),
        other => panic!("unknown write {other:?}"),
    }
}

#[async_trait::async_trait]
impl IdentityStore for Scripted<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_users(select, at, page).await
    }

    async fn read_groups(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredGroupPage,
    ) -> Result<PageEnd, StoreError> {
        self.store.read_groups(select, at, page).await
    }

    async fn write(&self, batch: &mut WriteBatch<'_>) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push(batch.len());
        let error = |kind| StoreError::new(kind, "as scripted");
        for item in batch.items() {
            let write = described(item.write());
            if self.stuck.contains(&write) {
                return Err(error(ErrorKind::Transient));
            }
            let number = {
                let mut log = self.log.lock().unwrap();
                log.push(write);
                log.len() - 1
            };
            let fault = self.script.get(&number).copied().or(self.always);
            match fault {
                Some(Fault::Refuse(kind)) => {
                    item.answer(Err(error(kind)));
                    continue;
                }
                Some(Fault::Busy(wait)) => {
                    item.answer(Err(error(ErrorKind::Transient).retry_after(wait)));
                    continue;
                }
                Some(Fault::Forget) => continue,
                Some(Fault::Pretend) => {
                    item.answer(Ok(Written::done()));
                    continue;
                }
                Some(Fault::Break(kind)) => return Err(error(kind)),
                Some(Fault::Shut(wait)) => return Err(error(ErrorKind::Transient).retry_after(wait)),
                _ => {}
            }
            let mut single = WriteBatch::new();
            single.push(item.write().clone());
            self.store.write(&mut single).await?;
            match (fault, single.into_answers().next().flatten()) {
                (Some(Fault::LoseAnswer(kind)), _) => item.answer(Err(error(kind))),
                (Some(Fault::KeepSilent), _) | (_, None) => {}
                (Some(Fault::KeepId), _) => item.answer(Ok(Written::done())),
                (Some(Fault::Name(id)), _) => item.answer(Ok(Written::created(id))),
                (_, Some(answer)) => item.answer(answer),
            }
        }
        Ok(())
    }
}

/// A timer that notes how long it was asked to wait.
#[derive(Default)]
pub(crate) struct FakeTimer {
    pub(crate) waits: Mutex<Vec<Duration>>,
}

impl FakeTimer {
    pub(crate) fn millis(&self) -> Vec<u128> {
        self.waits.lock().unwrap().iter().map(Duration::as_millis).collect()
    }
}

#[async_trait::async_trait]
impl Timer for FakeTimer {
    async fn sleep(&self, wait: Duration) {
        self.waits.lock().unwrap().push(wait);
    }

    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn jitter(&self) -> f64 {
        1.0
    }
}

/// Notes every event; may do something at each.
pub(crate) struct Listener<F> {
    pub(crate) events: Mutex<Vec<String>>,
    react: F,
}

impl<F: Fn(&Event<'_>) + Send + Sync> Listener<F> {
    pub(crate) fn new(react: F) -> Self {
        Self { events: Mutex::default(), react }
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync> Progress for Listener<F> {
    fn event(&self, event: Event<'_>) {
        let text = match &event {
            Event::Read { what, rows } => format!("read {rows} {what}"),
            Event::Started { operations } => format!("started {operations}"),
            Event::Outcome { operation, outcome } => format!("{operation}: {outcome}"),
            Event::Finished { applied } => format!("finished {applied}"),
            other => format!("{other:?}"),
        };
        self.events.lock().unwrap().push(text);
        (self.react)(&event);
    }
}
