//! What is read from a store, and when callers may wait for it: rules 3 to 6 and 8 of `storing`. Reading itself is left to
//! `store::fetch`.

use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::time::Instant;

use foldhash::fast::FixedState;

use super::super::Live;
use super::{Caching, MOST_TOLD, Storage, ahead};
use crate::events::log::Level;
use crate::store::fetch;
use crate::store::{Applied, Snapshot, StoreError};

impl Storage {
    /// Reads everything again; or, where nothing is kept for a time, makes the first contact.
    pub(super) fn refresh(&self) {
        let store = &*self.settings.store;
        let usable = if self.settings.daemon || self.is_fed() {
            Ok(true)
        } else {
            store.initialized()
        };
        let read = match (usable, self.settings.caching) {
            (Err(error), _) => Err(error),
            (Ok(usable), Caching::For(time)) => {
                self.state().refresh_at = Some(Instant::now() + ahead(time));
                if usable {
                    self.read_everything()
                } else {
                    Ok(())
                }
            }
            (Ok(usable), Caching::Off | Caching::Forever) => {
                self.state().refresh_at = None;
                let contact = if self.settings.daemon {
                    store.initialized().map(drop)
                } else {
                    Ok(())
                };
                if contact.is_ok() && usable {
                    self.publish(|snapshot| Some(snapshot.with_found(Vec::new(), Vec::new())));
                }
                contact
            }
        };
        match read {
            Ok(()) => self.answered(),
            Err(error) => {
                self.state().refresh_at = Some(Instant::now());
                self.failed(Some(&error));
            }
        }
    }

    fn read_everything(&self) -> Result<(), StoreError> {
        let (content, hash) = fetch::everything(&*self.settings.store)?;
        self.state().mute = false;
        let Some(client) = self.client.upgrade() else {
            return Ok(());
        };
        let snapshot = client.live.load().snapshot.clone();
        // Before there is data, another thread may have read the same and not yet published it.
        let is_news = self.known().differs(hash) || !snapshot.initialized();
        if self.is_behind() || !is_news {
            return Ok(());
        }
        let mut change = content.change(&snapshot);
        drop(snapshot);
        drop(client);
        self.tell(&mut change.remarks);
        self.publish(|snapshot| {
            // What the source delivered meanwhile is newer than what was read.
            if self.is_behind() {
                self.known().clear();
                return None;
            }
            match snapshot.apply(change) {
                Applied::New(next) => Some(next),
                Applied::Same | Applied::Older => None,
            }
        });
        Ok(())
    }

    /// Reads a flag and all that it rests on into the snapshot.
    pub(super) fn fetch(&self, key: &str) -> Result<(), StoreError> {
        match fetch::flag_with_needs(&*self.settings.store, key, &self.known) {
            Ok(mut found) => {
                self.state().mute = false;
                self.tell(&mut found.remarks);
                self.publish(|snapshot| {
                    if self.is_behind() {
                        return None;
                    }
                    self.known().remember(&mut found);
                    if self.settings.caching == Caching::Off {
                        // Nobody asks for what is not there again and again, so it need not be remembered.
                        found.flags.retain(|item| {
                            !item.is_gone() || snapshot.flag_entry(&item.key).is_some()
                        });
                        found.segments.retain(|item| {
                            !item.is_gone() || snapshot.segment_entry(&item.key).is_some()
                        });
                    }
                    if found.is_empty() && snapshot.initialized() {
                        return None;
                    }
                    Some(snapshot.with_found(found.flags, found.segments))
                });
                Ok(())
            }
            Err(error) => {
                self.failed(Some(&error));
                Err(error)
            }
        }
    }

    /// Whether the store has to be read before this flag can be evaluated.
    #[inline]
    pub(in crate::client) fn is_needed(&self, live: &Live, key: &str) -> bool {
        match self.settings.caching {
            Caching::For(_) => self.settings.daemon && !live.snapshot.initialized(),
            Caching::Forever => live.snapshot.flag_entry(key).is_none(),
            Caching::Off => true,
        }
    }

    /// Reads what an evaluation of this flag needs, within the store's time-outs.
    pub(in crate::client) fn read_for(&self, key: &str) {
        if self.settings.caching == Caching::Forever && self.is_fed() {
            let mut state = self.state();
            if !state.wanted.iter().any(|wanted| **wanted == *key) {
                state.wanted.push(key.into());
                self.changed.notify_all();
            }
            return;
        }
        if !self.may_ask() {
            return;
        }
        if matches!(self.settings.caching, Caching::For(_)) {
            self.refresh();
        } else {
            let _ = self.fetch(key);
        }
    }

    /// The same for all flags.
    pub(in crate::client) fn read_for_all(&self) {
        let done = match self.settings.caching {
            Caching::For(_) => {
                let is_first = self.client.upgrade().is_some_and(|client| {
                    self.settings.daemon && !client.live.load().snapshot.initialized()
                });
                if is_first && self.may_ask() {
                    self.refresh();
                }
                return;
            }
            Caching::Off => self.may_ask().then(|| self.read_everything()),
            Caching::Forever if self.complete.load(Ordering::Acquire) => return,
            Caching::Forever => self.may_ask().then(|| self.complete()),
        };
        if let Some(Err(error)) = done {
            self.failed(Some(&error));
        }
    }

    /// Adds everything that was not read yet.
    fn complete(&self) -> Result<(), StoreError> {
        let (content, _) = fetch::everything(&*self.settings.store)?;
        self.state().mute = false;
        let mut found = content.compile();
        self.tell(&mut found.remarks);
        self.publish(|snapshot| {
            found
                .flags
                .retain(|item| snapshot.flag_entry(&item.key).is_none());
            found
                .segments
                .retain(|item| snapshot.segment_entry(&item.key).is_none());
            Some(snapshot.with_found(found.flags, found.segments))
        });
        self.complete.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether a caller may wait for the store: not while it is down, and not while it is behind the source.
    fn may_ask(&self) -> bool {
        if self.is_behind() {
            return false;
        }
        let state = self.state();
        // Without the thread nobody else finds out whether it is well again.
        let is_looked_after = state.running && !state.stopping;
        state.available || !is_looked_after && state.retry_at.is_none_or(|at| at <= Instant::now())
    }

    fn publish(&self, next: impl FnOnce(&Snapshot) -> Option<Snapshot>) {
        if let Some(client) = self.client.upgrade() {
            client.publish_stored(self.generation, self.settings.daemon, next);
        }
    }

    fn tell(&self, remarks: &mut Vec<String>) {
        for remark in std::mem::take(remarks) {
            let mut state = self.state();
            if state.told.len() >= MOST_TOLD {
                state.told.clear();
            }
            let is_new = state.told.insert(FixedState::default().hash_one(&remark));
            drop(state);
            if is_new {
                self.log.log(Level::Warning, remark);
            }
        }
    }
}
