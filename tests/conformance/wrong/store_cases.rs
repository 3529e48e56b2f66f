//! Which check finds which store out.

use identity_sync::testing::conformance::{self, Report};
use pollster::block_on;

use super::store::Builder;
use super::store_faults::Wrong;
use super::{Paging, caught};

fn report(wrong: Wrong) -> Report {
    block_on(conformance::store(&Builder(wrong)))
}

#[track_caller]
fn found_out(wrong: Wrong, check: &str) {
    caught(wrong, check, &report(wrong));
}

/// The report on the store without a fault.
pub(super) fn right() -> Report {
    report(Wrong::Nothing)
}

#[test]
fn the_store_without_a_fault_conforms() {
    let report = right();
    report.assert_conforming();
    assert_eq!(crate::open(&report), [""; 0], "{report}");
}

found_out! {
    // rules C1, C5
    faults_of_pages_are_found_out:
        Wrong::Pages(Paging::DropsLastRow) => "every_record_is_read_exactly_once",
        Wrong::Pages(Paging::RepeatsRow) => "every_record_is_read_exactly_once",
        Wrong::Pages(Paging::SameToken) => "page_tokens_lead_to_the_end",
        Wrong::Pages(Paging::CutAndComplete) => "every_record_is_read_exactly_once",
        Wrong::BusyForEver => "a_dropped_read_leaves_the_next_one_whole",
        Wrong::HidesUnmanaged => "records_that_somebody_else_made_are_read",
        Wrong::PartialAsComplete => "what_cannot_be_seen_is_not_called_complete",
        Wrong::NewIdentityEachTime => "the_capabilities_are_sound",
        Wrong::OwnPage => "a_page_is_only_added_to",
        Wrong::OwnCursor => "a_page_asked_again_is_the_same",
        Wrong::OwnCursor => "reads_at_once_do_not_disturb_each_other",
        Wrong::EmptyIsError => "an_empty_store_reads_as_complete_and_empty",
        Wrong::PartialGroupsAsComplete => "what_cannot_be_seen_is_not_called_complete",
        Wrong::HidesInactive => "a_user_is_made_inactive_and_active_again",
        Wrong::RepeatsForValues => "several_values_all_come_back",
        Wrong::RepeatsForGroups => "a_deleted_group_leaves_its_members_alone";
    // rules M1, M2, M7
    faults_of_selections_are_found_out:
        Wrong::SelectsAll => "ids_select_exactly_their_records",
        Wrong::SelectsAll => "nothing_known_selects_nothing",
        Wrong::SelectsAnyIssuer => "external_ids_select_exactly_their_records",
        Wrong::SelectsExactly => "a_unique_value_selects_its_holder_by_the_declared_rule",
        Wrong::SelectsOtherKind => "users_and_groups_are_selected_apart",
        Wrong::SelectsTen => "a_long_selection_is_whole",
        Wrong::SelectsOnePage => "a_long_selection_is_whole",
        Wrong::SelectedBare => "a_selected_record_is_read_as_in_the_whole_read";
    // rules A5, J4, M2, M7, X2
    faults_of_creates_are_found_out:
        Wrong::UniqueExactly => "unique_values_are_compared_by_the_declared_rule",
        Wrong::UniqueFolded => "values_that_differ_by_the_declared_rule_stand_side_by_side",
        Wrong::OwnNameIsTaken => "a_record_may_respell_its_own_unique_value",
        Wrong::LinksAnyIssuer => "one_anchor_of_two_issuers_is_two_records",
        Wrong::ExistsAsDone => "a_second_create_for_one_external_id_is_refused",
        Wrong::LooksThenCreates => "two_creates_at_once_leave_one_record",
        Wrong::CreatesActive => "a_user_created_inactive_is_inactive",
        Wrong::Lowers => "odd_characters_come_back_unchanged",
        Wrong::LosesUnicode => "odd_characters_come_back_unchanged",
        Wrong::DropsUnknown => "a_created_user_reads_back_as_written",
        Wrong::GroupsBare => "a_created_group_reads_back_as_written",
        Wrong::FirstValueOnly => "several_values_all_come_back",
        Wrong::OriginStays => "the_origin_is_kept_or_unknown",
        Wrong::UpdateResetsOrigin => "the_origin_is_kept_or_unknown",
        Wrong::CutsLongValues => "a_long_value_is_whole_or_refused",
        Wrong::LinksFolded => "external_ids_are_kept_byte_for_byte",
        Wrong::LinksByKind => "a_user_and_a_group_share_no_external_id",
        Wrong::RequiresNothing => "a_create_without_a_required_value_is_refused",
        Wrong::CreateOverwrites => "a_second_create_for_one_external_id_is_refused",
        Wrong::CreateTakesOver => "a_create_takes_over_no_record_of_somebody_else";
    // rules A1, A2, X1
    faults_of_updates_are_found_out:
        Wrong::UpdateReplacesAll => "an_update_changes_only_what_it_names",
        Wrong::UpdateAdds => "several_values_are_replaced_as_a_whole",
        Wrong::UpdatesFirstOnly => "an_update_of_several_attributes_changes_them_all",
        Wrong::ClearIsLost => "a_cleared_attribute_is_gone",
        Wrong::RefusedAsDone => "a_write_to_a_missing_record_is_answered_not_found",
        Wrong::GroupUpdateDropsMembers => "an_update_changes_only_what_it_names",
        Wrong::ClearsRequired => "a_required_value_cannot_be_cleared",
        Wrong::RenameLosesMemberships => "a_renamed_record_keeps_its_id_its_link_and_its_memberships",
        Wrong::GroupRenameLosesMembers => "a_renamed_record_keeps_its_id_its_link_and_its_memberships",
        Wrong::RenameMakesNew => "a_renamed_record_keeps_its_id_its_link_and_its_memberships";
    // rule P7
    faults_of_versions_are_found_out:
        Wrong::IgnoresVersion => "a_stale_version_is_refused_and_nothing_is_written",
        Wrong::AnswersOldVersion => "the_answered_version_is_the_one_read_next",
        Wrong::HidesVersion => "every_record_has_a_version",
        Wrong::ComparesAnyVersion => "a_stale_version_is_refused_and_nothing_is_written",
        Wrong::LockKeepsVersion => "every_change_gives_another_version";
    // rule A7
    faults_of_locks_are_found_out:
        Wrong::ForgetsWho => "who_made_a_user_inactive_is_remembered",
        Wrong::TakesLocks => "an_administrators_lock_stays_his",
        Wrong::LockWipes => "a_user_is_made_inactive_and_active_again",
        Wrong::ReactivationIsLost => "a_user_is_made_inactive_and_active_again",
        Wrong::LockLeavesGroups => "a_user_is_made_inactive_and_active_again",
        Wrong::ListsOnlyActive => "a_user_is_made_inactive_and_active_again",
        Wrong::LockForgetsWho => "who_made_a_user_inactive_is_remembered";
    // rules D2, M4, X1
    faults_of_deletes_are_found_out:
        Wrong::DeletePretends => "a_deleted_record_is_gone",
        Wrong::KeepsMemberships => "a_deleted_user_leaves_all_groups",
        Wrong::ReusesIds => "a_store_id_is_never_used_again",
        Wrong::KeepsLinks => "a_freed_external_id_can_be_linked_again",
        Wrong::GoneIsDone => "a_second_delete_is_answered_not_found",
        Wrong::GroupDeleteEmptiesOthers => "a_deleted_group_leaves_its_members_alone",
        Wrong::DeletesTwins => "records_of_another_issuer_stay_as_they_are";
    // rules D3, E4, X5
    faults_of_members_are_found_out:
        Wrong::AddReplaces => "added_members_join_those_who_are_there",
        Wrong::RemoveEmpties => "removing_takes_out_exactly_the_named",
        Wrong::AddRefusesThere => "adding_who_is_there_changes_nothing",
        Wrong::MembersCut => "as_many_members_as_declared_are_written_at_once",
        Wrong::AddsHalf => "a_refused_write_leaves_nothing_behind",
        Wrong::RemovesEverywhere => "groups_keep_their_members_apart",
        Wrong::RemovesOneTooMany => "removing_takes_out_exactly_the_named",
        Wrong::EmptyGroupsVanish => "removing_takes_out_exactly_the_named",
        Wrong::MembersListCut => "many_members_are_all_listed",
        Wrong::MemberPages(Paging::DropsLastRow) => "many_members_are_all_listed",
        Wrong::MemberPages(Paging::RepeatsRow) => "many_members_are_all_listed",
        Wrong::MemberPages(Paging::SameToken) => "many_members_are_all_listed",
        Wrong::MemberPages(Paging::CutAndComplete) => "many_members_are_all_listed",
        Wrong::ListsOnlyLinked => "a_member_whom_somebody_else_made_is_listed",
        Wrong::RemovalDeactivates => "memberships_leave_the_users_as_they_are";
    // rules M1, M3
    faults_of_adoptions_are_found_out:
        Wrong::AdoptOverwrites => "a_linked_record_is_never_linked_again",
        Wrong::AdoptsTwice => "a_taken_link_is_not_given_to_a_second_record",
        Wrong::AdoptClears => "an_adopted_record_is_linked_and_otherwise_unchanged",
        Wrong::AdoptLeavesGroups => "an_adopted_record_is_linked_and_otherwise_unchanged";
    // rules P6, X1, X4, X5
    faults_of_batches_are_found_out:
        Wrong::SwapsAnswers => "each_answer_stands_in_its_own_slot",
        Wrong::StopsAtRefusal => "a_refused_item_leaves_the_others_alone",
        Wrong::RollsBack => "a_refused_item_leaves_the_others_alone",
        Wrong::Backwards => "items_are_performed_in_their_order",
        Wrong::BatchCut => "the_largest_batch_is_answered_in_full",
        Wrong::AnswersFirst => "a_dropped_write_leaves_true_answers",
        Wrong::ForgetsAll => "what_was_answered_survives_a_restart",
        Wrong::EmptyBatchIsError => "an_empty_batch_is_no_error",
        Wrong::RestAsDone => "a_refused_item_leaves_the_others_alone",
        Wrong::LastUnanswered => "the_largest_batch_is_answered_in_full";
    // rules M2, M4, M6
    faults_of_unique_values_are_found_out:
        Wrong::NothingIsUnique => "a_taken_unique_value_is_refused",
        Wrong::LooksThenNames => "two_creates_at_once_leave_one_holder_of_a_name",
        Wrong::UniqueAtCreateOnly => "a_taken_unique_value_is_refused",
        Wrong::NamesStayTaken => "a_freed_unique_value_can_be_taken",
        Wrong::OneNamespace => "a_user_and_a_group_may_have_one_name";
}

#[test]
fn a_store_that_lists_members_on_pages_conforms() {
    report(Wrong::MemberPages(Paging::Right)).assert_conforming();
}

#[test]
fn a_version_that_stays_when_members_change_is_no_fault() {
    // Rule P3: members are added and removed, never replaced, so no write of ours undoes another's.
    report(Wrong::MembersKeepVersion).assert_conforming();
}

#[test]
fn a_fault_is_found_out_by_its_own_check_and_by_no_other() {
    let alone = [
        Wrong::BusyForEver,
        Wrong::LooksThenCreates,
        Wrong::AnswersFirst,
        Wrong::AddsHalf,
        Wrong::TakesLocks,
        Wrong::ForgetsAll,
        Wrong::AdoptClears,
        Wrong::StopsAtRefusal,
    ];
    let also: Vec<_> = alone.iter().map(|&wrong| (wrong, crate::failed(&report(wrong)))).collect();
    assert!(also.iter().all(|(_, failed)| failed.len() == 1), "{also:?}");
}
