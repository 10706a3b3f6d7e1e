//! Ranges of cluster IPs, and the objects that say who has which address.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{Cluster, wait};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

fn service(name: &str, ip: Option<&str>) -> Value {
    json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}})
}

fn ready(cidr: &ServiceCIDR) -> Option<&Condition> {
    let conditions = cidr.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

impl Cluster {
    fn cidrs(&self) -> Api<ServiceCIDR> {
        Api::all(self.client.clone())
    }

    fn addresses(&self) -> Api<IPAddress> {
        Api::all(self.client.clone())
    }

    /// Waits until the range says that it can be used, or that it cannot.
    async fn cidr_is(&self, name: &str, status: &str) -> ServiceCIDR {
        let is =
            |cidr: Option<&ServiceCIDR>| cidr.and_then(ready).is_some_and(|ready| ready.status == status);
        wait(await_condition(self.cidrs(), name, is)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_range_is_ready_and_protected() {
    let cluster = Cluster::start().await;
    let protected = |cidr: Option<&ServiceCIDR>| {
        cidr.is_some_and(|cidr| cidr.finalizers().contains(&FINALIZER.to_owned()))
    };
    wait(await_condition(cluster.cidrs(), "kubernetes", protected)).await;
    let cidr = cluster.cidr_is("kubernetes", "True").await;
    assert_eq!(cidr.spec.unwrap().cidrs.unwrap().len(), 1);
    let server =
        Api::<Service>::namespaced(cluster.client.clone(), "default").get("kubernetes").await.unwrap();
    let ip = server.spec.unwrap().cluster_ip.unwrap();
    let address = cluster.addresses().get(&ip).await.unwrap();
    assert_eq!(address.spec.parent_ref.name, "kubernetes");
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_goes_when_nobody_needs_its_addresses() {
    let cluster = Cluster::start().await;
    let more = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.222.0.0/24"]}});
    cluster.cidrs().create(&PostParams::default(), &serde_json::from_value(more).unwrap()).await.unwrap();
    let protected = |cidr: Option<&ServiceCIDR>| cidr.is_some_and(|cidr| !cidr.finalizers().is_empty());
    wait(await_condition(cluster.cidrs(), "more", protected)).await;
    cluster.create::<Service>(service("a", Some("10.222.0.7"))).await.unwrap();
    cluster.cidrs().delete("more", &DeleteParams::default()).await.unwrap();
    let waiting = cluster.cidr_is("more", "False").await;
    let ready = ready(&waiting).unwrap();
    assert_eq!(ready.reason, "Terminating");
    assert_eq!(
        ready.message,
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
    );
    crate::support::refused(cluster.create::<Service>(service("b", Some("10.222.0.8"))).await, 422);
    cluster.delete::<Service>("a").await;
    wait(await_condition(cluster.cidrs(), "more", |cidr: Option<&ServiceCIDR>| cidr.is_none())).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_break_is_repaired() {
    let cluster = Cluster::start().await;
    let made = cluster.create::<Service>(service("a", None)).await.unwrap();
    let ip = made.spec.unwrap().cluster_ip.unwrap();
    let before = cluster.addresses().get(&ip).await.unwrap();
    cluster.addresses().delete(&ip, &DeleteParams::default()).await.unwrap();
    let again = |address: Option<&IPAddress>| {
        address.is_some_and(|address| address.uid() != before.uid() && address.labels() == before.labels())
    };
    let made = wait(await_condition(cluster.addresses(), &ip, again)).await.unwrap();
    assert_eq!(made.spec, before.spec);
    let unlabelled =
        Patch::Merge(json!({"metadata": {"labels": {"ipaddress.kubernetes.io/ip-family": null}}}));
    cluster.addresses().patch(&ip, &PatchParams::default(), &unlabelled).await.unwrap();
    let again = |address: Option<&IPAddress>| {
        address.is_some_and(|address| address.uid() != made.uid() && address.labels() == before.labels())
    };
    wait(await_condition(cluster.addresses(), &ip, again)).await;
    let stray = json!({
        "metadata": {"name": "10.223.0.1", "labels": before.labels()},
        "spec": {"parentRef": {"resource": "services", "namespace": "test", "name": "a"}},
    });
    cluster
        .addresses()
        .create(&PostParams::default(), &serde_json::from_value(stray).unwrap())
        .await
        .unwrap();
    wait(await_condition(cluster.addresses(), "10.223.0.1", |found: Option<&IPAddress>| found.is_none()))
        .await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_gets_a_second_family_keeps_what_services_have() {
    let cluster = Cluster::start().await;
    let prefers = json!({"metadata": {"name": "a"}, "spec": {"ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]}});
    let before = cluster.create::<Service>(prefers.clone()).await.unwrap();
    let both = "10.96.0.0/16,fd00:96::/112";
    let cluster = cluster.restart(|config| config.service_cidr = both.parse().unwrap()).await;
    let cidr = cluster.cidr_is("kubernetes", "True").await;
    assert_eq!(cidr.spec.unwrap().cidrs.unwrap().join(","), both);
    let same = cluster.patch::<Service>("a", json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(same.spec, before.spec, "only who asks for it gets another address");
    let mut another = prefers;
    another["metadata"]["name"] = json!("b");
    let another = cluster.create::<Service>(another).await.unwrap().spec.unwrap();
    assert_eq!(another.ip_families.unwrap(), ["IPv4", "IPv6"]);
    let second = another.cluster_ips.unwrap().remove(1);
    cluster.addresses().get(&second).await.unwrap();
    cluster.plane.shutdown().await;
}
