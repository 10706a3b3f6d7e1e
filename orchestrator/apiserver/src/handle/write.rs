//! Writes of whole objects and of the parts that are written as they are.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use wherry_schema::Value;

use super::Exchange;
use crate::admission;
use crate::admission::dynamic::{self, Operation};
use crate::error::Failure;
use crate::object;
use crate::request::negotiate::is_apply;
use crate::request::query::{ListOptions, WriteOptions};
use crate::respond;
use crate::verbs::delete::Deleted;
use crate::verbs::update::{Part, Wanted, update};
use crate::verbs::{Cx, apply, create, delete, delete_collection, incoming, patch, review, show};

impl Exchange {
    /// The object that a body holds, with what the client should know of it.
    async fn sent<'a>(
        &self,
        cx: &Cx<'a>,
        body: Body,
        options: &WriteOptions,
    ) -> Result<(Cx<'a>, Value, Vec<String>), Failure> {
        let (bytes, format) = self.read_object(body).await?;
        let cx = cx.sent(&bytes, format);
        let (object, warnings) = incoming::object(&cx, &bytes, format, options.validation)?;
        Ok((cx, object, warnings))
    }

    pub(super) async fn create(&self, cx: &Cx<'_>, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        if !cx.kind.stored() {
            review::check_shape(accept)?;
        }
        let options = self.write_options("CreateOptions")?;
        let (cx, mut object, mut warnings) = self.sent(cx, body, &options).await?;
        let cx = &cx;
        if !cx.kind.stored() {
            let name = object::name(&object).to_owned();
            dynamic::look_at(cx, (Operation::Create, ""), &name, (&mut object, Some(&options))).await?;
            let mut response = review::answer(cx, object, &options, accept).await?;
            respond::warn(&mut response, &warnings);
            return Ok(response);
        }
        warnings.extend(cx.rules.warnings(&object));
        warnings.extend(admission::warnings(cx, &object));
        let stored = create::create(cx, object, &options).await?;
        let mut response = show::object(cx, StatusCode::CREATED, &stored, accept).await?;
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    pub(super) async fn update(
        &self,
        cx: &Cx<'_>,
        name: &str,
        part: Part,
        body: Body,
    ) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let options = self.write_options("UpdateOptions")?;
        let (cx, object, mut warnings) = self.sent(cx, body, &options).await?;
        let cx = &cx;
        warnings.extend(part.warnings(cx, &object));
        let missing = self.state.store.get(&cx.key(name)).is_none();
        let (code, stored) = if missing && part == Part::Whole && cx.rules.create_on_update() {
            if object::name(&object) != name {
                let given = object::name(&object);
                let text =
                    format!("the name of the object ({given}) does not match the name on the URL ({name})");
                return Err(Failure::BadRequest(text));
            }
            (StatusCode::CREATED, create::create(cx, object, &options).await?)
        } else {
            let change = &mut |_: &Value| Ok(Wanted::Put(object.clone()));
            (StatusCode::OK, update(cx, name, part, &options, change).await?)
        };
        let mut response = show::object(cx, code, &stored, accept).await?;
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    pub(super) async fn patch(
        &self,
        cx: &Cx<'_>,
        name: &str,
        part: Part,
        body: Body,
    ) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let mut warnings = Vec::new();
        let (code, stored) = if is_apply(&self.parts.headers) {
            let (config, options) = self.config(body).await?;
            apply::apply(cx, (name, part), &config, &options, &mut warnings).await?
        } else {
            let kind = self.patch_type(cx)?;
            let options = self.patch_options(false)?;
            let patch = patch::Patch::parse(kind, &self.read(body).await?)?;
            let change = &mut |old: &Value| {
                let object = patch.apply(cx, old, &options, &mut warnings)?;
                warnings.extend(part.warnings(cx, &object));
                Ok(Wanted::Patched(object))
            };
            (StatusCode::OK, update(cx, name, part, &options, change).await?)
        };
        let mut response = show::object(cx, code, &stored, accept).await?;
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    pub(super) async fn delete(&self, cx: &Cx<'_>, name: &str, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let bytes = self.read(body).await?;
        let options = self.delete_options(cx, bytes)?;
        match delete::delete(cx, name, &options).await? {
            Deleted::Object(stored) => show::object(cx, StatusCode::OK, &stored, accept).await,
            Deleted::Marked(stored) => {
                let code = if options.orphan == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
                show::object(cx, code, &stored, accept).await
            }
            Deleted::Status(status) => Ok(respond::json(StatusCode::OK, status.into(), accept.yaml)),
        }
    }

    /// Deletes every object that a list would answer.
    pub(super) async fn delete_collection(&self, cx: &Cx<'_>, body: Body) -> Result<Response, Failure> {
        let which = ListOptions::parse(&self.query, false)?;
        let bytes = self.read(body).await?;
        let options = self.delete_options(cx, bytes)?;
        delete_collection::delete_collection(cx, &which, &options, self.accept(true)?).await
    }
}
