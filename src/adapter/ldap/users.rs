//! Reading users.

use std::sync::atomic::Ordering;

use super::pass::Pass;
use super::server::texts;
use super::{LdapSource, Make, Search};
use crate::adapter::directory::entry::{Anchor, Class, PrimaryGroup};
use crate::adapter::directory::names::Names;
use crate::adapter::directory::record::Record;
use crate::error::SourceError;
use crate::model::AccountState;
use crate::page::PageEnd;
use crate::source::{Read, Select, UserPage};

impl LdapSource {
    pub(super) async fn users_page(
        &self,
        read: Read<'_>,
        page: &mut UserPage,
    ) -> Result<PageEnd, SourceError> {
        let Some(filter) = self.selected(read.select, &self.users) else { return Ok(PageEnd::COMPLETE) };
        let mut pass = self.pass(&read).await?;
        let search = Search { filter, attributes: self.user_attributes.clone(), ..self.below_base() };
        let cookie = std::mem::take(&mut pass.cookie);
        let (answer, next) = self.page(&pass, search, &cookie).await?;
        let answer = match answer.usable() {
            Ok(answer) => answer,
            Err(error) => {
                // The server refused this page and nothing else: it may be asked for again.
                pass.cookie = cookie;
                if error.is_transient() && read.at.is_some() {
                    self.passes.unchanged(pass);
                }
                return Err(error);
            }
        };
        if let Some(why) = answer.cut() {
            pass.cut(why);
        }
        let mut names = self.names();
        let all = matches!(read.select, Select::All);
        for entry in &answer.entries {
            self.add_user(entry, &mut names, &read, &mut pass, page);
        }
        if !next.is_empty() && answer.cut().is_none() {
            pass.cookie = next;
            return Ok(PageEnd::More(self.passes.more(pass)));
        }
        if all
            && pass.partial.is_none()
            && !pass.named_cut
            && self.anchors_by_guid()
            && self.reads_whole_context()
        {
            self.gather(std::mem::take(&mut pass.primaries), std::mem::take(&mut pass.named));
        }
        Ok(self.end(pass))
    }

    fn add_user(
        &self,
        entry: &Record<'static>,
        names: &mut Names,
        read: &Read<'_>,
        pass: &mut Pass,
        page: &mut UserPage,
    ) {
        let draft = self.draft(entry, names);
        if matches!(read.select, Select::All) {
            // Whoever he is, and whatever else he hides.
            pass.note_groups_of(entry);
        }
        // Nobody can say which primary group he has whose entry cannot be told.
        let unidentified = |page: &mut UserPage| {
            self.primary_hidden.store(true, Ordering::Relaxed);
            page.unidentified();
        };
        if draft.class == Class::Unclassified {
            // The server found it to be a user, and this account may not read what it is.
            return unidentified(page);
        }
        if !draft.class.is_user() {
            return;
        }
        let anchor = match &draft.anchor {
            Anchor::Sure(anchor) | Anchor::EntryUuid(anchor) => anchor.as_str(),
            Anchor::Missing => return unidentified(page),
        };
        // A server may compare an anchor of the host's own without regard to case; here it is compared as bytes (rule M2).
        if !read.wants(anchor) {
            return;
        }
        if draft.deleted {
            return page.tombstone(anchor);
        }
        if self.server.make == Make::ActiveDirectory {
            match draft.primary_group {
                PrimaryGroup::Rid(rid) if matches!(read.select, Select::All) => {
                    pass.primaries.push((rid, anchor.to_owned()));
                }
                PrimaryGroup::Rid(_) => {}
                PrimaryGroup::Unknown => self.primary_hidden.store(true, Ordering::Relaxed),
            }
        }
        let mut row = page.user(anchor);
        row.state(self.state(entry, draft.state));
        if let Some(version) = draft.version {
            row.version(version);
        }
        for &(name, value) in &draft.shown {
            row.attribute(names.spelling(name), text(entry, value));
        }
        for &name in &draft.unreadable {
            row.unreadable(names.spelling(name));
        }
    }
}

impl LdapSource {
    /// The account's state (rule A5), where the host says what else disables one.
    fn state(&self, entry: &Record<'_>, own: AccountState) -> AccountState {
        let disables = |attribute: &str, values: &[String]| {
            let any = entry.values.iter().any(|value| value.is(attribute));
            let wanted = |value: &str| values.iter().any(|wanted| wanted.eq_ignore_ascii_case(value.trim()));
            if values.is_empty() { any } else { texts(entry, attribute).any(wanted) }
        };
        if self.options.disabled.iter().any(|(attribute, values)| disables(attribute, values)) {
            return AccountState::Disabled;
        }
        match self.server.make {
            Make::Generic if !self.options.disabled.is_empty() => AccountState::Enabled,
            _ => own,
        }
    }
}

/// A value that was found to be text before.
pub(super) fn text<'r>(entry: &'r Record<'_>, value: usize) -> &'r str {
    entry.values.get(value).and_then(|value| std::str::from_utf8(value.octets()).ok()).unwrap_or_default()
}
