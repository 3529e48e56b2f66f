//! The time that counts for periods and windows: it never goes back, and stands while runs are paused.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Clock {
    /// The latest moment that any run told; none before the first.
    latest: Option<Timestamp>,
    /// From here to the latest moment every second has counted; what lies before may hold a pause.
    counted_from: Option<Timestamp>,
    /// Seconds that have counted so far.
    age: u64,
    paused: bool,
}

impl Clock {
    /// Moves on to `now`. A `now` before the latest one changes nothing: a period is never shorter than the time that has
    /// really passed, as far as anybody can tell.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let latest = self.latest.unwrap_or(now);
        if !self.paused {
            self.age = self.age.saturating_add(now.since(latest));
            self.latest = Some(latest.max(now));
            self.counted_from = self.counted_from.or(Some(latest));
        }
    }

    pub(super) fn pause(&mut self, now: Timestamp) {
        self.advance(now);
        self.paused = true;
    }

    pub(super) fn resume(&mut self, now: Timestamp) {
        if self.paused {
            self.paused = false;
            if self.latest < Some(now) {
                self.latest = Some(now);
                self.counted_from = Some(now);
            }
        }
    }

    /// Takes `now` for the latest moment. What was counted beyond it has not really passed, and counts no more.
    pub(super) fn set(&mut self, now: Timestamp) {
        if let Some(latest) = self.ahead_of(now) {
            let counted = self.counted_from.map_or(0, |from| latest.since(from.max(now)));
            self.age = self.age.saturating_sub(counted);
            self.counted_from = self.counted_from.map(|from| from.min(now));
        }
        self.latest = Some(now);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn age(&self) -> u64 {
        self.age
    }

    /// The latest moment told, where `now` lies before it.
    pub(super) fn ahead_of(&self, now: Timestamp) -> Option<Timestamp> {
        self.latest.filter(|&latest| latest > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(moments: &[i64]) -> u64 {
        let mut clock = Clock::default();
        moments.iter().for_each(|&now| clock.advance(Timestamp(now)));
        clock.age()
    }

    #[test]
    fn a_clock_that_goes_back_and_forth_counts_no_second_twice() {
        // rule D7
        assert_eq!(age(&[100, 150, 120, 160]), 60);
        assert_eq!(age(&[100, 0, 101]), 1);
        assert_eq!(age(&[i64::MIN, i64::MAX, i64::MIN, i64::MAX]), u64::MAX);
    }

    #[test]
    fn a_clock_that_ran_ahead_can_be_put_right() {
        // rule D7
        let mut clock = Clock::default();
        clock.advance(Timestamp(0));
        clock.advance(Timestamp(1_000_000));
        clock.set(Timestamp(10));
        clock.advance(Timestamp(15));
        assert_eq!((clock.age(), clock.ahead_of(Timestamp(15))), (15, None));
        // Too early a moment counts no second twice.
        clock.set(Timestamp(5));
        clock.advance(Timestamp(20));
        assert_eq!(clock.age(), 20);
    }

    #[test]
    fn a_leap_that_fell_into_a_pause_was_not_counted_and_is_not_taken_back() {
        // rules D7, I3
        let mut clock = Clock::default();
        clock.advance(Timestamp(0));
        clock.pause(Timestamp(100));
        clock.resume(Timestamp(1_000_000));
        clock.set(Timestamp(200));
        assert_eq!(clock.age(), 100);
        clock.advance(Timestamp(210));
        assert_eq!(clock.age(), 110);
    }

    #[test]
    fn a_leap_before_a_pause_is_taken_back_after_it() {
        // rules D7, I3
        let mut clock = Clock::default();
        clock.advance(Timestamp(0));
        clock.advance(Timestamp(1_000_000));
        clock.pause(Timestamp(100));
        clock.resume(Timestamp(200));
        clock.set(Timestamp(200));
        assert_eq!(clock.age(), 200);
    }

    #[test]
    fn a_leap_is_taken_back_also_where_a_pause_ended_at_the_very_moment_it_led_to() {
        // rules D7, I3
        let mut clock = Clock::default();
        clock.advance(Timestamp(0));
        clock.advance(Timestamp(1_000_000));
        clock.pause(Timestamp(100));
        clock.resume(Timestamp(1_000_000));
        clock.set(Timestamp(200));
        assert_eq!(clock.age(), 200);
    }

    #[test]
    fn what_counts_after_a_clock_was_put_right_can_be_taken_back_in_its_turn() {
        // rules D7, I3
        let mut clock = Clock::default();
        clock.advance(Timestamp(0));
        clock.pause(Timestamp(100));
        clock.resume(Timestamp(1_000_000));
        clock.set(Timestamp(200));
        clock.advance(Timestamp(300));
        assert_eq!(clock.age(), 200);
        clock.set(Timestamp(250));
        assert_eq!(clock.age(), 150);
    }

    #[test]
    fn a_pause_counts_for_nothing() {
        // rule I3
        let mut clock = Clock::default();
        clock.advance(Timestamp(0));
        clock.pause(Timestamp(10));
        clock.pause(Timestamp(20));
        clock.advance(Timestamp(500));
        clock.resume(Timestamp(1_000));
        clock.resume(Timestamp(2_000));
        clock.advance(Timestamp(1_005));
        assert_eq!(clock.age(), 15);
    }
}
