//! `wasi:blobstore`: containers of objects, in a volume of the Pod.
//!
//! [`volume`] has the files, [`names`] what they are called, [`body`] what is being written. Here are the resources that guests hold. An object that a guest
//! writes is there when it is finished, and durable then; what is dropped before leaves nothing.

mod body;
mod link_container;
mod names;
mod volume;

use std::io::Read as _;
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::pipe::AsyncReadStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use self::body::{Body, blocking};
use self::volume::Id;
pub(crate) use self::volume::{Blobs, BlobsError};
use crate::guest::Guest;

/// Where its interfaces are.
pub(crate) const PACKAGE: &str = "wasi:blobstore/";
const TYPES: &str = "wasi:blobstore/types@0.2.0-draft";
const BLOBSTORE: &str = "wasi:blobstore/blobstore@0.2.0-draft";
/// The most that is read of an object in one piece; what is larger is read as a stream.
const WHOLE: u64 = 16 << 20;

/// One that a guest opened.
struct Container {
    name: String,
}

/// What a guest writes.
#[derive(Default)]
struct OutgoingValue {
    body: Option<Body>,
    target: Option<Id>,
}

/// A part of an object, from where the file is.
struct IncomingValue {
    file: std::fs::File,
    size: u64,
}

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct ObjectId {
    container: String,
    object: String,
}

impl From<ObjectId> for Id {
    fn from(ObjectId { container, object }: ObjectId) -> Self {
        Self { container, object }
    }
}

type Store<'a> = StoreContextMut<'a, Guest>;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    link_outgoing(linker)?;
    link_incoming(linker)?;
    link_container::link(linker)?;
    link_blobstore(linker)
}

/// The containers of the guest's Pod. Who imports them and has none is not started.
fn blobs(store: &Store<'_>) -> Result<Arc<Blobs>, String> {
    store.data().environment.blobs.clone().ok_or_else(|| "this Pod has no volume for blobs".to_owned())
}

/// Does something with them off the threads that run guests.
async fn done<T: Send + 'static>(
    blobs: Result<Arc<Blobs>, String>,
    work: impl FnOnce(&Arc<Blobs>) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let blobs = blobs?;
    blocking(move || work(&blobs)).await
}

fn link_outgoing(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.resource("outgoing-value", ResourceType::host::<OutgoingValue>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<OutgoingValue>::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap("[static]outgoing-value.new-outgoing-value", |mut store: Store<'_>, (): ()| {
        Ok((store.data_mut().ctx().table.push(OutgoingValue::default())?,))
    })?;
    types.func_wrap_async(
        "[method]outgoing-value.outgoing-value-write-body",
        |mut store: Store<'_>, (value,): (Resource<OutgoingValue>,)| {
            Box::new(async move { Ok((begun(&mut store, &value).await?,)) })
        },
    )?;
    types.func_wrap_async(
        "[static]outgoing-value.finish",
        |mut store: Store<'_>, (value,): (Resource<OutgoingValue>,)| {
            Box::new(async move {
                // What still has its stream cannot be taken from the table, and traps.
                let value = store.data_mut().ctx().table.delete(value)?;
                Ok((finish(blobs(&store), value).await,))
            })
        },
    )
}

/// The stream of a value that has none yet. The interface has no words for what failed.
async fn begun(
    store: &mut Store<'_>,
    value: &Resource<OutgoingValue>,
) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
    if store.data_mut().ctx().table.get(value)?.body.is_some() {
        return Ok(Err(()));
    }
    let made = match blobs(store) {
        Ok(blobs) => Body::new(blobs).await,
        Err(reason) => Err(reason),
    };
    let guest = store.data_mut();
    let body = match made {
        Ok(body) => body,
        Err(reason) => {
            guest.environment.remarks.refused(&format!("an object cannot be written: {reason}"));
            return Ok(Err(()));
        }
    };
    let table = guest.ctx().table;
    table.get_mut(value)?.body = Some(body.clone());
    let stream: DynOutputStream = Box::new(body);
    Ok(Ok(table.push_child(stream, value)?))
}

async fn finish(blobs: Result<Arc<Blobs>, String>, value: OutgoingValue) -> Result<(), String> {
    let target = value.target.ok_or_else(|| "the value was written to no container".to_owned())?;
    let body = match value.body {
        Some(body) => body,
        None => Body::new(blobs?).await?,
    };
    body.finish(target).await
}

fn link_incoming(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.resource("incoming-value", ResourceType::host::<IncomingValue>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<IncomingValue>::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]incoming-value.size",
        |mut store: Store<'_>, (value,): (Resource<IncomingValue>,)| {
            Ok((store.data_mut().ctx().table.get(&value)?.size,))
        },
    )?;
    types.func_wrap_async(
        "[static]incoming-value.incoming-value-consume-sync",
        |mut store: Store<'_>, (value,): (Resource<IncomingValue>,)| {
            Box::new(async move {
                let value = store.data_mut().ctx().table.delete(value)?;
                Ok((blocking(move || whole(value)).await,))
            })
        },
    )?;
    types.func_wrap(
        "[static]incoming-value.incoming-value-consume-async",
        |mut store: Store<'_>, (value,): (Resource<IncomingValue>,)| {
            let table = store.data_mut().ctx().table;
            let IncomingValue { file, size } = table.delete(value)?;
            let part = tokio::fs::File::from_std(file).take(size);
            let stream: DynInputStream = Box::new(AsyncReadStream::new(part));
            Ok((Ok::<_, String>(table.push(stream)?),))
        },
    )
}

fn whole(IncomingValue { file, size }: IncomingValue) -> Result<Vec<u8>, String> {
    if size > WHOLE {
        return Err(format!(
            "{size} bytes are more than the {WHOLE} that are read in one piece; read the stream"
        ));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(|error| format!("cannot read an object: {error}"))?;
    Ok(bytes)
}

fn link_blobstore(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut blobstore = linker.instance(BLOBSTORE)?;
    blobstore.func_wrap_async("create-container", |mut store: Store<'_>, (name,): (String,)| {
        Box::new(async move {
            let container = Container { name: name.clone() };
            let made = done(blobs(&store), move |blobs| blobs.create(&name)).await;
            opened(&mut store, made, container)
        })
    })?;
    blobstore.func_wrap_async("get-container", |mut store: Store<'_>, (name,): (String,)| {
        Box::new(async move {
            let container = Container { name: name.clone() };
            let found = done(blobs(&store), move |blobs| blobs.container(&name).map(drop)).await;
            opened(&mut store, found, container)
        })
    })?;
    blobstore.func_wrap_async("delete-container", |store: Store<'_>, (name,): (String,)| {
        Box::new(async move { Ok((done(blobs(&store), move |blobs| blobs.delete(&name)).await,)) })
    })?;
    blobstore.func_wrap_async("container-exists", |store: Store<'_>, (name,): (String,)| {
        Box::new(
            async move { Ok((done(blobs(&store), move |blobs| Ok(blobs.find(&name)?.is_some())).await,)) },
        )
    })?;
    blobstore.func_wrap_async("copy-object", |store: Store<'_>, (from, to): (ObjectId, ObjectId)| {
        Box::new(async move {
            let copied = done(blobs(&store), move |blobs| blobs.copy(&from.into(), &to.into()));
            Ok((copied.await,))
        })
    })?;
    blobstore.func_wrap_async("move-object", |store: Store<'_>, (from, to): (ObjectId, ObjectId)| {
        Box::new(async move {
            let moved = done(blobs(&store), move |blobs| blobs.rename(&from.into(), &to.into()));
            Ok((moved.await,))
        })
    })
}

/// A handle of a container that is there.
fn opened(
    store: &mut Store<'_>,
    is_there: Result<(), String>,
    container: Container,
) -> wasmtime::Result<(Result<Resource<Container>, String>,)> {
    match is_there {
        Ok(()) => Ok((Ok(store.data_mut().ctx().table.push(container)?),)),
        Err(reason) => Ok((Err(reason),)),
    }
}
