//! One Redis hash, over a pool of connections.

use std::time::Duration;

use anyhow::Context;
use bb8_redis::bb8::{Pool, PooledConnection};
use bb8_redis::redis::{AsyncCommands, RedisResult};
use bb8_redis::{RedisConnectionManager, redis};
use clap::Args;
use tracing::warn;

/// How to reach Redis.
#[derive(Debug, Clone, Args)]
#[group(id = "store")]
pub struct Options {
    /// Where Redis is.
    #[arg(long, env = "REDIS_URL", value_name = "URL", default_value = "redis://redis:6379")]
    pub redis_url: String,
    /// The hash that holds all messages.
    #[arg(long, env = "REDIS_KEY", value_name = "KEY", default_value = "messages")]
    pub redis_key: String,
    /// Most connections to Redis at a time.
    #[arg(long, env = "REDIS_CONNECTIONS", value_name = "NUMBER", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub redis_connections: u32,
    /// How long to wait for a connection, and for an answer, before the store counts as away.
    #[arg(long, env = "REDIS_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = lifecycle::duration::parse)]
    pub redis_timeout: Duration,
}

impl Options {
    /// A store with these settings. Whether Redis is there is seen by the first request.
    ///
    /// # Errors
    ///
    /// The URL is not one of Redis.
    pub fn open(&self) -> anyhow::Result<Store> {
        let manager = RedisConnectionManager::new(self.redis_url.as_str()).with_context(|| {
            format!("REDIS_URL={:?} is not understood; write redis://host:6379", self.redis_url)
        })?;
        let pool = Pool::builder()
            .max_size(self.redis_connections)
            .connection_timeout(self.redis_timeout)
            // One that is refused is told at once, with its reason; the next request tries again.
            .retry_connection(false)
            .build_unchecked(manager);
        Ok(Store { pool, key: self.redis_key.clone(), timeout: self.redis_timeout })
    }
}

/// The stored messages.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool<RedisConnectionManager>,
    key: String,
    timeout: Duration,
}

/// Redis does not answer, or not with what it should. The reason is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is away")]
pub struct Away;

/// Some of the messages, and where to go on; [`Page::cursor`] 0 is the end, as it is the beginning.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) cursor: u64,
    pub(crate) entries: Vec<(String, String)>,
}

impl Store {
    pub(crate) async fn get(&self, field: &str) -> Result<Option<String>, Away> {
        self.ask(async |mut redis| redis.hget(&self.key, field).await).await
    }

    /// Stores a value, and says whether its key is new.
    pub(crate) async fn set(&self, field: &str, value: &str) -> Result<bool, Away> {
        let added: u32 = self.ask(async |mut redis| redis.hset(&self.key, field, value).await).await?;
        Ok(added > 0)
    }

    /// Deletes a key, and says whether it was there.
    pub(crate) async fn delete(&self, field: &str) -> Result<bool, Away> {
        let gone: u32 = self.ask(async |mut redis| redis.hdel(&self.key, field).await).await?;
        Ok(gone > 0)
    }

    /// How many messages there are.
    pub(crate) async fn count(&self) -> Result<u64, Away> {
        self.ask(async |mut redis| redis.hlen(&self.key).await).await
    }

    /// The messages from `cursor` on, about `count` of them.
    pub(crate) async fn page(&self, cursor: u64, count: usize) -> Result<Page, Away> {
        let scan = async |mut redis: PooledConnection<'_, RedisConnectionManager>| {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&self.key).arg(cursor).arg("COUNT").arg(count);
            scan.query_async(&mut *redis).await
        };
        let (cursor, entries) = self.ask(scan).await?;
        Ok(Page { cursor, entries })
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(PooledConnection<'_, RedisConnectionManager>) -> RedisResult<T>,
    ) -> Result<T, Away> {
        let connection = self.pool.get().await.map_err(|error| away(&error))?;
        match tokio::time::timeout(self.timeout, question(connection)).await {
            Ok(answer) => answer.map_err(|error| away(&error)),
            Err(elapsed) => Err(away(&elapsed)),
        }
    }
}

fn away(error: &dyn std::error::Error) -> Away {
    warn!("Redis: {error}");
    Away
}
