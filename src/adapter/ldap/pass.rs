//! Reads that are under way. A cookie of paged results means something on its own connection only, so each read keeps one
//! until it ends.

use std::collections::VecDeque;
use std::sync::Mutex;

use indexmap::{IndexMap, IndexSet};

use super::backlinks;
use super::connection::Connection;
use super::members::Scan;
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::record::Record;
use crate::error::{ErrorKind, SourceError};
use crate::page::{PageEnd, PageToken};
use crate::source::{GroupPage, UserPage};

/// Reads that may be under way at once; when one more begins, the one that was longest untouched is given up.
const OPEN: usize = 8;
/// Connections kept for the next read.
const IDLE: usize = 2;

/// A read of users or groups between two of its pages.
pub(super) struct Pass {
    number: u64,
    step: u64,
    pub(super) connection: Connection,
    /// Where the server goes on; empty before the first page.
    pub(super) cookie: Vec<u8>,
    /// The server has given its last page.
    pub(super) searched: bool,
    /// Why the read is not complete.
    pub(super) partial: Option<String>,
    /// What is still to be read of the groups of the last page.
    pub(super) waiting: VecDeque<Waiting>,
    /// Groups of the last page whose lists go on.
    pub(super) open: IndexMap<String, OpenList>,
    /// Whether some group shows a member, where that had to be asked.
    pub(super) members_show: Option<bool>,
    /// All entries by name, where members have to be found by it.
    pub(super) scan: Option<Scan>,
    /// Users by primary group, gathered by a full read of users (rule E10).
    pub(super) primaries: Vec<(u32, String)>,
    /// Names of groups that somebody said he is in.
    pub(super) named: IndexSet<String>,
    /// Somebody is in more groups than the server told at once.
    pub(super) named_cut: bool,
    /// Groups that showed no member; their lists end with the read.
    pub(super) empty: Vec<Empty>,
}

/// A group that shows no member.
#[derive(Debug)]
pub(super) struct Empty {
    /// Its anchor.
    pub(super) group: String,
    pub(super) dn: String,
    /// `None` where the name is none that can be compared.
    pub(super) key: Option<DnKey>,
}

/// A member list that goes on.
#[derive(Debug, Default)]
pub(super) struct OpenList {
    pub(super) version: Option<u64>,
    /// Parts that are still to come.
    pub(super) parts: usize,
    pub(super) partial: bool,
}

/// What is still to be read of a group.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The members from this one on (`member;range=…`).
    Range { group: String, dn: String, next: u64 },
    /// Users whose primary group this is, of those that a full read of users gathered, from this one on.
    Gathered { group: String, rid: u32, from: usize },
    /// Users whose primary group is one of these, by the server's word.
    Primary { groups: Vec<(u32, String)>, cookie: Vec<u8> },
}

impl Pass {
    /// Notes the groups that an entry says it is in.
    pub(super) fn note_groups_of(&mut self, entry: &Record<'_>) {
        self.named_cut |= !backlinks::note(entry, &mut self.named);
    }

    /// Notes why the read is not complete; the first reason stays.
    pub(super) fn cut(&mut self, why: impl Into<String>) {
        self.partial.get_or_insert_with(|| why.into());
    }
}

/// All reads that are under way, and connections without one.
#[derive(Default)]
pub(super) struct Passes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// The one that was longest untouched comes first.
    open: VecDeque<Pass>,
    idle: Vec<Connection>,
    /// The last page that each read has given, so that it can be given again where its answer was lost on the way.
    given: VecDeque<(PageToken, Given, PageEnd)>,
}

/// A page as it was given.
#[derive(Clone)]
pub(super) enum Given {
    Users(UserPage),
    Groups(GroupPage),
}

impl Passes {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here panics halfway through a change.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A connection that was kept and has not been closed by the other side since.
    pub(super) fn idle(&self) -> Option<Connection> {
        let mut inner = self.inner();
        while let Some(mut connection) = inner.idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection that works for whoever comes next.
    pub(super) fn keep(&self, connection: Connection) {
        let mut inner = self.inner();
        if inner.idle.len() < IDLE {
            inner.idle.push(connection);
        }
    }

    /// Begins a read.
    pub(super) fn begin(&self, connection: Connection) -> Pass {
        let mut inner = self.inner();
        inner.next += 1;
        Pass {
            number: inner.next,
            step: 0,
            connection,
            cookie: Vec::new(),
            searched: false,
            partial: None,
            waiting: VecDeque::new(),
            open: IndexMap::new(),
            members_show: None,
            scan: None,
            primaries: Vec::new(),
            named: IndexSet::new(),
            named_cut: false,
            empty: Vec::new(),
        }
    }

    /// The page that was given for this token, where it is the last that its read has given.
    pub(super) fn again(&self, token: &PageToken) -> Option<(Given, PageEnd)> {
        let inner = self.inner();
        let (_, given, end) = inner.given.iter().find(|(of, ..)| of == token)?;
        Some((given.clone(), end.clone()))
    }

    /// Keeps the page that was given for a token.
    pub(super) fn gave(&self, token: &PageToken, given: Given, end: &PageEnd) {
        let read =
            |token: &PageToken| token.as_text().and_then(|text| Some(text.split_once(':')?.0.to_owned()));
        let of = read(token);
        let mut inner = self.inner();
        inner.given.retain(|(other, ..)| read(other) != of);
        if inner.given.len() >= OPEN {
            inner.given.pop_front();
        }
        inner.given.push_back((token.clone(), given, end.clone()));
    }

    /// Goes on with a read where its token says.
    pub(super) fn take(&self, token: &PageToken) -> Result<Pass, SourceError> {
        let lost = || {
            SourceError::new(
                ErrorKind::Transient,
                "this read of the directory was interrupted: it has to begin again",
            )
        };
        let text = token.as_text().and_then(|text| text.split_once(':'));
        let (number, step) = text.ok_or_else(lost)?;
        let (Ok(number), Ok(step)) = (number.parse::<u64>(), step.parse::<u64>()) else { return Err(lost()) };
        let mut inner = self.inner();
        let at = inner.open.iter().position(|pass| pass.number == number && pass.step == step);
        at.and_then(|at| inner.open.remove(at)).ok_or_else(lost)
    }

    /// Puts a read back after a page; its token goes on with the next one.
    pub(super) fn more(&self, mut pass: Pass) -> PageToken {
        pass.step += 1;
        self.unchanged(pass)
    }

    /// Puts a read back as it was, so that the same page may be asked for again.
    pub(super) fn unchanged(&self, pass: Pass) -> PageToken {
        let token = PageToken::new(format!("{}:{}", pass.number, pass.step).into_bytes());
        let mut inner = self.inner();
        if inner.open.len() >= OPEN {
            inner.open.pop_front();
        }
        inner.open.push_back(pass);
        token
    }
}
