//! Where a read of the assignments goes on.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::error::{AssignmentError, ErrorKind};
use crate::page::PageToken;

/// How far a read has come: a permission set and one of its accounts, or an application.
///
/// A token is all that there is: nothing is kept between two calls, so any page may be asked for again, by any program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) stage: Stage,
    /// In the list of permission sets, or of applications.
    pub(super) list: At,
    /// In the list of accounts of that permission set.
    pub(super) accounts: At,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    #[default]
    PermissionSets,
    Applications,
}

/// A place in a list of AWS: a page of it, and how many of its items are done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    pub(super) token: Option<String>,
    pub(super) done: usize,
    /// Hash of the page's items, from the first time that it was read.
    page: Option<u64>,
}

/// A page of a list: its items sorted, and where the next page is.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) items: Vec<String>,
    pub(super) next: Option<String>,
}

impl Listed {
    pub(super) fn new(mut items: Vec<String>, next: Option<String>) -> Self {
        items.sort_unstable();
        Self { items, next: next.filter(|token| !token.is_empty()) }
    }
}

impl At {
    pub(super) fn page(token: String) -> Self {
        Self { token: Some(token), ..Self::default() }
    }

    /// Compares a page that is read again with what it was before. Had it changed, an item could be skipped, and everybody assigned
    /// there would look as if nobody had given him access (rule C1).
    pub(super) fn check(&mut self, what: &str, listed: &Listed) -> Result<(), AssignmentError> {
        let mut hasher = SipHasher24::new();
        for item in &listed.items {
            hasher.write_usize(item.len());
            hasher.write(item.as_bytes());
        }
        let hash = hasher.finish();
        if self.page.is_some_and(|before| before != hash) {
            let message = format!("{what}: the list changed while it was read");
            return Err(AssignmentError::new(ErrorKind::Conflict, message));
        }
        self.page = Some(hash);
        Ok(())
    }
}

impl Place {
    /// The place that a token stands for.
    pub(super) fn of(token: Option<&PageToken>) -> Result<Self, AssignmentError> {
        let Some(token) = token else { return Ok(Self::default()) };
        serde_json::from_slice(token.as_bytes()).map_err(|_| {
            AssignmentError::new(ErrorKind::Invalid, "the page token is not one of this adapter")
        })
    }

    pub(super) fn token(&self) -> Result<PageToken, AssignmentError> {
        let text = serde_json::to_vec(self).map_err(|error| {
            AssignmentError::new(ErrorKind::Permanent, "the page token cannot be written").caused_by(error)
        })?;
        Ok(PageToken::new(text))
    }
}
