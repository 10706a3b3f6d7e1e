//! A volume of blobs: written in part, shared with strangers.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

fn id(container: &str, object: &str) -> Id {
    Id { container: container.to_owned(), object: object.to_owned() }
}

fn opened(dir: &Path) -> Arc<Blobs> {
    Arc::new(Blobs::open(dir).unwrap())
}

fn put(blobs: &Arc<Blobs>, id: &Id, content: &[u8]) -> Result<()> {
    let mut staged = blobs.stage().unwrap();
    staged.write(content).unwrap();
    staged.finish(id)
}

fn get(blobs: &Blobs, id: &Id) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    io::Read::read_to_end(&mut blobs.object(id)?.0, &mut content).unwrap();
    Ok(content)
}

#[test]
fn an_object_is_there_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path());
    blobs.create("c").unwrap();
    put(&blobs, &id("c", "a/b"), b"old").unwrap();
    let mut staged = blobs.stage().unwrap();
    staged.write(b"new, in par").unwrap();
    assert_eq!(get(&blobs, &id("c", "a/b")).unwrap(), b"old");
    drop(staged);
    assert_eq!(get(&blobs, &id("c", "a/b")).unwrap(), b"old");
    assert!(put(&blobs, &id("none", "x"), b"lost").unwrap_err().contains("there is no container \"none\""));
    assert_eq!(fs::read_dir(dir.path().join(STAGING)).unwrap().count(), 0, "nothing is left of what failed");
    std::mem::forget(blobs.stage().unwrap());
    assert!(matches!(Blobs::open(dir.path()), Err(BlobsError::InUse(_))));
    // As the agent's end would.
    flock(&blobs.staging, FlockOperation::Unlock).unwrap();
    let again = opened(dir.path());
    assert_eq!(
        fs::read_dir(dir.path().join(STAGING)).unwrap().count(),
        0,
        "nor of what an agent did not finish"
    );
    assert_eq!(get(&again, &id("c", "a/b")).unwrap(), b"old");
}

#[test]
fn what_strangers_put_there_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let blobs = opened(&dir.path().join("."));
    blobs.create("c").unwrap();
    symlink(outside.path(), dir.path().join("linked")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("c/secret")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("c/pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(dir.path().join("c/directory")).unwrap();
    assert!(blobs.container("linked").unwrap_err().contains("there is no container"));
    for name in ["secret", "pipe", "directory"] {
        assert!(get(&blobs, &id("c", name)).unwrap_err().contains("there is no object"), "{name}");
        assert!(!blobs.has(&id("c", name)).unwrap(), "{name}");
    }
    let (names, ended) = Listing::of(blobs.container("c").unwrap()).unwrap().read(10).unwrap();
    assert_eq!((names, ended), (Vec::new(), true));
    put(&blobs, &id("c", "secret"), b"own").unwrap();
    assert_eq!(get(&blobs, &id("c", "secret")).unwrap(), b"own", "a link is replaced");
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    blobs.clear("c").unwrap();
    assert!(!blobs.has(&id("c", "secret")).unwrap());
}

#[test]
fn a_volume_in_whose_staging_strangers_put_a_link_is_not_used() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("1"), "").unwrap();
    symlink(outside.path(), dir.path().join(STAGING)).unwrap();
    assert!(matches!(Blobs::open(dir.path()), Err(BlobsError::Io { .. })));
    assert!(outside.path().join("1").exists());
}

#[test]
fn names_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path());
    blobs.create("c").unwrap();
    for number in 0..=PAGE {
        fs::write(dir.path().join("c").join(number.to_string()), "").unwrap();
    }
    let mut listing = Listing::of(blobs.container("c").unwrap()).unwrap();
    let (first, ended) = listing.read(u64::MAX).unwrap();
    assert_eq!((first.len(), ended), (PAGE, false));
    let (rest, ended) = listing.read(u64::MAX).unwrap();
    assert_eq!((rest.len(), ended), (1, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn objects_are_what_was_last_written_moved_or_copied(steps in prop::collection::vec((0..5_u8, "[./a]{1,3}", "[./a]{1,3}"), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = opened(dir.path());
        blobs.create("c").unwrap();
        let mut model = std::collections::BTreeMap::new();
        for (step, (kind, from, to)) in steps.into_iter().enumerate() {
            let (one, other) = (id("c", &from), id("c", &to));
            match kind {
                0 => {
                    put(&blobs, &one, &step.to_le_bytes()).unwrap();
                    model.insert(from, step.to_le_bytes().to_vec());
                }
                1 => {
                    prop_assert_eq!(blobs.copy(&one, &other).is_ok(), model.contains_key(&from));
                    if let Some(content) = model.get(&from).cloned() {
                        model.insert(to, content);
                    }
                }
                2 => {
                    prop_assert_eq!(blobs.rename(&one, &other).is_ok(), model.contains_key(&from));
                    if let Some(content) = model.remove(&from) {
                        model.insert(to, content);
                    }
                }
                3 => {
                    remove(blobs.container("c").unwrap(), &from).unwrap();
                    model.remove(&from);
                }
                _ => prop_assert_eq!(blobs.has(&one).unwrap(), model.contains_key(&from)),
            }
        }
        let (mut names, _) = Listing::of(blobs.container("c").unwrap()).unwrap().read(100).unwrap();
        names.sort();
        prop_assert_eq!(names, model.keys().cloned().collect::<Vec<_>>());
        for (name, content) in &model {
            prop_assert_eq!(&get(&blobs, &id("c", name)).unwrap(), content);
        }
    }
}
