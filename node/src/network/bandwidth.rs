//! How much a Pod may send and be sent a second, as its annotations say: a token bucket at each end of its veth pair.

use std::collections::BTreeMap;

use futures::StreamExt;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use wherry_api::quantity::Quantity;

use super::NetworkError;
use super::netlink::{Netlink, failed};

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";
/// What upstream takes for a mistake is less than the one, or more than the other, in bits.
const LEAST: i128 = 1_000;
const MOST: i128 = 1_000_000_000_000_000;
/// What may be sent at once after a pause: a large packet at the least, so much of a second else.
const LARGE_PACKET: u64 = 64 * 1024;
const BURSTS_A_SECOND: u64 = 20;
/// What may wait to be sent, beside that.
const QUEUES_A_SECOND: u64 = 40;

/// Options of the kernel's token bucket filter (`linux/pkt_sched.h`).
const PARAMETERS: u16 = 1;
const LARGE_RATE: u16 = 4;
const BURST: u16 = 6;
const ETHERNET: u8 = 1;

/// Bits a second; as many as there are, where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// What the Pod is sent.
    pub ingress: Option<u64>,
    /// What it sends.
    pub egress: Option<u64>,
}

/// An annotation that says nothing reasonable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the annotation {name:?} has the value {value:?}, which is not a number of bits a second from 1k to 1P"
)]
pub struct BandwidthError {
    name: &'static str,
    value: String,
}

impl Bandwidth {
    /// What annotations of a Pod say.
    pub fn of(annotations: &BTreeMap<String, String>) -> Result<Self, BandwidthError> {
        let read = |name: &'static str| {
            let rate = annotations.get(name).map(|value| {
                let bits = value.parse::<Quantity>().ok().map(|quantity| quantity.value());
                let bits =
                    bits.filter(|bits| (LEAST..=MOST).contains(bits)).and_then(|bits| bits.try_into().ok());
                bits.ok_or_else(|| BandwidthError { name, value: value.clone() })
            });
            rate.transpose()
        };
        Ok(Self { ingress: read(INGRESS)?, egress: read(EGRESS)? })
    }
}

impl Netlink {
    /// Has an interface send no more than so many bits a second.
    pub(super) async fn limit(&self, index: u32, bits: u64) -> Result<(), NetworkError> {
        let step = format!("limit interface {index} to {bits} bits a second");
        let mut message = TcMessage::with_index(i32::try_from(index).unwrap_or(i32::MAX));
        message.header.parent = TcHandle::ROOT;
        let options = bucket(bits).into_iter().map(TcOption::Other).collect();
        message.attributes = vec![TcAttribute::Kind("tbf".to_owned()), TcAttribute::Options(options)];
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let mut answers = match self.handle.clone().request(request) {
            Ok(answers) => answers,
            Err(error) => return Err(failed(step)(error)),
        };
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(failed(step)(rtnetlink::Error::NetlinkError(error)));
            }
        }
        Ok(())
    }
}

/// The options of a bucket.
fn bucket(bits: u64) -> [DefaultNla; 3] {
    let rate = bits.div_ceil(8);
    let burst = (rate / BURSTS_A_SECOND).max(LARGE_PACKET);
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes();
    // struct tc_tbf_qopt: two struct tc_ratespec, of which the second stays empty, and the length of the queue.
    let mut parameters = vec![0; 36];
    parameters[1] = ETHERNET;
    parameters[8..12].copy_from_slice(&small(rate));
    parameters[24..28].copy_from_slice(&small(burst + rate / QUEUES_A_SECOND));
    [
        DefaultNla::new(PARAMETERS, parameters),
        DefaultNla::new(LARGE_RATE, rate.to_ne_bytes().to_vec()),
        DefaultNla::new(BURST, small(burst).to_vec()),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(ingress: &str, egress: &str) -> Result<Bandwidth, BandwidthError> {
        let said = [(INGRESS, ingress), (EGRESS, egress)].into_iter().filter(|(_, value)| !value.is_empty());
        Bandwidth::of(&said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn each_direction_has_a_rate_of_its_own_or_none() {
        assert_eq!(of("", ""), Ok(Bandwidth::default()));
        assert_eq!(of("10M", ""), Ok(Bandwidth { ingress: Some(10_000_000), egress: None }));
        assert_eq!(
            of("1k", "1P"),
            Ok(Bandwidth { ingress: Some(1_000), egress: Some(1_000_000_000_000_000) })
        );
        for value in ["999", "2P", "-1M", "fast", "10 M"] {
            let error = of("1M", value).unwrap_err().to_string();
            assert!(error.contains(EGRESS) && error.contains(value), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in ".*") {
            if let Ok(Bandwidth { ingress: Some(bits), .. }) = of(&value, "") {
                prop_assert!((1_000..=1_000_000_000_000_000).contains(&bits));
            }
        }
    }
}
