//! What every suite of this crate begins with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use wherry_api::clock::{Clock, SystemClock};
use wherry_api::kinds::SwitchedOn;
use wherry_orchestrator::pki::{Pki, Subjects};
use wherry_orchestrator::{
    AccountTokens, Authentication, AuthenticationOptions, Authorization, Build, Config, ControllerOptions,
    SchedulerConfiguration, Tokens, kubeconfig,
};

/// A control plane that keeps everything in a directory and listens on localhost, with a kubeconfig that leads to it.
pub(crate) async fn config(directory: &Path) -> Config {
    // Another test of this process may have set it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let subjects = Subjects {
        server_addresses: vec![localhost],
        server_names: Vec::new(),
        node_name: "localhost".to_owned(),
        node_addresses: vec![localhost],
    };
    let listener = TcpListener::bind((localhost, 0)).await.unwrap();
    let pki = Pki::open(&directory.join("pki"), &subjects, clock.now()).unwrap();
    let address = listener.local_addr().unwrap();
    kubeconfig::write(&directory.join("kubeconfig"), address, &pki).unwrap();
    let authentication = AuthenticationOptions { bootstrap_tokens: true, ..AuthenticationOptions::default() };
    let counter = AtomicU64::new(1);
    let ids = move || format!("00000000-0000-4000-8000-{:012}", counter.fetch_add(1, Ordering::Relaxed));
    Config {
        data_dir: directory.to_owned(),
        address,
        listeners: vec![listener],
        advertised: None,
        pki,
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        cluster_dns: Vec::new(),
        clock,
        tokens: Tokens::default(),
        authentication: Authentication::open(authentication).unwrap(),
        front_proxies: None,
        account_tokens: AccountTokens::default(),
        authorization: Authorization::Rbac,
        ids: Arc::new(ids),
        build: Build::default(),
        node_endpoint: None,
        audit: None,
        encryption: None,
        controllers: ControllerOptions::default(),
        scheduler: SchedulerConfiguration::default(),
        runtime_config: SwitchedOn::default(),
    }
}
