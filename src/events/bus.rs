//! The bus: hands each event to every sink. A sink runs in a thread of its own, behind a bounded
//! queue, so that a slow one neither delays the others nor grows in memory.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, at, bounded, never, select,
};

use crate::config::Config;
use crate::events::event::Event;
use crate::events::sink::{Filter, Sink, WhenFull};
use crate::facts;
use crate::text::os_message::thread_error;

/// Maximum number of events that wait for one sink.
const QUEUE_LENGTH: usize = 4096;

/// Shortest time between two ticks of a sink.
const TICK_MIN: Duration = Duration::from_millis(50);

/// The sinks of a process.
#[derive(Default)]
pub struct Bus {
    lanes: Vec<Lane>,
    state_requests: Arc<AtomicU64>,
}

/// A message to the thread of a sink.
enum Message {
    Event(Arc<Event>),
    /// There is a new configuration.
    Configure,
    /// Answered, by dropping the sender, once all earlier events were taken.
    Flush(Sender<()>),
    /// Ends the sink, which drops the sender once it has finished.
    Stop(Sender<()>),
}

/// What a lane shares with the thread of its sink.
#[derive(Default)]
struct Shared {
    dropped: AtomicU64,
    /// The configuration that the sink has not received yet. The bus does not send it as a message,
    /// because the queue of a sink that hangs has no room, and the daemon must not wait.
    config: Mutex<Option<Arc<Config>>>,
    /// How often a sink has asked for the states of all drops.
    state_requests: Arc<AtomicU64>,
}

/// The queue of one sink.
struct Lane {
    queue: Sender<Message>,
    wants: Filter,
    when_full: WhenFull,
    /// Whether the queue was full for longer than the publisher waits.
    is_stalled: AtomicBool,
    shared: Arc<Shared>,
    /// Disconnected once the thread has ended.
    has_ended: Receiver<()>,
}

impl Bus {
    /// Starts one thread for each sink. The threads end with the bus.
    ///
    /// # Errors
    ///
    /// Returns an error if a thread can't be started.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> io::Result<Self> {
        Self::with_queues(sinks, QUEUE_LENGTH)
    }

    fn with_queues(sinks: Vec<Box<dyn Sink>>, length: usize) -> io::Result<Self> {
        let state_requests = Arc::default();
        let start = |sink| Lane::start(sink, length, &state_requests);
        let lanes = sinks.into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Bus { lanes, state_requests })
    }

    /// Asks for the states of all drops, as the thread of a sink does.
    #[cfg(test)]
    pub(crate) fn request_states(&self) {
        self.state_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often sinks have asked for the states of all drops, because they lost events. A
    /// tracker publishes [`Event::States`] when the number changes.
    #[must_use]
    pub fn state_requests(&self) -> u64 {
        self.state_requests.load(Ordering::Relaxed)
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
        self.lanes.iter().for_each(|lane| lane.ask(Message::Flush, deadline));
    }

    /// Ends all sinks, once each has taken what was published before; waits at most until
    /// `deadline`. Later events are lost.
    pub fn stop(&self, deadline: Option<Instant>) {
        self.lanes.iter().for_each(|lane| lane.ask(Message::Stop, deadline));
    }

    /// Gives each sink a configuration. Does not block.
    pub fn configure(&self, config: &Arc<Config>) {
        for lane in &self.lanes {
            *lock(&lane.shared.config) = Some(Arc::clone(config));
            // A full queue wakes the sink as well.
            let _ = lane.queue.try_send(Message::Configure);
        }
    }
}

impl Lane {
    fn start(
        sink: Box<dyn Sink>,
        length: usize,
        state_requests: &Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (queue, messages) = bounded::<Message>(length);
        let (wants, when_full) = (sink.filter(), sink.when_full());
        let state_requests = Arc::clone(state_requests);
        let shared = Arc::new(Shared { state_requests, ..Shared::default() });
        let of_thread = Arc::clone(&shared);
        let (end, has_ended) = bounded::<()>(0);
        let run = move || {
            let _end = end; // dropped last
            run(sink, messages, &of_thread);
        };
        thread::Builder::new().spawn(run).map_err(thread_error)?;
        let is_stalled = AtomicBool::new(false);
        Ok(Lane { queue, wants, when_full, is_stalled, shared, has_ended })
    }

    /// Sends a message, and waits until it is answered, at most until `deadline`.
    fn ask(&self, message: impl FnOnce(Sender<()>) -> Message, deadline: Option<Instant>) {
        let (done, is_done) = bounded::<()>(0);
        let message = message(done);
        // Fails once the sink was stopped, or at the deadline.
        let is_sent = match deadline {
            None => self.queue.send(message).is_ok(),
            Some(deadline) => self.queue.send_deadline(message, deadline).is_ok(),
        };
        if is_sent {
            // A sink that was stopped meanwhile answers nothing.
            select! {
                recv(is_done) -> _ => {}
                recv(self.has_ended) -> _ => {}
                recv(deadline.map_or_else(never, at)) -> _ => {}
            }
        }
    }

    fn send(&self, event: Arc<Event>) {
        let message = Message::Event(event);
        let patience = match self.when_full {
            WhenFull::Wait => {
                let _ = self.queue.send(message); // fails only after the sink was stopped
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
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.is_stalled.store(is_full, Ordering::Relaxed);
    }
}

/// The thread of a sink.
fn run(mut sink: Box<dyn Sink>, messages: Receiver<Message>, shared: &Shared) {
    let (mut reported, mut forgotten, mut not_before) = (0, 0, Instant::now());
    // A panic is printed; the sink goes on.
    let guarded = |work: &mut dyn FnMut()| drop(catch_unwind(AssertUnwindSafe(work)));
    let done = loop {
        let message = match sink.next_tick() {
            Some(at) => messages.recv_deadline(at.max(not_before)),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if let Some(config) = lock(&shared.config).take() {
            guarded(&mut || sink.configure(&config));
        }
        let total = shared.dropped.load(Ordering::Relaxed);
        if total != reported {
            reported = total;
            guarded(&mut || sink.report_dropped(total));
        }
        match message {
            Ok(Message::Event(event)) => guarded(&mut || sink.accept(&event)),
            Ok(Message::Configure) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Flush(done)) => drop(done),
            Ok(Message::Stop(done)) => break Some(done),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
        // The states that follow from here on are newer than the dropped events.
        if forgotten != reported && messages.is_empty() {
            forgotten = reported;
            guarded(&mut || {
                if sink.forget_states() {
                    shared.state_requests.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let now = Instant::now();
        if now >= not_before && sink.next_tick().is_some_and(|at| at <= now) {
            not_before = now + TICK_MIN;
            guarded(&mut || sink.tick(now));
        }
    };
    guarded(&mut || sink.finish());
    drop((messages, done));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crossbeam_channel::{Receiver, unbounded};

    use super::*;
    use crate::events::problem::Problem;

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
            let Event::Problem(Problem::Dir { error }) = event else { panic!("{event:?}") };
            self.seen.lock().unwrap().events.push(error.clone());
        }

        fn report_dropped(&mut self, total: u64) {
            self.seen.lock().unwrap().dropped = total;
        }
    }

    fn lane(when_full: WhenFull, gate: Option<Receiver<()>>) -> (Lane, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Recorder { when_full, seen: Arc::clone(&seen), gate };
        (Lane::start(Box::new(sink), 2, &Arc::default()).unwrap(), seen)
    }

    fn numbered(number: u64) -> Event {
        Event::Problem(Problem::Dir { error: number.to_string() })
    }

    fn first_hundred() -> Vec<String> {
        (0..100).map(|number: u64| number.to_string()).collect()
    }

    #[test]
    fn a_hung_sink_drops_and_counts_and_delays_no_other() {
        let (open, gate) = unbounded();
        let (hung, hung_seen) = lane(WhenFull::DropAfter(Duration::from_millis(1)), Some(gate));
        let (other, other_seen) = lane(WhenFull::Wait, None);
        let bus = Bus { lanes: vec![hung, other], ..Bus::default() };
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
        let bus = Bus { lanes: vec![slow], ..Bus::default() };
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
        let bus = Bus { lanes: vec![lane], ..Bus::default() };
        bus.publish(Event::Overflowed { drop_dir: "/in".into() });
        bus.publish(Event::Problem(Problem::LedgerHangs));
        bus.publish(numbered(1));
        bus.flush(None);
        assert_eq!(seen.lock().unwrap().events, ["1"]);
    }

    /// Follows the states of drops. Waits at its gate before each event.
    struct Board {
        calls: Sender<&'static str>,
        gate: Receiver<()>,
    }

    impl Sink for Board {
        fn filter(&self) -> Filter {
            Box::new(|_| true)
        }

        fn when_full(&self) -> WhenFull {
            WhenFull::DropAfter(Duration::ZERO)
        }

        fn accept(&mut self, _event: &Event) {
            let _ = self.gate.recv();
            self.calls.send("event").unwrap();
        }

        fn forget_states(&mut self) -> bool {
            self.calls.send("forget").unwrap();
            true
        }
    }

    /// What was published before the loss has no effect after it.
    #[test]
    fn states_are_requested_once_the_queue_is_empty() {
        let (open, gate) = unbounded();
        let (calls, called) = unbounded();
        let bus = Bus::with_queues(vec![Box::new(Board { calls, gate })], 2).unwrap();
        (0..10).for_each(|number| bus.publish(numbered(number)));
        assert_eq!(bus.state_requests(), 0);
        drop(open);
        let calls: Vec<_> = called.iter().take_while(|call| *call == "event").collect();
        assert!((2..=3).contains(&calls.len()), "{calls:?}");
        bus.publish(numbered(10));
        bus.stop(None);
        assert_eq!(bus.state_requests(), 1);
        assert_eq!(called.iter().collect::<Vec<_>>(), ["event"]);
    }

    /// Records its calls; ticks once, immediately, after each event.
    struct Script {
        calls: Sender<String>,
        next: Option<Instant>,
    }

    impl Sink for Script {
        fn filter(&self) -> Filter {
            Box::new(|_| true)
        }

        fn when_full(&self) -> WhenFull {
            WhenFull::Wait
        }

        fn accept(&mut self, _event: &Event) {
            self.next = Some(Instant::now());
            self.calls.send("event".to_owned()).unwrap();
        }

        fn configure(&mut self, config: &Config) {
            self.calls.send(format!("config {}", config.drop_dirs.len())).unwrap();
        }

        fn next_tick(&self) -> Option<Instant> {
            self.next
        }

        fn tick(&mut self, now: Instant) {
            assert!(self.next.take().is_some_and(|next| next <= now));
            self.calls.send("tick".to_owned()).unwrap();
        }

        fn finish(&mut self) {
            self.calls.send("finish".to_owned()).unwrap();
        }
    }

    #[test]
    fn a_sink_is_configured_ticks_and_is_stopped() {
        let (to, calls) = unbounded();
        let bus = Bus::new(vec![Box::new(Script { calls: to, next: None })]).unwrap();
        let path = std::path::Path::new("/etc/npyd.toml");
        let drop = "state_dir = '/s'\n[[drop]]\npath = '/in'\n";
        for drops in [drop, &format!("{drop}[[drop]]\npath = '/other'\n")] {
            let config = Config::parse(drops, path, std::path::Path::new("/etc")).unwrap();
            bus.configure(&Arc::new(config));
            bus.flush(None);
        }
        bus.publish(numbered(1));
        assert_eq!(
            [(); 4].map(|()| calls.recv().unwrap()),
            ["config 1", "config 2", "event", "tick"]
        );
        bus.stop(None);
        bus.publish(numbered(2));
        bus.stop(None);
        assert_eq!(calls.iter().collect::<Vec<_>>(), ["finish"]);
    }
}
