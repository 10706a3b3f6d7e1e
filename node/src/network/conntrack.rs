//! Forgets UDP flows that lead elsewhere than they would now.
//!
//! The kernel translates a flow by what it decided for its first packet. A TCP client of a dead endpoint gets
//! an error and connects again; a UDP client may go on sending to it for ever. So after a change whoever made it says
//! which flows are not as they would begin now, also of those that were never translated because nobody answered
//! when they began, and these are deleted.

use std::io;
use std::net::{IpAddr, SocketAddr as Address};

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

const CONNTRACK: u16 = 1 << 8;
const GET: u16 = CONNTRACK | 1;
const DELETE: u16 = CONNTRACK | 2;
const REQUEST_DUMP: u16 = 0x0301;
const REQUEST_ACK: u16 = 0x0005;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// The length of the family, the version and the number that every netfilter message starts with.
const START: usize = 4;
const ANY_FAMILY: u8 = 0;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// The attributes of an address, as IPv4 and as IPv6.
const IP_SOURCE: [u16; 2] = [1, 3];
const IP_DESTINATION: [u16; 2] = [2, 4];
const PROTOCOL_NUMBER: u16 = 1;
const PORT_SOURCE: u16 = 2;
const PORT_DESTINATION: u16 = 3;
const UDP: u8 = 17;

/// A UDP flow the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Where its first packet was sent.
    pub(crate) destination: Address,
    /// Where it was led; the same, if it was not translated.
    pub(crate) answered_by: Address,
    /// The attribute that names the flow to the kernel.
    identity: Vec<u8>,
}

/// Deletes the flows that are stale; returns how many.
pub(crate) async fn forget(is_stale: impl Fn(&Flow) -> bool + Send + 'static) -> io::Result<usize> {
    let work = tokio::task::spawn_blocking(move || {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let flows = flows(&socket)?;
        let mut deleted = 0;
        for flow in flows.iter().filter(|flow| is_stale(flow)) {
            deleted += usize::from(delete(&socket, flow)?);
        }
        Ok(deleted)
    });
    work.await.map_err(io::Error::other)?
}

fn flows(socket: &Socket) -> io::Result<Vec<Flow>> {
    socket.send(&message(GET, REQUEST_DUMP, ANY_FAMILY, &[]), 0)?;
    let mut flows = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for (kind, body) in Messages(&datagram) {
            match kind {
                NLMSG_DONE => return Ok(flows),
                NLMSG_ERROR => return Err(error_of(body)),
                _ => flows.extend(body.get(START..).and_then(parse_flow)),
            }
        }
    }
}

/// Whether the flow was still there.
fn delete(socket: &Socket, flow: &Flow) -> io::Result<bool> {
    let family = if flow.destination.is_ipv4() { IPV4 } else { IPV6 };
    socket.send(&message(DELETE, REQUEST_ACK, family, &flow.identity), 0)?;
    let (datagram, _) = socket.recv_from_full()?;
    let answer = Messages(&datagram).find(|(kind, _)| *kind == NLMSG_ERROR);
    let Some((_, body)) = answer else { return Ok(true) };
    let error = error_of(body);
    match error.raw_os_error() {
        Some(0) => Ok(true),
        Some(code) if code == nix::errno::Errno::ENOENT as i32 => Ok(false),
        _ => Err(error),
    }
}

/// The number of an acknowledgement; 0 is success.
fn error_of(body: &[u8]) -> io::Error {
    let code = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    io::Error::from_raw_os_error(-code)
}

fn message(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + START + attributes.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // One request is under way at a time, so its number and the port need not be told apart.
    message.extend([0; 8]);
    message.extend([family, 0, 0, 0]);
    message.extend(attributes);
    message
}

fn parse_flow(attributes: &[u8]) -> Option<Flow> {
    let original = attribute(attributes, TUPLE_ORIGINAL)?;
    let reply = attribute(attributes, TUPLE_REPLY)?;
    Some(Flow {
        destination: address(original.body, IP_DESTINATION, PORT_DESTINATION)?,
        answered_by: address(reply.body, IP_SOURCE, PORT_SOURCE)?,
        identity: original.whole.to_vec(),
    })
}

fn address(tuple: &[u8], ip: [u16; 2], port: u16) -> Option<Address> {
    let protocol = attribute(tuple, TUPLE_PROTOCOL)?.body;
    if attribute(protocol, PROTOCOL_NUMBER)?.body != [UDP] {
        return None;
    }
    let ips = attribute(tuple, TUPLE_IP)?.body;
    let ip = ip.into_iter().find_map(|kind| ip_of(attribute(ips, kind)?.body))?;
    let port: [u8; 2] = attribute(protocol, port)?.body.try_into().ok()?;
    Some(Address::new(ip, u16::from_be_bytes(port)))
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

fn attribute(attributes: &[u8], kind: u16) -> Option<Attribute<'_>> {
    Attributes(attributes).find(|attribute| attribute.kind == kind)
}

struct Attribute<'a> {
    kind: u16,
    body: &'a [u8],
    whole: &'a [u8],
}

/// The attributes of a message; what does not hold together ends them.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?) & 0x3fff;
        let whole = self.0.get(..length)?;
        let body = whole.get(4..)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, body, whole })
    }
}

/// The kind and body of each message of a datagram.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(u32::from_ne_bytes(*self.0.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*self.0.get(4..)?.first_chunk()?);
        let body = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    }
}
