//! What containers take of the machine.

/// What a container that runs takes; a runtime that cannot tell something says zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds of processor time since it was started.
    pub cpu_nanos: u64,
    /// Bytes of memory, with the files that the kernel keeps in it.
    pub memory: u64,
    /// Bytes of memory that cannot be taken back: without files that were not looked at for a while.
    pub working_set: u64,
    /// Bytes of memory that belong to no file.
    pub anonymous: u64,
    /// Accesses that found their memory missing.
    pub page_faults: u64,
    /// Those of them that waited for a disk.
    pub major_page_faults: u64,
    /// Processes and threads.
    pub processes: u64,
}
