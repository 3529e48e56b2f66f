//! What a run says to `tracing` (feature `tracing`). Without the feature every function here is empty.
//!
//! Said are kinds, counts and verdicts: nothing that a person or an adapter has written, at whatever level, so that a log may
//! be read by more people than the directory (rule S2). Which operation it was, its number in the plan says. What happens
//! while the engine runs, a host hears by [`Progress`](crate::Progress) too; spans add where the time goes.

use std::future::Future;

use crate::apply::{ApplyReport, Outcome};
use crate::error::ErrorKind;
use crate::guard::Judgement;
use crate::plan::Plan;

/// A part of a run, which is a span of the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Reading and deciding.
    Reconcile,
    /// One user who signs in.
    SignIn,
    /// Reading both sides.
    Snapshot,
    /// Who is entitled.
    Scope,
    /// Pairing both sides.
    Correlate,
    /// Comparing what is paired.
    Diff,
    /// Judging the limits, and putting the operations in order.
    Plan,
    /// Writing.
    Apply,
    /// One batch.
    Write,
}

#[cfg(feature = "tracing")]
impl Step {
    fn span(self) -> tracing::Span {
        match self {
            Self::Reconcile => tracing::info_span!("reconcile"),
            Self::SignIn => tracing::info_span!("sign_in"),
            Self::Snapshot => tracing::info_span!("snapshot"),
            Self::Scope => tracing::info_span!("scope"),
            Self::Correlate => tracing::info_span!("correlate"),
            Self::Diff => tracing::info_span!("diff"),
            Self::Plan => tracing::info_span!("plan"),
            Self::Apply => tracing::info_span!("apply"),
            Self::Write => tracing::debug_span!("write"),
        }
    }
}

/// A step that waits.
pub(crate) fn within<F: Future>(step: Step, future: F) -> impl Future<Output = F::Output> {
    let _ = step;
    #[cfg(feature = "tracing")]
    let future = tracing::Instrument::instrument(future, step.span());
    future
}

/// A step that does not wait.
pub(crate) fn step<T>(step: Step, act: impl FnOnce() -> T) -> T {
    let _ = step;
    #[cfg(feature = "tracing")]
    let _entered = step.span().entered();
    act()
}

/// One read from its first page to its last: a span `read`, with its pages as events.
pub(crate) struct Read {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    #[cfg(feature = "tracing")]
    sums: [usize; 3],
}

impl Read {
    pub(crate) fn start(what: &'static str) -> Self {
        let _ = what;
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::info_span!("read", what),
            #[cfg(feature = "tracing")]
            sums: [0; 3],
        }
    }

    /// A page has come: how many rows it has, and how many bytes of text.
    pub(crate) fn page(&mut self, rows: usize, bytes: usize) {
        let _ = (rows, bytes);
        #[cfg(feature = "tracing")]
        {
            tracing::debug!(parent: &self.span, rows, bytes, "page");
            for (sum, more) in self.sums.iter_mut().zip([rows, 1, bytes]) {
                *sum = sum.saturating_add(more);
            }
        }
    }

    /// That was the last page.
    pub(crate) fn end(&self, complete: bool) {
        let _ = complete;
        #[cfg(feature = "tracing")]
        {
            let [rows, pages, bytes] = self.sums;
            tracing::info!(parent: &self.span, rows, pages, bytes, complete, "read");
        }
    }

    /// A page is tried again.
    pub(crate) fn again(&self, attempt: u32, kind: ErrorKind) {
        let _ = (attempt, kind);
        #[cfg(feature = "tracing")]
        tracing::warn!(parent: &self.span, attempt, ?kind, "tried again");
    }

    /// There will be no more pages.
    pub(crate) fn failed(&self, kind: ErrorKind) {
        let _ = kind;
        #[cfg(feature = "tracing")]
        tracing::error!(parent: &self.span, ?kind, "read failed");
    }
}

/// Limits that tripped (rule D4). Limits that did not are silent.
pub(crate) fn verdicts(judgement: &Judgement) {
    let _ = judgement;
    #[cfg(feature = "tracing")]
    for trip in &judgement.trips {
        let (limit, planned, allowed, base) = (trip.limit, trip.planned, trip.allowed, trip.base);
        tracing::warn!(?limit, planned, allowed, base, "limit tripped");
    }
}

/// There is a plan.
pub(crate) fn planned(plan: &Plan) {
    let _ = plan;
    #[cfg(feature = "tracing")]
    tracing::info!(
        operations = plan.len(),
        held = plan.held().len(),
        blocked = plan.blocked().len(),
        diagnostics = plan.diagnostics().len(),
        "planned"
    );
}

/// Writes are tried again.
pub(crate) fn retry(attempt: u32) {
    let _ = attempt;
    #[cfg(feature = "tracing")]
    tracing::warn!(attempt, "write is tried again");
}

/// What runs in a task of its own, in the span of whoever has begun it.
#[cfg(feature = "scim")]
pub(crate) fn here<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    let future = tracing::Instrument::in_current_span(future);
    future
}

/// An adapter sends a request once more (rule X3).
#[cfg(feature = "scim")]
pub(crate) fn sent_again(service: &'static str, attempt: u32, kind: ErrorKind) {
    let _ = (service, attempt, kind);
    #[cfg(feature = "tracing")]
    tracing::info!(service, attempt, ?kind, "request is sent again");
}

/// An operation has its outcome (rule X1).
pub(crate) fn outcome(plan: &Plan, operation: usize, outcome: &Outcome) {
    let _ = (plan, operation, outcome);
    #[cfg(feature = "tracing")]
    {
        let Some(op) = plan.operations.get(operation) else { return };
        let (kind, act) = (plan.subject(op.subject).kind(), op.act.name());
        let object: &'static str = match kind {
            crate::Kind::User => "user",
            crate::Kind::Group => "group",
        };
        match outcome {
            Outcome::Applied => tracing::debug!(operation, object, act, outcome = "applied"),
            Outcome::Failed(error) => {
                let kind = error.kind();
                tracing::warn!(operation, object, act, outcome = "failed", ?kind);
            }
            Outcome::Skipped { because } => {
                tracing::info!(operation, object, act, outcome = "skipped", because);
            }
            Outcome::NotTried => tracing::info!(operation, object, act, outcome = "not tried"),
            Outcome::Unknown => tracing::warn!(operation, object, act, outcome = "unknown"),
        }
    }
}

/// A plan was written, or as much of it as could be.
pub(crate) fn applied(report: &ApplyReport) {
    let _ = report;
    #[cfg(feature = "tracing")]
    {
        let (operations, applied) = (report.outcomes.len(), report.applied());
        match report.stopped {
            None => tracing::info!(operations, applied, "applied"),
            Some(stopped) => tracing::error!(operations, applied, ?stopped, "stopped early"),
        }
    }
}
