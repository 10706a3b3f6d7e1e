//! What a server of components is made of if nothing is added: hyper and `wasmtime_wasi_http` as they come, an instance from
//! the pool for each request, without epochs, logs or limits.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Serves the component of this file to whoever connects, until dropped.
pub(crate) async fn serve(file: PathBuf, listener: TcpListener) {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, file).unwrap();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).unwrap();
    let pre = ProxyPre::<Plain>::new(linker.instantiate_pre(&component).unwrap()).unwrap();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let pre = pre.clone();
        connections.spawn(async move {
            let answer = hyper::service::service_fn(|request| plain_answer(pre.clone(), request));
            let served = hyper::server::conn::http1::Builder::new();
            // Whoever asked knows how the connection ended.
            let _ = served.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

struct Plain {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl WasiView for Plain {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Plain {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

async fn plain_answer(
    pre: ProxyPre<Plain>,
    request: hyper::Request<hyper::body::Incoming>,
) -> wasmtime::Result<hyper::Response<wasmtime_wasi_http::p2::body::HyperOutgoingBody>> {
    let plain =
        Plain { wasi: WasiCtx::builder().build(), http: WasiHttpCtx::new(), table: ResourceTable::new() };
    let mut store = Store::new(pre.engine(), plain);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let instance = wasmtime_wasi::runtime::spawn(async move {
        let proxy = pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    });
    let response = receiver.await??;
    // The body is written by the instance, which must live as long.
    Ok(response.map(|body| http_body_util::BodyExt::boxed_unsync(WithInstance { body, _instance: instance })))
}

struct WithInstance<T> {
    body: wasmtime_wasi_http::p2::body::HyperOutgoingBody,
    _instance: wasmtime_wasi::runtime::AbortOnDropJoinHandle<T>,
}

impl<T: 'static> http_body::Body for WithInstance<T> {
    type Data = bytes::Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
