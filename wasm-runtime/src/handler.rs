//! `wasi:http/outgoing-handler` for components of WASI 0.2: requests that whoever runs the guest drives beside it.
//!
//! The interface that `wasmtime_wasi_http` brings makes two tasks of every request, so that a guest waits until threads have found each
//! other. It is replaced, with the resource that it answers with; requests, responses and bodies stay those that it brings.

use async_trait::async_trait;
use bytes::Bytes;
use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostFutureIncomingResponse as _, Method as Named, Scheme as Asked,
};
use wasmtime_wasi_http::p2::body::HostIncomingBody;
use wasmtime_wasi_http::p2::http_request_error;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, FieldMap, RequestOptions, WasiBody, WasiHttpView as _};

use crate::guest::Guest;

/// The interfaces as `wasmtime_wasi_http` names them; guests of any 0.2 are linked to them.
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";
const TYPES: &str = "wasi:http/types@0.2.12";
const RESOURCE: &str = "future-incoming-response";

/// What comes of a request.
pub(crate) type Answered = Result<Response<WasiBody>, Error>;

/// A response that a guest may ask for, as it was before it asked: nothing yet, an error or a response, or taken by then.
type Got = Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;

/// A response to come. Who drops it wants none any more.
enum Pending {
    Awaited(oneshot::Receiver<Answered>),
    Here(Answered),
    Taken,
}

#[async_trait]
impl Pollable for Pending {
    async fn ready(&mut self) {
        if let Self::Awaited(answered) = self {
            *self = Self::Here(answered.await.unwrap_or(Err(Error::ConnectionTerminated)));
        }
    }
}

/// Replaces the interface in `linker`.
pub(crate) fn drive(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.resource(RESOURCE, ResourceType::host::<Pending>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<Pending>::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut store: StoreContextMut<'_, Guest>, (pending,): (Resource<Pending>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().ctx().table, pending)?;
            Ok((pollable,))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut store: StoreContextMut<'_, Guest>, (pending,): (Resource<Pending>,)| {
            Ok((get(store.data_mut(), &pending)?,))
        },
    )?;
    linker.instance(HANDLER)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, Guest>, (request, options): (_, Option<Resource<RequestOptions>>)| {
            Ok((handle(store.data_mut(), request, options)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn handle(
    guest: &mut Guest,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Result<Resource<Pending>, ErrorCode>> {
    let table = guest.ctx().table;
    let options = options.and_then(|options| table.get(&options).ok().copied());
    let request = match asked(table.delete(request)?) {
        Ok(request) => request,
        Err(code) => return Ok(Err(code)),
    };
    let answered = guest.send(request, options.unwrap_or_default());
    Ok(Ok(guest.ctx().table.push(Pending::Awaited(answered))?))
}

fn get(guest: &mut Guest, pending: &Resource<Pending>) -> wasmtime::Result<Got> {
    let pending = guest.ctx().table.get_mut(pending)?;
    if let Pending::Awaited(_) = pending {
        return Ok(None);
    }
    let Pending::Here(answered) = std::mem::replace(pending, Pending::Taken) else {
        return Ok(Some(Err(())));
    };
    let mut http = guest.http();
    let response = match answered {
        Ok(response) => response,
        Err(error) => {
            // The codes of errors are its own to know.
            let failed = http.table.push(HostFutureIncomingResponse::Ready(Err(error)))?;
            let code = http.get(Resource::new_borrow(failed.rep()))?;
            http.drop(failed)?;
            return Ok(code);
        }
    };
    let (parts, body) = response.into_parts();
    let response = HostIncomingResponse {
        status: parts.status.as_u16(),
        headers: FieldMap::new_immutable(http.hooks, parts.headers),
        body: Some(HostIncomingBody::new(body)),
    };
    Ok(Some(Ok(Ok(http.table.push(response)?))))
}

/// The request that a guest has described.
fn asked(described: HostOutgoingRequest) -> Result<Request<WasiBody>, ErrorCode> {
    let HostOutgoingRequest { method, scheme, authority, path_with_query, headers, body } = described;
    let length = content_length(&headers).map_err(|told| ErrorCode::InternalError(Some(told)))?;
    if body.is_none() && length.is_some_and(|length| length != 0) {
        return Err(ErrorCode::HttpRequestBodySize(Some(0)));
    }
    let method = Named::try_into(method).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let scheme = match scheme {
        None | Some(Asked::Https) => Scheme::HTTPS,
        Some(Asked::Http) => Scheme::HTTP,
        Some(Asked::Other(_)) => return Err(ErrorCode::HttpProtocolError),
    };
    let authority = authority.unwrap_or_default();
    let mut fields = HeaderMap::with_capacity(headers.len() + 1);
    let host = HeaderValue::from_str(&authority).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    fields.insert(header::HOST, host);
    fields.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut uri = Uri::builder().scheme(scheme).authority(authority);
    if let Some(path) = path_with_query {
        uri = uri.path_and_query(path);
    }
    let body = body.unwrap_or_else(|| Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.build().map_err(http_request_error)?;
    *request.headers_mut() = fields;
    Ok(request)
}

/// What a request says of its length, if anything: one number, of digits alone.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    match (length, values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(format!("invalid content-length {value:?}")),
    }
}
