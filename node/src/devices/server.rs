//! The socket at which device plugins register: `device-plugins/kubelet.sock`, with theirs beside it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_plugin_api::device::{REGISTER, RegisterRequest, VERSION};
use wherry_plugin_api::grpc::{self, INVALID_ARGUMENT, Question, Reply, Service, Status, UNIMPLEMENTED};
use wherry_plugin_api::registration::Empty;

use super::state::Offer;
use super::{Devices, endpoint};
use crate::sockets::listen;

/// The name that plugins know.
const SOCKET: &str = "kubelet.sock";

/// Takes plugins that register, until `shutdown`.
pub(crate) async fn serve(devices: Arc<Devices>, shutdown: CancellationToken) {
    let listener = match listen(&devices.directory.join(SOCKET)) {
        Ok(listener) => listener,
        Err(error) => {
            let directory = devices.directory.display();
            return warn!(%directory, %error, "device plugins cannot register with this node");
        }
    };
    let (registered, mut plugins) = mpsc::unbounded_channel();
    let service = Arc::new(Registration { directory: devices.directory.clone(), registered });
    let mut serving = std::pin::pin!(grpc::serve(listener, service, shutdown));
    let mut endpoints = JoinSet::new();
    let mut followed = HashMap::<String, AbortHandle>::new();
    loop {
        tokio::select! {
            () = &mut serving => return,
            Some(_) = endpoints.join_next() => {}
            Some((resource, offer)) = plugins.recv() => {
                info!(resource, "device plugin registered");
                let task = endpoint::follow(devices.clone(), String::clone(&resource), offer);
                // A plugin that started again takes the place of what it was.
                if let Some(before) = followed.insert(resource, endpoints.spawn(task)) {
                    before.abort();
                }
            }
        }
    }
}

struct Registration {
    directory: PathBuf,
    registered: mpsc::UnboundedSender<(String, Offer)>,
}

impl Service for Registration {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        if method != REGISTER {
            return Err(Status::new(UNIMPLEMENTED, format!("unknown method {method}")));
        }
        let request: RegisterRequest = question.read()?;
        check(&request).map_err(|why| Status::new(INVALID_ARGUMENT, why))?;
        let offer = Offer {
            socket: self.directory.join(&request.endpoint),
            options: request.options.unwrap_or_default(),
            ..Offer::default()
        };
        // Who serves takes it for as long as it serves.
        let _ending = self.registered.send((request.resource_name, offer));
        Ok(Reply::one(&Empty {}))
    }
}

fn check(request: &RegisterRequest) -> Result<(), String> {
    if request.version != VERSION {
        return Err(format!(
            "requested API version {:?} is not supported by kubelet. Supported version is {VERSION:?}",
            request.version
        ));
    }
    let is_extended = request.resource_name.split_once('/').is_some_and(|(domain, name)| {
        let of_kubernetes = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
        !domain.is_empty() && !name.is_empty() && !name.contains('/') && !of_kubernetes
    });
    if !is_extended {
        return Err(format!("the ResourceName {:?} is invalid", request.resource_name));
    }
    if request.endpoint.is_empty() || request.endpoint.contains('/') {
        return Err(format!("endpoint {:?} is not the name of a socket beside {SOCKET}", request.endpoint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_an_extended_resource_is_taken() {
        let request = |version: &str, resource: &str, endpoint: &str| {
            check(&RegisterRequest {
                version: version.to_owned(),
                endpoint: endpoint.to_owned(),
                resource_name: resource.to_owned(),
                options: None,
            })
        };
        assert_eq!(request(VERSION, "example.com/gpu", "gpu.sock"), Ok(()));
        assert!(request("v1alpha", "example.com/gpu", "gpu.sock").unwrap_err().contains("not supported"));
        for wrong in ["gpu", "/gpu", "kubernetes.io/gpu", "a.kubernetes.io/gpu", "example.com/a/b"] {
            assert!(request(VERSION, wrong, "gpu.sock").unwrap_err().contains("is invalid"), "{wrong}");
        }
        assert!(request(VERSION, "example.com/gpu", "../gpu.sock").unwrap_err().contains("endpoint"));
    }
}
