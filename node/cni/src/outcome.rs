//! What a list of plugins answered.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

/// The answer of the last plugin, which is about all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The addresses of the container's interface, in the plugins' order.
    pub ips: Vec<IpAddr>,
}

/// An answer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// It is no result.
    #[error("the result of the plugins cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The container got no address.
    #[error("the plugins gave interface {0:?} no address")]
    NoAddress(String),
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Ip>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Ip {
    address: IpNet,
    interface: Option<i64>,
}

impl Outcome {
    /// What a result says of the interface of this name. An address of no interface is taken for its own, as container runtimes do.
    pub fn read(result: &Value, interface: &str) -> Result<Self, OutcomeError> {
        let said = Said::deserialize(result)?;
        let is_own = |ip: &&Ip| {
            let Some(index) = ip.interface else { return true };
            let of = usize::try_from(index).ok().and_then(|index| said.interfaces.get(index));
            of.is_some_and(|of| of.name == interface && !of.sandbox.is_empty())
        };
        let ips: Vec<IpAddr> = said.ips.iter().filter(is_own).map(|ip| ip.address.addr()).collect();
        if ips.is_empty() {
            return Err(OutcomeError::NoAddress(interface.to_owned()));
        }
        Ok(Self { ips })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_of_the_containers_interface_count() {
        let result = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "cni0", "mac": "x"}, {"name": "eth0", "sandbox": "/n"}, {"name": "net1", "sandbox": "/n"}],
            "ips": [{"address": "10.9.9.1/24", "interface": 0}, {"address": "10.1.0.4/16", "interface": 1, "gateway": "10.1.0.1"},
                {"address": "10.8.0.4/16", "interface": 2}, {"address": "fd00::4/64", "interface": 1}, {"address": "10.2.0.1/32"},
                {"address": "10.3.0.1/32", "interface": 7}],
            "routes": [{"dst": "0.0.0.0/0"}], "dns": {},
        });
        let ips = Outcome::read(&result, "eth0").unwrap().ips;
        assert_eq!(ips, ["10.1.0.4", "fd00::4", "10.2.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        let nothing = Outcome::read(&json!({"cniVersion": "1.0.0"}), "eth0").unwrap_err();
        assert!(nothing.to_string().contains("\"eth0\" no address"));
        assert!(Outcome::read(&json!({"ips": [{"address": "10.0.0.300/8"}]}), "eth0").is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(address in ".{0,20}", index in any::<i64>(), name in ".{0,5}") {
            let result = json!({"interfaces": [{"name": name, "sandbox": "/n"}], "ips": [{"address": address, "interface": index}]});
            if let Ok(outcome) = Outcome::read(&result, "eth0") {
                prop_assert!(index == 0 && name == "eth0" && outcome.ips.len() == 1);
            }
        }
    }
}
