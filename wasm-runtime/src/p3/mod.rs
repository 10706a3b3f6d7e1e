//! WASI 0.3: what its components import, and how they are called.
//!
//! A call into such a component is a task of the component's own, beside which others of the same instance go on: what a guest does after it has
//! answered, and whoever takes what it writes. The futures here end when no task is left; whoever drops one of them ends them all with the store.
//!
//! An instance gets one request at a time here as well, so that what a request leaves open, how long it takes and how it fails is its own.

mod names;
mod sockets;

use std::future::poll_fn;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, header};
use http_body::Body;
use wasmtime::Store;
use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::p3::bindings::Command;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{Error, WasiHttpView as _, p3};

use crate::guest::Guest;
use crate::interfaces::environment;
use crate::serve::Answer;

/// Adds what components of WASI 0.3 import.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::add_to_linker(linker)?;
    p3::add_to_linker(linker)?;
    environment::link_p3(linker)?;
    sockets::link(linker)?;
    names::link(linker)
}

/// Runs a command until it has nothing left to do.
pub(crate) async fn run(store: &mut Store<Guest>, command: &Command) -> wasmtime::Result<Result<(), ()>> {
    let ran = store.run_concurrent(async |accessor| {
        let result = command.wasi_cli_run().call_run(accessor).await?;
        idle(accessor).await;
        Ok(result)
    });
    Box::pin(ran).await?
}

/// Has an instance answer a request. It goes on until it has nothing left to do, and until `ended` if it is to answer others: its response is written
/// out only while it does.
pub(crate) async fn handle<B>(
    store: &mut Store<Guest>,
    service: &Service,
    request: Request<B>,
    sender: Answer,
    ended: impl Future<Output = ()> + Send,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    let (request, received) = p3::Request::from_http(store.data_mut().http().hooks, absolute(request)?);
    let handled = store.run_concurrent(async |accessor| {
        let answer = match service.handle(accessor, request).await? {
            Ok(response) => Ok(accessor.with(|store| response.into_http(store, received))?),
            Err(code) => Err(format!("{code:?}")),
        };
        // Whoever asked may be gone.
        let _ = sender.send(answer);
        idle(accessor).await;
        ended.await;
        Ok(())
    });
    Box::pin(handled).await?
}

/// Ends when the guest has nothing left to do.
async fn idle(accessor: &Accessor<Guest>) {
    poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
}

/// The request with the scheme and authority that guests are told; the header that may have had the latter is not for them.
fn absolute<B>(mut request: Request<B>) -> wasmtime::Result<Request<B>> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    if parts.authority.is_none() {
        let host = request.headers().get(header::HOST);
        parts.authority = host.map(|host| Authority::try_from(host.as_bytes())).transpose()?;
    }
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_told_whom_a_request_is_for() {
        let told = |uri: &str, host: &str| {
            let request = Request::get(uri).header(header::HOST, host).body(()).unwrap();
            absolute(request).map(|request| request.uri().to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(told("/a?b=c", "web.shop:8080").unwrap(), "http://web.shop:8080/a?b=c");
        assert_eq!(told("http://web/", "other").unwrap(), "http://web/");
        assert_eq!(told("*", "web").unwrap(), "http://web*", "its path stays an asterisk");
        assert!(told("/", "a b").is_err());
    }
}
