//! Nothing that is shown holds the token, an address, or a person's data (rule S2).

use std::error::Error as _;

use identity_sync::adapter::scim::ScimLimits;

use super::fake::Trouble;
use super::*;

const NAME: &str = "m4rk3r-name";

/// Everything that an error shows, and all that it was caused by.
fn shown(error: &StoreError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text} {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn no_error_shows_who_was_asked_for_or_with_what() {
    let fake = Fake::start(Dialect::Plain).await;
    let limits = ScimLimits { answer_bytes: 5_000, pages: 10 };
    let store = ScimStore::connect(options(&fake).limits(limits)).await.unwrap();
    let id = create_user(&store, NAME, NAME).await.unwrap();
    let mut texts = vec![format!("{store:?} {:?}", options(&fake)), format!("{:?}", Token::new(TOKEN))];
    let said = format!("{{\"scimType\":\"{NAME}\",\"detail\":\"{NAME} {TOKEN}\"}}");
    for trouble in [
        Trouble::AnswerLost,
        Trouble::NotHeard,
        Trouble::Cut,
        Trouble::Huge(1 << 40),
        Trouble::Body(said.clone()),
        Trouble::Body(format!("{NAME} {TOKEN}")),
        Trouble::Status(400, ""),
        Trouble::Status(401, ""),
        Trouble::Status(404, ""),
        Trouble::Status(409, ""),
        Trouble::Status(429, "Retry-After: 0\r\n"),
        Trouble::Status(302, "Location: http://m4rk3r-name/\r\n"),
    ] {
        fake.trouble("GET", "/Users", 1, trouble.clone());
        let select = StoreSelect::UniqueValue { attribute: "userName", value: NAME };
        texts.extend(read(&store, Kind::User, select).await.err().map(|error| shown(&error)));
        fake.trouble("PATCH", "/Users", 1, trouble);
        let change = Write::SetActive { id: &id, version: None, active: true };
        texts.extend(write(&store, change).await.err().map(|error| shown(&error)));
    }
    texts.push(shown(&create_user(&store, "other", NAME).await.unwrap_err()));
    drop(fake);
    texts.push(shown(&create_user(&store, "other", NAME).await.unwrap_err()));
    assert!(texts.len() > 15);
    for text in texts {
        assert!(!text.contains(NAME) && !text.contains(TOKEN), "{text}");
        assert!(!text.contains("scim/v2/Users"), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_not_shown_either() {
    let fake = Fake::start(Dialect::Plain).await;
    let token = format!("{TOKEN}\r\nX-Evil: 1");
    let error = ScimStore::connect(ScimOptions::new(fake.url.as_str(), Token::new(token))).await.unwrap_err();
    assert!(!shown(&error).contains(TOKEN));
    assert_eq!(fake.state().log.len(), 0);
}
