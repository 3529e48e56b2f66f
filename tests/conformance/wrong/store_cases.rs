//! Which check finds which store out.

use identity_sync::testing::conformance::{self, Report};
use pollster::block_on;

use super::store::{Builder, Wrong};
use super::{Paging, caught};

fn report(wrong: Wrong) -> Report {
    block_on(conformance::store(&Builder(wrong)))
}

#[track_caller]
fn found_out(wrong: Wrong, check: &str) {
    caught(wrong, check, &report(wrong));
}

#[test]
fn the_store_without_a_fault_conforms() {
    let report = report(Wrong::Nothing);
    report.assert_conforming();
    assert_eq!(crate::open(&report), [""; 0], "{report}");
}

#[test]
fn faults_of_pages_are_found_out() {
    // rules C1, C5
    found_out(Wrong::Pages(Paging::DropsLastRow), "every_record_is_read_exactly_once");
    found_out(Wrong::Pages(Paging::RepeatsRow), "every_record_is_read_exactly_once");
    found_out(Wrong::Pages(Paging::SameToken), "page_tokens_lead_to_the_end");
    found_out(Wrong::Pages(Paging::CutAndComplete), "every_record_is_read_exactly_once");
    found_out(Wrong::BusyForEver, "a_dropped_read_leaves_the_next_one_whole");
    found_out(Wrong::HidesUnmanaged, "records_that_somebody_else_made_are_read");
    found_out(Wrong::PartialAsComplete, "what_cannot_be_seen_is_not_called_complete");
    found_out(Wrong::NewIdentityEachTime, "the_capabilities_are_sound");
}

#[test]
fn faults_of_selections_are_found_out() {
    // rules M1, M2, M7
    found_out(Wrong::SelectsAll, "ids_select_exactly_their_records");
    found_out(Wrong::SelectsAll, "nothing_known_selects_nothing");
    found_out(Wrong::SelectsAnyIssuer, "external_ids_select_exactly_their_records");
    found_out(Wrong::SelectsExactly, "a_unique_value_selects_its_holder_by_the_declared_rule");
}

#[test]
fn faults_of_creates_are_found_out() {
    // rules A5, J4, M2, M7, X2
    found_out(Wrong::UniqueExactly, "unique_values_are_compared_by_the_declared_rule");
    found_out(Wrong::UniqueFolded, "values_that_differ_by_the_declared_rule_stand_side_by_side");
    found_out(Wrong::OwnNameIsTaken, "a_record_may_respell_its_own_unique_value");
    found_out(Wrong::LinksAnyIssuer, "one_anchor_of_two_issuers_is_two_records");
    found_out(Wrong::ExistsAsDone, "a_second_create_for_one_external_id_is_refused");
    found_out(Wrong::LooksThenCreates, "two_creates_at_once_leave_one_record");
    found_out(Wrong::CreatesActive, "a_user_created_inactive_is_inactive");
    found_out(Wrong::Lowers, "odd_characters_come_back_unchanged");
    found_out(Wrong::LosesUnicode, "odd_characters_come_back_unchanged");
}

#[test]
fn faults_of_updates_are_found_out() {
    // rules A1, A2, X1
    found_out(Wrong::UpdateReplacesAll, "an_update_changes_only_what_it_names");
    found_out(Wrong::UpdateAdds, "several_values_are_replaced_as_a_whole");
    found_out(Wrong::UpdatesFirstOnly, "an_update_of_several_attributes_changes_them_all");
    found_out(Wrong::ClearIsLost, "a_cleared_attribute_is_gone");
    found_out(Wrong::RefusedAsDone, "a_write_to_a_missing_record_is_answered_not_found");
}

#[test]
fn faults_of_versions_are_found_out() {
    // rule P7
    found_out(Wrong::IgnoresVersion, "a_stale_version_is_refused_and_nothing_is_written");
    found_out(Wrong::AnswersOldVersion, "the_answered_version_is_the_one_read_next");
    found_out(Wrong::HidesVersion, "every_record_has_a_version");
}

#[test]
fn faults_of_locks_are_found_out() {
    // rule A7
    found_out(Wrong::ForgetsWho, "who_made_a_user_inactive_is_remembered");
    found_out(Wrong::TakesLocks, "an_administrators_lock_stays_his");
}

#[test]
fn faults_of_deletes_are_found_out() {
    // rules D2, M4, X1
    found_out(Wrong::DeletePretends, "a_deleted_record_is_gone");
    found_out(Wrong::KeepsMemberships, "a_deleted_user_leaves_all_groups");
    found_out(Wrong::ReusesIds, "a_store_id_is_never_used_again");
    found_out(Wrong::KeepsLinks, "a_freed_external_id_can_be_linked_again");
}

#[test]
fn faults_of_members_are_found_out() {
    // rules D3, E4, X5
    found_out(Wrong::AddReplaces, "added_members_join_those_who_are_there");
    found_out(Wrong::RemoveEmpties, "removing_takes_out_exactly_the_named");
    found_out(Wrong::AddRefusesThere, "adding_who_is_there_changes_nothing");
    found_out(Wrong::MembersCut, "as_many_members_as_declared_are_written_at_once");
    found_out(Wrong::AddsHalf, "a_refused_write_leaves_nothing_behind");
}

#[test]
fn faults_of_adoptions_are_found_out() {
    // rules M1, M3
    found_out(Wrong::AdoptOverwrites, "a_linked_record_is_never_linked_again");
    found_out(Wrong::AdoptsTwice, "a_taken_link_is_not_given_to_a_second_record");
    found_out(Wrong::AdoptClears, "an_adopted_record_is_linked_and_otherwise_unchanged");
}

#[test]
fn faults_of_batches_are_found_out() {
    // rules P6, X1, X4, X5
    found_out(Wrong::SwapsAnswers, "each_answer_stands_in_its_own_slot");
    found_out(Wrong::StopsAtRefusal, "a_refused_item_leaves_the_others_alone");
    found_out(Wrong::RollsBack, "a_refused_item_leaves_the_others_alone");
    found_out(Wrong::Backwards, "items_are_performed_in_their_order");
    found_out(Wrong::BatchCut, "the_largest_batch_is_answered_in_full");
    found_out(Wrong::AnswersFirst, "a_dropped_write_leaves_true_answers");
    found_out(Wrong::ForgetsAll, "what_was_answered_survives_a_restart");
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
