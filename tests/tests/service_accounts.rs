//! What a Pod gets of its ServiceAccount, in wasm and in OCI containers: tokens, and the issuer that vouches for them.

use serde_json::{Value, json};
use wherry_tests::{Options, in_cluster, one_shot};

/// [sig-auth] ServiceAccounts should mount an API token into pods: every container reads the token, the CA and its
/// namespace at the usual place, whichever runtime runs it, and the API knows whose token it is.
#[test]
fn service_account_tokens_must_auto_mount() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: access}\nspec:\n  restartPolicy: Never\n  containers:\n  \
             - name: wasm\n    image: 127.0.0.1:5000/cli-p2:v1\n    args: [cat, /var/run/secrets/kubernetes.io/serviceaccount/token, print, '', \
             cat, /var/run/secrets/kubernetes.io/serviceaccount/ca.crt, \
             cat, /var/run/secrets/kubernetes.io/serviceaccount/namespace]\n  \
             - name: oci\n    image: 127.0.0.1:5000/hello-oci:v1\n    \
             command: [sh, -c, \"cd /var/run/secrets/kubernetes.io/serviceaccount; cat token; echo; cat ca.crt namespace\"]\n",
        );
        cluster.wait_for("jsonpath={.status.phase}=Succeeded", &["pod/access"]);
        let read = |container| cluster.kubectl(&["logs", "access", "-c", container]);
        let (wasm, oci) = (read("wasm"), read("oci"));
        assert_eq!(wasm, oci);
        let (token, rest) = oci.split_once('\n').unwrap();
        assert_eq!(token.split('.').count(), 3, "{token}");
        assert!(
            rest.starts_with("-----BEGIN CERTIFICATE-----") && rest.trim_end().ends_with("default"),
            "{rest}"
        );
        let server = "jsonpath={.clusters[0].cluster.server}";
        let server = cluster.kubectl(&["config", "view", "-o", server]);
        let (server, token) = (format!("--server={server}"), format!("--token={token}"));
        let as_pod = ["--kubeconfig=/dev/null", &server, &token, "--insecure-skip-tls-verify", "get", "pods"];
        let refusal = cluster.kubectl_fails(&as_pod);
        assert!(refusal.contains("system:serviceaccount:default:default"), "{refusal}");
    });
}

/// [sig-auth] ServiceAccounts should mount projected service account token: for the audience and the time asked for,
/// bound to the Pod.
#[test]
fn tokenrequestprojection_should_mount_a_projected_volume_with_token_using_tokenrequest_api() {
    in_cluster(Options::default(), |cluster| {
        let rest = "    args: [cat, /var/run/secrets/tokens/vault]\n    \
                    volumeMounts: [{name: tokens, mountPath: /var/run/secrets/tokens}]\n  volumes:\n  - name: tokens\n    \
                    projected: {sources: [{serviceAccountToken: {path: vault, audience: vault, expirationSeconds: 7200}}]}\n";
        cluster.apply(&one_shot("projected", "cli-p2:v1", rest));
        cluster.wait_for("jsonpath={.status.phase}=Succeeded", &["pod/projected"]);
        let token = cluster.kubectl(&["logs", "projected"]);
        let review = |audience: &str| -> Value {
            let spec = json!({ "token": token.trim(), "audiences": [audience] });
            let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": spec });
            cluster.create(&review.to_string())["status"].clone()
        };
        let status = review("vault");
        assert_eq!(status["authenticated"], true, "{status}");
        assert_eq!(status["user"]["username"], "system:serviceaccount:default:default");
        assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"][0], "projected");
        assert_ne!(review("another")["authenticated"], true);
    });
}

/// [sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer: a Pod
/// verifies its own token by what the API server publishes of the issuer.
#[test]
fn oidc_discovery_serviceaccountissuerdiscovery() {
    in_cluster(Options::default(), |cluster| {
        cluster.apply(&one_shot("relying", "issuer:v1", ""));
        let code = cluster.exit_code("relying");
        let logs = cluster.kubectl(&["logs", "relying"]);
        assert_eq!(code, 0, "{logs}");
        let issuer = cluster.kubectl(&["get", "--raw", "/.well-known/openid-configuration"]);
        let issuer: Value = serde_json::from_str(&issuer).unwrap();
        let issuer = issuer["issuer"].as_str().unwrap();
        assert_eq!(logs.trim(), format!("verified: system:serviceaccount:default:default by {issuer}"));
    });
}
