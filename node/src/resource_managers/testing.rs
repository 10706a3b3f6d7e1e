//! Machines to give processors of.

use wherry_runtime_api::CpuSet;

use super::numa::NumaNodes;
use super::topology::{Place, Topology};

/// Two NUMA nodes of two cores of two threads each: processors 0 to 3, and 4 to 7.
pub(crate) fn two_nodes() -> Topology {
    let place = |cpu: u32| {
        let node = NumaNodes::of(i64::from(cpu / 4));
        (cpu, Place { node, socket: cpu / 4, core: cpu % 4 / 2 })
    };
    Topology::made_up((0..8).map(place))
}

/// The processors of the machine that runs the test.
pub(crate) fn processors() -> CpuSet {
    Topology::observe().unwrap().cpus()
}
