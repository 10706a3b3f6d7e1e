//! Where the rules of a route lead. Pure.

use std::sync::Arc;

use http::StatusCode;
use wherry_ingress::{Backend, HeaderEdits, Protocol};

use super::listeners::Problem;
use super::objects::{Kind, Reference};
use super::route::{End, Ends, RouteRule};
use crate::ingress::compile::backend;
use crate::ingress::model::{PortRef, Service};
use crate::ingress::world::World;
use crate::services::ObjectKey;

/// Finds the backends of the rules of one route.
pub(super) struct Finder<'w> {
    pub(super) world: &'w World,
    pub(super) kind: Kind,
    pub(super) route: &'w ObjectKey,
    /// Why references of the route lead nowhere.
    pub(super) resolved: Result<(), Problem>,
}

impl Finder<'_> {
    /// Where a rule leads. A backend that cannot be is answered for in its place, as often as its weight says.
    pub(super) fn ends(&mut self, rule: &RouteRule) -> Ends {
        let mut ends = Ends::default();
        for End { to, request, response } in &rule.backends {
            let found = self.find(to).unwrap_or_else(|| self.nobody(to));
            let found = Backend { request: request.clone(), response: response.clone(), ..found };
            ends.backends.push((to.weight.unwrap_or(1), Arc::new(found)));
        }
        for (fraction, reference) in &rule.filters.mirrors {
            if let Some(found) = self.find(reference) {
                ends.mirrors.push((*fraction, Arc::new(found)));
            }
        }
        ends
    }

    fn find(&mut self, reference: &Reference) -> Option<Backend> {
        match self.resolve(reference) {
            Ok(found) => Some(found),
            Err(problem) => {
                self.resolved = Err(problem);
                None
            }
        }
    }

    fn resolve(&self, reference: &Reference) -> Result<Backend, Problem> {
        if !reference.is("", "Service") {
            return Err(("InvalidKind", "backends are Services".to_owned()));
        }
        let namespace = reference.namespace.clone().unwrap_or_else(|| self.route.namespace.clone());
        let key = ObjectKey { namespace, name: reference.name.clone() };
        if !self.world.gateways.may_refer(self.kind, &self.route.namespace, ("Service", &key)) {
            let (kind, namespace) = (self.kind.name(), &self.route.namespace);
            let text = format!("no ReferenceGrant lets {kind}s of {namespace} use Service {key}");
            return Err(("RefNotPermitted", text));
        }
        let port = reference.port.map(PortRef::Number);
        let service = self.world.services.get(&key);
        if service == Some(&Service::External) {
            return Err((
                "InvalidKind",
                format!("Service {key} is of type ExternalName, which is not followed"),
            ));
        }
        let Some(port) = port.filter(|port| service.is_some_and(|service| service.port(port).is_some()))
        else {
            return Err(("BackendNotFound", format!("Service {key} is missing, or has no such port")));
        };
        let found = backend(self.world, &key, &port);
        // Calls of gRPC are HTTP/2, whatever a Service says of its port.
        let protocol = if self.kind == Kind::GrpcRoute { Protocol::Http2 } else { found.protocol };
        Ok(Backend { protocol, ..found })
    }

    fn nobody(&self, reference: &Reference) -> Backend {
        // A client of gRPC reads this as UNAVAILABLE, as it is to.
        let of_calls = self.kind == Kind::GrpcRoute;
        let nowhere =
            if of_calls { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        let name = reference.name.as_str().into();
        let (request, response) = (HeaderEdits::default(), HeaderEdits::default());
        Backend { name, endpoints: Vec::new(), protocol: Protocol::Http1, nowhere, request, response }
    }
}
