//! Who has been given access.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::AssignmentError;
use crate::model::Principal;
use crate::page::{PageEnd, PageToken};

/// The set of assignments: whoever is named here, and whoever is below, is entitled (rule E1).
///
/// # Contract
///
/// Reads page as those of a [`DirectorySource`](crate::DirectorySource) do. The same principal may come many times. An
/// incomplete read removes nobody (rule C2): say [`Completeness::Partial`](crate::Completeness), or `Err`, never a short list.
/// `testing::conformance::assignments` checks whether a set keeps this contract (feature `testing`).
#[async_trait]
pub trait AssignmentSet: Send + Sync {
    /// Reads a page of assignments.
    ///
    /// # Errors
    ///
    /// Any error ends the read, and there is no plan (rule C1).
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError>;
}

/// A page of assignments that the set fills.
#[derive(Clone, Debug, Default)]
pub struct AssignmentPage {
    principals: Vec<Principal>,
}

impl AssignmentPage {
    /// Takes everything out; the memory stays.
    pub fn clear(&mut self) {
        self.principals.clear();
    }

    /// Adds somebody who was given access.
    pub fn assign(&mut self, principal: Principal) {
        self.principals.push(principal);
    }

    /// Principals, and bytes of text.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = self.principals.iter().map(|principal| match principal {
            Principal::External(id) => id.issuer.as_str().len() + id.value.as_str().len(),
            Principal::Stored(id) => id.as_str().len(),
        });
        (self.principals.len(), bytes.sum())
    }

    /// The principals of this page.
    pub fn principals(&self) -> &[Principal] {
        &self.principals
    }
}

macro_rules! forward_assignments {
    ([$($generics:tt)*] $target:ty) => {
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<$($generics)*> AssignmentSet for $target {
            async fn read_assignments(
                &self,
                at: Option<&PageToken>,
                page: &mut AssignmentPage,
            ) -> Result<PageEnd, AssignmentError> {
                (**self).read_assignments(at, page).await
            }
        }
    };
}
forward_assignments!([T: AssignmentSet + ?Sized] &T);
forward_assignments!([T: AssignmentSet + ?Sized] Box<T>);
forward_assignments!([T: AssignmentSet + ?Sized] Arc<T>);
#[cfg(feature = "testing")]
pub(crate) use forward_assignments;
