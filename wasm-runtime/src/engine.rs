//! The engines of the process: their configuration, linkers and bounds.
//!
//! There are two. One that lets calls into a component overlap, as WASI 0.3 has it, keeps a record of every call in and out of a guest while it lasts; so
//! that guests of WASI 0.2 and modules do not pay for it, theirs cannot. All else is the same, and both draw on the same bounds.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Linker as ComponentLinker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, Linker, PoolingAllocationConfig,
    WasmBacktraceDetails,
};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::LinkOptions;

#[cfg(feature = "compiler")]
use crate::concurrency;
use crate::guest::{Guest, ModuleGuest};
#[cfg(feature = "compiler")]
use crate::target::{AddressSpace, Target};
use crate::ticker::Ticker;
use crate::turns::Turns;
use crate::{executor, handler, interfaces, names, p3, sockets};

/// Memory of a used slot that is zeroed by hand instead of being given back, per linear memory and per table.
const KEPT_MEMORY: usize = 256 * 1024;
const KEPT_TABLE: usize = 32 * 1024;
/// Slots that stay set up for the module that used them last.
const WARM_SLOTS: u32 = 64;
/// Of so many instances one may wait for a request.
const KEPT_OF_SLOTS: u32 = 4;
/// Core instances that one instance of a component may be made of. They are only counted, so there are enough for all.
const CORE_INSTANCES: u32 = 256;
/// Linear memories and tables that one instance of a component may have.
const COMPONENT_MEMORIES: u32 = 8;
const COMPONENT_TABLES: u32 = 24;
/// Linear memories and tables of the pool for each instance; a component that needs more of them takes several places.
pub(crate) const MEMORIES_PER_SLOT: u32 = 1;
pub(crate) const TABLES_PER_SLOT: u32 = 3;

/// The engines and everything that is linked once.
pub(crate) struct Machine {
    /// Compiles and runs what is called once at a time.
    pub(crate) engine: Engine,
    /// What components can import.
    pub(crate) components: ComponentLinker<Guest>,
    /// What wasip1 modules can import.
    pub(crate) modules: Linker<ModuleGuest>,
    /// The other engine.
    pub(crate) concurrent: Concurrent,
    /// Makes guests give way.
    pub(crate) ticker: Arc<Ticker>,
    /// Who computes next.
    pub(crate) turns: Arc<Turns>,
    /// A permit for each instance there can be at one time.
    pub(crate) slots: Arc<Semaphore>,
    /// A permit for each place of an instance that may wait for a request, so that there are always others to be had.
    pub(crate) kept: Arc<Semaphore>,
    may_be_kept: usize,
    /// A permit for the core dump that is being written.
    pub(crate) dumping: Arc<Semaphore>,
}

/// The engine of components whose calls may overlap.
pub(crate) struct Concurrent {
    /// Compiles and runs them.
    pub(crate) engine: Engine,
    /// What they can import.
    pub(crate) components: ComponentLinker<Guest>,
}

impl Concurrent {
    /// With as many places as the other engine has, in a pool if there is address space for two.
    fn new(slots: u32) -> wasmtime::Result<Self> {
        let (engine, _) =
            with_pool(slots, Calls::Overlap).map_or_else(|_| plain(slots, Calls::Overlap), Ok)?;
        let mut components = component_linker(&engine)?;
        p3::link(&mut components)?;
        Ok(Self { engine, components })
    }
}

/// Whether a component may be called while it answers another call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    OneByOne,
    Overlap,
}

impl Machine {
    /// An engine with a pool of `instances`, or of fewer if address space is scarce, or without a pool.
    pub(crate) fn new(instances: u32) -> wasmtime::Result<Self> {
        let (engine, slots) = pooled(instances).map_or_else(|| plain(instances, Calls::OneByOne), Ok)?;
        let concurrent = Concurrent::new(slots)?;
        let may_be_kept = (slots / KEPT_OF_SLOTS) as usize;
        Ok(Self {
            components: component_linker(&engine)?,
            modules: module_linker(&engine)?,
            ticker: Arc::new(Ticker::start([engine.clone(), concurrent.engine.clone()])?),
            turns: Turns::new(executor::processors()),
            engine,
            concurrent,
            slots: Arc::new(Semaphore::new(slots as usize)),
            kept: Arc::new(Semaphore::new(may_be_kept)),
            may_be_kept,
            dumping: Arc::new(Semaphore::new(1)),
        })
    }

    /// The engine for this component or module.
    #[cfg(feature = "compiler")]
    pub(crate) fn engine_for(&self, bytes: &[u8]) -> &Engine {
        if concurrency::is_used(bytes) { &self.concurrent.engine } else { &self.engine }
    }

    /// How many places are those of instances that wait for a request.
    pub(crate) fn kept_instances(&self) -> usize {
        self.may_be_kept - self.kept.available_permits()
    }
}

/// Tries smaller pools until the address space suffices; a slot takes 4 GiB of it.
fn pooled(instances: u32) -> Option<(Engine, u32)> {
    [instances, instances / 4, instances / 16]
        .into_iter()
        .filter(|slots| *slots > 0)
        .find_map(|slots| with_pool(slots, Calls::OneByOne).ok())
}

fn with_pool(slots: u32, calls: Calls) -> wasmtime::Result<(Engine, u32)> {
    let mut config = common(calls);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    let engine = Engine::new(&config).inspect_err(|error| {
        tracing::debug!(slots, error = format!("{error:#}"), "no address space for the instance pool");
    })?;
    Ok((engine, slots))
}

fn plain(instances: u32, calls: Calls) -> wasmtime::Result<(Engine, u32)> {
    tracing::info!("instances are allocated one by one: there is no address space for a pool");
    let mut config = common(calls);
    small(&mut config);
    Ok((Engine::new(&config)?, instances))
}

/// Memories that move when they grow, for who has little address space.
fn small(config: &mut Config) {
    config.memory_reservation(1 << 20).memory_guard_size(1 << 16).memory_reservation_for_growth(1 << 20);
}

/// An engine that compiles this program for nodes of a target, or for machines like this one, and runs nothing.
#[cfg(feature = "compiler")]
pub(crate) fn for_target(
    bytes: &[u8],
    target: Option<Target>,
    space: AddressSpace,
) -> wasmtime::Result<Engine> {
    let mut config = common(if concurrency::is_used(bytes) { Calls::Overlap } else { Calls::OneByOne });
    if let Some(target) = target {
        config.target(target.triple())?;
    }
    if space == AddressSpace::Small {
        small(&mut config);
    }
    Engine::new(&config)
}

fn common(calls: Calls) -> Config {
    let mut config = Config::new();
    // A dump costs nothing until there is a trap, and then some lists; it is written only where it is wanted.
    config.epoch_interruption(true).memory_init_cow(true).coredump_on_trap(true);
    config.concurrency_support(calls == Calls::Overlap);
    // Whatever the environment of this process says.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(COMPONENT_MEMORIES)
        .max_tables_per_component(COMPONENT_TABLES)
        .total_memories(slots.saturating_mul(MEMORIES_PER_SLOT))
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots)
        .total_gc_heaps(slots)
        .max_memories_per_module(4)
        .max_tables_per_module(4)
        .max_unused_warm_slots(WARM_SLOTS.min(slots))
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLE)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn component_linker(engine: &Engine) -> wasmtime::Result<ComponentLinker<Guest>> {
    let mut linker = ComponentLinker::new(engine);
    wasmtime_wasi::p2::add_to_linker_with_options_async(&mut linker, &LinkOptions::default())?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    handler::drive(&mut linker)?;
    sockets::count(&mut linker)?;
    sockets::map_to_pod(&mut linker)?;
    names::map_to_pod(&mut linker)?;
    interfaces::link(&mut linker)?;
    Ok(linker)
}

fn module_linker(engine: &Engine) -> wasmtime::Result<Linker<ModuleGuest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |guest: &mut ModuleGuest| &mut guest.wasi)?;
    // A process has codes up to 255; the one that is replaced traps above 125.
    linker.allow_shadowing(true);
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(I32Exit(code).into())
    })?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_exceeds_the_address_space_is_made_smaller() {
        // 40,000 slots of 4 GiB are more than the 128 TiB of a process.
        let machine = Machine::new(40_000).unwrap();
        assert_eq!(machine.slots.available_permits(), 10_000);
        assert!(machine.engine.pooling_allocator_metrics().is_some());
        assert!(machine.concurrent.engine.pooling_allocator_metrics().is_some());
    }

    #[test]
    fn without_a_pool_instances_are_made_one_by_one() {
        let (engine, slots) = plain(3, Calls::OneByOne).unwrap();
        assert_eq!(slots, 3);
        assert!(engine.pooling_allocator_metrics().is_none());
    }
}
