//! The verb that ties the steps together: reads and decides, never writes.

use thiserror::Error;

use crate::assignment::AssignmentSet;
use crate::host::{Boxed, Host, Reading};
use crate::options::{Extent, Options};
use crate::planner::{PlanError, Reconciliation, plan, questions_for};
use crate::read::{ReadError, ask, in_time, read_assignments, read_source, read_store};
use crate::run::Run;
use crate::source::DirectorySource;
use crate::store::IdentityStore;
use crate::trace::{self, Step};

/// Why there is no plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// A side could not be read (rule C1).
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was read makes no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A sign-in could not be written.
    #[error(transparent)]
    Apply(#[from] crate::ApplyError),
}

/// Reads both sides, and decides what has to be done. Never writes.
///
/// Look at the plan, then [`apply`](crate::apply) it. Where the source can select by anchor, only what is assigned, below
/// that, or linked already is read; the operations are the same.
///
/// # Errors
///
/// Any error from any read gives no plan (rule C1), and so does one that takes longer than [`Host::read_deadline`] allows; so do
/// the cases of [`PlanError`].
pub async fn reconcile<D, S, A>(
    directory: &D,
    store: &S,
    assignments: &A,
    options: &Options,
    run: &Run,
    host: &Host<'_>,
) -> Result<Reconciliation, ReconcileError>
where
    D: DirectorySource + ?Sized,
    S: IdentityStore + ?Sized,
    A: AssignmentSet + ?Sized,
{
    read_and_decide(&directory, &store, &assignments, options, run, host).await
}

/// Boxed, and with trait objects: compiled with this crate, and not anew for each host and each of its adapters.
fn read_and_decide<'a>(
    directory: &'a dyn DirectorySource,
    store: &'a dyn IdentityStore,
    assignments: &'a dyn AssignmentSet,
    options: &'a Options,
    run: &'a Run,
    host: &'a Host<'_>,
) -> Boxed<'a, Result<Reconciliation, ReconcileError>> {
    Box::pin(trace::within(Step::Reconcile, async move {
        let issuer = options.issuer.clone().unwrap_or_else(|| directory.identity());
        let reading = Reading::default();
        let read = in_time(*host, &reading, async |host| {
            let assigned = read_assignments(assignments, options, &host).await?;
            let (stored, linked) = read_store(store, &issuer, options, &host).await?;
            let mut source = read_source(directory, &assigned, &linked, &issuer, options, &host).await?;
            // An answer can raise no new question, but a source may answer only some: ask each anchor once. A quick pass takes
            // nothing away, so that nothing has to be proven.
            let asks = options.extent != Extent::NewEntitlements;
            loop {
                let questions = questions_for(&source, &stored, &assigned, options);
                if questions.is_empty() || !asks {
                    break;
                }
                source = ask(directory, source, &questions, options, &host).await?;
            }
            Ok((source, stored, assigned))
        });
        let (source, stored, assigned) = trace::within(Step::Snapshot, read).await?;
        Ok(plan(&source, &stored, &assigned, options, run)?)
    }))
}
