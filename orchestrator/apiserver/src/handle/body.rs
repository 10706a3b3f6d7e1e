//! What a request says besides its path: how it wants its answer, its options, its body.

use axum::body::Body;
use bytes::Bytes;
use http::header::USER_AGENT;
use wherry_schema::Format;

use super::Exchange;
use crate::error::Failure;
use crate::request::body;
use crate::request::negotiate::{Accept, BodyFormat, Include, PatchType, Shape, patch_type};
use crate::request::query::{WriteOptions, manager_of};
use crate::verbs::delete_options::DeleteOptions;
use crate::verbs::{Cx, apply, delete};

impl Exchange {
    pub(super) fn accept(&self, collection: bool) -> Result<Accept, Failure> {
        let asked = self.query.get("includeObject").unwrap_or_default();
        let include = Include::parse(asked);
        let accept = Accept::parse(&self.parts.headers, include.unwrap_or(Include::Metadata), collection)?;
        if include.is_none() && matches!(accept.shape, Shape::Table(..)) {
            return Err(Failure::BadRequest(format!(
                "Unable to convert to Table as requested: includeObject: Unsupported value: {asked:?}: supported values: \
                 \"Metadata\", \"Object\", \"None\", \"\""
            )));
        }
        Ok(accept)
    }

    pub(super) fn write_options(&self, kind: &str) -> Result<WriteOptions, Failure> {
        WriteOptions::parse(&self.query, kind).map(|options| self.with_manager(options))
    }

    pub(super) fn patch_options(&self, apply: bool) -> Result<WriteOptions, Failure> {
        WriteOptions::parse_patch(&self.query, apply).map(|options| self.with_manager(options))
    }

    /// Options in which somebody owns what is written.
    pub(super) fn with_manager(&self, mut options: WriteOptions) -> WriteOptions {
        if options.manager.is_empty() {
            let agent = self.parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
            options.manager = manager_of(agent.unwrap_or_default());
        }
        options
    }

    pub(super) async fn read(&self, body: Body) -> Result<Bytes, Failure> {
        let bytes = body::read(body, self.state.max_body_bytes).await?;
        self.hear_change(&bytes);
        Ok(bytes)
    }

    /// Reads a body that holds an object, as text.
    pub(super) async fn read_object(&self, body: Body) -> Result<(Bytes, Format), Failure> {
        let format = BodyFormat::of(&self.parts.headers)?;
        let (bytes, format) = format.text(body::read(body, self.state.max_body_bytes).await?)?;
        self.hear_object(&bytes, format);
        Ok((bytes, format))
    }

    /// Which patch the body is. Nothing says how the lists of custom objects merge strategically.
    pub(super) fn patch_type(&self, cx: &Cx<'_>) -> Result<PatchType, Failure> {
        match (patch_type(&self.parts.headers), cx.custom) {
            (Ok(kind @ (PatchType::Json | PatchType::Merge)), _) => Ok(kind),
            (found, None) => found,
            (_, Some(_)) => Err(Failure::UnsupportedBody(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
                    .to_owned(),
            )),
        }
    }

    /// Reads a configuration for server-side apply.
    pub(super) async fn config(&self, body: Body) -> Result<(apply::Config, WriteOptions), Failure> {
        let options = self.patch_options(true)?;
        let config = apply::Config::parse(&self.read(body).await?, &options)?;
        Ok((config, options))
    }

    pub(super) fn delete_options(&self, cx: &Cx<'_>, body: Bytes) -> Result<DeleteOptions, Failure> {
        let options = DeleteOptions::parse(body, &self.parts.headers, &self.query)?;
        if let Some(warning) = delete::warning(cx, &options) {
            self.notes.warn(warning);
        }
        Ok(options)
    }
}
