//! [`ApiServer`]: the API as a router, in process or behind TLS.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, Uri};

use crate::aggregate::availability;
use crate::audit;
use crate::auth::UserInfo;
use crate::authorize::{Wish, reload};
use crate::config::Config;
use crate::custom;
use crate::handle::handle;
use crate::request::query::Query;
use crate::state::State;

/// The Kubernetes API over a store. A cheap handle.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<State>,
}

impl ApiServer {
    /// An API server. It does nothing until a request comes.
    pub fn new(config: Config) -> Self {
        Self { state: Arc::new_cyclic(|this| State::new(config, this)) }
    }

    /// The API for whoever the request's [`UserInfo`] extension says; nobody without one.
    pub fn router(&self) -> Router {
        self.routes(None)
    }

    /// The API for one user: the transport of clients in this process.
    pub fn router_as(&self, user: UserInfo) -> Router {
        self.routes(Some(user))
    }

    fn routes(&self, user: Option<UserInfo>) -> Router {
        let state = Arc::clone(&self.state);
        Router::new()
            .fallback(move |request: Request<Body>| handle(Arc::clone(&state), user.clone(), request))
    }

    /// Keeps what the server says of its own objects true, until it stops: for whoever runs the server to spawn.
    pub async fn keep(&self) {
        let availability = availability::run(Arc::clone(&self.state));
        let audit = audit::run(Arc::clone(&self.state));
        let authorization = reload::run(Arc::clone(&self.state));
        let definitions = custom::controller::run(Arc::clone(&self.state));
        Box::pin(async { tokio::join!(availability, definitions, audit, authorization) }).await;
    }

    /// Whether roles and bindings let a user send a request of this method and path.
    pub fn allows(&self, user: &UserInfo, method: &Method, uri: &Uri) -> bool {
        let query = Query::parse(uri.query().unwrap_or_default());
        let wish = Wish::of(method, uri.path(), &query);
        self.state.authorizer.decide_now(&wish.by(user)).allowed
    }

    /// Ends all watches and refuses to start new ones; for clients in this process when the server is not served.
    pub fn stop(&self) {
        self.state.stopping.cancel();
        self.closed();
    }

    /// Lets what was recorded be written to its end: after the last answer.
    pub(crate) fn closed(&self) {
        if let Some(audit) = &self.state.audit {
            audit.close();
        }
    }

    /// Answers a request of whoever the connection belongs to.
    pub(crate) async fn answer(&self, user: Option<UserInfo>, request: Request<Body>) -> Response {
        handle(Arc::clone(&self.state), user, request).await
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}
