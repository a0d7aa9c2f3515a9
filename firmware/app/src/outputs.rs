//! What the app acts on: a pin that shows the alarm, a watchdog.

use embedded_hal::digital::{OutputPin, PinState};

/// A pin that shows whether an alarm is raised: from the event `raised` to `cleared`.
#[derive(Debug)]
pub struct Alarm<P> {
    pin: P,
    on: PinState,
}

impl<P: OutputPin> Alarm<P> {
    /// High while there is an alarm.
    pub const fn active_high(pin: P) -> Self {
        Self { pin, on: PinState::High }
    }

    /// Low while there is an alarm.
    pub const fn active_low(pin: P) -> Self {
        Self { pin, on: PinState::Low }
    }

    /// Sets the pin.
    pub fn set(&mut self, alarm: bool) {
        let state = if alarm { self.on } else { !self.on };
        if self.pin.set_state(state).is_err() {
            defmt::error!("the alarm's pin cannot be set");
        }
    }
}

/// Resets the board where the app stops making progress.
///
/// Fed behind every batch that was judged. A sampling task that hangs sends no batch, a
/// scoring task that hangs takes none: neither feeds. A sensor's fault is a batch too, an empty one. The longest pause
/// before a sensor is started again (`Policy::longest_ms`, 5 s) must be shorter than the watchdog's time.
pub trait Watchdog {
    /// Starts its time anew.
    fn feed(&mut self);
}

/// No watchdog.
impl Watchdog for () {
    fn feed(&mut self) {}
}
