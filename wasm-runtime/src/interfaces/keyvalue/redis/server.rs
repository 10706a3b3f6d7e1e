//! The node's Redis, and its one connection, which all guests share.
//!
//! # Flow
//! The connection is made by the first question, in the node's own network whatever Pod asks, and anew by the first one after it was lost. After it
//! could not be made, questions are refused for a second.
//!
//! # Guarantees
//! Every question is answered or refused in time. One that was asked on a connection that is lost is asked once more where that
//! does not matter; else nobody knows whether it was heard, and that is told.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, RedisError, ScriptInvocation,
    TlsCertificates,
};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a connection may take, and an answer on it.
const STEP: Duration = Duration::from_secs(5);
/// How long a guest waits at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody tries to connect after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the node's log tells of failures, at most.
const TELL: Duration = Duration::from_secs(10);
/// Questions that are asked at a time, of all guests; others wait.
const TURNS: usize = 64;

/// A Redis in which Pods may have their buckets.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    quota: usize,
}

/// It is not said where it is.
#[derive(Debug, thiserror::Error)]
#[error(
    "a Redis is named by a URL as redis://user:password@host:6379/0, or rediss:// for TLS, with certificates in PEM"
)]
pub struct RedisUrlError(#[from] RedisError);

impl Redis {
    /// By its URL. `roots` are the certificates that vouch for it, in PEM, where they are not those of the system; each namespace may keep `quota` bytes there.
    pub fn new(url: &str, roots: Option<Vec<u8>>, quota: usize) -> Result<Self, RedisUrlError> {
        let info = url.into_connection_info()?;
        let client = match roots {
            None => Client::open(info)?,
            roots => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: roots })?,
        };
        Ok(Self { client, quota })
    }

    /// Where it is, without who the node is there.
    fn place(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("place", &self.place())
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

/// It, with its connection.
pub(crate) struct Server {
    client: Client,
    /// Where it is, for the node's log.
    place: String,
    /// The bytes that a namespace may keep.
    pub(super) quota: usize,
    /// Threads in the node's own network.
    node: Handle,
    turns: Semaphore,
    link: Mutex<Link>,
    told: parking_lot::Mutex<Option<Instant>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("place", &self.place).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Link {
    open: Option<MultiplexedConnection>,
    /// How many there were.
    number: u64,
    /// When the last one could not be made.
    failed: Option<Instant>,
}

/// What a question does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing.
    Reads,
    /// A change that may be made twice.
    Repeats,
    /// A change that may be made once.
    Once,
}

/// Why there is no answer, as guests are told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the node's Redis cannot be reached")]
    Unreachable,
    #[error("the connection to the node's Redis was lost{}", unknown(*.0))]
    Lost(Way),
    #[error("the node's Redis does not answer{}", unknown(*.0))]
    Late(Way),
    #[error("the node's Redis refuses it: {0}")]
    Refused(String),
    #[error("the node's Redis holds something else there")]
    Garbled,
}

fn unknown(way: Way) -> &'static str {
    if way == Way::Reads { "" } else { "; whether anything was changed is not known" }
}

impl Server {
    /// Connected by the first question, from threads that are in the node's own network.
    pub(crate) fn new(redis: Redis, node: Handle) -> Self {
        Self {
            place: redis.place(),
            client: redis.client,
            quota: redis.quota,
            node,
            turns: Semaphore::new(TURNS),
            link: Mutex::default(),
            told: parking_lot::Mutex::default(),
        }
    }

    /// Has it run a script.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        question: &ScriptInvocation<'_>,
        way: Way,
    ) -> Result<T, Unanswered> {
        let answered = timeout(PATIENCE, self.answer(question, way)).await;
        answered.unwrap_or_else(|_| {
            self.tell("it does not answer in time", None);
            Err(Unanswered::Late(way))
        })
    }

    async fn answer<T: FromRedisValue>(
        &self,
        question: &ScriptInvocation<'_>,
        way: Way,
    ) -> Result<T, Unanswered> {
        let _turn = self.turns.acquire().await.map_err(|_| Unanswered::Unreachable)?;
        let mut tries = if way == Way::Once { 1 } else { 2 };
        loop {
            let (number, mut connection) = self.connection().await?;
            let error = match question.invoke_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries -= 1;
            if error.is_timeout() {
                // Nobody may be there any more.
                self.close(number).await;
                self.tell("it does not answer in time", Some(&error));
                return Err(Unanswered::Late(way));
            }
            if !error.is_unrecoverable_error() {
                return Err(self.refused(&error));
            }
            self.close(number).await;
            if tries == 0 {
                self.tell("the connection was lost", Some(&error));
                return Err(Unanswered::Lost(way));
            }
        }
    }

    /// That there is, or another one.
    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Unanswered> {
        let mut link = self.link.lock().await;
        if let Some(open) = &link.open {
            return Ok((link.number, open.clone()));
        }
        if link.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(Unanswered::Unreachable);
        }
        let client = self.client.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(STEP))
            .set_response_timeout(Some(STEP))
            .set_concurrency_limit(TURNS);
        let made = self.node.spawn(async move {
            timeout(STEP, client.get_multiplexed_async_connection_with_config(&config)).await
        });
        match made.await {
            Ok(Ok(Ok(connection))) => {
                *link = Link { open: Some(connection.clone()), number: link.number + 1, failed: None };
                return Ok((link.number, connection));
            }
            Ok(Ok(Err(error))) => self.tell("it cannot be reached", Some(&error)),
            Ok(Err(_)) => self.tell("it is not connected in time", None),
            Err(_) => {}
        }
        link.failed = Some(Instant::now());
        Err(Unanswered::Unreachable)
    }

    /// This connection is of no more use.
    async fn close(&self, number: u64) {
        let mut link = self.link.lock().await;
        if link.number == number {
            link.open = None;
        }
    }

    /// What guests are told of a refusal: its kind, since the rest may name other servers and users.
    fn refused(&self, error: &RedisError) -> Unanswered {
        self.tell("it refuses a question", Some(error));
        match error.code() {
            Some(code) => Unanswered::Refused(code.to_owned()),
            None => Unanswered::Garbled,
        }
    }

    fn tell(&self, what: &'static str, error: Option<&RedisError>) {
        let mut told = self.told.lock();
        if told.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        *told = Some(Instant::now());
        let error = error.map(tracing::field::display);
        tracing::warn!(server = %self.place, what, error, "Redis is of no use to guests");
    }
}
