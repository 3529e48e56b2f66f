//! What goes into planning beside data and options: the time, and what was remembered from earlier runs (rule D7).

use serde::{Deserialize, Serialize};

use crate::id::Issuer;
use crate::model::Timestamp;

/// The format of [`RunState`] that this version writes.
const FORMAT: u32 = 1;

/// What a host keeps from one run to the next. Opaque, serialisable, versioned.
///
/// In this version it binds later runs to the issuer of the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    format: u32,
    #[serde(default)]
    issuer: Option<Issuer>,
}

impl Default for RunState {
    fn default() -> Self {
        Self { format: FORMAT, issuer: None }
    }
}

impl RunState {
    /// Whether this state may be used for a run of this issuer.
    pub(crate) fn fits(&self, issuer: &Issuer) -> bool {
        self.format == FORMAT && self.issuer.as_ref().is_none_or(|known| known == issuer)
    }

    pub(crate) fn after(&self, issuer: &Issuer) -> Self {
        Self { format: FORMAT, issuer: Some(issuer.clone()) }
    }
}

/// One run: its time, and what is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// What earlier runs left.
    pub state: RunState,
    /// The time of this run, from the host. It is written into the plan.
    pub now: Timestamp,
}

impl Run {
    /// A run at this time, with what earlier runs left.
    pub fn new(state: RunState, now: Timestamp) -> Self {
        Self { state, now }
    }

    /// A first run at this time.
    pub fn at(now: Timestamp) -> Self {
        Self { state: RunState::default(), now }
    }
}
