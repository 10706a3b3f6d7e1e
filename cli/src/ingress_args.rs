//! What the command line says about the built-in Ingress controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use wherry_node::IngressDoors;

/// Where the controller of `wherry up` listens unless it is told otherwise.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7080);
const HTTPS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAt(Option<SocketAddr>);

impl FromStr for ListenAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address =
            text.parse().map_err(|_| "give an address with a port, as in 127.0.0.1:80, or `off`")?;
        Ok(Self(Some(address)))
    }
}

#[derive(Debug, Args)]
pub(crate) struct IngressArgs {
    /// Where requests by HTTP are taken for Ingresses, or `off` [default: 127.0.0.1:7080; off with `wherry agent`].
    #[arg(long)]
    ingress_http_listen: Option<ListenAt>,
    /// Where requests by HTTPS are taken for Ingresses, or `off` [default: 127.0.0.1:7443; off with `wherry agent`].
    #[arg(long)]
    ingress_https_listen: Option<ListenAt>,
}

impl IngressArgs {
    /// The doors of `wherry up`.
    pub(crate) fn doors(&self, gateways: bool) -> IngressDoors {
        let or = |given: Option<ListenAt>, default| given.map_or(Some(default), |ListenAt(address)| address);
        let (http, https) = (or(self.ingress_http_listen, HTTP), or(self.ingress_https_listen, HTTPS));
        IngressDoors { http, https, gateways }
    }

    /// The doors of `wherry agent`.
    pub(crate) fn doors_asked_for(&self) -> IngressDoors {
        let asked = |given: Option<ListenAt>| given.and_then(|ListenAt(address)| address);
        let (http, https) = (asked(self.ingress_http_listen), asked(self.ingress_https_listen));
        // What Gateways are told of how they are served, one node alone may say.
        IngressDoors { http, https, gateways: false }
    }
}

/// As whom a node whose API server is elsewhere reads what Ingresses lead to.
#[derive(Debug, Args)]
pub(crate) struct IngressIdentityArgs {
    /// Leads to the API server as the ServiceAccount wherry-ingress of kube-system, or as another that has the role
    /// wherry:ingress: the node itself may not read the certificates of Ingresses.
    #[arg(long)]
    ingress_kubeconfig: Option<PathBuf>,
}

impl IngressIdentityArgs {
    /// The controller's client, if there are doors.
    pub(crate) async fn client(&self, doors: IngressDoors) -> anyhow::Result<Option<Client>> {
        if !doors.any() {
            return Ok(None);
        }
        let path = self.ingress_kubeconfig.as_ref().context(
            "--ingress-http-listen and --ingress-https-listen need --ingress-kubeconfig: \
             say as whom certificates are read",
        )?;
        let why = || format!("cannot use {}", path.display());
        let kubeconfig = Kubeconfig::read_from(path).with_context(why)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(why)?;
        Ok(Some(Client::try_from(config).with_context(why)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(http: Option<&str>, https: Option<&str>) -> IngressArgs {
        let parse = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        IngressArgs { ingress_http_listen: parse(http), ingress_https_listen: parse(https) }
    }

    #[test]
    fn only_a_whole_cluster_listens_unasked_and_then_on_loopback() {
        let doors = args(None, None).doors(true);
        assert_eq!((doors.http, doors.https), (Some(HTTP), Some(HTTPS)));
        assert!(HTTP.ip().is_loopback() && HTTPS.ip().is_loopback());
        assert!(!args(None, None).doors_asked_for().any());
        let asked = args(Some("0.0.0.0:80"), Some("off"));
        for doors in [asked.doors(false), asked.doors_asked_for()] {
            assert_eq!((doors.http, doors.https), ("0.0.0.0:80".parse().ok(), None));
        }
        assert!("80".parse::<ListenAt>().is_err());
    }

    #[tokio::test]
    async fn an_agent_with_doors_says_as_whom_it_reads_certificates() {
        let identity = IngressIdentityArgs { ingress_kubeconfig: None };
        assert!(identity.client(IngressDoors::default()).await.unwrap().is_none());
        let doors = args(Some("127.0.0.1:80"), None).doors_asked_for();
        let Err(refused) = identity.client(doors).await else { panic!("nobody may read certificates") };
        assert!(refused.to_string().contains("--ingress-kubeconfig"), "{refused}");
    }
}
