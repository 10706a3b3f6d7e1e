//! `wasi:sockets` seen from a pod without a network namespace.
//!
//! Servers bind `0.0.0.0` and clients bind nothing, both of which would be the node's addresses. Three methods of the
//! interface are therefore replaced by ones that name the pod's address and then do as before. Those that make sockets are
//! replaced by ones that count them; those that are accepted are counted when they come ([`Environment`](crate::guest::Environment)).

use std::net::SocketAddr;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::udp::{HostUdpSocket, UdpSocket};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, SocketError, SocketResult};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView as _};

use crate::guest::Guest;
use crate::held::TooMany;

/// The interfaces as `wasmtime_wasi` names them; guests of any 0.2 are linked to them.
const TCP: &str = "wasi:sockets/tcp@0.2.12";
const UDP: &str = "wasi:sockets/udp@0.2.12";
const TCP_CREATE: &str = "wasi:sockets/tcp-create-socket@0.2.12";
const UDP_CREATE: &str = "wasi:sockets/udp-create-socket@0.2.12";

type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;
type Accepted = (Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>);

/// Replaces the methods that make and drop sockets in `linker`.
pub(crate) fn count(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut tcp = linker.instance(TCP)?;
    tcp.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, rep| {
        let guest: &mut Guest = store.data_mut();
        HostTcpSocket::drop(&mut guest.sockets(), Resource::new_own(rep))?;
        guest.open_sockets.give_back();
        Ok(())
    })?;
    tcp.func_wrap(
        "[method]tcp-socket.accept",
        |mut store: StoreContextMut<'_, Guest>, (socket,): (Resource<TcpSocket>,)| {
            answer(accept(store.data_mut(), socket))
        },
    )?;
    linker.instance(TCP_CREATE)?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, Guest>, (family,): (IpAddressFamily,)| {
            answer(counted(store.data_mut(), |view| tcp_create_socket::Host::create_tcp_socket(view, family)))
        },
    )?;
    let mut udp = linker.instance(UDP)?;
    udp.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut store, rep| {
        let guest: &mut Guest = store.data_mut();
        HostUdpSocket::drop(&mut guest.sockets(), Resource::new_own(rep))?;
        guest.open_sockets.give_back();
        Ok(())
    })?;
    linker.instance(UDP_CREATE)?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, Guest>, (family,): (IpAddressFamily,)| {
            Box::new(async move { answer(udp_create(store.data_mut(), family).await) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Makes a socket if there may be one more.
fn counted<T>(
    guest: &mut Guest,
    make: impl FnOnce(&mut WasiSocketsCtxView<'_>) -> SocketResult<T>,
) -> SocketResult<T> {
    one_more(guest)?;
    make(&mut guest.sockets()).inspect_err(|_| guest.open_sockets.give_back())
}

/// Whoever comes was counted when they came; where nobody can come any more, the guest is told why.
fn accept(guest: &mut Guest, socket: Resource<TcpSocket>) -> SocketResult<Accepted> {
    let accepted = HostTcpSocket::accept(&mut guest.sockets(), socket);
    accepted.or_else(|error| match error.downcast() {
        Ok(ErrorCode::WouldBlock) => {
            guest.open_sockets.room().map_err(|error| too_many(guest, error))?;
            Err(ErrorCode::WouldBlock.into())
        }
        Ok(code) => Err(code.into()),
        Err(trap) => Err(SocketError::trap(trap)),
    })
}

async fn udp_create(guest: &mut Guest, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
    one_more(guest)?;
    let made = udp_create_socket::Host::create_udp_socket(&mut guest.sockets(), family).await;
    made.inspect_err(|_| guest.open_sockets.give_back())
}

fn one_more(guest: &mut Guest) -> SocketResult<()> {
    guest.open_sockets.take().map_err(|error| too_many(guest, error))
}

fn too_many(guest: &Guest, error: TooMany) -> SocketError {
    guest.environment.remarks.refused(&error.to_string());
    ErrorCode::NewSocketLimit.into()
}

/// Replaces the methods that name addresses in `linker`.
pub(crate) fn map_to_pod(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut tcp = linker.instance(TCP)?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-bind",
        |mut store: StoreContextMut<'_, Guest>,
         (socket, network, address): (Resource<TcpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move { answer(tcp_bind(store.data_mut(), socket, network, address).await) })
        },
    )?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-connect",
        |mut store: StoreContextMut<'_, Guest>,
         (socket, network, address): (Resource<TcpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move { answer(tcp_connect(store.data_mut(), socket, network, address).await) })
        },
    )?;
    linker.instance(UDP)?.func_wrap_async(
        "[method]udp-socket.start-bind",
        |mut store: StoreContextMut<'_, Guest>,
         (socket, network, address): (Resource<UdpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move { answer(udp_bind(store.data_mut(), socket, network, address).await) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn answer<T>(result: SocketResult<T>) -> Answer<T> {
    match result {
        Ok(made) => Ok((Ok(made),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

async fn tcp_bind(
    guest: &mut Guest,
    socket: Resource<TcpSocket>,
    network: Resource<Network>,
    address: IpSocketAddress,
) -> SocketResult<()> {
    let address = guest.environment.network.meant(SocketAddr::from(address));
    HostTcpSocket::start_bind(&mut guest.sockets(), socket, network, address.into()).await
}

async fn tcp_connect(
    guest: &mut Guest,
    socket: Resource<TcpSocket>,
    network: Resource<Network>,
    address: IpSocketAddress,
) -> SocketResult<()> {
    let target = guest.environment.network.meant(SocketAddr::from(address));
    if let Some(source) = guest.environment.network.source(target.ip()) {
        let local = SocketAddr::new(source, 0).into();
        let mut view = guest.sockets();
        match HostTcpSocket::start_bind(&mut view, again(&socket), again(&network), local).await {
            Ok(()) => HostTcpSocket::finish_bind(&mut view, again(&socket))?,
            Err(error) => already_bound(error)?,
        }
    }
    HostTcpSocket::start_connect(&mut guest.sockets(), socket, network, target.into())
}

/// The guest chose the local address itself.
fn already_bound(error: SocketError) -> SocketResult<()> {
    match error.downcast() {
        Ok(ErrorCode::InvalidState) => Ok(()),
        Ok(code) => Err(code.into()),
        Err(trap) => Err(SocketError::trap(trap)),
    }
}

async fn udp_bind(
    guest: &mut Guest,
    socket: Resource<UdpSocket>,
    network: Resource<Network>,
    address: IpSocketAddress,
) -> SocketResult<()> {
    let address = guest.environment.network.meant(SocketAddr::from(address));
    HostUdpSocket::start_bind(&mut guest.sockets(), socket, network, address.into()).await
}

/// A second borrow of the guest's handle.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}
