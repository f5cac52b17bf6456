//! Runs one step for several drops in parallel, so that concurrent fsyncs share one flush and one
//! journal commit.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Maximum number of threads. More gain little, and each may hold a copy window in memory.
const THREADS: usize = 8;

/// Calls `work` for all items and returns the results in their order. If no more threads can be
/// started, fewer do the work.
pub(crate) fn parallel_map<T: Send, R: Send>(all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let helpers = all.len().min(THREADS).saturating_sub(1);
    let waiting = Mutex::new(all.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let take_turns = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, one)) = next else { return };
            let result = work(one);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            if thread::Builder::new().spawn_scoped(scope, take_turns).is_err() {
                break;
            }
        }
        take_turns();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_order() {
        for count in [0, 1, 2, THREADS + 1, 100] {
            let results = parallel_map((0..count).collect(), |number| number * 2);
            assert_eq!(results, (0..count).map(|number| number * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn several_wait_together() {
        let all_are_here = Barrier::new(THREADS);
        parallel_map(vec![(); 3 * THREADS], |()| all_are_here.wait());
    }
}
