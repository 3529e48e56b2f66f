//! What the proxy is told.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Server;

/// Rules of the proxy before a server, for as long as this lives.
pub(super) struct Faults(Server);

impl Faults {
    /// The proxy spoils answers by these rules from now on.
    pub(super) fn of(server: Server, rules: &str) -> Self {
        post(server, "[]");
        post(server, rules);
        Self(server)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        post(self.0, "[]");
    }
}

fn post(server: Server, rules: &str) {
    let url = server.fault_url();
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /_microburst/rules HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{rules}",
        rules.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "the proxy does not take {rules}: {answer}");
}
