//! Programs that answer, and some that do not.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tempfile::TempDir;
use wherry_api::clock::SystemClock;

use super::*;
use crate::testing::FakeApi;

const IMAGE: &str = "r.example.com/team/app";

/// A provider whose program is a script, and a Pod to ask for.
struct Scene {
    dir: TempDir,
    providers: CredentialProviders,
    api: Arc<FakeApi>,
    tokens: Tokens,
    pod: Pod,
}

impl Scene {
    /// The script finds the request in a file beside it.
    fn new(script: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("accounts");
        let script = format!(
            "#!/bin/sh\ncd {} || exit 9\ncat >>requests; echo >>requests\n{script}",
            dir.path().display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: accounts\n  \
             matchImages: ['*.example.com']\n  defaultCacheDuration: 1h\n  env: [{{name: USER_NAME, value: ada}}]\n  \
             apiVersion: credentialprovider.kubelet.k8s.io/v1\n{more}"
        );
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let providers = CredentialProviders::read(&file, dir.path()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let api = FakeApi::new();
        let tokens = Tokens::new(&api.client(), &clock);
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}, "spec": {"serviceAccountName": "seller", "containers": []},
        });
        Self { dir, providers, api, tokens, pod: serde_json::from_value(pod).unwrap() }
    }

    async fn account(&self, image: &str) -> Option<(String, String)> {
        let asker = Asker { pod: &self.pod, tokens: &self.tokens, clock: &SystemClock };
        match self.providers.account(image, &asker).await? {
            Account::Password(user, password) => Some((user, password)),
            other => panic!("{other:?}"),
        }
    }

    /// Makes a ServiceAccount.
    fn put_account(&self, name: &str, uid: &str, annotations: Value) {
        let metadata = json!({ "name": name, "namespace": "shop", "uid": uid, "annotations": annotations });
        let path = format!("/api/v1/namespaces/shop/serviceaccounts/{name}");
        self.api.put(&path, json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }));
    }

    /// What the program was asked.
    fn requests(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("requests")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn answering(cache: &str) -> String {
    let answer = json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse", "cacheKeyType": cache,
        "auth": {
            "*.example.com": {"username": "all", "password": "1"},
            "r.example.com/team": {"username": "USER", "password": "2"},
            "other.example.com/a/longer/path": {"username": "none", "password": "3"},
        },
    });
    format!("echo '{answer}' | sed s/USER/$USER_NAME/")
}

#[tokio::test]
async fn the_most_particular_account_is_taken_and_remembered() {
    let scene = Scene::new(&answering("Registry"), "");
    assert_eq!(scene.account("docker.io/library/app").await, None);
    assert_eq!(scene.account(IMAGE).await, Some(("ada".to_owned(), "2".to_owned())));
    assert_eq!(scene.account("r.example.com/others/app").await, Some(("all".to_owned(), "1".to_owned())));
    let (one, two) = tokio::join!(scene.account("s.example.com/x"), scene.account("s.example.com/y"));
    assert!(one.is_some() && one == two);
    let expected = |image: &str| json!({"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest", "image": image});
    let requests = scene.requests();
    assert_eq!((requests.len(), &requests[0]), (2, &expected(IMAGE)), "one for each registry");
}

#[tokio::test]
async fn a_program_that_fails_or_answers_something_else_gives_no_account() {
    for script in ["exit 1", "echo '{}'", "echo no json; exit 0", ":"] {
        let scene = Scene::new(script, "");
        assert_eq!(scene.account(IMAGE).await, None, "{script}");
        assert_eq!(scene.account(IMAGE).await, None);
        assert_eq!(scene.requests().len(), 2, "{script}: nothing is remembered");
    }
}

#[tokio::test]
async fn tokens_of_the_pods_account_are_told_to_those_who_want_them() {
    let wanted = "  tokenAttributes: {serviceAccountTokenAudience: registry, cacheType: ServiceAccount, requireServiceAccount: true}\n";
    let mut scene = Scene::new(&answering("Global"), wanted);
    assert_eq!(scene.account(IMAGE).await, None, "nobody has made the account");
    for name in ["seller", "buyer"] {
        scene.put_account(name, "1", json!({}));
    }
    assert!(scene.account(IMAGE).await.is_some() && scene.account("s.example.com/x").await.is_some());
    assert_eq!(scene.requests().len(), 1);
    assert_eq!(scene.requests()[0]["serviceAccountToken"], "token-1");
    let account = |scene: &mut Scene, name: Option<&str>| {
        scene.pod.spec.as_mut().unwrap().service_account_name = name.map(str::to_owned);
    };
    account(&mut scene, Some("buyer"));
    assert!(scene.account(IMAGE).await.is_some());
    assert_eq!(scene.requests().len(), 2, "what one account may use is not for another");
    account(&mut scene, None);
    assert_eq!(scene.account(IMAGE).await, None);
    assert_eq!(scene.requests().len(), 2);
}

#[tokio::test]
async fn annotations_of_the_account_are_told_to_those_who_want_them() {
    let wanted = "  tokenAttributes: {serviceAccountTokenAudience: registry, cacheType: ServiceAccount, requireServiceAccount: true, \
                  requiredServiceAccountAnnotationKeys: [example.com/role], optionalServiceAccountAnnotationKeys: [note]}\n";
    let scene = Scene::new(&answering("Global"), wanted);
    scene.put_account("seller", "1", json!({ "note": "n", "secret": "s" }));
    assert_eq!(scene.account(IMAGE).await, None, "it has not the annotation");
    assert_eq!(scene.requests(), Vec::<Value>::new());
    for (uid, annotations, told) in [
        (
            "1",
            json!({ "example.com/role": "reader", "secret": "s" }),
            json!({ "example.com/role": "reader" }),
        ),
        (
            "1",
            json!({ "example.com/role": "reader", "note": "n" }),
            json!({ "example.com/role": "reader", "note": "n" }),
        ),
        (
            "2",
            json!({ "example.com/role": "reader", "note": "n" }),
            json!({ "example.com/role": "reader", "note": "n" }),
        ),
    ] {
        scene.put_account("seller", uid, annotations);
        let before = scene.requests().len();
        assert!(scene.account(IMAGE).await.is_some() && scene.account(IMAGE).await.is_some());
        let requests = scene.requests();
        assert_eq!(
            requests.len(),
            before + 1,
            "what is told of another account, or is told otherwise, is asked anew"
        );
        assert_eq!(requests[before]["serviceAccountAnnotations"], told);
    }
}
