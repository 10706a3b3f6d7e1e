//! Components: the parts of the control plane that this server knows of, looked at when somebody asks.
//!
//! That is the store. Controllers and scheduler are clients like others, which this server does not look after.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use wherry_schema::Value;
use wherry_store::{Attributes, Entry};

use super::list::{self, Page};
use super::{Cx, show};
use crate::codec;
use crate::error::Failure;
use crate::health::Check;
use crate::object::Fields;
use crate::request::negotiate::{Accept, Shape};
use crate::request::query::ListOptions;
use crate::respond;

/// The name of the store; clients know it by that of upstream's.
const STORE: &str = "etcd-0";

/// Answers whether a component works.
pub(crate) async fn get(cx: &Cx<'_>, name: &str, accept: Accept) -> Result<Response, Failure> {
    if name != STORE {
        return Err(cx.not_found(name));
    }
    let entry = store(cx).await;
    match accept.shape {
        Shape::Table(version, include) => {
            let rows = std::iter::once(&entry.value[..]);
            let bytes = cx.renderer(version, include).table(rows, "{}", true)?;
            Ok(respond::json(StatusCode::OK, bytes, accept.yaml))
        }
        _ => show::object(cx, StatusCode::OK, &entry.value, accept).await,
    }
}

/// Answers whether the components work that are asked for.
pub(crate) async fn list(cx: &Cx<'_>, options: &ListOptions, accept: Accept) -> Result<Response, Failure> {
    let known = |field: &str| (field == "metadata.name").then_some(STORE);
    let wanted = options.labels.matches(|_| None) && options.fields.matches(known);
    let mut entries = Vec::new();
    if wanted {
        entries.push(store(cx).await);
    }
    list::respond(cx, Page::unversioned(entries), accept).await
}

/// The state of the store.
async fn store(cx: &Cx<'_>) -> Arc<Entry> {
    let mut condition = Value::object();
    condition.put("type", "Healthy");
    match Check::Store.run(cx.state).await {
        Ok(()) => {
            condition.put("status", "True");
            condition.put("message", "ok");
        }
        Err(why) => {
            condition.put("status", "False");
            condition.put("error", why);
        }
    }
    let mut object = Value::object();
    object.put("metadata.name", STORE);
    object.put("conditions", vec![condition]);
    let value = codec::encode_loose(cx.kind.kind, &cx.kind.api_version(), &object);
    let attributes = Arc::new(Attributes::from(Vec::new()));
    let key = Arc::from(codec::key(cx.kind, "", STORE));
    Arc::new(Entry { key, value, create_revision: 0, mod_revision: 0, attributes })
}
