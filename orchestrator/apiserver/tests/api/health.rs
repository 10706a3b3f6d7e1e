//! Whether the server works.

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
