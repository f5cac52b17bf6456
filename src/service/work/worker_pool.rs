//! Worker pool: a fixed number of threads that run the drop directories' tasks in turn.
//!
//! Each directory has its own short queue (a lane), so that many drops in one do not delay another.
//! With several workers and several directories, no directory may occupy every worker, so that a
//! hung mount does not stop the others.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::text::os_message::thread_error;

type Task = Box<dyn FnOnce() + Send>;

/// The worker threads. After [`Pool::close`], each one ends when its current task has ended.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queues: Mutex<Queues>,
    changed: Condvar,
}

#[derive(Default)]
struct Queues {
    lanes: Vec<Lane>,
    next: usize,
    closed: bool,
    /// Number of tasks that run in threads of their own.
    aside: usize,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Task>,
    running: usize,
    abandoned: bool,
}

/// The queue through which one drop directory submits tasks.
pub struct Queue {
    shared: Arc<Shared>,
    lane: usize,
    capacity: usize,
}

impl Pool {
    /// Starts `workers` threads.
    ///
    /// # Errors
    ///
    /// Returns an error if one can't be started.
    pub fn new(workers: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared { queues: Mutex::default(), changed: Condvar::new() });
        let mut pool = Pool { shared, threads: Vec::new() };
        for _ in 0..workers {
            let shared = Arc::clone(&pool.shared);
            match thread::Builder::new().spawn(move || work(&shared, workers)) {
                Ok(thread) => pool.threads.push(thread),
                Err(error) => {
                    pool.close();
                    return Err(thread_error(error));
                }
            }
        }
        Ok(pool)
    }

    /// Returns a queue for one drop directory.
    #[must_use]
    pub fn queue(&self) -> Queue {
        let mut queues = self.shared.lock();
        let free = queues.lanes.iter().position(Lane::is_free);
        let lane = free.unwrap_or(queues.lanes.len());
        if free.is_none() {
            queues.lanes.push(Lane::default());
        }
        queues.lanes[lane] = Lane::default();
        Queue { shared: Arc::clone(&self.shared), lane, capacity: 2 * self.threads.len() }
    }

    /// Discards all waiting tasks and starts no more. Returns whether all workers have ended.
    pub fn close(&self) -> bool {
        let mut queues = self.shared.lock();
        queues.closed = true;
        queues.lanes.iter_mut().for_each(|lane| lane.waiting.clear());
        self.shared.changed.notify_all();
        queues.aside == 0 && self.threads.iter().all(JoinHandle::is_finished)
    }
}

impl Queue {
    /// Returns whether the queue accepts a task now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let queues = self.shared.lock();
        !queues.closed && queues.lanes[self.lane].waiting.len() < self.capacity
    }

    /// Submits a task.
    pub fn submit(&self, task: impl FnOnce() + Send + 'static) {
        self.shared.lock().lanes[self.lane].waiting.push_back(Box::new(task));
        self.shared.changed.notify_one();
    }

    /// Runs a task in a thread of its own, so that it occupies no worker however long it takes. A
    /// worker runs it if no thread can be started.
    pub fn run_aside(&self, task: impl FnOnce() + Send + 'static) {
        let aside = Aside::begin(&self.shared);
        let task: Arc<Mutex<Option<Task>>> = Arc::new(Mutex::new(Some(Box::new(task))));
        let take =
            |task: &Mutex<Option<Task>>| task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let own = Arc::clone(&task);
        let run = move || {
            let _aside = aside;
            if let Some(task) = take(&own) {
                task();
            }
        };
        if thread::Builder::new().name("npyd-aside".to_owned()).spawn(run).is_err()
            && let Some(task) = take(&task)
        {
            self.submit(task);
        }
    }
}

/// Counts a task that runs in a thread of its own, until it is dropped.
struct Aside(Arc<Shared>);

impl Aside {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.lock().aside += 1;
        Aside(Arc::clone(shared))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.lock().aside -= 1;
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut queues = self.shared.lock();
        let waiting = std::mem::take(&mut queues.lanes[self.lane].waiting);
        queues.lanes[self.lane].abandoned = true;
        self.shared.changed.notify_all(); // the other lanes' share may be larger now
        drop(queues); // dropping tasks closes files, which can block forever on a hung mount
        drop(waiting);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Returns whether another queue may reuse this lane.
    fn is_free(&self) -> bool {
        self.abandoned && self.running == 0
    }
}

impl Queues {
    /// Takes the next task in turn, skipping lanes that occupy their share of the workers.
    fn take(&mut self, workers: usize) -> Option<(usize, Task)> {
        let lanes = self.lanes.len();
        let others = self.lanes.iter().filter(|lane| !lane.is_free()).count() > 1;
        let share = if others { workers.saturating_sub(1).max(1) } else { workers };
        for step in 0..lanes {
            let at = (self.next + step) % lanes;
            let lane = &mut self.lanes[at];
            if lane.running < share
                && let Some(task) = lane.waiting.pop_front()
            {
                lane.running += 1;
                self.next = at + 1;
                return Some((at, task));
            }
        }
        None
    }
}

fn work(shared: &Shared, workers: usize) {
    let mut queues = shared.lock();
    while !queues.closed {
        match queues.take(workers) {
            Some((lane, task)) => {
                drop(queues);
                task();
                queues = shared.lock();
                queues.lanes[lane].running -= 1;
                shared.changed.notify_one();
            }
            None => queues = shared.changed.wait(queues).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crossbeam_channel::{bounded, unbounded};

    #[test]
    fn a_flood_does_not_starve_another_queue() {
        let pool = Pool::new(1).unwrap();
        let (flooded, other) = (pool.queue(), pool.queue());
        let (open_gate, gate) = bounded::<()>(0);
        let (done, order) = unbounded();
        flooded.submit(move || gate.recv().unwrap());
        for _ in 0..5 {
            let done = done.clone();
            flooded.submit(move || done.send("flood").unwrap());
        }
        other.submit(move || done.send("other").unwrap());
        assert!(!flooded.has_room() && other.has_room());
        open_gate.send(()).unwrap();
        let seen: Vec<_> = order.iter().take(6).collect();
        assert!(seen[..2].contains(&"other"), "{seen:?}");
    }

    /// Dropping a task closes its files, which can block forever on a hung mount.
    #[test]
    fn a_queue_that_can_not_be_emptied_stops_no_other() {
        struct Stuck(crossbeam_channel::Receiver<()>);
        impl Drop for Stuck {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        let pool = Pool::new(1).unwrap();
        let (hung, other) = (pool.queue(), pool.queue());
        let (open_gate, gate) = bounded::<()>(0);
        let (tell, begun) = bounded(0);
        hung.submit(move || {
            tell.send(()).unwrap();
            gate.recv().unwrap();
        });
        begun.recv().unwrap();
        let (let_go, stuck) = bounded::<()>(0);
        let stuck = Stuck(stuck);
        hung.submit(move || drop(stuck));
        let thread = thread::spawn(move || drop(hung));
        let deadline = Instant::now() + Duration::from_secs(10);
        let is_emptied = |queues: MutexGuard<'_, Queues>| queues.lanes[0].waiting.is_empty();
        while !pool.shared.queues.try_lock().is_ok_and(is_emptied) {
            assert!(Instant::now() < deadline, "the pool is locked");
            thread::yield_now();
        }
        let (done, seen) = bounded(1);
        other.submit(move || done.send(()).unwrap());
        open_gate.send(()).unwrap();
        seen.recv().unwrap();
        drop(let_go);
        thread.join().unwrap();
    }

    #[test]
    fn a_task_aside_occupies_no_worker() {
        let pool = Pool::new(1).unwrap();
        let queue = pool.queue();
        let (open_gate, gate) = bounded::<()>(0);
        let (done, seen) = unbounded();
        let ended = done.clone();
        queue.run_aside(move || {
            gate.recv().unwrap();
            ended.send("aside").unwrap();
        });
        queue.submit(move || done.send("worker").unwrap());
        assert_eq!(seen.recv(), Ok("worker"));
        assert!(!pool.close(), "a task runs aside");
        open_gate.send(()).unwrap();
        assert_eq!(seen.recv(), Ok("aside"));
        while !pool.close() {
            thread::yield_now();
        }
    }

    /// This happens after a reload replaced the only drop directory.
    #[test]
    fn the_only_queue_left_has_all_workers() {
        let pool = Pool::new(2).unwrap();
        let before = pool.queue();
        let only = pool.queue();
        drop(before);
        let (here, other) = bounded::<()>(0);
        let (done, seen) = bounded(1);
        only.submit(move || here.send(()).unwrap());
        only.submit(move || done.send(other.recv()).unwrap());
        assert!(seen.recv_timeout(Duration::from_mins(1)).unwrap().is_ok());
    }

    #[test]
    fn one_queue_never_occupies_all_workers() {
        let pool = Pool::new(2).unwrap();
        let (hung, other) = (pool.queue(), pool.queue());
        let (open_gate, gate) = bounded::<()>(0);
        for _ in 0..2 {
            let gate = gate.clone();
            hung.submit(move || gate.recv().unwrap());
        }
        let (done, seen) = bounded(1);
        other.submit(move || done.send(()).unwrap());
        seen.recv().unwrap();
        open_gate.send(()).unwrap();
        open_gate.send(()).unwrap();
    }
}
