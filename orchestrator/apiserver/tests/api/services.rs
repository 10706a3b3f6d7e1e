//! Services: addresses and node ports.

use serde_json::{Value, json};

use crate::harness::{Api, SERVICES};

fn service(name: &str, spec: &Value) -> Value {
    let mut full = json!({"ports": [{"port": 80}]});
    for (key, value) in spec.as_object().unwrap() {
        full[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": full})
}

#[tokio::test]
async fn a_service_gets_an_address_of_its_own() {
    let api = Api::start().await;
    let first = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let second = api.post(SERVICES, &service("b", &json!({}))).await.expect(201);
    assert_eq!(first["spec"]["clusterIPs"], json!([first["spec"]["clusterIP"]]));
    assert_eq!(
        (&first["spec"]["ipFamilies"], &first["spec"]["ipFamilyPolicy"]),
        (&json!(["IPv4"]), &json!("SingleStack"))
    );
    assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    assert!(first["spec"]["clusterIP"].as_str().unwrap().starts_with("10.96."));
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_until_it_is_released() {
    let api = Api::start().await;
    let asked = json!({"clusterIP": "10.96.0.1"});
    api.post(SERVICES, &service("kubernetes", &asked)).await.expect(201);
    api.post(SERVICES, &service("b", &asked)).await.refused(
        422,
        "Invalid",
        "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: \
         provided IP is already allocated",
    );
    assert_eq!(api.get(&format!("{SERVICES}/b")).await.code, 404);
    api.delete(&format!("{SERVICES}/kubernetes")).await.expect(200);
    api.post(SERVICES, &service("b", &asked)).await.expect(201);
}

#[tokio::test]
async fn an_address_outside_the_range_is_refused() {
    let api = Api::start().await;
    let refused = api.post(SERVICES, &service("a", &json!({"clusterIP": "10.1.2.3"}))).await.expect(422);
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains("the provided network does not match the current range"), "{text}");
}

#[tokio::test]
async fn a_headless_service_has_no_address() {
    let api = Api::start().await;
    let made = api
        .post(SERVICES, &service("h", &json!({"clusterIP": "None", "selector": {"a": "b"}})))
        .await
        .expect(201);
    assert_eq!((&made["spec"]["clusterIP"], &made["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));
}

#[tokio::test]
async fn node_ports_are_given_kept_and_not_given_twice() {
    let api = Api::start().await;
    let made = api.post(SERVICES, &service("a", &json!({"type": "NodePort"}))).await.expect(201);
    let port = made["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30_000..=32_767).contains(&port));
    let mut update = service("a", &json!({"type": "NodePort", "selector": {"x": "y"}}));
    let updated = api.put(&format!("{SERVICES}/a"), &update).await.expect(200);
    assert_eq!(updated["spec"]["ports"][0]["nodePort"], port);
    assert_eq!(updated["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let same = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    api.post(SERVICES, &service("b", &same)).await.refused(
        422,
        "Invalid",
        &format!(
            "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"
        ),
    );
    update["spec"]["type"] = json!("ClusterIP");
    let closed = api.put(&format!("{SERVICES}/a"), &update).await.expect(200);
    assert!(closed["spec"]["ports"][0]["nodePort"].is_null());
    api.post(SERVICES, &service("b", &same)).await.expect(201);
}

#[tokio::test]
async fn an_address_once_set_stays() {
    let api = Api::start().await;
    let mut made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let address = made["spec"]["clusterIP"].clone();
    made["spec"]["clusterIP"] = json!("10.96.7.7");
    made["spec"]["clusterIPs"] = json!(["10.96.7.7"]);
    let refused = api.put(&format!("{SERVICES}/a"), &made).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("may not change once set"));
    assert_eq!(api.get(&format!("{SERVICES}/a")).await.expect(200)["spec"]["clusterIP"], address);
}

#[tokio::test]
async fn a_service_that_becomes_a_name_gives_its_address_back() {
    let api = Api::start().await;
    let made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let patch = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let named = api.patch(&format!("{SERVICES}/a"), "merge-patch", &patch).await.expect(200);
    assert!(named["spec"]["clusterIP"].is_null(), "{named}");
    let asked = json!({"clusterIP": made["spec"]["clusterIP"]});
    api.post(SERVICES, &service("b", &asked)).await.expect(201);
}

#[tokio::test]
async fn a_full_range_says_so() {
    let api = Api::with(|config| config.service_cidr = "10.96.0.0/30".parse().unwrap()).await;
    api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let refused = api.post(SERVICES, &service("b", &json!({}))).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("range is full"), "{refused}");
}

const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

fn ip(service: &Value) -> String {
    service["spec"]["clusterIP"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_cluster_ip_has_an_object_as_long_as_its_service_has_it() {
    let api = Api::start().await;
    let made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let path = format!("{ADDRESSES}/{}", ip(&made));
    let address = api.get(&path).await.expect(200);
    let labels = json!({
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    });
    assert_eq!(address["metadata"]["labels"], labels);
    let parent = json!({"resource": "services", "namespace": "default", "name": "a"});
    assert_eq!(address["spec"]["parentRef"], parent);
    assert_eq!(
        address["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"],
        "one transaction"
    );
    assert_eq!(address["metadata"]["managedFields"][0]["manager"], "kube-apiserver");
    api.patch(&format!("{SERVICES}/a"), "merge-patch", &json!({"metadata": {"labels": {"x": "y"}}}))
        .await
        .expect(200);
    assert_eq!(api.get(&path).await.expect(200), address);
    let named = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    api.patch(&format!("{SERVICES}/a"), "merge-patch", &named).await.expect(200);
    api.get(&path).await.expect(404);
    let back = json!({"spec": {"type": "ClusterIP", "externalName": null}});
    let back = api.patch(&format!("{SERVICES}/a"), "merge-patch", &back).await.expect(200);
    let path = format!("{ADDRESSES}/{}", ip(&back));
    api.get(&path).await.expect(200);
    api.delete(&format!("{SERVICES}/a")).await.expect(200);
    api.get(&path).await.expect(404);
    let dry = api.post(&format!("{SERVICES}?dryRun=All"), &service("b", &json!({}))).await.expect(201);
    api.get(&format!("{ADDRESSES}/{}", ip(&dry))).await.expect(404);
    api.post(SERVICES, &service("h", &json!({"clusterIP": "None"}))).await.expect(201);
    assert_eq!(api.get(ADDRESSES).await.expect(200)["items"], json!([]));
}

/// A Service made again with the address that it has was refused as changed, so that a server could not start twice.
#[tokio::test]
async fn a_service_that_is_there_is_not_made_again() {
    let api = Api::start().await;
    let asked = service("kubernetes", &json!({"clusterIP": "10.96.0.1"}));
    api.post(SERVICES, &asked).await.expect(201);
    api.post(SERVICES, &asked).await.refused(409, "AlreadyExists", "services \"kubernetes\" already exists");
    api.post(SERVICES, &service("kubernetes", &json!({}))).await.expect(409);
}

#[tokio::test]
async fn an_address_that_somebody_holds_otherwise_is_not_given() {
    let api = Api::with(|config| config.service_cidr = "10.96.0.0/29".parse().unwrap()).await;
    for host in 2..6 {
        let address = json!({
            "metadata": {"name": format!("10.96.0.{host}")}, "spec": {"parentRef": {"resource": "things", "name": "t"}},
        });
        api.post(ADDRESSES, &address).await.expect(201);
    }
    let refused = api.post(SERVICES, &service("a", &json!({"clusterIP": "10.96.0.3"}))).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("provided IP is already allocated"), "{refused}");
    let made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    assert_eq!(ip(&made), "10.96.0.6");
    api.delete(&format!("{ADDRESSES}/10.96.0.6")).await.expect(200);
    let refused = api.post(SERVICES, &service("b", &json!({}))).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().contains("range is full"),
        "its Service still has it: {refused}"
    );
}

#[tokio::test]
async fn further_ranges_give_addresses_unless_they_go() {
    let api = Api::with(|config| config.service_cidr = "10.96.0.0/30".parse().unwrap()).await;
    let cidr = |name: &str, cidrs: &Value| json!({"metadata": {"name": name, "finalizers": ["a/b"]}, "spec": {"cidrs": cidrs}});
    api.post(CIDRS, &cidr("kubernetes", &json!(["10.96.0.0/30"]))).await.expect(201);
    let first = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    assert_eq!(ip(&first), "10.96.0.2");
    api.post(SERVICES, &service("b", &json!({}))).await.expect(422);
    api.post(CIDRS, &cidr("more", &json!(["10.97.0.0/24", "fd00::/120"]))).await.expect(201);
    let second = api.post(SERVICES, &service("b", &json!({}))).await.expect(201);
    assert!(ip(&second).starts_with("10.97.0."), "{second}");
    api.post(SERVICES, &service("c", &json!({"clusterIP": "10.97.0.7"}))).await.expect(201);
    let unready = json!({"status": {"conditions": [{
        "type": "Ready", "status": "False", "reason": "Terminating", "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z",
    }]}});
    api.patch(&format!("{CIDRS}/more/status"), "merge-patch", &unready).await.expect(200);
    api.post(SERVICES, &service("d", &json!({}))).await.expect(422);
    api.patch(&format!("{CIDRS}/more/status"), "merge-patch", &json!({"status": {"conditions": null}}))
        .await
        .expect(200);
    api.post(SERVICES, &service("d", &json!({}))).await.expect(201);
    api.delete(&format!("{CIDRS}/more")).await.expect(200);
    let refused = api.post(SERVICES, &service("e", &json!({"clusterIP": "10.97.0.9"}))).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("does not match the current range"), "{refused}");
    let patch = json!({"metadata": {"labels": {"x": "y"}}});
    api.patch(&format!("{SERVICES}/c"), "merge-patch", &patch).await.expect(200);
    api.delete(&format!("{CIDRS}/kubernetes")).await.expect(200);
    api.post(SERVICES, &service("e", &json!({}))).await.expect(422);
}

#[tokio::test]
async fn addresses_and_ports_given_at_once_are_given_once() {
    let api = Api::start().await;
    let specs: Vec<_> = (0..60)
        .map(|i| {
            let kind = if i % 2 == 0 { "NodePort" } else { "ClusterIP" };
            service(&format!("s{i}"), &json!({ "type": kind }))
        })
        .collect();
    let made = futures::future::join_all(specs.iter().map(|spec| api.post(SERVICES, spec))).await;
    let made: Vec<_> = made.into_iter().map(|answer| answer.expect(201)).collect();
    let ips: std::collections::BTreeSet<_> = made.iter().map(ip).collect();
    let ports: std::collections::BTreeSet<_> =
        made.iter().filter_map(|service| service["spec"]["ports"][0]["nodePort"].as_i64()).collect();
    assert_eq!((ips.len(), ports.len()), (60, 30));
    let asked = service("x", &json!({"clusterIP": "10.96.200.200"}));
    let named = |name: &str| {
        let mut asked = asked.clone();
        asked["metadata"]["name"] = json!(name);
        asked
    };
    let (one, two) = (named("one"), named("two"));
    let (one, two) = futures::join!(api.post(SERVICES, &one), api.post(SERVICES, &two));
    let mut codes = [one.code.as_u16(), two.code.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [201, 422]);
}

/// An API whose Services can have addresses of both families.
async fn dual_stack() -> Api {
    Api::with(|config| config.service_cidr = "10.96.0.0/24,fd00::/112".parse().unwrap()).await
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn a_service_gets_an_address_of_each_family_it_asks_for() {
    let api = dual_stack().await;
    for (asked, families, begins) in [
        (json!({}), &["IPv4"][..], &["10.96.0."][..]),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), &["IPv4", "IPv6"], &["10.96.0.", "fd00::"]),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            &["IPv6", "IPv4"],
            &["fd00::", "10.96.0."],
        ),
        (json!({"ipFamilies": ["IPv6"]}), &["IPv6"], &["fd00::"]),
        (json!({"clusterIP": "fd00::77"}), &["IPv6"], &["fd00::77"]),
        (
            json!({"ipFamilyPolicy": "PreferDualStack", "clusterIPs": ["fd00::78"], "clusterIP": "fd00::78"}),
            &["IPv6", "IPv4"],
            &["fd00::78", "10.96.0."],
        ),
        (
            json!({"clusterIP": "None", "selector": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack"}),
            &["IPv4", "IPv6"],
            &["None"],
        ),
    ] {
        let mut wanted = service("a", &asked);
        wanted["metadata"] = json!({"generateName": "a-"});
        let made = api.post(SERVICES, &wanted).await.expect(201);
        let spec = &made["spec"];
        assert_eq!(texts(&spec["ipFamilies"]), families, "{asked}");
        let ips = texts(&spec["clusterIPs"]);
        assert!(
            ips.len() == begins.len() && ips.iter().zip(begins).all(|(ip, begin)| ip.starts_with(begin)),
            "{spec}"
        );
        assert_eq!(spec["clusterIP"], ips[0]);
        for ip in ips.iter().filter(|ip| **ip != "None") {
            api.get(&format!("{ADDRESSES}/{ip}")).await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_service_gets_and_gives_back_its_second_family() {
    let api = dual_stack().await;
    let made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let path = format!("{SERVICES}/a");
    let policy = |policy: &str| json!({"spec": {"ipFamilyPolicy": policy}});
    let both = api.patch(&path, "merge-patch", &policy("PreferDualStack")).await.expect(200);
    assert_eq!(texts(&both["spec"]["ipFamilies"]), ["IPv4", "IPv6"]);
    let second = both["spec"]["clusterIPs"][1].as_str().unwrap().to_owned();
    assert!(second.starts_with("fd00::") && ip(&both) == ip(&made), "{both}");
    api.get(&format!("{ADDRESSES}/{second}")).await.expect(200);
    let one = api.patch(&path, "merge-patch", &policy("SingleStack")).await.expect(200);
    assert_eq!(
        (&one["spec"]["clusterIPs"], &one["spec"]["ipFamilies"]),
        (&json!([ip(&made)]), &json!(["IPv4"]))
    );
    api.get(&format!("{ADDRESSES}/{second}")).await.expect(404);
    let asked = service(
        "b",
        &json!({"clusterIPs": [ip(&made), second], "ipFamilyPolicy": "SingleStack", "clusterIP": ip(&made)}),
    );
    let refused = api.post(SERVICES, &asked).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().contains("when multiple cluster IPs are specified"),
        "{refused}"
    );
}

/// As upstream: who takes what there is keeps what it got, and changes neither with the cluster nor with other fields.
#[tokio::test]
async fn a_cluster_of_one_family_gives_no_second_one() {
    let api = Api::start().await;
    let prefers = json!({"ipFamilyPolicy": "PreferDualStack"});
    let made = api.post(SERVICES, &service("a", &prefers)).await.expect(201);
    assert_eq!(
        (&made["spec"]["ipFamilies"], made["spec"]["clusterIPs"].as_array().map(Vec::len)),
        (&json!(["IPv4"]), Some(1))
    );
    for (asked, told) in [
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "this cluster is not configured for dual-stack services",
        ),
        (json!({"ipFamilies": ["IPv6"]}), "not configured on this cluster"),
        (json!({"clusterIP": "fd00::7"}), "IPv6 is not configured on this cluster"),
    ] {
        let refused = api.post(SERVICES, &service("b", &asked)).await.expect(422);
        assert!(refused["message"].as_str().unwrap().contains(told), "{refused}");
    }
}
