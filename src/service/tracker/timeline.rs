//! For tests: a tracker over a directory, which sees it at times of the test's choice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::config::Config;
use crate::events::bus::Bus;
use crate::events::event::Event;
use crate::events::sink::{Filter, Sink, WhenFull};
use crate::ledger::Ledger;
use crate::service::tracker::{JobDone, Tracker};
use crate::service::work::context::Context;
use crate::service::work::worker_pool::Pool;

/// Sends each event to a test.
struct Recorder(Sender<Event>);

impl Sink for Recorder {
    fn filter(&self) -> Filter {
        Box::new(|_| true)
    }

    fn when_full(&self) -> WhenFull {
        WhenFull::Wait
    }

    fn accept(&mut self, event: &Event) {
        let _ = self.0.send(event.clone());
    }
}

/// A tracker, its directory and what it publishes.
pub(crate) struct Timeline {
    dir: tempfile::TempDir,
    pub(crate) tracker: Tracker,
    pub(crate) start: Instant,
    ended: Receiver<JobDone>,
    events: Receiver<Event>,
    _pool: Pool,
}

impl Timeline {
    /// Makes a drop directory with these files.
    pub(crate) fn of(drops: &[(&str, &[u8])]) -> Self {
        Self::with("", drops)
    }

    /// Makes a drop directory with these settings and files.
    pub(crate) fn with(settings: &str, drops: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        std::fs::create_dir(path.join("in")).unwrap();
        let root = path.display();
        let text = format!("state_dir = '{root}/state'\n[[drop]]\npath = '{root}/in'\n{settings}");
        let config = Config::parse(&text, Path::new("npyd.toml"), &path).unwrap();
        let ledger = Ledger::open(&config.state_dir).unwrap();
        let (to, events) = unbounded();
        let sinks = || Bus::new(vec![Box::new(Recorder(to))]);
        let context = Context::new(&config, ledger, sinks, true).unwrap();
        let (pool, (sender, ended)) = (Pool::new(1).unwrap(), unbounded());
        let drop_dir = Arc::new(config.drop_dirs[0].clone());
        let tracker = Tracker::new(drop_dir, context, pool.queue(), move |done| {
            let _ = sender.send(done);
        });
        let time = Timeline { dir, tracker, start: Instant::now(), ended, events, _pool: pool };
        for (name, content) in drops {
            time.write(name, content);
        }
        time
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.dir.path().join("in").join(name), content).unwrap();
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join("in").join(name)).unwrap();
    }

    /// Requests the states of all drops, as a sink does that lost events.
    pub(crate) fn request_states(&self) {
        self.tracker.context.bus().request_states();
    }

    /// Scans and probes after so many seconds.
    pub(crate) fn scan_after(&mut self, seconds: u64) {
        let now = self.start + Duration::from_secs(seconds);
        self.tracker.scan(now).unwrap();
        self.tracker.process_due(now);
    }

    /// Waits for the result of a job, which ended after so many seconds.
    pub(crate) fn end_job_after(&mut self, seconds: u64) {
        let now = self.start + Duration::from_secs(seconds);
        let ended = self.ended.recv().unwrap();
        self.tracker.on_job_done(ended, now);
        self.tracker.process_due(now);
    }

    /// Returns what was published since the last call.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.tracker.context.bus().flush(None);
        self.events.try_iter().collect()
    }

    /// Returns the drop directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.tracker.drop_dir.path.clone()
    }
}
