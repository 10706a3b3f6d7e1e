//! Lists: selectors, pages, revisions.

use proptest::prelude::*;
use serde_json::json;

use crate::harness::{Api, CONFIG_MAPS, PODS, names};

async fn three() -> Api {
    let api = Api::start().await;
    api.config_map("a", &json!({"app": "x", "tier": "1"})).await;
    api.config_map("b", &json!({"app": "y"})).await;
    api.config_map("c", &json!({"app": "x"})).await;
    api
}

#[rstest::rstest]
#[case("labelSelector=app%3Dx", &["a", "c"])]
#[case("labelSelector=app!%3Dx", &["b"])]
#[case("labelSelector=app+in+(x,y)", &["a", "b", "c"])]
#[case("labelSelector=app+notin+(x)", &["b"])]
#[case("labelSelector=tier", &["a"])]
#[case("labelSelector=!tier", &["b", "c"])]
#[case("labelSelector=app%3Dx,tier%3D1", &["a"])]
#[case("fieldSelector=metadata.name%3Da", &["a"])]
#[case("fieldSelector=metadata.name!%3Da", &["b", "c"])]
#[case("fieldSelector=metadata.namespace%3Dother", &[])]
#[tokio::test]
async fn selectors_choose_objects(#[case] query: &str, #[case] wanted: &[&str]) {
    let api = three().await;
    let list = api.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(200);
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(names(&list), wanted);
    assert!(list["items"].as_array().unwrap().iter().all(|i| i["kind"].is_null()));
}

#[tokio::test]
async fn pods_are_chosen_by_node_and_phase() {
    let api = Api::start().await;
    api.pod("bound", Some("n1")).await;
    api.pod("waiting", None).await;
    let of = async |query: &str| api.get(&format!("{PODS}?fieldSelector={query}")).await.expect(200);
    assert_eq!(names(&of("spec.nodeName%3Dn1").await), ["bound"]);
    assert_eq!(names(&of("spec.nodeName%3D").await), ["waiting"]);
    assert_eq!(names(&of("status.phase%3DPending").await), ["bound", "waiting"]);
    assert_eq!(names(&of("status.phase!%3DPending").await), Vec::<&str>::new());
    let all = api
        .get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,metadata.namespace%3Ddefault")
        .await
        .expect(200);
    assert_eq!(names(&all), ["bound"]);
}

#[tokio::test]
async fn pages_of_one_list_show_one_state_whatever_is_written_between() {
    let api = three().await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    assert_eq!(names(&first), ["a"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    api.delete(&format!("{CONFIG_MAPS}/b")).await.expect(200);
    api.config_map("bb", &json!({})).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["b"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.expect(200);
    assert_eq!(names(&third), ["c"]);
    assert!(third["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn a_list_with_a_selector_does_not_count_the_rest() {
    let api = three().await;
    let page = api.get(&format!("{CONFIG_MAPS}?limit=1&labelSelector=app%3Dx")).await.expect(200);
    assert!(page["metadata"]["continue"].is_string());
    assert!(page["metadata"]["remainingItemCount"].is_null());
}

#[tokio::test]
async fn a_compacted_page_says_so_and_offers_to_go_on_with_the_current_state() {
    let api = three().await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    api.config_map("d", &json!({})).await;
    api.config_map("e", &json!({})).await;
    api.store.compact(api.store.revision()).await.unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let answer = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    let status = answer.expect(410);
    assert_eq!(status["reason"], "Expired");
    assert!(status["message"].as_str().unwrap().starts_with("The provided continue parameter is too old"));
    let token = status["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{CONFIG_MAPS}?limit=9&continue={token}")).await.expect(200);
    assert_eq!(names(&rest), ["b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_revision_asked_for_exactly_is_answered_exactly() {
    let api = three().await;
    let then = api.store.revision();
    api.delete(&format!("{CONFIG_MAPS}/b")).await.expect(200);
    let exact = format!("{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact");
    assert_eq!(names(&api.get(&exact).await.expect(200)), ["a", "b", "c"]);
    let newer = format!("{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&api.get(&newer).await.expect(200)), ["a", "c"]);
}

#[tokio::test]
async fn a_revision_of_the_future_is_a_timeout() {
    let api = three().await;
    let current = api.store.revision();
    let answer = api.get(&format!("{CONFIG_MAPS}?resourceVersion=999")).await;
    assert_eq!(answer.headers["retry-after"], "1");
    let message = format!("Timeout: Too large resource version: 999, current: {current}");
    let status = answer.refused(504, "Timeout", &message);
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn metadata_alone_is_listed_on_request() {
    let api = three().await;
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = api.get_as(CONFIG_MAPS, accept).await.expect(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(names(&list), ["a", "b", "c"]);
}

#[tokio::test]
async fn managed_fields_are_left_out_on_request() {
    const LEAN: &str = "application/json;managedFields=omit, application/json";
    let api = three().await;
    let one = format!("{CONFIG_MAPS}/a");
    let mut whole = api.get(&one).await.expect(200);
    assert!(!whole["metadata"].as_object_mut().unwrap().remove("managedFields").unwrap().is_null());
    assert_eq!(api.get_as(&one, LEAN).await.expect(200), whole);

    let mut list = api.get(CONFIG_MAPS).await.expect(200);
    for item in list["items"].as_array_mut().unwrap() {
        item["metadata"].as_object_mut().unwrap().remove("managedFields").unwrap();
    }
    assert_eq!(api.get_as(CONFIG_MAPS, LEAN).await.expect(200), list);

    let watched = format!("{CONFIG_MAPS}?watch=1");
    let told = api.watch_as(&watched, LEAN).await.next().await.unwrap();
    assert_eq!((&told["type"], &told["object"]), (&json!("ADDED"), &whole));
    let told = api.watch_as(&watched, "application/json").await.next().await.unwrap();
    assert!(told["object"]["metadata"]["managedFields"].is_array(), "others are told everything");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is in a query, the answer is an answer.
    #[test]
    fn any_query_is_answered_or_refused(query in "[ -~]{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let code = runtime.block_on(async {
            let api = three().await;
            let path = format!("{CONFIG_MAPS}?labelSelector={encoded}&continue={encoded}&fieldSelector={encoded}");
            api.get(&path).await.code.as_u16()
        });
        prop_assert!(matches!(code, 200 | 400 | 410), "{code}");
    }
}
