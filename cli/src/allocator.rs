//! The allocator of the process: jemalloc, for less processor time and memory than the C library's takes
//! (`docs/adr/0004-jemalloc.md`).

use tikv_jemalloc_ctl::background_thread;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What jemalloc reads when the process starts. An arena a processor: threads come and go. What nobody uses goes back to
/// the system after a second.
#[expect(unsafe_code, reason = "jemalloc finds its options by the name of a symbol")]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 57] = b"percpu_arena:percpu,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

/// Has unused memory given back by a thread of jemalloc's own, and so also while nothing allocates.
pub(crate) fn give_back_while_idle() {
    if let Err(error) = background_thread::write(true) {
        tracing::warn!(%error, "unused memory is given back only while more is asked for");
    }
}
