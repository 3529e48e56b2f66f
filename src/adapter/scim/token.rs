//! Where the bearer token comes from.

use std::fmt;

use async_trait::async_trait;

use crate::error::StoreError;

/// A bearer token. Neither `Debug` nor anything else shows it (rule S2).
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Takes the text that goes behind `Bearer`.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text. Whoever asks for it must not show it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([secret])")
    }
}

/// Gives the token for each request: from memory, a file, a vault, or an OAuth endpoint.
///
/// It is asked before each request, so it should remember what it has. The errors that it answers end the request; their
/// kind counts: `Transient` where another try may help, `Unauthorized` where none does.
#[async_trait]
pub trait TokenProvider: Send + Sync {
    /// The token to use now.
    ///
    /// # Errors
    ///
    /// There is none.
    async fn token(&self) -> Result<Token, StoreError>;

    /// A token in place of one that the server has just refused with 401; asked for once in a request, and only while
    /// [`token`](Self::token) still gives the refused one: of many requests that were under way with it, the first asks, and [`token`](Self::token) has to give the new one from then on. By default,
    /// whatever [`token`](Self::token) gives now; where that is the refused one again, nothing is sent a second time.
    ///
    /// # Errors
    ///
    /// There is none.
    async fn renew(&self, refused: &Token) -> Result<Token, StoreError> {
        let _ = refused;
        self.token().await
    }
}

/// A token that never changes.
#[async_trait]
impl TokenProvider for Token {
    async fn token(&self) -> Result<Token, StoreError> {
        Ok(self.clone())
    }
}
