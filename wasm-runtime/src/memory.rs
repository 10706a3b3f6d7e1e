//! The memory limits of a container and of its Pod.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

/// Elements a table may have.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;
/// What the host keeps of each element.
const TABLE_ELEMENT: usize = 8;

/// A guest wanted more linear memory, or larger tables, than its container may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory limit {whose}of {limit} bytes was exceeded: {wanted} bytes of memory wanted")]
pub(crate) struct LimitExceeded {
    /// Whose limit, if not the container's own.
    pub(crate) whose: &'static str,
    /// The limit.
    pub(crate) limit: u64,
    /// What all instances that it holds for would have had.
    pub(crate) wanted: u64,
}

/// What the instances of one container, or of one Pod, may have together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    /// That of the container's Pod, of which all is taken that is taken here.
    pod: Option<Arc<Budget>>,
}

impl Budget {
    /// A Pod's budget of `limit` bytes, or without one.
    pub(crate) fn of_pod(limit: Option<u64>) -> Arc<Self> {
        Self::new(limit, None)
    }

    /// The budget of a container in a Pod.
    pub(crate) fn of_container(limit: Option<u64>, pod: Arc<Self>) -> Arc<Self> {
        Self::new(limit, Some(pod))
    }

    fn new(limit: Option<u64>, pod: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU64::new(limit.unwrap_or(u64::MAX)), used: AtomicU64::new(0), pod })
    }

    /// Changes the limit, unless more is in use.
    pub(crate) fn set(&self, limit: Option<u64>) -> Result<(), LimitExceeded> {
        let limit = limit.unwrap_or(u64::MAX);
        let used = self.used.load(Ordering::Relaxed);
        if used > limit {
            return Err(self.exceeded(limit, used));
        }
        self.limit.store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// The bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn exceeded(&self, limit: u64, wanted: u64) -> LimitExceeded {
        let whose = if self.pod.is_some() { "" } else { "of the Pod " };
        LimitExceeded { whose, limit, wanted }
    }

    fn take(&self, bytes: u64) -> Result<(), LimitExceeded> {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|used| self.exceeded(limit, used.saturating_add(bytes)))?;
        let of_pod = self.pod.as_ref().map_or(Ok(()), |pod| pod.take(bytes));
        if of_pod.is_err() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        of_pod
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(pod) = &self.pod {
            pod.give_back(bytes);
        }
    }
}

/// Counts the linear memory and the tables of one instance; gives them back when dropped.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: Arc<Budget>,
    taken: u64,
}

impl Meter {
    /// A meter that takes from `budget`.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, taken: 0 }
    }

    fn take(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let bytes = bytes as u64;
        self.budget.take(bytes)?;
        self.taken += bytes;
        Ok(true)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

impl ResourceLimiter for Meter {
    /// An error instead of a refusal: the guest is ended, as a process is whose cgroup is full.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.take(desired.saturating_sub(current))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > maximum.unwrap_or(MAX_TABLE_ELEMENTS).min(MAX_TABLE_ELEMENTS) {
            return Ok(false);
        }
        self.take(desired.saturating_sub(current) * TABLE_ELEMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container's budget in a Pod without one.
    fn alone(limit: Option<u64>) -> Arc<Budget> {
        Budget::of_container(limit, Budget::of_pod(None))
    }

    #[test]
    fn instances_share_the_budget_and_give_back() {
        let budget = alone(Some(100));
        let mut first = Meter::new(Arc::clone(&budget));
        let mut second = Meter::new(Arc::clone(&budget));
        assert!(first.memory_growing(0, 60, None).unwrap());
        let refused = second.memory_growing(0, 60, None).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&LimitExceeded { whose: "", limit: 100, wanted: 120 }));
        drop(first);
        assert!(second.memory_growing(0, 60, None).unwrap());
        assert!(second.memory_growing(60, 100, None).unwrap());
        assert!(second.memory_growing(100, 101, None).is_err());
    }

    #[test]
    fn a_container_may_use_what_others_of_its_pod_leave() {
        let pod = Budget::of_pod(Some(100));
        let of = |limit| Meter::new(Budget::of_container(limit, Arc::clone(&pod)));
        let (mut first, mut second) = (of(None), of(Some(70)));
        assert!(first.memory_growing(0, 60, None).unwrap());
        let refused = second.memory_growing(0, 50, None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the memory limit of the Pod of 100 bytes was exceeded: 110 bytes of memory wanted"
        );
        assert!(second.memory_growing(0, 40, None).unwrap(), "what was refused is not counted");
        assert_eq!((second.budget.used(), pod.used()), (40, 100));
        drop(first);
        assert!(second.memory_growing(40, 71, None).is_err());
        assert_eq!(
            (second.budget.used(), pod.used()),
            (40, 40),
            "nor what the container itself may not have"
        );
        assert!(second.memory_growing(40, 70, None).unwrap());
        assert!(pod.set(Some(69)).is_err());
        drop(second);
        assert_eq!(pod.used(), 0);
    }

    #[test]
    fn a_limit_may_change_but_not_below_what_is_in_use() {
        let budget = alone(Some(100));
        let mut meter = Meter::new(Arc::clone(&budget));
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert_eq!(budget.set(Some(59)), Err(LimitExceeded { whose: "", limit: 59, wanted: 60 }));
        budget.set(Some(200)).unwrap();
        assert!(meter.memory_growing(60, 160, None).unwrap());
        budget.set(None).unwrap();
        assert!(meter.memory_growing(160, 1 << 40, None).unwrap());
    }

    #[test]
    fn growing_beyond_the_declared_maximum_is_refused_as_wasm_does() {
        let mut meter = Meter::new(alone(Some(10)));
        assert!(!meter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!meter.table_growing(0, 60, Some(50)).unwrap());
    }

    #[test]
    fn tables_count_as_memory() {
        let mut meter = Meter::new(alone(Some(100)));
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.table_growing(0, 5, None).unwrap());
        assert!(meter.table_growing(5, 6, None).is_err());
        assert!(!Meter::new(alone(None)).table_growing(0, MAX_TABLE_ELEMENTS + 1, None).unwrap());
    }
}
