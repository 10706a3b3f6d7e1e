//! The specification of a whole container, against a file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use oci_spec::image::Config;
use serde_json::{Value, json};
use wherry_runtime_api::{
    CommonEnv, Confinement, ContainerId, ContainerSpec, DnsConfig, Hook, HookStage, ImageContent, Mount,
    MountOptions, NodeNamespaces, Propagation, Resources, SandboxId, SandboxSpec, Seccomp, Streams, UserSpec,
};

use super::joined::Joined;
use super::user::Accounts;
use super::{Host, build};

const HOST: Host = Host {
    capabilities: u64::MAX,
    lowest_oom_score: -1000,
    open_files: 4096,
    memory: 1 << 30,
    devices: Vec::new(),
    huge_pages: Vec::new(),
};

/// A container that asks for nothing but `/bin/server`.
pub(crate) fn container() -> ContainerSpec {
    let sandbox = SandboxSpec {
        id: SandboxId("uid".into()),
        namespace: "default".into(),
        hostname: "host".into(),
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip6: None,
        netns: None,
        dns: DnsConfig::default(),
        cgroup_parent: "/wherry/poduid".into(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        node_namespaces: NodeNamespaces::default(),
        shares_processes: false,
        sysctls: BTreeMap::new(),
        users: None,
    };
    ContainerSpec {
        id: ContainerId { sandbox: sandbox.id.clone(), name: "main".into(), attempt: 0 },
        sandbox,
        image: ImageContent::Oci { digest: String::new(), config: PathBuf::new(), layers: Vec::new() },
        command: Some(vec!["/bin/server".into()]),
        args: None,
        env: Vec::new(),
        common_env: CommonEnv::default(),
        working_dir: None,
        mounts: Vec::new(),
        devices: Vec::new(),
        resources: Resources::default(),
        huge_pages: BTreeMap::new(),
        cpus: None,
        hooks: Vec::new(),
        user: UserSpec::default(),
        confinement: Confinement::default(),
        read_only_rootfs: false,
        ports: Vec::new(),
        processes_of: None,
        own_network: false,
        program: None,
        streams: Streams::default(),
        log_path: PathBuf::from("/log"),
        annotations: BTreeMap::new(),
    }
}

fn built(spec: &ContainerSpec) -> Value {
    let image = serde_json::from_str(r#"{"User":"web","Env":["LANG=C"],"WorkingDir":"/srv"}"#).unwrap();
    let accounts = Accounts { passwd: "web:x:33:34::/:/bin/sh\n".into(), group: "logs:x:50:web\n".into() };
    let built = build(spec, &image, &accounts, &HOST, "/wherry/poduid/c").unwrap();
    sorted(serde_json::to_value(built).unwrap())
}

/// Capabilities are sets; the order they are written in says nothing.
fn sorted(mut spec: Value) -> Value {
    for set in spec["process"]["capabilities"].as_object_mut().into_iter().flatten() {
        if let Some(names) = set.1.as_array_mut() {
            names.sort_by_key(ToString::to_string);
        }
    }
    spec
}

#[test]
fn a_container_with_everything_matches_the_golden_file() {
    let mut spec = container();
    spec.sandbox.netns = Some("/run/netns/pod".into());
    spec.env = vec![("LANG".into(), "en".into())];
    spec.mounts = vec![Mount::new("/data/v", "/etc/config", true)];
    spec.resources = Resources {
        cpu_request_millis: Some(250),
        cpu_limit_millis: Some(500),
        memory_limit_bytes: Some(64 << 20),
        pids_limit: Some(100),
    };
    spec.user.drop_capabilities = vec!["NET_RAW".into()];
    spec.read_only_rootfs = true;
    spec.annotations.insert("run.wherry.dev/x".into(), "y".into());
    let golden: Value = serde_json::from_str(include_str!("../../tests/golden/config.json")).unwrap();
    let found = built(&spec);
    assert_eq!(found, golden, "now: {}", serde_json::to_string_pretty(&found).unwrap());
}

#[test]
fn a_container_begins_on_its_processors() {
    let mut spec = container();
    spec.cpus = Some("1,3".parse().unwrap());
    assert_eq!(built(&spec)["linux"]["resources"]["cpu"]["cpus"], "1,3");
}

#[test]
fn programs_are_run_at_their_stages() {
    let mut spec = container();
    let (path, args, env) = ("/bin/x".into(), vec!["x".to_owned()], vec!["A=1".to_owned()]);
    let timeout = Some(std::time::Duration::from_secs(3));
    spec.hooks = vec![Hook { stage: HookStage::CreateContainer, path, args, env, timeout }];
    let found = built(&spec)["hooks"]["createContainer"].clone();
    assert_eq!(found, json!([{"path": "/bin/x", "args": ["x"], "env": ["A=1"], "timeout": 3}]));
}

#[test]
fn a_privileged_container_sees_all_and_may_all() {
    let mut spec = container();
    spec.user.privileged = true;
    let found = built(&spec);
    assert!(found["linux"].get("maskedPaths").is_none() && found["linux"].get("readonlyPaths").is_none());
    assert_eq!(found["linux"]["resources"]["devices"][0]["allow"], true);
    assert_eq!(found["process"]["noNewPrivileges"], false);
    let read_only = found["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["options"].as_array().unwrap().iter().any(|option| option == "ro"));
    assert_eq!(read_only.count(), 0);
}

#[test]
fn without_a_network_namespace_the_nodes_is_shared() {
    let found = built(&container());
    let namespaces = found["linux"]["namespaces"].as_array().unwrap();
    assert!(namespaces.iter().all(|namespace| namespace["type"] != "network"));
}

#[test]
fn namespaces_of_the_node_are_not_made_anew() {
    let mut spec = container();
    spec.sandbox.node_namespaces = NodeNamespaces { pid: true, ipc: true };
    let found = built(&spec);
    let namespaces = found["linux"]["namespaces"].as_array().unwrap();
    assert!(namespaces.iter().all(|namespace| namespace["type"] != "pid" && namespace["type"] != "ipc"));
    let mounts = found["mounts"].as_array().unwrap();
    let memory: Vec<_> = mounts.iter().filter(|mount| mount["destination"] == "/dev/shm").collect();
    assert_eq!((memory.len(), &memory[0]["source"]), (1, &Value::from("/dev/shm")));
}

#[test]
fn what_the_pod_shares_is_joined_and_a_volume_in_its_place_stays() {
    let joined = Joined { ipc: Some(("/s/ipc".into(), "/s/shm".into())), processes: Some("/s/pid".into()) };
    let joined_by = |spec: &ContainerSpec| {
        let mut oci = build(spec, &Config::default(), &Accounts::default(), &HOST, "/c").unwrap();
        joined.apply(&mut oci).unwrap();
        let oci = serde_json::to_value(oci).unwrap();
        let list = |of: &Value| of.as_array().unwrap().clone();
        let paths: Vec<Value> = list(&oci["linux"]["namespaces"])
            .iter()
            .map(|it| it["path"].clone())
            .filter(Value::is_string)
            .collect();
        let memory = list(&oci["mounts"]).into_iter().filter(|mount| mount["destination"] == "/dev/shm");
        (paths, memory.map(|mount| mount["source"].clone()).collect::<Vec<_>>())
    };
    let mut spec = container();
    assert_eq!(joined_by(&spec), (vec!["/s/pid".into(), "/s/ipc".into()], vec!["/s/shm".into()]));
    spec.mounts = vec![Mount::new("/volume", "/dev/shm", false)];
    assert_eq!(joined_by(&spec).1, [Value::from("/volume")]);
}

#[test]
fn only_a_privileged_container_has_no_filter_if_it_asks_for_one() {
    let mut spec = container();
    assert!(built(&spec)["linux"].get("seccomp").is_none());
    spec.confinement = Confinement { seccomp: Seccomp::RuntimeDefault, ..Confinement::default() };
    let found = built(&spec);
    assert_eq!(found["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    spec.user.privileged = true;
    let found = built(&spec);
    assert!(found["linux"].get("seccomp").is_none());
}

#[test]
fn a_network_is_the_pods_the_nodes_or_its_own() {
    let network = |spec: &ContainerSpec| {
        let found = built(spec)["linux"]["namespaces"].as_array().unwrap().clone();
        found.into_iter().find(|namespace| namespace["type"] == "network")
    };
    let mut spec = container();
    assert_eq!(network(&spec), None);
    spec.own_network = true;
    assert_eq!(network(&spec), Some(json!({ "type": "network" })));
    spec.sandbox.netns = Some("/n".into());
    assert_eq!(network(&spec), Some(json!({ "type": "network", "path": "/n" })));
}

#[test]
fn every_size_of_huge_pages_that_can_be_limited_is_limited() {
    let mut spec = container();
    assert!(built(&spec)["linux"]["resources"].get("hugepageLimits").is_none(), "the kernel could not");
    spec.huge_pages.insert(2 << 20, 6 << 20);
    let host = Host { huge_pages: vec![2 << 20, 1 << 30], ..HOST };
    let oci = build(&spec, &Config::default(), &Accounts::default(), &host, "/c").unwrap();
    let limits = serde_json::to_value(oci).unwrap()["linux"]["resources"]["hugepageLimits"].clone();
    assert_eq!(limits, json!([{ "pageSize": "2MB", "limit": 6 << 20 }, { "pageSize": "1GB", "limit": 0 }]));
}

#[test]
fn a_bind_replaces_the_kernels_mount_of_the_same_place() {
    let mut spec = container();
    spec.mounts = vec![Mount::new("/shm", "/dev/shm", false)];
    let found = built(&spec);
    let mounts = found["mounts"].as_array().unwrap();
    let there: Vec<_> = mounts.iter().filter(|mount| mount["destination"] == "/dev/shm").collect();
    assert_eq!(there.len(), 1);
    assert_eq!(there[0]["type"], "bind");
}

#[test]
fn binds_are_made_from_the_top_down_with_their_options() {
    let mut spec = container();
    let bind = |place: &str, read_only, options| Mount { options, ..Mount::new("/v", place, read_only) };
    let all = MountOptions { recursive_read_only: true, no_exec: true, ..MountOptions::default() };
    let follows = MountOptions { propagation: Propagation::FromNode, ..MountOptions::default() };
    spec.mounts = vec![bind("/a/b", true, all), bind("/a", false, follows), bind("/b", true, follows)];
    assert!(!built(&spec)["linux"]["rootfsPropagation"].is_string());
    let shares = MountOptions { propagation: Propagation::Both, ..MountOptions::default() };
    spec.mounts.push(bind("/c", false, shares));
    let found = built(&spec);
    assert_eq!(found["linux"]["rootfsPropagation"], "rshared");
    let binds = found["mounts"].as_array().unwrap().iter().filter(|mount| mount["type"] == "bind");
    let shown: Vec<_> = binds.map(|bind| format!("{} {}", bind["destination"], bind["options"])).collect();
    let expected = [
        r#""/a" ["rbind","rslave","rw"]"#,
        r#""/b" ["rbind","rslave","ro"]"#,
        r#""/c" ["rbind","rshared","rw"]"#,
        r#""/a/b" ["rbind","rprivate","rro","noexec"]"#,
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_out_of_memory_score_follows_what_is_limited() {
    let score = |request, limit, memory| {
        let resources = Resources {
            cpu_request_millis: request,
            cpu_limit_millis: limit,
            memory_limit_bytes: memory,
            pids_limit: None,
        };
        super::oom_score(&resources, &HOST)
    };
    assert_eq!(score(None, None, None), 1000);
    assert_eq!(score(Some(100), None, None), 999);
    assert_eq!(score(Some(100), None, Some(256 << 20)), 750);
    assert_eq!(score(Some(100), Some(100), Some(256 << 20)), -997);
    let bound = Host { lowest_oom_score: 0, ..HOST };
    let all = Resources {
        cpu_request_millis: Some(1),
        cpu_limit_millis: Some(1),
        memory_limit_bytes: Some(1),
        pids_limit: None,
    };
    assert_eq!(super::oom_score(&all, &bound), 0);
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let image = serde_json::from_str("{}").unwrap();
    let mut spec = container();
    spec.mounts = vec![Mount::new("/v", "v", false)];
    let refused = build(&spec, &image, &Accounts::default(), &HOST, "/c").unwrap_err();
    assert_eq!(refused, "mountPath \"v\" is not an absolute path");
}
