//! Annotations of Pods, a line each as `NAME=VALUE`: capabilities, egress and the rest. No panic; whatever is asked for, a namespace's
//! level is kept.
#![no_main]

use std::collections::BTreeMap;
use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;

// Their crate has an engine, which would be built with counters, too; these files know nothing of it.
#[path = "../../../../wasm-runtime/src/capabilities.rs"]
#[allow(dead_code, reason = "imports are the inspector's to name")]
mod capabilities;
#[path = "../../../../wasm-runtime/src/egress.rs"]
mod egress;
#[path = "../../../../wasm-runtime/src/level.rs"]
mod level;
#[path = "../../../../wasm-runtime/src/settings.rs"]
mod settings;

use settings::Settings;

const LINK: [&str; 6] =
    ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "febf::1", "fd00:ec2::254"];
const HOSTS: [&str; 4] = ["example.com", "db.example.com", "EXAMPLE.com.", "a"];

fuzz_target!(|text: &str| {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let annotations: BTreeMap<String, String> =
        pairs.map(|(name, value)| (format!("run.wherry.dev/{name}"), value.to_owned())).collect();
    let settings = match Settings::read(&annotations) {
        Ok(settings) => settings,
        Err(error) => {
            let told = error.to_string();
            assert!(annotations.keys().any(|name| told.contains(&format!("{name:?}"))), "{told}");
            return;
        }
    };
    let (egress, node) = (settings.egress, "192.0.2.99".parse::<IpAddr>().expect("an address"));
    let level = annotations.get("run.wherry.dev/level").map_or("privileged", String::as_str);
    if level != "privileged" {
        for ip in LINK.iter().map(|ip| ip.parse().expect("an address")).chain([node]) {
            assert!(!egress.allows(ip, &[node]), "{level} reaches {ip}");
        }
    }
    if level == "restricted" && !annotations.contains_key("run.wherry.dev/egress") {
        assert!(!egress.allows([192, 0, 2, 1].into(), &[]) && HOSTS.iter().all(|host| !egress.asks(host)));
    }
    assert!(HOSTS.iter().all(|host| !egress.names(host) || egress.asks(host)), "it may be reached and not be found");
    assert_eq!(egress.names(HOSTS[0]), egress.names(HOSTS[2]));
});
