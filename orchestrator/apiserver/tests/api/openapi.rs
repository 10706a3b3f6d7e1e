//! The documents that describe the API.

use axum::body::Body;
use http::Request;

use crate::harness::{Answer, Api};

async fn get(api: &Api, url: &str, header: (&str, &str)) -> Answer {
    api.send(Request::get(url).header(header.0, header.1).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn documents_are_indexed_tagged_and_compressed() {
    let api = Api::start().await;
    let index = api.get("/openapi/v3").await;
    assert_eq!(index.headers["content-type"], "text/plain; charset=utf-8");
    let tag = index.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(get(&api, "/openapi/v3", ("if-none-match", &tag)).await.code, 304);
    let index = index.expect(200);
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    let plain = api.get(url).await;
    assert_eq!(plain.headers["cache-control"], "public, immutable");
    assert_eq!(plain.headers["expires"], "Tue, 06 May 2025 07:08:09 GMT");
    let tag = plain.headers["etag"].to_str().unwrap().to_owned();
    assert!(plain.expect(200)["components"]["schemas"]["io.k8s.api.core.v1.Pod"].is_object());
    assert_eq!(get(&api, url, ("accept-encoding", "gzip")).await.headers["content-encoding"], "gzip");
    let again = get(&api, url, ("if-none-match", &format!("\"other\", {tag}"))).await;
    assert_eq!((again.code.as_u16(), again.text.as_str()), (304, ""));
}

#[tokio::test]
async fn an_outdated_hash_leads_to_the_document_of_today() {
    let api = Api::start().await;
    let moved = api.get("/openapi/v3/apis/apps/v1?hash=OLD").await;
    assert_eq!(moved.code, 301);
    let url = moved.headers["location"].to_str().unwrap().to_owned();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{url}");
    assert_eq!(api.get(&url).await.code, 200);
    let unnamed = api.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!(
        (unnamed.code.as_u16(), &unnamed.headers["cache-control"]),
        (200, &"no-cache, private".parse().unwrap())
    );
    assert_eq!(api.get("/openapi/v3/apis/nope/v1").await.code, 404);
}

#[tokio::test]
async fn every_document_of_the_index_is_there() {
    let api = Api::start().await;
    let index = api.get("/openapi/v3").await.expect(200);
    let paths = index["paths"].as_object().unwrap();
    for name in ["api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"] {
        assert!(paths.contains_key(name), "{name}");
    }
    for entry in paths.values() {
        let document = api.get(entry["serverRelativeURL"].as_str().unwrap()).await.expect(200);
        assert_eq!(document["openapi"], "3.0.0");
    }
}

#[tokio::test]
async fn everything_is_in_one_document_of_the_older_form() {
    let api = Api::start().await;
    let swagger = api.get("/openapi/v2").await;
    assert_eq!(swagger.headers["content-type"], "application/json");
    let swagger = swagger.expect(200);
    assert_eq!(swagger["swagger"], "2.0");
    let create = &swagger["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"];
    assert_eq!(create["operationId"], "createCoreV1NamespacedPod");
    let parameters = create["parameters"].as_array().unwrap();
    let names: Vec<&str> = parameters.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "body"]);
    assert_eq!(parameters[3]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Pod");
    assert_eq!(create["responses"]["201"]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Pod");
    let definitions = &swagger["definitions"];
    let pod = &definitions["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
    assert_eq!(pod["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.core.v1.PodSpec");
    assert_eq!(definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["type"], "string");
    assert!(!swagger.to_string().contains("#/components/"));
    let fields = &definitions["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"]["properties"];
    assert_eq!((&fields["allOf"]["type"], &fields["$ref"]["type"]), (&"array".into(), &"string".into()));
}

#[tokio::test]
async fn version_2_is_served_in_protobuf_to_who_prefers_it() {
    let api = Api::start().await;
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let either = format!("application/json;q=0.5, {protobuf}");
    let answers = [protobuf, &either].map(|accept| get(&api, "/openapi/v2", ("accept", accept)));
    for answer in futures::future::join_all(answers).await {
        assert_eq!(answer.code, 200);
        assert_eq!(
            answer.headers["content-type"],
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        );
        let tag = answer.headers["etag"].to_str().unwrap();
        assert_ne!(answer.headers["etag"], api.get("/openapi/v2").await.headers["etag"]);
        assert_eq!(
            get(&api, "/openapi/v2", ("if-none-match", tag)).await.code,
            200,
            "the tag of another form"
        );
    }
    let rather_json = format!("{protobuf};q=0.5, application/json");
    let json = get(&api, "/openapi/v2", ("accept", &rather_json)).await;
    assert_eq!(json.headers["content-type"], "application/json");
    assert_eq!(get(&api, "/openapi/v2", ("accept", "text/html")).await.code, 406);
}
