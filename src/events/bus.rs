//! The bus: hands each event to every sink. A sink runs in a thread of its own, behind a bounded
//! queue, so that a slow one neither delays the others nor grows in memory.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError, bounded};

use crate::events::event::Event;
use crate::facts;
use crate::text::os_message::thread_error;

/// Maximum number of events that wait for one sink.
const QUEUE_LENGTH: usize = 4096;

/// Says for which events a sink has a use; others do not get into its queue.
pub type Filter = Box<dyn Fn(&Event) -> bool + Send + Sync>;

/// Something that shows or forwards events.
pub trait Sink: Send {
    /// Returns the filter, which runs in the threads that publish.
    fn filter(&self) -> Filter;

    /// What happens to an event while the queue is full.
    fn when_full(&self) -> WhenFull;

    /// Takes one event. Runs in the sink's own thread.
    fn accept(&mut self, event: &Event);

    /// Learns how many events were dropped so far because the queue was full.
    fn report_dropped(&mut self, _total: u64) {}
}

/// What happens to an event whose sink's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The publisher waits: what a command prints must be complete.
    Wait,
    /// The publisher waits for this time once; then events are dropped and counted until the queue
    /// has room again.
    DropAfter(Duration),
}

/// The sinks of a process.
#[derive(Default)]
pub struct Bus {
    lanes: Vec<Lane>,
}

/// What a sink's thread receives.
enum Message {
    Event(Arc<Event>),
    /// Answered, by dropping the sender, once all earlier events were taken.
    Flush(Sender<()>),
}

/// The queue of one sink.
struct Lane {
    queue: Sender<Message>,
    wants: Filter,
    when_full: WhenFull,
    /// Whether the queue was full for longer than the publisher waits.
    is_stalled: AtomicBool,
    dropped: Arc<AtomicU64>,
}

impl Bus {
    /// Starts one thread for each sink. The threads end with the bus.
    ///
    /// # Errors
    ///
    /// Returns an error if a thread can't be started.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> io::Result<Self> {
        let start = |sink| Lane::start(sink, QUEUE_LENGTH);
        Ok(Bus { lanes: sinks.into_iter().map(start).collect::<io::Result<_>>()? })
    }

    /// Publishes all facts of this process as long as the bus exists.
    pub fn observe_facts(self: &Arc<Self>) {
        let bus = Arc::downgrade(self);
        facts::observe(move |fact| {
            if let Some(bus) = bus.upgrade() {
                bus.publish(Event::Fact(fact));
            }
        });
    }

    /// Hands an event to every sink that wants it.
    pub fn publish(&self, event: Event) {
        let event = Arc::new(event);
        for lane in self.lanes.iter().filter(|lane| (lane.wants)(&event)) {
            lane.send(Arc::clone(&event));
        }
    }

    /// Waits until every sink has taken what was published before, at most until `deadline`: a
    /// sink may hang.
    pub fn flush(&self, deadline: Option<Instant>) {
        for lane in &self.lanes {
            let (done, is_done) = bounded::<()>(0);
            let flush = Message::Flush(done);
            // Both fail once the sink has taken all, or at the deadline.
            match deadline {
                None => {
                    let _ = lane.queue.send(flush);
                    let _ = is_done.recv();
                }
                Some(deadline) => {
                    let _ = lane.queue.send_deadline(flush, deadline);
                    let _ = is_done.recv_deadline(deadline);
                }
            }
        }
    }
}

impl Lane {
    fn start(mut sink: Box<dyn Sink>, length: usize) -> io::Result<Self> {
        let (queue, messages) = bounded::<Message>(length);
        let (wants, when_full) = (sink.filter(), sink.when_full());
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let run = move || {
            let mut reported = 0;
            for message in messages {
                let total = count.load(Ordering::Relaxed);
                if total != reported {
                    reported = total;
                    sink.report_dropped(total);
                }
                match message {
                    // A panic is printed; the sink goes on with the next event.
                    Message::Event(event) => {
                        let _ = catch_unwind(AssertUnwindSafe(|| sink.accept(&event)));
                    }
                    Message::Flush(done) => drop(done),
                }
            }
        };
        thread::Builder::new().spawn(run).map_err(|error| thread_error(&error))?;
        Ok(Lane { queue, wants, when_full, is_stalled: AtomicBool::new(false), dropped })
    }

    fn send(&self, event: Arc<Event>) {
        let message = Message::Event(event);
        let patience = match self.when_full {
            WhenFull::Wait => {
                let _ = self.queue.send(message); // its thread receives as long as the bus exists
                return;
            }
            WhenFull::DropAfter(_) if self.is_stalled.load(Ordering::Relaxed) => Duration::ZERO,
            WhenFull::DropAfter(patience) => patience,
        };
        let is_full = match self.queue.try_send(message) {
            Err(TrySendError::Full(message)) => matches!(
                self.queue.send_timeout(message, patience),
                Err(SendTimeoutError::Timeout(_))
            ),
            Ok(()) | Err(TrySendError::Disconnected(_)) => false,
        };
        if is_full {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.is_stalled.store(is_full, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crossbeam_channel::{Receiver, unbounded};

    use super::*;

    #[derive(Default)]
    struct Seen {
        events: Vec<String>,
        dropped: u64,
    }

    /// Keeps what it gets. With a gate, it waits there before each event.
    struct Recorder {
        when_full: WhenFull,
        seen: Arc<Mutex<Seen>>,
        gate: Option<Receiver<()>>,
    }

    impl Sink for Recorder {
        fn filter(&self) -> Filter {
            Box::new(|event| matches!(event, Event::Problem(_)))
        }

        fn when_full(&self) -> WhenFull {
            self.when_full
        }

        fn accept(&mut self, event: &Event) {
            if let Some(gate) = &self.gate {
                let _ = gate.recv(); // it fails once the gate is open for good
            }
            let Event::Problem(text) = event else { panic!("{event:?}") };
            assert_ne!(text, "bug");
            self.seen.lock().unwrap().events.push(text.clone());
        }

        fn report_dropped(&mut self, total: u64) {
            self.seen.lock().unwrap().dropped = total;
        }
    }

    fn lane(when_full: WhenFull, gate: Option<Receiver<()>>) -> (Lane, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Recorder { when_full, seen: Arc::clone(&seen), gate };
        (Lane::start(Box::new(sink), 2).unwrap(), seen)
    }

    fn numbered(number: u64) -> Event {
        Event::Problem(number.to_string())
    }

    fn first_hundred() -> Vec<String> {
        (0..100).map(|number: u64| number.to_string()).collect()
    }

    #[test]
    fn a_hung_sink_drops_and_counts_and_delays_no_other() {
        let (open, gate) = unbounded();
        let (hung, hung_seen) = lane(WhenFull::DropAfter(Duration::from_millis(1)), Some(gate));
        let (other, other_seen) = lane(WhenFull::Wait, None);
        let bus = Bus { lanes: vec![hung, other] };
        (0..100).for_each(|number| bus.publish(numbered(number)));
        bus.flush(Some(Instant::now() + Duration::from_millis(10)));
        drop(open);
        bus.flush(None);
        let hung = hung_seen.lock().unwrap();
        assert!((2..=3).contains(&hung.events.len()), "{:?}", hung.events);
        assert_eq!(hung.events.len() as u64 + hung.dropped, 100);
        assert_eq!(other_seen.lock().unwrap().events, first_hundred());
    }

    #[test]
    fn a_sink_that_makes_its_publisher_wait_loses_nothing() {
        let (open, gate) = unbounded();
        let (slow, seen) = lane(WhenFull::Wait, Some(gate));
        let bus = Bus { lanes: vec![slow] };
        thread::scope(|scope| {
            scope.spawn(|| (0..100).for_each(|number| bus.publish(numbered(number))));
            (0..100).for_each(|_| open.send(()).unwrap());
        });
        bus.flush(None);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.events, first_hundred());
        assert_eq!(seen.dropped, 0);
    }

    #[test]
    fn a_sink_gets_only_what_it_wants_and_survives_its_bugs() {
        let (lane, seen) = lane(WhenFull::Wait, None);
        let bus = Bus { lanes: vec![lane] };
        bus.publish(Event::Overflowed { drop_dir: "/in".into() });
        bus.publish(Event::Problem("bug".to_owned()));
        bus.publish(numbered(1));
        bus.flush(None);
        assert_eq!(seen.lock().unwrap().events, ["1"]);
    }
}
