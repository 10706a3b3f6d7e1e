//! A disk in memory that forgets, as a real one does: a write is safe only after a sync. At any of its operations it can
//! leave behind what a power cut at that moment would, and it can fail.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// What a power cut leaves of a write that was not synced, in units.
const SECTOR: usize = 512;

/// A disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// What reads see.
    current: Vec<u8>,
    /// What is safe.
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    operations: u64,
    fail_at: Option<u64>,
    on_operation: Option<OnOperation>,
}

type OnOperation = Box<dyn FnMut(u64, &mut dyn FnMut(&mut Random) -> Vec<u8>) + Send>;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

/// A small generator of its own, so that a seed says everything.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl MemoryDisk {
    /// A disk that holds `image`.
    pub(crate) fn holding(image: Vec<u8>) -> Self {
        let inner = Inner { current: image.clone(), synced: image, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Calls `act` before each operation with its number and a way to get what a power cut now would leave.
    pub(crate) fn on_operation(
        &self,
        act: impl FnMut(u64, &mut dyn FnMut(&mut Random) -> Vec<u8>) + Send + 'static,
    ) {
        self.0.lock().on_operation = Some(Box::new(act));
    }

    /// From now on, fails every sync and write after `operations` more.
    pub(crate) fn fail_after(&self, operations: u64) {
        let inner = &mut *self.0.lock();
        inner.fail_at = Some(inner.operations + operations);
    }

    /// What a power cut now would leave.
    pub(crate) fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        self.0.lock().after_power_cut(random)
    }
}

impl Inner {
    /// Counts a change or sync, tells the observer, and fails if it is time to.
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if let Some(mut act) = self.on_operation.take() {
            act(self.operations, &mut |random| self.after_power_cut(random));
            self.on_operation = Some(act);
        }
        match self.fail_at {
            Some(at) if self.operations > at => Err(io::Error::other("the disk is full")),
            _ => Ok(()),
        }
    }

    /// The synced bytes with any part of the unsynced changes: of a write any of its sectors. Lengths, which a
    /// journal keeps in order, are all or none from some point.
    fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut image = self.synced.clone();
        let lengths = random.below(self.unsynced.len() as u64 + 1);
        for (index, change) in (0..).zip(&self.unsynced) {
            match change {
                Change::Length(length) if index < lengths => image.resize(*length, 0),
                Change::Length(_) => {}
                Change::Write { offset, data } => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        let start = offset + sector * SECTOR;
                        if random.below(2) == 0 && start + part.len() <= image.len() {
                            image[start..start + part.len()].copy_from_slice(part);
                        }
                    }
                }
            }
        }
        image
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("length", &self.current.len()).finish_non_exhaustive()
    }
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock();
        let start = usize::try_from(offset).expect("a small disk");
        let bytes = inner.current.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operate()?;
        let length = usize::try_from(length).expect("a small disk");
        inner.current.resize(length, 0);
        inner.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operate()?;
        inner.synced.clone_from(&inner.current);
        inner.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let inner = &mut *self.0.lock();
        inner.operate()?;
        let offset = usize::try_from(offset).expect("a small disk");
        inner.current[offset..offset + data.len()].copy_from_slice(data);
        inner.unsynced.push(Change::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
