//! What those who start Pods see of the policies.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use tokio::sync::{mpsc, oneshot};

use super::judged::Judged;
use super::model::Pod;
use crate::network::PodAddress;
use crate::services::ObjectKey;
use crate::static_pods::is_static;

/// How long a Pod waits before it is told why.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the containers of a Pod may not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// Nobody keeps the rules any more.
    #[error("the node is stopping, so nobody makes the rules of network policies")]
    Stopped,
    /// The policies are not known, or the kernel did not take their rules.
    #[error("network policies are not in force after {} s: the node's log says why", PATIENCE.as_secs())]
    Late,
}

/// What the keeper of the rules is asked.
pub(super) enum Request {
    /// The Pod of this uid gets its address; to be answered when rules that know it are in force.
    Admit { uid: String, key: ObjectKey, pod: Pod, done: oneshot::Sender<()> },
    /// The Pod of this uid gave its address back.
    Release { uid: String },
}

/// The keeper's end.
pub(crate) struct Requests {
    pub(super) receiver: mpsc::UnboundedReceiver<Request>,
    pub(super) judged: Judged,
}

/// Lets Pods onto the network once their policies stand.
#[derive(Clone)]
pub(crate) struct Gate {
    requests: Option<mpsc::UnboundedSender<Request>>,
    judged: Judged,
}

impl Gate {
    /// A gate and the end of it that whoever keeps the rules holds.
    pub(crate) fn new() -> (Self, Requests) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let judged = Judged::unknown();
        (Self { requests: Some(sender), judged: judged.clone() }, Requests { receiver, judged })
    }

    /// A gate that is always open, where no policy has an effect.
    pub(crate) fn open() -> Self {
        Self { requests: None, judged: Judged::none() }
    }

    /// A gate that is always open where others keep the rules, of whom nothing is known: the network decides every connection.
    pub(crate) fn of_others() -> Self {
        Self { requests: None, judged: Judged::unknown() }
    }

    /// Which connections policies have a say about.
    pub(crate) fn judged(&self) -> Judged {
        self.judged.clone()
    }

    /// Returns when the policies of a Pod that gets these addresses are in force. A static Pod waits for nobody: it is to run where
    /// there is no API server, too, and its policies follow as soon as they are known.
    pub(crate) async fn admit(
        &self,
        uid: &str,
        object: &core::Pod,
        address: &PodAddress,
    ) -> Result<(), GateError> {
        let Some(requests) = &self.requests else { return Ok(()) };
        let Some(pod) = Pod::with_addresses(object, &address.ips()) else { return Ok(()) };
        let (done, admitted) = oneshot::channel();
        let request = Request::Admit { uid: uid.to_owned(), key: ObjectKey::of(object), pod, done };
        requests.send(request).map_err(|_| GateError::Stopped)?;
        if is_static(object) {
            return Ok(());
        }
        let admitted = tokio::time::timeout(PATIENCE, admitted).await.map_err(|_| GateError::Late)?;
        admitted.map_err(|_| GateError::Stopped)
    }

    /// The Pod of this uid has no address any more.
    pub(crate) fn release(&self, uid: &str) {
        if let Some(requests) = &self.requests {
            // Nobody listens once the node stops; the rules stay as they are.
            let _ = requests.send(Request::Release { uid: uid.to_owned() });
        }
    }
}
