//! The times after which something that lasts is reported again.

use std::time::Duration;

use crate::events::drop_state::WaitAge;

/// The ages at which a wait or a failure is reported again.
const AGES: [(Duration, WaitAge); 3] = [
    (Duration::from_mins(10), WaitAge::TenMinutes),
    (Duration::from_hours(1), WaitAge::Hour),
    (Duration::from_hours(24), WaitAge::Day),
];

/// Returns the greatest of the ages that a wait has reached.
pub(crate) fn age_reached(lasted: Duration) -> Option<WaitAge> {
    AGES.iter().rev().find(|(age, _)| lasted >= *age).map(|(_, age)| *age)
}

/// Returns after which time the reminder number `number` is due: after the ages, and then once a
/// day.
pub(crate) fn reminder(number: usize) -> Duration {
    let days = number.saturating_sub(AGES.len() - 1) as u32;
    AGES.get(number).map_or(Duration::from_hours(24) * (days + 1), |(age, _)| *age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, reached) in [
            (0, None),
            (599, None),
            (600, Some(WaitAge::TenMinutes)),
            (3599, Some(WaitAge::TenMinutes)),
            (3600, Some(WaitAge::Hour)),
            (24 * 3600 - 1, Some(WaitAge::Hour)),
            (24 * 3600, Some(WaitAge::Day)),
            (1000 * 3600, Some(WaitAge::Day)),
        ] {
            assert_eq!(age_reached(Duration::from_secs(seconds)), reached, "{seconds}");
        }
    }

    #[test]
    fn reminders() {
        let hours = [0, 1, 24, 48, 72].map(Duration::from_hours);
        assert_eq!(reminder(0), Duration::from_mins(10));
        assert_eq!([1, 2, 3, 4].map(reminder), hours[1..]);
    }
}
