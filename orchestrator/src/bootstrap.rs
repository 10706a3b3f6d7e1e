//! The objects every cluster begins with, created at each start where they are missing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::{
    ConfigMap, EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Namespace, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use k8s_openapi::api::networking::v1::{IngressClass, ServiceCIDR};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use wherry_api::ranges::Ranges;
use wherry_api::{ingress, local_path};
use wherry_apiserver::bootstrap as api;

use crate::pki::FRONT_PROXY;
use crate::policy;

/// Namespaces that exist from the beginning.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// How long it takes until publishing is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Where the API server is, for the `kubernetes` Service.
#[derive(Clone, Copy, Debug)]
pub struct ApiAddress {
    /// First address of the service range.
    pub cluster_ip: IpAddr,
    /// The ranges of Services.
    pub service_cidr: Ranges,
    /// The server's port.
    pub port: u16,
    /// Where Pods reach it, if they can.
    pub advertised: Option<SocketAddr>,
}

/// Creates what is missing and refreshes the address of the API server.
pub async fn run(client: &Client, address: ApiAddress, now: Timestamp) -> Result<(), kube::Error> {
    try_join_all(NAMESPACES.map(|name| create_namespace(client, name))).await?;
    policy::reconcile(client).await?;
    configure(client, address.service_cidr, now).await?;
    let service = create_in::<Service>(client, "default", kubernetes_service(address));
    let priorities =
        try_join_all(priority_classes().into_iter().map(|c| create_all::<PriorityClass>(client, c)));
    let (service, priorities, published) = futures::join!(service, priorities, publish(client, address));
    service?;
    priorities?;
    published
}

/// Creates what configures the API itself.
async fn configure(client: &Client, service_cidr: Ranges, now: Timestamp) -> Result<(), kube::Error> {
    create_all::<ServiceCIDR>(client, api::service_cidr(service_cidr)).await?;
    settle_range(client, service_cidr, now).await?;
    let levels = api::priority_levels().into_iter();
    try_join_all(levels.map(|level| create_all::<PriorityLevelConfiguration>(client, level))).await?;
    let schemas = api::flow_schemas().into_iter();
    try_join_all(schemas.map(|schema| create_all::<FlowSchema>(client, schema))).await?;
    let services = api::api_services().into_iter();
    try_join_all(services.map(|service| create_all::<APIService>(client, service))).await.map(drop)
}

/// Adds the second family to the range of cluster IPs of a cluster that had one, and says of the range that it can be used; only
/// where it is ours, and where nothing is said of it.
async fn settle_range(client: &Client, service_cidr: Ranges, now: Timestamp) -> Result<(), kube::Error> {
    let api = Api::<ServiceCIDR>::all(client.clone());
    let found = api.get("kubernetes").await?;
    let own: Vec<String> = service_cidr.iter().map(|range| range.to_string()).collect();
    let cidrs = found.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
    if found.metadata.deletion_timestamp.is_some() || cidrs.is_empty() || !own.starts_with(&cidrs) {
        return Ok(());
    }
    if cidrs != own {
        let patch = json!({ "spec": { "cidrs": own } });
        api.patch("kubernetes", &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
    if conditions.iter().any(|condition| condition.type_ == "Ready") {
        return Ok(());
    }
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": Timestamp::from_second(now.as_second()).unwrap_or(now).to_string(),
    });
    let patch = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "status": {"conditions": [ready]},
    });
    let params = PatchParams::apply("kubernetes-service-cidr-controller").force();
    api.patch_status("kubernetes", &params, &Patch::Apply(patch)).await.map(drop)
}

/// Publishes where the API server is, if Pods can reach it.
async fn publish(client: &Client, address: ApiAddress) -> Result<(), kube::Error> {
    let Some(address) = address.advertised else { return Ok(()) };
    let (endpoints, slice) =
        futures::join!(publish_endpoints(client, address), publish_slice(client, address));
    endpoints?;
    slice
}

async fn create_namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    create_all::<Namespace>(client, body).await
}

fn kubernetes_service(address: ApiAddress) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": address.cluster_ip,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port}],
        },
    })
}

/// Creates the Service by which tools find the cluster's DNS, under the name that upstream's has. It has no endpoints: every node
/// answers at its addresses. Without it names are answered all the same, so that an address is taken stops nobody.
pub(crate) async fn dns_service(client: &Client, ips: &[IpAddr]) {
    let families = if ips.len() > 1 { "PreferDualStack" } else { "SingleStack" };
    let service = json!({
        "metadata": {
            "name": "kube-dns",
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "clusterIP": ips.first(), "clusterIPs": ips, "ipFamilyPolicy": families,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    });
    let api = Api::<Service>::namespaced(client.clone(), "kube-system");
    let created = async {
        create_in::<Service>(client, "kube-system", service).await?;
        let found = api.get("kube-dns").await?.spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
        // A cluster that got its second family later.
        if found.len() < ips.len() && found.first().is_some_and(|first| *first == ips[0].to_string()) {
            let both = json!({"spec": {"clusterIPs": ips, "ipFamilyPolicy": families}});
            api.patch("kube-dns", &PatchParams::default(), &Patch::Merge(both)).await?;
        }
        Ok::<_, kube::Error>(())
    };
    if let Err(error) = created.await {
        tracing::warn!(
            ?ips,
            error = &error as &dyn std::error::Error,
            "cannot create the Service kube-dns: see what else has its address, or choose another with --cluster-dns"
        );
    }
}

/// Creates the classes that choose one of a node's runtimes.
pub async fn runtime_classes(client: &Client) -> Result<(), kube::Error> {
    let classes = ["wasmtime", "runc"].map(|name| {
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name})
    });
    try_join_all(classes.map(|class| create_all::<RuntimeClass>(client, class))).await.map(drop)
}

/// The name of what lets nodes look after the volumes that are directories of theirs.
const LOCAL_PATH_ROLE: &str = "wherry:local-path-node";

/// Creates the class of volumes that are directories of nodes.
pub(crate) async fn local_path_class(client: &Client) -> Result<(), kube::Error> {
    let class = json!({
        "metadata": {
            "name": local_path::CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": local_path::PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    });
    create_all::<StorageClass>(client, class).await?;
    // What a node may write of them, admission says.
    let rule =
        json!({"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": ["list", "watch", "patch"]});
    policy::role(client, json!({"metadata": {"name": LOCAL_PATH_ROLE}, "rules": [rule]})).await
}

/// The name of what lets nodes know which packets network policies let through.
const POLICIES_ROLE: &str = "wherry:network-policies";

/// Lets the proxy of every node follow network policies and their peers.
pub(crate) async fn network_policies(client: &Client) -> Result<(), kube::Error> {
    let rules = json!([
        {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
    ]);
    policy::role(client, json!({"metadata": {"name": POLICIES_ROLE}, "rules": rules})).await?;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": POLICIES_ROLE},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": POLICIES_ROLE},
        "subjects": [
            {"apiGroup": group, "kind": "User", "name": "system:kube-proxy"},
            {"apiGroup": group, "kind": "Group", "name": "system:nodes"},
        ],
    });
    create_all::<ClusterRoleBinding>(client, binding).await
}

/// Creates the class of the built-in Ingress controller, the default one if there is no other, and whom the controller is.
pub(crate) async fn ingress(client: &Client) -> Result<(), kube::Error> {
    const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
    let classes = Api::<IngressClass>::all(client.clone()).list(&ListParams::default()).await?;
    let is_default =
        |class: &IngressClass| class.annotations().get(DEFAULT).is_some_and(|value| value == "true");
    let annotations = if classes.iter().any(is_default) { json!({}) } else { json!({ DEFAULT: "true" }) };
    let class = json!({
        "metadata": {"name": ingress::CLASS, "annotations": annotations},
        "spec": {"controller": ingress::CONTROLLER},
    });
    create_all::<IngressClass>(client, class).await?;
    let account = json!({"metadata": {"name": ingress::ACCOUNT}});
    create_in::<ServiceAccount>(client, "kube-system", account).await?;
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let (read, net) = (["get", "list", "watch"], "networking.k8s.io");
    let rules = [
        rule("", &["secrets", "services"], &read),
        rule("discovery.k8s.io", &["endpointslices"], &read),
        rule(net, &["ingressclasses", "ingresses"], &read),
        rule(net, &["ingresses/status"], &["patch"]),
        rule("", &["events"], &["create", "patch"]),
    ];
    let role = json!({"metadata": {"name": ingress::ROLE}, "rules": rules});
    policy::role(client, role).await?;
    let binding = json!({
        "metadata": {"name": ingress::ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ingress::ROLE},
        "subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": ingress::ACCOUNT}],
    });
    create_all::<ClusterRoleBinding>(client, binding).await
}

/// Lets machines with a bootstrap token become nodes, and nodes renew their certificates.
pub(crate) async fn node_bindings(client: &Client) -> Result<(), kube::Error> {
    const ROLE: &str = "system:certificates.k8s.io:certificatesigningrequests";
    let bindings = [
        ("wherry:node-bootstrapper", "system:node-bootstrapper".to_owned(), "system:bootstrappers"),
        ("wherry:node-autoapprove-bootstrap", format!("{ROLE}:nodeclient"), "system:bootstrappers"),
        ("wherry:node-autoapprove-certificate-rotation", format!("{ROLE}:selfnodeclient"), "system:nodes"),
        // The proxy of Services is a part of each agent.
        ("wherry:node-proxier", "system:node-proxier".to_owned(), "system:nodes"),
        (LOCAL_PATH_ROLE, LOCAL_PATH_ROLE.to_owned(), "system:nodes"),
    ];
    let bindings = bindings.map(|(name, role, group)| {
        json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        })
    });
    let bindings = bindings.map(|binding| create_all::<ClusterRoleBinding>(client, binding));
    try_join_all(bindings).await.map(drop)
}

/// Tells servers that serve groups in the API server's place how they know it, and whose word it brings them.
pub async fn authentication(client: &Client, ca: &str) -> Result<(), kube::Error> {
    let body = json!({
        "metadata": {"name": "extension-apiserver-authentication"},
        "data": {
            "client-ca-file": ca,
            "requestheader-client-ca-file": ca,
            "requestheader-allowed-names": format!("[{FRONT_PROXY:?}]"),
            "requestheader-username-headers": r#"["X-Remote-User"]"#,
            "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
            "requestheader-group-headers": r#"["X-Remote-Group"]"#,
            "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
        },
    });
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let wanted: ConfigMap = typed(body)?;
    match api.get_opt("extension-apiserver-authentication").await? {
        None => create(&api, &wanted).await,
        Some(found) if found.data == wanted.data => Ok(()),
        Some(mut found) => {
            found.data = wanted.data;
            api.replace("extension-apiserver-authentication", &PostParams::default(), &found).await.map(drop)
        }
    }
}

/// Tells them again whenever the authority changes.
pub(crate) async fn follow_ca(client: &Client, mut ca: watch::Receiver<String>) {
    while ca.changed().await.is_ok() {
        let known = ca.borrow_and_update().clone();
        while let Err(error) = authentication(client, &known).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot publish the new authority yet");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Tells since when the API server notes on which days tokens of Secrets are used.
pub async fn token_tracking(client: &Client, now: Timestamp) -> Result<(), kube::Error> {
    let since = now.to_zoned(TimeZone::UTC).date().to_string();
    let name = "kube-apiserver-legacy-service-account-token-tracking";
    let body = json!({"metadata": {"name": name}, "data": {"since": since}});
    create_in::<ConfigMap>(client, "kube-system", body).await
}

fn priority_classes() -> Vec<Value> {
    const NODE: &str = "Used for system critical pods that must not be moved from their current node.";
    const CLUSTER: &str = "Used for system critical pods that must run in the cluster, but can be moved to another \
                           node if necessary.";
    let classes =
        [("system-node-critical", 2_000_001_000, NODE), ("system-cluster-critical", 2_000_000_000, CLUSTER)];
    classes.map(|(name, value, description)| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "description": description,
        })
    })
    .into()
}

async fn publish_endpoints(client: &Client, address: SocketAddr) -> Result<(), kube::Error> {
    let api: Api<Endpoints> = Api::namespaced(client.clone(), "default");
    let subset = EndpointSubset {
        addresses: Some(vec![EndpointAddress { ip: address.ip().to_string(), ..Default::default() }]),
        ports: Some(vec![EndpointPort {
            name: Some("https".into()),
            port: i32::from(address.port()),
            protocol: Some("TCP".into()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let mut wanted = Endpoints { subsets: Some(vec![subset]), ..Default::default() };
    wanted.metadata.name = Some("kubernetes".into());
    wanted.metadata.labels =
        Some(BTreeMap::from([("endpointslice.kubernetes.io/skip-mirror".to_owned(), "true".to_owned())]));
    match api.get_opt("kubernetes").await? {
        None => create(&api, &wanted).await,
        Some(found) if found.subsets == wanted.subsets => Ok(()),
        Some(mut found) => {
            found.subsets = wanted.subsets;
            api.replace("kubernetes", &PostParams::default(), &found).await.map(drop)
        }
    }
}

async fn publish_slice(client: &Client, address: SocketAddr) -> Result<(), kube::Error> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    let wanted: EndpointSlice = typed(json!({
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
    }))?;
    match api.get_opt("kubernetes").await? {
        None => create(&api, &wanted).await,
        Some(found) if found.ports == wanted.ports && addresses(&found) == addresses(&wanted) => Ok(()),
        Some(mut found) => {
            found.endpoints = wanted.endpoints;
            found.ports = wanted.ports;
            api.replace("kubernetes", &PostParams::default(), &found).await.map(drop)
        }
    }
}

fn addresses(slice: &EndpointSlice) -> Vec<&String> {
    slice.endpoints.iter().flatten().flat_map(|e| &e.addresses).collect()
}

pub(crate) async fn create_all<K>(client: &Client, body: Value) -> Result<(), kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    create(&Api::<K>::all(client.clone()), &typed::<K>(body)?).await
}

async fn create_in<K>(client: &Client, namespace: &str, body: Value) -> Result<(), kube::Error>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    create(&Api::<K>::namespaced(client.clone(), namespace), &typed::<K>(body)?).await
}

fn typed<K: DeserializeOwned>(body: Value) -> Result<K, kube::Error> {
    serde_json::from_value(body).map_err(kube::Error::SerdeError)
}

/// Creates an object; that it is there already is what was wanted.
async fn create<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error),
    }
}
