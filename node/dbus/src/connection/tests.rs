//! Two who speak to each other over a bus of dbus-daemon's.

use std::io::{Read as _, Write as _};

use super::*;
use crate::testing::Bus;

const NAME: &str = "run.wherry.Test";

fn call(member: &str) -> Call<'_> {
    Call { destination: NAME, path: "/run/wherry/Test", interface: NAME, member }
}

#[tokio::test]
async fn calls_are_answered_with_values_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path());
    let mut service = Connection::open(&bus.address).await.unwrap();
    service.ask("RequestName", vec![Value::Text(NAME.to_owned()), Value::U32(0)]).await.unwrap();
    let mut client = Connection::open(&bus.address).await.unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let serve = async {
        let (asked, _) = loop {
            let next = service.next_message().await.unwrap();
            if next.0.kind == Kind::Call {
                break next;
            }
        };
        assert_eq!(asked.member.as_deref(), Some("Open"));
        assert_eq!(
            asked.body,
            [Value::Text("x".repeat(10_000)), Value::Path("/a".to_owned()), Value::I32(-1)]
        );
        // What comes before the answer is kept.
        let signal = Message::signal("/run/wherry/Test", NAME, "Opened", vec![Value::Bool(true)]);
        let signal = Message { destination: asked.sender.clone(), ..signal };
        service.send(signal, &[]).await.unwrap();
        let answer = Message::answer(&asked, vec![Value::File(0), Value::Variant(Box::new(Value::U64(7)))]);
        service.send(answer, &[writer.as_fd()]).await.unwrap();
        drop(writer);
    };
    let body = vec![Value::Text("x".repeat(10_000)), Value::Path("/a".to_owned()), Value::I32(-1)];
    let (answer, ()) = tokio::join!(client.call(call("Open"), body), serve);
    let Answer { body, mut files } = answer.unwrap();
    assert_eq!(body, [Value::File(0), Value::Variant(Box::new(Value::U64(7)))]);
    let mut given = std::fs::File::from(files.pop().expect("a file came"));
    given.write_all(b"through").unwrap();
    drop(given);
    let mut through = String::new();
    reader.read_to_string(&mut through).unwrap();
    assert_eq!(through, "through");
    let signal = loop {
        let (message, _) = client.next_message().await.unwrap();
        if message.member.as_deref() == Some("Opened") {
            break message;
        }
    };
    assert_eq!((signal.kind, signal.body), (Kind::Signal, vec![Value::Bool(true)]));
}

#[tokio::test]
async fn who_is_not_there_is_told_and_a_bus_that_ends_too() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path());
    let mut client = Connection::open(&bus.address).await.unwrap();
    let refused = client.call(call("Open"), Vec::new()).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Answer { name, .. } if name == "org.freedesktop.DBus.Error.ServiceUnknown"),
        "{refused}"
    );
    let address = bus.address.clone();
    drop(bus);
    let gone = loop {
        match client.next_message().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(gone, Error::Connection(_)), "{gone}");
    assert!(matches!(Connection::open(&address).await, Err(Error::Connection(_))));
}

#[tokio::test]
async fn who_does_not_want_this_process_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let address = Address(dir.path().join("bus"));
    let listener = tokio::net::UnixListener::bind(&address.0).unwrap();
    let refuse = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"REJECTED EXTERNAL\r\n").unwrap();
        stream
    };
    let (opened, _stream) = tokio::join!(Connection::open(&address), refuse);
    assert!(matches!(opened, Err(Error::Refused(said)) if said == "REJECTED EXTERNAL"));
}
