//! The shared caches: one line a kind.
//!
//! A kind belongs in the table if some controller reads it. Watching it, letting it speak for its kind and waiting for
//! its first list follow from the line; of kinds with many large objects the line names what takes away what nobody reads.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::certificates::v1beta1::{ClusterTrustBundle, PodCertificateRequest};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass, VolumeAttachment, VolumeAttributesClass};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wherry_api::kinds::{SwitchedOn, optional};

use crate::certificates::trust_bundles;
use crate::objects::trim;
use crate::runtime::backoff::Jitter;
use crate::runtime::cache::Cache;
use crate::runtime::everything::Everything;
use crate::runtime::life::Life;
use crate::runtime::watch::{Event, follow};

/// Which objects of a kind a cache holds.
#[derive(Clone, Copy)]
enum Hold {
    All,
    /// Only those this field selector chooses.
    Fields(&'static str),
}

macro_rules! trims {
    () => {
        |_| {}
    };
    ($trim:path) => {
        $trim
    };
}

macro_rules! caches {
    ($($(#[$about:meta])* $field:ident: $kind:ty, $hold:expr $(, $trim:path)?;)*) => {
        /// One cache for each kind that some controller reads.
        pub(crate) struct Caches {
            $($(#[$about])* pub(crate) $field: Cache<$kind>,)*
        }

        impl Caches {
            /// Empty caches, whose handlers belong to `life`.
            pub(crate) fn new(life: &Life) -> Self {
                Self { $($field: Cache::new(life.clone(), trims!($($trim)?)),)* }
            }

            /// The same caches, for handlers of this life.
            pub(crate) fn of_life(&self, life: &Life) -> Self {
                Self { $($field: self.$field.of_life(life),)* }
            }

            /// Starts one watch for each cache.
            pub(crate) fn watch_all(&self, watches: &mut Watches<'_>) {
                $(watches.start(&self.$field, $hold);)*
            }

            /// Lets the caches that hold all objects of their kind speak for it.
            pub(crate) fn speak_to(&self, everything: &Arc<Everything>) {
                $(if matches!($hold, Hold::All) { everything.hear(&self.$field) })*
            }

            /// Waits until every cache has been filled.
            pub(crate) async fn synced(&self) {
                $(self.$field.synced().await;)*
            }
        }
    };
}

caches! {
    deployments: Deployment, Hold::All;
    replica_sets: ReplicaSet, Hold::All;
    replication_controllers: ReplicationController, Hold::All;
    stateful_sets: StatefulSet, Hold::All;
    daemon_sets: DaemonSet, Hold::All;
    controller_revisions: ControllerRevision, Hold::All;
    persistent_volume_claims: PersistentVolumeClaim, Hold::All;
    persistent_volumes: PersistentVolume, Hold::All;
    resource_claims: ResourceClaim, Hold::All;
    resource_claim_templates: ResourceClaimTemplate, Hold::All;
    storage_classes: StorageClass, Hold::All;
    csi_drivers: CSIDriver, Hold::All;
    volume_attachments: VolumeAttachment, Hold::All;
    volume_attributes_classes: VolumeAttributesClass, Hold::All;
    pods: Pod, Hold::All, trim::pod;
    jobs: Job, Hold::All;
    cron_jobs: CronJob, Hold::All;
    disruption_budgets: PodDisruptionBudget, Hold::All;
    autoscalers: HorizontalPodAutoscaler, Hold::All;
    services: Service, Hold::All;
    service_cidrs: ServiceCIDR, Hold::All;
    ip_addresses: IPAddress, Hold::All;
    endpoint_slices: EndpointSlice, Hold::All;
    endpoints: Endpoints, Hold::All;
    namespaces: Namespace, Hold::All;
    nodes: Node, Hold::All;
    leases: Lease, Hold::All;
    service_accounts: ServiceAccount, Hold::All;
    resource_quotas: ResourceQuota, Hold::All;
    certificate_signing_requests: CertificateSigningRequest, Hold::All;
    pod_certificate_requests: PodCertificateRequest, Hold::All;
    /// Those of the API server itself.
    trust_bundles: ClusterTrustBundle, Hold::Fields(trust_bundles::SELECTOR);
    cluster_roles: ClusterRole, Hold::All;
    root_cas: ConfigMap, Hold::Fields("metadata.name=kube-root-ca.crt");
    cluster_infos: ConfigMap, Hold::Fields("metadata.name=cluster-info,metadata.namespace=kube-public");
    token_secrets: Secret, Hold::Fields("type=kubernetes.io/service-account-token");
    bootstrap_secrets: Secret, Hold::Fields("type=bootstrap.kubernetes.io/token,metadata.namespace=kube-system");
}

/// What the watches of the caches are started with.
pub(crate) struct Watches<'a> {
    pub(crate) client: Client,
    pub(crate) jitter: Arc<Jitter>,
    pub(crate) shutdown: CancellationToken,
    /// Which kinds of those that need not be served are.
    pub(crate) switched_on: SwitchedOn,
    /// Where they run.
    pub(crate) tasks: &'a mut JoinSet<()>,
}

impl Watches<'_> {
    fn start<K>(&mut self, cache: &Cache<K>, hold: Hold)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let fields = match hold {
            Hold::All => None,
            Hold::Fields(selector) => Some(selector),
        };
        let (group, kind) = (K::group(&()), K::kind(&()));
        if optional(&group, &kind).is_some() && !self.switched_on.has(&group, &kind) {
            // There are none, and there is nothing to ask.
            cache.apply(Event::Listed(Vec::new(), 0));
            return;
        }
        let api = Api::<K>::all(self.client.clone());
        let (cache, jitter, shutdown) = (cache.clone(), self.jitter.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            let sink = |event: Event<K>| cache.apply(event);
            follow((&K::kind(&()), &api, fields), sink, &jitter, shutdown).await;
        });
    }
}
