//! A command that uses interfaces beyond those of WASI 0.2, as its arguments say, one after the other.
//!
//! ```text
//! config KEY | configs | log CONTEXT MESSAGE
//! get BUCKET KEY | set BUCKET KEY VALUE | delete BUCKET KEY | exists BUCKET KEY | keys BUCKET | increment BUCKET KEY DELTA
//! batch BUCKET (sets a and b, deletes b, gets both)
//! second STEP (the same step by the second draft of wasi:keyvalue)
//! second swap BUCKET KEY VALUE | second race BUCKET KEY (somebody sets it before it is swapped, then nobody does)
//! ```
//! A failing step ends the command with its error.

wit_bindgen::generate!({
    inline: r#"
        package tests:interfaces;

        world guest {
            import wasi:config/store@0.2.0-rc.1;
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:logging/logging@0.1.0-draft;
        }

        package wasi:config@0.2.0-rc.1 {
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }

        package wasi:keyvalue@0.2.0-draft {
            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<u64> }
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<u64>) -> result<key-response, error>;
                }
                open: func(identifier: string) -> result<bucket, error>;
            }
            interface atomics {
                use store.{bucket, error};
                increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>;
            }
            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>)
                    -> result<list<option<tuple<string, list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }
        }

        package wasi:keyvalue@0.2.0-draft2 {
            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<string> }
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<string>) -> result<key-response, error>;
                }
                open: func(identifier: string) -> result<bucket, error>;
            }
            interface atomics {
                use store.{bucket, error};
                variant cas-error { store-error(error), cas-failed(cas) }
                resource cas {
                    new: static func(bucket: borrow<bucket>, key: string) -> result<cas, error>;
                    current: func() -> result<option<list<u8>>, error>;
                }
                increment: func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>;
                swap: func(cas: cas, value: list<u8>) -> result<_, cas-error>;
            }
            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>)
                    -> result<list<tuple<string, option<list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }
        }

        package wasi:logging@0.1.0-draft {
            interface logging {
                enum level { trace, debug, info, warn, error, critical }
                log: func(level: level, context: string, message: string);
            }
        }
    "#,
    generate_all,
});

mod second;

use wasi::config::store as config;
use wasi::keyvalue0_2_0_draft::store::{self, Bucket};
use wasi::keyvalue0_2_0_draft::{atomics, batch};
use wasi::logging::logging;

fn main() -> Result<(), store::Error> {
    let mut words = std::env::args().skip(1);
    while let Some(step) = words.next() {
        let mut operand = || words.next().unwrap_or_default();
        match step.as_str() {
            "config" => println!("{:?}", config::get(&operand()).expect("variables do not fail")),
            "configs" => println!("{:?}", config::get_all().expect("variables do not fail")),
            "log" => logging::log(logging::Level::Warn, &operand(), &operand()),
            "get" => println!("{:?}", store::open(&operand())?.get(&operand())?.map(text)),
            "set" => store::open(&operand())?.set(&operand(), operand().as_bytes())?,
            "fill" => {
                let (bucket, key) = (store::open(&operand())?, operand());
                bucket.set(&key, &vec![1; operand().parse().expect("a number")])?;
            }
            "many" => {
                let (bucket, key) = (store::open(&operand())?, operand());
                let keys = vec![key; operand().parse().expect("a number")];
                println!("{}", batch::get_many(&bucket, &keys)?.len());
            }
            "delete" => store::open(&operand())?.delete(&operand())?,
            "exists" => println!("{}", store::open(&operand())?.exists(&operand())?),
            "keys" => println!("{:?}", store::open(&operand())?.list_keys(None)?.keys),
            "increment" => {
                let bucket = store::open(&operand())?;
                let (key, delta) = (operand(), operand().parse().expect("a number"));
                println!("{}", atomics::increment(&bucket, &key, delta)?);
            }
            "batch" => in_batches(&store::open(&operand())?)?,
            "second" => second::step(&operand(), operand)?,
            unknown => panic!("unknown step {unknown:?}"),
        }
    }
    Ok(())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn in_batches(bucket: &Bucket) -> Result<(), store::Error> {
    let both = ["a".to_owned(), "b".to_owned()];
    batch::set_many(bucket, &both.clone().map(|key| (key, b"value".to_vec())))?;
    batch::delete_many(bucket, &both[1..])?;
    let found = batch::get_many(bucket, &both)?;
    println!("{:?}", found.into_iter().map(|pair| pair.map(|(key, value)| (key, text(value)))).collect::<Vec<_>>());
    Ok(())
}
