//! A SCIM server in this process: as strict as AWS's where it is told to be, and as troublesome as networks are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use identity_sync::{MatchKey, MatchRule};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

pub(crate) const TOKEN: &str = "c4n4ry-t0k3n-of-the-tests";

/// Which server it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Lists members, pages by index.
    Plain,
    /// The limits of AWS IAM Identity Center, pages by cursor.
    Aws,
    /// As AWS was: a first page of 50 and no cursor.
    AwsFirstPage,
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Done, and the connection closed before the answer.
    AnswerLost,
    /// Closed before anything was done.
    NotHeard,
    /// Answered with this status and these header lines, and nothing done.
    Status(u16, &'static str),
    /// Done, and answered with this status.
    DoneBut(u16),
    /// Half of the body, then the end.
    Cut,
    /// The body is this.
    Body(String),
    /// Headers that promise so many bytes, and a body that never ends.
    Huge(usize),
    /// A byte now and then.
    Drip,
    /// The page of the first call, whatever was asked for.
    FirstPageAgain,
    /// `totalResults` is off by this.
    Total(i64),
    /// The answers to a bulk request come in another order.
    Shuffled,
    /// The first answer to a bulk request is missing, and nothing says which one it was.
    OneShort,
    /// Nobody finds out what is in `externalId`.
    NoExternalId,
    /// Filters are not looked at.
    NoFilter,
    /// A page has so many records at most, and `totalResults` says how many it has.
    Capped(usize),
    /// Groups are shown without their members.
    NoMembers,
}

#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) users: Vec<Map<String, Value>>,
    pub(crate) groups: Vec<Map<String, Value>>,
    pub(crate) members: BTreeMap<String, BTreeSet<String>>,
    pub(crate) log: Vec<Logged>,
    pub(crate) accepted: BTreeSet<String>,
    /// Members whom the server does not let out of any group.
    pub(crate) chained: BTreeSet<String>,
    pub(crate) config: Value,
    troubles: Vec<(&'static str, &'static str, usize, Trouble)>,
    every: Option<(usize, Trouble)>,
    /// Most writes in a second, and how long each answer takes.
    pub(crate) pace: Option<(usize, Duration)>,
    writes: VecDeque<Instant>,
    creates_now: usize,
    /// Most creates that were under way at one time; none is answered before so many were, or five seconds have passed.
    pub(crate) most_creates: usize,
    pub(crate) wait_for_creates: usize,
    made: usize,
}

pub(crate) struct Fake {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(crate) async fn start(dialect: Dialect) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/scim/v2/", listener.local_addr().unwrap());
        let state = State {
            accepted: BTreeSet::from([TOKEN.to_owned()]),
            chained: BTreeSet::new(),
            config: config(dialect),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = serve(stream, &state, dialect).await;
                });
            }
        });
        Self { url, state, task }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next `times` requests of this method to a path that begins so meet trouble.
    pub(crate) fn trouble(&self, method: &'static str, path: &'static str, times: usize, trouble: Trouble) {
        self.state().troubles.push((method, path, times, trouble));
    }

    /// From now on, one request in so many meets trouble.
    pub(crate) fn every(&self, so_many: usize, trouble: Trouble) {
        self.state().every = Some((so_many, trouble));
    }

    pub(crate) fn requests(&self, method: &str, path: &str) -> usize {
        let state = self.state();
        state.log.iter().filter(|logged| logged.method == method && logged.path.starts_with(path)).count()
    }
}

fn config(dialect: Dialect) -> Value {
    let of = |supported: bool| json!({"supported": supported});
    match dialect {
        Dialect::Plain => {
            json!({"patch": of(true), "filter": {"supported": true, "maxResults": 100},
                   "bulk": {"supported": true, "maxOperations": 30, "maxPayloadSize": 100_000}})
        }
        Dialect::Aws | Dialect::AwsFirstPage => {
            json!({"patch": of(true), "bulk": of(false), "etag": of(false), "sort": of(false),
                   "filter": {"supported": true, "maxResults": 100}})
        }
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>, dialect: Dialect) -> std::io::Result<()> {
    // Else head and body of each answer wait for each other.
    stream.set_nodelay(true)?;
    let mut text = Vec::new();
    let (head, mut body) = loop {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).await?;
        if read == 0 {
            return Ok(());
        }
        text.extend_from_slice(&some[..read]);
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8(text[..end].to_vec()).unwrap(), text[end + 4..].to_vec());
        }
    };
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).await?;
        body.extend_from_slice(&some[..read]);
    }
    let mut line = head.lines().next().unwrap().split(' ');
    let (method, target) = (line.next().unwrap().to_owned(), line.next().unwrap().to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = path.strip_prefix("/scim/v2").unwrap_or("?").to_owned();
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let request = Logged { method, path, query: query.to_owned(), body };
    let is_create = request.method == "POST";
    let latency = {
        let mut state = state.lock().unwrap();
        state.creates_now += usize::from(is_create);
        state.most_creates = state.most_creates.max(state.creates_now);
        state.pace.map(|(_, latency)| latency)
    };
    if let Some(latency) = latency {
        tokio::time::sleep(latency).await;
    }
    let come = Instant::now();
    let is_waiting = |state: &State| is_create && state.most_creates < state.wait_for_creates;
    while is_waiting(&state.lock().unwrap()) && come.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (trouble, answer) = {
        let mut state = state.lock().unwrap();
        state.creates_now -= usize::from(is_create);
        let token = header("authorization").unwrap_or_default();
        let known = token.strip_prefix("Bearer ").is_some_and(|token| state.accepted.contains(token));
        state.log.push(request.clone());
        let trouble = if state.is_too_fast(&request) {
            Some(Trouble::Status(429, "Retry-After: 1\r\n"))
        } else {
            state.trouble(&request)
        };
        let idle = matches!(trouble, Some(Trouble::NotHeard | Trouble::Status(..)));
        let answer = match (known, idle) {
            (false, _) => (401, Value::Null),
            (_, true) => (200, Value::Null),
            _ => state.answer(&request, dialect, trouble.as_ref()),
        };
        (trouble, answer)
    };
    send(&mut stream, trouble, answer).await
}

async fn send(
    stream: &mut TcpStream,
    trouble: Option<Trouble>,
    (mut status, body): (u16, Value),
) -> std::io::Result<()> {
    let mut text = if body.is_null() { String::new() } else { body.to_string() };
    let mut extra = "";
    match &trouble {
        Some(Trouble::AnswerLost | Trouble::NotHeard) => return Ok(()),
        Some(Trouble::Status(other, lines)) => (status, extra) = (*other, lines),
        Some(Trouble::DoneBut(other)) => status = *other,
        Some(Trouble::Body(other)) => (status, text) = (200, other.clone()),
        _ => {}
    }
    let length = match trouble {
        Some(Trouble::Huge(length)) => length,
        _ => text.len(),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/scim+json\r\nConnection: close\r\n{extra}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    match trouble {
        Some(Trouble::Cut) => stream.write_all(&text.as_bytes()[..text.len() / 2]).await,
        Some(Trouble::Huge(_)) => loop {
            stream.write_all(&[b' '; 4096]).await?;
        },
        Some(Trouble::Drip) => {
            for byte in text.bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
        _ => stream.write_all(text.as_bytes()).await,
    }
}

type Answer = (u16, Value);

fn refused(status: u16, scim_type: Option<&str>, detail: &str) -> Answer {
    (status, json!({"status": status.to_string(), "scimType": scim_type, "detail": detail}))
}

impl State {
    fn is_too_fast(&mut self, request: &Logged) -> bool {
        let Some((most, _)) = self.pace.filter(|_| request.method != "GET") else { return false };
        let now = Instant::now();
        while self.writes.front().is_some_and(|first| now - *first >= Duration::from_secs(1)) {
            self.writes.pop_front();
        }
        if self.writes.len() >= most {
            return true;
        }
        self.writes.push_back(now);
        false
    }

    fn trouble(&mut self, request: &Logged) -> Option<Trouble> {
        let fits = |(method, path, times, _): &(&str, &str, usize, Trouble)| {
            *times > 0 && *method == request.method && request.path.starts_with(path)
        };
        if let Some(found) = self.troubles.iter_mut().find(|rule| fits(rule)) {
            found.2 -= 1;
            return Some(found.3.clone());
        }
        let number = self.log.len();
        // Spread as by chance, and the same each time.
        let meets = |so_many: &usize| (number.wrapping_mul(2_654_435_761) >> 7) % so_many == 0;
        self.every.as_ref().filter(|(so_many, _)| meets(so_many)).map(|(_, trouble)| trouble.clone())
    }

    fn answer(&mut self, request: &Logged, dialect: Dialect, trouble: Option<&Trouble>) -> Answer {
        let aws = dialect != Dialect::Plain;
        let parts: Vec<String> = request.path.split('/').skip(1).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["ServiceProviderConfig"]) => (200, self.config.clone()),
            ("GET", [kind @ ("Users" | "Groups")]) => self.list(kind, &request.query, dialect, trouble),
            ("GET", [kind, id]) => match self.find(kind, id) {
                Some(at) => (200, self.shown(kind, at, aws, trouble)),
                None => refused(404, None, "it is not there"),
            },
            ("POST", ["Bulk"]) if !aws => self.bulk(&request.body, trouble),
            ("POST", [kind]) => self.create(kind, &request.body, aws, trouble),
            ("PATCH", ["Users", id]) => self.patch_user(id, &request.body, aws),
            ("PATCH", ["Groups", id]) => self.patch_group(id, &request.body, aws),
            ("DELETE", [kind, id]) => match self.find(kind, id) {
                Some(at) => {
                    self.records(kind).remove(at);
                    self.members.remove(*id);
                    self.members.values_mut().for_each(|members| {
                        members.remove(*id);
                    });
                    (204, Value::Null)
                }
                None => refused(404, None, "it is not there"),
            },
            _ => refused(404, None, "there is no such address"),
        }
    }

    fn bulk(&mut self, body: &Value, trouble: Option<&Trouble>) -> Answer {
        let operations = body["Operations"].as_array().unwrap();
        if operations.len() > 30 || body.to_string().len() > 100_000 {
            return refused(413, None, "too much");
        }
        let mut answers = Vec::new();
        for operation in operations {
            let text = |name: &str| operation[name].as_str().unwrap().to_owned();
            let request = Logged {
                method: text("method"),
                path: text("path"),
                query: String::new(),
                body: operation["data"].clone(),
            };
            let (status, answer) = self.answer(&request, Dialect::Plain, None);
            let mut told = json!({"method": request.method, "status": status.to_string()});
            match (status, answer["id"].as_str()) {
                (201, Some(id)) => told["location"] = json!(format!("http://x/scim/v2{}/{id}", request.path)),
                (200..300, _) => told["location"] = json!(format!("http://x/scim/v2{}", request.path)),
                _ => told["response"] = answer,
            }
            // As some servers do: who was named gets his name back, and of the others only who was made.
            if request.method == "POST" || matches!(trouble, Some(Trouble::Shuffled)) {
                told["bulkId"] = operation["bulkId"].clone();
            }
            answers.push(told);
        }
        match trouble {
            Some(Trouble::Shuffled) => answers.reverse(),
            Some(Trouble::OneShort) => {
                answers.remove(0);
            }
            _ => {}
        }
        (
            200,
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"], "Operations": answers}),
        )
    }

    fn records(&mut self, kind: &str) -> &mut Vec<Map<String, Value>> {
        if kind == "Users" { &mut self.users } else { &mut self.groups }
    }

    fn find(&mut self, kind: &str, id: &str) -> Option<usize> {
        self.records(kind).iter().position(|record| record["id"] == id)
    }

    fn shown(&mut self, kind: &str, at: usize, aws: bool, trouble: Option<&Trouble>) -> Value {
        let mut record = self.records(kind)[at].clone();
        if kind == "Groups" && !aws {
            let members = self.members.get(record["id"].as_str().unwrap()).into_iter().flatten();
            let members: Vec<Value> = members.map(|id| json!({"value": id})).collect();
            record.insert("members".into(), json!(members));
        }
        if matches!(trouble, Some(Trouble::NoExternalId)) {
            record.remove("externalId");
        }
        if matches!(trouble, Some(Trouble::NoMembers)) {
            record.remove("members");
        }
        Value::Object(record)
    }

    fn list(&mut self, kind: &str, query: &str, dialect: Dialect, trouble: Option<&Trouble>) -> Answer {
        let aws = dialect != Dialect::Plain;
        let parameters: BTreeMap<String, String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        let known: &[&str] = if aws {
            &["filter", "count", "cursor"]
        } else {
            &["filter", "count", "startIndex", "excludedAttributes"]
        };
        if let Some(other) = parameters.keys().find(|name| !known.contains(&name.as_str())) {
            return refused(400, None, &format!("{other} is not supported"));
        }
        let mut fit: Vec<usize> = (0..self.records(kind).len()).collect();
        if let Some(filter) = parameters.get("filter").filter(|_| !matches!(trouble, Some(Trouble::NoFilter)))
        {
            let Some(terms) = terms(filter) else { return refused(400, Some("invalidFilter"), "no filter") };
            let names: Vec<&str> = terms.iter().map(|(name, _)| name.as_str()).collect();
            let supported = match (kind, names.as_slice()) {
                _ if !aws => true,
                ("Users", ["userName" | "externalId"]) => true,
                ("Groups", ["displayName" | "externalId"] | ["id", "members"]) => true,
                _ => false,
            };
            if !supported {
                return refused(400, Some("invalidFilter"), "this filter is not supported");
            }
            fit.retain(|at| {
                let record = self.records(kind)[*at].clone();
                terms.iter().all(|(name, value)| match name.as_str() {
                    "members" | "members.value" => {
                        let members = self.members.get(record["id"].as_str().unwrap());
                        members.is_some_and(|members| members.contains(value))
                    }
                    // The case of names does not count.
                    "userName" | "displayName" => record
                        .get(name)
                        .and_then(Value::as_str)
                        .is_some_and(|held| lower(held) == lower(value)),
                    name => record.get(name).and_then(Value::as_str) == Some(value),
                })
            });
        }
        let total = fit.len() as i64;
        let count: usize = parameters.get("count").map_or(100, |count| count.parse().unwrap()).min(100);
        let (start, by_cursor) = match dialect {
            _ if matches!(trouble, Some(Trouble::FirstPageAgain)) => (0, false),
            Dialect::Plain => {
                (parameters.get("startIndex").map_or(1, |start| start.parse::<usize>().unwrap()) - 1, false)
            }
            Dialect::Aws => (
                parameters.get("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0),
                parameters.contains_key("cursor"),
            ),
            Dialect::AwsFirstPage => (0, false),
        };
        let count = if aws && !by_cursor { count.min(50) } else { count };
        let count = if let Some(Trouble::Capped(most)) = trouble { count.min(*most) } else { count };
        let page: Vec<usize> = fit.iter().copied().skip(start).take(count).collect();
        let total = if matches!(trouble, Some(Trouble::Capped(_))) { page.len() as i64 } else { total };
        let next = start + page.len();
        let resources: Vec<Value> = page.into_iter().map(|at| self.shown(kind, at, aws, trouble)).collect();
        let off = if let Some(Trouble::Total(off)) = trouble { *off } else { 0 };
        let mut answer = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "Resources": resources});
        if !aws {
            answer["totalResults"] = json!(total + off);
        }
        if by_cursor && next < fit.len() {
            answer["nextCursor"] = json!(next.to_string());
        }
        (200, answer)
    }

    fn create(&mut self, kind: &str, body: &Value, aws: bool, trouble: Option<&Trouble>) -> Answer {
        let mut record = body.as_object().unwrap().clone();
        let (name, required): (&str, &[&str]) = match kind {
            "Users" if aws => {
                ("userName", &["/userName", "/displayName", "/name/givenName", "/name/familyName"])
            }
            "Users" => ("userName", &["/userName"]),
            "Groups" => ("displayName", &["/displayName"]),
            _ => return refused(404, None, "there is no such address"),
        };
        if required.iter().any(|path| body.pointer(path).is_none()) {
            return refused(400, Some("invalidValue"), "something is missing");
        }
        if self.taken(kind, name, record[name].as_str().unwrap(), None) {
            return refused(409, Some("uniqueness"), "the name is taken");
        }
        if aws && kind == "Users" && !one_primary_email(&record) {
            return refused(400, None, "the one email must be primary");
        }
        record.remove("members");
        self.made += 1;
        let id = format!("id-{:04}", self.made);
        record.insert("id".into(), json!(id));
        self.records(kind).push(record);
        self.members.insert(id, BTreeSet::new());
        let at = self.records(kind).len() - 1;
        if matches!(trouble, Some(Trouble::NoExternalId)) {
            self.records(kind)[at].remove("externalId");
        }
        (201, self.shown(kind, at, aws, trouble))
    }

    fn taken(&mut self, kind: &str, name: &str, value: &str, by_other: Option<&str>) -> bool {
        self.records(kind).iter().any(|record| {
            Some(record["id"].as_str().unwrap()) != by_other
                && lower(record[name].as_str().unwrap()) == lower(value)
        })
    }

    fn patch_user(&mut self, id: &str, body: &Value, aws: bool) -> Answer {
        let Some(at) = self.find("Users", id) else { return refused(404, None, "it is not there") };
        let mut record = self.users[at].clone();
        for operation in body["Operations"].as_array().unwrap() {
            let path = operation["path"].as_str().unwrap();
            match operation["op"].as_str().unwrap() {
                "remove" if aws && ["userName", "active"].contains(&path) => {
                    return refused(400, None, "it cannot be removed");
                }
                "remove" => match path.split_once('.') {
                    Some((name, part)) => {
                        record.get_mut(name).and_then(Value::as_object_mut).map(|object| object.remove(part));
                    }
                    None => {
                        record.remove(path);
                    }
                },
                _ => match path.split_once('.') {
                    Some((name, part)) => {
                        record.entry(name).or_insert_with(|| json!({}))[part] = operation["value"].clone();
                    }
                    None => {
                        record.insert(path.into(), operation["value"].clone());
                    }
                },
            }
        }
        if self.taken("Users", "userName", record["userName"].as_str().unwrap(), Some(id)) {
            return refused(409, Some("uniqueness"), "the name is taken");
        }
        if aws && !one_primary_email(&record) {
            return refused(400, None, "the one email must be primary");
        }
        self.users[at] = record;
        (200, self.shown("Users", at, aws, None))
    }

    fn patch_group(&mut self, id: &str, body: &Value, aws: bool) -> Answer {
        let Some(at) = self.find("Groups", id) else { return refused(404, None, "it is not there") };
        let (mut record, mut members) = (self.groups[at].clone(), self.members[id].clone());
        let mut changes = 0;
        for operation in body["Operations"].as_array().unwrap() {
            let path = operation["path"].as_str().unwrap();
            let ids: Vec<String> = operation["value"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|member| member["value"].as_str().unwrap().to_owned())
                .collect();
            changes += ids.len();
            let is_removal = operation["op"] == "remove";
            if is_removal && self.chained.iter().any(|id| ids.contains(id) || path.contains(id.as_str())) {
                return refused(400, Some("mutability"), "this member has to stay");
            }
            match (operation["op"].as_str().unwrap(), path) {
                ("add", "members") if !ids.is_empty() => {
                    if let Some(stranger) = ids.iter().find(|id| self.find("Users", id).is_none()) {
                        return refused(404, None, &format!("{stranger} is not there"));
                    }
                    members.extend(ids);
                }
                ("remove", "members") if aws && !ids.is_empty() => {
                    if let Some(stranger) = ids.iter().find(|id| self.find("Users", id).is_none()) {
                        return refused(404, None, &format!("{stranger} is not there"));
                    }
                    ids.iter().for_each(|id| {
                        members.remove(id);
                    });
                }
                // The trap of the other form: whoever does not look at the value takes all out.
                ("remove", "members") if !aws => members.clear(),
                ("remove", path) if !aws && path.starts_with("members[value eq ") => {
                    let id: String =
                        serde_json::from_str(&path["members[value eq ".len()..path.len() - 1]).unwrap();
                    if !members.remove(&id) {
                        return refused(400, Some("noTarget"), "nobody is meant");
                    }
                }
                ("replace" | "add", "displayName" | "externalId") => {
                    record.insert(path.into(), operation["value"].clone());
                }
                _ => return refused(400, None, "this operation is not supported"),
            }
        }
        if aws && changes > 100 {
            return refused(400, Some("tooMany"), "more than 100 members");
        }
        if self.taken("Groups", "displayName", record["displayName"].as_str().unwrap(), Some(id)) {
            return refused(409, Some("uniqueness"), "the name is taken");
        }
        self.groups[at] = record;
        self.members.insert(id.to_owned(), members);
        (204, Value::Null)
    }
}

fn one_primary_email(record: &Map<String, Value>) -> bool {
    record
        .get("emails")
        .and_then(Value::as_array)
        .is_none_or(|emails| matches!(emails.as_slice(), [one] if one["primary"] == true))
}

/// The case of names does not count.
fn lower(text: &str) -> MatchKey {
    MatchRule::NfkcCasefold.key(text)
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// The comparisons of a filter; `None` for one that is more than `eq` and `and`.
fn terms(filter: &str) -> Option<Vec<(String, String)>> {
    let (mut terms, mut rest) = (Vec::new(), filter);
    loop {
        let (name, behind) = rest.split_once(" eq ")?;
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
        let value = values.next()?.ok()?;
        terms.push((name.to_owned(), value));
        rest = &behind[values.byte_offset()..];
        if rest.is_empty() {
            return Some(terms);
        }
        rest = rest.strip_prefix(" and ")?;
    }
}
