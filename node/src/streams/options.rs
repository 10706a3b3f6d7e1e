//! What a request for a stream asks for: its query, and the protocol it wants to change to.

use http::{HeaderMap, header};

use super::remote::Wanted;

/// The query of a request for a command, in kubelet's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// The command's words.
    pub(super) command: Vec<String>,
    /// The streams.
    pub(super) wanted: Wanted,
}

impl Options {
    /// Parses a query; what is not known is ignored.
    pub(super) fn parse(query: &str) -> Result<Self, &'static str> {
        let mut options = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let flag = value == "1" || value == "true";
            match &*name {
                "command" => options.command.push(value.into_owned()),
                "input" => options.wanted.stdin = flag,
                "output" => options.wanted.stdout = flag,
                "error" => options.wanted.stderr = flag,
                "tty" => options.wanted.tty = flag,
                _ => {}
            }
        }
        let wanted = &mut options.wanted;
        // A terminal has one output.
        wanted.stderr &= !wanted.tty;
        if !wanted.stdin && !wanted.stdout && !wanted.stderr {
            return Err("you must specify at least 1 of stdin, stdout, stderr");
        }
        Ok(options)
    }
}

/// Header in which SPDY's clients name protocols.
pub(super) const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// The protocol a client wants to change to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// WebSocket.
    WebSocket,
    /// SPDY/3.1.
    Spdy,
}

impl Change {
    /// What the headers ask for.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let upgrade = items(headers, "connection").any(|item| item.eq_ignore_ascii_case("upgrade"));
        let to = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).filter(|_| upgrade)?;
        if to.eq_ignore_ascii_case("websocket") {
            return Some(Self::WebSocket);
        }
        to.eq_ignore_ascii_case("SPDY/3.1").then_some(Self::Spdy)
    }

    /// The protocols asked for inside of it.
    pub(super) fn protocols(self, headers: &HeaderMap) -> impl Iterator<Item = &str> {
        let name = match self {
            Self::WebSocket => "sec-websocket-protocol",
            Self::Spdy => STREAM_PROTOCOL,
        };
        items(headers, name)
    }
}

fn items<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_command_and_streams() {
        let options =
            Options::parse("command=sh&command=-c&command=a+b&input=1&output=1&error=1&tty=1").unwrap();
        assert_eq!(options.command, ["sh", "-c", "a b"]);
        assert_eq!(options.wanted, Wanted { stdin: true, stdout: true, stderr: false, tty: true });
        assert!(Options::parse("command=sh").is_err());
    }

    #[test]
    fn the_change_is_read_from_the_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, "keep-alive, Upgrade".parse().unwrap());
        headers.insert(header::UPGRADE, "websocket".parse().unwrap());
        headers
            .insert(header::SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io, v4.channel.k8s.io".parse().unwrap());
        let change = Change::of(&headers).unwrap();
        assert_eq!(change, Change::WebSocket);
        assert_eq!(
            change.protocols(&headers).collect::<Vec<_>>(),
            ["v5.channel.k8s.io", "v4.channel.k8s.io"]
        );
        headers.insert(header::UPGRADE, "h2c".parse().unwrap());
        assert_eq!(Change::of(&headers), None);
    }
}
