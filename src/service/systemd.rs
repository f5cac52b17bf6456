//! Notifies the service manager with `sd_notify(3)`; does nothing without `NOTIFY_SOCKET`.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::facts::{self, Fact};

/// Reports that npyd is ready, with a status text.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that npyd is reloading its configuration.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Reports that npyd is stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How long the service manager may wait for the next report of the start.
const START_TIME: Duration = Duration::from_mins(30);

/// Reports that the start takes longer, with a status text.
pub fn starting(status: &str) {
    let usec = u32::try_from(START_TIME.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(usec), NotifyState::Status(status)]);
}

/// Sets the status text that `systemctl status` shows.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Resets the service manager's watchdog timer.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Returns the interval between calls of [`alive`], if the service manager has a watchdog: half the
/// time that it allows.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        facts::note(Fact::ServiceManagerUnreached { error: error.to_string() });
    }
}
