//! Whether the server works.

use serde_json::json;
use wherry_store::Store;

use crate::harness::Api;

#[rstest::rstest]
#[case("/livez")]
#[case("/readyz")]
#[case("/healthz")]
#[tokio::test]
async fn health_is_told_in_a_word_or_in_full(#[case] path: &str) {
    let api = Api::start().await;
    assert_eq!(api.get(path).await.text, "ok");
    let full = api.get(&format!("{path}?verbose")).await.text;
    assert!(full.starts_with("[+]ping ok\n[+]etcd ok\n"), "{full}");
    assert!(full.ends_with(&format!("{} check passed\n", &path[1..])), "{full}");
    assert_eq!(api.get(&format!("{path}/etcd")).await.text, "ok");
    assert_eq!(api.get(&format!("{path}/nope")).await.code, 404);
}

#[tokio::test]
async fn checks_can_be_left_out_by_name() {
    let api = Api::start().await;
    let full = api.get("/livez?verbose&exclude=etcd&exclude=nope").await.text;
    assert_eq!(
        full,
        "[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"nope\"\n\
         livez check passed\n"
    );
}

#[tokio::test]
async fn a_server_that_stops_is_alive_but_not_ready() {
    let api = Api::start().await;
    api.server.stop();
    assert_eq!(api.get("/livez").await.code, 200);
    let answer = api.get("/readyz").await;
    assert_eq!(answer.code, 500);
    assert_eq!(
        answer.text,
        "[+]ping ok\n[+]etcd ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n"
    );
    assert_eq!(api.get("/readyz?exclude=shutdown").await.text, "ok");
}

#[tokio::test]
async fn a_server_whose_store_takes_no_writes_is_not_healthy() {
    let api = Api::start().await;
    Store::close(api.store.clone()).await;
    for path in ["/livez", "/readyz", "/healthz", "/livez/etcd"] {
        assert_eq!(api.get(path).await.code, 500, "{path}");
    }
    assert_eq!(api.get("/livez/ping").await.code, 200);
}

const COMPONENTS: &str = "/api/v1/componentstatuses";

#[tokio::test]
async fn the_store_is_a_component_that_works() {
    let api = Api::start().await;
    let answer = api.get(&format!("{COMPONENTS}/etcd-0")).await;
    assert_eq!(answer.headers["warning"], "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    let store = answer.expect(200);
    let condition = json!({"type": "Healthy", "status": "True", "message": "ok"});
    assert_eq!(
        store,
        json!({
            "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": "etcd-0"},
            "conditions": [condition],
        })
    );
    let list = api.get(COMPONENTS).await.expect(200);
    assert_eq!((&list["kind"], &list["metadata"]), (&json!("ComponentStatusList"), &json!({})));
    assert_eq!(list["items"], json!([{"metadata": {"name": "etcd-0"}, "conditions": [condition]}]));
    for other in ["labelSelector=a", "fieldSelector=metadata.name!%3Detcd-0"] {
        assert_eq!(
            api.get(&format!("{COMPONENTS}?{other}")).await.expect(200)["items"],
            json!([]),
            "{other}"
        );
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for path in [COMPONENTS.to_owned(), format!("{COMPONENTS}/etcd-0")] {
        let table = api.get_as(&path, table).await.expect(200);
        assert_eq!(table["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]), "{path}");
    }
}

#[tokio::test]
async fn components_are_only_looked_at() {
    let api = Api::start().await;
    let why = "componentstatuses \"scheduler\" not found";
    api.get(&format!("{COMPONENTS}/scheduler")).await.refused(404, "NotFound", why);
    let why = "the server does not allow this method on the requested resource";
    api.post(COMPONENTS, &json!({})).await.refused(405, "MethodNotAllowed", why);
    api.delete(&format!("{COMPONENTS}/etcd-0")).await.refused(405, "MethodNotAllowed", why);
}
