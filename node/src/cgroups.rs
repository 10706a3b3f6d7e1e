//! Where the cgroups of Pods are, as kubelet places and names them.
//!
//! ```text
//! ROOT/kubepods                      what Pods may use of the node
//!      kubepods/pod<uid>             those of class Guaranteed
//!      kubepods/burstable/pod<uid>   share what they ask for together
//!      kubepods/besteffort/pod<uid>  have what nobody else wants
//!      wherry-shims                  the shims of containers, which no limit of Pods counts for
//! ```

use std::path::{Component, Path};
use std::str::FromStr;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_runtime_api::{Resources, Runtime};

use crate::allocations::{Allocations, Amounts};
use crate::context::chain;
use crate::runtimes::Runtimes;

/// The class of a Pod whose containers limit everything to what they ask for.
pub(crate) const GUARANTEED: &str = "Guaranteed";
/// The class of a Pod whose containers ask for something.
pub(crate) const BURSTABLE: &str = "Burstable";
/// The class of a Pod whose containers ask for nothing.
pub(crate) const BEST_EFFORT: &str = "BestEffort";

/// A text that is not the path of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of a cgroup: it must begin with / and have no part ..")]
pub struct CgroupRootError(String);

/// The cgroup that all others of this node are below, relative to the hierarchy's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupRoot(String);

impl FromStr for CgroupRoot {
    type Err = CgroupRootError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let up = Path::new(text).components().any(|part| part == Component::ParentDir);
        if up || !text.starts_with('/') || text.contains('\0') {
            return Err(CgroupRootError(text.to_owned()));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl CgroupRoot {
    /// The group that those of shims are below.
    pub(crate) fn shims(&self) -> String {
        format!("{}/wherry-shims", self.0)
    }

    /// The group of a Pod of this class.
    pub(crate) fn of_pod(&self, uid: &str, class: &str) -> String {
        format!("{}/pod{uid}", self.of_class(class))
    }

    fn of_class(&self, class: &str) -> String {
        let below = match class {
            BURSTABLE => "/burstable",
            BEST_EFFORT => "/besteffort",
            _ => "",
        };
        format!("{}/kubepods{below}", self.0)
    }
}

/// The groups above those of Pods.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// Where they are.
    pub(crate) root: CgroupRoot,
    /// What Pods may use of the node.
    pub(crate) allocatable: Amounts,
}

impl Cgroups {
    /// Keeps the shares of classes true until `shutdown`.
    pub(crate) async fn keep(
        self,
        runtimes: Runtimes,
        allocations: Allocations,
        shutdown: CancellationToken,
    ) {
        let mut able = Vec::new();
        for (_, runtime) in runtimes.all() {
            if runtime.ready().await.is_ok() {
                able.push(runtime.as_ref());
            }
        }
        loop {
            self.set(&able, &allocations).await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = allocations.changed() => {}
            }
        }
    }

    /// Gives the groups of all classes their limits and shares.
    async fn set(&self, runtimes: &[&dyn Runtime], allocations: &Allocations) {
        for (path, limits) in self.levels(allocations.of_burstable().cpu) {
            for runtime in runtimes {
                if let Err(error) = runtime.ensure_group(&path, &limits).await {
                    // Pods run without it, only less fairly.
                    warn!(handler = runtime.handler(), path, error = %chain(&error), "cannot set a cgroup up");
                }
            }
        }
    }

    /// The groups above those of Pods, given what all Burstable Pods ask for of the processors, in thousandths.
    fn levels(&self, burstable: u64) -> [(String, Resources); 3] {
        let shares = |millis| Resources { cpu_request_millis: Some(millis), ..Resources::default() };
        let all = Resources {
            memory_limit_bytes: Some(self.allocatable.memory).filter(|bytes| *bytes > 0),
            ..shares(self.allocatable.cpu)
        };
        [
            (self.root.of_class(GUARANTEED), all),
            (self.root.of_class(BURSTABLE), shares(burstable)),
            (self.root.of_class(BEST_EFFORT), shares(0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::allocations::Allocation;
    use crate::wakers::Wakers;

    #[rstest]
    #[case("/", BURSTABLE, "/kubepods/burstable/podu")]
    #[case("/", BEST_EFFORT, "/kubepods/besteffort/podu")]
    #[case("/", GUARANTEED, "/kubepods/podu")]
    #[case("/slice/node/", GUARANTEED, "/slice/node/kubepods/podu")]
    fn groups_are_named_as_by_kubelet(#[case] root: CgroupRoot, #[case] class: &str, #[case] path: &str) {
        assert_eq!(root.of_pod("u", class), path);
    }

    #[test]
    fn a_class_has_what_its_pods_ask_for() {
        let allocatable = Amounts { cpu: 2000, memory: 1 << 30 };
        let cgroups = Cgroups { root: CgroupRoot::default(), allocatable };
        let levels = cgroups.levels(300).map(|(path, limits)| {
            (path, limits.cpu_request_millis.unwrap_or_default(), limits.memory_limit_bytes)
        });
        let expected = [
            ("/kubepods".to_owned(), 2000, Some(1 << 30)),
            ("/kubepods/burstable".to_owned(), 300, None),
            ("/kubepods/besteffort".to_owned(), 0, None),
        ];
        assert_eq!(levels, expected);
    }

    #[tokio::test]
    async fn the_shares_of_a_class_follow_its_pods() {
        let (runtimes, _, runc) = crate::testing::runtimes();
        let (allocations, stop) = (Allocations::new(Wakers::default()), CancellationToken::new());
        let cgroups = Cgroups { root: CgroupRoot::default(), allocatable: Amounts::default() };
        let kept = TaskTracker::new().spawn(cgroups.keep(runtimes, allocations.clone(), stop.clone()));
        let requests = Amounts { cpu: 70, memory: 0 };
        allocations.note("u", Allocation { requests, is_burstable: true });
        let shares = || runc.group("/kubepods/burstable").and_then(|limits| limits.cpu_request_millis);
        while shares() != Some(70) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        kept.await.unwrap();
    }

    proptest! {
        #[test]
        fn no_root_leads_out_of_the_hierarchy(text in "[/.a-z]{0,12}") {
            if let Ok(root) = text.parse::<CgroupRoot>() {
                let path = root.of_pod("u", BURSTABLE);
                prop_assert!(path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{}", path);
            }
        }
    }
}
