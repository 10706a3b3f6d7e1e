//! Names that clients of TLS ask for: the first part of an input is hosts with certificates, a line each, the second a client's first
//! bytes, or a name. No panic; who asks for a name is shown what the lines say when they are read one by one.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use tokio::sync::watch;
use wherry_fuzz::{halves, host};
use wherry_ingress::{Certificate, Certificates, Host, Site, TRUSTING, Table, server_config};

/// Certificates to tell apart, with what clients see of them.
static SHOWN: LazyLock<Vec<(Certificate, CertificateDer<'static>)>> = LazyLock::new(|| (0..4).map(|_| made()).collect());

fn made() -> (Certificate, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["ingress.invalid".to_owned()]).expect("it can be made");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &default_provider());
    (certificate.expect("it can be read"), made.cert.der().clone())
}

/// Which of the lines a client is for that asks for this name, in the plainest way.
fn expected(hosts: &[Host], name: Option<&str>) -> Option<usize> {
    let name = name.map(str::to_ascii_lowercase);
    let first = |is: &dyn Fn(&Host) -> bool| hosts.iter().position(is);
    let exactly = first(&|host| matches!(host, Host::Exactly(wanted) if Some(wanted) == name.as_ref()));
    let below = || {
        let (_, domain) = name.as_deref()?.split_once('.')?;
        first(&|host| matches!(host, Host::LabelBefore(wanted) | Host::Below(wanted) if wanted == domain))
    };
    exactly.or_else(below).or_else(|| first(&|host| *host == Host::Any))
}

/// Hands all that one end has to say to the other.
fn say(from: &mut Vec<u8>, to: &mut ServerConnection) -> bool {
    let mut rest = from.as_slice();
    while !rest.is_empty() {
        if to.read_tls(&mut rest).is_err() || to.process_new_packets().is_err() {
            return false;
        }
    }
    true
}

/// What a client that asks for this name is shown.
fn shown(config: Arc<ServerConfig>, name: ServerName<'static>) -> Option<CertificateDer<'static>> {
    let mut client = ClientConnection::new(TRUSTING.config().clone(), name).expect("a client");
    let mut server = ServerConnection::new(config).expect("a server");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("it fits into memory");
    if !say(&mut hello, &mut server) {
        return None;
    }
    let mut answer = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut answer).expect("it fits into memory");
    }
    let mut answer = answer.as_slice();
    while !answer.is_empty() {
        client.read_tls(&mut answer).expect("it is in memory");
        client.process_new_packets().expect("a server that has a certificate shows it");
    }
    client.peer_certificates().and_then(<[_]>::first).cloned()
}

fuzz_target!(|input: &[u8]| {
    let Some((lines, asked)) = halves(input) else { return };
    let Ok(lines) = std::str::from_utf8(lines) else { return };
    let hosts: Vec<Host> = lines.lines().filter_map(host).collect();
    let mut certificates = Certificates::new(None);
    for (number, host) in hosts.iter().enumerate() {
        certificates.add(host, &SHOWN[number % SHOWN.len()].0);
    }
    let site = Site { table: Table::new(Vec::new()), certificates };
    let (_site, seen) = watch::channel(Arc::new(site));
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("its versions are known");
    let config = Arc::new(server_config(builder, seen));
    // A record of a handshake begins so, and no name does.
    if asked.first() == Some(&0x16) {
        say(&mut asked.to_vec(), &mut ServerConnection::new(config).expect("a server"));
        return;
    }
    let Ok(text) = std::str::from_utf8(asked) else { return };
    let Ok(name) = ServerName::try_from(text.to_owned()) else { return };
    let asked = matches!(name, ServerName::DnsName(_)).then(|| text.strip_suffix('.').unwrap_or(text));
    let wanted = expected(&hosts, asked).map(|number| SHOWN[number % SHOWN.len()].1.clone());
    assert!(shown(config, name) == wanted, "{hosts:?} {asked:?}");
});
