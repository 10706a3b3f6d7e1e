//! The controllers there are: one line each.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::context::Context;
use crate::deployment::DeploymentController;
use crate::endpoint_slice::EndpointSliceController;
use crate::endpoints::EndpointsController;
use crate::garbage::GarbageCollector;
use crate::namespace::NamespaceController;
use crate::nodes::lifecycle::NodeLifecycleController;
use crate::nodes::pod_gc::PodGcController;
use crate::replica_set::ReplicaSetController;
use crate::resource_quota::ResourceQuotaController;
use crate::root_ca::RootCaController;
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, work};
use crate::service_account::ServiceAccountController;

/// Registers a controller's handlers and returns its loop, to be run once the caches are filled.
pub(crate) type Start = fn(&Context) -> BoxFuture<'static, ()>;

/// All controllers.
pub(crate) const CONTROLLERS: &[Start] = &[
    start::<DeploymentController>,
    start::<ReplicaSetController>,
    start::<EndpointSliceController>,
    start::<EndpointsController>,
    start::<ServiceAccountController>,
    start::<RootCaController>,
    start::<NamespaceController>,
    start::<ResourceQuotaController>,
    start::<GarbageCollector>,
    start::<NodeLifecycleController>,
    start::<PodGcController>,
];

fn start<C: Controller>(context: &Context) -> BoxFuture<'static, ()> {
    let queue = Arc::new(Queue::new(context.jitter.clone()));
    let controller = C::new(context, &queue);
    Box::pin(work(controller, queue, context.shutdown.clone()))
}
