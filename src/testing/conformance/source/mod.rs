//! The checks of a directory source.

mod attributes;
mod change;
mod existence;
mod lists;
mod objects;
mod reads;
mod rows;
mod select;

use std::collections::{BTreeMap, BTreeSet};

use super::super::directory::{Directory, DirectoryMember, Knobs, Vocabulary};
use super::any::{AnySource, Sources};
use super::finding::{Finding, Outcome, run, wrong};
use super::paging::{Reading, each_once, walk_complete};
use super::report::Report;
use crate::id::SourceAnchor;
use crate::source::{DirectorySource, Select};

pub(in crate::testing::conformance) use rows::values;
use rows::{GroupSeen, Groups, UserSeen, Users, joined};

/// Runs all checks of a source, each on a source of its own.
pub(super) async fn suite(builder: Sources<'_>) -> Report {
    let mut report = Report::new("source");
    let bench = Bench { builder, words: builder.vocabulary() };
    macro_rules! check {
        ($($module:ident: $($name:ident),+;)+) => {
            $($(Box::pin(run(&mut report, stringify!($name), $module::$name(&bench))).await;)+)+
        };
    }
    check! {
        objects: an_empty_directory_reads_as_complete_and_empty, every_user_is_read_exactly_once,
            every_group_is_read_exactly_once, anchors_come_back_byte_for_byte, account_states_are_true,
            the_dead_are_not_among_the_living, the_identity_is_always_the_same,
            a_generated_directory_reads_as_it_is;
        attributes: attributes_come_back_unchanged, a_missing_attribute_stays_missing,
            several_values_all_come_back;
        lists: member_lists_are_whole_and_closed, an_empty_group_has_a_whole_list,
            a_long_member_list_is_whole, nested_groups_are_given_as_members,
            cycles_of_groups_are_given_as_they_are, member_kinds_are_true_or_unknown,
            a_member_who_is_not_there_is_not_dropped, a_foreign_member_is_not_dropped;
        reads: page_tokens_lead_to_the_end, a_page_asked_again_is_the_same, a_page_is_only_added_to,
            a_dropped_read_leaves_the_next_one_whole, reads_at_once_do_not_disturb_each_other,
            what_cannot_be_seen_is_not_called_complete;
        select: a_selection_gives_all_that_it_names_and_nothing_else, unknown_anchors_select_nothing,
            the_largest_selection_is_served, a_selected_group_has_its_whole_list,
            a_selected_object_is_read_as_in_the_whole_read,
            users_and_groups_are_selected_apart;
        existence: a_living_object_exists_and_is_what_it_is, a_deleted_object_is_gone,
            who_never_was_does_not_exist, what_cannot_be_seen_is_not_called_gone, each_answer_belongs_to_its_own_anchor;
        change: a_deletion_is_seen_by_the_next_read, a_change_is_seen_by_the_next_read,
            the_generation_never_goes_back;
    }
    report
}

/// What the checks work with.
struct Bench<'b> {
    builder: Sources<'b>,
    words: Vocabulary,
}

impl<'b> Bench<'b> {
    async fn holding(&self, directory: &Directory) -> Result<AnySource<'b>, Finding> {
        Ok(self.builder.holding(directory).await?)
    }

    fn anchor(&self, number: usize) -> String {
        self.words.anchors.anchor(number)
    }

    /// Users 1 to `users`, and groups behind them that have nobody.
    fn people(&self, users: usize, groups: usize) -> Directory {
        let mut directory = Directory::new();
        for number in 1..=users {
            directory.add_user(self.anchor(number), self.words.user(number));
        }
        for number in users + 1..=users + groups {
            directory.add_group(self.anchor(number), self.words.group(number), Vec::new());
        }
        directory
    }

    /// Three teams of five people, one over them where groups may be nested.
    fn company(&self) -> Directory {
        let mut directory = self.people(15, 0);
        for team in 0..3 {
            let members = (1..=5).map(|place| self.object(team * 5 + place));
            directory.add_group(self.anchor(101 + team), self.words.group(101 + team), members.collect());
        }
        if self.words.nesting {
            let members = (101..=103).map(|team| self.object(team));
            directory.add_group(self.anchor(100), self.words.group(100), members.collect());
        }
        directory
    }

    fn object(&self, number: usize) -> DirectoryMember {
        DirectoryMember::Object(self.anchor(number))
    }

    fn generated(&self, seed: u64) -> Directory {
        let mut knobs = Knobs { vocabulary: self.words.clone(), ..Knobs::default() };
        // Each of these has a check of its own, and not every source can hold them.
        (knobs.dangling, knobs.foreign, knobs.tombstones) = (0, 0, 0);
        Directory::generate(seed, &knobs)
    }
}

/// All living users of a complete read.
async fn users<S: DirectorySource>(source: &S, select: Select<'_>) -> Result<Vec<UserSeen>, Finding> {
    let reading = Users { source, select };
    let rows = walk_complete(&reading).await?;
    rows.iter().try_for_each(|row| sound(&row.anchor, row.sound))?;
    let living: Vec<UserSeen> = rows.into_iter().filter(|row| !row.tombstone).collect();
    each_once(reading.what(), &living)?;
    Ok(living)
}

/// All living groups of a complete read, each with its list put together.
async fn groups<S: DirectorySource>(source: &S, select: Select<'_>) -> Result<Vec<GroupSeen>, Finding> {
    let reading = Groups { source, select };
    let rows = joined(walk_complete(&reading).await?);
    rows.iter().try_for_each(|row| sound(&row.anchor, row.sound))?;
    let living: Vec<GroupSeen> = rows.into_iter().filter(|row| !row.tombstone).collect();
    each_once(reading.what(), &living)?;
    Ok(living)
}

fn sound(anchor: &str, sound: bool) -> Outcome {
    if sound && !anchor.is_empty() {
        return Ok(());
    }
    Err(wrong(
        "every row can be used: nothing is wrong with the objects",
        format!("the row of anchor `{anchor}` cannot"),
        "a row that cannot be used makes the read partial, and nobody's access ends (rules C1, S1)",
    ))
}

/// One object of those that were read.
fn find<'r, T>(rows: &'r [T], anchor: &str, key: impl Fn(&T) -> &str) -> Result<&'r T, Finding> {
    rows.iter().find(|row| key(row) == anchor).ok_or_else(|| {
        wrong(
            format!("the object of anchor `{anchor}` is read"),
            format!("it is not among the {} that were", rows.len()),
            "who is missing from a complete read loses memberships (rule C2)",
        )
    })
}

fn user<'r>(rows: &'r [UserSeen], anchor: &str) -> Result<&'r UserSeen, Finding> {
    find(rows, anchor, |row| &row.anchor)
}

fn group<'r>(rows: &'r [GroupSeen], anchor: &str) -> Result<&'r GroupSeen, Finding> {
    find(rows, anchor, |row| &row.anchor)
}

/// As a selection wants them: sorted, each once.
fn anchors<'a>(from: impl IntoIterator<Item = &'a str>) -> Vec<SourceAnchor> {
    from.into_iter().collect::<BTreeSet<_>>().into_iter().map(SourceAnchor::from).collect()
}

fn user_anchors(directory: &Directory) -> BTreeSet<&str> {
    directory.users.iter().map(|user| user.anchor.as_str()).collect()
}

fn group_anchors(directory: &Directory) -> BTreeSet<&str> {
    directory.groups.iter().map(|group| group.anchor.as_str()).collect()
}

/// Attributes that have a value; the others are as good as not there (rule A4).
fn filled(values: &BTreeMap<String, Vec<String>>) -> impl Iterator<Item = (&String, Vec<&String>)> {
    values.iter().map(|(name, values)| (name, values.iter().filter(|value| !value.is_empty()).collect()))
}
