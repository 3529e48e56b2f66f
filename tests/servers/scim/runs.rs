//! Whole runs over a network that delays, cuts and loses, beside data of somebody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use identity_sync::adapter::scim::{ScimOptions, ScimStore};
use identity_sync::memory::{MemoryAssignments, MemoryDirectory};
use identity_sync::{
    AccountState, ApplyOptions, Guards, Host, Options, Run, RunState, Timestamp, apply, reconcile,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{fresh, options, raw, variable};

/// A line to a server on which connections end where they should not.
struct Line {
    address: SocketAddr,
    bad: Arc<AtomicBool>,
    /// Connections that ended where they should not have.
    cut: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    async fn to(server: String, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bad = Arc::new(AtomicBool::new(true));
        let (is_bad, dice) = (Arc::clone(&bad), Arc::new(AtomicU64::new(seed)));
        let cut = Arc::new(AtomicU64::new(0));
        let cuts = Arc::clone(&cut);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&server).await.unwrap();
                let (is_bad, dice, cuts) = (Arc::clone(&is_bad), Arc::clone(&dice), Arc::clone(&cuts));
                tokio::spawn(async move {
                    if join(near, far, &is_bad, &dice).await {
                        cuts.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, bad, cut, task }
    }
}

/// A number that looks random, below `most`.
fn roll(dice: &AtomicU64, most: u64) -> u64 {
    let next = dice
        .load(Ordering::SeqCst)
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    dice.store(next, Ordering::SeqCst);
    (next >> 33) % most
}

/// Carries a connection to its end; `true` where that came too early.
async fn join(mut near: TcpStream, mut far: TcpStream, bad: &AtomicBool, dice: &AtomicU64) -> bool {
    let (mut out, mut back) = ([0; 16_384], [0; 16_384]);
    loop {
        tokio::select! {
            read = near.read(&mut out) => {
                let Ok(read @ 1..) = read else { return false };
                let fate = if bad.load(Ordering::SeqCst) { roll(dice, 12) } else { 99 };
                match fate {
                    // The request never arrives.
                    0 => return true,
                    // It arrives, and its answer does not.
                    1 => {
                        let _ = far.write_all(&out[..read]).await;
                        let _ = far.read(&mut back).await;
                        return true;
                    }
                    // It arrives when nobody waits for it any more.
                    2 => {
                        drop(near);
                        tokio::time::sleep(Duration::from_millis(roll(dice, 30))).await;
                        let _ = far.write_all(&out[..read]).await;
                        let _ = far.read(&mut back).await;
                        return true;
                    }
                    3 => tokio::time::sleep(Duration::from_millis(roll(dice, 20))).await,
                    _ => {}
                }
                if far.write_all(&out[..read]).await.is_err() { return false }
            }
            read = far.read(&mut back) => {
                let Ok(read @ 1..) = read else { return false };
                // Half of an answer.
                let cut = bad.load(Ordering::SeqCst) && roll(dice, 12) == 0;
                if near.write_all(&back[..if cut { read / 2 } else { read }]).await.is_err() || cut { return cut }
            }
        }
    }
}

/// What others keep in the store: people without an external id, and with one of another system.
async fn theirs(url: &str) -> Vec<(String, Value)> {
    let mut records = Vec::new();
    let user = |name: &str, id: Option<&str>| {
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name, "externalId": id, "title": "theirs", "active": true})
    };
    let group = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "their team", "externalId": "g1"});
    let bodies = [
        ("Users", user("root@example.com", None)),
        ("Users", user("svc@example.com", Some("u1"))),
        ("Users", user("partner@example.com", Some("partner:u1"))),
        ("Groups", group),
    ];
    for (endpoint, body) in bodies {
        let mut body = body;
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let (status, made) =
            raw::request("POST", &format!("{url}/{endpoint}"), &variable("SCIM_TOKEN"), Some(&body)).await;
        assert_eq!(status, 201, "{made}");
        records.push((format!("{url}/{endpoint}/{}", made["id"].as_str().unwrap()), made));
    }
    records
}

struct World {
    directory: MemoryDirectory,
    assignments: MemoryAssignments,
    options: Options,
    run: Option<RunState>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let mut directory = MemoryDirectory::new("corp");
        for number in 0..25 {
            let name = format!("user{number}@example.com");
            directory.add_user(
                &format!("u{number}"),
                &[("userPrincipalName", &name), ("displayName", &name), ("mail", &name)],
            );
        }
        let members: Vec<String> = (0..25).map(|number| format!("u{number}")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        directory.add_group("g1", &[("cn", "one"), ("description", "the first")], &members[..15]);
        directory.add_group("g2", &[("cn", "two")], &members[10..]);
        let mut options = Options::default();
        options.guards = Guards::off();
        Self {
            directory,
            assignments: MemoryAssignments::of("corp", &["g1", "g2"]),
            options,
            run: None,
            now: 1_795_413_600,
        }
    }

    /// One run, as a process of its own, that writes over a line as bad as it is told. Answers whether there was nothing to do.
    async fn run(&mut self, options: ScimOptions, line: &Line, is_bad: bool) -> bool {
        self.now += 14_400;
        let host = Host::default();
        let run = match self.run.clone() {
            Some(state) => Run::new(state, Timestamp(self.now)),
            None => Run::at(Timestamp(self.now)),
        };
        let Ok(store) = ScimStore::connect(options).await else { return false };
        let Ok(found) =
            reconcile(&self.directory, &store, &self.assignments, &self.options, &run, &host).await
        else {
            return false;
        };
        line.bad.store(is_bad, Ordering::SeqCst);
        let report = apply(&found.plan, &store, &ApplyOptions::default(), &host).await.unwrap();
        self.run = Some(report.run);
        found.plan.is_empty()
    }
}

/// The same end, whatever was cut on the way; nobody twice, and nothing of others touched.
async fn comes_to_rest(server: &str, tune: fn(ScimOptions) -> ScimOptions) {
    for seed in 1..=3 {
        let url = fresh(server);
        let theirs = theirs(&url).await;
        let host = url.strip_prefix("http://").unwrap();
        let (host, path) = host.split_once('/').unwrap();
        let line = Line::to(host.to_owned(), seed).await;
        let near = |url: &str| tune(options(url).identity("app").timeout(Duration::from_secs(5)));
        let cut = format!("http://{}/{path}", line.address);
        let mut world = World::new();
        for round in 0..12 {
            if round == 6 {
                // Some leave, one is disabled, a name is another one.
                world.directory.remove("u3");
                world.directory.users.get_mut("u4").unwrap().state = AccountState::Disabled;
            }
            // Every other run reads over a bad line, too; most of those come to no plan.
            line.bad.store(round % 2 == 1, Ordering::SeqCst);
            world.run(near(&cut), &line, true).await;
        }
        line.bad.store(false, Ordering::SeqCst);
        let times = line.cut.load(Ordering::SeqCst);
        assert!(times > 20, "seed {seed}: the line was bad {times} times only");
        // What was still on its way arrives.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut rested = false;
        for _ in 0..6 {
            rested = rested || world.run(near(&cut), &line, false).await;
        }
        assert!(rested, "seed {seed}: there is always something left to do");
        for (address, was) in &theirs {
            let (status, is) = raw::request("GET", address, &variable("SCIM_TOKEN"), None).await;
            assert_eq!((status, &is), (200, was), "seed {seed}");
        }
        let (_, users) =
            raw::request("GET", &format!("{url}/Users?count=100"), &variable("SCIM_TOKEN"), None).await;
        let mut links: Vec<&str> = users["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|user| user["externalId"].as_str())
            .filter(|id| id.starts_with("corp:"))
            .collect();
        let all = links.len();
        links.sort_unstable();
        links.dedup();
        assert_eq!(links.len(), all, "seed {seed}: somebody is there twice");
        assert!(all >= 24, "seed {seed}: {all}");
    }
}

#[tokio::test]
#[ignore = "needs scim2-server: tests/servers/run scim"]
async fn runs_over_a_bad_line_come_to_rest_on_scim2_server() {
    comes_to_rest("SCIM_URL", |options| options).await;
}

#[tokio::test]
#[ignore = "needs scimmy: tests/servers/run scim"]
async fn runs_over_a_bad_line_come_to_rest_on_scimmy() {
    comes_to_rest("SCIMMY_URL", |options| options).await;
}
