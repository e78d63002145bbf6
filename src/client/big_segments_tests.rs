//! The rules of the file beside: who asks, what is kept, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::client::Settings;
use crate::evaluation::BigSegments as _;
use crate::transport;

/// Answers that every context is in `s.g1`, or fails while `down`.
#[derive(Default)]
struct Store {
    asked: AtomicUsize,
    looks: AtomicUsize,
    down: AtomicBool,
    updated_ms: AtomicI64,
}

impl Store {
    fn answer<T>(&self, counter: &AtomicUsize, answer: T) -> Result<T, StoreError> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError("down".to_owned()));
        }
        Ok(answer)
    }
}

impl BigSegmentStore for Arc<Store> {
    fn membership(&self, _: &str) -> Result<Option<Membership>, StoreError> {
        let membership = [("s.g1".into(), true)].into_iter().collect();
        self.answer(&self.asked, Some(membership))
    }

    fn last_updated_ms(&self) -> Result<Option<i64>, StoreError> {
        self.answer(&self.looks, Some(self.updated_ms.load(Ordering::SeqCst)))
    }
}

/// Counts how often it is begun.
struct Watch(Arc<AtomicUsize>);

impl Watcher for Watch {
    fn begin(&self, _: Weak<Client>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {}
}

fn client(store: &Arc<Store>, watches: &Arc<AtomicUsize>, offline: bool) -> Arc<Client> {
    store.updated_ms.store(i64::MAX, Ordering::SeqCst);
    Client::open(Settings {
        sdk_key: "key".to_owned(),
        offline,
        plan: None,
        own_source: None,
        store: None,
        transport: transport::Options::default(),
        events: None,
        big_segments: Some(BigSegments {
            store: Box::new(store.clone()),
            cache_size: 10,
            cache_time: Duration::MAX,
            poll_interval: Duration::from_secs(5),
            stale_after: Duration::from_secs(120),
            watcher: Box::new(Watch(watches.clone())),
        }),
    })
}

fn asks(client: &Client, key: &str) -> (bool, BigSegmentsStatus) {
    let live = client.live();
    let (membership, status) = View::new(client, &live).membership(key);
    (membership.is_some_and(|m| m.contains_key("s.g1")), status)
}

fn said(client: &Client) -> Vec<Level> {
    let records = client.live().runtime.take_logs();
    records.into_iter().map(|record| record.level).collect()
}

#[test]
fn the_watch_is_begun_once_and_not_at_all_for_a_client_that_is_offline() {
    for (offline, begun) in [(false, 1), (true, 0)] {
        let (store, watches) = (Arc::default(), Arc::default());
        let client = client(&store, &watches, offline);
        for _ in 0..3 {
            client.watch_big_segments(&client.live());
        }
        assert_eq!(watches.load(Ordering::SeqCst), begun);
    }
}

#[test]
fn a_failure_is_not_remembered_and_is_said_when_it_begins_and_ends() {
    let store = Arc::default();
    let client = client(&store, &Arc::default(), false);
    store.down.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(asks(&client, "u"), (false, BigSegmentsStatus::StoreError));
    }
    assert_eq!(store.asked.load(Ordering::SeqCst), 3);
    store.down.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(asks(&client, "u"), (true, BigSegmentsStatus::Healthy));
    }
    assert_eq!(store.asked.load(Ordering::SeqCst), 4);
    assert_eq!(store.looks.load(Ordering::SeqCst), 1);
    assert!(matches!(said(&client)[..], [Level::Error, Level::Info]));
}

#[test]
fn polling_asks_each_time_and_a_status_only_while_none_is_known() {
    let store = Arc::default();
    let client = client(&store, &Arc::default(), false);
    let looks = || store.looks.load(Ordering::SeqCst);
    for expected in [1, 1] {
        assert!(client.big_segment_store_status().available);
        assert_eq!(looks(), expected);
    }
    store.updated_ms.store(0, Ordering::SeqCst);
    assert!(!client.big_segment_store_status().stale);
    assert!(client.poll_big_segments().stale);
    assert!(client.big_segment_store_status().stale);
    assert_eq!(looks(), 2);
    assert_eq!(asks(&client, "u"), (true, BigSegmentsStatus::Stale));
}

#[test]
fn a_closed_client_tells_what_it_knows_and_asks_no_more() {
    let store = Arc::default();
    let client = client(&store, &Arc::default(), false);
    assert_eq!(asks(&client, "u"), (true, BigSegmentsStatus::Healthy));
    client.close(Duration::ZERO);
    assert_eq!(asks(&client, "u"), (true, BigSegmentsStatus::Healthy));
    assert_eq!(asks(&client, "v"), (false, BigSegmentsStatus::StoreError));
    assert!(client.poll_big_segments().available);
    assert_eq!(store.asked.load(Ordering::SeqCst), 1);
    assert_eq!(store.looks.load(Ordering::SeqCst), 1);
}

#[test]
fn data_is_stale_from_the_moment_at_which_it_is_as_old_as_it_may_get() {
    let allowed = Duration::from_secs(1);
    assert!(!is_stale(Some(1), 1_000, allowed));
    assert!(is_stale(Some(0), 1_000, allowed));
    assert!(is_stale(None, 1_000, Duration::MAX));
    assert!(!is_stale(Some(i64::MAX), i64::MIN, allowed));
    assert!(!is_stale(Some(0), i64::MAX - 1, Duration::MAX));
}
