//! As much of an HTTP server as a loopback test needs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub end: End,
}

/// What comes of an answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// Nothing arrives.
    Lost,
    /// Half of it arrives.
    Cut,
    /// It arrives in pieces without a length, that never end.
    Endless,
    /// It arrives late.
    Late(Duration),
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), end: End::Whole }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Serves until the process ends; answers the address.
pub fn serve(answer: impl Fn(Request) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // Else each answer waits for the acknowledgement of the one before.
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || while one(&stream, &*answer).is_some() {});
        }
    });
    format!("http://{address}")
}

/// One request and its answer; `None` ends the connection.
fn one(stream: &TcpStream, answer: &dyn Fn(Request) -> Reply) -> Option<()> {
    let request = read(stream)?;
    let reply = answer(request);
    let mut stream = stream;
    let mut head = format!("HTTP/1.1 {} test\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match reply.end {
        End::Lost => return None,
        End::Late(wait) => thread::sleep(wait),
        End::Endless => {
            stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).ok()?;
            let piece = [b' '; 65_536];
            loop {
                stream.write_all(b"10000\r\n").ok()?;
                stream.write_all(&piece).ok()?;
                stream.write_all(b"\r\n").ok()?;
            }
        }
        End::Whole | End::Cut => {}
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
    let mut whole = head.into_bytes();
    if reply.end == End::Cut {
        whole.extend(&reply.body[..reply.body.len() / 2]);
        stream.write_all(&whole).ok()?;
        return None;
    }
    whole.extend(&reply.body);
    stream.write_all(&whole).ok()
}

fn read(stream: &TcpStream) -> Option<Request> {
    // No buffer outlives a request: clients of these tests send one, and wait.
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    Some(Request { method, path: decoded(path), query: query.collect(), headers, body })
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'+' => plain.push(b' '),
            b'%' => {
                plain.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
                at += 2;
            }
            byte => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8(plain).unwrap()
}
