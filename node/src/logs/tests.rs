//! Reading logs: any file, any tail, also while it grows.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use wherry_api::clock::SystemClock;
use wherry_runtime_api::logs::{Encoder, MAX_RECORD, Stream};
use wherry_runtime_api::{ContainerId, ContainerState, ContainerStatus, SandboxId};

use super::options::LogOptions;
use super::server::{LogState, router};
use super::stream::LogReader;
use super::*;
use crate::containers::Containers;
use crate::pods::PodIndex;
use crate::testing::FakeRuntime;
use crate::wakers::Wakers;

/// A log of these lines, one record or more each.
fn log_of(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(Stream::Stdout);
    for (index, line) in lines.iter().enumerate() {
        let time = Timestamp::from_second(i64::try_from(index).unwrap()).unwrap();
        encoder.push(line, time, &mut out).unwrap();
        encoder.push(b"\n", time, &mut out).unwrap();
    }
    out
}

/// The same with a last line that has no end.
fn unfinished(lines: &[Vec<u8>]) -> Vec<u8> {
    let (last, others) = lines.split_last().unwrap();
    let mut out = log_of(others);
    let mut encoder = Encoder::new(Stream::Stdout);
    encoder.push(last, Timestamp::UNIX_EPOCH, &mut out).unwrap();
    encoder.finish(Timestamp::UNIX_EPOCH, &mut out).unwrap();
    out
}

fn read(log: &[u8], options: LogOptions) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(log).unwrap();
    let mut reader = LogReader::new(File::open(file.path()).unwrap(), options).unwrap();
    let mut out = Vec::new();
    while let Some(bytes) = reader.next().unwrap() {
        out.extend(bytes);
    }
    out
}

fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("a newline ends the line", |byte| *byte != b'\n');
    prop_oneof![
        4 => proptest::collection::vec(byte, 0..40),
        // Longer than a record, and longer than a block.
        1 => (1usize..5 * MAX_RECORD).prop_map(|length| vec![b'x'; length]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tail_is_the_last_lines_and_nothing_else(lines in proptest::collection::vec(line(), 0..30), tail in 0u64..35) {
        let log = log_of(&lines);
        let options = LogOptions { tail_lines: Some(tail), ..LogOptions::default() };
        let first = lines.len().saturating_sub(usize::try_from(tail).unwrap());
        prop_assert_eq!(read(&log, options), joined(&lines[first..]));
        prop_assert_eq!(read(&log, LogOptions::default()), joined(&lines));
    }

    #[test]
    fn a_last_line_without_an_end_is_a_line(mut lines in proptest::collection::vec(line(), 0..10), tail in 1u64..12) {
        lines.push(b"no end".to_vec());
        let options = LogOptions { tail_lines: Some(tail), ..LogOptions::default() };
        let first = lines.len().saturating_sub(usize::try_from(tail).unwrap());
        let expected = joined(&lines[first..]);
        prop_assert_eq!(read(&unfinished(&lines), options), &expected[..expected.len() - 1]);
    }

    #[test]
    fn any_bytes_can_be_read_as_a_log(bytes in proptest::collection::vec(any::<u8>(), 0..500), tail in proptest::option::of(0u64..5)) {
        read(&bytes, LogOptions { tail_lines: tail, timestamps: true, ..LogOptions::default() });
    }
}

#[test]
fn options_select_and_decorate() {
    let lines: Vec<Vec<u8>> = ["a", "b", "c"].map(|line| line.as_bytes().to_vec()).to_vec();
    let log = log_of(&lines);
    let since = LogOptions { since: Timestamp::from_second(1).ok(), ..LogOptions::default() };
    assert_eq!(read(&log, since), b"b\nc\n");
    let stamped = LogOptions { timestamps: true, tail_lines: Some(1), ..LogOptions::default() };
    assert_eq!(read(&log, stamped), b"1970-01-01T00:00:02.000000000Z c\n");
    let limited = LogOptions { limit_bytes: Some(3), ..LogOptions::default() };
    assert_eq!(read(&log, limited), b"a\nb");
}

struct Endpoint {
    _dir: tempfile::TempDir,
    dir: LogDir,
    pod: Pod,
    runtime: Arc<FakeRuntime>,
    containers: Arc<Containers>,
    router: axum::Router,
}

impl Endpoint {
    fn new() -> Self {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": "web", "uid": "u-1" },
            "spec": { "containers": [{ "name": "main" }] },
        }))
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let logs = LogDir::new(dir.path().to_owned()).0;
        let (runtimes, runtime, _) = crate::testing::runtimes();
        let containers = Containers::new(runtimes, Wakers::default());
        let state = LogState {
            pods: PodIndex::default(),
            dir: logs.clone(),
            containers: containers.clone(),
            clock: Arc::new(SystemClock),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        state.pods.put(&Arc::new(pod.clone()));
        Self { _dir: dir, dir: logs, pod, runtime, containers, router: router(state) }
    }

    fn write(&self, attempt: u32, text: &str) {
        let path = self.dir.prepare(&self.pod, "main", attempt).unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Encoder::new(Stream::Stdout).push(text.as_bytes(), Timestamp::UNIX_EPOCH, &mut file).unwrap();
    }

    async fn set_running(&self, attempt: u32, running: bool) {
        let id = ContainerId { sandbox: SandboxId("u-1".to_owned()), name: "main".to_owned(), attempt };
        let state = ContainerState::Running { started_at: Timestamp::UNIX_EPOCH };
        let status = ContainerStatus { id, state, image_digest: String::new(), user: None };
        self.runtime.set(if running { vec![status] } else { vec![] });
        self.containers.refresh().await;
    }

    async fn get(&self, path: &str) -> (u16, axum::body::Body) {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), response.into_body())
    }

    async fn text(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get(path).await;
        let bytes = body.collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn the_endpoint_answers_as_kubelet_does() {
    let endpoint = Endpoint::new();
    let cases = BTreeMap::from([
        ("/containerLogs/shop/gone/main", (404, "pod \"gone\" not found")),
        ("/containerLogs/shop/web/other", (404, "container \"other\" not found in pod \"web\"")),
        (
            "/containerLogs/shop/web/main",
            (400, "container \"main\" in pod \"web\" is waiting to start: ContainerCreating"),
        ),
        (
            "/containerLogs/shop/web/main?previous=true",
            (400, "previous terminated container \"main\" in pod \"web\" not found"),
        ),
        (
            "/containerLogs/shop/web/main?tailLines=x",
            (400, "invalid query parameter tailLines=\"x\": expected a number, zero or more"),
        ),
    ]);
    for (path, (status, text)) in cases {
        assert_eq!(endpoint.text(path).await, (status, text.to_owned()));
    }
    endpoint.write(0, "old\n");
    endpoint.write(1, "one\ntwo\n");
    assert_eq!(endpoint.text("/containerLogs/shop/web/main?tailLines=1").await, (200, "two\n".to_owned()));
    assert_eq!(endpoint.text("/containerLogs/shop/web/main?previous=true").await, (200, "old\n".to_owned()));
}

#[tokio::test]
async fn following_goes_on_until_the_container_ends() {
    let endpoint = Endpoint::new();
    endpoint.write(0, "one\n");
    endpoint.set_running(0, true).await;
    let (status, mut body) = endpoint.get("/containerLogs/shop/web/main?follow=true").await;
    assert_eq!(status, 200);
    let mut seen = Vec::new();
    while seen != b"one\n" {
        seen.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    endpoint.write(0, "two\n");
    while seen != b"one\ntwo\n" {
        seen.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    endpoint.write(0, "last\n");
    endpoint.set_running(0, false).await;
    seen.extend(body.collect().await.unwrap().to_bytes());
    assert_eq!(seen, b"one\ntwo\nlast\n");
}
