//! One connection: TLS, bind, and one search at a time.
//!
//! `ldap3` panics on answers that it cannot make sense of. So each operation runs in a task of its own: such a panic ends that
//! task, and here it is an error like any other.

use std::sync::Arc;
use std::time::Duration;

use ldap3::asn1::{StructureTag, TagClass};
use ldap3::controls::RawControl;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, ResultEntry, Scope, SearchOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::filter::{Base, Filter};
use super::options::{LdapOptions, Security};
use crate::adapter::directory::record::{Record, Value};
use crate::error::{ErrorKind, SourceError};

/// How to connect, worked out once.
pub(super) struct Dialer {
    url: String,
    account: String,
    password: super::options::Password,
    security: Security,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
    timeout: Duration,
    answer_bytes: usize,
}

impl Dialer {
    pub(super) fn new(options: &LdapOptions) -> Result<Self, SourceError> {
        let security = options.check()?;
        let tls = match security {
            Security::PlainText => None,
            Security::Ldaps | Security::StartTls => Some(Arc::new(tls(&options.roots)?)),
        };
        Ok(Self {
            url: options.url.clone(),
            account: options.account.clone(),
            password: options.password.clone(),
            security,
            tls,
            connect_timeout: options.connect_timeout,
            timeout: options.timeout,
            answer_bytes: options.answer_bytes,
        })
    }

    /// Connects and binds.
    pub(super) async fn connect(&self) -> Result<Connection, SourceError> {
        let runtime = Handle::try_current().map_err(|_| {
            SourceError::new(ErrorKind::Unsupported, "reading over LDAP needs a Tokio runtime")
        })?;
        let mut settings = LdapConnSettings::new().set_starttls(self.security == Security::StartTls);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(Arc::clone(tls));
        }
        let (url, account, password) = (self.url.clone(), self.account.clone(), self.password.clone());
        let opened = Task(runtime.spawn(async move {
            let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &url).await?;
            let driver = Task(tokio::spawn(connection.drive()));
            let bound = ldap.simple_bind(&account, password.expose()).await?;
            Ok::<_, LdapError>((ldap, driver, bound.rc, bound.text))
        }));
        let (ldap, driver, code, text) =
            opened.within(self.connect_timeout, "the directory did not answer in time").await??;
        if code != 0 {
            // What a server says about a refused bind is for the person who set up the account; it must not repeat the password.
            let text = if text.contains(self.password.expose()) { String::new() } else { text };
            return Err(refused(code, &text, "the bind was refused"));
        }
        Ok(Connection { ldap, _driver: driver, timeout: self.timeout, answer_bytes: self.answer_bytes })
    }
}

/// Trusts the authorities of the host or, where it named none, those of the operating system.
fn tls(pems: &[Vec<u8>]) -> Result<ClientConfig, SourceError> {
    let invalid = |message: &str| SourceError::new(ErrorKind::Invalid, message);
    let mut roots = RootCertStore::empty();
    for pem in pems {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|error| invalid("an authority is no PEM text").caused_by(error))?;
            roots
                .add(certificate)
                .map_err(|error| invalid("an authority cannot be used").caused_by(error))?;
        }
        if roots.len() == before {
            return Err(invalid("a PEM text of authorities holds no certificate"));
        }
    }
    if pems.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(invalid("the operating system names no authority to trust: name your own"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SourceError::new(ErrorKind::Unsupported, "TLS cannot be set up").caused_by(error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Task<T> {
    async fn within(mut self, most: Duration, late: &str) -> Result<T, SourceError> {
        match tokio::time::timeout(most, &mut self.0).await {
            Err(_) => Err(SourceError::new(ErrorKind::Transient, late)),
            Ok(Ok(done)) => Ok(done),
            // The message of a panic may hold what the server sent.
            Ok(Err(_)) => Err(SourceError::new(
                ErrorKind::Permanent,
                "the directory sent an answer that cannot be understood",
            )),
        }
    }
}

/// A bound connection. Dropping it ends it.
pub(super) struct Connection {
    ldap: Ldap,
    _driver: Task<Result<(), LdapError>>,
    timeout: Duration,
    answer_bytes: usize,
}

/// One search.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) base: Base,
    pub(super) scope: Scope,
    pub(super) filter: Filter,
    pub(super) attributes: Arc<[String]>,
    pub(super) controls: Vec<RawControl>,
    /// Most entries; a server that sends more is not listened to further.
    pub(super) most: usize,
}

/// What came of a search.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) entries: Vec<Record<'static>>,
    /// Continuation references, which are not followed.
    pub(super) references: usize,
    pub(super) code: u32,
    text: String,
    pub(super) controls: Vec<(String, Vec<u8>)>,
    /// One page was asked for, and nothing said whether it is the last one.
    pub(super) unpaged: bool,
}

/// Result codes (RFC 4511, appendix A).
pub(super) mod code {
    pub(in super::super) const TIME_LIMIT: u32 = 3;
    pub(in super::super) const SIZE_LIMIT: u32 = 4;
    pub(in super::super) const REFERRAL: u32 = 10;
    pub(in super::super) const ADMIN_LIMIT: u32 = 11;
    pub(in super::super) const NO_SUCH_OBJECT: u32 = 32;
}

impl Answer {
    /// Why what came is not all that there is, where the server says so (rule C1).
    pub(super) fn cut(&self) -> Option<&'static str> {
        match self.code {
            code::TIME_LIMIT => Some("the directory's time limit cut the search short"),
            code::SIZE_LIMIT => Some("the directory's size limit cut the search short"),
            code::ADMIN_LIMIT => Some("a limit of the directory cut the search short"),
            code::REFERRAL => Some("the directory referred the search to another server"),
            0 if self.unpaged => {
                Some("the directory ended a search without saying that this was the last page")
            }
            _ => None,
        }
    }

    /// The answer, where the server carried the search out or cut it short; else its error.
    pub(super) fn usable(self) -> Result<Self, SourceError> {
        if self.code == 0 || self.cut().is_some() {
            return Ok(self);
        }
        Err(refused(self.code, &self.text, "the search was refused"))
    }

    /// The value of a control of the answer.
    pub(super) fn control(&self, oid: &str) -> Option<&[u8]> {
        self.controls.iter().find(|(found, _)| found == oid).map(|(_, value)| value.as_slice())
    }
}

impl Connection {
    /// Whether the other side, or an answer that could not be understood, has ended it.
    pub(super) fn is_closed(&mut self) -> bool {
        self.ldap.is_closed()
    }

    /// Carries a search out. An error of the server is in the answer; `Err` means that the connection is of no more use.
    pub(super) async fn search(&self, search: Search) -> Result<Answer, SourceError> {
        let (ldap, most_bytes) = (self.ldap.clone(), self.answer_bytes);
        let task = Task(tokio::spawn(run(ldap, search, most_bytes)));
        task.within(self.timeout, "the directory did not answer in time").await?
    }

    /// Several searches at once, each answer in the place of its question.
    pub(super) async fn search_all(&self, searches: Vec<Search>) -> Result<Vec<Answer>, SourceError> {
        let tasks: Vec<_> = searches
            .into_iter()
            .map(|search| Task(tokio::spawn(run(self.ldap.clone(), search, self.answer_bytes))))
            .collect();
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            answers.push(task.within(self.timeout, "the directory did not answer in time").await??);
        }
        Ok(answers)
    }
}

async fn run(mut ldap: Ldap, search: Search, most_bytes: usize) -> Result<Answer, SourceError> {
    let beyond = |what| Err(SourceError::new(ErrorKind::Permanent, what));
    ldap.with_search_options(SearchOptions::new()).with_controls(search.controls);
    let attributes: Vec<String> = search.attributes.to_vec();
    let mut stream =
        ldap.streaming_search(search.base.as_str(), search.scope, search.filter.as_str(), attributes).await?;
    let (mut answer, mut room) = (Answer::default(), most_bytes);
    while let Some(entry) = stream.next().await? {
        if entry.is_ref() {
            answer.references += 1;
            continue;
        }
        if entry.is_intermediate() {
            continue;
        }
        let record = match record(entry, &mut room) {
            Ok(record) => record,
            Err(what) => return beyond(what),
        };
        if answer.entries.len() >= search.most {
            return beyond("the directory sent more entries than were asked for");
        }
        answer.entries.push(record);
    }
    let result = stream.finish().await;
    answer.code = result.rc;
    answer.text = result.text;
    answer.controls = result
        .ctrls
        .into_iter()
        .map(|control| (control.1.ctype, control.1.val.unwrap_or_default()))
        .collect();
    Ok(answer)
}

/// What an entry, and what a value, takes beside its octets.
const BESIDE: usize = 16;

/// An entry as it came, or why it is none. Each value is held with the name of its attribute: what is held is what counts.
fn record(entry: ResultEntry, room: &mut usize) -> Result<Record<'static>, &'static str> {
    let mut take = |octets: usize| -> Result<(), &'static str> {
        let left = room.checked_sub(octets.saturating_add(BESIDE));
        *room = left.ok_or("the directory sent an answer beyond its bound")?;
        Ok(())
    };
    let (dn, attributes) = parts(entry).ok_or(NO_ENTRY)?;
    take(dn.len())?;
    let mut record = Record { dn: dn.into(), ..Record::default() };
    for attribute in attributes {
        let (name, values) = named(attribute).ok_or(NO_ENTRY)?;
        for value in values {
            let octets = value.expect_primitive().ok_or(NO_ENTRY)?;
            take(name.len().saturating_add(octets.len()))?;
            record.values.push(Value::of(&name, octets));
        }
    }
    Ok(record)
}

const NO_ENTRY: &str = "the directory sent an entry that cannot be understood";

/// An entry's name and attributes.
fn parts(entry: ResultEntry) -> Option<(String, Vec<StructureTag>)> {
    let mut parts =
        entry.0.match_class(TagClass::Application)?.match_id(4)?.expect_constructed()?.into_iter();
    let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
    Some((dn, parts.next()?.expect_constructed()?))
}

/// An attribute's name and values.
fn named(attribute: StructureTag) -> Option<(Vec<u8>, Vec<StructureTag>)> {
    let mut parts = attribute.expect_constructed()?.into_iter();
    Some((parts.next()?.expect_primitive()?, parts.next()?.expect_constructed()?))
}

/// An answer of the server that is no success. Of its words only the first are kept.
fn refused(code: u32, text: &str, what: &str) -> SourceError {
    let kind = match code {
        // strongerAuthRequired, inappropriateAuthentication, invalidCredentials, insufficientAccessRights
        8 | 48 | 49 | 50 => ErrorKind::Unauthorized,
        // timeLimitExceeded, adminLimitExceeded, busy, unavailable
        code::TIME_LIMIT | code::ADMIN_LIMIT | 51 | 52 => ErrorKind::Transient,
        // unavailableCriticalExtension
        12 => ErrorKind::Unsupported,
        // noSuchObject and invalidDNSyntax of a base that the host named
        code::NO_SUCH_OBJECT | 34 => ErrorKind::Invalid,
        _ => ErrorKind::Permanent,
    };
    let text: String = text.trim_end_matches('\0').chars().take(200).collect();
    let said = if text.is_empty() { String::new() } else { format!(": {text}") };
    SourceError::new(kind, format!("{what} with result code {code}{said}"))
}

impl From<LdapError> for SourceError {
    fn from(error: LdapError) -> Self {
        let (kind, message) = match &error {
            LdapError::Rustls { .. } => {
                (ErrorKind::Permanent, "the directory's certificate was not accepted")
            }
            LdapError::Io { source } if is_tls(source) => {
                (ErrorKind::Permanent, "the directory's certificate was not accepted")
            }
            LdapError::LdapResult { result } => {
                return refused(result.rc, &result.text, "the directory refused");
            }
            LdapError::FilterParsing => (ErrorKind::Invalid, "a filter cannot be understood"),
            LdapError::UrlParsing { .. } | LdapError::UnknownScheme(_) | LdapError::DNSName { .. } => {
                (ErrorKind::Invalid, "the address of the directory cannot be understood")
            }
            _ => (ErrorKind::Transient, "the connection to the directory failed"),
        };
        SourceError::new(kind, message).caused_by(error)
    }
}

/// Whether a handshake failed over what was shown, and not for want of a connection.
fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}
