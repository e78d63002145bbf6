//! Keeps forks away from the moments in which the system's resolver holds locks of its own: glibc does not make them
//! anew in the child, where nobody would ever let go of them, and no name would be found again. Who forks is left to
//! `client::fork`, which calls [`before`], and [`after`] on both sides.
//!
//! 1. A fork waits until the look-up thread has gone, with what it gives back at its end. A look-up that has lasted
//!    `SHORT` waits for a name server, without a lock: the fork does not wait for that one.
//! 2. A look-up that begins while a fork is under way waits for it, as long at most.
//! 3. Nothing here is locked, so nothing can be inherited locked. Times are kept by counting, for a clock may jump.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A local answer is there long before; one that takes longer comes from elsewhere.
const SHORT: Duration = Duration::from_millis(50);
const STEP: Duration = Duration::from_micros(50);
const STEPS: u32 = 1_000;

/// How many threads are about to fork.
static FORKING: AtomicU32 = AtomicU32::new(0);
/// The system's number of the look-up thread; 0 when there is none, or the system does not tell.
static LOOKUP: AtomicU32 = AtomicU32::new(0);
/// When it began, in milliseconds since 1970.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// Called before a fork, by the thread that forks.
pub fn before() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    wait_while(|| {
        let thread = LOOKUP.load(Ordering::SeqCst);
        let lasts = now_ms().abs_diff(BEGAN.load(Ordering::SeqCst));
        thread != 0 && u128::from(lasts) < SHORT.as_millis() && is_running(thread)
    });
}

/// Called after a fork, in the parent and in the child.
pub fn after(in_child: bool) {
    if in_child {
        // The look-up thread, and others that fork, are not here.
        LOOKUP.store(0, Ordering::SeqCst);
        FORKING.store(0, Ordering::SeqCst);
    } else {
        FORKING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Called by the look-up thread, which is one at a time, before it asks the system.
pub(super) fn begin_lookup() {
    // One that has answered may still be on its way out.
    wait_while(|| is_running(LOOKUP.load(Ordering::SeqCst)));
    BEGAN.store(now_ms(), Ordering::SeqCst);
    LOOKUP.store(own_number(), Ordering::SeqCst);
    // Told first and looked second, as a fork does: one of the two sees the other.
    if FORKING.load(Ordering::SeqCst) > 0 {
        LOOKUP.store(0, Ordering::SeqCst);
        wait_while(|| FORKING.load(Ordering::SeqCst) > 0);
        BEGAN.store(now_ms(), Ordering::SeqCst);
        LOOKUP.store(own_number(), Ordering::SeqCst);
    }
}

fn wait_while(busy: impl Fn() -> bool) {
    for _ in 0..STEPS {
        if !busy() {
            return;
        }
        thread::sleep(STEP);
    }
}

/// Only Linux tells without `unsafe`; elsewhere nothing is known to need this.
fn own_number() -> u32 {
    let link: Option<PathBuf> = cfg!(target_os = "linux")
        .then(|| std::fs::read_link("/proc/thread-self").ok())
        .flatten();
    link.as_ref()
        .and_then(|link| link.file_name()?.to_str()?.parse().ok())
        .unwrap_or(0)
}

fn is_running(thread: u32) -> bool {
    thread != 0 && std::fs::metadata(format!("/proc/self/task/{thread}")).is_ok()
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    // One test, because the state is the process's.
    #[test]
    fn a_fork_and_a_short_look_up_keep_apart_and_neither_waits_for_long() {
        let (let_go, wait) = mpsc::channel::<()>();
        let (told, begun) = mpsc::channel();
        let lookup = thread::spawn(move || {
            begin_lookup();
            told.send(()).unwrap();
            let _ = wait.recv();
        });
        begun.recv().unwrap();
        let thread = LOOKUP.load(Ordering::SeqCst);
        assert!(is_running(thread));

        // It does not end: the fork goes on when that is no short look-up any more, and then at once.
        before();
        after(false);
        let start = Instant::now();
        assert!(now_ms() >= BEGAN.load(Ordering::SeqCst) + 50);
        before();
        assert!(start.elapsed() < SHORT);

        // While the fork is under way another look-up waits.
        drop(let_go);
        lookup.join().unwrap();
        let (told, begun) = mpsc::channel();
        let second = thread::spawn(move || {
            begin_lookup();
            told.send(FORKING.load(Ordering::SeqCst)).unwrap();
        });
        thread::sleep(Duration::from_millis(2));
        after(false);
        assert_eq!(begun.recv().unwrap(), 0);
        second.join().unwrap();

        FORKING.store(3, Ordering::SeqCst);
        after(true);
        assert_eq!(FORKING.load(Ordering::SeqCst), 0);
        assert_eq!(LOOKUP.load(Ordering::SeqCst), 0);
    }
}
