//! A directory server that says whatever a test wants it to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as the server understood it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) base: String,
    pub(crate) scope: i64,
    pub(crate) filter: Vec<u8>,
    pub(crate) attributes: Vec<String>,
    pub(crate) controls: Vec<(String, Vec<u8>)>,
}

impl Asked {
    pub(crate) fn wants(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|name| name == attribute)
    }

    pub(crate) fn control(&self, oid: &str) -> Option<&[u8]> {
        self.controls.iter().find(|(found, _)| found == oid).map(|(_, value)| value.as_slice())
    }

    /// The cookie of the page that is asked for.
    pub(crate) fn cookie(&self) -> Vec<u8> {
        let Some(value) = self.control(PAGED) else { return Vec::new() };
        let (_, content, _) = tlv(value).unwrap();
        let (_, _, rest) = tlv(content).unwrap();
        tlv(rest).unwrap().1.to_vec()
    }

    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.filter.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

pub(crate) const PAGED: &str = "1.2.840.113556.1.4.319";
pub(crate) const DIR_SYNC: &str = "1.2.840.113556.1.4.841";

/// What the server does about a search.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Entry(&'static str, Vec<(&'static str, Vec<Vec<u8>>)>),
    Reference,
    /// The end: result code, and the value of a control with its OID.
    Done(u8, Option<(&'static str, Vec<u8>)>),
    Octets(Vec<u8>),
    Close,
    Silence,
}

pub(crate) type Script = Arc<dyn Fn(&Asked) -> Vec<Say> + Send + Sync>;

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Serves on loopback for as long as the test's runtime lives.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Vec<Say> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, script): (Arc<Mutex<Vec<Asked>>>, Script) = (Arc::default(), Arc::new(script));
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&shared)));
            }
        });
        Self { address, log }
    }

    pub(crate) fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }
}

async fn serve(mut stream: TcpStream, script: Script, log: Arc<Mutex<Vec<Asked>>>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        while tlv(&buffer).is_none() {
            let mut more = [0; 8192];
            match stream.read(&mut more).await {
                Ok(read @ 1..) => buffer.extend_from_slice(&more[..read]),
                _ => return None,
            }
        }
        let (_, content, rest) = tlv(&buffer)?;
        let (id, op, asked) = understood(content)?;
        buffer = rest.to_vec();
        match op {
            // Bind: everybody is welcome.
            0x60 => stream.write_all(&message(id, &done(0x61, 0), None)).await.ok()?,
            0x63 => {
                log.lock().unwrap().push(asked.clone());
                for say in script(&asked) {
                    let octets = match say {
                        Say::Entry(dn, attributes) => message(id, &entry(dn, &attributes), None),
                        Say::Reference => {
                            message(id, &element(0x73, &element(4, b"ldap://other/DC=other")), None)
                        }
                        Say::Done(code, control) => message(id, &done(0x65, code), control),
                        Say::Octets(octets) => octets,
                        Say::Close => return None,
                        Say::Silence => std::future::pending().await,
                    };
                    stream.write_all(&octets).await.ok()?;
                }
            }
            0x42 => return None,
            _ => {}
        }
    }
}

/// Tag, content and what follows.
pub(crate) fn tlv(text: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = text.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (digits.iter().fold(0, |length, b| length << 8 | usize::from(*b)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn all(mut text: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let Some((tag, content, rest)) = tlv(text) {
        found.push((tag, content));
        text = rest;
    }
    found
}

fn understood(content: &[u8]) -> Option<(i64, u8, Asked)> {
    let number = |text: &[u8]| text.iter().fold(0, |number, b| number << 8 | i64::from(*b));
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let parts = all(content);
    let (id, (op, request)) = (number(parts.first()?.1), *parts.get(1)?);
    let mut asked = Asked::default();
    if op == 0x63 {
        let request = all(request);
        asked.base = text(request.first()?.1);
        asked.scope = number(request.get(1)?.1);
        asked.filter = request.get(6)?.1.to_vec();
        asked.attributes = all(request.get(7)?.1).into_iter().map(|(_, name)| text(name)).collect();
    }
    for (_, control) in parts.get(2).map(|(_, controls)| all(controls)).unwrap_or_default() {
        let control = all(control);
        let value = control.iter().skip(1).find(|(tag, _)| *tag == 4).map(|(_, value)| value.to_vec());
        asked.controls.push((text(control.first()?.1), value.unwrap_or_default()));
    }
    Some((id, op, asked))
}

pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    match content.len() {
        short @ 0..0x80 => octets.push(short as u8),
        long => {
            octets.push(0x84);
            octets.extend_from_slice(&(long as u32).to_be_bytes());
        }
    }
    octets.extend_from_slice(content);
    octets
}

fn integer(number: i64) -> Vec<u8> {
    element(2, &number.to_be_bytes())
}

fn message(id: i64, operation: &[u8], control: Option<(&str, Vec<u8>)>) -> Vec<u8> {
    let mut content = element(2, &(id as i32).to_be_bytes());
    content.extend_from_slice(operation);
    if let Some((oid, value)) = control {
        let control = [element(4, oid.as_bytes()), element(4, &value)].concat();
        content.extend_from_slice(&element(0xa0, &element(0x30, &control)));
    }
    element(0x30, &content)
}

fn done(tag: u8, code: u8) -> Vec<u8> {
    element(tag, &[element(0x0a, &[code]), element(4, b""), element(4, b"said so")].concat())
}

fn entry(dn: &str, attributes: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
    let attribute = |(name, values): &(&str, Vec<Vec<u8>>)| {
        let values: Vec<u8> = values.iter().flat_map(|value| element(4, value)).collect();
        element(0x30, &[element(4, name.as_bytes()), element(0x31, &values)].concat())
    };
    let attributes: Vec<u8> = attributes.iter().flat_map(attribute).collect();
    element(0x64, &[element(4, dn.as_bytes()), element(0x30, &attributes)].concat())
}

/// The value of the control that ends a page.
pub(crate) fn page(cookie: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    Some((PAGED, element(0x30, &[integer(0), element(4, cookie)].concat())))
}

/// The value of the control that ends a DirSync answer.
pub(crate) fn dir_sync(more: i64, cookie: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    Some((DIR_SYNC, element(0x30, &[integer(more), integer(0), element(4, cookie)].concat())))
}

pub(crate) fn texts(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// The sixteen octets of the object with this number, and its anchor.
pub(crate) fn guid(number: u8) -> (Vec<u8>, String) {
    let mut octets = vec![0; 16];
    octets[15] = number;
    (octets, format!("00000000-0000-0000-0000-0000000000{number:02x}"))
}
