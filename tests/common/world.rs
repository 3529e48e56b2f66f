//! Plain data for one small world: what the directory answers, what the store holds, who was assigned, and
//! the options of the run. It has no behaviour, so that the library's adapters, the generator and the oracle
//! can all be built from it without sharing any code.

#![allow(dead_code, reason = "each test binary uses another part of the shared modules")]
#![allow(unreachable_pub, reason = "shared by several test binaries as a private module")]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Attribute values by name, as the directory or the store spells them.
pub type Attributes = BTreeMap<String, Vec<String>>;

/// Everything that one reconcile sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    pub source: Source,
    pub store: Store,
    pub assignments: Assignments,
    pub options: Options,
    /// The host's clock, in seconds.
    pub now: u64,
}

/// What the directory answers in this run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Who the source says that it is (rule C6).
    pub identity: String,
    /// Which state of which replica answers (rule C6).
    pub generation: Option<Generation>,
    pub users_complete: bool,
    pub groups_complete: bool,
    /// The source can answer look-ups by anchor (rule C3).
    pub has_existence: bool,
    /// The source has the notion of a disabled account; without it all are enabled (rule A5).
    pub account_state: bool,
    /// Rows as read; one anchor may come more than once (rule M5).
    pub users: Vec<UserRow>,
    pub groups: Vec<GroupRow>,
    /// Anchors whose tombstone was seen.
    pub tombstones: Vec<String>,
    /// The answers to look-ups. An anchor that is not here is answered `Unknown`. Means nothing where
    /// `has_existence` is false.
    pub existence: BTreeMap<String, Existence>,
}

/// How far the replica that answers has got; the number of a replica only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub replica: String,
    pub number: u64,
}

/// One row of the users read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserRow {
    pub anchor: String,
    pub state: AccountState,
    pub version: Option<u64>,
    pub attributes: Attributes,
    /// Source attributes that exist but could not be read (rule A2). They are not in `attributes`.
    pub unreadable: BTreeSet<String>,
    /// Seen, but over its bound: quarantined as rule S1 says.
    pub withdrawn: bool,
}

/// One row of the groups read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRow {
    pub anchor: String,
    pub version: Option<u64>,
    pub attributes: Attributes,
    pub unreadable: BTreeSet<String>,
    pub withdrawn: bool,
    pub members: Vec<Member>,
    pub members_complete: bool,
}

/// One entry of a member list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    pub target: MemberTarget,
    pub hint: KindHint,
}

/// Whom a member entry names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MemberTarget {
    Anchor(String),
    /// A name (a DN) without an entry.
    Unresolved(String),
}

/// What the read says about the kind of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KindHint {
    User,
    Group,
    /// A contact, a computer: no principal.
    Other,
    /// Lives outside this source.
    Foreign,
    Unknown,
}

/// State of a source account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccountState {
    Enabled,
    Disabled,
    Unknown,
}

/// The answer to a look-up by anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Existence {
    Gone,
    Unknown,
    /// Exists, with this kind.
    Exists(KindHint),
}

/// What the store holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// False: the read of the store was partial (rule C5).
    pub complete: bool,
    pub users: Vec<StoreUser>,
    pub groups: Vec<StoreGroup>,
    pub user_schema: Schema,
    pub group_schema: Schema,
    /// Deleting a record removes its memberships by itself.
    pub cascades: bool,
    /// False: `StoreGroup::members` holds the truth, but nobody can read it (rule C5).
    pub can_list_members: bool,
    /// The store remembers who made a user inactive (rule A7).
    pub remembers_deactivation: bool,
    /// The store can write our link into a record that has none (rule M3).
    pub can_adopt: bool,
}

/// Attribute name to its rule. Attributes that are not named: exact, not unique, optional, one value.
pub type Schema = BTreeMap<String, AttributeRule>;

/// What the store declares about one attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeRule {
    pub matching: Matching,
    pub unique: bool,
    pub required: bool,
    pub multi_valued: bool,
}

/// How values of an attribute are compared (rule M2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Matching {
    Exact,
    AsciiCaseFold,
    NfkcCasefold,
}

/// A user record of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreUser {
    pub id: String,
    /// Pairs of issuer and value.
    pub external_ids: Vec<(String, String)>,
    pub active: bool,
    /// Who made the record inactive. Means nothing while it is active, or where the store does not remember.
    pub deactivated_by: Option<DeactivatedBy>,
    /// `None`: the store does not know, which counts as synced.
    pub origin: Option<Origin>,
    pub attributes: Attributes,
}

/// Who made a user record inactive (rule A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeactivatedBy {
    Sync,
    /// An administrator: a lock.
    Other,
}

/// A group record of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreGroup {
    pub id: String,
    pub external_ids: Vec<(String, String)>,
    pub attributes: Attributes,
    /// Store ids.
    pub members: Vec<String>,
}

/// Who brought a user record into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    Synced,
    Jit,
}

/// Who was given access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignments {
    pub complete: bool,
    pub principals: Vec<Principal>,
}

/// One assigned principal (rule E11).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Principal {
    /// Issuer and value.
    External(String, String),
    Stored(String),
}

/// The options of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    pub issuer: String,
    pub user_map: Vec<Mapping>,
    pub group_map: Vec<Mapping>,
    pub nesting: Nesting,
    pub users: UserPolicy,
    pub groups: GroupPolicy,
    pub unmanaged_members: UnmanagedMembers,
    /// Absence from a complete read proves deletion, where the source has no look-ups (rule C3).
    pub absence_is_proof: bool,
    pub allow_empty_users: bool,
    pub allow_empty_groups: bool,
    pub allow_empty_assignments: bool,
    pub protected_ids: BTreeSet<String>,
    pub protected_anchors: BTreeSet<String>,
    pub protected_names: BTreeSet<String>,
    /// Members that can hide nobody, by anchor and by unresolved text (rule E9).
    pub leaf_anchors: BTreeSet<String>,
    pub leaf_texts: BTreeSet<String>,
    pub guards: Guards,
    pub on_trip: OnTrip,
    /// Anchors of the groups that may gain members although the store cannot list any (rule C5).
    pub add_members_to: BTreeSet<String>,
    /// A record that stays gives up a name that it no longer maps to (rule M4).
    pub release_names: bool,
    pub soft_match: SoftMatch,
    pub reactivate: Reactivate,
    pub canaries: Canaries,
    pub member_removals: MemberRemovals,
    pub extent: Extent,
}

/// The attributes by which records without any link are adopted (rule M3); none: never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftMatch {
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

/// Who is made active again, where the store remembers who made him inactive (rule A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reactivate {
    /// Only whom we made inactive: an administrator's lock stays.
    OwnOnly,
    Always,
}

/// Anchors that a complete read must show (rule C6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canaries {
    pub users: BTreeSet<String>,
    pub groups: BTreeSet<String>,
}

/// Whether members are removed from groups at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRemovals {
    Planned,
    /// Only those that must precede a delete.
    Never,
}

/// How much is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    Full,
    /// The quick pass (rule I3): only what gives somebody something.
    NewEntitlements,
}

/// One line of an attribute map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    pub target: String,
    /// Text with `${name}` placeholders; there is no escape.
    pub template: String,
    pub missing: Missing,
    pub required: bool,
}

/// What a missing source value does to its target (rule A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    Clear,
    Keep,
}

/// The nesting policy (rule E8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nesting {
    Flatten,
    DirectOnly,
}

/// What happens to a record that is not wanted any more (rule D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Deprovision {
    Keep,
    Deactivate,
    Delete,
}

/// Rule D1 for users. `disabled_in_source` is never `Keep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPolicy {
    pub deleted_in_source: Deprovision,
    pub left_scope: Deprovision,
    pub disabled_in_source: Deprovision,
    pub grace: UserGrace,
}

/// How long each cause must have lasted before it deletes or deactivates, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserGrace {
    pub deleted_in_source: u64,
    pub left_scope: u64,
    pub disabled_in_source: u64,
}

/// Rule D1 for groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    pub deleted_in_source: Deprovision,
    pub left_scope: Deprovision,
    pub grace: GroupGrace,
}

/// The same for groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupGrace {
    pub deleted_in_source: u64,
    pub left_scope: u64,
}

/// Members that somebody else put into a managed group (rule D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnmanagedMembers {
    Keep,
    Remove,
}

/// The limits of rule D4; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    pub user_deletes: Option<Limit>,
    pub deactivations: Option<Limit>,
    pub group_deletes: Option<Limit>,
    pub removals_in_all: Option<Limit>,
    pub removals_per_group: Option<Limit>,
    pub clears_per_attribute: Option<Limit>,
    /// Users and groups together.
    pub adoptions: Option<Limit>,
    /// Created users, added members and reactivations together.
    pub grants: Option<Limit>,
    /// What all runs of a period may do together; `None`: each run is judged alone.
    pub window: Option<Window>,
}

/// The runs of the last `period` seconds may together do `percent` of what one run may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub period: u64,
    pub percent: u64,
}

/// allowed = max(floor, min(count, percent * base / 100)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub count: Option<u64>,
    pub percent: u64,
    pub floor: u64,
}

/// What a tripped limit does (rule D5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnTrip {
    Hold,
    Abort,
}
