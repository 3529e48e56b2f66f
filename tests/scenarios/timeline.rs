//! A world over many runs: what is remembered goes from one to the next, and time passes.

use std::ops::{Deref, DerefMut};

use identity_sync::{
    ApplyError, ApplyOptions, ApplyReport, Approval, HeldSet, Host, Plan, ReconcileError, Reconciliation,
    Run, RunState, Timestamp, apply, reconcile,
};
use pollster::block_on;

use crate::lines::DAY;
use crate::world::{World, lines};

#[derive(Debug)]
pub(crate) struct Timeline {
    pub(crate) world: World,
    pub(crate) state: RunState,
    pub(crate) now: i64,
    pub(crate) approvals: Vec<Approval>,
}

impl Deref for Timeline {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Timeline {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Timeline {
    /// Begins on day 0 with a run that brings the store in step.
    pub(crate) fn start(world: World) -> Self {
        let mut timeline = Self { world, state: RunState::default(), now: 0, approvals: Vec::new() };
        timeline.run();
        timeline
    }

    pub(crate) fn days(&mut self, days: i64) -> &mut Self {
        self.now += days * DAY;
        self
    }

    pub(crate) fn hours(&mut self, hours: i64) -> &mut Self {
        self.now += hours * 3_600;
        self
    }

    pub(crate) fn found(&self) -> Result<Reconciliation, ReconcileError> {
        let mut run = Run::new(self.state.clone(), Timestamp(self.now));
        run.approvals = self.approvals.clone();
        let (w, host) = (&self.world, Host::default());
        block_on(reconcile(&w.source, &w.store, &w.assigned, &w.options, &run, &host))
    }

    pub(crate) fn plan(&self) -> Plan {
        self.found().unwrap().plan
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.plan())
    }

    /// Plans, and keeps what was seen without applying anything.
    pub(crate) fn look(&mut self) -> Plan {
        let found = self.found().unwrap();
        self.state = found.run;
        found.plan
    }

    pub(crate) fn apply(&self, plan: &Plan) -> Result<ApplyReport, ApplyError> {
        block_on(apply(plan, &self.world.store, &ApplyOptions::default(), &Host::default()))
    }

    /// Plans, applies, keeps what was spent; answers what the plan said. Approvals are good for this run.
    pub(crate) fn run(&mut self) -> Vec<String> {
        let plan = self.plan();
        let report = self.apply(&plan).unwrap();
        assert!(report.is_success(), "{report}");
        self.state = report.run;
        self.approvals.clear();
        lines(&plan)
    }

    /// What is held, over a file and back.
    pub(crate) fn held_file(&self) -> HeldSet {
        let text = serde_json::to_string_pretty(&self.plan().held_set()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What is remembered, over a file and back.
    pub(crate) fn reload(&mut self) {
        let text = serde_json::to_string(&self.state).unwrap();
        self.state = serde_json::from_str(&text).unwrap();
    }
}
