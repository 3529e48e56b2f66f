//! Against a domain controller with the directory of `corp.ldif` and 10,000 users besides.

mod conformance;
mod day2;
mod rights;

use std::num::{NonZeroU16, NonZeroU32};
use std::process::Command;
use std::time::Duration;

use identity_sync::adapter::ldap::{Change, Changes, LdapOptions, LdapSource, Make, Tombstones};
use identity_sync::adapter::ldif::{LdifOptions, LdifSource};
use identity_sync::{
    Asked, DirectorySource, ErrorKind, Existence, MemberKind, PageEnd, Read, Select, SourceAnchor, Timestamp,
    UserPage,
};

use super::{Seen, anchors, see};
use crate::variable;

const CORP: &str = "OU=Corp,DC=corp,DC=example,DC=com";
/// 2026-11-22.
const NOW: Timestamp = Timestamp(1_795_305_600);

fn options() -> LdapOptions {
    let (url, account) = (variable("AD_LDAPS_URL"), variable("AD_SYNC_ACCOUNT"));
    let ca = std::fs::read(variable("AD_CA_FILE")).unwrap();
    LdapOptions::new(url, account, variable("AD_SYNC_PASSWORD")).trust_pem(ca).now(NOW)
}

async fn source(options: LdapOptions) -> LdapSource {
    LdapSource::connect(options).await.unwrap()
}

/// What `ldapsearch` prints for the administrator.
fn ldapsearch(base: &str, rest: &[&str]) -> String {
    let output = Command::new("ldapsearch")
        .env("LDAPTLS_CACERT", variable("AD_CA_FILE"))
        .args(["-LLL", "-x", "-H", &variable("AD_LDAPS_URL"), "-D", &variable("AD_BIND_UPN")])
        .args(["-w", &variable("AD_BIND_PASSWORD"), "-b", base])
        .args(rest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Changes the directory, as the administrator.
fn change(ldif: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ldif).unwrap();
    let output = Command::new("ldapmodify")
        .env("LDAPTLS_CACERT", variable("AD_CA_FILE"))
        .args(["-x", "-a", "-H", &variable("AD_LDAPS_URL"), "-D", &variable("AD_BIND_UPN")])
        .args(["-w", &variable("AD_BIND_PASSWORD"), "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn export(base: &str) -> LdifSource {
    let text = ldapsearch(
        base,
        &["-E", "pr=500/noprompt", "-o", "ldif-wrap=no", "(objectClass=*)", "*", "primaryGroupToken"],
    );
    LdifSource::parse(text, &LdifOptions::new().now(NOW)).unwrap()
}

/// The anchor of the object with this name.
fn anchor_of(dn: &str) -> String {
    let text = ldapsearch(dn, &["-s", "base", "(objectClass=*)", "objectGUID", "objectClass"]);
    let source = LdifSource::parse(text, &LdifOptions::new()).unwrap();
    let seen = pollster::block_on(see(&source, Select::All)).unwrap();
    seen.users.keys().chain(seen.groups.keys()).next().unwrap().clone()
}

/// Left out of comparisons: what the export asks for and the source does not.
fn comparable(mut seen: Seen) -> Seen {
    for (_, values) in seen.users.values_mut() {
        values.retain(|(name, _)| name != "primaryGroupToken");
    }
    for (values, _) in seen.groups.values_mut() {
        values.retain(|(name, _)| name != "primaryGroupToken");
    }
    seen.pages = 0;
    seen
}

/// What was read of the domain is what an export of it holds.
async fn is_as_exported(seen: Seen) {
    let export = see(&export(&variable("AD_BASE_DN")), Select::All).await.unwrap();
    assert_eq!(seen.ends, [PageEnd::COMPLETE, PageEnd::COMPLETE]);
    let (seen, export) = (comparable(seen), comparable(export));
    assert_eq!(seen.users.len(), export.users.len());
    for (anchor, user) in &export.users {
        assert_eq!(seen.users.get(anchor), Some(user), "{anchor}");
    }
    for (anchor, group) in &export.groups {
        let live = &seen.groups[anchor];
        assert_eq!(live.0, group.0, "{anchor}");
        assert_eq!(live.1, group.1, "{anchor} {:?}", group.0.iter().find(|(name, _)| name == "cn"));
    }
    assert_eq!(seen.groups.len(), export.groups.len());
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_live_directory_reads_as_its_export_does() {
    // rule E10, A5: members through primaryGroupID and disabled accounts are among what is compared
    let live = source(options()).await;
    assert_eq!(live.identity().as_str(), "corp.example.com");
    assert_eq!((live.server().make, live.server().tombstones), (Make::ActiveDirectory, Tombstones::Readable));
    let seen = see(&live, Select::All).await.unwrap();
    assert!(seen.users.len() > 10_000 && seen.groups.len() > 500);
    is_as_exported(seen).await;
    assert!(live.references() > 0, "a search of a domain ends with references to other naming contexts");
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn small_pages_and_ranges_give_the_same_as_large_ones() {
    let whole = see(&source(options().base(CORP)).await, Select::All).await.unwrap();
    let small =
        options().base(CORP).page_size(NonZeroU16::new(3).unwrap()).range_size(NonZeroU32::new(2).unwrap());
    let pieces = see(&source(small).await, Select::All).await.unwrap();
    assert!(pieces.pages > whole.pages + 10, "{} and {}", pieces.pages, whole.pages);
    assert_eq!(comparable(pieces), comparable(whole));
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_group_of_thousands_comes_whole_in_ranges() {
    let group = anchor_of("CN=bulkgrp-0,OU=Bulk,DC=corp,DC=example,DC=com");
    let wanted = anchors([&group]);
    for options in [options(), options().range_size(NonZeroU32::new(1_500).unwrap())] {
        let seen = see(&source(options).await, Select::Anchors(&wanted)).await.unwrap();
        assert_eq!(seen.groups[&group].1.len(), 4_000);
        assert_eq!(seen.ends, [PageEnd::COMPLETE, PageEnd::COMPLETE]);
    }
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn whoever_is_asked_for_by_anchor_reads_as_among_all() {
    let live = source(options().base(CORP)).await;
    let all = see(&live, Select::All).await.unwrap();
    let everyone = anchors(all.users.keys().chain(all.groups.keys()));
    let mut some = everyone.clone();
    some.push(SourceAnchor::from("zzz is no anchor here"));
    let selected = see(&live, Select::Anchors(&some)).await.unwrap();
    assert_eq!(comparable(selected), comparable(all));
    let nobody = see(&live, Select::Anchors(&anchors([&"zzz".to_owned()]))).await.unwrap();
    assert!(nobody.users.is_empty() && nobody.groups.is_empty());
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn only_a_tombstone_proves_that_somebody_is_gone() {
    // rule C3
    let live = source(options().base(CORP)).await;
    let ou = format!("OU=People,{CORP}");
    change(&format!("dn: CN=Short Stay,{ou}\nobjectClass: user\nsAMAccountName: sstay\n"));
    change(&format!("dn: CN=Was Moved,{ou}\nobjectClass: user\nsAMAccountName: wmoved\n"));
    let (gone, moved) = (anchor_of(&format!("CN=Short Stay,{ou}")), anchor_of(&format!("CN=Was Moved,{ou}")));
    change(&format!("dn: CN=Short Stay,{ou}\nchangetype: delete\n"));
    change(&format!(
        "dn: CN=Was Moved,{ou}\nchangetype: modrdn\nnewrdn: CN=Was Moved\ndeleteoldrdn: 1\nnewsuperior: CN=Users,DC=corp,DC=example,DC=com\n"
    ));
    let never = "11111111-2222-4333-8444-555555555555".to_owned();
    let both = anchors([&gone, &moved, &never]);
    let seen = see(&live, Select::Anchors(&both)).await.unwrap();
    assert!(seen.users.is_empty(), "neither is below the base");

    let answers = |asked: &Asked<'_>| -> Vec<_> {
        [&gone, &moved, &never].map(|a| asked.answers().find(|(b, _)| b.as_str() == a).unwrap().1).to_vec()
    };
    let mut asked = Asked::new(&both);
    live.existence(&mut asked).await.unwrap();
    let exists = Existence::Exists { kind: MemberKind::User };
    assert_eq!(answers(&asked), [Existence::Gone, exists, Existence::Unknown]);

    // An account that may not read tombstones gets success and silence: that is no proof.
    let plain = options_of("avogel@corp.example.com", "Corp-Passw0rd-1");
    let plain = source(plain.base(CORP)).await;
    assert_eq!(plain.server().tombstones, Tombstones::Hidden);
    let mut asked = Asked::new(&both);
    plain.existence(&mut asked).await.unwrap();
    assert_eq!(answers(&asked), [Existence::Unknown, exists, Existence::Unknown]);
    change("dn: CN=Was Moved,CN=Users,DC=corp,DC=example,DC=com\nchangetype: delete\n");
}

fn options_of(account: &str, password: &str) -> LdapOptions {
    let ca = std::fs::read(variable("AD_CA_FILE")).unwrap();
    LdapOptions::new(variable("AD_LDAPS_URL"), account, password).trust_pem(ca).now(NOW)
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn members_are_told_by_what_they_are_when_asked() {
    // rule E9
    let live = source(options()).await;
    let text =
        ldapsearch(CORP, &["(|(objectClass=computer)(objectClass=contact))", "objectGUID", "objectClass"]);
    let others = LdifSource::parse(text, &LdifOptions::new()).unwrap();
    let mut page = UserPage::default();
    others.read_users(Read::ALL, &mut page).await.unwrap();
    assert!(page.is_empty());
    let seen = see(&live, Select::All).await.unwrap();
    let known = |anchor: &&String| !seen.users.contains_key(*anchor) && !seen.groups.contains_key(*anchor);
    let strangers = anchors(seen.groups.values().flat_map(|group| &group.1).filter(known));
    assert!(strangers.len() >= 2, "a computer and a contact are members of a group");
    let mut strangers = strangers;
    strangers.dedup();
    let mut asked = Asked::new(&strangers);
    live.existence(&mut asked).await.unwrap();
    for (anchor, answer) in asked.answers() {
        let other = Existence::Exists { kind: MemberKind::Other };
        let foreign = Existence::Exists { kind: MemberKind::Foreign };
        assert!(answer == other || answer == foreign, "{anchor}: {answer:?}");
    }
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn what_changed_since_a_checkpoint_is_told_and_a_wrong_one_expires() {
    let live = source(options()).await;
    let start = live.checkpoint().await.unwrap();
    let Changes::Since { changes, next } = live.read_changes(&start).await.unwrap() else {
        panic!("expired")
    };
    assert_eq!(changes, []);
    let ou = format!("OU=People,{CORP}");
    let group = "CN=bulkgrp-7,OU=Bulk,DC=corp,DC=example,DC=com";
    let member = "CN=Bulk User 00001,OU=Bulk,DC=corp,DC=example,DC=com";
    change(&format!("dn: CN=New Here,{ou}\nobjectClass: user\nsAMAccountName: nhere\n"));
    change(&format!("dn: {group}\nchangetype: modify\nadd: member\nmember: {member}\n"));
    let (user, group_anchor) = (anchor_of(&format!("CN=New Here,{ou}")), anchor_of(group));
    let (user, group_anchor) = (SourceAnchor::from(user.as_str()), SourceAnchor::from(group_anchor.as_str()));
    let Changes::Since { changes, next } = live.read_changes(&next).await.unwrap() else { panic!("expired") };
    assert!(changes.contains(&Change::Changed(user.clone())), "{changes:?}");
    let added = |change: &Change| matches!(change, Change::Added { group, member: m } if *group == group_anchor && m == member);
    assert!(changes.iter().any(added), "{changes:?}");

    change(&format!("dn: {group}\nchangetype: modify\ndelete: member\nmember: {member}\n"));
    change(&format!("dn: CN=New Here,{ou}\nchangetype: delete\n"));
    let Changes::Since { changes, next } = live.read_changes(&next).await.unwrap() else { panic!("expired") };
    assert!(changes.contains(&Change::Deleted(user)), "{changes:?}");
    let removed = |change: &Change| matches!(change, Change::Removed { group, .. } if *group == group_anchor);
    assert!(changes.iter().any(removed), "{changes:?}");

    let text = serde_json::to_string(&next).unwrap();
    assert_eq!(serde_json::from_str::<identity_sync::adapter::ldap::Checkpoint>(&text).unwrap(), next);
    let mut wrong: serde_json::Value = serde_json::from_str(&text).unwrap();
    wrong["at"] = "AAAA".into();
    let broken = serde_json::from_value(wrong.clone()).unwrap();
    assert!(matches!(live.read_changes(&broken).await.unwrap(), Changes::Expired(_)));
    // A controller that stands before the checkpoint was restored from a backup.
    let mut ahead: serde_json::Value = serde_json::from_str(&text).unwrap();
    ahead["generation"]["number"] = 9_000_000_000_u64.into();
    let ahead = serde_json::from_value(ahead).unwrap();
    let Changes::Expired(why) = live.read_changes(&ahead).await.unwrap() else {
        panic!("rollback unnoticed")
    };
    assert!(why.contains("backup"), "{why}");
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn the_generation_grows_and_names_its_copy() {
    // rule C6
    let live = source(options()).await;
    let before = live.generation().await.unwrap().unwrap();
    // Writing what is there already would move nothing.
    let title = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let user = "CN=Bulk User 00002,OU=Bulk,DC=corp,DC=example,DC=com";
    change(&format!("dn: {user}\nchangetype: modify\nreplace: title\ntitle: {title}\n"));
    let after = live.generation().await.unwrap().unwrap();
    assert_eq!(before.replica, after.replica);
    assert_eq!(before.replica.len(), 36, "{}", before.replica);
    assert!(after.number > before.number);
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_wrong_password_and_an_authority_that_is_not_trusted_are_errors_without_secrets() {
    // rule S2
    let secret = "not-the-passw0rd";
    let refused = LdapSource::connect(options_of(&variable("AD_SYNC_ACCOUNT"), secret)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthorized);
    let shown = format!("{refused} {refused:?} {:?}", options_of("a", secret));
    assert!(!shown.contains(secret), "{shown}");

    let system =
        LdapOptions::new(variable("AD_LDAPS_URL"), variable("AD_SYNC_ACCOUNT"), variable("AD_SYNC_PASSWORD"));
    let error = LdapSource::connect(system).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent, "{error:?}");
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn start_tls_protects_what_an_ldap_address_would_not() {
    let ca = std::fs::read(variable("AD_CA_FILE")).unwrap();
    let url = variable("AD_LDAP_URL");
    let (account, password) = (variable("AD_SYNC_ACCOUNT"), variable("AD_SYNC_PASSWORD"));
    let live =
        source(LdapOptions::new(url.as_str(), account.as_str(), password.as_str()).trust_pem(ca).base(CORP))
            .await;
    assert!(!see(&live, Select::All).await.unwrap().users.is_empty());
    // StartTLS without the authority: no plain text instead.
    let error = LdapSource::connect(LdapOptions::new(url, account, password)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent, "{error:?}");
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_base_that_is_not_there_is_an_error_and_no_empty_directory() {
    // rule C1
    let error = LdapSource::connect(options().base("OU=Corpse,DC=corp,DC=example,DC=com")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(LdapSource::connect(options().base("no name")).await.is_err());
    assert!(LdapSource::connect(options().user_filter("(sn=x")).await.is_err());
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_server_that_is_killed_in_the_middle_ends_the_read_with_an_error() {
    // rule C1
    let small = options().page_size(NonZeroU16::new(100).unwrap()).timeout(Duration::from_secs(10));
    let live = source(small).await;
    let mut page = UserPage::default();
    let PageEnd::More(token) = live.read_users(Read::ALL, &mut page).await.unwrap() else {
        panic!("one page")
    };
    kill();
    page.clear();
    let lost = live.read_users(Read::new(Select::All, Some(&token)), &mut page).await;
    assert!(lost.is_err_and(|error| error.is_transient()));
    assert!(see(&live, Select::All).await.is_err(), "nobody answers");
    restart();
    // The read cannot go on, and the next one is whole.
    page.clear();
    let resumed = live.read_users(Read::new(Select::All, Some(&token)), &mut page).await;
    assert!(resumed.is_err_and(|error| error.is_transient()));
    let again = see(&live, Select::All).await.unwrap();
    assert!(again.users.len() > 10_000);
    assert_eq!(again.ends, [PageEnd::COMPLETE, PageEnd::COMPLETE]);
}

fn kill() {
    let pid = std::fs::read_to_string(format!("{}/run/ad-dc.pid", variable("AD_DIR"))).unwrap();
    let pid = pid.split(' ').next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
}

fn restart() {
    let output = Command::new(variable("AD_SCRIPT"))
        .args(["up", "--dir", &variable("AD_DIR"), "--ip", &variable("AD_IP")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server with a certificate of the controller's own authority.
struct Certified {
    process: std::process::Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Certified {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// For this address, and until this day.
fn certified(address: &str, until: &str) -> Certified {
    let folder = tempfile::tempdir().unwrap();
    let (path, tls) = (folder.path(), format!("{}/tls", variable("AD_DIR")));
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").current_dir(path).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let config = format!(
        "[ca]\ndefault_ca = all\n[all]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\n\
         policy = any\ncertificate = {tls}/ca.pem\nprivate_key = {tls}/ca.key\n[any]\ncommonName = supplied\n\
         [leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = IP:{address}\nextendedKeyUsage = serverAuth\n"
    );
    std::fs::write(path.join("ca.conf"), config).unwrap();
    std::fs::write(path.join("index"), "").unwrap();
    std::fs::write(path.join("serial"), "01\n").unwrap();
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
    openssl(&["req", "-new", "-key", "key.pem", "-subj", "/CN=old", "-out", "old.csr"]);
    let dates = ["-startdate", "20200101000000Z", "-enddate", until];
    let sign = [
        "ca",
        "-batch",
        "-notext",
        "-config",
        "ca.conf",
        "-extensions",
        "leaf",
        "-in",
        "old.csr",
        "-out",
        "old.pem",
    ];
    openssl(&[&sign[..], &dates[..]].concat());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Command::new("openssl")
        .current_dir(path)
        .args([
            "s_server",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-cert",
            "old.pem",
            "-key",
            "key.pem",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Certified { process, port, _folder: folder }
}

#[tokio::test]
#[ignore = "needs a domain controller: tests/servers/run ad"]
async fn a_certificate_that_is_too_old_or_of_somebody_else_is_refused_though_its_authority_is_trusted() {
    for (address, until, why) in
        [("127.0.0.1", "20200102000000Z", "Expired"), ("127.0.0.2", "20490102000000Z", "NotValidForName")]
    {
        let server = certified(address, until);
        let ca = std::fs::read(variable("AD_CA_FILE")).unwrap();
        let url = format!("ldaps://127.0.0.1:{}", server.port);
        let error =
            LdapSource::connect(LdapOptions::new(url, "reader", "secret").trust_pem(ca)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error:?}");
        assert!(format!("{error:?}").contains(why), "{error:?}");
    }
}
