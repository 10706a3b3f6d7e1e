//! The handle through which everybody uses the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::sync::oneshot;

use crate::disk::{Disk, Loaded};
use crate::entry::{Entry, Revision};
use crate::error::{CompactError, OpenError, StorageFailure, TxnError, WatchError};
use crate::history;
use crate::hub::{Hub, Window};
use crate::options::{Options, WriterTask};
use crate::shared::{History, Shared};
use crate::snapshot::Snapshot;
use crate::txn::Txn;
use crate::watch::Watch;
use crate::writer::{Command, Writer};

/// A handle to an open store; clones share it. When the last one is dropped, the store closes on its own; [`Store::close`]
/// also waits for that.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    inbox: Inbox,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
enum Inbox {
    Thread(Sender<Command>),
    Caller(Arc<Mutex<Option<Writer>>>),
}

impl Inbox {
    /// Hands a command over. A writer that is closed drops it, and with it the sender of the answer.
    fn send(&self, command: Command) {
        match self {
            Self::Thread(inbox) => drop(inbox.send(command)),
            Self::Caller(turn) => Writer::take_turn(turn, command),
        }
    }
}

impl Store {
    /// Opens the store in the file `path`, or creates it. Reads all of it, so call it off the async threads if it may be
    /// large.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let (disk, loaded) = Disk::open(path, &options)?;
        Self::start(disk, loaded, options)
    }

    /// Opens the store on a storage of your own, for tests that inject faults. `name` stands for it in messages.
    pub fn open_on(name: &Path, backend: impl StorageBackend, options: Options) -> Result<Self, OpenError> {
        let (disk, loaded) = Disk::open_on(name, backend, &options)?;
        Self::start(disk, loaded, options)
    }

    /// Opens an empty store that forgets all when it is closed.
    pub fn in_memory(options: Options) -> Result<Self, OpenError> {
        Self::open_on(Path::new("memory"), InMemoryBackend::new(), options)
    }

    fn start(disk: Disk, loaded: Loaded, options: Options) -> Result<Self, OpenError> {
        let window = Window { events: options.event_window, bytes: options.event_window_bytes };
        let hub = Hub::new(window, loaded.current, loaded.events, loaded.floor);
        let history = RwLock::new(History { compacted: loaded.compacted, gaps: loaded.gaps });
        let shared = Arc::new(Shared { options, disk, hub, history });
        let writer = Writer::new(Arc::clone(&shared));
        let (inbox, thread) = match shared.options.writer {
            WriterTask::Caller => (Inbox::Caller(Arc::new(Mutex::new(Some(writer)))), None),
            WriterTask::Thread => {
                let (inbox, thread) = spawn(writer, &shared)?;
                (Inbox::Thread(inbox), Some(thread))
            }
        };
        Ok(Self { shared, inbox, thread: Arc::new(Mutex::new(thread)) })
    }

    /// The last revision that reads can see.
    pub fn revision(&self) -> Revision {
        self.shared.hub.current().revision()
    }

    /// The current state. Takes no time and stays as it is.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.hub.current()
    }

    /// The entry under `key`.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.shared.hub.current().get(key).cloned()
    }

    /// Carries out a transaction; answers its revision when it is as durable as it asked for. If the future is dropped or
    /// the answer is [`TxnError::Io`] or [`TxnError::Closed`], whether the transaction happened is unknown.
    pub async fn txn(&self, txn: Txn) -> Result<Revision, TxnError> {
        self.submit(txn).await
    }

    /// Hands a transaction to the writer, which carries out what it was handed in that order; the future answers as
    /// [`Store::txn`] does.
    pub fn submit(&self, txn: Txn) -> impl Future<Output = Result<Revision, TxnError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let submitted = txn.validate().map(|()| self.inbox.send(Command::Txn { txn, reply }));
        async move {
            submitted?;
            answer.await.map_err(|_| TxnError::Closed)?
        }
    }

    /// Watches the keys that start with `prefix` from the first event after revision `after`.
    pub fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, WatchError> {
        Watch::start(&self.shared, prefix, after)
    }

    /// The keys under `prefix` as they were at an older revision whose later events are still kept, for lists that
    /// continue. Of other keys the answer says nothing reliable. Reads the file if the revision is older than the
    /// event window.
    pub fn list_at(&self, prefix: &str, revision: Revision) -> Result<Snapshot, WatchError> {
        history::state_at(&self.shared, prefix, revision)
    }

    /// Drops the history up to and including `revision`; the state at it and all later events stay.
    pub async fn compact(&self, revision: Revision) -> Result<(), CompactError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Command::Compact { revision, reply });
        answer.await.map_err(|_| CompactError::Closed)?
    }

    /// Makes durable all that was acknowledged.
    pub async fn flush(&self) -> Result<(), TxnError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Command::Flush { reply });
        answer.await.map_err(|_| TxnError::Closed)?
    }

    /// Writes what is in memory only and releases the file. Other handles stay readable; their writes answer
    /// [`TxnError::Closed`] and their watches end.
    pub async fn close(self) {
        let (reply, closed) = oneshot::channel();
        self.inbox.send(Command::Close { reply });
        // An error means that the writer is gone already, which is what is wanted.
        drop(closed.await);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

fn spawn(writer: Writer, shared: &Shared) -> Result<(Sender<Command>, JoinHandle<()>), OpenError> {
    let (inbox, receiver) = channel();
    let thread = std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run(&receiver))
        .map_err(|error| OpenError::Io {
            path: shared.disk.path().to_owned(),
            step: "start the writer of",
            source: StorageFailure::Os(Arc::new(error)),
        })?;
    Ok((inbox, thread))
}
