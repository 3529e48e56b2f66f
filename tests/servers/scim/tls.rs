//! Whom the store trusts (threat T9).

use identity_sync::ErrorKind;
use identity_sync::adapter::scim::ScimStore;

use super::{fresh, options, variable};

/// The authority of the tests.
fn authority() -> Vec<u8> {
    std::fs::read(variable("SCIM_CA_FILE")).unwrap()
}

#[tokio::test]
#[ignore = "needs scim2-server: tests/servers/run scim"]
async fn a_server_is_trusted_by_the_authority_that_was_named() {
    let url = fresh("SCIM_TLS_URL");
    ScimStore::connect(options(&url).root_certificates(authority())).await.unwrap();
}

#[tokio::test]
#[ignore = "needs scim2-server: tests/servers/run scim"]
async fn a_server_of_another_authority_is_not_spoken_to() {
    let error = ScimStore::connect(options(&fresh("SCIM_TLS_URL"))).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Transient, "no connection to the server")
    );
}

#[tokio::test]
#[ignore = "needs scim2-server: tests/servers/run scim"]
async fn a_certificate_for_another_name_is_none() {
    let url = fresh("SCIM_TLS_URL").replace("localhost", "127.0.0.1");
    let error = ScimStore::connect(options(&url).root_certificates(authority())).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to the server");
}

#[tokio::test]
#[ignore = "needs scim2-server: tests/servers/run scim"]
async fn nothing_is_sent_where_encryption_was_asked_for_and_there_is_none() {
    let url = fresh("SCIM_URL").replace("http:", "https:");
    let error = ScimStore::connect(options(&url).root_certificates(authority())).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to the server");
}
