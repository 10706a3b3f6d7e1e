//! Whoever wants a command run, straight at the node: only a certificate of the cluster says who somebody is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use wherry_tests::Cluster;
use wherry_tests::pods::{IDLE, shell};

/// A certificate and its key, as PEM.
type Identity = (String, String);

/// A certificate like that of the API server, by an authority that calls itself as the cluster's.
fn forged() -> Identity {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "wherry-ca");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::generate().expect("a key can be made"));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver-kubelet-client");
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key can be made");
    let signed = params.signed_by(&key, &issuer).expect("it can be signed");
    (signed.pem(), key.serialize_pem())
}

/// The certificate of the cluster's administrator.
fn own(cluster: &Cluster) -> Identity {
    let read = |end: &str| {
        let path = cluster.data_dir().join(format!("pki/admin.{end}"));
        fs::read_to_string(path).expect("the administrator has a certificate")
    };
    (read("crt"), read("key"))
}

/// What the node answers to a request to run a command, with these lines in its head; empty if it does not even listen.
fn asked(cluster: &Cluster, port: u16, identity: Option<&Identity>, lines: &str) -> String {
    let mut roots = RootCertStore::empty();
    let authority = fs::read(cluster.data_dir().join("pki/ca.crt")).expect("the cluster has an authority");
    for root in CertificateDer::pem_slice_iter(&authority) {
        roots.add(root.expect("it is a certificate")).expect("it can be believed");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("there are versions")
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).filter_map(Result::ok).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is a key");
            builder.with_client_auth_cert(chain, key).expect("the key fits")
        }
    };
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_millis(1500))).expect("a socket has a time-out");
    let name = ServerName::try_from("127.0.0.1").expect("it is an address");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection can begin");
    let mut stream = StreamOwned::new(connection, stream);
    let request = format!(
        "GET /exec/default/victim/main?command=cat&command=/proc/version&output=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n{lines}\r\n"
    );
    let mut bytes = Vec::new();
    // A node that does not believe the certificate closes the connection.
    if stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).is_ok() {
        stream.read_to_end(&mut bytes).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn nobody_runs_commands_by_saying_who_he_is(cluster: &Cluster) {
    cluster.run_pod(
        "victim",
        &json!({ "terminationGracePeriodSeconds": 1, "containers": [shell("main", IDLE)] }),
    );
    cluster.wait_for("condition=Ready", &["pod/victim"]);
    let node = cluster.get(&["node", "node-1"]);
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).expect("the node has a port");

    let ran = asked(cluster, port, Some(&own(cluster)), "");
    assert!(
        ran.contains("101 Switching Protocols") && ran.contains("Linux version"),
        "who may is let in: {ran}"
    );

    let token = cluster.kubectl(&["create", "token", "default"]);
    let forged = forged();
    let attempts: [(&str, Option<&Identity>, String); 7] = [
        ("nobody", None, String::new()),
        ("an origin", None, format!("Origin: https://127.0.0.1:{port}\r\n")),
        (
            "headers of a proxy",
            None,
            "X-Remote-User: kube-apiserver-kubelet-client\r\nX-Remote-Group: system:masters\r\n".into(),
        ),
        (
            "impersonation",
            None,
            "Impersonate-User: system:admin\r\nImpersonate-Group: system:masters\r\n".into(),
        ),
        ("a made-up token", None, "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n".into()),
        ("a token that may not", None, format!("Authorization: Bearer {}\r\n", token.trim())),
        ("a forged certificate", Some(&forged), String::new()),
    ];
    for (attempt, identity, lines) in attempts {
        let answer = asked(cluster, port, identity, &lines);
        assert!(
            !answer.contains("101 Switching") && !answer.contains("Linux version"),
            "{attempt}: {answer}"
        );
        let is_refused = answer.contains(" 401 ") || answer.contains(" 403 ");
        assert!(is_refused || identity.is_some(), "{attempt} is refused in words: {answer}");
    }
}
