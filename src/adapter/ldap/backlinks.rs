//! Lists that look empty. To Active Directory a list that the account may not read is one without members; but whoever is in it
//! names the group in `memberOf`, which is read of him (rule C1).

use std::collections::VecDeque;

use indexmap::IndexSet;

use super::groups::close;
use super::members::plain;
use super::pass::{Empty, Pass};
use super::server::{PAGED, names};
use super::{Filter, LdapSource, Search, cookie_of};
use crate::adapter::directory::dn::DnKey;
use crate::adapter::directory::record::Record;
use crate::error::SourceError;
use crate::source::{GroupPage, Read, Select};

/// Groups asked about in one search.
const AT_ONCE: usize = 20;
/// Entries that one search may answer with; each tells of all groups that it is in.
const ANSWERS: i32 = 50;

/// The groups that an entry says it is in.
pub(super) const MEMBER_OF: &str = "memberOf";

/// Notes the groups that an entry says it is in; `false` where it is in more than are told.
pub(super) fn note(entry: &Record<'_>, named: &mut IndexSet<String>) -> bool {
    let mut all = true;
    for value in &entry.values {
        let (name, range) = match value.name().iter().position(|&octet| octet == b';') {
            Some(at) => value.name().split_at(at),
            None => (value.name(), &b""[..]),
        };
        if !name.eq_ignore_ascii_case(MEMBER_OF.as_bytes()) {
            continue;
        }
        // In ranges, as a long list of members; the last one ends with a star.
        all &= range.is_empty() || range.ends_with(b"-*");
        let Ok(text) = std::str::from_utf8(value.octets()) else {
            all = false;
            continue;
        };
        let name = plain(text);
        if !named.contains(name) {
            named.insert(name.to_owned());
        }
    }
    all
}

fn keys<'t>(named: impl IntoIterator<Item = &'t String>) -> IndexSet<DnKey> {
    named.into_iter().filter_map(|name| DnKey::parse(name)).collect()
}

impl LdapSource {
    /// Ends the lists that looked empty. Those that somebody names were hidden.
    pub(super) async fn close_empty(
        &self,
        read: &Read<'_>,
        pass: &mut Pass,
        page: &mut GroupPage,
    ) -> Result<(), SourceError> {
        let empty = std::mem::take(&mut pass.empty);
        if empty.is_empty() {
            return Ok(());
        }
        // Of a read of all, everybody has said by now where he is, groups among them; else the server is asked.
        let whole =
            matches!(read.select, Select::All) && self.options.group_filter.is_none() && !pass.named_cut;
        if let Some(users) = self.gathered().filter(|_| whole) {
            let hidden = keys(users.named.iter().chain(&pass.named));
            for Empty { group, key, .. } in empty {
                close(&group, key.is_none_or(|key| hidden.contains(&key)), pass, page);
            }
            return Ok(());
        }
        let mut waiting: VecDeque<Vec<Empty>> = VecDeque::new();
        let mut rest = empty.into_iter().peekable();
        while rest.peek().is_some() {
            waiting.push_back(rest.by_ref().take(AT_ONCE).collect());
        }
        while let Some(asked) = waiting.pop_front() {
            self.ask_backlinks(asked, pass, page, &mut waiting).await?;
        }
        Ok(())
    }

    /// Asks who is in these groups. Those of whom the answer leaves doubts are asked about again.
    async fn ask_backlinks(
        &self,
        asked: Vec<Empty>,
        pass: &mut Pass,
        page: &mut GroupPage,
        waiting: &mut VecDeque<Vec<Empty>>,
    ) -> Result<(), SourceError> {
        let filter = Filter::any(asked.iter().map(|empty| Filter::equal(MEMBER_OF, &empty.dn)));
        let search = Search { filter, attributes: names(["objectClass", MEMBER_OF]), ..self.below_context() };
        let answer = self.some(pass, search, ANSWERS).await?;
        let mut named = IndexSet::new();
        answer.entries.iter().for_each(|entry| {
            note(entry, &mut named);
        });
        let hidden = keys(&named);
        let one = asked.len() == 1;
        let (torn, open): (Vec<Empty>, Vec<Empty>) =
            asked.into_iter().partition(|empty| empty.key.as_ref().is_none_or(|key| hidden.contains(key)));
        // A page without entries need not be the last one.
        let goes_on = answer.control(PAGED).and_then(cookie_of).is_none_or(|cookie| !cookie.is_empty());
        let is_quiet = answer.entries.is_empty() && answer.cut().is_none() && !goes_on;
        let found_some = !torn.is_empty();
        for Empty { group, .. } in torn {
            close(&group, true, pass, page);
        }
        match () {
            () if open.is_empty() => {}
            () if is_quiet => open.iter().for_each(|empty| close(&empty.group, false, pass, page)),
            // Each round knows of one more at least.
            () if found_some => waiting.push_back(open),
            // Somebody is in one of them and does not say in which: one by one they tell.
            () if !one => waiting.extend(open.into_iter().map(|empty| vec![empty])),
            () => open.iter().for_each(|empty| close(&empty.group, true, pass, page)),
        }
        Ok(())
    }
}
