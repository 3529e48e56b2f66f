//! The halves of the AWS adapter that read, against moto and fakecloud, and against each through a proxy that spoils answers.

mod assignments;
mod fault;
mod reading;

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_identitystore::config::{BehaviorVersion, Credentials, Region};
use identity_sync::adapter::aws::AwsPace;

/// A variable that `tests/servers/run aws` sets.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/servers/run aws"))
}

/// A server, by its name in the variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Moto,
    Idc,
}

impl Server {
    fn url(self) -> String {
        variable(match self {
            Self::Moto => "AWS_MOTO_URL",
            Self::Idc => "AWS_IDC_URL",
        })
    }

    /// The proxy before it.
    fn fault_url(self) -> String {
        variable(match self {
            Self::Moto => "AWS_MOTO_FAULT_URL",
            Self::Idc => "AWS_IDC_FAULT_URL",
        })
    }
}

/// The id of a store that nobody has used; each call another one.
fn fresh_store() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("d-{:05x}{:05x}", std::process::id() % 0x10_0000, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Fast enough that no test waits for it.
fn at_once() -> AwsPace {
    AwsPace::per_second(1_000_000)
}

fn identity_store(url: &str) -> aws_sdk_identitystore::Client {
    let config = aws_sdk_identitystore::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_identitystore::Client::from_conf(config)
}

fn identity_center(url: &str) -> aws_sdk_ssoadmin::Client {
    let config = aws_sdk_ssoadmin::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_ssoadmin::Client::from_conf(config)
}
