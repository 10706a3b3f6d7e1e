//! Buckets in the node's Redis: those of a namespace, which all its Pods on all nodes share that say so.
//!
//! # Format
//! A bucket is a hash, `wherry:{NAMESPACE}:BUCKET`; what is counted of a namespace is the hash `wherry:{NAMESPACE}`, with the bytes of each bucket and
//! their `total`. The braces have both in one slot of a cluster.
//!
//! # Guarantees
//! - Changes are scripts, so each is done whole or not at all, and held to the quota of its namespace whoever else changes it.
//! - A guest learns neither where Redis is nor who the node is there: what it is told of errors says neither.
//!
//! # Caveats
//! What others change by hand is not counted, but of a bucket that they remove.

mod server;

use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use redis::{Script, Value};

pub(crate) use self::server::Server;
pub use self::server::{Redis, RedisUrlError};
use self::server::{Unanswered, Way};
use super::{ENTRY, Failure, Keys, PAGE, Pair, Swap, Version};

static SET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("set.lua")));
static DELETE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("delete.lua")));
static INCREMENT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("increment.lua")));
static GET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("get.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static SWAP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("swap.lua")));
static EXISTS: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('HEXISTS', KEYS[1], ARGV[1])"));
static KEYS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keys.lua")));

/// The bytes that are put in or answered at one time.
const AT_ONCE: usize = 4 << 20;
/// The longest name of a bucket or key: a page of them is no more than that, either.
const NAME: usize = 4 << 10;

/// What a namespace has there.
#[derive(Debug)]
pub(crate) struct Namespace {
    server: Arc<Server>,
    /// The hash of what is counted, and how the names of its buckets begin.
    counts: String,
}

impl Namespace {
    pub(crate) fn new(server: Arc<Server>, name: &str) -> Self {
        Self { server, counts: format!("wherry:{{{name}}}") }
    }

    pub(super) async fn get(&self, bucket: &str, keys: Vec<String>) -> Result<Vec<Option<Pair>>, Failure> {
        check_size(keys.iter().map(String::len).sum())?;
        let mut question = GET.key(self.bucket(bucket)?);
        question.arg(AT_ONCE).arg(&keys);
        let values = match self.server.ask(&question, Way::Reads).await? {
            Value::Int(bytes) => return Err(Failure::answer(AT_ONCE, bytes.unsigned_abs())),
            Value::Array(values) if values.len() == keys.len() => values,
            _ => return Err(Unanswered::Garbled.into()),
        };
        let pair = |(key, value)| match value {
            Value::Nil => Ok(None),
            Value::BulkString(value) => Ok(Some((key, value))),
            _ => Err(Unanswered::Garbled.into()),
        };
        keys.into_iter().zip(values).map(pair).collect()
    }

    pub(super) async fn exists(&self, bucket: &str, key: &str) -> Result<bool, Failure> {
        check_size(key.len())?;
        let mut question = EXISTS.key(self.bucket(bucket)?);
        question.arg(key);
        Ok(self.server.ask(&question, Way::Reads).await?)
    }

    /// All of them, or none.
    pub(super) async fn set(&self, bucket: &str, pairs: &[Pair]) -> Result<(), Failure> {
        check_size(pairs.iter().map(|(key, value)| key.len() + value.len()).sum())?;
        let mut question = SET.key(self.bucket(bucket)?);
        question.key(&self.counts).arg(self.server.quota).arg(ENTRY);
        for (key, value) in pairs {
            check_name(key)?;
            question.arg(key).arg(value.as_slice());
        }
        match self.server.ask(&question, Way::Repeats).await? {
            0 => Ok(()),
            wanted => Err(self.exceeded(wanted)),
        }
    }

    pub(super) async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Failure> {
        check_size(keys.iter().map(String::len).sum())?;
        let mut question = DELETE.key(self.bucket(bucket)?);
        question.key(&self.counts).arg(ENTRY).arg(keys);
        let _: u64 = self.server.ask(&question, Way::Repeats).await?;
        Ok(())
    }

    pub(super) async fn increment(
        &self,
        bucket: &str,
        key: &str,
        delta: i128,
        range: RangeInclusive<i128>,
    ) -> Result<i128, Failure> {
        check_name(key)?;
        let mut question = INCREMENT.key(self.bucket(bucket)?);
        // Redis has numbers of 64 bits with a sign.
        let is_signed = i32::from(range.contains(&-1));
        let delta = delta.to_string();
        question.key(&self.counts).arg(self.server.quota).arg(ENTRY).arg(key).arg(delta).arg(is_signed);
        let (became, number): (String, String) = self.server.ask(&question, Way::Once).await?;
        match (became.as_str(), number.parse::<i128>()) {
            ("sum", Ok(sum)) => Ok(sum),
            ("quota", Ok(wanted)) => {
                Err(self.exceeded(u64::try_from(wanted).map_err(|_| Unanswered::Garbled)?))
            }
            ("number", _) => Err(Failure::no_number(key)),
            ("overflow", _) => Err(Failure::overflow(key)),
            _ => Err(Unanswered::Garbled.into()),
        }
    }

    pub(super) async fn read(&self, bucket: &str, key: &str) -> Result<(Option<Vec<u8>>, Version), Failure> {
        check_name(key)?;
        let mut question = READ.key(self.bucket(bucket)?);
        question.arg(AT_ONCE).arg(key);
        let (bytes, value, version): (u64, Option<Vec<u8>>, Version) =
            self.server.ask(&question, Way::Reads).await?;
        if bytes > AT_ONCE as u64 { Err(Failure::answer(AT_ONCE, bytes)) } else { Ok((value, version)) }
    }

    pub(super) async fn swap(
        &self,
        bucket: &str,
        key: &str,
        seen: Version,
        value: Vec<u8>,
    ) -> Result<Swap, Failure> {
        check_name(key)?;
        check_size(key.len() + value.len())?;
        let mut question = SWAP.key(self.bucket(bucket)?);
        question.key(&self.counts).arg(self.server.quota).arg(ENTRY).arg(key).arg(value);
        question.arg(seen.unwrap_or_default());
        let (became, told): (String, Vec<u8>) = self.server.ask(&question, Way::Once).await?;
        match became.as_str() {
            "done" => Ok(Swap::Done),
            "stale" => Ok(Swap::Stale(Some(told).filter(|version| !version.is_empty()))),
            "quota" => {
                let wanted = str::from_utf8(&told).ok().and_then(|wanted| wanted.parse().ok());
                Err(self.exceeded(wanted.ok_or(Unanswered::Garbled)?))
            }
            _ => Err(Unanswered::Garbled.into()),
        }
    }

    pub(super) async fn keys(&self, bucket: &str, cursor: Option<u64>) -> Result<Keys, Failure> {
        let mut question = KEYS.key(self.bucket(bucket)?);
        question.arg(cursor.unwrap_or(0)).arg(PAGE);
        let (next, mut keys): (u64, Vec<String>) = self.server.ask(&question, Way::Reads).await?;
        keys.sort_unstable();
        Ok(Keys { keys, cursor: Some(next).filter(|next| *next != 0) })
    }

    /// What it is called there.
    fn bucket(&self, name: &str) -> Result<String, Failure> {
        check_name(name)?;
        Ok(format!("{}:{name}", self.counts))
    }

    fn exceeded(&self, wanted: u64) -> Failure {
        Failure::quota("this namespace", self.server.quota, wanted)
    }
}

fn check_size(bytes: usize) -> Result<(), Failure> {
    if bytes <= AT_ONCE {
        return Ok(());
    }
    Err(Failure::Other(format!("keys and values are of {bytes} bytes, and {AT_ONCE} are taken at one time")))
}

fn check_name(name: &str) -> Result<(), Failure> {
    if name.len() <= NAME {
        return Ok(());
    }
    Err(Failure::Other(format!("a name is of {} bytes, and may be of {NAME}", name.len())))
}

impl From<Unanswered> for Failure {
    fn from(error: Unanswered) -> Self {
        Self::Other(error.to_string())
    }
}
