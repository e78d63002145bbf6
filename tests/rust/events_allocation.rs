//! Counting an evaluation allocates nothing in the common case: the same was counted since the last flush, the context
//! was seen, and the flag is neither tracked nor debugged. With `LDCLIENT_TIMING` set it also prints what one costs.
#![allow(
    unsafe_code,
    reason = "only an allocator of its own can count allocations"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ldclient::evaluation::{Outcome, Reason};
use ldclient::events::log::{Level, Log};
use ldclient::events::{Clock, Evaluated, Events, Post, Reply, Settings};
use ldclient::model::{Choice, Context, Flag, Value};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as for the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as for the caller.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nothing;

impl Log for Nothing {
    fn log(&self, _: Level, _: String) {}
}

impl Post for Nothing {
    fn post(&self, _: &str, _: &[(&str, &str)], _: &[u8]) -> Result<Reply, String> {
        Ok(Reply {
            status: 202,
            date: None,
        })
    }
}

/// May be read once: at the first count.
struct Once(std::sync::atomic::AtomicU32);

impl Clock for Once {
    fn now_ms(&self) -> i64 {
        i64::from(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

fn flag(slot: u32) -> Flag {
    Flag {
        key: "f".into(),
        version: 1,
        id: 1,
        slot,
        on: true,
        salt: "".into(),
        variations: [Value::Bool(false), Value::Bool(true)].into(),
        off_variation: None,
        fallthrough: Choice::Variation(1),
        prerequisites: [].into(),
        targets: [].into(),
        rules: [].into(),
        track_events: false,
        track_events_fallthrough: false,
        debug_events_until_ms: None,
        client_side: false,
        exclude_from_summaries: false,
        sampling_ratio: None,
        check_ratio: None,
    }
}

#[test]
fn counting_a_known_flag_for_a_known_context_allocates_nothing_and_reads_no_clock() {
    let settings = Settings {
        flush_interval: Duration::from_secs(3600),
        ..Settings::default()
    };
    let clock = Arc::new(Once(0.into()));
    let events = Events::start(
        &settings,
        Box::new(Nothing),
        Arc::new(Nothing),
        clock.clone(),
    );
    let context = serde_json::from_str(r#"{"kind":"user","key":"u","email":"e"}"#).unwrap();
    let context = Arc::new(Context::from_value(context).unwrap());
    let flag = flag(17);
    let outcome = Outcome::new(
        Some(1),
        Reason::Fallthrough {
            in_experiment: false,
        },
    );
    let evaluate = || {
        events.evaluated(
            &context,
            Evaluated {
                key: "f",
                flag: Some(&flag),
                outcome: &outcome,
                default: || Value::from("a default that allocates"),
                with_reason: false,
                prerequisite_of: None,
            },
        );
    };

    let allocations = || ALLOCATIONS.with(Cell::get);
    let before = allocations();
    evaluate();
    assert!(
        allocations() > before,
        "the first count must allocate, or this test counts nothing"
    );
    let (before, read) = (allocations(), clock.now_ms());
    for _ in 0..1_000 {
        evaluate();
    }
    assert_eq!(allocations(), before);
    assert_eq!(clock.now_ms(), read + 1);

    if std::env::var_os("LDCLIENT_TIMING").is_some() {
        let start = Instant::now();
        for _ in 0..5_000_000 {
            evaluate();
        }
        println!("{:?} an evaluation", start.elapsed() / 5_000_000);
    }
    assert!(events.close(Duration::from_secs(20)));
}
