//! Tests of the cache: order of events, relists, and reading one's own writes.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;

fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
    let metadata = ObjectMeta {
        namespace: Some("ns".into()),
        name: Some(name.into()),
        uid: Some(uid.into()),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, ..ConfigMap::default() }
}

type Log = Arc<Mutex<Vec<String>>>;

fn cache() -> (Cache<ConfigMap>, Log) {
    let cache = Cache::new(Life::new("test", CancellationToken::new(), None), |_| {});
    let log = Log::default();
    let written = log.clone();
    cache.on_change(move |change: &Change<'_, ConfigMap>| {
        let version = |object: Option<&Arc<ConfigMap>>| {
            object.and_then(|object| object.metadata.resource_version.clone()).unwrap_or("-".into())
        };
        let name = change.last().map(|object| object.name_any()).unwrap_or_default();
        written.lock().push(format!("{name} {}>{}", version(change.old), version(change.new)));
    });
    (cache, log)
}

fn list(cache: &Cache<ConfigMap>, objects: Vec<ConfigMap>) {
    let newest = objects.iter().map(revision).max().unwrap_or(1);
    cache.apply(Event::Listed(objects, newest));
}

fn version_of(cache: &Cache<ConfigMap>, name: &str) -> Option<u64> {
    cache.get(&Key::new("ns", name)).map(|object| revision(&*object))
}

#[test]
fn a_relist_announces_only_what_differs() {
    let (cache, log) = cache();
    list(&cache, vec![object("a", "1", 1), object("b", "2", 2), object("c", "3", 3)]);
    log.lock().clear();
    list(&cache, vec![object("a", "1", 1), object("b", "2", 5)]);
    let mut announced = log.lock().clone();
    announced.sort();
    assert_eq!(announced, ["b 2>5", "c 3>-"]);
    assert_eq!(cache.all().len(), 2);
}

#[test]
fn a_note_is_read_back_and_confirmed_by_the_watch() {
    let (cache, log) = cache();
    list(&cache, vec![object("a", "1", 1)]);
    cache.note(object("a", "1", 4));
    assert_eq!(version_of(&cache, "a"), Some(4));
    assert_eq!(*log.lock(), ["a ->1"]);
    // An event older than the note does not undo it.
    cache.apply(Event::Apply(object("a", "1", 3)));
    assert_eq!(version_of(&cache, "a"), Some(4));
    cache.apply(Event::Apply(object("a", "1", 4)));
    assert_eq!(*log.lock(), ["a ->1", "a 1>3", "a 3>4"], "whoever compares sees each change");
}

#[test]
fn a_list_announces_what_was_noted_before_it() {
    let (cache, log) = cache();
    list(&cache, vec![object("a", "1", 1), object("b", "2", 2)]);
    log.lock().clear();
    for noted in [object("a", "1", 4), object("b", "2", 5), object("c", "3", 6)] {
        cache.note(noted);
    }
    cache.apply(Event::Listed(vec![object("a", "1", 4)], 9));
    let mut announced = log.lock().clone();
    announced.sort();
    assert_eq!(announced, ["a 1>4", "b 2>-", "c 6>-"]);
    cache.apply(Event::Apply(object("a", "1", 10)));
    assert_eq!(log.lock().last().map(String::as_str), Some("a 4>10"));
}

#[test]
fn a_late_note_does_not_revive_a_deleted_object() {
    let (cache, _) = cache();
    list(&cache, vec![]);
    cache.apply(Event::Apply(object("a", "1", 2)));
    cache.apply(Event::Delete(object("a", "1", 3)));
    cache.note(object("a", "1", 2));
    assert_eq!(version_of(&cache, "a"), None);
}

#[test]
fn a_late_note_does_not_revive_what_a_list_shows_to_be_gone() {
    let (cache, _) = cache();
    list(&cache, vec![object("a", "1", 2), object("b", "2", 3)]);
    cache.apply(Event::Listed(vec![object("b", "2", 3)], 7));
    cache.note(object("a", "1", 6));
    assert_eq!(version_of(&cache, "a"), None);
}

#[test]
fn a_list_does_not_undo_what_was_noted_after_it() {
    let (cache, log) = cache();
    list(&cache, vec![object("a", "1", 2)]);
    log.lock().clear();
    cache.note(object("a", "1", 8));
    cache.note(object("b", "2", 9));
    cache.apply(Event::Listed(vec![object("a", "1", 2)], 7));
    assert_eq!((version_of(&cache, "a"), version_of(&cache, "b")), (Some(8), Some(9)));
    assert_eq!(*log.lock(), [""; 0]);
    cache.apply(Event::Apply(object("a", "1", 8)));
    cache.apply(Event::Apply(object("b", "2", 9)));
    assert_eq!(*log.lock(), ["a 2>8", "b ->9"]);
}

#[test]
fn a_late_delete_does_not_remove_the_successor() {
    let (cache, log) = cache();
    list(&cache, vec![object("a", "1", 1)]);
    cache.note(object("a", "2", 9));
    cache.apply(Event::Delete(object("a", "1", 8)));
    assert_eq!(version_of(&cache, "a"), Some(9));
    cache.apply(Event::Apply(object("a", "2", 9)));
    assert_eq!(*log.lock(), ["a ->1", "a 1>-", "a ->9"]);
}

#[test]
fn a_late_handler_hears_of_all_and_one_whose_life_is_over_of_nothing() {
    let (cache, log) = cache();
    list(&cache, vec![object("a", "1", 3)]);
    log.lock().clear();
    let life = Life::new("late", CancellationToken::new(), None);
    let heard = Log::default();
    let written = heard.clone();
    cache.of_life(&life).on_change(move |change| {
        let name = change.last().map(|object| object.name_any()).unwrap_or_default();
        assert_ne!(name, "poison", "a planted panic");
        written.lock().push(name);
    });
    for name in ["b", "poison", "c"] {
        cache.apply(Event::Apply(object(name, name, 4)));
    }
    assert_eq!(*heard.lock(), ["a", "b"]);
    assert!(life.is_over());
    assert_eq!(*log.lock(), ["b ->4", "poison ->4", "c ->4"], "the others go on");
}

/// One thing that happens to an object of this name, with these labels.
#[derive(Clone, Debug)]
enum Happens {
    Told(&'static str, BTreeMap<String, String>),
    Noted(&'static str, BTreeMap<String, String>),
    Gone(&'static str),
    Listed,
    Asked(BTreeMap<String, String>),
}

fn happens() -> impl Strategy<Value = Happens> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    let labels = || prop::collection::btree_map("[kl]", "[xy]", 0..3);
    prop_oneof![
        (name(), labels()).prop_map(|(name, labels)| Happens::Told(name, labels)),
        (name(), labels()).prop_map(|(name, labels)| Happens::Noted(name, labels)),
        name().prop_map(Happens::Gone),
        Just(Happens::Listed),
        labels().prop_map(Happens::Asked),
    ]
}

proptest! {
    /// Whatever happens, and whenever somebody first looks for a label: what is found by labels is what has them.
    #[test]
    fn objects_are_found_by_their_labels(all in prop::collection::vec(happens(), 1..40)) {
        let (cache, _) = cache();
        let with = |name: &str, version: u64, labels: BTreeMap<String, String>| {
            let mut made = object(name, name, version);
            made.metadata.labels = Some(labels);
            made
        };
        for (version, happens) in (1..).zip(all) {
            match happens {
                Happens::Told(name, labels) => cache.apply(Event::Apply(with(name, version, labels))),
                Happens::Noted(name, labels) => cache.note(with(name, version, labels)),
                Happens::Gone(name) => cache.apply(Event::Delete(object(name, name, version))),
                Happens::Listed => {
                    let kept = cache.all().into_iter().take(2).map(|object| (*object).clone()).collect();
                    cache.apply(Event::Listed(kept, version));
                }
                Happens::Asked(wanted) => {
                    let has = |object: &ConfigMap| {
                        wanted.iter().all(|(key, value)| object.labels().get(key) == Some(value))
                    };
                    prop_assert_eq!(cache.with_labels("ns", &wanted), cache.select("ns", has));
                    prop_assert!(cache.with_labels("other", &wanted).is_empty());
                }
            }
        }
    }
}
