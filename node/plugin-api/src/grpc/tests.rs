//! Calls over a real socket, and messages that are none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use proptest::prelude::*;
use prost::Message;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::csi::{Capabilities, Capability, NodeInfo, PublishRequest};
use crate::device::{Device, Devices};
use crate::registration::Empty;

struct Echo;

impl Service for Echo {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        match method {
            "/test/Name" => Ok(Reply::one(&question.read::<NodeInfo>()?)),
            "/test/Count" => {
                let device =
                    |id: u32| Device { id: id.to_string(), health: "Healthy".to_owned(), topology: None };
                Ok(Reply::many(stream::iter((0..3).map(move |id| Devices { devices: vec![device(id)] }))))
            }
            _ => Err(Status::new(UNIMPLEMENTED, format!("no {method}, 100%\nsure"))),
        }
    }
}

async fn with_server<T>(asking: impl AsyncFnOnce(PathBuf) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("echo.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let stop = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, Arc::new(Echo), stop.clone()));
    let done = asking(socket).await;
    stop.cancel();
    server.join_next().await.unwrap().unwrap();
    done
}

#[tokio::test]
async fn a_call_has_the_answer_of_its_method() {
    let info = NodeInfo { node_id: "n-1".to_owned(), max_volumes_per_node: 7, accessible_topology: None };
    let answer: NodeInfo =
        with_server(async |socket| call(&socket, "/test/Name", &info).await.unwrap()).await;
    assert_eq!(answer, info);
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_its_words() {
    let refused = with_server(async |socket| call::<_, Empty>(&socket, "/test/No", &Empty {}).await).await;
    let status = Status::new(UNIMPLEMENTED, "no /test/No, 100%\nsure");
    assert_eq!(refused.unwrap_err().status(), Some(&status));
    assert_eq!(status.to_string(), "rpc error: code = Unimplemented desc = no /test/No, 100%\nsure");
}

#[tokio::test]
async fn a_stream_gives_one_answer_after_the_other() {
    let ids = with_server(async |socket| {
        let mut devices = stream::<_, Devices>(&socket, "/test/Count", &Empty {}).await.unwrap();
        let mut ids = Vec::new();
        while let Some(mut some) = devices.next().await.unwrap() {
            ids.push(some.devices.remove(0).id);
        }
        ids
    });
    assert_eq!(ids.await, ["0", "1", "2"]);
}

#[tokio::test]
async fn where_nobody_listens_the_socket_is_named() {
    let failed = call::<_, Empty>(Path::new("/no/such.sock"), "/test/Name", &Empty {}).await.unwrap_err();
    assert_eq!(failed.to_string(), "cannot connect to /no/such.sock");
}

#[test]
fn messages_have_the_numbers_of_the_published_files() {
    let capabilities = Capabilities::of(&[Capability::StageUnstageVolume]);
    assert_eq!(capabilities.encode_to_vec(), b"\x0a\x04\x0a\x02\x08\x01");
    assert!(capabilities.has(Capability::StageUnstageVolume) && !capabilities.has(Capability::ExpandVolume));
    let publish = PublishRequest { volume_id: "v".into(), readonly: true, ..PublishRequest::default() };
    assert_eq!(publish.encode_to_vec(), b"\x0a\x01v\x30\x01");
}

#[test]
fn messages_that_are_none_are_refused() {
    let whole = frame::of(&NodeInfo::default());
    assert_eq!(whole, &b"\0\0\0\0\0"[..]);
    let wrong: [(&[u8], &str); 4] = [
        (b"\x01\0\0\0\0", "it is compressed"),
        (b"\0\0\0\0\x02\x0a", "it ends early"),
        (b"\0\0\0\0\0\0", "something follows it"),
        (b"\0\xff\0\0\0", "it is longer than 4 MiB"),
    ];
    for (bytes, why) in wrong {
        assert_eq!(frame::only::<NodeInfo>(Bytes::copy_from_slice(bytes)), Err(why));
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes: Vec<u8>) {
        let mut came = BytesMut::from(&bytes[..]);
        while let Ok(Some(message)) = frame::next(&mut came) {
            // Whether it is one does not matter here.
            let _message = frame::decode::<Devices>(message.clone());
            let _message = frame::decode::<PublishRequest>(message);
        }
    }

    #[test]
    fn messages_that_follow_each_other_are_told_apart(ids: Vec<String>) {
        let one = |id: &String| Devices { devices: vec![Device { id: id.clone(), ..Device::default() }] };
        let sent: Vec<Devices> = ids.iter().map(one).collect();
        let mut came = BytesMut::new();
        let mut read = Vec::new();
        // As pieces come that end anywhere.
        for byte in sent.iter().flat_map(frame::of) {
            came.extend_from_slice(&[byte]);
            while let Some(message) = frame::next(&mut came).unwrap() {
                read.push(frame::decode::<Devices>(message).unwrap());
            }
        }
        prop_assert_eq!(read, sent);
    }
}
