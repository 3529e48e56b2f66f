use async_trait::async_trait;

use super::{Call, Faulty, ReadFault, ended, is_endless};
use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::AssignmentError;
use crate::model::Completeness;
use crate::page::{PageEnd, PageToken};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<A: AssignmentSet> AssignmentSet for Faulty<A> {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        let fault = self.enter(Call::Assignments).await?;
        if is_endless(at) {
            return Ok(ended(Some(ReadFault::Endless), PageEnd::Last(Completeness::Complete)));
        }
        let end = self.inner.read_assignments(at, page).await?;
        match fault {
            Some(ReadFault::Lose) => page.clear(),
            Some(ReadFault::Repeat) => {
                self.inner.read_assignments(at, page).await?;
            }
            _ => {}
        }
        self.step().await;
        Ok(ended(fault, end))
    }
}
