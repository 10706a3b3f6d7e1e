//! Parts of objects that are no objects of their kind: requests to do something, or another view.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::Exchange;
use crate::admission::dynamic::{self, Operation, connection};
use crate::admission::node_restriction;
use crate::error::Failure;
use crate::object;
use crate::proxy;
use crate::request::negotiate::{is_apply, patch_type};
use crate::respond;
use crate::verbs::update::Part;
use crate::verbs::{Cx, bind, evict, get, log, scale, streams, token};

impl Exchange {
    pub(super) async fn subresource(
        &self,
        cx: &Cx<'_>,
        name: &str,
        (sub, verb): (&str, &str),
        body: Body,
    ) -> Result<Response, Failure> {
        if matches!(sub, "attach" | "exec" | "portforward" | "proxy") {
            let path = proxy::path_of(&self.parts.uri, cx.kind.namespaced);
            let mut options = connection::options(cx, sub, &path, &self.query);
            dynamic::look_at(cx, (Operation::Connect, sub), name, (&mut options, None)).await?;
        }
        match sub {
            "log" => log::log(cx, name, (&self.query, &self.parts)).await,
            "attach" | "exec" | "portforward" => {
                streams::open(cx, name, sub, (&self.query, &self.parts)).await
            }
            "proxy" => proxy::proxy(cx, name, &self.parts, body).await,
            "binding" => self.bind(cx, Some(name), body).await,
            "eviction" => self.evict(cx, name, body).await,
            "finalize" => self.update(cx, name, Part::Finalize, body).await,
            "approval" => self.approval(cx, name, verb, body).await,
            "token" => self.token(cx, name, body).await,
            "scale" => self.scale(cx, name, verb, body).await,
            _ => Err(Failure::NoSuchResource),
        }
    }

    /// Whether a request for a certificate is granted.
    async fn approval(&self, cx: &Cx<'_>, name: &str, verb: &str, body: Body) -> Result<Response, Failure> {
        match verb {
            "get" => get::get(cx, name, &self.query, self.accept(false)?).await,
            "patch" => self.patch(cx, name, Part::Approval, body).await,
            _ => self.update(cx, name, Part::Approval, body).await,
        }
    }

    pub(super) async fn bind(
        &self,
        cx: &Cx<'_>,
        name: Option<&str>,
        body: Body,
    ) -> Result<Response, Failure> {
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let (mut binding, warnings) = bind::parse(&bytes, format, options.validation)?;
        let given = object::name(&binding).to_owned();
        let name = name.unwrap_or(&given);
        node_restriction::bind(cx, name)?;
        dynamic::look_at(cx, (Operation::Create, "binding"), name, (&mut binding, Some(&options))).await?;
        let status = bind::bind(cx, name, &binding, &options).await?;
        let mut response = respond::json(StatusCode::CREATED, status.into(), false);
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn evict(&self, cx: &Cx<'_>, name: &str, body: Body) -> Result<Response, Failure> {
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let mut eviction = evict::parse(&bytes, format)?;
        node_restriction::evict(cx, name)?;
        dynamic::look_at(cx, (Operation::Create, "eviction"), name, (&mut eviction, Some(&options))).await?;
        let status = evict::evict(&cx.looked_at(), name, &eviction, options.dry_run).await?;
        Ok(respond::json(StatusCode::CREATED, status.into(), false))
    }

    async fn token(&self, cx: &Cx<'_>, name: &str, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let (mut request, warnings) = token::parse(&bytes, format, options.validation)?;
        node_restriction::token(cx, name, &request)?;
        dynamic::look_at(cx, (Operation::Create, "token"), name, (&mut request, Some(&options))).await?;
        let answer = token::issue(cx, name, request, &options.manager)?;
        let mut response = respond::json(StatusCode::CREATED, answer, accept.yaml);
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn scale(&self, cx: &Cx<'_>, name: &str, verb: &str, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        if verb == "get" {
            let entry = self.state.store.get(&cx.key(name)).ok_or_else(|| cx.not_found(name))?;
            return scale::answer(cx, StatusCode::OK, &entry.value, accept).await;
        }
        let headers = &self.parts.headers;
        let (wanted, options) = if verb != "patch" {
            let options = self.write_options("UpdateOptions")?;
            let (bytes, format) = self.read_object(body).await?;
            (scale::Wanted::put(name, &bytes, format, &options)?, options)
        } else if is_apply(headers) {
            let (config, options) = self.config(body).await?;
            (scale::Wanted::Apply(config), options)
        } else {
            let kind = patch_type(headers)?;
            let options = self.patch_options(false)?;
            (scale::Wanted::patch(kind, &self.read(body).await?)?, options)
        };
        let stored = scale::scale(cx, name, &wanted, &options).await?;
        scale::answer(cx, StatusCode::OK, &stored, accept).await
    }
}
