//! `resolv.conf`, read and written.

use std::net::IpAddr;
use std::path::Path;

use wherry_runtime_api::DnsConfig;

/// The node's own file.
pub(crate) const NODE: &str = "/etc/resolv.conf";

/// What a file says; one that cannot be read says nothing. It is read when somebody asks, for it changes with the node's network.
pub(crate) fn of_node(path: impl AsRef<Path>) -> DnsConfig {
    parse(&std::fs::read_to_string(path).unwrap_or_default())
}

/// Reads what resolvers heed; like them, it passes over what it does not know.
fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                config.nameservers.extend(words.next().and_then(|ip| ip.parse::<IpAddr>().ok()));
            }
            // The last one counts.
            Some("search" | "domain") => {
                config.searches = words.map(|domain| domain.trim_end_matches('.').to_owned()).collect();
                config.searches.retain(|domain| !domain.is_empty());
            }
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    config
}

/// The file that says this.
pub(crate) fn render(config: &DnsConfig) -> String {
    let servers = config.nameservers.iter().map(|server| format!("nameserver {server}"));
    let lists = [("search", &config.searches), ("options", &config.options)];
    let lists = lists.into_iter().filter(|(_, words)| !words.is_empty());
    let lists = lists.map(|(keyword, words)| format!("{keyword} {}", words.join(" ")));
    let lines: Vec<String> = servers.chain(lists).chain([String::new()]).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_resolvers_pass_over_is_passed_over() {
        let text = "# nameserver 1.1.1.1\n;x\nnameserver 10.0.0.2 # the first\nnameserver fe80::1%eth0\nnameserver\n\
                    domain a.\nsearch b.example. c\noptions ndots:2 edns0\nsortlist 1.2.3.4\noptions rotate\n";
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = DnsConfig {
            nameservers: vec!["10.0.0.2".parse().unwrap()],
            searches: words(&["b.example", "c"]),
            options: words(&["ndots:2", "edns0", "rotate"]),
        };
        assert_eq!(parse(text), expected);
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_again(text in "((nameserver|search|options|domain|#) [a-z0-9:. \t]{0,30}\n|\\PC{0,20}\n){0,8}") {
            let config = parse(&text);
            prop_assert_eq!(parse(&render(&config)), config);
        }
    }
}
