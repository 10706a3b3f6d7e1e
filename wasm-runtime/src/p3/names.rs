//! `wasi:sockets/ip-name-lookup` of WASI 0.3: names as the pod is to see them.

use std::sync::Arc;

use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

use crate::guest::Guest;
use crate::names::{Unanswered, ask};

const LOOKUP: &str = "wasi:sockets/ip-name-lookup@0.3.0";

/// Replaces the interface in `linker`.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(LOOKUP)?.func_wrap_concurrent(
        "resolve-addresses",
        |accessor: &Accessor<Guest>, (name,): (String,)| {
            Box::pin(async move { Ok((find(accessor, &name).await,)) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn find(accessor: &Accessor<Guest>, name: &str) -> Result<Vec<IpAddress>, ErrorCode> {
    let (names, network, remarks) = accessor.with(|mut access| {
        let guest = access.data_mut();
        (
            guest.environment.names.clone(),
            guest.environment.network.clone(),
            Arc::clone(&guest.environment.remarks),
        )
    });
    match ask(&names, &network, &remarks, name).await {
        Ok(addresses) => Ok(addresses.into_iter().map(IpAddress::from).collect()),
        Err(Unanswered::Refused) => Err(ErrorCode::AccessDenied),
        Err(Unanswered::Unknown) => Err(ErrorCode::NameUnresolvable),
    }
}
