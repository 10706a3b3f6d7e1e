//! The controllers there are: one line each.

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;

use crate::autoscaler::AutoscalerController;
use crate::certificates::approver::CertificateApprover;
use crate::certificates::cleaner::CertificateCleaner;
use crate::certificates::pod_cleaner::PodCertificateCleaner;
use crate::certificates::signer::CertificateSigner;
use crate::certificates::trust_bundles::TrustBundlePublisher;
use crate::cluster_role::ClusterRoleController;
use crate::context::Context;
use crate::cron_job::CronJobController;
use crate::daemon_set::DaemonSetController;
use crate::deployment::DeploymentController;
use crate::disruption::DisruptionController;
use crate::disruption::stale::StaleDisruptionController;
use crate::endpoint_slice::EndpointSliceController;
use crate::endpoint_slice_mirroring::EndpointSliceMirroringController;
use crate::endpoints::EndpointsController;
use crate::garbage::GarbageCollector;
use crate::job::JobController;
use crate::job::orphans::JobOrphansController;
use crate::load_balancer::LoadBalancerController;
use crate::namespace::NamespaceController;
use crate::nodes::lifecycle::NodeLifecycleController;
use crate::nodes::pod_gc::PodGcController;
use crate::nodes::ranges::NodeRangesController;
use crate::nodes::taint_eviction::TaintEvictionController;
use crate::replica_set::ReplicaController;
use crate::resource_claim::cleaner::ResourceClaimCleaner;
use crate::resource_claim::maker::ResourceClaimMaker;
use crate::resource_quota::ResourceQuotaController;
use crate::root_ca::RootCaController;
use crate::runtime::life::supervise;
use crate::runtime::worker::Controller;
use crate::service_account::ServiceAccountController;
use crate::service_cidrs::ServiceCidrController;
use crate::service_cidrs::repair::AddressRepairController;
use crate::stateful_set::StatefulSetController;
use crate::storage::attach::AttachDetachController;
use crate::storage::binder::VolumeBinder;
use crate::storage::ephemeral::EphemeralVolumesController;
use crate::storage::expansion::ExpansionController;
use crate::storage::local_path::AbandonedVolumesController;
use crate::storage::protection::{
    AttributesProtectionController, ClaimProtectionController, VolumeProtectionController,
};
use crate::ttl_after_finished::TtlAfterFinishedController;
use crate::{account_tokens, bootstrap_tokens};

/// Runs a controller until shutdown; to be called once the caches are filled.
pub(crate) type Start = fn(Context) -> BoxFuture<'static, ()>;

/// All controllers.
pub(crate) const CONTROLLERS: &[Start] = &[
    start::<DeploymentController>,
    start::<ReplicaController<ReplicaSet>>,
    start::<ReplicaController<ReplicationController>>,
    start::<StatefulSetController>,
    start::<DaemonSetController>,
    start::<JobController>,
    start::<JobOrphansController>,
    start::<TtlAfterFinishedController>,
    start::<CronJobController>,
    start::<DisruptionController>,
    start::<StaleDisruptionController>,
    start::<AutoscalerController>,
    start::<EndpointSliceController>,
    start::<EndpointSliceMirroringController>,
    start::<EndpointsController>,
    start::<LoadBalancerController>,
    start::<ServiceCidrController>,
    start::<AddressRepairController>,
    start::<ServiceAccountController>,
    start::<RootCaController>,
    start::<account_tokens::FillController>,
    start::<account_tokens::CleanerController>,
    start::<bootstrap_tokens::CleanerController>,
    start::<bootstrap_tokens::SignerController>,
    start::<NamespaceController>,
    start::<ResourceQuotaController>,
    start::<GarbageCollector>,
    start::<ClusterRoleController>,
    start::<VolumeBinder>,
    start::<AttachDetachController>,
    start::<ClaimProtectionController>,
    start::<VolumeProtectionController>,
    start::<AttributesProtectionController>,
    start::<AbandonedVolumesController>,
    start::<ExpansionController>,
    start::<EphemeralVolumesController>,
    start::<ResourceClaimMaker>,
    start::<ResourceClaimCleaner>,
    start::<NodeLifecycleController>,
    start::<NodeRangesController>,
    start::<TaintEvictionController>,
    start::<PodGcController>,
    start::<CertificateApprover>,
    start::<CertificateSigner>,
    start::<CertificateCleaner>,
    start::<PodCertificateCleaner>,
    start::<TrustBundlePublisher>,
];

fn start<C: Controller>(context: Context) -> BoxFuture<'static, ()> {
    Box::pin(supervise::<C>(context))
}
