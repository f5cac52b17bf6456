//! A sink: something that shows or forwards events.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::events::event::Event;

/// Says for which events a sink has a use; others do not get into its queue.
pub type Filter = Box<dyn Fn(&Event) -> bool + Send + Sync>;

/// Something that shows or forwards events.
pub trait Sink: Send {
    /// Returns the filter, which runs in the threads that publish.
    fn filter(&self) -> Filter;

    /// Returns what the bus does with an event while the queue is full.
    fn when_full(&self) -> WhenFull;

    /// Takes one event. Runs in the sink's own thread, as all that follow do.
    fn accept(&mut self, event: &Event);

    /// Gets the configuration: at the start, if there is one, and after each reload.
    fn configure(&mut self, _config: &Config) {}

    /// Returns when [`Sink::tick`] is to be called. The bus asks after each call of another method.
    fn next_tick(&self) -> Option<Instant> {
        None
    }

    /// Does what is due by itself, such as a line that gathers several events.
    fn tick(&mut self, _now: Instant) {}

    /// Does what is left to do, because no further event will come.
    fn finish(&mut self) {}

    /// Learns how many events were dropped so far because the queue was full.
    fn report_dropped(&mut self, _total: u64) {}

    /// Forgets the states of drops, because changes of them may be among the events that were
    /// dropped. Returns whether the sink has a use for states: then [`Event::States`] follows for
    /// each drop directory. Called once the sink has taken all events from before the loss.
    fn forget_states(&mut self) -> bool {
        false
    }
}

/// What happens to an event whose sink's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The publisher waits: what a command prints must be complete.
    Wait,
    /// The publisher waits once, for this time. Then the bus drops and counts events until the
    /// queue has room again.
    DropAfter(Duration),
}
