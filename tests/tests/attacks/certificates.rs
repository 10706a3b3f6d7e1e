//! Certificates that are somebody else's, outlived, or meant for something else.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, date_time_ymd};
use wherry_tests::ApiServer;

use crate::client::Client;
use crate::secrecy::{SECRETS, admin, hide, keeps_secrets, tells_nothing};

/// A certificate and its key, as PEM.
type Identity = (String, String);

/// What the certificate of an administrator says, but for who vouches for it.
fn administrator() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "wherry-admin");
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn sign(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn issuer(cert: &str, key: &str) -> Issuer<'static, KeyPair> {
    Issuer::from_ca_cert_pem(cert, KeyPair::from_pem(key).unwrap()).unwrap()
}

/// A certificate of the cluster and its key.
fn file(server: &ApiServer, name: &str) -> Identity {
    let text = |end: &str| String::from_utf8(server.file(&format!("pki/{name}.{end}"))).unwrap();
    (text("crt"), text("key"))
}

/// An authority that calls itself as the cluster's own does.
fn impostor() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "wherry-ca");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    Issuer::new(params, KeyPair::generate().unwrap())
}

#[test]
fn certificates_that_are_not_a_clients_own_are_refused() {
    let mut server = ApiServer::talkative();
    hide(&admin(&server));
    let (cert, key) = file(&server, "admin");
    Client::with_certificate(&server, &cert, &key).get(&format!("{SECRETS}/s")).expect(200);

    let (ca_cert, ca_key) = file(&server, "ca");
    let authority = issuer(&ca_cert, &ca_key);
    let change = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = administrator();
        change(&mut params);
        params
    };
    let own = KeyPair::generate().unwrap();
    let by_itself = (administrator().self_signed(&own).unwrap().pem(), own.serialize_pem());
    let leaf = sign(&administrator(), &issuer(&cert, &key));
    let outlived = change(&|p| p.not_after = date_time_ymd(2020, 1, 1));
    let early = change(&|p| p.not_before = date_time_ymd(2999, 1, 1));
    let serving = change(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let signing = change(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]);
    let attacks: [(&str, Identity); 10] = [
        ("of another authority", sign(&administrator(), &impostor())),
        (
            "of another authority, with the cluster's behind it",
            joined(sign(&administrator(), &impostor()), &ca_cert),
        ),
        ("of nobody but itself", by_itself),
        ("signed by one that is no authority", joined(leaf, &cert)),
        ("expired", sign(&outlived, &authority)),
        ("not valid yet", sign(&early, &authority)),
        ("for servers", sign(&serving, &authority)),
        ("for signing code", sign(&signing, &authority)),
        ("of the API server itself", file(&server, "server")),
        ("of a node's endpoint", file(&server, "node-server")),
    ];
    for (attack, (chain, key)) in &attacks {
        let answer = Client::with_certificate(&server, chain, key).get(&format!("{SECRETS}/s"));
        assert!(matches!(answer.code, 0 | 401), "{attack}: {}", answer.text);
        tells_nothing(attack, &server, &answer);
    }
    keeps_secrets(&mut server, &[]);
}

/// A certificate with another one behind it.
fn joined((cert, key): Identity, next: &str) -> Identity {
    (format!("{cert}{next}"), key)
}

#[test]
fn certificates_of_the_cluster_let_in_only_whom_they_name() {
    let mut server = ApiServer::talkative();
    hide(&admin(&server));
    let (ca_cert, ca_key) = file(&server, "ca");
    let authority = issuer(&ca_cert, &ca_key);
    let named = |name: Option<&str>, group: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        sign(&params, &authority)
    };
    let remote = "X-Remote-User: root\r\nX-Remote-Group: system:masters";
    let attacks = [
        ("nobody's, of masters", named(None, "system:masters"), ""),
        ("of a group that is called like masters", named(Some("eve"), "system:masters "), ""),
        ("of masters in other letters", named(Some("eve"), "System:Masters"), ""),
        ("of two groups in one", named(Some("eve"), "dev,system:masters"), ""),
        ("of a group in the name", named(Some("eve,O=system:masters"), "dev"), ""),
        ("of the front proxy, in the name of root", file(&server, "front-proxy-client"), remote),
        ("of somebody who is called so", named(Some("front-proxy-client"), "dev"), remote),
    ];
    for (attack, (chain, key), lines) in &attacks {
        let answer =
            Client::with_certificate(&server, chain, key).request("GET", &format!("{SECRETS}/s"), lines, "");
        assert!(matches!(answer.code, 401 | 403), "{attack}: {}", answer.text);
        tells_nothing(attack, &server, &answer);
    }
    keeps_secrets(&mut server, &[]);
}
