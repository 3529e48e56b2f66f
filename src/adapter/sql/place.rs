//! Page tokens: the number after which to go on.

use super::Refusal;
use crate::page::PageToken;

/// The number after which to go on.
pub(in crate::adapter) fn place(token: &PageToken) -> Result<i64, Refusal> {
    token.as_bytes().try_into().map(i64::from_be_bytes).map_err(|_| Refusal::Token)
}

pub(in crate::adapter) fn token(place: i64) -> PageToken {
    PageToken::new(place.to_be_bytes())
}
