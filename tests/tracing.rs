//! What a run says to `tracing`: spans and events by name, no word of anybody's, and the same results as without.

#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
use identity_sync::{
    AccountState, ApplyOptions, ErrorKind, Host, IdentityStore, Limit, Options, PageEnd, PageToken, Run,
    RunState, StoreCapabilities, StoreError, StoreSelect, StoredGroupPage, StoredUserPage, Timer, Timestamp,
    WriteBatch, apply, reconcile, sign_in,
};
use pollster::block_on;
use pretty_assertions::assert_eq;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What was said: a span or an event, where it stands, and its fields as text.
#[derive(Clone, Debug)]
struct Said {
    level: Level,
    is_span: bool,
    name: String,
    parent: Option<String>,
    fields: BTreeMap<String, String>,
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// Hears everything at all levels.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    said: Vec<Said>,
    names: Vec<String>,
    entered: Vec<u64>,
    /// Entered and not left, or made and not closed.
    open: i64,
}

impl Ear {
    fn said(&self) -> Vec<Said> {
        self.0.lock().unwrap().said.clone()
    }
}

impl Heard {
    fn name(&self, id: u64) -> String {
        self.names[id as usize - 1].clone()
    }

    fn current(&self) -> Option<String> {
        self.entered.last().map(|id| self.name(*id))
    }
}

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut heard = self.0.lock().unwrap();
        let (name, parent) = (span.metadata().name().to_owned(), heard.current());
        heard.names.push(name.clone());
        heard.open += 1;
        let said = Said { level: *span.metadata().level(), is_span: true, name, parent, fields: fields.0 };
        heard.said.push(said);
        Id::from_u64(heard.names.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut heard = self.0.lock().unwrap();
        let parent = event.parent().map(|id| heard.name(id.into_u64())).or_else(|| heard.current());
        let name = fields.0.remove("message").unwrap_or_default();
        heard.said.push(Said {
            level: *event.metadata().level(),
            is_span: false,
            name,
            parent,
            fields: fields.0,
        });
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        assert_eq!(
            self.0.lock().unwrap().entered.pop(),
            Some(id.into_u64()),
            "spans are left in another order"
        );
    }

    fn try_close(&self, _: Id) -> bool {
        self.0.lock().unwrap().open -= 1;
        true
    }
}

/// A marker that stands in every value, name, anchor and message of this world.
const MARK: &str = "tell-nobody";

fn marked(text: &str) -> String {
    format!("{MARK} {text}")
}

fn directory(day: usize) -> MemoryDirectory {
    let mut directory = MemoryDirectory::new("corp").with_page_size(3);
    for user in 0..10 {
        let name = marked(&format!("user{user}@example.com"));
        let added = directory.add_user(
            &marked(&format!("u{user}")),
            &[
                ("userPrincipalName", &name),
                ("displayName", &marked(&format!("{user} on day {day}"))),
                ("title", MARK),
            ],
        );
        if day > 0 && user == 3 {
            added.state = AccountState::Disabled;
        }
    }
    let members: Vec<String> = (0..10).map(|user| marked(&format!("u{user}"))).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    directory.add_group(&marked("g"), &[("cn", &marked("staff"))], &members);
    for gone in 5..10 {
        if day > 0 {
            directory.remove(&marked(&format!("u{gone}")));
        }
    }
    directory
}

/// A store that fails at times, in words that it should have kept to itself.
struct Talkative<'s> {
    store: &'s MemoryStore,
    calls: AtomicUsize,
    batches: AtomicUsize,
}

impl Talkative<'_> {
    fn fail(&self) -> Result<(), StoreError> {
        match self.calls.fetch_add(1, Ordering::SeqCst) {
            0 | 4 => Err(StoreError::new(ErrorKind::Transient, marked("is busy"))),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl IdentityStore for Talkative<'_> {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = self.store.capabilities();
        capabilities.batch = 4;
        capabilities
    }

    async fn read_users(
        &self,
        select: StoreSelect<'_>,
        at: Option<&PageToken>,
        page: &mut StoredUserPage,
    ) -> Result<PageEnd, StoreError> {
        self.fail()?;
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
        self.fail()?;
        // The third batch is refused as a whole.
        if self.batches.fetch_add(1, Ordering::SeqCst) == 2 {
            return Err(StoreError::new(ErrorKind::Invalid, marked("is refused")));
        }
        self.store.write(batch).await
    }
}

struct Impatient;

#[async_trait]
impl Timer for Impatient {
    async fn sleep(&self, _: Duration) {}

    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

/// Two days and a sign-in; answers all that came of them, as text.
fn life() -> String {
    let store = MemoryStore::new("app").with_page_size(4);
    let talkative = Talkative { store: &store, calls: AtomicUsize::new(0), batches: AtomicUsize::new(0) };
    let assignments = MemoryAssignments::of("corp", &[&marked("g")]);
    let host = Host::default().timer(&Impatient);
    let mut options = Options::for_issuer("corp");
    options.guards.user_deletes = Some(Limit::new(Some(1), 0, 1));
    let (mut state, mut all) = (RunState::default(), String::new());
    for day in 0..2 {
        let run = Run::new(state, Timestamp(1_000));
        let found =
            block_on(reconcile(&directory(day), &talkative, &assignments, &options, &run, &host)).unwrap();
        let report = block_on(apply(&found.plan, &talkative, &ApplyOptions::default(), &host)).unwrap();
        let document = serde_json::to_string(&found.plan).unwrap();
        write!(all, "{document}\n{}\n{report}\n{:?}\n", found.plan, report.outcomes).unwrap();
        state = report.run;
    }
    let anchor = marked("u1").as_str().into();
    let run = Run::new(state, Timestamp(1_000));
    let signed = block_on(sign_in(&directory(1), &talkative, &anchor, &options, &run, &host)).unwrap();
    write!(all, "{} {}\n{:?}", signed.allowed, signed.report, store.state().users).unwrap();
    all
}

fn heard() -> Vec<Said> {
    let ear = Ear::default();
    tracing::subscriber::with_default(ear.clone(), life);
    assert_eq!(ear.0.lock().unwrap().open, 0, "a span is never closed");
    assert!(ear.0.lock().unwrap().entered.is_empty(), "a span is never left");
    ear.said()
}

/// The fields of the events of this name, each as `field=value`, ordered by name.
fn events(said: &[Said], name: &str) -> Vec<String> {
    let of_name = said.iter().filter(|said| !said.is_span && said.name == name);
    let fields = |said: &Said| {
        let parts = said.fields.iter().map(|(field, value)| format!("{field}={value}"));
        format!(
            "{} {} {}",
            said.level,
            said.parent.as_deref().unwrap_or("-"),
            parts.collect::<Vec<_>>().join(" ")
        )
    };
    of_name.map(fields).collect()
}

#[test]
fn every_step_is_a_span_inside_its_run() {
    let said = heard();
    let mut spans: Vec<(String, String)> = said
        .iter()
        .filter(|said| said.is_span)
        .map(|said| (said.parent.clone().unwrap_or_default(), said.name.clone()))
        .collect();
    spans.sort();
    spans.dedup();
    let pairs = [
        ("", "reconcile"),
        ("", "sign_in"),
        ("apply", "write"),
        ("reconcile", "correlate"),
        ("reconcile", "diff"),
        ("reconcile", "plan"),
        ("reconcile", "scope"),
        ("reconcile", "snapshot"),
        ("sign_in", "apply"),
        ("sign_in", "correlate"),
        ("sign_in", "diff"),
        ("sign_in", "plan"),
        ("sign_in", "read"),
        ("sign_in", "snapshot"),
        ("snapshot", "read"),
        ("", "apply"),
    ];
    let mut expected: Vec<_> = pairs.map(|(parent, name)| (parent.to_owned(), name.to_owned())).into();
    expected.sort();
    assert_eq!(spans, expected);
}

#[test]
fn reads_writes_retries_and_limits_are_told_with_their_counts() {
    // rules D4, X1, X3
    let said = heard();
    let reads = events(&said, "read");
    assert!(reads.iter().all(|read| read.starts_with("INFO read bytes=")), "{reads:?}");
    // Assignments, store users and groups, source users and groups; twice. And the look-ups of a sign-in.
    assert!(reads.len() >= 10, "{reads:?}");
    let source: Vec<_> =
        reads.iter().filter(|read| read.ends_with("complete=true pages=4 rows=10")).collect();
    assert!(!source.is_empty(), "ten users are four pages of three: {reads:?}");
    let whats: Vec<_> = said
        .iter()
        .filter(|said| said.is_span && said.name == "read")
        .map(|said| said.fields["what"].as_str())
        .collect();
    for what in ["assignments", "store users", "store groups", "source users", "source groups"] {
        assert!(whats.contains(&what), "{what}: {whats:?}");
    }
    assert!(
        events(&said, "page")
            .iter()
            .all(|page| page.starts_with("DEBUG read bytes=") && page.contains(" rows="))
    );
    assert_eq!(events(&said, "tried again").len(), 1);
    assert_eq!(events(&said, "tried again")[0], "WARN read attempt=2 kind=Transient");
    assert_eq!(events(&said, "write is tried again")[0], "WARN apply attempt=2");
    // Two of the five who have gone were in the batch that was refused.
    let tripped = events(&said, "limit tripped");
    assert!(
        tripped.iter().any(|trip| trip.starts_with("WARN reconcile allowed=1 base=")
            && trip.ends_with("limit=UserDeletes planned=3")),
        "{tripped:?}"
    );
    assert_eq!(events(&said, "planned").len(), 3);
    let outcomes = events(&said, "");
    let count = |what: &str| outcomes.iter().filter(|line| line.contains(what)).count();
    assert!(count("act=create object=user operation=0 outcome=applied") >= 1, "{outcomes:?}");
    assert!(count("kind=Invalid") >= 1, "{outcomes:?}");
    assert!(count("act=add members object=group") >= 1, "{outcomes:?}");
    assert_eq!(events(&said, "applied").len(), 3);
}

#[test]
fn no_word_of_a_person_or_an_adapter_is_told_at_any_level() {
    // rule S2
    let said = heard();
    assert!(said.len() > 100);
    for said in &said {
        assert!(!format!("{said:?}").contains(MARK), "{said:?}");
    }
    // The world is full of it.
    assert!(life().matches(MARK).count() > 100);
}

#[test]
fn results_are_the_same_with_a_listener_and_without() {
    // rule S3
    // Where a thread has none at all, what it meets first is noted as of no interest to the one that there is.
    let alone = tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), life);
    let ear = Ear::default();
    let heard = tracing::subscriber::with_default(ear.clone(), life);
    assert!(!ear.said().is_empty());
    assert_eq!(heard, alone);
}

#[cfg(feature = "scim")]
#[test]
fn requests_that_an_adapter_sends_again_are_told() {
    // rule X3
    use identity_sync::adapter::scim::{ScimOptions, ScimStore, Token};
    use std::io::{Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scim", listener.local_addr().unwrap());
    let config = format!(r#"{{"documentationUri": "{MARK}"}}"#);
    let server = std::thread::spawn(move || {
        for status in ["503 X", "200 OK"] {
            let mut stream = listener.accept().unwrap().0;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend_from_slice(&byte);
            }
            let length = config.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/scim+json\r\nContent-Length: {length}\r\n\r\n{config}"
            )
            .unwrap();
        }
    });
    let ear = Ear::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(ear.clone(), || {
        runtime.block_on(ScimStore::connect(ScimOptions::new(&url, Token::new(MARK)))).unwrap();
    });
    server.join().unwrap();
    let said: Vec<Said> = ear.said().into_iter().filter(|said| said.fields.contains_key("service")).collect();
    assert_eq!(events(&said, "request is sent again"), ["INFO - attempt=2 kind=Transient service=scim"]);
    assert!(!format!("{said:?}").contains(MARK));
}
