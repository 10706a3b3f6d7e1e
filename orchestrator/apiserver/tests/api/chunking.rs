//! [sig-api-machinery] Servers with support for API chunking: each test does what the description of its name says.

use serde_json::{Value, json};

use crate::harness::{Api, names};

const TEMPLATES: &str = "/api/v1/namespaces/default/podtemplates";
const ALL: usize = 40;

async fn templates() -> Api {
    let api = Api::start().await;
    for number in 0..ALL {
        let template = json!({
            "metadata": {"name": format!("template-{number:04}")},
            "template": {"spec": {"containers": [{"name": "test", "image": "test2"}]}},
        });
        api.post(TEMPLATES, &template).await.expect(201);
    }
    api
}

/// Checks that a page holds what follows and says how much is left.
#[track_caller]
fn check(page: &Value, seen: usize, limit: usize) {
    let count = names(page).len();
    assert!(count <= limit);
    assert_eq!(names(page)[0], format!("template-{seen:04}"));
    let left = ALL - seen - count;
    let told = &page["metadata"]["remainingItemCount"];
    assert_eq!(told.as_u64().unwrap_or(0), u64::try_from(left).unwrap());
    assert_eq!(page["metadata"]["continue"].is_string(), left > 0);
}

fn next(page: &Value, limit: usize) -> String {
    format!("{TEMPLATES}?limit={limit}&continue={}", page["metadata"]["continue"].as_str().unwrap())
}

#[tokio::test]
async fn should_return_chunks_of_results_for_list_calls() {
    let api = templates().await;
    let first = api.get(&format!("{TEMPLATES}?limit=7")).await.expect(200);
    let (mut page, mut seen) = (first.clone(), 0);
    loop {
        check(&page, seen, 7);
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        seen += names(&page).len();
        if seen == ALL {
            break;
        }
        page = api.get(&next(&page, 7)).await.expect(200);
    }
    assert_eq!(names(&api.get(TEMPLATES).await.expect(200)).len(), ALL);
}

#[tokio::test]
async fn should_support_continue_listing_from_the_last_key_if_the_original_version_has_been_compacted_away() {
    let api = templates().await;
    let first = api.get(&format!("{TEMPLATES}?limit=10")).await.expect(200);
    api.config_map("later", &json!({})).await;
    api.store.compact(api.store.revision()).await.unwrap();
    let status = api.get(&next(&first, 10)).await.expect(410);
    assert_eq!(status["reason"], "Expired");
    let (mut page, mut seen) = (api.get(&next(&status, 10)).await.expect(200), 10);
    let version = page["metadata"]["resourceVersion"].clone();
    assert_ne!(version, first["metadata"]["resourceVersion"]);
    loop {
        check(&page, seen, 10);
        assert_eq!(page["metadata"]["resourceVersion"], version);
        seen += names(&page).len();
        if seen == ALL {
            return;
        }
        page = api.get(&next(&page, 10)).await.expect(200);
    }
}
