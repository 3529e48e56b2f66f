//! The checks of an identity store.

mod activation;
mod adoption;
mod batches;
mod creating;
mod deleting;
mod members;
mod reading;
mod records;
mod selecting;
mod stopping;
mod subject;
mod unique;
mod updating;
mod versions;

use std::collections::BTreeMap;

use super::any::Stores;
use super::finding::run;
use super::report::Report;

type Values = BTreeMap<String, Vec<String>>;

/// Runs all checks of a store, each on a store of its own.
pub(super) async fn suite(builder: Stores<'_>) -> Report {
    let mut report = Report::new("store");
    macro_rules! check {
        ($($module:ident: $($name:ident),+;)+) => {
            $($(Box::pin(run(&mut report, stringify!($name), $module::$name(builder))).await;)+)+
        };
    }
    check! {
        reading: the_capabilities_are_sound, an_empty_store_reads_as_complete_and_empty,
            every_record_is_read_exactly_once, page_tokens_lead_to_the_end, a_page_asked_again_is_the_same,
            a_page_is_only_added_to, a_dropped_read_leaves_the_next_one_whole,
            reads_at_once_do_not_disturb_each_other, records_that_somebody_else_made_are_read,
            what_cannot_be_seen_is_not_called_complete;
        selecting: ids_select_exactly_their_records, external_ids_select_exactly_their_records,
            a_unique_value_selects_its_holder_by_the_declared_rule, nothing_known_selects_nothing,
            a_selected_record_is_read_as_in_the_whole_read, users_and_groups_are_selected_apart,
            a_long_selection_is_whole;
        creating: a_created_user_reads_back_as_written, a_created_group_reads_back_as_written,
            odd_characters_come_back_unchanged, a_long_value_is_whole_or_refused,
            external_ids_are_kept_byte_for_byte, several_values_all_come_back,
            a_user_created_inactive_is_inactive, the_origin_is_kept_or_unknown,
            a_second_create_for_one_external_id_is_refused, a_create_takes_over_no_record_of_somebody_else,
            a_user_and_a_group_share_no_external_id, one_anchor_of_two_issuers_is_two_records,
            a_create_without_a_required_value_is_refused;
        unique: a_taken_unique_value_is_refused, unique_values_are_compared_by_the_declared_rule,
            values_that_differ_by_the_declared_rule_stand_side_by_side, a_freed_unique_value_can_be_taken,
            a_record_may_respell_its_own_unique_value, a_user_and_a_group_may_have_one_name;
        updating: an_update_changes_only_what_it_names, an_update_of_several_attributes_changes_them_all,
            a_renamed_record_keeps_its_id_its_link_and_its_memberships, a_cleared_attribute_is_gone,
            several_values_are_replaced_as_a_whole, a_required_value_cannot_be_cleared,
            a_write_to_a_missing_record_is_answered_not_found, a_refused_write_leaves_nothing_behind,
            records_of_another_issuer_stay_as_they_are;
        versions: every_record_has_a_version, a_stale_version_is_refused_and_nothing_is_written,
            every_change_gives_another_version, the_answered_version_is_the_one_read_next;
        activation: a_user_is_made_inactive_and_active_again, who_made_a_user_inactive_is_remembered,
            an_administrators_lock_stays_his;
        deleting: a_deleted_record_is_gone, a_second_delete_is_answered_not_found,
            a_deleted_user_leaves_all_groups, a_deleted_group_leaves_its_members_alone,
            a_store_id_is_never_used_again, a_freed_external_id_can_be_linked_again;
        members: added_members_join_those_who_are_there, adding_who_is_there_changes_nothing,
            removing_takes_out_exactly_the_named, groups_keep_their_members_apart,
            a_member_whom_somebody_else_made_is_listed, memberships_leave_the_users_as_they_are,
            as_many_members_as_declared_are_written_at_once, many_members_are_all_listed;
        adoption: an_adopted_record_is_linked_and_otherwise_unchanged, a_linked_record_is_never_linked_again,
            a_taken_link_is_not_given_to_a_second_record;
        batches: an_empty_batch_is_no_error, items_are_performed_in_their_order,
            each_answer_stands_in_its_own_slot, a_refused_item_leaves_the_others_alone,
            the_largest_batch_is_answered_in_full;
        stopping: a_dropped_write_leaves_true_answers, two_creates_at_once_leave_one_record,
            two_creates_at_once_leave_one_holder_of_a_name, what_was_answered_survives_a_restart;
    }
    report
}
