//! The LDAP source against a server that does what real ones rarely do: ranges that nobody asked for, answers that are cut,
//! that repeat themselves, or that make no sense. What needs real servers is in `tests/servers`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has found something")]
#![allow(clippy::disallowed_methods, reason = "whether something is given up in time takes time")]

mod fake;
mod lists;
mod trouble;
mod watched;

use fake::{Asked, Fake, Say, page, texts};
use identity_sync::adapter::ldap::{LdapOptions, LdapSource, Security};
use identity_sync::{DirectorySource, GroupPage, PageEnd, Read, SourceError, SourceSnapshot, UserPage};

const DOMAIN: &str = "DC=corp,DC=example,DC=com";

/// What a domain controller says about itself, and nothing else.
fn controller(asked: &Asked) -> Option<Vec<Say>> {
    let done = Say::Done(0, None);
    match asked.base.as_str() {
        "" => {
            let controls = [fake::PAGED, fake::DIR_SYNC, "1.2.840.113556.1.4.529", "1.2.840.113556.1.4.417"];
            let attributes = vec![
                ("defaultNamingContext", texts(&[DOMAIN])),
                ("namingContexts", texts(&[DOMAIN, "CN=Configuration,DC=corp,DC=example,DC=com"])),
                ("supportedCapabilities", texts(&["1.2.840.113556.1.4.800"])),
                ("supportedControl", texts(&controls)),
                ("highestCommittedUSN", texts(&["100"])),
                ("dsServiceName", texts(&["CN=NTDS Settings,CN=DC1"])),
            ];
            Some(vec![Say::Entry("", attributes), done])
        }
        DOMAIN if asked.scope == 0 => {
            Some(vec![Say::Entry(DOMAIN, vec![("objectClass", texts(&["domain"]))]), done])
        }
        "CN=Deleted Objects,DC=corp,DC=example,DC=com" => {
            let container = vec![("isDeleted", texts(&["TRUE"]))];
            Some(vec![Say::Entry("CN=Deleted Objects,DC=corp,DC=example,DC=com", container), done])
        }
        "CN=NTDS Settings,CN=DC1" => {
            Some(vec![Say::Entry("CN=NTDS Settings,CN=DC1", vec![("invocationId", vec![vec![7; 16]])]), done])
        }
        _ => None,
    }
}

fn options(fake: &Fake) -> LdapOptions {
    LdapOptions::new(fake.url(), "reader@corp.example.com", "pass-w0rd").security(Security::PlainText)
}

/// A source whose server answers as a controller about itself, and otherwise as the test says.
async fn source(answer: impl Fn(&Asked) -> Vec<Say> + Send + Sync + 'static) -> (LdapSource, Fake) {
    let fake = Fake::start(move |asked| controller(asked).unwrap_or_else(|| answer(asked))).await;
    (LdapSource::connect(options(&fake)).await.unwrap(), fake)
}

/// Reads all users; answers how many pages came, with the end.
async fn users(source: &LdapSource) -> Result<(Vec<String>, PageEnd), SourceError> {
    let (mut page, mut at, mut found) = (UserPage::default(), None, Vec::new());
    for _ in 0..1_000 {
        page.clear();
        let end = source.read_users(Read::new(identity_sync::Select::All, at.as_ref()), &mut page).await?;
        found.extend(page.users().map(|(anchor, ..)| anchor.to_owned()));
        match end {
            PageEnd::More(token) => at = Some(token),
            last => return Ok((found, last)),
        }
    }
    panic!("the read does not end");
}

/// Reads all groups as the engine does; the snapshot tells whose list is complete.
async fn groups(source: &LdapSource) -> Result<(serde_json::Value, PageEnd), SourceError> {
    let mut builder = SourceSnapshot::builder(source.identity(), source.capabilities());
    let (mut page, mut at) = (GroupPage::default(), None);
    for _ in 0..1_000 {
        page.clear();
        let end = source.read_groups(Read::new(identity_sync::Select::All, at.as_ref()), &mut page).await?;
        builder.groups(&page).unwrap();
        match end {
            PageEnd::More(token) => at = Some(token),
            PageEnd::Last(read) => {
                builder.groups_end(read.clone());
                builder.users_end(identity_sync::Completeness::Complete);
                return Ok((serde_json::to_value(builder.finish()).unwrap(), PageEnd::Last(read)));
            }
        }
    }
    panic!("the read does not end");
}

/// A user's entry.
fn user(number: u8) -> Say {
    let attributes = vec![
        ("objectClass", texts(&["top", "person", "user"])),
        ("objectGUID", vec![fake::guid(number).0]),
        ("userAccountControl", texts(&["512"])),
        ("primaryGroupID", texts(&["513"])),
        ("mail", texts(&["a@corp.example.com"])),
    ];
    Say::Entry("CN=somebody,DC=corp,DC=example,DC=com", attributes)
}

/// The end of a page.
fn last(code: u8, cookie: &[u8]) -> Say {
    Say::Done(code, page(cookie))
}
