//! A command of WASI 0.3 (`wasi:cli/run@0.3.0`) that does what its arguments say, one after the other.
//!
//! ```text
//! print TEXT | eprint TEXT | args | env NAME | copy (input to output) | exit CODE | fail | trap | spin | sleep MILLISECONDS
//! cat FILE | write FILE TEXT (in the first directory there is) | directories | clocks | random | resolve HOST
//! serve PORT (accepts one, sends back what comes) | call ADDRESS PORT TEXT | send ADDRESS PORT TEXT (a datagram; shows its answer)
//! reflect PORT (sends one datagram back) | sockets (made without end) | accept PORT (accepted without end)
//! ```
//! A failing step prints its error and ends the command with failure.

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "command", generate_all });
    use super::Guest;
    export!(Guest);
}

use std::hint::black_box;

use bindings::exports::wasi::cli::run;
use bindings::wasi::cli::{environment, exit, stderr, stdin, stdout};
use bindings::wasi::clocks::{monotonic_clock, system_clock};
use bindings::wasi::filesystem::preopens;
use bindings::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use bindings::wasi::random::random;
use bindings::wasi::sockets::ip_name_lookup;
use bindings::wasi::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use bindings::wit_stream;

struct Guest;

type Done = Result<(), String>;

impl run::Guest for Guest {
    async fn run() -> Result<(), ()> {
        let mut words = environment::get_arguments().into_iter().skip(1);
        while let Some(step) = words.next() {
            if let Err(error) = done(&step, || words.next().unwrap_or_default()).await {
                tell(&format!("{step}: {error}\n")).await;
                return Err(());
            }
        }
        Ok(())
    }
}

async fn done(step: &str, mut word: impl FnMut() -> String) -> Done {
    match step {
        "print" => say(&word()).await,
        "eprint" => tell(&format!("{}\n", word())).await,
        "args" => say(&format!("{:?}", environment::get_arguments())).await,
        "env" => {
            let name = word();
            let found = environment::get_environment().into_iter().find(|(known, _)| *known == name);
            say(&found.map_or_else(|| "(unset)".into(), |(_, value)| value)).await;
        }
        "copy" => {
            let (input, _) = stdin::read_via_stream();
            stdout::write_via_stream(input).await.map_err(|code| format!("{code:?}"))?;
        }
        "exit" => exit::exit_with_code(word().parse().expect("a code")),
        "fail" => return Err("asked to".into()),
        "trap" => std::arch::wasm32::unreachable(),
        "spin" => spin(),
        "sleep" => monotonic_clock::wait_for(number(&word()) * 1_000_000).await,
        "cat" => say(&cat(&word()).await?).await,
        "write" => write(&word(), word()).await?,
        "directories" => {
            let names: Vec<_> = preopens::get_directories().into_iter().map(|(_, name)| name).collect();
            say(&names.join(" ")).await;
        }
        "clocks" => {
            let before = monotonic_clock::now();
            monotonic_clock::wait_for(1_000_000).await;
            assert!(monotonic_clock::now() - before >= 1_000_000);
            say(&format!("{}", system_clock::now().seconds > 1_700_000_000)).await;
        }
        "random" => say(&format!("{}", random::get_random_bytes(32) != random::get_random_bytes(32))).await,
        "resolve" => {
            let found = ip_name_lookup::resolve_addresses(word()).await.map_err(|code| format!("{code:?}"))?;
            let found: Vec<_> = found.into_iter().map(shown).collect();
            say(&found.join(" ")).await;
        }
        "serve" => serve(&word()).await?,
        "call" => say(&call(address(&word(), &word()), word()).await?).await,
        "send" => say(&send(address(&word(), &word()), word()).await?).await,
        "reflect" => reflect(&word()).await?,
        "sockets" => sockets().await?,
        "accept" => accept(&word()).await?,
        _ => return Err("unknown".into()),
    }
    Ok(())
}

async fn say(line: &str) {
    let (mut writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    writer.write_all(format!("{line}\n").into_bytes()).await;
    drop(writer);
    written.await.expect("output");
}

async fn tell(text: &str) {
    let (mut writer, reader) = wit_stream::new();
    let written = stderr::write_via_stream(reader);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    written.await.expect("output");
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

async fn open(path: &str, how: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, String> {
    let (directory, _) = preopens::get_directories().into_iter().next().ok_or("there is no directory")?;
    directory
        .open_at(PathFlags::SYMLINK_FOLLOW, path.to_owned(), how, flags)
        .await
        .map_err(|code| format!("{code:?}"))
}

async fn cat(path: &str) -> Result<String, String> {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (content, result) = file.read_via_stream(0);
    let content = content.collect().await;
    result.await.map_err(|code| format!("{code:?}"))?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

async fn write(path: &str, text: String) -> Done {
    let file = open(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE).await?;
    let (mut writer, reader) = wit_stream::new();
    let written = file.write_via_stream(reader, 0);
    writer.write_all(text.into_bytes()).await;
    drop(writer);
    written.await.map_err(|code| format!("{code:?}"))
}

fn shown(address: IpAddress) -> String {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => std::net::Ipv4Addr::new(a, b, c, d).to_string(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            std::net::Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()
        }
    }
}

fn address(ip: &str, port: &str) -> IpSocketAddress {
    let [a, b, c, d] = ip.parse::<std::net::Ipv4Addr>().expect("an address").octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: port.parse().expect("a port"), address: (a, b, c, d) })
}

fn told(code: impl std::fmt::Debug) -> String {
    format!("{code:?}")
}

fn listening(port: &str) -> Result<(TcpSocket, wit_bindgen::StreamReader<TcpSocket>), String> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(told)?;
    socket.bind(address("0.0.0.0", port)).map_err(told)?;
    let connections = socket.listen().map_err(told)?;
    Ok((socket, connections))
}

async fn serve(port: &str) -> Done {
    let (_socket, mut connections) = listening(port)?;
    say("listening").await;
    let connection = connections.next().await.ok_or("nobody came")?;
    let (incoming, received) = connection.receive();
    connection.send(incoming).await.map_err(told)?;
    received.await.map_err(told)
}

async fn call(address: IpSocketAddress, text: String) -> Result<String, String> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(told)?;
    socket.connect(address).await.map_err(told)?;
    let (mut writer, reader) = wit_stream::new();
    let sent = socket.send(reader);
    let (answer, received) = socket.receive();
    writer.write_all(text.into_bytes()).await;
    drop(writer);
    sent.await.map_err(told)?;
    let answer = answer.collect().await;
    received.await.map_err(told)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn send(address: IpSocketAddress, text: String) -> Result<String, String> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).map_err(told)?;
    socket.send(text.into_bytes(), Some(address)).await.map_err(told)?;
    let (answer, _) = socket.receive().await.map_err(told)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn reflect(port: &str) -> Done {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).map_err(told)?;
    socket.bind(address("0.0.0.0", port)).map_err(told)?;
    say("listening").await;
    let (datagram, from) = socket.receive().await.map_err(told)?;
    socket.send(datagram, Some(from)).await.map_err(told)
}

async fn sockets() -> Done {
    let mut all = Vec::new();
    loop {
        match TcpSocket::create(IpAddressFamily::Ipv4) {
            Ok(socket) => all.push(socket),
            Err(code) => {
                say(&format!("{} opened", all.len())).await;
                return Err(told(code));
            }
        }
    }
}

async fn accept(port: &str) -> Done {
    let (_socket, mut connections) = listening(port)?;
    say("listening").await;
    let mut all = Vec::new();
    while let Some(connection) = connections.next().await {
        all.push(connection);
        say(&format!("{} accepted", all.len())).await;
    }
    Ok(())
}
