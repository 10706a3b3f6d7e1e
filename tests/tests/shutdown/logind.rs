//! A logind that the test plays, on a bus of its own.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use wherry_dbus::testing::Bus;
use wherry_dbus::{Connection, Kind, Message, Value};

const NAME: &str = "org.freedesktop.login1";
/// More than any grace period here, in microseconds.
const LONGEST: u64 = 60_000_000;

/// The bus, and who answers there in logind's name.
pub(crate) struct Logind {
    bus: Bus,
    orders: mpsc::UnboundedSender<bool>,
    delays: Arc<AtomicUsize>,
}

impl Logind {
    pub(crate) fn start(dir: &Path) -> Self {
        let bus = Bus::start(dir);
        let (orders, told) = mpsc::unbounded_channel();
        let delays = Arc::new(AtomicUsize::new(0));
        let (ready, named) = std::sync::mpsc::channel();
        let (address, counted) = (bus.address.clone(), Arc::clone(&delays));
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
            LocalSet::new().block_on(&runtime, async {
                let mut connection = Connection::open(&address).await.expect("it is there");
                let name = vec![Value::Text(NAME.to_owned()), Value::U32(0)];
                connection.ask("RequestName", name).await.expect("nobody else has it");
                ready.send(()).expect("the test waits");
                play(connection, told, counted).await;
            });
        });
        named.recv().expect("logind is there");
        Self { bus, orders, delays }
    }

    /// Where the bus is.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.bus.address.0.display())
    }

    /// How many delays of the machine's end there are.
    pub(crate) fn delays(&self) -> usize {
        self.delays.load(Ordering::SeqCst)
    }

    /// Tells that the machine's end begins, or was called off.
    pub(crate) fn tell(&self, begins: bool) {
        self.orders.send(begins).expect("logind is there");
    }
}

/// Answers until the bus is gone.
async fn play(
    mut connection: Connection,
    mut orders: mpsc::UnboundedReceiver<bool>,
    delays: Arc<AtomicUsize>,
) {
    loop {
        tokio::select! {
            Some(begins) = orders.recv() => {
                let manager = "org.freedesktop.login1.Manager";
                let signal = Message::signal("/org/freedesktop/login1", manager, "PrepareForShutdown", vec![Value::Bool(begins)]);
                connection.send(signal, &[]).await.expect("the bus is there");
            }
            message = connection.next_message() => {
                let Ok((message, _)) = message else { return };
                if message.kind == Kind::Call {
                    answer(&mut connection, &message, &delays).await;
                }
            }
        }
    }
}

async fn answer(connection: &mut Connection, asked: &Message, delays: &Arc<AtomicUsize>) {
    match asked.member.as_deref() {
        Some("Get") => {
            let longest = Value::Variant(Box::new(Value::U64(LONGEST)));
            connection.send(Message::answer(asked, vec![longest]), &[]).await.expect("the bus is there");
        }
        Some("Inhibit") => {
            let (held, given) = std::io::pipe().expect("a pipe can be made");
            let answer = Message::answer(asked, vec![Value::File(0)]);
            connection.send(answer, &[given.as_fd()]).await.expect("the bus is there");
            drop(given);
            delays.fetch_add(1, Ordering::SeqCst);
            let (mut held, delays) =
                (pipe::Receiver::from_owned_fd(held.into()).expect("it is a pipe"), Arc::clone(delays));
            tokio::task::spawn_local(async move {
                held.read_to_end(&mut Vec::new()).await.ok();
                delays.fetch_sub(1, Ordering::SeqCst);
            });
        }
        other => panic!("logind was asked for {other:?}"),
    }
}
