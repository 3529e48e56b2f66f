//! Against OpenLDAP: a server of its own for each test and for each check of the conformance suite.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use identity_sync::adapter::ldap::{Change, Changes, LdapOptions, LdapSource, Make, Security, Tombstones};
use identity_sync::testing::conformance::{self, BuildError, SourceBuilder};
use identity_sync::testing::{Directory, DirectoryMember, DirectoryUser, Vocabulary};
use identity_sync::{
    AccountState, Asked, DirectorySource, Existence, GroupPage, MemberKind, PageEnd, Read, Select,
    SourceAnchor, SourceError, SourceIdentity, UserPage,
};

use super::{anchors, see};
use crate::variable;

const BASE: &str = "dc=corp,dc=example,dc=com";
const READER: &str = "cn=reader,dc=corp,dc=example,dc=com";

/// A running server; it ends with this value.
struct Slapd {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A port that is free at this moment, by asking for one.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn config(folder: &std::path::Path, more: &str) -> String {
    let schema: String = ["core", "cosine", "inetorgperson", "nis"]
        .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
        .concat();
    // The reader is no rootdn, who would be above all limits.
    format!(
        "{schema}modulepath /usr/lib/ldap\nmoduleload back_mdb\n{more}\ndatabase mdb\nsuffix \"{BASE}\"\n\
         rootdn \"cn=admin,{BASE}\"\nrootpw secret\ndirectory {folder}/db\ndbnosync\nmaxsize 1073741824\n\
         index objectClass,entryUUID,member eq\naccess to * by * read\n",
        folder = folder.display()
    )
}

impl Slapd {
    fn start(ldif: &str, more: &str) -> Self {
        Self::at(ldif, more, None)
    }

    fn at(ldif: &str, more: &str, place: Option<u16>) -> Self {
        let folder = tempfile::tempdir_in(variable("SLAPD_DIR")).unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("db")).unwrap();
        std::fs::write(path.join("slapd.conf"), config(path, more)).unwrap();
        let root = format!(
            "dn: {BASE}\nobjectClass: domain\ndc: corp\n\ndn: {READER}\nobjectClass: organizationalRole\n\
             objectClass: simpleSecurityObject\ncn: reader\nuserPassword: reader-secret\n\n"
        );
        std::fs::write(path.join("data.ldif"), root + ldif).unwrap();
        let added = Command::new(variable("SLAPADD"))
            .arg("-q")
            .arg("-f")
            .arg(path.join("slapd.conf"))
            .arg("-l")
            .arg(path.join("data.ldif"))
            .output()
            .unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let begun = Instant::now();
        'places: loop {
            // Another program may be faster, and take a port that was free: slapd ends then.
            let port = place.unwrap_or_else(free_port);
            let mut process = Command::new(variable("SLAPD"))
                .args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}"), "-f"])
                .arg(path.join("slapd.conf"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            loop {
                assert!(begun.elapsed() < Duration::from_secs(60), "slapd does not listen");
                std::thread::sleep(Duration::from_millis(10));
                let answers = TcpStream::connect(("127.0.0.1", port)).is_ok();
                // It may be the other program that answers.
                if process.try_wait().unwrap().is_some() {
                    continue 'places;
                }
                if answers {
                    return Self { process, folder, port };
                }
            }
        }
    }

    fn options(&self) -> LdapOptions {
        LdapOptions::new(format!("ldap://127.0.0.1:{}", self.port), READER, "reader-secret")
            .security(Security::PlainText)
            .identity("corp")
    }

    fn change(&self, ldif: &str) {
        let file = self.folder.path().join("change.ldif");
        std::fs::write(&file, ldif).unwrap();
        let output = Command::new("ldapmodify")
            .args(["-x", "-a", "-H", &format!("ldap://127.0.0.1:{}", self.port)])
            .args(["-D", &format!("cn=admin,{BASE}"), "-w", "secret", "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A source that takes its server with it.
struct Owned {
    source: LdapSource,
    server: Mutex<Option<Slapd>>,
}

#[async_trait]
impl DirectorySource for Owned {
    fn identity(&self) -> SourceIdentity {
        self.source.identity()
    }
    fn capabilities(&self) -> identity_sync::SourceCapabilities {
        self.source.capabilities()
    }
    async fn read_users(&self, read: Read<'_>, page: &mut UserPage) -> Result<PageEnd, SourceError> {
        self.source.read_users(read, page).await
    }
    async fn read_groups(&self, read: Read<'_>, page: &mut GroupPage) -> Result<PageEnd, SourceError> {
        self.source.read_groups(read, page).await
    }
    async fn existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        self.source.existence(asked).await
    }
    async fn generation(&self) -> Result<Option<identity_sync::Generation>, SourceError> {
        self.source.generation().await
    }
}

/// Fills servers with directories: with `entryUUID`, or with an attribute of the host's own as anchor.
struct Servers {
    anchor: Option<&'static str>,
}

fn line(text: &mut String, name: &str, value: &str) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
    writeln!(text, "{name}:: {encoded}").unwrap();
}

impl Servers {
    fn ldif(&self, directory: &Directory) -> String {
        let names: BTreeMap<&str, String> = (directory.users.iter().map(|user| user.anchor.as_str()))
            .chain(directory.groups.iter().map(|group| group.anchor.as_str()))
            .enumerate()
            .map(|(number, anchor)| (anchor, format!("cn=n{number},{BASE}")))
            .collect();
        let mut text = String::new();
        let anchor = self.anchor.unwrap_or("entryUUID");
        for user in &directory.users {
            let dn = &names[user.anchor.as_str()];
            writeln!(text, "dn: {dn}\nobjectClass: inetOrgPerson\nsn: n").unwrap();
            line(&mut text, anchor, &user.anchor);
            if self.anchor.is_some() && user.state == AccountState::Disabled {
                line(&mut text, "employeeType", "LOCKED");
            }
            for (name, values) in &user.attributes {
                values.iter().for_each(|value| line(&mut text, name, value));
            }
            text.push('\n');
        }
        for group in &directory.groups {
            let dn = &names[group.anchor.as_str()];
            writeln!(text, "dn: {dn}\nobjectClass: groupOfNames\nobjectClass: extensibleObject").unwrap();
            line(&mut text, anchor, &group.anchor);
            for (name, values) in &group.attributes {
                values.iter().for_each(|value| line(&mut text, name, value));
            }
            if group.members.is_empty() {
                // The class demands a member: nobody.
                text.push_str("member:\n");
            }
            for (number, member) in group.members.iter().enumerate() {
                let dn = match member {
                    DirectoryMember::Object(anchor) => names[anchor.as_str()].clone(),
                    DirectoryMember::Foreign(_) => {
                        format!("cn=S-1-{number},cn=ForeignSecurityPrincipals,{BASE}")
                    }
                    _ => format!("cn=gone{number},{BASE}"),
                };
                line(&mut text, "member", &dn);
            }
            text.push('\n');
        }
        text
    }

    async fn owned(&self, server: Slapd, options: LdapOptions) -> Result<Owned, BuildError> {
        let options = options.page_size(std::num::NonZeroU16::new(100).unwrap());
        let own = |options: LdapOptions, name: &&str| {
            options.anchor(*name).disabled_where("employeeType", ["locked"])
        };
        let options = self.anchor.iter().fold(options, own);
        Ok(Owned { source: LdapSource::connect(options).await?, server: Mutex::new(Some(server)) })
    }
}

#[async_trait]
impl SourceBuilder for Servers {
    type Source = Owned;

    async fn holding(&self, directory: &Directory) -> Result<Owned, BuildError> {
        if !directory.tombstones.is_empty() {
            return Err(BuildError::cannot("the server keeps no tombstones"));
        }
        let unsure = |user: &DirectoryUser| user.state == AccountState::Unknown;
        if self.anchor.is_some() && directory.users.iter().any(unsure) {
            return Err(BuildError::cannot("an account is locked, or it is not"));
        }
        let server = Slapd::start(&self.ldif(directory), "");
        let options = server.options();
        self.owned(server, options).await
    }

    fn vocabulary(&self) -> Vocabulary {
        let mut words = if self.anchor.is_some() { Vocabulary::default() } else { Vocabulary::with_uuids() };
        words.user_values = ["displayName", "title"].map(str::to_owned).to_vec();
        words.user_lists = vec!["description".to_owned()];
        words.group_values = vec!["description".to_owned()];
        words
    }

    fn many(&self) -> usize {
        250
    }

    fn long_list(&self) -> usize {
        1_000
    }

    async fn changed(&self, source: Owned, directory: &Directory) -> Result<Owned, BuildError> {
        if !directory.tombstones.is_empty() {
            return Err(BuildError::cannot("the server keeps no tombstones"));
        }
        let old = source.server.lock().unwrap().take();
        let port = old.as_ref().map(|old| old.port).unwrap();
        drop(old);
        *source.server.lock().unwrap() = Some(Slapd::at(&self.ldif(directory), "", Some(port)));
        // The kept connection is gone, and the source finds out before it reads.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(source)
    }

    /// A server whose size limit holds for paged searches as well.
    async fn partial(&self, directory: &Directory) -> Result<Owned, BuildError> {
        let server = Slapd::start(&self.ldif(directory), "sizelimit 1");
        let options = server.options();
        self.owned(server, options).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenLDAP: tests/servers/run slapd"]
async fn a_source_over_openldap_conforms() {
    let report = conformance::source(&Servers { anchor: None }).await;
    println!("{report}");
    report.assert_conforming();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenLDAP: tests/servers/run slapd"]
async fn a_source_over_openldap_with_an_anchor_of_the_hosts_own_conforms() {
    let report = conformance::source(&Servers { anchor: Some("employeeNumber") }).await;
    println!("{report}");
    report.assert_conforming();
}

#[tokio::test]
#[ignore = "needs OpenLDAP: tests/servers/run slapd"]
async fn members_are_found_by_name_and_by_uid() {
    // rule E9
    let person = |name: &str| {
        format!("dn: uid={name},{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: n\n\n")
    };
    let server = Slapd::start(
        &[
            person("ada"),
            person("ben"),
            format!("dn: cn=names,{BASE}\nobjectClass: groupOfUniqueNames\ncn: names\nuniqueMember: UID=Ada, {BASE}\nuniqueMember: uid=gone,{BASE}\n\n"),
            format!("dn: cn=uids,{BASE}\nobjectClass: posixGroup\ngidNumber: 7\ncn: uids\nmemberUid: BEN\nmemberUid: nobody\n\n"),
            format!("dn: cn=both,{BASE}\nobjectClass: groupOfNames\ncn: both\nmember: cn=names,{BASE}\nmember: cn=reader,{BASE}\n\n"),
        ]
        .concat(),
        "",
    );
    let source = LdapSource::connect(server.options()).await.unwrap();
    assert_eq!((source.server().make, source.server().tombstones), (Make::Generic, Tombstones::None));
    let all = see(&source, Select::All).await.unwrap();
    assert_eq!((all.users.len(), all.groups.len()), (2, 3));
    let members: Vec<usize> = all.groups.values().map(|group| group.1.len()).collect();
    assert_eq!(members.iter().sum::<usize>(), 4, "ada, ben, the group in the group, and the reader: {all:?}");
    // By anchor, each name is looked up by itself; the lists are the same.
    let wanted = anchors(all.users.keys().chain(all.groups.keys()));
    let mut some = see(&source, Select::Anchors(&wanted)).await.unwrap();
    some.pages = all.pages;
    assert_eq!(some, all);
}

#[tokio::test]
#[ignore = "needs OpenLDAP: tests/servers/run slapd"]
async fn a_size_limit_makes_reads_partial_and_absence_proves_nothing() {
    // rules C1, C3
    let mut directory = Directory::new();
    for number in 0..600 {
        directory.add_user(Vocabulary::with_uuids().anchors.anchor(number), BTreeMap::new());
    }
    let server = Slapd::start(&Servers { anchor: None }.ldif(&directory), "sizelimit 500");
    let source = LdapSource::connect(server.options()).await.unwrap();
    let seen = see(&source, Select::All).await.unwrap();
    assert_eq!(seen.users.len(), 500);
    assert!(matches!(&seen.ends[0], PageEnd::Last(read) if !read.is_complete()), "{:?}", seen.ends);
    let here = SourceAnchor::from(directory.users[599].anchor.as_str());
    let nowhere = SourceAnchor::from("ffffffff-2222-4333-8444-555555555555");
    let mut both = vec![here, nowhere];
    both.sort_unstable();
    let mut asked = Asked::new(&both);
    source.existence(&mut asked).await.unwrap();
    let answers: Vec<_> = asked.answers().map(|(_, answer)| answer).collect();
    assert!(answers.contains(&Existence::Exists { kind: MemberKind::User }));
    assert!(answers.contains(&Existence::Unknown), "nothing is proven to be gone here");
}

#[tokio::test]
#[ignore = "needs OpenLDAP: tests/servers/run slapd"]
async fn what_changed_since_a_time_is_told() {
    let person =
        |name: &str| format!("dn: cn={name},{BASE}\nobjectClass: inetOrgPerson\ncn: {name}\nsn: n\n");
    let server = Slapd::start(&format!("{}\n{}\n", person("ada"), person("ben")), "");
    let source = LdapSource::connect(server.options()).await.unwrap();
    // Time stamps have whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    server.change(&format!("dn: cn=ben,{BASE}\nchangetype: modify\nreplace: title\ntitle: x\n"));
    let since = source.checkpoint().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    server.change(&person("cai"));
    let Changes::Since { changes, next } = source.read_changes(&since).await.unwrap() else {
        panic!("expired")
    };
    // Ben changed before it, in its last second.
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(matches!(changes[0], Change::Changed(_)));
    let Changes::Since { changes, next } = source.read_changes(&next).await.unwrap() else {
        panic!("expired")
    };
    assert_eq!(changes, [], "at rest there is nothing to tell");
    // Twice in what may be one second: nothing is missed.
    for title in ["y", "z"] {
        server.change(&format!("dn: cn=cai,{BASE}\nchangetype: modify\nreplace: title\ntitle: {title}\n"));
        let Changes::Since { changes, .. } = source.read_changes(&next).await.unwrap() else {
            panic!("expired")
        };
        assert_eq!(changes.len(), 1);
    }
    let other = LdapSource::connect(server.options().base(format!("ou=other,{BASE}"))).await;
    assert!(other.is_err());
    server.change(&format!("dn: ou=all,{BASE}\nobjectClass: organizationalUnit\nou: all\n"));
    let other = LdapSource::connect(server.options().base(format!("ou=all,{BASE}"))).await.unwrap();
    assert!(matches!(other.read_changes(&next).await.unwrap(), Changes::Expired(_)), "of another base");
}
