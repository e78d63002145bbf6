//! Connections to a Redis server: opened when asked for, kept for the next caller, never shared between processes.
//! What is stored there, and under which keys, is the question of those who use them.
//!
//! 1. At most `most` connections at a time. Who finds all in use waits as long as one answer may take.
//! 2. No connection outlives a failure. What failed on a kept connection, which the server may have closed meanwhile, is
//!    tried once more on a new one: callers only hand in what may be done twice.
//! 3. A forked child leaves the inherited connections alone and opens its own.
//! 4. No error's text has the password in it.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redis::{Client, Connection, IntoConnectionInfo, RedisError, RedisResult};

use super::persistent::StoreError;

/// Where the server is and how long it may take.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS, `unix:///path`.
    pub url: String,
    /// Wins over the URL's.
    pub username: Option<String>,
    /// Wins over the URL's.
    pub password: Option<String>,
    /// Wins over the URL's.
    pub database: Option<i64>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How many connections there may be at a time.
    pub most: usize,
}

/// Not the URL, which may hold a password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions").finish_non_exhaustive()
    }
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            url: "redis://localhost:6379/0".to_owned(),
            username: None,
            password: None,
            database: None,
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(3),
            most: 16,
        }
    }
}

/// The connections to one server.
pub struct RedisConnections {
    client: Client,
    options: RedisOptions,
    pool: ArcSwap<Pool>,
}

impl fmt::Debug for RedisConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnections").finish_non_exhaustive()
    }
}

/// The connections of one process.
struct Pool {
    process: u32,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    open: usize,
}

impl Pool {
    fn new() -> Arc<Pool> {
        Arc::new(Pool {
            process: std::process::id(),
            state: Mutex::default(),
            returned: Condvar::new(),
        })
    }
}

impl RedisConnections {
    /// Reads the address. Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is none; the text does not quote it.
    pub fn new(options: RedisOptions) -> Result<RedisConnections, StoreError> {
        let invalid = |error: RedisError| {
            StoreError(format!(
                "the address of the Redis server cannot be used: {}",
                describe(&error)
            ))
        };
        let info = options
            .url
            .as_str()
            .into_connection_info()
            .map_err(invalid)?;
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(username) = &options.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &options.password {
            settings = settings.set_password(password);
        }
        if let Some(database) = options.database {
            settings = settings.set_db(database);
        }
        Ok(RedisConnections {
            client: Client::open(info.set_redis_settings(settings)).map_err(invalid)?,
            options: RedisOptions {
                most: options.most.max(1),
                ..options
            },
            pool: ArcSwap::new(Pool::new()),
        })
    }

    /// Lends a connection. `ask` may be called twice (see rule 2). Waits for the network, within the time-outs.
    ///
    /// # Errors
    /// When there is no connection, or the server refuses or does not answer in time.
    pub fn with<R>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<R>,
    ) -> Result<R, StoreError> {
        let pool = self.pool();
        let mut fresh = false;
        loop {
            let mut lent = self.lend(&pool, fresh)?;
            let Some(connection) = &mut lent.connection else {
                return Err(StoreError("there is no connection to Redis".to_owned()));
            };
            match ask(connection) {
                Ok(answer) => {
                    lent.keep = true;
                    return Ok(answer);
                }
                Err(error) => {
                    let broken = error.is_io_error() || error.is_unrecoverable_error();
                    // An answer that says no leaves the connection as good as it was, were it not for a watch on it.
                    if broken && lent.was_kept && !error.is_timeout() {
                        fresh = true;
                        continue;
                    }
                    return Err(StoreError(describe(&error)));
                }
            }
        }
    }

    /// The pool of this process.
    fn pool(&self) -> Arc<Pool> {
        let pool = self.pool.load_full();
        if pool.process == std::process::id() {
            return pool;
        }
        // The parent's connections and locks are left as they are, and never dropped.
        std::mem::forget(Arc::clone(&pool));
        self.pool.compare_and_swap(&pool, Pool::new());
        self.pool.load_full()
    }

    fn lend<'p>(&self, pool: &'p Pool, fresh: bool) -> Result<Lent<'p>, StoreError> {
        let end = Instant::now() + self.options.timeout;
        let mut state = pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh {
            // The server went away and came back: none of the others is any better.
            state.open -= state.idle.len();
            state.idle.clear();
        }
        while state.idle.is_empty() && state.open >= self.options.most {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError(
                    "all connections to Redis were in use for too long".to_owned(),
                ));
            }
            state = pool
                .returned
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut lent = Lent {
            pool,
            connection: state.idle.pop(),
            was_kept: true,
            keep: false,
        };
        if lent.connection.is_none() {
            state.open += 1;
            drop(state);
            lent.was_kept = false;
            let connection = self
                .client
                .get_connection_with_timeout(self.options.connect_timeout)
                .and_then(|connection| {
                    connection.set_read_timeout(Some(self.options.timeout))?;
                    connection.set_write_timeout(Some(self.options.timeout))?;
                    Ok(connection)
                })
                .map_err(|error| StoreError(describe(&error)))?;
            lent.connection = Some(connection);
        }
        Ok(lent)
    }
}

/// A connection on loan; it goes back, or goes, however the loan ends.
struct Lent<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
    was_kept: bool,
    keep: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self
            .pool
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match self.connection.take() {
            Some(connection) if self.keep => state.idle.push(connection),
            _ => state.open = state.open.saturating_sub(1),
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

/// What went wrong, without what was sent.
fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return "Redis did not answer in time".to_owned();
    }
    if error.is_connection_refusal() {
        return "Redis refuses the connection".to_owned();
    }
    match error.detail() {
        Some(detail) if error.is_io_error() => format!("no connection to Redis: {detail}"),
        _ => match error.code() {
            Some(code) => format!("Redis answered {code}"),
            None => format!("Redis: {}", error.category()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> RedisOptions {
        RedisOptions {
            url: url.to_owned(),
            connect_timeout: Duration::from_millis(200),
            timeout: Duration::from_millis(200),
            ..RedisOptions::default()
        }
    }

    #[test]
    fn an_address_that_is_none_is_an_error_that_does_not_quote_it() {
        for url in ["", "http://:secret@host", "redis://:secret@host/secret"] {
            let error = RedisConnections::new(options(url)).unwrap_err();
            assert!(!error.0.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_and_the_next_caller_may_try_again() {
        // Taken from the system and given back: nobody listens there now.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut options = options(&format!("redis://:secret@127.0.0.1:{port}"));
        options.most = 1;
        let connections = RedisConnections::new(options).unwrap();
        for _ in 0..3 {
            let error = connections
                .with(|connection| redis::cmd("PING").exec(connection))
                .unwrap_err();
            assert!(!error.0.contains("secret"), "{error}");
            assert!(error.0.contains("refuses"), "{error}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_an_error_within_the_time_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections =
            RedisConnections::new(options(&format!("redis://127.0.0.1:{port}"))).unwrap();
        let begin = Instant::now();
        assert!(
            connections
                .with(|connection| redis::cmd("PING").exec(connection))
                .is_err()
        );
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
