//! Notices that this process is a fork. The only file with `unsafe`; what to do about a fork is the client's question.
//!
//! The mark is one word in a page that the kernel wipes on fork; where it does not, a `pthread_atfork` handler stores
//! the same 0. 0 means: this process has not adopted what it inherited. `os.register_at_fork` is not enough: uWSGI
//! forks without running it. The same handlers keep forks and look-ups of names apart, see `transport::forking`.
#![allow(
    unsafe_code,
    reason = "mmap, madvise and pthread_atfork have no safe form"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceRef;

use crate::transport::forking;

/// Filled at import. A cell whose filling a fork cannot leave half done, unlike one that other threads wait for.
static MARK: OnceRef<'static, AtomicU64> = OnceRef::new();
static FALLBACK: AtomicU64 = AtomicU64::new(0);
/// Inherited, so that numbers grow along a line of forks.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Sets the mark up. Called at import; more calls do nothing.
pub fn install() {
    MARK.get_or_init(mark);
}

/// The number of this process in its line of forks. It changes exactly when the process is a new one.
#[inline]
pub fn generation() -> u64 {
    let mark = MARK.get_or_init(mark);
    match mark.load(Ordering::Acquire) {
        0 => adopt(mark),
        generation => generation,
    }
}

#[cold]
fn adopt(mark: &AtomicU64) -> u64 {
    let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    mark.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire)
        .map_or_else(|winner| winner, |_| next)
}

#[cfg(unix)]
fn mark() -> &'static AtomicU64 {
    const PAGE: usize = 4096;
    // SAFETY: an anonymous private mapping of our own, never unmapped, aligned to a page, zeroed by the kernel.
    let mark = unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if page == libc::MAP_FAILED {
            &FALLBACK
        } else {
            // Linux 4.14 and later; a kernel that refuses leaves the work to the handler.
            #[cfg(target_os = "linux")]
            libc::madvise(page, PAGE, libc::MADV_WIPEONFORK);
            &*page.cast::<AtomicU64>()
        }
    };
    // SAFETY: in the child of a process with threads only little is allowed; its handler only stores to atomics. The
    // others run in the parent, where all is.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    mark
}

#[cfg(not(unix))]
fn mark() -> &'static AtomicU64 {
    &FALLBACK
}

#[cfg(unix)]
extern "C" fn before() {
    forking::before();
}

#[cfg(unix)]
extern "C" fn in_parent() {
    forking::after(false);
}

#[cfg(unix)]
extern "C" fn in_child() {
    forking::after(true);
    if let Some(mark) = MARK.get() {
        mark.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_number_stays_while_the_process_does() {
        super::install();
        assert_eq!(super::generation(), super::generation());
        assert_ne!(super::generation(), 0);
    }
}
