//! `wasi:sockets/types` of WASI 0.3, as [`sockets`](crate::sockets) has those of 0.2: sockets are counted, and without a network namespace they are the
//! pod's.
//!
//! Here a socket that was not bound is bound by what it does first, which would be to any address of the node. It is bound to the pod's before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures::FutureExt as _;
use wasmtime::StoreContextMut;
use wasmtime::component::{Access, Accessor, Linker, LinkerInstance, Resource, ResourceType, StreamReader};
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily,
    IpSocketAddress, TcpSocket, UdpSocket,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

use crate::guest::Guest;

const TYPES: &str = "wasi:sockets/types@0.3.0";

type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

/// Replaces what makes and drops sockets in `linker`, and what names addresses.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    link_tcp(&mut types)?;
    link_udp(&mut types)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_tcp(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, rep| {
        let guest: &mut Guest = store.data_mut();
        HostTcpSocket::drop(&mut guest.sockets(), Resource::new_own(rep))?;
        guest.open_sockets.give_back();
        Ok(())
    })?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, Guest>, (family,): (IpAddressFamily,)| {
            answer(tcp_create(store.data_mut(), family))
        },
    )?;
    types.func_wrap_async(
        "[method]tcp-socket.bind",
        |mut store: StoreContextMut<'_, Guest>, (socket, address): (Resource<TcpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let guest = store.data_mut();
                let address = guest.environment.network.meant(address.into());
                answer(HostTcpSocket::bind(&mut guest.sockets(), socket, address.into()).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]tcp-socket.listen",
        |store: StoreContextMut<'_, Guest>, (socket,): (Resource<TcpSocket>,)| {
            Box::new(async move { answer(listen(store, socket).await) })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]tcp-socket.connect",
        |accessor: &Accessor<Guest>, (socket, address): (Resource<TcpSocket>, IpSocketAddress)| {
            Box::pin(async move { answer(connect(accessor, socket, address.into()).await) })
        },
    )
}

fn link_udp(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut store, rep| {
        let guest: &mut Guest = store.data_mut();
        HostUdpSocket::drop(&mut guest.sockets(), Resource::new_own(rep))?;
        guest.open_sockets.give_back();
        Ok(())
    })?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<'_, Guest>, (family,): (IpAddressFamily,)| {
            Box::new(async move { answer(udp_create(store.data_mut(), family).await) })
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.bind",
        |mut store: StoreContextMut<'_, Guest>, (socket, address): (Resource<UdpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let guest = store.data_mut();
                let address = guest.environment.network.meant(address.into());
                answer(HostUdpSocket::bind(&mut guest.sockets(), socket, address.into()).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.connect",
        |mut store: StoreContextMut<'_, Guest>, (socket, address): (Resource<UdpSocket>, IpSocketAddress)| {
            Box::new(async move { answer(udp_connect(store.data_mut(), socket, address.into()).await) })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |accessor: &Accessor<Guest>,
         (socket, data, address): (Resource<UdpSocket>, Vec<u8>, Option<IpSocketAddress>)| {
            Box::pin(async move { answer(send(accessor, socket, data, address).await) })
        },
    )
}

fn answer<T>(result: SocketResult<T>) -> Answer<T> {
    match result {
        Ok(made) => Ok((Ok(made),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

fn tcp_create(guest: &mut Guest, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
    one_more(guest)?;
    HostTcpSocket::create(&mut guest.sockets(), family).inspect_err(|_| guest.open_sockets.give_back())
}

async fn udp_create(guest: &mut Guest, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
    one_more(guest)?;
    let made = HostUdpSocket::create(&mut guest.sockets(), family).await;
    made.inspect_err(|_| guest.open_sockets.give_back())
}

fn one_more(guest: &Guest) -> SocketResult<()> {
    guest.open_sockets.take().map_err(|error| {
        guest.environment.remarks.refused(&error.to_string());
        ErrorCode::Other(Some(error.to_string())).into()
    })
}

async fn listen(
    mut store: StoreContextMut<'_, Guest>,
    socket: Resource<TcpSocket>,
) -> SocketResult<StreamReader<Resource<TcpSocket>>> {
    let guest = store.data_mut();
    let family = HostTcpSocket::get_address_family(&mut guest.sockets(), again(&socket));
    let any: IpAddr = match family.map_err(SocketError::trap)? {
        IpAddressFamily::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        IpAddressFamily::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let own = guest.environment.network.meant(SocketAddr::new(any, 0));
    let bound = HostTcpSocket::bind(&mut guest.sockets(), again(&socket), own.into()).await;
    unless_bound(bound)?;
    let sockets = Access::<Guest, WasiSockets>::new(store, Guest::sockets);
    <WasiSockets as HostTcpSocketWithStore<Guest>>::listen(sockets, socket).await
}

async fn connect(
    accessor: &Accessor<Guest>,
    socket: Resource<TcpSocket>,
    address: SocketAddr,
) -> SocketResult<()> {
    let target = accessor.with(|mut access| {
        let guest = access.data_mut();
        let target = guest.environment.network.meant(address);
        if let Some(source) = guest.environment.network.source(target.ip()) {
            let local = SocketAddr::new(source, 0).into();
            at_once(HostTcpSocket::bind(&mut guest.sockets(), again(&socket), local))
                .and_then(unless_bound)?;
        }
        SocketResult::Ok(target)
    })?;
    let sockets = accessor.with_getter::<WasiSockets>(Guest::sockets);
    <WasiSockets as HostTcpSocketWithStore<Guest>>::connect(&sockets, socket, target.into()).await
}

async fn udp_connect(
    guest: &mut Guest,
    socket: Resource<UdpSocket>,
    address: SocketAddr,
) -> SocketResult<()> {
    let target = guest.environment.network.meant(address);
    bind_udp(guest, &socket, target)?;
    HostUdpSocket::connect(&mut guest.sockets(), socket, target.into()).await
}

async fn send(
    accessor: &Accessor<Guest>,
    socket: Resource<UdpSocket>,
    data: Vec<u8>,
    address: Option<IpSocketAddress>,
) -> SocketResult<()> {
    let address = accessor.with(|mut access| {
        let Some(address) = address else { return SocketResult::Ok(None) };
        let guest = access.data_mut();
        let target = guest.environment.network.meant(address.into());
        bind_udp(guest, &socket, target)?;
        Ok(Some(target.into()))
    })?;
    let sockets = accessor.with_getter::<WasiSockets>(Guest::sockets);
    <WasiSockets as HostUdpSocketWithStore<Guest>>::send(&sockets, socket, data, address).await
}

/// Binds a socket that is not bound yet to where the pod's datagrams to `target` come from.
fn bind_udp(guest: &mut Guest, socket: &Resource<UdpSocket>, target: SocketAddr) -> SocketResult<()> {
    let Some(source) = guest.environment.network.source(target.ip()) else { return Ok(()) };
    let local = SocketAddr::new(source, 0).into();
    at_once(HostUdpSocket::bind(&mut guest.sockets(), again(socket), local)).and_then(unless_bound)
}

/// To bind takes no time: what is asked whether an address is permitted answers at once.
fn at_once(bound: impl Future<Output = SocketResult<()>>) -> SocketResult<SocketResult<()>> {
    bound.now_or_never().ok_or_else(|| SocketError::trap(wasmtime::Error::msg("binding a socket takes time")))
}

/// The guest may have chosen the local address itself.
fn unless_bound(bound: SocketResult<()>) -> SocketResult<()> {
    let Err(error) = bound else { return Ok(()) };
    match error.downcast() {
        Ok(ErrorCode::InvalidState) => Ok(()),
        Ok(code) => Err(code.into()),
        Err(trap) => Err(SocketError::trap(trap)),
    }
}

/// A second borrow of the guest's handle.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}
