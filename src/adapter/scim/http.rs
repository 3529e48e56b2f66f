//! Requests: address, token, limits, time, and answers that are bounded before memory is taken.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
};
use reqwest::{Client, Method, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::date;
use super::error::{Fault, Refusal};
use super::options::ScimOptions;
use super::token::{Token, TokenProvider};
use crate::adapter::rate::{Bucket, jittered};
use crate::trace;

/// A server that wants to be left alone for longer is told about in the error; this store does not wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often one request goes out at most. A call of the engine is made of many requests: were each error handed on, a server
/// that refuses one in twenty would let no call of a hundred through.
const MOST_TRIES: u32 = 5;

/// The wait after the first failed try, doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How often a request has gone out, and since when.
pub(super) struct Tries {
    number: u32,
    begun: Instant,
}

impl Tries {
    pub(super) fn begin() -> Self {
        Self { number: 1, begun: Instant::now() }
    }
}

const SCIM_JSON: &str = "application/scim+json";

/// Whom to ask for what.
#[derive(Clone)]
pub(super) struct Request {
    method: Method,
    path: Vec<String>,
    query: String,
    body: Option<Value>,
    if_match: Option<String>,
}

impl Request {
    fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        Self { method, path, query: String::new(), body: None, if_match: None }
    }

    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    pub(super) fn patch(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PATCH, path) }
    }

    pub(super) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds a parameter; the value is any text.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        let joint = if self.query.is_empty() { "" } else { "&" };
        self.query = format!("{}{joint}{name}={}", self.query, percent(value));
        self
    }

    /// Adds a parameter without a value.
    pub(super) fn flag(mut self, name: &str) -> Self {
        let joint = if self.query.is_empty() { "" } else { "&" };
        self.query = format!("{}{joint}{name}", self.query);
        self
    }

    pub(super) fn if_match(mut self, version: Option<&str>) -> Self {
        self.if_match = version.map(str::to_owned);
        self
    }

    fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

impl fmt::Debug for Request {
    /// The kind of request: path and query hold ids and names (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.method)
    }
}

/// Percent-encoding of everything that is not plain. A space is `%20`, never `+`, which some servers take for a plus.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
                encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    encoded
}

/// An answer that says yes.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    body: Body,
}

#[derive(Debug, Default)]
enum Body {
    #[default]
    None,
    Json(Map<String, Value>),
    Bad(Fault),
}

impl Answer {
    /// What stands in it; for reads, where nothing is as bad as half of it.
    pub(super) fn into_object(self) -> Result<Map<String, Value>, Fault> {
        match self.body {
            Body::Json(object) => Ok(object),
            Body::None => Err(Fault::Malformed("it is empty")),
            Body::Bad(fault) => Err(fault),
        }
    }

    /// What stands in it, where that is of use; for writes, which the status alone says to be done.
    pub(super) fn object(&self) -> Option<&Map<String, Value>> {
        match &self.body {
            Body::Json(object) => Some(object),
            Body::None | Body::Bad(_) => None,
        }
    }
}

/// The connection to one server.
pub(super) struct Http {
    client: Client,
    base: Url,
    tokens: Arc<dyn TokenProvider>,
    /// Held while another token is asked for.
    renewing: Mutex<()>,
    most_bytes: usize,
    timeout: Duration,
    reads: Bucket,
    writes: Bucket,
}

impl Http {
    pub(super) fn new(options: &ScimOptions) -> Result<Self, Fault> {
        let base = address(options)?;
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .user_agent(concat!("identity-sync/", env!("CARGO_PKG_VERSION")));
        // A proxy would see whatever is not encrypted.
        let client = match base.scheme() {
            "https" => client.https_only(true).tls_backend_preconfigured(tls(options)?),
            // Never used; without one, the client would look for a cryptographic provider that nobody has installed.
            _ => client.no_proxy().tls_backend_preconfigured(client_config(RootCertStore::empty())?),
        };
        let client = client.build().map_err(|_| Fault::Permanent("the HTTP client cannot be made"))?;
        Ok(Self {
            client,
            base,
            tokens: Arc::clone(&options.tokens),
            renewing: Mutex::default(),
            most_bytes: options.limits.answer_bytes,
            timeout: options.timeout,
            reads: Bucket::per_second(options.read_rate),
            writes: Bucket::per_second(options.write_rate),
        })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Sends a request, and again where nothing can have come of it: reads that met no answer or a fault of the server's, and
    /// whatever was refused as too much at once (rules X3, X4).
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Fault> {
        let mut tries = Tries::begin();
        loop {
            self.bucket(request).take().await;
            match self.send_once(request).await {
                Err(fault) if self.may_go_again(request.is_read(), &fault, &mut tries).await => {}
                answered => return answered,
            }
        }
    }

    /// Waits until a write may go out.
    pub(super) async fn write_turn(&self) {
        self.writes.take().await;
    }

    /// Whether a request that met this may go out once more; if so, after a pause.
    pub(super) async fn may_go_again(&self, is_read: bool, fault: &Fault, tries: &mut Tries) -> bool {
        // A server that takes its time with each answer would else hold a read up for as many times that.
        let in_time = fault.status() == Some(429) || tries.begun.elapsed() < self.timeout;
        if tries.number >= MOST_TRIES || !in_time || !may_be_sent_again(is_read, fault) {
            return false;
        }
        tries.number += 1;
        trace::sent_again("scim", tries.number, fault.kind());
        // What the server itself asks for is waited for on top, with everybody else who shares the limit.
        tokio::time::sleep(jittered(FIRST_WAIT * 2_u32.pow(tries.number - 2))).await;
        true
    }

    /// Sends a request whose turn it is; with a fresh token once more, where the first one was refused.
    pub(super) async fn send_once(&self, request: &Request) -> Result<Answer, Fault> {
        let token = self.tokens.token().await.map_err(Fault::Token)?;
        match self.send_with(request, &token).await {
            Err(fault) if fault.status() == Some(401) => {
                let fresh = self.renew(&token).await?;
                if fresh == token {
                    return Err(fault);
                }
                self.bucket(request).take().await;
                self.send_with(request, &fresh).await
            }
            answered => answered,
        }
    }

    /// Another token in place of one that was refused. Requests that were under way together with it share one answer, since each
    /// new token may be the end of the one before.
    async fn renew(&self, refused: &Token) -> Result<Token, Fault> {
        let _turn = self.renewing.lock().await;
        let known = self.tokens.token().await.map_err(Fault::Token)?;
        if known != *refused { Ok(known) } else { self.tokens.renew(refused).await.map_err(Fault::Token) }
    }

    async fn send_with(&self, request: &Request, token: &Token) -> Result<Answer, Fault> {
        let url = self.url(request)?;
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
        let mut bearer =
            bearer.map_err(|_| Fault::Permanent("the token is no text that a header can hold"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/scim+json, application/json"));
        if let Some(version) = &request.if_match {
            let version = HeaderValue::try_from(version.as_str());
            headers.insert(IF_MATCH, version.map_err(|_| Fault::Conflict("no record has such a version"))?);
        }
        let mut sent = self.client.request(request.method.clone(), url);
        if let Some(body) = &request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
            sent = sent.body(body.to_string());
        }
        // The error of the client names the address, and in it whom was asked for: what kind it is must do (rule S2).
        let answer = sent.headers(headers).send().await.map_err(|error| no_answer(&error))?;
        self.judge(answer, request).await
    }

    fn bucket(&self, request: &Request) -> &Bucket {
        if request.is_read() { &self.reads } else { &self.writes }
    }

    async fn judge(&self, answer: reqwest::Response, request: &Request) -> Result<Answer, Fault> {
        let is_read = request.is_read();
        let status = answer.status().as_u16();
        let text = |name: HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = text(ETAG).map(str::to_owned);
        let wait = text(reqwest::header::RETRY_AFTER)
            .and_then(|wait| date::retry_after(wait, text(reqwest::header::DATE)));
        let body = self.body(answer).await;
        if (200..300).contains(&status) {
            return match body {
                // Half of what was asked for is nothing; half of what a write says leaves the status, which is all it needs.
                Body::Bad(Fault::NoAnswer(why)) if is_read => Err(Fault::NoAnswer(why)),
                body => Ok(Answer { status, etag, body }),
            };
        }
        if matches!(status, 429 | 503) {
            self.bucket(request).pause(wait.unwrap_or(Duration::from_secs(1)).min(LONGEST_PAUSE));
        }
        if (300..400).contains(&status) {
            return Err(Fault::Permanent("the server redirects; the token is not sent elsewhere"));
        }
        let scim_type = match &body {
            Body::Json(error) => error.get("scimType").and_then(Value::as_str),
            Body::None | Body::Bad(_) => None,
        };
        Err(Fault::Refused(Refusal::new(status, scim_type, wait)))
    }

    async fn body(&self, mut answer: reqwest::Response) -> Body {
        let too_large = || Body::Bad(Fault::TooLarge("bytes", self.most_bytes));
        if answer.content_length().is_some_and(|length| length > self.most_bytes as u64) {
            return too_large();
        }
        let mut text = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(None) => break,
                Ok(Some(chunk)) if text.len() + chunk.len() > self.most_bytes => return too_large(),
                Ok(Some(chunk)) => text.extend_from_slice(&chunk),
                Err(error) => return Body::Bad(no_answer(&error)),
            }
        }
        if text.is_empty() {
            return Body::None;
        }
        match serde_json::from_slice(&text) {
            Ok(Value::Object(object)) => Body::Json(object),
            Ok(_) => Body::Bad(Fault::Malformed("it is no object")),
            // Over HTTP/1.0 without a length, an answer that was cut ends like a whole one.
            Err(error) if error.is_eof() => Body::Bad(Fault::NoAnswer("the server's answer was cut")),
            Err(_) => Body::Bad(Fault::Malformed("it is no JSON")),
        }
    }

    fn url(&self, request: &Request) -> Result<Url, Fault> {
        let mut url = self.base.clone();
        {
            let mut segments =
                url.path_segments_mut().map_err(|()| Fault::Permanent("the address takes no path"))?;
            segments.pop_if_empty();
            for segment in &request.path {
                // An address leaves these out, so that the request would be about all records.
                if matches!(segment.as_str(), "" | "." | "..") {
                    return Err(Fault::NotFound);
                }
                segments.push(segment);
            }
        }
        if !request.query.is_empty() {
            url.set_query(Some(&request.query));
        }
        Ok(url)
    }
}

/// Whether the same request may go out once more: it changes nothing, or the server has refused to look at it.
fn may_be_sent_again(is_read: bool, fault: &Fault) -> bool {
    match fault {
        Fault::NoAnswer(_) => is_read,
        Fault::Refused(refusal) if refusal.wait.is_some_and(|wait| wait > LONGEST_PAUSE) => false,
        Fault::Refused(refusal) => match refusal.status {
            429 => true,
            // What it does not know (501, 505) it will not know the next time either.
            501 | 505 | 507 => false,
            408 | 425 | 500.. => is_read,
            _ => false,
        },
        _ => false,
    }
}

fn no_answer(error: &reqwest::Error) -> Fault {
    Fault::NoAnswer(if error.is_timeout() {
        "the server did not answer in time"
    } else if error.is_connect() {
        "no connection to the server"
    } else {
        "the connection was lost before the answer was whole"
    })
}

/// The address of the service, where it is one that the token may be sent to.
fn address(options: &ScimOptions) -> Result<Url, Fault> {
    let invalid = |why: &str| Fault::Invalid(format!("the address of the service {why}"));
    let url = Url::parse(&options.base_url).map_err(|_| invalid("is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("must not hold credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("must have neither query nor fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if options.plaintext || is_loopback(&url) => Ok(url),
        "http" => Err(invalid("must be https: the token would travel unencrypted")),
        _ => Err(invalid("must be https")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

fn tls(options: &ScimOptions) -> Result<ClientConfig, Fault> {
    let mut roots = RootCertStore::empty();
    match &options.roots {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let bad = |_| Fault::Invalid("a root certificate cannot be read".into());
                let certificate = certificate.map_err(bad)?;
                roots
                    .add(certificate)
                    .map_err(|_| Fault::Invalid("a root certificate cannot be read".into()))?;
            }
        }
        // What of the system's cannot be read is left out, as everywhere.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Fault::Invalid("there is no root certificate to trust".into()));
    }
    client_config(roots)
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Fault::Permanent("TLS cannot be set up"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(url: &str) -> Result<Http, Fault> {
        Http::new(&ScimOptions::new(url, Token::new("secret")))
    }

    #[test]
    fn a_token_is_sent_unencrypted_to_this_machine_only() {
        // threat T9
        for url in ["http://127.0.0.1:1/v2", "http://[::1]/v2", "http://localhost/v2"] {
            assert!(http(url).is_ok(), "{url}");
        }
        let refused =
            ["http://scim.example.com/v2", "http://127.0.0.1.example.com/", "http://localhost.example.com/"];
        for url in refused.iter().chain(&[
            "ftp://x/",
            "file:///x",
            "x",
            "https://u:p@h/",
            "https://h/?a=b",
            "https://h/#f",
        ]) {
            assert!(matches!(http(url), Err(Fault::Invalid(_))), "{url}");
        }
        let options = ScimOptions::new("http://scim.example.com/v2", Token::new("secret"));
        assert!(Http::new(&options.dangerously_send_token_without_encryption()).is_ok());
    }

    #[test]
    fn an_id_is_one_segment_of_the_path_whatever_it_holds() {
        let http = http("http://127.0.0.1:1/scim/v2/").unwrap();
        for (id, path) in [
            ("a/../b", "/scim/v2/Users/a%2F..%2Fb"),
            ("a?b#c", "/scim/v2/Users/a%3Fb%23c"),
            ("%2e%2e", "/scim/v2/Users/%252e%252e"),
            ("é x", "/scim/v2/Users/%C3%A9%20x"),
        ] {
            assert_eq!(http.url(&Request::get(&["Users", id])).unwrap().path(), path);
        }
        // These would make it a request about all users.
        for id in ["", ".", ".."] {
            assert!(matches!(http.url(&Request::delete(&["Users", id])), Err(Fault::NotFound)), "{id}");
        }
    }

    #[test]
    fn a_query_holds_any_text() {
        let request = Request::get(&["Users"]).query("filter", "a eq \"b&c=d+e é\"").query("count", "1");
        assert_eq!(request.query, "filter=a%20eq%20%22b%26c%3Dd%2Be%20%C3%A9%22&count=1");
        // rule S2
        assert_eq!(format!("{request:?}"), "Request(GET)");
    }

    #[test]
    fn a_root_that_cannot_be_read_is_refused() {
        let options = ScimOptions::new("https://scim.example.com", Token::new("x"));
        for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Http::new(&options.clone().root_certificates(pem)), Err(Fault::Invalid(_))));
        }
    }
}
