//! How much may be taken away (rules D4, D5).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::Period;

/// How much one kind of change may take away in a run: allowed = max(floor, min(count, ⌊percent × base / 100⌋)) (rule D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// At most so many, whatever the percentage says; none: only the percentage counts.
    #[serde(default)]
    pub count: Option<u64>,
    /// Percent of the base.
    pub percent: u64,
    /// So many are always allowed.
    #[serde(default)]
    pub floor: u64,
}

impl Limit {
    /// A limit.
    pub const fn new(count: Option<u64>, percent: u64, floor: u64) -> Self {
        Self { count, percent, floor }
    }

    /// How many are allowed of this base.
    pub fn allowed(&self, base: u64) -> u64 {
        let share = (u128::from(self.percent) * u128::from(base) / 100).min(u128::from(u64::MAX)) as u64;
        self.floor.max(self.count.map_or(share, |count| count.min(share)))
    }
}

/// A limit over several runs (rule D4): many small steps are one large one. What was approved does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// How far back operations count.
    pub period: Period,
    /// How much all of them may be, in percent of what one run is allowed; of a base to which what was taken away in the
    /// window still belongs.
    pub percent: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { period: Period::of_hours(24), percent: 150 }
    }
}

impl Window {
    /// How many all runs of the window together may do, of this base.
    pub fn allowed(&self, limit: Limit, base: u64) -> u64 {
        let share = u128::from(limit.allowed(base)) * u128::from(self.percent) / 100;
        share.min(u128::from(u64::MAX)) as u64
    }
}

/// What a tripped limit does (rule D5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTrip {
    /// The operations of its kind are held, with what depends on them; the rest runs.
    #[default]
    Hold,
    /// Nothing runs.
    Abort,
}

/// The limits of rule D4; `None` switches one off. Defaults: the smaller of 500 and 20 % for deletes and
/// deactivations (floor 5), 20 % of all memberships, 50 % of one group's, 20 % cleared values (floor 10 each).
///
/// In a file a limit is an object, or `false` to switch it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Guards {
    /// Deleted users, of all managed users.
    #[serde(deserialize_with = "or_off")]
    pub user_deletes: Option<Limit>,
    /// Users made inactive, of all active managed users.
    #[serde(deserialize_with = "or_off")]
    pub deactivations: Option<Limit>,
    /// Deleted groups, of all managed groups.
    #[serde(deserialize_with = "or_off")]
    pub group_deletes: Option<Limit>,
    /// Removed members in all, of all managed memberships.
    #[serde(deserialize_with = "or_off")]
    pub removals_in_all: Option<Limit>,
    /// Members removed from one group, of its managed members.
    #[serde(deserialize_with = "or_off")]
    pub removals_per_group: Option<Limit>,
    /// Records that lose their value of one attribute, of all managed records that have one.
    #[serde(deserialize_with = "or_off")]
    pub clears_per_attribute: Option<Limit>,
    /// Adopted records, users and groups together, of all managed records (rule M3). Default: 10.
    #[serde(deserialize_with = "or_off")]
    pub adoptions: Option<Limit>,
    /// Growth: created users, added members and reactivations together, of managed users and memberships. Off by default.
    #[serde(deserialize_with = "or_off")]
    pub grants: Option<Limit>,
    /// What several runs together may take away, where the host keeps the [`RunState`](crate::RunState). Default: in 24 hours
    /// one and a half times of what one run may.
    #[serde(deserialize_with = "or_off")]
    pub window: Option<Window>,
    /// What a tripped limit does.
    pub on_trip: OnTrip,
}

/// `false`, or nothing at all, is "off".
fn or_off<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a limit, or false")]
    enum Written<T> {
        Set(T),
        Switch(bool),
        Nothing,
    }
    match Written::deserialize(deserializer)? {
        Written::Set(limit) => Ok(Some(limit)),
        Written::Switch(false) | Written::Nothing => Ok(None),
        Written::Switch(true) => Err(D::Error::custom("a limit, or false")),
    }
}

impl Default for Guards {
    fn default() -> Self {
        let objects = Some(Limit::new(Some(500), 20, 5));
        Self {
            user_deletes: objects,
            deactivations: objects,
            group_deletes: objects,
            removals_in_all: Some(Limit::new(None, 20, 10)),
            removals_per_group: Some(Limit::new(None, 50, 10)),
            clears_per_attribute: Some(Limit::new(None, 20, 10)),
            adoptions: Some(Limit::new(Some(10), 0, 10)),
            grants: None,
            window: Some(Window::default()),
            on_trip: OnTrip::Hold,
        }
    }
}

impl Guards {
    /// No limit at all: for tests, and for hosts that judge the plan themselves.
    pub fn off() -> Self {
        Self {
            user_deletes: None,
            deactivations: None,
            group_deletes: None,
            removals_in_all: None,
            removals_per_group: None,
            clears_per_attribute: None,
            adoptions: None,
            grants: None,
            window: None,
            on_trip: OnTrip::Hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_allows_the_larger_of_floor_and_the_smaller_of_count_and_share() {
        // rule D4
        let limit = Limit::new(Some(500), 20, 5);
        assert_eq!([0, 25, 29, 30, 1_000, 10_000].map(|base| limit.allowed(base)), [5, 5, 5, 6, 200, 500]);
        assert_eq!(Limit::new(None, 100, 0).allowed(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_limits_that_are_on_by_default() {
        // rule D4
        let (objects, values) = (Some(Limit::new(Some(500), 20, 5)), Some(Limit::new(None, 20, 10)));
        let guards = Guards::default();
        assert_eq!([guards.user_deletes, guards.deactivations, guards.group_deletes], [objects; 3]);
        assert_eq!([guards.removals_in_all, guards.clears_per_attribute], [values; 2]);
        assert_eq!(guards.removals_per_group, Some(Limit::new(None, 50, 10)));
        assert_eq!((guards.adoptions, guards.grants), (Some(Limit::new(Some(10), 0, 10)), None));
        let day = Window { period: crate::Period::of_hours(24), percent: 150 };
        assert_eq!((guards.window, guards.on_trip), (Some(day), OnTrip::Hold));
    }

    #[test]
    fn a_limit_is_switched_off_in_a_file_by_false() {
        // rule D4
        let guards: Guards = toml::from_str("user_deletes = false\nwindow = false\n").unwrap();
        assert_eq!((guards.user_deletes, guards.window), (None, None));
        assert_eq!(guards.group_deletes, Guards::default().group_deletes);
        let off = serde_json::to_string(&Guards::off()).unwrap();
        assert_eq!(serde_json::from_str::<Guards>(&off).unwrap(), Guards::off());
        assert!(toml::from_str::<Guards>("user_deletes = true").is_err());
    }

    #[test]
    fn a_window_allows_its_share_of_what_one_run_may() {
        // rule D4
        let limit = Limit::new(Some(500), 20, 5);
        assert_eq!([0, 1_000, 10_000].map(|base| Window::default().allowed(limit, base)), [7, 300, 750]);
    }
}
