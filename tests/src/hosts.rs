//! Network namespaces as machines. The test's own is one of them and the router between their links.

use std::path::Path;
use std::process::{Command, Output};

use nix::mount::{MsFlags, mount};

/// What the file system of their names is called.
const ROOM: &str = "wherry-hosts";

/// A link that machines are on: a bridge in the test's namespace, which is `.1` of its /24 and `::1` of its /64.
pub struct Link {
    name: &'static str,
    /// The first three numbers of its addresses.
    net: &'static str,
    /// Whether it has addresses of IPv4 at all.
    has_four: bool,
}

impl Link {
    /// Makes a link of up to eight letters.
    pub fn new(name: &'static str, net: &'static str) -> Self {
        Self::make(name, net, true)
    }

    /// Makes one on which all have addresses of IPv6 alone.
    pub fn of_six(name: &'static str, net: &'static str) -> Self {
        Self::make(name, net, false)
    }

    fn make(name: &'static str, net: &'static str, has_four: bool) -> Self {
        ip(&format!("link add {name} type bridge"));
        if has_four {
            ip(&format!("addr add {net}.1/24 dev {name}"));
        }
        ip(&format!("addr add {}/64 dev {name} nodad", six(net, "1")));
        ip(&format!("link set {name} up"));
        Self { name, net, has_four }
    }

    /// The address of the test's namespace on the link.
    pub fn router(&self) -> String {
        format!("{}.1", self.net)
    }

    /// The same in IPv6.
    pub fn router6(&self) -> String {
        six(self.net, "1")
    }

    /// All of them, that of IPv4 first if there is one.
    pub fn routers(&self) -> Vec<String> {
        [self.has_four.then(|| self.router()), Some(self.router6())].into_iter().flatten().collect()
    }

    /// Leads what has no other way to this link. Nobody answers there; but a machine's own address is that of its default route.
    pub fn is_default(&self) {
        if self.has_four {
            ip(&format!("route add default via {}.254 dev {}", self.net, self.name));
        }
        ip(&format!("-6 route add default via {} dev {}", six(self.net, "fe"), self.name));
    }

    /// Adds a machine at an address of the link.
    pub fn host(&self, name: &str, number: u8) -> Host {
        let (net, bridge) = (self.net, self.name);
        make_room();
        ip(&format!("netns add {name}"));
        ip(&format!("link add name {name} type veth peer name eth0 netns {name}"));
        ip(&format!("link set {name} master {bridge} up"));
        // Where the kernel filters bridged packets (br_netfilter), what is translated may have to leave where it came in.
        ip(&format!("link set {name} type bridge_slave hairpin on"));
        ip(&format!("-n {name} link set lo up"));
        if self.has_four {
            ip(&format!("-n {name} addr add {net}.{number}/24 dev eth0"));
        }
        let address6 = six(net, &number.to_string());
        ip(&format!("-n {name} addr add {address6}/64 dev eth0 nodad"));
        ip(&format!("-n {name} link set eth0 up"));
        if self.has_four {
            ip(&format!("-n {name} route add default via {net}.1"));
        }
        ip(&format!("-n {name} -6 route add default via {}", self.router6()));
        let address = if self.has_four { format!("{net}.{number}") } else { address6.clone() };
        Host { name: name.to_owned(), address, address6 }
    }
}

/// A machine: a network namespace with a default route.
pub struct Host {
    name: String,
    address: String,
    address6: String,
}

impl Host {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on its link: that of IPv4 if it has one.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its address of IPv6.
    pub fn address6(&self) -> &str {
        &self.address6
    }

    /// What a command begins with that is to have the machine's network. All else, cgroups among it, stays the test's.
    pub(crate) fn command(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.name)]
    }

    /// Runs a script with the machine's network.
    pub fn run(&self, script: &str) -> Output {
        let words = self.command();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["sh", "-c", script]);
        command.output().expect("util-linux is installed")
    }
}

/// The address of IPv6 with this last number on the link whose addresses begin with these numbers.
fn six(net: &str, number: &str) -> String {
    format!("fd00:{}::{number}", net.replace('.', ":"))
}

/// The names of namespaces are files of the test's own.
fn make_room() {
    let dir = Path::new("/run/netns");
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts can be read");
    if !mounts.contains(ROOM) {
        std::fs::create_dir_all(dir).expect("names of namespaces have a place");
        mount(Some(ROOM), dir, Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("a tmpfs can be mounted");
    }
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().expect("ip is installed");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}
