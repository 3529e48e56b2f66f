//! Whether objects exist, anywhere in the directory (rule C3).

use indexmap::IndexMap;
use ldap3::controls::RawControl;

use super::filter::{Base, Filter};
use super::members::Target;
use super::server::{SHOW_RECYCLED, names, show_deleted};
use super::{LdapSource, Search, Tombstones};
use crate::error::SourceError;
use crate::id::SourceAnchor;
use crate::model::{Existence, MemberKind};
use crate::source::Asked;

/// Anchors in one search.
const AT_ONCE: usize = 200;

impl LdapSource {
    pub(super) async fn answer_existence(&self, asked: &mut Asked<'_>) -> Result<(), SourceError> {
        let anchors: Vec<SourceAnchor> = asked.answers().map(|(anchor, _)| anchor.clone()).collect();
        let mut known = IndexMap::new();
        for batch in anchors.chunks(AT_ONCE) {
            self.exist(batch, &mut known).await?;
        }
        for (anchor, answer) in asked.iter_mut() {
            if let Some(found) = known.get(anchor.as_str()) {
                *answer = *found;
            }
        }
        Ok(())
    }

    async fn exist(
        &self,
        batch: &[SourceAnchor],
        known: &mut IndexMap<String, Existence>,
    ) -> Result<(), SourceError> {
        let wanted: Vec<Filter> = batch.iter().filter_map(|anchor| self.by_anchor(anchor)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut search = Search {
            // Not the base alone: who was moved out of it was not deleted.
            base: Base::named(&self.server.context),
            filter: Filter::any(wanted),
            attributes: names(["objectClass", "isDeleted", self.anchor_attribute()]),
            // An anchor that two entries have is no anchor; a few such are survived.
            most: AT_ONCE * 4,
            ..self.below_base()
        };
        if self.server.tombstones == Tombstones::Readable {
            search.controls.push(show_deleted());
            if self.server.recycled {
                let control = RawControl { ctype: SHOW_RECYCLED.to_owned(), crit: false, val: None };
                search.controls.push(control);
            }
        }
        let answer = self.ask(search).await?.usable()?;
        let mut names = self.names();
        for entry in &answer.entries {
            let draft = self.draft(entry, &mut names);
            let (anchor, kind) = Target::of(&draft).into_parts();
            let found = match known.get(&anchor) {
                _ if anchor.is_empty() => continue,
                // Alive beats its own tombstone (rule M5).
                Some(before @ Existence::Exists { .. }) if draft.deleted => *before,
                Some(Existence::Exists { kind: before }) if *before != kind => {
                    Existence::Exists { kind: MemberKind::Unknown }
                }
                _ if draft.deleted => Existence::Gone,
                _ => Existence::Exists { kind },
            };
            known.insert(anchor, found);
        }
        Ok(())
    }
}
