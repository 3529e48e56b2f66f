//! Which check finds which source out.

use identity_sync::testing::conformance::{self, Report};
use pollster::block_on;

use super::source::{Builder, Wrong};
use super::{Paging, caught};

fn report(wrong: Wrong) -> Report {
    block_on(conformance::source(&Builder(wrong)))
}

#[track_caller]
fn found_out(wrong: Wrong, check: &str) {
    caught(wrong, check, &report(wrong));
}

/// The report on the source without a fault.
pub(super) fn right() -> Report {
    report(Wrong::Nothing)
}

#[test]
fn the_source_without_a_fault_conforms() {
    let report = right();
    report.assert_conforming();
    assert_eq!(crate::open(&report), [""; 0], "{report}");
}

found_out! {
    // rules C1, C2
    faults_of_pages_are_found_out:
        Wrong::Pages(Paging::DropsLastRow) => "every_user_is_read_exactly_once",
        Wrong::Pages(Paging::RepeatsRow) => "every_group_is_read_exactly_once",
        Wrong::Pages(Paging::SameToken) => "page_tokens_lead_to_the_end",
        Wrong::Pages(Paging::CutAndComplete) => "every_user_is_read_exactly_once",
        Wrong::OwnPage => "a_page_is_only_added_to",
        Wrong::PartialAsComplete => "what_cannot_be_seen_is_not_called_complete",
        Wrong::EmptyIsError => "an_empty_directory_reads_as_complete_and_empty",
        Wrong::PartialGroupsAsComplete => "what_cannot_be_seen_is_not_called_complete";
    // rules C1, X3
    a_place_that_the_source_keeps_for_itself_is_found_out:
        Wrong::OwnCursor => "a_page_asked_again_is_the_same",
        Wrong::OwnCursor => "reads_at_once_do_not_disturb_each_other",
        Wrong::BusyForEver => "a_dropped_read_leaves_the_next_one_whole";
    // rules A1, A2, A5, M2, C3, C6
    faults_of_objects_are_found_out:
        Wrong::FoldsAnchors => "anchors_come_back_byte_for_byte",
        Wrong::DirtyBuffer => "a_missing_attribute_stays_missing",
        Wrong::FirstValueOnly => "several_values_all_come_back",
        Wrong::LosesUnicode => "attributes_come_back_unchanged",
        Wrong::DisabledAsEnabled => "account_states_are_true",
        Wrong::DeadAmongTheLiving => "the_dead_are_not_among_the_living",
        Wrong::TombstonesOfTheLiving => "the_dead_are_not_among_the_living",
        Wrong::NewIdentityEachTime => "the_identity_is_always_the_same",
        Wrong::GenerationFalls => "the_generation_never_goes_back",
        Wrong::RemembersFirstRead => "a_deletion_is_seen_by_the_next_read",
        Wrong::RemembersFirstRead => "a_change_is_seen_by_the_next_read",
        Wrong::DropsDisabledMembers => "a_generated_directory_reads_as_it_is",
        Wrong::RepeatsForValues => "several_values_all_come_back",
        Wrong::AnchorsChange => "a_change_is_seen_by_the_next_read",
        Wrong::VersionsFall => "a_change_is_seen_by_the_next_read";
    // rules C2, E4, E9
    faults_of_member_lists_are_found_out:
        Wrong::ListsLeftOpen => "member_lists_are_whole_and_closed",
        Wrong::ListsCut => "a_long_member_list_is_whole",
        Wrong::EmptyListsLeftOpen => "an_empty_group_has_a_whole_list",
        Wrong::Flattens => "nested_groups_are_given_as_members",
        Wrong::Flattens => "cycles_of_groups_are_given_as_they_are",
        Wrong::DropsDangling => "a_member_who_is_not_there_is_not_dropped",
        Wrong::ForeignAsOther => "a_foreign_member_is_not_dropped",
        Wrong::GroupsAsUsers => "member_kinds_are_true_or_unknown";
    // rules C1, C2, X5
    faults_of_selections_are_found_out:
        Wrong::SelectsAll => "a_selection_gives_all_that_it_names_and_nothing_else",
        Wrong::SelectsMembers => "a_selected_group_has_its_whole_list",
        Wrong::SelectsTen => "the_largest_selection_is_served",
        Wrong::SelectsGroupsAmongUsers => "users_and_groups_are_selected_apart",
        Wrong::UnknownAsError => "unknown_anchors_select_nothing",
        Wrong::SelectedBare => "a_selected_object_is_read_as_in_the_whole_read",
        Wrong::SelectedEnabled => "a_selected_object_is_read_as_in_the_whole_read";
    // rule C3
    faults_of_look_ups_are_found_out:
        Wrong::AnswersShifted => "each_answer_belongs_to_its_own_anchor",
        Wrong::AnswersInOrder => "each_answer_belongs_to_its_own_anchor",
        Wrong::TombstoneExists => "a_deleted_object_is_gone",
        Wrong::EverybodyExists => "who_never_was_does_not_exist",
        Wrong::GroupsAreGone => "a_living_object_exists_and_is_what_it_is",
        Wrong::DisabledIsGone => "a_living_object_exists_and_is_what_it_is",
        Wrong::HiddenIsGone => "what_cannot_be_seen_is_not_called_gone";
}

#[test]
fn a_fault_is_found_out_by_its_own_checks_and_by_no_others() {
    assert_eq!(crate::failed(&report(Wrong::DisabledAsEnabled)).len(), 3); // its own, a generated directory, a change
    let alone =
        [Wrong::AnswersInOrder, Wrong::BusyForEver, Wrong::OwnPage, Wrong::ListsCut, Wrong::ForeignAsOther];
    let also: Vec<_> = alone.iter().map(|&wrong| (wrong, crate::failed(&report(wrong)))).collect();
    assert!(also.iter().all(|(_, failed)| failed.len() == 1), "{also:?}");
}

#[test]
fn a_source_that_panics_is_found_out_and_the_other_checks_run() {
    // rule S1
    let report = report(Wrong::PanicsAtQuotes);
    caught(Wrong::PanicsAtQuotes, "attributes_come_back_unchanged", &report);
    assert!(report.to_string().contains("it panicked: a quote in a value"), "{report}");
    assert!(report.passed() > 20, "{report}");
}
