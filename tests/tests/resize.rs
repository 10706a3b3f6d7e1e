//! Pods that get other resources while they run: the descriptions of common/node/pod_resize, on one cluster.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster, wait};

/// Requests and limits of a container: cpu, cpu, memory, memory; empty for none.
type Sizes = [&'static str; 4];

fn resources([cpu_request, cpu_limit, memory_request, memory_limit]: Sizes) -> Value {
    let list = |cpu: &str, memory: &str| {
        let named = [("cpu", cpu), ("memory", memory)];
        Value::Object(
            named
                .into_iter()
                .filter(|(_, amount)| !amount.is_empty())
                .map(|(k, v)| (k.to_owned(), json!(v)))
                .collect(),
        )
    };
    let both = [("requests", list(cpu_request, memory_request)), ("limits", list(cpu_limit, memory_limit))];
    let said = both.into_iter().filter(|(_, list)| list.as_object().is_some_and(|list| !list.is_empty()));
    Value::Object(said.map(|(name, list)| (name.to_owned(), list)).collect())
}

fn guaranteed(cpu: &'static str, memory: &'static str) -> Sizes {
    [cpu, cpu, memory, memory]
}

/// A Pod whose containers c1, c2, .. have these sizes, running.
fn run(cluster: &Cluster, pod: &str, sizes: &[Sizes]) {
    let container = |(index, sizes): (usize, &Sizes)| {
        with(shell(&format!("c{}", index + 1), IDLE), json!({ "resources": resources(*sizes) }))
    };
    let containers: Vec<Value> = sizes.iter().enumerate().map(container).collect();
    cluster.run_pod(pod, &json!({ "terminationGracePeriodSeconds": 1, "containers": containers }));
    are(cluster, pod, sizes);
}

/// Asks for other sizes by a patch. What a container no longer has is named, too.
fn patch(cluster: &Cluster, pod: &str, sizes: &[Sizes]) {
    let container = |(index, sizes): (usize, &Sizes)| json!({ "name": format!("c{}", index + 1), "resources": resources(*sizes) });
    let containers: Vec<Value> = sizes.iter().enumerate().map(container).collect();
    let patch = json!({ "spec": { "containers": containers } }).to_string();
    cluster.kubectl(&["patch", "pod", pod, "--subresource", "resize", "--patch", &patch]);
}

/// The containers come to have these sizes, by their status and by their cgroups, and were never started again.
fn are(cluster: &Cluster, pod: &str, sizes: &[Sizes]) {
    let found = wait::until(&format!("the sizes of {pod}"), || {
        let found = cluster.get(&["pod", pod]);
        let status = &found["status"];
        let has = |(index, sizes): (usize, &Sizes)| {
            let container = &status["containerStatuses"][index];
            let wanted = resources(*sizes);
            container["resources"] == wanted
                && container["allocatedResources"] == wanted["requests"]
                && container["restartCount"] == 0
        };
        let conditions = status["conditions"].to_string();
        let settled = status["phase"] == "Running"
            && status["observedGeneration"] == found["metadata"]["generation"]
            && !conditions.contains("PodResize");
        let all = sizes.iter().enumerate().all(has);
        if settled && all { Ok(found) } else { Err(format!("{status:#}")) }
    });
    for (index, sizes) in sizes.iter().enumerate() {
        assert_eq!(found["spec"]["containers"][index]["resources"], resources(*sizes));
        let name = format!("c{}", index + 1);
        let limits = cluster.kubectl(&["exec", pod, "-c", &name, "--", "sh", "-c", LIMITS]);
        assert_eq!(limits.split_whitespace().collect::<Vec<_>>(), expected(*sizes), "{name} of {pod}");
    }
}

/// A Pod that runs with sizes gets others.
fn resized<const COUNT: usize>(cluster: &Cluster, pod: &str, before: [Sizes; COUNT], after: [Sizes; COUNT]) {
    run(cluster, pod, &before);
    patch(cluster, pod, &after);
    are(cluster, pod, &after);
}

/// Prints share, quota and memory limit of the container's cgroup, whichever version it is of.
const LIMITS: &str = "cd /sys/fs/cgroup; if [ -e cpu.max ]; then cat cpu.weight; cut -d' ' -f1 cpu.max; cat memory.max; \
     else cat cpu/cpu.shares cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes; fi";

fn expected([cpu_request, cpu_limit, _, memory_limit]: Sizes) -> Vec<String> {
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let millis = |text: &str| text.trim_end_matches('m').parse::<u64>().ok();
    let request = millis(cpu_request).or(millis(cpu_limit)).unwrap_or(0);
    let shares = (request * 1024 / 1000).max(2);
    let share = if unified { 1 + (shares - 2) * 9999 / 262_142 } else { shares };
    let quota = millis(cpu_limit).map(|millis| (millis * 100).max(1000).to_string());
    let memory = memory_limit
        .strip_suffix("Mi")
        .map(|mebibytes| (mebibytes.parse::<u64>().expect("sizes are numbers") << 20).to_string());
    let (no_quota, no_limit) = if unified { ("max", "max") } else { ("-1", "9223372036854771712") };
    vec![
        share.to_string(),
        quota.unwrap_or_else(|| no_quota.to_owned()),
        memory.unwrap_or_else(|| no_limit.to_owned()),
    ]
}

/// [sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, c2,
/// decrease cpu & mem on c3 - net increase.
fn in_place_pod_resize_guaranteed_pods_with_multiple_containers_net_increase(cluster: &Cluster) {
    resized(
        cluster,
        "increase",
        [guaranteed("100m", "40Mi"); 3],
        [guaranteed("140m", "50Mi"), guaranteed("150m", "50Mi"), guaranteed("90m", "30Mi")],
    );
}

/// [sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1,
/// decrease cpu & mem on c2, c3 - net decrease.
fn in_place_pod_resize_guaranteed_pods_with_multiple_containers_net_decrease(cluster: &Cluster) {
    resized(
        cluster,
        "decrease",
        [guaranteed("100m", "40Mi"); 3],
        [guaranteed("120m", "50Mi"), guaranteed("60m", "30Mi"), guaranteed("70m", "30Mi")],
    );
}

/// [sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase: CPU (c1,c3), memory
/// (c2, c3) ; decrease: CPU (c2).
fn in_place_pod_resize_guaranteed_pods_with_multiple_containers_various_operations(cluster: &Cluster) {
    resized(
        cluster,
        "various",
        [guaranteed("100m", "40Mi"); 3],
        [guaranteed("140m", "40Mi"), guaranteed("50m", "50Mi"), guaranteed("130m", "60Mi")],
    );
}

/// [sig-node] Pod InPlace Resize Container burstable pods - extended 6 containers - various operations performed (including adding
/// limits and requests).
fn in_place_pod_resize_burstable_pod_with_multiple_containers_and_various_operations(cluster: &Cluster) {
    let before = [
        ["50m", "100m", "20Mi", "40Mi"],
        ["50m", "100m", "20Mi", "40Mi"],
        ["50m", "100m", "20Mi", "40Mi"],
        ["50m", "", "20Mi", ""],
        ["", "", "", ""],
        ["50m", "100m", "", ""],
    ];
    let after = [
        ["60m", "120m", "20Mi", "40Mi"],
        ["40m", "80m", "30Mi", "60Mi"],
        ["50m", "90m", "20Mi", "50Mi"],
        ["60m", "110m", "20Mi", "50Mi"],
        ["30m", "60m", "20Mi", "40Mi"],
        ["50m", "100m", "20Mi", "40Mi"],
    ];
    resized(cluster, "burstable", before, after);
}

/// [sig-node] Pod InPlace Resize Container burstable pods - extended resize with equivalents.
fn in_place_pod_resize_burstable_pod_resized_with_equivalents(cluster: &Cluster) {
    resized(cluster, "equivalents", [["2m", "10m", "", ""]], [["1m", "5m", "", ""]]);
}

/// [sig-node] Pod InPlace Resize Container resize pod via the replace endpoint.
fn in_place_pod_resize_read_and_replace_endpoints(cluster: &Cluster) {
    run(cluster, "replaced", &[["50m", "100m", "20Mi", "40Mi"]]);
    let after = ["60m", "120m", "30Mi", "50Mi"];
    let mut pod = cluster.get(&["pod", "replaced"]);
    pod["spec"]["containers"][0]["resources"] = resources(after);
    let path = "/api/v1/namespaces/default/pods/replaced/resize";
    let replaced = cluster.fed(&["replace", "--raw", path, "-f", "-"], &pod.to_string());
    assert!(replaced.status.success(), "{}", String::from_utf8_lossy(&replaced.stderr));
    are(cluster, "replaced", &[after]);
    let read: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw", path])).expect("a Pod is JSON");
    let main = cluster.get(&["pod", "replaced"]);
    assert_eq!((&read["spec"], &read["status"]), (&main["spec"], &main["status"]));
}

#[test]
fn resources_change_while_containers_run() {
    in_cluster(Options::default(), |cluster| {
        in_place_pod_resize_guaranteed_pods_with_multiple_containers_net_increase(cluster);
        in_place_pod_resize_guaranteed_pods_with_multiple_containers_net_decrease(cluster);
        in_place_pod_resize_guaranteed_pods_with_multiple_containers_various_operations(cluster);
        in_place_pod_resize_burstable_pod_with_multiple_containers_and_various_operations(cluster);
        in_place_pod_resize_burstable_pod_resized_with_equivalents(cluster);
        in_place_pod_resize_read_and_replace_endpoints(cluster);
        a_container_that_wants_it_is_started_again(cluster);
        what_the_node_does_not_have_is_not_given(cluster);
        a_pod_is_given_more_as_a_whole(cluster);
        containers_of_both_kinds_are_resized_together(cluster);
        wasm_containers_share_what_their_pod_has(cluster);
        an_agent_that_starts_again_knows_what_it_gave(cluster);
    });
}

/// A Pod that limits itself gets other limits, and so does its container without limits; the other one keeps its own.
fn a_pod_is_given_more_as_a_whole(cluster: &Cluster) {
    let own = with(shell("c1", IDLE), json!({ "resources": resources(guaranteed("50m", "20Mi")) }));
    let whole =
        |cpu: &'static str, memory: &'static str| json!({ "resources": resources(guaranteed(cpu, memory)) });
    let spec = json!({ "terminationGracePeriodSeconds": 1, "containers": [own, shell("c2", IDLE)] });
    cluster.run_pod("whole", &with(spec, whole("200m", "60Mi")));
    let has = |cpu: &'static str, memory: &'static str| {
        wait::until("the size of a Pod", || {
            let status = cluster.get(&["pod", "whole"])["status"].clone();
            let expected = resources(guaranteed(cpu, memory));
            let sizes = [0, 1].map(|index| status["containerStatuses"][index]["resources"].clone());
            let settled = !status["conditions"].to_string().contains("PodResize");
            let is = settled
                && status["resources"] == expected
                && status["allocatedResources"] == expected["requests"]
                && sizes == [resources(guaranteed("50m", "20Mi")), json!({})];
            if is { Ok(()) } else { Err(format!("{status:#}")) }
        });
        for (name, sizes) in [("c1", guaranteed("50m", "20Mi")), ("c2", guaranteed(cpu, memory))] {
            let limits = cluster.kubectl(&["exec", "whole", "-c", name, "--", "sh", "-c", LIMITS]);
            assert_eq!(limits.split_whitespace().collect::<Vec<_>>(), expected(sizes), "{name}");
        }
    };
    let resize = |cpu: &'static str, memory: &'static str| {
        let patch = json!({ "spec": whole(cpu, memory) }).to_string();
        cluster.try_kubectl(&["patch", "pod", "whole", "--subresource", "resize", "--patch", &patch])
    };
    has("200m", "60Mi");
    for (cpu, memory) in [("300m", "80Mi"), ("100m", "40Mi")] {
        assert!(resize(cpu, memory).status.success());
        has(cpu, memory);
    }
    let refused = String::from_utf8_lossy(&resize("40m", "40Mi").stderr).into_owned();
    assert!(
        refused.contains("must be greater than or equal to aggregate container requests of 50m"),
        "{refused}"
    );
    assert_eq!(cluster.get(&["pod", "whole"])["status"]["qosClass"], "Guaranteed");
}

/// A container of WebAssembly that does nothing, whose commands allocate.
fn wasm(name: &str, more: Value) -> Value {
    let args = ["print", "ready", "sleep", "600000"];
    with(json!({ "name": name, "image": "127.0.0.1:5000/cli-p2:v1", "args": args }), more)
}

/// The exit code of a command that takes so much memory in a container of WebAssembly, and what it says.
fn taking(cluster: &Cluster, (pod, container): (&str, &str), mebibytes: u32) -> (bool, String) {
    let mebibytes = mebibytes.to_string();
    let ran = cluster.try_kubectl(&["exec", pod, "-c", container, "--", "program", "alloc", &mebibytes]);
    (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

/// What the statuses of a Pod's containers say of their resources, once its resize is over and nothing was started again.
fn until_sizes(cluster: &Cluster, pod: &str, sizes: &[Sizes]) {
    wait::until(&format!("the sizes of {pod}"), || {
        let status = cluster.get(&["pod", pod])["status"].clone();
        let is = |(index, sizes): (usize, &Sizes)| {
            let container = &status["containerStatuses"][index];
            container["resources"] == resources(*sizes) && container["restartCount"] == 0
        };
        let settled = status["phase"] == "Running" && !status["conditions"].to_string().contains("PodResize");
        if settled && sizes.iter().enumerate().all(is) { Ok(()) } else { Err(format!("{status:#}")) }
    });
}

/// A Pod with a container of each kind: the kernel holds one to its new limits, the agent the other, and neither is started again.
fn containers_of_both_kinds_are_resized_together(cluster: &Cluster) {
    let (before, after) = (
        [guaranteed("50m", "20Mi"), guaranteed("100m", "32Mi")],
        [guaranteed("60m", "30Mi"), guaranteed("80m", "96Mi")],
    );
    let of_c2 = json!({ "resources": resources(before[1]) });
    let containers =
        [with(shell("c1", IDLE), json!({ "resources": resources(before[0]) })), wasm("c2", of_c2)];
    cluster.run_pod("both", &json!({ "terminationGracePeriodSeconds": 1, "containers": containers }));
    let fits = |sizes: &[Sizes; 2], expected_to_fit: bool| {
        until_sizes(cluster, "both", sizes);
        let limits = cluster.kubectl(&["exec", "both", "-c", "c1", "--", "sh", "-c", LIMITS]);
        assert_eq!(limits.split_whitespace().collect::<Vec<_>>(), expected(sizes[0]));
        let (fit, said) = taking(cluster, ("both", "c2"), 48);
        assert_eq!(fit, expected_to_fit, "{said}");
    };
    fits(&before, false);
    patch(cluster, "both", &after);
    fits(&after, true);
    patch(cluster, "both", &before);
    fits(&before, false);
}

/// Containers of WebAssembly without limits of their own: each may use what the other leaves of the Pod's.
fn wasm_containers_share_what_their_pod_has(cluster: &Cluster) {
    let whole = |memory: &'static str| json!({ "resources": resources(guaranteed("200m", memory)) });
    let taken = wasm("c1", json!({ "args": ["alloc", "40", "print", "ready", "sleep", "600000"] }));
    let spec = json!({ "terminationGracePeriodSeconds": 1, "containers": [taken, wasm("c2", json!({}))] });
    cluster.run_pod("shared", &with(spec, whole("80Mi")));
    cluster.kubectl_until(&["logs", "shared", "-c", "c1"], |log| log.contains("ready"));
    until_sizes(cluster, "shared", &[["", "", "", ""]; 2]);
    assert!(taking(cluster, ("shared", "c2"), 16).0);
    let (fits, said) = taking(cluster, ("shared", "c2"), 56);
    assert!(!fits && said.contains("the memory limit of the Pod of 83886080 bytes was exceeded"), "{said}");
    let patch = json!({ "spec": whole("160Mi") }).to_string();
    cluster.kubectl(&["patch", "pod", "shared", "--subresource", "resize", "--patch", &patch]);
    wait::until("the larger Pod", || {
        let (fits, said) = taking(cluster, ("shared", "c2"), 56);
        if fits { Ok(()) } else { Err(said) }
    });
}

fn a_container_that_wants_it_is_started_again(cluster: &Cluster) {
    let policy = json!([{ "resourceName": "memory", "restartPolicy": "RestartContainer" }]);
    let container =
        |name: &str| with(shell(name, IDLE), json!({ "resources": resources(guaranteed("50m", "30Mi")) }));
    let strict = with(container("c1"), json!({ "resizePolicy": policy }));
    cluster.run_pod("strict", &json!({ "containers": [strict, container("c2")] }));
    are(cluster, "strict", &[guaranteed("50m", "30Mi"); 2]);
    patch(cluster, "strict", &[guaranteed("60m", "40Mi"), guaranteed("40m", "20Mi")]);
    wait::until("a restart", || {
        let status = cluster.get(&["pod", "strict"])["status"].clone();
        let of = |index: usize| {
            let container = &status["containerStatuses"][index];
            json!([container["restartCount"], container["resources"], container["ready"]])
        };
        let expected = [
            json!([1, resources(guaranteed("60m", "40Mi")), true]),
            json!([0, resources(guaranteed("40m", "20Mi")), true]),
        ];
        if [of(0), of(1)] == expected { Ok(()) } else { Err(format!("{status:#}")) }
    });
    cluster.until_told("involvedObject.name=strict", |told| {
        told.contains("Container c1 resize requires restart")
            && told.contains("Pod resize started: {\"containers\":[{\"name\":\"c1\"")
            && told.contains("Pod resize completed: ")
    });
}

fn what_the_node_does_not_have_is_not_given(cluster: &Cluster) {
    patch(
        cluster,
        "increase",
        &[guaranteed("900", "50Mi"), guaranteed("150m", "50Mi"), guaranteed("90m", "30Mi")],
    );
    let pending = |reason: &str, message: &str| {
        wait::until(reason, || {
            let status = cluster.get(&["pod", "increase"])["status"].clone();
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let pending = conditions.into_iter().find(|condition| condition["type"] == "PodResizePending");
            let is_told = pending.is_some_and(|pending| {
                let said = pending["message"].as_str().unwrap_or_default();
                pending["reason"] == reason
                    && said.starts_with(message)
                    && pending["observedGeneration"].is_number()
            });
            if is_told && status["containerStatuses"][0]["resources"] == resources(guaranteed("140m", "50Mi"))
            {
                Ok(())
            } else {
                Err(format!("{status:#}"))
            }
        });
    };
    pending("Infeasible", "Node didn't have enough capacity: cpu, requested: 900240, capacity: ");
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let all: &'static str = format!("{}m", cpus * 1000 - 240).leak();
    patch(
        cluster,
        "increase",
        &[guaranteed(all, "50Mi"), guaranteed("150m", "50Mi"), guaranteed("90m", "30Mi")],
    );
    pending("Deferred", "Node didn't have enough resource: cpu, requested: ");
    let after = [guaranteed("130m", "50Mi"), guaranteed("150m", "50Mi"), guaranteed("90m", "30Mi")];
    patch(cluster, "increase", &after);
    are(cluster, "increase", &after);
}

fn an_agent_that_starts_again_knows_what_it_gave(cluster: &mut Cluster) {
    cluster.kill();
    cluster.launch();
    let after = [guaranteed("80m", "30Mi"), guaranteed("90m", "30Mi"), guaranteed("100m", "40Mi")];
    patch(cluster, "decrease", &after);
    are(cluster, "decrease", &after);
}
