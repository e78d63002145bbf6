//! Big segments in Redis, under the keys that launchdarkly-server-sdk 9.20 reads and its relay writes. Connecting is
//! `redis`' question.
//!
//! `<prefix>:big_segments_synchronized_on`: milliseconds since 1970, as text.
//! `<prefix>:big_segment_include:<context hash>`, `…_exclude:…`: sets of segment references.

use std::sync::Arc;

use redis::RedisResult;

use super::big_segments::BigSegmentStore;
use super::persistent::StoreError;
use super::redis::RedisConnections;
use crate::evaluation::Membership;

/// The big segments of one prefix.
#[derive(Debug)]
pub struct RedisBigSegments {
    connections: Arc<RedisConnections>,
    prefix: String,
}

impl RedisBigSegments {
    /// Those under this prefix. Nothing is connected yet.
    #[must_use]
    pub fn new(connections: Arc<RedisConnections>, prefix: &str) -> RedisBigSegments {
        RedisBigSegments {
            connections,
            prefix: prefix.to_owned(),
        }
    }
}

impl BigSegmentStore for RedisBigSegments {
    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        let key = |list| format!("{}:big_segment_{list}:{context_hash}", self.prefix);
        let mut both = redis::pipe();
        both.cmd("SMEMBERS").arg(key("exclude"));
        both.cmd("SMEMBERS").arg(key("include"));
        let (excluded, included): (Vec<Vec<u8>>, Vec<Vec<u8>>) = self
            .connections
            .with(|connection| -> RedisResult<_> { both.query(connection) })?;
        // Included comes last: it wins where a segment is in both.
        let lists = [(excluded, false), (included, true)];
        let membership: Membership = lists
            .into_iter()
            .flat_map(|(list, is_member)| list.into_iter().map(move |name| (name, is_member)))
            // A name that is no text belongs to no segment.
            .filter_map(|(name, is_member)| Some((String::from_utf8(name).ok()?.into(), is_member)))
            .collect();
        Ok((!membership.is_empty()).then_some(membership))
    }

    fn last_updated_ms(&self) -> Result<Option<i64>, StoreError> {
        let key = format!("{}:big_segments_synchronized_on", self.prefix);
        let mut get = redis::cmd("GET");
        get.arg(&key);
        let text: Option<Vec<u8>> = self
            .connections
            .with(|connection| -> RedisResult<_> { get.query(connection) })?;
        let Some(text) = text else {
            return Ok(None);
        };
        let number = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        number.map(Some).ok_or_else(|| {
            StoreError("what it holds as the time of its last update is no number".to_owned())
        })
    }
}
