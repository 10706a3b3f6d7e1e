//! Priority and fairness: who waits when more is asked than can be answered at once.
//!
//! FlowSchemas, the lowest precedence first, say which priority level a request belongs to and whose flow it is. A
//! level answers so many requests at once; beyond that a request waits in one of the level's queues, which its flow
//! chose by shuffle sharding, or is refused with 429. The exempt level never waits.
//!
//! ```text
//! request -> first matching FlowSchema -> level: a free seat ---------------------> answered
//!                                           | none: queue of the flow -> a seat --> answered
//!                                           | queue full, waited too long, no queues -> 429
//! ```
//!
//! Guarantees: a level without waiting requests costs two atomic operations; a request that goes away leaves its
//! queue; a change of the objects counts from the next request on. Not done: levels lend each other no seats, and
//! every request takes one seat whatever it costs.

pub(crate) mod dangling;
mod level;
mod objects;
mod table;

use std::sync::Arc;

use axum::response::Response;
use http::header::{RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use parking_lot::{Mutex, RwLock};
use wherry_store::Store;

pub(crate) use level::{Counts, Refused, Seat};
pub(crate) use table::{Asked, Subject};
use table::{Schema, Table};

use crate::status::plain;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// The answer to a request that was not let in.
pub(crate) fn too_many() -> Response {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The priority levels of a server and who belongs to them.
pub(crate) struct Flow {
    /// How many requests all levels together answer at once.
    concurrency: u32,
    table: RwLock<Arc<Table>>,
    /// Held while the objects are read, so that an older state never replaces a newer one.
    reading: Mutex<()>,
    /// Held while the conditions of schemas are written, so that each is written once.
    marking: tokio::sync::Mutex<()>,
}

/// A request that was let in, until it is dropped.
pub(crate) struct Admitted {
    headers: Labels,
    _seat: Seat,
}

/// The schema and level of a request, as answers name them.
#[derive(Clone)]
pub(crate) struct Labels {
    schema: Option<HeaderValue>,
    level: Option<HeaderValue>,
}

impl Labels {
    fn of(schema: &Schema) -> Self {
        Self { schema: schema.uid.clone(), level: schema.level.uid.clone() }
    }

    /// Adds the names to an answer.
    pub(crate) fn on(&self, mut response: Response) -> Response {
        if let (Some(schema), Some(level)) = (&self.schema, &self.level) {
            response.headers_mut().insert(SCHEMA_UID, schema.clone());
            response.headers_mut().insert(LEVEL_UID, level.clone());
        }
        response
    }
}

impl Admitted {
    /// The schema and level that let the request in.
    pub(crate) fn labels(&self) -> &Labels {
        &self.headers
    }
}

impl Flow {
    /// The levels that the store's objects describe.
    pub(crate) fn new(store: &Store, concurrency: u32) -> Self {
        let table = Table::build(&objects::read(store), concurrency, None);
        Self {
            concurrency,
            table: RwLock::new(Arc::new(table)),
            reading: Mutex::default(),
            marking: tokio::sync::Mutex::default(),
        }
    }

    /// Takes over what the objects say now; requests under way keep their seats.
    pub(crate) fn reload(&self, store: &Store) {
        let _reading = self.reading.lock();
        let old = self.table.read().clone();
        let table = Table::build(&objects::read(store), self.concurrency, Some(&old));
        *self.table.write() = Arc::new(table);
    }

    /// Lets a request in, at once or when its turn comes.
    pub(crate) async fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, (Refused, Labels)> {
        let schema = self.table.read().find(asked);
        let headers = Labels::of(&schema);
        match schema.level.seat(|| schema.flow(asked)).await {
            Ok(seat) => {
                schema.counts.dispatched();
                Ok(Admitted { headers, _seat: seat })
            }
            Err(refused) => {
                schema.counts.refused(refused);
                Err((refused, headers))
            }
        }
    }

    /// Calls `show` with level, schema and counters of each schema, and `level` with each level's name and load.
    pub(crate) fn describe(
        &self,
        mut schema: impl FnMut(&str, &str, &Counts),
        mut level: impl FnMut(&str, [u32; 3]),
    ) {
        let table = self.table.read().clone();
        for one in table.schemas() {
            schema(&one.level.name, &one.name, &one.counts);
        }
        for one in table.levels() {
            level(&one.name, one.load());
        }
    }
}
