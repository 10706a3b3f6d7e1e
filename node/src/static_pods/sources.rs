//! The Pods of several places that name some, as one list.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{StaticPods, name};

/// What both name, kept up to date by the future until `shutdown`. Of two Pods of one name the first one's counts.
pub(crate) fn join(
    mut first: watch::Receiver<StaticPods>,
    mut second: watch::Receiver<StaticPods>,
    shutdown: CancellationToken,
) -> (watch::Receiver<StaticPods>, impl Future<Output = ()>) {
    let both = joined(&first.borrow_and_update(), &second.borrow_and_update());
    let (pods, receiver) = watch::channel(both);
    let follow = async move {
        loop {
            let changed = async {
                tokio::select! {
                    changed = first.changed() => changed,
                    changed = second.changed() => changed,
                }
            };
            match shutdown.run_until_cancelled(changed).await {
                None | Some(Err(_)) => return,
                Some(Ok(())) => {
                    pods.send_replace(joined(&first.borrow_and_update(), &second.borrow_and_update()));
                }
            }
        }
    };
    (receiver, follow)
}

fn joined(first: &StaticPods, second: &StaticPods) -> StaticPods {
    let taken: BTreeSet<String> = first.iter().map(|pod| name(pod)).collect();
    let (double, others): (Vec<_>, Vec<_>) = second.iter().partition(|pod| taken.contains(&name(pod)));
    for pod in double {
        warn!(
            pod = name(pod),
            "a static Pod is named by a file and by the URL of manifests: the file counts"
        );
    }
    first.iter().chain(others).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pods(names: &[&str]) -> StaticPods {
        let pod = |name: &&str| {
            let mut pod = Pod::default();
            pod.metadata.name = Some((*name).to_owned());
            Arc::new(pod)
        };
        names.iter().map(pod).collect()
    }

    #[tokio::test]
    async fn what_either_names_is_named_and_what_both_name_once() {
        let ((files, first), (url, second)) = (watch::channel(pods(&["a"])), watch::channel(pods(&["b"])));
        let stop = CancellationToken::new();
        let (mut both, follow) = join(first, second, stop.clone());
        let (mut tasks, names) = (tokio::task::JoinSet::new(), |pods: &StaticPods| {
            pods.iter().map(|pod| name(pod)).collect::<Vec<_>>()
        });
        tasks.spawn(follow);
        assert_eq!(names(&both.borrow()), ["/a", "/b"]);
        url.send_replace(pods(&["b", "a", "c"]));
        both.wait_for(|pods| names(pods) == ["/a", "/b", "/c"]).await.unwrap();
        files.send_replace(pods(&["c"]));
        both.wait_for(|pods| names(pods) == ["/c", "/b", "/a"]).await.unwrap();
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
