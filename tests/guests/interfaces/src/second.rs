//! The steps by `wasi:keyvalue@0.2.0-draft2`.

use crate::text;
use crate::wasi::keyvalue0_2_0_draft::store::Error;
use crate::wasi::keyvalue0_2_0_draft2::atomics::{self, Cas, CasError};
use crate::wasi::keyvalue0_2_0_draft2::batch;
use crate::wasi::keyvalue0_2_0_draft2::store::{self, Bucket};

/// Does a step; its errors are those of the first draft.
pub(crate) fn step(name: &str, mut operand: impl FnMut() -> String) -> Result<(), Error> {
    done(name, &mut operand).map_err(|error| match error {
        store::Error::NoSuchStore => Error::NoSuchStore,
        store::Error::AccessDenied => Error::AccessDenied,
        store::Error::Other(text) => Error::Other(text),
    })
}

fn done(name: &str, operand: &mut impl FnMut() -> String) -> Result<(), store::Error> {
    let bucket = store::open(&operand())?;
    match name {
        "get" => println!("{:?}", bucket.get(&operand())?.map(text)),
        "set" => bucket.set(&operand(), operand().as_bytes())?,
        "delete" => bucket.delete(&operand())?,
        "exists" => println!("{}", bucket.exists(&operand())?),
        "keys" => println!("{:?}", bucket.list_keys(None)?.keys),
        "pages" => pages(&bucket)?,
        "from" => println!("{:?}", bucket.list_keys(Some(&operand()))?.keys),
        "increment" => {
            let (key, delta) = (operand(), operand().parse().expect("a number"));
            println!("{}", atomics::increment(&bucket, &key, delta)?);
        }
        "batch" => in_batches(&bucket)?,
        "swap" => atomics::swap(Cas::new(&bucket, &operand())?, operand().as_bytes()).map_err(failed)?,
        "race" => race(&bucket, &operand())?,
        unknown => panic!("unknown step {unknown:?}"),
    }
    Ok(())
}

fn failed(error: CasError) -> store::Error {
    match error {
        CasError::StoreError(error) => error,
        CasError::CasFailed(_) => store::Error::Other("somebody was faster".into()),
    }
}

fn in_batches(bucket: &Bucket) -> Result<(), store::Error> {
    let both = ["a".to_owned(), "b".to_owned()];
    batch::set_many(bucket, &both.clone().map(|key| (key, b"value".to_vec())))?;
    batch::delete_many(bucket, &both[1..])?;
    let found = batch::get_many(bucket, &both)?;
    println!("{:?}", found.into_iter().map(|(key, value)| (key, value.map(text))).collect::<Vec<_>>());
    Ok(())
}

/// Puts in more keys than are listed at one time, and says in how many pages how many come.
fn pages(bucket: &Bucket) -> Result<(), store::Error> {
    let pairs: Vec<_> = (0..1500).map(|number| (number.to_string(), Vec::new())).collect();
    batch::set_many(bucket, &pairs)?;
    let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let found = bucket.list_keys(cursor.as_deref())?;
        keys.extend(found.keys);
        pages += 1;
        cursor = found.cursor;
        if cursor.is_none() {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    println!("{} in several: {}", keys.len(), pages > 1);
    Ok(())
}

/// Twice somebody else changes the value of a key between a look at it and its replacement.
fn race(bucket: &Bucket, key: &str) -> Result<(), store::Error> {
    let cas = Cas::new(bucket, key)?;
    println!("{:?}", cas.current()?.map(text));
    bucket.set(key, b"theirs")?;
    let Err(CasError::CasFailed(now)) = atomics::swap(cas, b"ours") else { panic!("a stale value was replaced") };
    println!("{:?}", now.current()?.map(text));
    bucket.delete(key)?;
    let Err(CasError::CasFailed(now)) = atomics::swap(now, b"ours") else { panic!("a value that is gone was replaced") };
    println!("{:?}", now.current()?.map(text));
    atomics::swap(now, b"ours").map_err(failed)?;
    println!("{:?}", bucket.get(key)?.map(text));
    // Who looks again compares with what is there then.
    let cas = Cas::new(bucket, key)?;
    bucket.set(key, b"theirs")?;
    println!("{:?}", cas.current()?.map(text));
    atomics::swap(cas, b"last").map_err(failed)?;
    println!("{:?}", bucket.get(key)?.map(text));
    Ok(())
}
