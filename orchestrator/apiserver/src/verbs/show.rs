//! Showing one object in the representation the client accepts.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;

use super::Cx;
use crate::codec;
use crate::error::Failure;
use crate::lean::lean;
use crate::request::negotiate::{Accept, Include, Shape};
use crate::respond;
use crate::table::{self, Renderer};

impl Cx<'_> {
    /// A renderer of this kind's tables.
    pub(crate) fn renderer(&self, version: &'static str, include: Include) -> Renderer<'_> {
        Renderer { rules: self.rules, version, include, now: self.state.clock.now() }
    }

    /// Stored bytes as clients of this kind see the object. A custom one is shown already.
    pub(crate) fn serve(&self, stored: &Bytes) -> Result<Bytes, Failure> {
        if !self.converts() {
            return Ok(stored.clone());
        }
        let object = self.to_served(codec::decode(self.kind.kind, stored)?);
        Ok(codec::encode_loose(self.kind.kind, &self.kind.api_version(), &object))
    }
}

/// The answer that shows an object.
pub(crate) async fn object(
    cx: &Cx<'_>,
    code: StatusCode,
    stored: &Bytes,
    accept: Accept,
) -> Result<Response, Failure> {
    let stored = &match cx.custom {
        Some(served) => served.show(cx.state, stored).await?,
        None => stored.clone(),
    };
    let bytes = match accept.shape {
        Shape::Object | Shape::Discovery => cx.serve(stored)?,
        Shape::Lean => lean(&cx.serve(stored)?)?,
        Shape::Partial(version) => table::partial(stored, version)?,
        Shape::Table(version, include) => row(cx, stored, (version, include), true)?,
    };
    Ok(respond::json(code, bytes, accept.yaml))
}

/// A table of one object.
pub(crate) fn row(
    cx: &Cx<'_>,
    stored: &Bytes,
    (version, include): (&'static str, Include),
    with_columns: bool,
) -> Result<Bytes, Failure> {
    let metadata = format!("{{\"resourceVersion\":\"{}\"}}", revision_of(stored));
    cx.renderer(version, include).table(std::iter::once(&stored[..]), &metadata, with_columns)
}

/// The resourceVersion in stored bytes, read where the store puts it.
pub(crate) fn revision_of(stored: &[u8]) -> String {
    const MARK: &[u8] = b"\"resourceVersion\":\"";
    let at = stored.windows(MARK.len()).position(|w| w == MARK).map(|at| at + MARK.len());
    let digits = stored[at.unwrap_or(stored.len())..].iter().take_while(|b| b.is_ascii_digit());
    digits.map(|b| char::from(*b)).collect()
}
