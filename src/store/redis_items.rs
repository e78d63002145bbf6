//! Flags and segments in Redis, where launchdarkly-server-sdk and the Relay Proxy keep them: one HASH a kind,
//! `<prefix>:features` and `<prefix>:segments`, field a key, value its JSON; `<prefix>:$inited` exists once whole data
//! was written. Connecting is left to `redis`.

use std::sync::Arc;

use redis::{Commands, Connection, RedisResult};

use super::change::DataKind;
use super::persistent::{PersistentStore, StoreError, Texts};
use super::redis::RedisConnections;
use crate::model::Value;

/// How often an update is tried when others write at the same time, as launchdarkly-server-sdk 9.20.
const TRIES: usize = 10;

/// The store.
#[derive(Debug)]
pub struct RedisStore {
    connections: Arc<RedisConnections>,
    prefix: String,
}

impl RedisStore {
    /// The items under this prefix. Nothing is connected yet.
    #[must_use]
    pub fn new(connections: Arc<RedisConnections>, prefix: &str) -> RedisStore {
        RedisStore {
            connections,
            prefix: prefix.to_owned(),
        }
    }

    fn hash(&self, kind: DataKind) -> String {
        let name = match kind {
            DataKind::Flag => "features",
            DataKind::Segment => "segments",
        };
        format!("{}:{name}", self.prefix)
    }

    fn mark(&self) -> String {
        format!("{}:$inited", self.prefix)
    }
}

impl PersistentStore for RedisStore {
    fn all(&self, kind: DataKind) -> Result<Texts, StoreError> {
        let hash = self.hash(kind);
        let items: Vec<(Vec<u8>, Vec<u8>)> = self.connections.with(|redis| redis.hgetall(&hash))?;
        Ok(items
            .into_iter()
            .map(|(key, text)| (text_of(&key), text_of(&text)))
            .collect())
    }

    fn get(&self, kind: DataKind, keys: &[Box<str>]) -> Result<Vec<Option<Box<str>>>, StoreError> {
        let hash = self.hash(kind);
        let mut command = redis::cmd("HMGET");
        command.arg(&hash);
        for key in keys {
            command.arg(&**key);
        }
        let texts: Vec<Option<Vec<u8>>> = self.connections.with(|redis| command.query(redis))?;
        Ok(texts
            .into_iter()
            .map(|text| text.filter(|text| !text.is_empty()))
            .map(|text| text.map(|text| text_of(&text)))
            .collect())
    }

    fn init(&self, flags: &Texts, segments: &Texts) -> Result<(), StoreError> {
        let mark = self.mark();
        let mut pipe = redis::pipe();
        pipe.atomic();
        for (kind, items) in [(DataKind::Segment, segments), (DataKind::Flag, flags)] {
            let hash = self.hash(kind);
            pipe.del(&hash).ignore();
            for (key, text) in items {
                pipe.hset(&hash, &**key, &**text).ignore();
            }
        }
        pipe.set(&mark, &mark).ignore();
        self.connections.with(|redis| pipe.exec(redis))
    }

    fn upsert(
        &self,
        kind: DataKind,
        key: &str,
        version: i64,
        text: &str,
    ) -> Result<(), StoreError> {
        let hash = self.hash(kind);
        let written = self.connections.with(|redis| {
            let done = upsert(redis, &hash, key, version, text);
            if done.is_err() {
                // Whoever borrows the connection next must not find it watching.
                let _: RedisResult<()> = redis::cmd("UNWATCH").exec(redis);
            }
            done
        })?;
        if written {
            Ok(())
        } else {
            Err(StoreError(format!(
                "others wrote to Redis at the same time, {TRIES} times in a row"
            )))
        }
    }

    fn initialized(&self) -> Result<bool, StoreError> {
        let mark = self.mark();
        self.connections.with(|redis| redis.exists(&mark))
    }
}

/// Whether it is done: written, or not needed.
fn upsert(
    redis: &mut Connection,
    hash: &str,
    key: &str,
    version: i64,
    text: &str,
) -> RedisResult<bool> {
    for _ in 0..TRIES {
        redis::cmd("WATCH").arg(hash).exec(redis)?;
        let old: Option<Vec<u8>> = redis.hget(hash, key)?;
        if old.is_some_and(|old| version_of(&old).is_some_and(|old| old >= version)) {
            redis::cmd("UNWATCH").exec(redis)?;
            return Ok(true);
        }
        let done: Option<()> = redis::pipe()
            .atomic()
            .hset(hash, key, text)
            .ignore()
            .query(redis)?;
        if done.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The version of a stored item; `None` for one that is none, which any update replaces.
fn version_of(text: &[u8]) -> Option<i64> {
    let item: Value = serde_json::from_slice(text).ok()?;
    match item.member("version") {
        Some(Value::Int(version)) => Some(*version),
        _ => None,
    }
}

/// What is no text becomes a malformed item further on.
fn text_of(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}
