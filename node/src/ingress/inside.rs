//! Wasm servers of this node, which the proxy asks without a connection.
//!
//! Policies have no say: a node reaches its own Pods whatever they want.

use std::net::SocketAddr;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use wherry_ingress::{Body, BodyError, Ended, Inside, Server};
use wherry_wasm_runtime::{Listener, Paths as _};

use crate::in_process::InProcess;

/// The servers.
pub(super) struct Guests(pub(super) InProcess);

struct Guest(Listener);

impl Inside for Guests {
    fn at(&self, address: SocketAddr) -> Option<Box<dyn Server>> {
        let listener = self.0.listening.at(address)?;
        self.0.handed_over();
        Some(Box::new(Guest(listener)))
    }
}

impl Server for Guest {
    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Ended>> {
        let answer = async {
            let response = self.0.clone().answer(request).await?;
            let broken = |error| BodyError::Broken(Box::new(error));
            Ok(response.map(|body| Body::new(http_body_util::BodyExt::map_err(body, broken))))
        };
        answer.boxed()
    }
}
