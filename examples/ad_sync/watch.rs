//! Whether the directory has changed between two runs.

use identity_sync::adapter::ldap::{Changes, Checkpoint, LdapSource};
use identity_sync::{Escaped, Timer as _};

use crate::common::{self, Trouble};
use crate::run::Program;

/// Whether something has changed in the directory since the last run began.
#[derive(Default)]
pub(crate) struct Watch {
    source: Option<LdapSource>,
    /// Up to where changes were followed. It outlives the connection.
    since: Option<Checkpoint>,
    /// It is said once that it does not work.
    said: bool,
}

impl Watch {
    /// Notes the present moment.
    pub(crate) async fn begin(&mut self, program: &Program) {
        // Where changes were followed up to now, they go on from there.
        if program.config.watch.is_none() || self.since.is_some() {
            return;
        }
        match program.stop.or(self.note(program)).await {
            Some(Err(error)) => self.complain(program, &error),
            Some(Ok(())) => self.said = false,
            None => {}
        }
    }

    async fn note(&mut self, program: &Program) -> Result<(), Trouble> {
        let source = Self::connect(program).await?;
        self.since = Some(source.checkpoint().await?);
        self.source = Some(source);
        Ok(())
    }

    async fn connect(program: &Program) -> Result<LdapSource, Trouble> {
        let ldap = program.config.ldap(program.clock.now())?.for_run(&program.config.options);
        Ok(LdapSource::connect(ldap).await?)
    }

    pub(crate) async fn look(&mut self, program: &Program) -> bool {
        if program.config.watch.is_none() {
            return false;
        }
        if self.since.is_none() {
            // It did not work before: what has changed since then is for the schedule.
            self.begin(program).await;
            return false;
        }
        match program.stop.or(self.read(program)).await {
            Some(Ok(changed)) => {
                self.said = false;
                changed
            }
            Some(Err(error)) => {
                // Only the connection is of no more use: the next one reads on from the same moment.
                self.source = None;
                self.complain(program, &error);
                false
            }
            None => false,
        }
    }

    async fn read(&mut self, program: &Program) -> Result<bool, Trouble> {
        let Some(since) = &self.since else { return Ok(false) };
        let source = match self.source.take() {
            Some(source) => source,
            None => Self::connect(program).await?,
        };
        let found = source.read_changes(since).await?;
        self.source = Some(source);
        match found {
            Changes::Since { changes, next } => {
                self.since = Some(next);
                if !changes.is_empty() {
                    program.log(&format!("the directory changed in {} places", changes.len()));
                }
                Ok(!changes.is_empty())
            }
            Changes::Expired(why) => {
                let why = Escaped(&why);
                program.log(&format!("changes cannot be followed any further: {why}"));
                self.since = None;
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    fn complain(&mut self, program: &Program, error: &Trouble) {
        if !std::mem::replace(&mut self.said, true) {
            program.log(&format!("changes cannot be followed, only the schedule: {}", common::line(error)));
        }
    }
}
