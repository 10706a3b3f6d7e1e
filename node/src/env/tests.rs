//! Environments as upstream would make them.

use serde_json::json;

use super::*;

struct Fixed;

#[async_trait]
impl Sources for Fixed {
    async fn token(&self, _audience: &str, _seconds: Option<i64>) -> Result<Token, TokenError> {
        unreachable!("variables show no tokens")
    }

    async fn trust_anchors(&self, _: &ClusterTrustBundleProjection) -> Result<String, BundleError> {
        unreachable!("variables show no certificates")
    }

    async fn certificate(
        &self,
        _: (&str, usize),
        _: &PodCertificateProjection,
    ) -> Result<Credentials, PodCertificateError> {
        unreachable!("variables show no certificates")
    }

    async fn volume(&self, _claim: &ClaimOfPod<'_>) -> Result<PersistentVolume, ClaimError> {
        unreachable!("variables show no volumes")
    }

    async fn csi(&self, _: csi::Source<'_>, _: Option<u32>, _: bool) -> Result<csi::Given, CsiError> {
        unreachable!("variables show no volumes")
    }

    async fn config_map(&self, name: &str) -> Result<Option<Arc<ConfigMap>>, ObjectError> {
        let object = json!({ "data": { "color": "blue", "size": "1" }, "binaryData": { "logo": "AP8=" } });
        Ok((name == "settings").then(|| Arc::new(serde_json::from_value(object).unwrap())))
    }

    async fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, ObjectError> {
        let data = BTreeMap::from([("token".to_owned(), b"abc".to_vec()), ("raw".to_owned(), vec![0xff])]);
        Ok((name == "login").then_some(data))
    }
}

async fn env(container: serde_json::Value) -> Result<Environment, String> {
    let mut container = container;
    container["name"] = json!("main");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "shop" }, "spec": { "containers": [container] },
    }))
    .unwrap();
    let service = serde_json::from_value(json!({
        "metadata": { "name": "db", "namespace": "shop" },
        "spec": { "clusterIP": "10.96.0.9", "ports": [{ "port": 5432 }] },
    }))
    .unwrap();
    let services = ServiceVariables::default();
    services.record(&kube::runtime::watcher::Event::Apply(service));
    let node = NodeFields { pod_ips: vec!["10.0.0.5".parse().unwrap()], ..NodeFields::default() };
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let request = Request { pod: &pod, container, services: &services, node: &node };
    resolve(&request, &Fixed).await.map_err(|error| error.to_string())
}

fn value<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
    env.get(name)
}

#[tokio::test]
async fn later_variables_see_earlier_ones_and_win_over_env_from() {
    let env = env(json!({
        "envFrom": [{ "prefix": "C_", "configMapRef": { "name": "settings" } }],
        "env": [
            { "name": "C_size", "value": "2" },
            { "name": "URL", "value": "http://$(IP)/$(C_color)/$(C_size)/$(DB_SERVICE_HOST)" },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "AGAIN", "value": "$(IP)" },
        ],
    }))
    .await
    .unwrap();
    assert_eq!(value(&env, "C_size"), Some("2"));
    assert_eq!(value(&env, "URL"), Some("http://$(IP)/blue/2/10.96.0.9"));
    assert_eq!(value(&env, "AGAIN"), Some("10.0.0.5"));
    assert_eq!(value(&env, "DB_PORT"), Some("tcp://10.96.0.9:5432"));
}

#[tokio::test]
async fn a_service_variable_can_be_overridden() {
    let env = env(json!({ "env": [{ "name": "DB_SERVICE_HOST", "value": "mine" }] })).await.unwrap();
    assert_eq!(value(&env, "DB_SERVICE_HOST"), Some("mine"));
}

#[tokio::test]
async fn missing_references_are_named_unless_optional() {
    let key = |optional| {
        json!({ "env": [{ "name": "A", "valueFrom": { "configMapKeyRef": {
            "name": "settings", "key": "shape", "optional": optional } } }] })
    };
    assert_eq!(env(key(false)).await.unwrap_err(), "couldn't find key shape in ConfigMap shop/settings");
    assert_eq!(value(&env(key(true)).await.unwrap(), "A"), None);

    let from = |optional| json!({ "envFrom": [{ "secretRef": { "name": "gone", "optional": optional } }] });
    assert_eq!(env(from(false)).await.unwrap_err(), "secret \"gone\" not found");
    assert!(env(from(true)).await.is_ok());

    let secret = json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "login", "key": "token" } } }] });
    assert_eq!(value(&env(secret).await.unwrap(), "A"), Some("abc"));
    let raw = json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "login", "key": "raw" } } }] });
    assert!(env(raw).await.unwrap_err().contains("not UTF-8"));
}
