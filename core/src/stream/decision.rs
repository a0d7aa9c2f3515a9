//! From scores to an alarm: warm-up, votes, hysteresis, hold-off. Pure; the detector calls it.

use crate::score::Score;
use crate::stream::Health;

/// Settings of the decision; the default alarms at every window that reaches the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Healthy windows at the start that are scored but not judged.
    pub warm_up: u32,
    /// Windows among the last [`of`](Self::of) that must reach the threshold.
    pub votes: u8,
    /// Windows that vote, 1 to 32.
    pub of: u8,
    /// In an alarm, windows count down to this score (never above the threshold).
    pub clear: Option<Score>,
    /// Windows after an alarm's end in which no new one is raised.
    pub hold_off: u32,
}

impl Default for Decision {
    fn default() -> Self {
        Self { warm_up: 0, votes: 1, of: 1, clear: None, hold_off: 0 }
    }
}

/// What a window's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// An alarm is raised.
    Alarm,
    /// An alarm ended a short while ago: none is raised yet.
    HoldOff,
    /// The window is learnt from, not judged.
    Learning,
    /// Nothing unusual.
    Normal,
    /// The sensor is not to be trusted; the window was not judged.
    Unhealthy(Health),
    /// Too early to judge.
    WarmUp,
}

/// A change of state worth a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// An alarm begins.
    Raised,
    /// The alarm ends.
    Cleared,
    /// What was to be learnt is.
    Learned,
    /// The sensor cannot be trusted from here on.
    Failed(Health),
    /// The sensor can be trusted again.
    Recovered,
}

impl Event {
    /// The stable name, as logs and the command line spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
            Self::Learned => "learned",
            Self::Recovered => "recovered",
            Self::Failed(Health::Stuck { .. }) => "stuck",
            Self::Failed(Health::Saturated { .. }) => "saturated",
            Self::Failed(Health::OutOfRange { .. }) => "out_of_range",
            Self::Failed(Health::Missing | Health::Good) => "missing",
        }
    }
}

/// The decision over a stream of windows: a few words, whatever its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judge {
    settings: Decision,
    /// One bit a voting window, the newest lowest.
    history: u32,
    judged: u32,
    active: bool,
    hold: u32,
    health: Health,
}

impl Judge {
    /// A judge that has seen nothing.
    pub fn new(settings: Decision) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Whether an alarm is raised.
    pub fn is_alarm(&self) -> bool {
        self.active
    }

    /// Whether an alarm has ended a short while ago.
    pub fn is_held_off(&self) -> bool {
        self.hold > 0
    }

    /// Takes the next window, which is not judged: [`State::Learning`], where it can be learnt from.
    pub fn learn(&mut self, health: Health) -> (State, Option<Event>) {
        self.admit(health).map_or_else(|early| early, |recovered| (State::Learning, recovered))
    }

    /// Forgets votes.
    #[cfg(feature = "recalibration")]
    pub(super) fn forget_votes(&mut self) {
        self.history = 0;
    }

    /// Sets where an alarm ends.
    #[cfg(feature = "recalibration")]
    pub(super) fn set_clear(&mut self, clear: Option<Score>) {
        self.settings.clear = clear;
    }

    /// Where an alarm ends.
    #[cfg(feature = "recalibration")]
    pub(super) fn clear(&self) -> Option<Score> {
        self.settings.clear
    }

    /// Everything but the settings and the sensor's health.
    #[cfg(feature = "recalibration")]
    pub(super) fn words(&self) -> [u32; 4] {
        [self.history, self.judged, self.active.into(), self.hold]
    }

    /// A judge as [`words`](Self::words) has it.
    #[cfg(feature = "recalibration")]
    pub(super) fn of_words(settings: Decision, [history, judged, active, hold]: [u32; 4]) -> Self {
        Self { settings, history, judged, active: active != 0, hold, health: Health::Good }
    }

    /// The sensor's health and the warm-up: a recovery, or what the window already means.
    fn admit(&mut self, health: Health) -> Result<Option<Event>, (State, Option<Event>)> {
        let before = core::mem::replace(&mut self.health, health);
        if health != Health::Good {
            let event = (before == Health::Good).then_some(Event::Failed(health));
            return Err((State::Unhealthy(health), event));
        }
        let recovered = (before != Health::Good).then_some(Event::Recovered);
        if self.judged < self.settings.warm_up {
            self.judged += 1;
            return Err((State::WarmUp, recovered));
        }
        Ok(recovered)
    }

    /// Takes the next window's score. Without a threshold nothing alarms. A window
    /// that is not healthy changes neither votes nor alarm.
    pub fn judge(
        &mut self,
        score: Score,
        threshold: Option<Score>,
        health: Health,
    ) -> (State, Option<Event>) {
        // An alarm's event is worth more than the recovery, which its state implies.
        let recovered = match self.admit(health) {
            Ok(recovered) => recovered,
            Err(early) => return early,
        };
        let limit = match (threshold, self.settings.clear) {
            (Some(threshold), Some(clear)) if self.active => Some(clear.min(threshold)),
            (threshold, _) => threshold,
        };
        let hit = limit.is_some_and(|limit| score >= limit);
        let mask = u32::MAX >> (32 - u32::from(self.settings.of.clamp(1, 32)));
        self.history = ((self.history << 1) | u32::from(hit)) & mask;
        let carried = self.history.count_ones() >= u32::from(self.settings.votes);
        if self.active {
            if carried {
                return (State::Alarm, recovered);
            }
            self.active = false;
            self.history = 0;
            self.hold = self.settings.hold_off;
            let state = if self.hold > 0 { State::HoldOff } else { State::Normal };
            return (state, Some(Event::Cleared));
        }
        if self.hold > 0 {
            self.hold -= 1;
            return (State::HoldOff, recovered);
        }
        if carried {
            self.active = true;
            return (State::Alarm, Some(Event::Raised));
        }
        (State::Normal, recovered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    /// States and events of scores, `-1` for a window that is not healthy; threshold 10.
    fn run(settings: Decision, scores: &[i64]) -> (std::string::String, Vec<(usize, Event)>) {
        let mut judge = Judge::new(settings);
        let mut events = Vec::new();
        let letter = |(at, &score): (usize, &i64)| {
            let health = if score < 0 { Health::Stuck { channel: 1 } } else { Health::Good };
            let (state, event) = judge.judge(Score(score), Some(Score(10)), health);
            events.extend(event.map(|event| (at, event)));
            assert!(judge.is_alarm() || state != State::Alarm);
            match state {
                State::Alarm => 'A',
                State::HoldOff => 'h',
                State::Learning => 'l',
                State::Normal => '.',
                State::Unhealthy(_) => 'x',
                State::WarmUp => 'w',
            }
        };
        let states = scores.iter().enumerate().map(letter).collect();
        (states, events)
    }

    #[test]
    fn the_default_alarms_window_by_window() {
        let (states, events) = run(Decision::default(), &[9, 10, 11, 9, 10]);
        assert_eq!(states, ".AA.A");
        assert_eq!(events, [(1, Event::Raised), (3, Event::Cleared), (4, Event::Raised)]);
    }

    #[test]
    fn votes_warm_up_hysteresis_and_hold_off() {
        let settings = Decision { warm_up: 2, votes: 2, of: 3, clear: Some(Score(5)), hold_off: 3 };
        let scores = [99, 99, 99, 0, 12, 6, 6, 4, 4, 99, 99, 99, 99, 0];
        //            w   w   .  .  A  A  A  A  h  h   h   h   A
        let (states, events) = run(settings, &scores);
        assert_eq!(states, "ww..AAAAhhhhAA");
        assert_eq!(events, [(4, Event::Raised), (8, Event::Cleared), (12, Event::Raised)]);
    }

    #[test]
    fn a_sick_sensor_is_no_anomaly_and_ends_none() {
        let sick = Health::Stuck { channel: 1 };
        let (states, events) = run(Decision::default(), &[0, -1, -1, 0, 12, -1, 12, 0]);
        assert_eq!(states, ".xx.AxA.");
        let expected = [
            (1, Event::Failed(sick)),
            (3, Event::Recovered),
            (4, Event::Raised),
            (5, Event::Failed(sick)),
            (6, Event::Recovered),
            (7, Event::Cleared),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn without_a_threshold_nothing_alarms() {
        let mut judge = Judge::new(Decision::default());
        let (state, event) = judge.judge(Score(i64::MAX), None, Health::Good);
        assert_eq!((state, event), (State::Normal, None));
    }
}
