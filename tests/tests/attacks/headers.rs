//! Headers that try to be somebody else to a server behind this one.

use serde_json::json;
use wherry_tests::ApiServer;

use crate::backend::{Backend, FLUNDERS, identity};
use crate::client::Client;
use crate::frames::{ask, head};
use crate::secrecy::{admin, hide, keeps_secrets, tells_nothing};

/// Lines in the head of a request, and whether it goes on without them (or is refused).
const LINES: &[(&str, &str)] = &[
    ("a user", "X-Remote-User: root"),
    ("a user in other letters", "x-rEMOTE-uSER: root"),
    ("two users", "X-Remote-User: root\r\nX-Remote-User: alice"),
    ("an empty user", "X-Remote-User:"),
    ("a group", "X-Remote-Group: system:masters"),
    ("groups in one", "X-Remote-Group: dev, system:masters"),
    ("an uid", "X-Remote-Uid: 0"),
    ("something extra", "X-Remote-Extra-Scopes: everything"),
    ("something extra, encoded", "X-Remote-Extra-Example.com%2Fscopes: everything"),
    ("an underscore", "X_Remote_User: root"),
    ("underscores and hyphens", "X-Remote_User: root\r\nX_Remote-Group: system:masters"),
    ("a dot", "X.Remote.User: root"),
    ("a header taken away", "Connection: X-Remote-User"),
    ("all headers taken away", "Connection: x-remote-user, x-remote-group, x-remote-uid, host, te"),
    ("a header given and taken away", "X-Remote-User: root\r\nConnection: close, X-Remote-User"),
    ("another hop's", "Keep-Alive: x-remote-user\r\nProxy-Connection: X-Remote-User"),
    ("in a trailer", "Trailer: X-Remote-User\r\nTE: trailers"),
    ("in an upgrade", "Connection: Upgrade, X-Remote-User\r\nUpgrade: websocket\r\nX-Remote-User: root"),
    ("a space before the colon", "X-Remote-User : root"),
    ("a folded line", "X-Ok: 1\r\n X-Remote-User: root"),
    ("a folded line with a tab", "X-Ok: 1\r\n\tX-Remote-User: root"),
    ("a bare newline", "X-Ok: 1\nX-Remote-User: root"),
    ("a bare return", "X-Ok: 1\rX-Remote-User: root"),
    ("a zero", "X-Remote-User\0: root"),
    ("a zero in the value", "X-Remote-User: root\0"),
    ("no name", ": root"),
    ("a letter that looks alike", "X-Remote-\u{ff35}ser: root"),
    ("impersonation", "Impersonate-User: root"),
    ("impersonation of masters", "Impersonate-User: alice\r\nImpersonate-Group: system:masters"),
    ("impersonation without a user", "Impersonate-Group: system:masters"),
    ("impersonation of an uid", "Impersonate-Uid: 0"),
    ("impersonation of something extra", "Impersonate-User: alice\r\nImpersonate-Extra-Scopes: everything"),
    ("impersonation in other letters", "iMPERSONATE-uSER: root"),
    ("impersonation of two", "Impersonate-User: alice\r\nImpersonate-User: root"),
    ("impersonation with an underscore", "Impersonate_User: root"),
    ("impersonation that is taken away", "Impersonate-User: root\r\nConnection: close, Impersonate-User"),
    ("another token", "Authorization: Bearer golden-admin"),
    ("a token for the way", "Proxy-Authorization: Bearer golden-admin"),
    ("two hosts", "Host: kubernetes.default.svc"),
    ("a length and chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked"),
    ("two lengths", "Content-Length: 0\r\nContent-Length: 60"),
    ("a length with a sign", "Content-Length: +0"),
    ("chunks that are none", "Transfer-Encoding: xchunked"),
    ("chunks, twice", "Transfer-Encoding: chunked, identity"),
    ("another method", "X-HTTP-Method-Override: DELETE"),
    ("another path", "X-Original-URL: /api/v1/secrets\r\nX-Rewrite-URL: /api/v1/secrets"),
];

/// A server with another one behind it, to which Alice may talk.
fn start() -> (ApiServer, Backend) {
    let server = ApiServer::talkative();
    let admin = admin(&server);
    hide(&admin);
    let backend = Backend::start(&server, &admin);
    let group = "rbac.authorization.k8s.io";
    let base = format!("/apis/{group}/v1");
    let rule =
        json!({"apiGroups": ["wardle.example.com"], "resources": ["flunders"], "verbs": ["list", "create"]});
    let role = json!({"metadata": {"name": "flunders"}, "rules": [rule]});
    admin.post(&format!("{base}/clusterroles"), &role).expect(201);
    let subject = json!({"apiGroup": group, "kind": "User", "name": "alice"});
    let role = json!({"apiGroup": group, "kind": "ClusterRole", "name": "flunders"});
    let binding = json!({"metadata": {"name": "flunders"}, "roleRef": role, "subjects": [subject]});
    admin.post(&format!("{base}/clusterrolebindings"), &binding).expect(201);
    (server, backend)
}

/// Who Alice is to the server behind.
fn alice(server: &ApiServer, backend: &Backend) -> Vec<String> {
    Client::new(server, "golden-alice").get(FLUNDERS).expect(200);
    let heads = backend.take();
    assert_eq!(heads.len(), 1, "{heads:?}");
    let found = identity(&heads[0]);
    let named: Vec<&str> =
        found.iter().filter(|line| !line.starts_with("x-remote-extra-")).map(String::as_str).collect();
    let expected = [
        "x-remote-group: dev",
        "x-remote-group: system:authenticated",
        "x-remote-uid: alice-uid",
        "x-remote-user: alice",
    ];
    assert_eq!(named, expected);
    found
}

/// Checks that whatever went on went on as Alice's.
#[track_caller]
fn went_on_as(attack: &str, alice: &[String], heads: &[String]) {
    assert!(heads.len() <= 1, "{attack}: one request became {heads:?}");
    for head in heads {
        assert_eq!(identity(head), alice, "{attack}: {head}");
        let lower = head.to_lowercase();
        let both = lower.contains("\ncontent-length:") && lower.contains("\ntransfer-encoding:");
        assert!(!both && !head.contains("root"), "{attack}: {head}");
    }
}

#[test]
fn nobody_becomes_somebody_else_by_headers() {
    let (mut server, backend) = start();
    let known = alice(&server, &backend);
    let client = Client::new(&server, "golden-alice");
    for (attack, lines) in LINES {
        for (method, body) in [("GET", ""), ("POST", "{\"kind\": \"Flunder\"}")] {
            let answer = client.request(method, FLUNDERS, lines, body);
            let refused = matches!(answer.code, 0 | 400 | 401 | 403 | 408 | 411 | 500);
            assert!(refused || answer.code == 200, "{attack}: {}", answer.text);
            let heads = backend.take();
            assert!(answer.code != 200 || heads.len() == 1, "{attack}: {}\n{heads:?}", answer.text);
            went_on_as(attack, &known, &heads);
            tells_nothing(attack, &server, &answer);
        }
    }
    let nobody = Client::new(&server, "");
    for (attack, lines) in LINES {
        let answer = nobody.request("GET", FLUNDERS, lines, "");
        let heads = backend.take();
        assert!(*attack == "another token" || heads.is_empty(), "{attack}, by nobody: {}", answer.text);
    }
    keeps_secrets(&mut server, &[]);
}

#[test]
fn nobody_becomes_somebody_else_by_two_requests_in_one() {
    let (mut server, backend) = start();
    let known = alice(&server, &backend);
    let client = Client::new(&server, "golden-alice");
    let hidden = format!("GET {FLUNDERS} HTTP/1.1\r\nHost: x\r\nX-Remote-User: root\r\n\r\n");
    let head = format!(
        "POST {FLUNDERS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer golden-alice\r\n"
    );
    let length = hidden.len();
    for (attack, request) in [
        (
            "behind chunks",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "behind a length",
            format!(
                "{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5c\r\n{hidden}\r\n0\r\n\r\n"
            ),
        ),
        ("behind no length", format!("{head}\r\n{hidden}")),
        ("behind a length of nothing", format!("{head}Content-Length: 0\r\n\r\n{hidden}")),
        ("in a chunk's extension", format!("{head}Transfer-Encoding: chunked\r\n\r\n0;\r\n{hidden}\r\n\r\n")),
        ("in trailers", format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\nX-Remote-User: root\r\n\r\n")),
        (
            "a chunk of too much",
            format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{hidden}"),
        ),
        ("a negative chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n{hidden}")),
    ] {
        let answer = client.raw(request.as_bytes());
        for head in backend.take() {
            let (head, _) = head.split_once("\r\n\r\n").unwrap();
            went_on_as(attack, &known, &[head.to_owned()]);
        }
        tells_nothing(attack, &server, &answer);
    }
    keeps_secrets(&mut server, &[]);
}

#[test]
fn nobody_becomes_somebody_else_by_frames() {
    let (mut server, backend) = start();
    let known = alice(&server, &backend);
    let client = Client::new(&server, "").speaking("h2");
    let usual = |path: &'static str| head(path, "golden-alice");
    assert_eq!(ask(&client, &usual(FLUNDERS)).code, 200);
    went_on_as("nothing", &known, &backend.take());
    let long = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders HTTP/1.1\r\nX-Remote-User: root\r\nX: ";
    let with = |name: &'static str, value: &'static str| [usual(FLUNDERS), vec![(name, value)]].concat();
    for (attack, fields) in [
        ("a user", with("x-remote-user", "root")),
        ("capitals", with("X-Remote-User", "root")),
        ("an underscore", with("x_remote_user", "root")),
        ("a header taken away", with("connection", "x-remote-user")),
        ("a newline in a value", with("x-ok", "1\r\nx-remote-user: root")),
        ("a newline in a name", with("x-ok: 1\r\nx-remote-user", "root")),
        ("a colon in a name", with("x-remote-user:", "root")),
        ("a pseudo header", with(":x-remote-user", "root")),
        ("a second path", with(":path", "/api/v1/secrets")),
        ("a second method", with(":method", "DELETE")),
        ("a second authority", with(":authority", "root")),
        ("a status", with(":status", "200")),
        ("another protocol", with(":protocol", "websocket")),
        ("a host", with("host", "root")),
        ("chunks", with("transfer-encoding", "chunked")),
        ("a length that is none", with("content-length", "60")),
        ("impersonation", with("impersonate-user", "root")),
        ("impersonation with an underscore", with("impersonate_user", "root")),
        ("the way of the path", head(long, "golden-alice")),
        (
            "a path without a slash",
            head("apis/wardle.example.com/v1alpha1/namespaces/default/flunders", "golden-alice"),
        ),
        ("no path", head("", "golden-alice")),
    ] {
        let answer = ask(&client, &fields);
        went_on_as(attack, &known, &backend.take());
        tells_nothing(attack, &server, &answer);
    }
    keeps_secrets(&mut server, &[]);
}
