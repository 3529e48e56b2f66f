//! One identity store that is seen through both protocols of AWS: the Identity Store API, which lists, and SCIM, which writes;
//! beside it the assignments of Identity Center. It knows the limits that AWS documents, and fails as it is told.

mod http;
mod json;
mod scim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

pub use self::http::{End, Reply, Request};

/// The store's id, and how AWS names the issuer of what is written through SCIM.
pub const STORE: &str = "d-0123456789";
pub const SCIM_ISSUER: &str = "https://scim.aws.com/0a1b2c3d";
pub const INSTANCE: &str = "arn:aws:sso:::instance/ssoins-0123456789abcdef";
pub const TOKEN: &str = "a-bearer-token";

/// A running bridge.
#[derive(Clone)]
pub struct Bridge {
    pub url: String,
    state: Arc<Mutex<State>>,
}

/// A user or group, in SCIM's words.
#[derive(Clone, Debug)]
pub struct Record {
    pub scim: Value,
    pub revision: u64,
    /// External ids that another directory gave, as AWS shows them.
    pub foreign: Vec<(String, String)>,
}

#[derive(Default)]
pub struct State {
    pub users: BTreeMap<String, Record>,
    pub groups: BTreeMap<String, Record>,
    pub members: BTreeSet<(String, String)>,
    /// By permission set and account.
    pub assignments: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// By application.
    pub applications: BTreeMap<String, Vec<String>>,
    /// Records of a page; AWS has 100.
    pub page: usize,
    /// Most users and groups together.
    pub quota: Option<usize>,
    /// Every operation in its order: `ListUsers`, `PATCH /Groups`.
    pub log: Vec<String>,
    rules: Vec<Rule>,
    numbers: u64,
}

/// What comes of the next requests of a kind.
#[derive(Clone, Debug)]
pub struct Rule {
    /// How its name begins; empty: every operation.
    operation: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done, and this is answered.
    Answer(Reply),
    /// It is done, and the answer does not arrive as it is.
    After(End),
    /// It is not done, and nothing arrives.
    Before,
}

impl Bridge {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { page: 100, ..State::default() }));
        let shown = Arc::clone(&state);
        let url = http::serve(move |request| answer(&mut shown.lock().unwrap(), &request));
        Self { url, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next request of an operation fails so.
    pub fn fail(&self, operation: &str, fault: Fault) {
        self.fail_times(operation, 0, 1, fault);
    }

    /// After so many, so many requests of an operation fail so.
    pub fn fail_times(&self, operation: &str, skip: usize, times: usize, fault: Fault) {
        self.state().rules.push(Rule { operation: operation.to_owned(), skip, times, fault });
    }

    /// Nothing fails any more.
    pub fn clear(&self) {
        self.state().rules.clear();
    }

    pub fn scim_url(&self) -> String {
        format!("{}/scim/v2", self.url)
    }

    /// Takes the log out.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }
}

impl State {
    /// An id as AWS gives them; never the same again.
    fn fresh_id(&mut self) -> String {
        self.numbers += 1;
        format!("9067642ac7-{:08x}-5aee-4c6b-9a1f-{:012x}", self.numbers, self.numbers * 7_919)
    }

    pub fn records(&mut self, users: bool) -> &mut BTreeMap<String, Record> {
        if users { &mut self.users } else { &mut self.groups }
    }

    /// Puts a record there; answers its id.
    pub fn put(&mut self, users: bool, mut scim: Value) -> String {
        let id = self.fresh_id();
        scim["id"] = json!(id);
        let record = Record { scim, revision: 1, foreign: Vec::new() };
        self.records(users).insert(id.clone(), record);
        id
    }

    /// A user as the console makes them.
    pub fn user(&mut self, name: &str) -> String {
        let scim = json!({
            "userName": name, "displayName": name, "active": true,
            "name": { "givenName": name, "familyName": "Example" },
        });
        self.put(true, scim)
    }

    pub fn group(&mut self, name: &str) -> String {
        self.put(false, json!({ "displayName": name }))
    }

    pub fn assign(&mut self, set: &str, account: &str, principal: &str) {
        let accounts = self.assignments.entry(set.to_owned()).or_default();
        accounts.entry(account.to_owned()).or_default().push(principal.to_owned());
    }

    fn delete(&mut self, users: bool, id: &str) -> bool {
        self.members.retain(|(group, user)| if users { user != id } else { group != id });
        self.records(users).remove(id).is_some()
    }
}

fn answer(state: &mut State, request: &Request) -> Reply {
    let operation = operation(request);
    state.log.push(operation.clone());
    let rule = state.rules.iter_mut().find(|rule| rule.times > 0 && operation.starts_with(&rule.operation));
    let fault = rule.and_then(|rule| {
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    });
    match fault {
        Some(Fault::Answer(reply)) => return reply,
        Some(Fault::Before) => return Reply { end: End::Lost, ..Reply::new(200, "") },
        _ => {}
    }
    let reply = if request.path.starts_with("/scim/") {
        scim::answer(state, request)
    } else {
        json::answer(state, request)
    };
    match fault {
        Some(Fault::After(end)) => Reply { end, ..reply },
        _ => reply,
    }
}

fn operation(request: &Request) -> String {
    match request.headers.get("x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap().to_owned(),
        None => {
            let resource = request.path.trim_start_matches("/scim/v2/").split('/').next().unwrap();
            format!("{} /{resource}", request.method)
        }
    }
}

/// An answer of the awsJson protocol.
pub fn aws_error(status: u16, code: &str, more: Value) -> Reply {
    let mut body =
        json!({ "__type": format!("com.amazonaws.identitystore#{code}"), "Message": "no personal words" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Reply::new(status, body.to_string()).header("content-type", "application/x-amz-json-1.1")
}

pub fn throttled(seconds: u64) -> Fault {
    Fault::Answer(aws_error(400, "ThrottlingException", json!({ "RetryAfterSeconds": seconds })))
}

/// A name in the form in which this store compares it.
fn folded(name: &str) -> String {
    identity_sync::MatchRule::NfkcCasefold.key(name).as_str().to_owned()
}
