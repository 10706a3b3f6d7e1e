//! A command that keeps blobs, as its arguments say, one after the other.
//!
//! ```text
//! create C | drop C | is C | clear C | objects C (sorted) | skip C COUNT (names that are left after so many)
//! put C O TEXT | begin C O TEXT (and never finishes) | empty C O | much C O MEBIBYTES | get C O | part C O FIRST LAST | whole C O (in one piece)
//! has C O | size C O | remove C O | copy C O C O | move C O C O
//! ```
//! A failing step ends the command with its error.

wit_bindgen::generate!({
    inline: r#"
        package tests:blobs;

        world guest {
            import wasi:blobstore/blobstore@0.2.0-draft;
        }

        package wasi:io@0.2.0 {
            interface error {
                resource error { to-debug-string: func() -> string; }
            }
            interface poll {
                resource pollable { block: func(); }
            }
            interface streams {
                use error.{error};
                use poll.{pollable};
                variant stream-error { last-operation-failed(error), closed }
                resource input-stream {
                    blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
                }
                resource output-stream {
                    check-write: func() -> result<u64, stream-error>;
                    write: func(contents: list<u8>) -> result<_, stream-error>;
                    subscribe: func() -> pollable;
                }
            }
        }

        package wasi:blobstore@0.2.0-draft {
            interface types {
                use wasi:io/streams@0.2.0.{input-stream, output-stream};
                type container-name = string;
                type object-name = string;
                type timestamp = u64;
                type object-size = u64;
                type error = string;
                record container-metadata { name: container-name, created-at: timestamp }
                record object-metadata {
                    name: object-name, container: container-name, created-at: timestamp, size: object-size
                }
                record object-id { container: container-name, object: object-name }
                resource outgoing-value {
                    new-outgoing-value: static func() -> outgoing-value;
                    outgoing-value-write-body: func() -> result<output-stream>;
                    finish: static func(this: outgoing-value) -> result<_, error>;
                }
                type incoming-value-async-body = input-stream;
                type incoming-value-sync-body = list<u8>;
                resource incoming-value {
                    incoming-value-consume-sync: static func(this: incoming-value) -> result<incoming-value-sync-body, error>;
                    incoming-value-consume-async: static func(this: incoming-value) -> result<incoming-value-async-body, error>;
                    size: func() -> u64;
                }
            }
            interface container {
                use types.{container-metadata, error, incoming-value, object-metadata, object-name, outgoing-value};
                resource container {
                    name: func() -> result<string, error>;
                    info: func() -> result<container-metadata, error>;
                    get-data: func(name: object-name, start: u64, end: u64) -> result<incoming-value, error>;
                    write-data: func(name: object-name, data: borrow<outgoing-value>) -> result<_, error>;
                    list-objects: func() -> result<stream-object-names, error>;
                    delete-object: func(name: object-name) -> result<_, error>;
                    delete-objects: func(names: list<object-name>) -> result<_, error>;
                    has-object: func(name: object-name) -> result<bool, error>;
                    object-info: func(name: object-name) -> result<object-metadata, error>;
                    clear: func() -> result<_, error>;
                }
                resource stream-object-names {
                    read-stream-object-names: func(len: u64) -> result<tuple<list<object-name>, bool>, error>;
                    skip-stream-object-names: func(num: u64) -> result<tuple<u64, bool>, error>;
                }
            }
            interface blobstore {
                use container.{container};
                use types.{container-name, error, object-id};
                create-container: func(name: container-name) -> result<container, error>;
                get-container: func(name: container-name) -> result<container, error>;
                delete-container: func(name: container-name) -> result<_, error>;
                container-exists: func(name: container-name) -> result<bool, error>;
                copy-object: func(src: object-id, dest: object-id) -> result<_, error>;
                move-object: func(src: object-id, dest: object-id) -> result<_, error>;
            }
        }
    "#,
    generate_all,
});

use wasi::blobstore::blobstore::{self, ObjectId};
use wasi::blobstore::container::{Container, StreamObjectNames};
use wasi::blobstore::types::{IncomingValue, OutgoingValue};
use wasi::io::streams::{OutputStream, StreamError};

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    while let Some(step) = words.next() {
        done(&step, || words.next().unwrap_or_default())?;
    }
    Ok(())
}

fn done(step: &str, mut word: impl FnMut() -> String) -> Result<(), String> {
    let name = word();
    let container = || blobstore::get_container(&name);
    match step {
        "create" => {
            let made = blobstore::create_container(&name)?;
            let info = made.info()?;
            assert_eq!((made.name()?, info.name), (name.clone(), name.clone()));
            assert!(info.created_at > 1_700_000_000, "{}", info.created_at);
        }
        "drop" => blobstore::delete_container(&name)?,
        "is" => println!("{}", blobstore::container_exists(&name)?),
        "clear" => container()?.clear()?,
        "objects" => println!("{:?}", left(&container()?.list_objects()?)?),
        "skip" => {
            let names = container()?.list_objects()?;
            names.skip_stream_object_names(number(&word()))?;
            println!("{}", left(&names)?.len());
        }
        "put" => OutgoingValue::finish(put(&container()?, &word(), word().as_bytes(), 1)?)?,
        "begin" => drop(put(&container()?, &word(), word().as_bytes(), 1)?),
        "much" => {
            let (object, mebibytes) = (word(), number(&word()));
            OutgoingValue::finish(put(&container()?, &object, &vec![7; 1 << 20], mebibytes)?)?;
        }
        "empty" => {
            let value = OutgoingValue::new_outgoing_value();
            container()?.write_data(&word(), &value)?;
            OutgoingValue::finish(value)?;
        }
        "get" => println!("{:?}", streamed(container()?.get_data(&word(), 0, u64::MAX)?)?),
        "part" => println!("{:?}", streamed(container()?.get_data(&word(), number(&word()), number(&word()))?)?),
        "whole" => {
            let value = container()?.get_data(&word(), 0, u64::MAX)?;
            let size = value.size();
            assert_eq!(IncomingValue::incoming_value_consume_sync(value)?.len() as u64, size);
            println!("{size}");
        }
        "has" => println!("{}", container()?.has_object(&word())?),
        "size" => {
            let info = container()?.object_info(&word())?;
            assert!(info.created_at > 1_700_000_000, "{}", info.created_at);
            println!("{}/{} {}", info.container, info.name, info.size);
        }
        "remove" => container()?.delete_objects(&[word()])?,
        "copy" | "move" => {
            let from = ObjectId { container: name, object: word() };
            let to = ObjectId { container: word(), object: word() };
            let change = if step == "copy" { blobstore::copy_object } else { blobstore::move_object };
            change(&from, &to)?;
        }
        unknown => panic!("unknown step {unknown:?}"),
    }
    Ok(())
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// Writes this so many times.
fn put(container: &Container, object: &str, bytes: &[u8], times: u64) -> Result<OutgoingValue, String> {
    let value = OutgoingValue::new_outgoing_value();
    let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
    assert!(value.outgoing_value_write_body().is_err(), "there is one body");
    container.write_data(object, &value)?;
    for _ in 0..times {
        write(&body, bytes).map_err(|error| format!("{error:?}"))?;
    }
    Ok(value)
}

/// Writes as much at a time as there is room for; nothing is flushed.
fn write(body: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = body.check_write()?.min(bytes.len() as u64) as usize;
        if room == 0 {
            body.subscribe().block();
            continue;
        }
        let (piece, rest) = bytes.split_at(room);
        body.write(piece)?;
        bytes = rest;
    }
    Ok(())
}

fn streamed(value: IncomingValue) -> Result<String, String> {
    let stream = IncomingValue::incoming_value_consume_async(value)?;
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(bytes) => all.extend(bytes),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&all).into_owned()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

fn left(names: &StreamObjectNames) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    loop {
        let (some, ended) = names.read_stream_object_names(2)?;
        all.extend(some);
        if ended {
            all.sort();
            return Ok(all);
        }
    }
}
