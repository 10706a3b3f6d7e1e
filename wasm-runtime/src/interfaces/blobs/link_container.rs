//! `wasi:blobstore/container`: the objects of one container.

use std::io::{Seek as _, SeekFrom};

use wasmtime::component::{ComponentType, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

use super::body::blocking;
use super::volume::{Id, Listing, about, remove};
use super::{Container, IncomingValue, OutgoingValue, Store, blobs, done};
use crate::guest::Guest;

const CONTAINER: &str = "wasi:blobstore/container@0.2.0-draft";

/// The names of a container's objects, as far as they were not read.
#[derive(Default)]
struct ObjectNames {
    /// None while they are being read.
    listing: Option<Listing>,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
struct ContainerMetadata {
    name: String,
    #[component(name = "created-at")]
    created_at: u64,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
struct ObjectMetadata {
    name: String,
    container: String,
    #[component(name = "created-at")]
    created_at: u64,
    size: u64,
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(CONTAINER)?.resource(
        "container",
        ResourceType::host::<Container>(),
        |mut store, rep| {
            store.data_mut().ctx().table.delete(Resource::<Container>::new_own(rep))?;
            Ok(())
        },
    )?;
    link_container(linker)?;
    link_data(linker)?;
    link_objects(linker)?;
    link_names(linker)
}

fn name_of(store: &mut Store<'_>, container: &Resource<Container>) -> wasmtime::Result<String> {
    Ok(store.data_mut().ctx().table.get(container)?.name.clone())
}

fn link_container(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(CONTAINER)?;
    instance.func_wrap(
        "[method]container.name",
        |mut store: Store<'_>, (this,): (Resource<Container>,)| {
            Ok((Ok::<_, String>(name_of(&mut store, &this)?),))
        },
    )?;
    instance.func_wrap_async(
        "[method]container.info",
        |mut store: Store<'_>, (this,): (Resource<Container>,)| {
            Box::new(async move {
                let name = name_of(&mut store, &this)?;
                let info = done(blobs(&store), move |blobs| {
                    let created_at = about(blobs.container(&name)?)?.created;
                    Ok(ContainerMetadata { name, created_at })
                });
                Ok((info.await,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.clear",
        |mut store: Store<'_>, (this,): (Resource<Container>,)| {
            Box::new(async move {
                let name = name_of(&mut store, &this)?;
                Ok((done(blobs(&store), move |blobs| blobs.clear(&name)).await,))
            })
        },
    )
}

fn link_data(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(CONTAINER)?;
    instance.func_wrap_async(
        "[method]container.get-data",
        |mut store: Store<'_>, (this, object, start, end): (Resource<Container>, String, u64, u64)| {
            Box::new(async move {
                let id = Id { container: name_of(&mut store, &this)?, object };
                let found = done(blobs(&store), move |blobs| {
                    let (mut file, about) = blobs.object(&id)?;
                    // Both ends are part of it.
                    let (start, end) = (start.min(about.size), end.saturating_add(1).min(about.size));
                    file.seek(SeekFrom::Start(start))
                        .map_err(|error| format!("cannot read an object: {error}"))?;
                    Ok(IncomingValue { file, size: end.saturating_sub(start) })
                });
                Ok((match found.await {
                    Ok(value) => Ok(store.data_mut().ctx().table.push(value)?),
                    Err(reason) => Err(reason),
                },))
            })
        },
    )?;
    instance.func_wrap(
        "[method]container.write-data",
        |mut store: Store<'_>,
         (this, object, value): (Resource<Container>, String, Resource<OutgoingValue>)| {
            let id = Id { container: name_of(&mut store, &this)?, object };
            let value = store.data_mut().ctx().table.get_mut(&value)?;
            if value.target.is_some() {
                return Ok((Err("the value was written to a container already".to_owned()),));
            }
            value.target = Some(id);
            Ok((Ok(()),))
        },
    )
}

fn link_objects(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(CONTAINER)?;
    instance.func_wrap_async(
        "[method]container.delete-object",
        |mut store: Store<'_>, (this, object): (Resource<Container>, String)| {
            Box::new(async move {
                let name = name_of(&mut store, &this)?;
                let deleted = done(blobs(&store), move |blobs| remove(blobs.container(&name)?, &object));
                Ok((deleted.await,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.delete-objects",
        |mut store: Store<'_>, (this, objects): (Resource<Container>, Vec<String>)| {
            Box::new(async move {
                let name = name_of(&mut store, &this)?;
                let deleted = done(blobs(&store), move |blobs| {
                    let directory = blobs.container(&name)?;
                    objects.iter().try_for_each(|object| remove(&directory, object))
                });
                Ok((deleted.await,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.has-object",
        |mut store: Store<'_>, (this, object): (Resource<Container>, String)| {
            Box::new(async move {
                let id = Id { container: name_of(&mut store, &this)?, object };
                Ok((done(blobs(&store), move |blobs| blobs.has(&id)).await,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]container.object-info",
        |mut store: Store<'_>, (this, object): (Resource<Container>, String)| {
            Box::new(async move {
                let id = Id { container: name_of(&mut store, &this)?, object };
                let info = done(blobs(&store), move |blobs| {
                    let (_, about) = blobs.object(&id)?;
                    let Id { container, object: name } = id;
                    Ok(ObjectMetadata { name, container, created_at: about.created, size: about.size })
                });
                Ok((info.await,))
            })
        },
    )
}

fn link_names(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(CONTAINER)?;
    instance.resource("stream-object-names", ResourceType::host::<ObjectNames>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<ObjectNames>::new_own(rep))?;
        Ok(())
    })?;
    instance.func_wrap_async(
        "[method]container.list-objects",
        |mut store: Store<'_>, (this,): (Resource<Container>,)| {
            Box::new(async move {
                let name = name_of(&mut store, &this)?;
                let listed = done(blobs(&store), move |blobs| Listing::of(blobs.container(&name)?));
                Ok((match listed.await {
                    Ok(listing) => {
                        Ok(store.data_mut().ctx().table.push(ObjectNames { listing: Some(listing) })?)
                    }
                    Err(reason) => Err(reason),
                },))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]stream-object-names.read-stream-object-names",
        |mut store: Store<'_>, (this, count): (Resource<ObjectNames>, u64)| {
            Box::new(async move {
                let read = move |mut listing: Listing| (listing.read(count), listing);
                Ok((reading(&mut store, &this, read).await?,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]stream-object-names.skip-stream-object-names",
        |mut store: Store<'_>, (this, count): (Resource<ObjectNames>, u64)| {
            Box::new(async move {
                let skipped = move |mut listing: Listing| (skip(&mut listing, count), listing);
                Ok((reading(&mut store, &this, skipped).await?,))
            })
        },
    )
}

/// How many were skipped, and whether there are no more.
fn skip(listing: &mut Listing, count: u64) -> Result<(u64, bool), String> {
    let mut skipped = 0;
    while skipped < count {
        let (names, ended) = listing.read(count - skipped)?;
        skipped += names.len() as u64;
        if ended {
            return Ok((skipped, true));
        }
    }
    Ok((skipped, false))
}

/// Reads of the names that are left, off the threads that run guests.
async fn reading<T: Send + 'static>(
    store: &mut Store<'_>,
    names: &Resource<ObjectNames>,
    read: impl FnOnce(Listing) -> (Result<T, String>, Listing) + Send + 'static,
) -> wasmtime::Result<Result<T, String>> {
    let Some(listing) = store.data_mut().ctx().table.get_mut(names)?.listing.take() else {
        return Ok(Err("an earlier reading of the names failed".to_owned()));
    };
    let (found, listing) = match blocking(move || Ok(read(listing))).await {
        Ok(read) => read,
        Err(reason) => return Ok(Err(reason)),
    };
    store.data_mut().ctx().table.get_mut(names)?.listing = Some(listing);
    Ok(found)
}
