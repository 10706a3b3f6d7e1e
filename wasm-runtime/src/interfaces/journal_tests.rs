//! The file of a journal: written, damaged, hostile.

use proptest::prelude::*;

use super::*;

fn change(bucket: &str, key: &str, value: Option<&[u8]>) -> Change {
    Change { bucket: bucket.into(), key: key.to_owned(), value: value.map(<[u8]>::to_vec) }
}

fn replayed(volume: &Path) -> Vec<Change> {
    let mut changes = Vec::new();
    Journal::open(volume, 1 << 10, |change| {
        changes.push(change);
        true
    })
    .unwrap();
    changes
}

fn refusal(volume: &Path) -> String {
    Journal::open(volume, 1 << 10, |_| true).unwrap_err().to_string()
}

async fn written(volume: &Path, changes: &[Change]) {
    let journal = Arc::new(Journal::open(volume, 1 << 10, |_| true).unwrap());
    let last = changes.iter().fold(0, |_, change| journal.push(change));
    journal.durable(last, Vec::new).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let all = [change("b", "k", Some(b"v")), change("b", "k", None), change("", "\u{e9}", Some(b""))];
    written(dir.path(), &all[..1]).await;
    written(dir.path(), &all[1..]).await;
    assert_eq!(replayed(dir.path()), all);
}

#[tokio::test]
async fn changes_that_wait_are_written_together() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::open(dir.path(), 1 << 10, |_| true).unwrap());
    let numbers: Vec<_> = (0..9).map(|n| journal.push(&change("b", &n.to_string(), Some(b"v")))).collect();
    let waiting = numbers.iter().map(|number| journal.durable(*number, Vec::new));
    assert!(futures::future::join_all(waiting).await.iter().all(Result::is_ok));
    drop(journal);
    assert_eq!(replayed(dir.path()).len(), 9);
}

#[tokio::test]
async fn an_end_that_was_not_written_whole_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[change("b", "k", Some(b"v")), change("b", "l", Some(b"w"))]).await;
    let file = dir.path().join(FILE);
    let whole = std::fs::read(&file).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        let left = replayed(dir.path());
        assert!(left.len() < 2 && (left.is_empty() || left[0].key == "k"), "{length}: {left:?}");
        written(dir.path(), &[change("c", "m", None)]).await;
        assert_eq!(replayed(dir.path()).len(), left.len() + 1, "what follows is read");
    }
}

#[tokio::test]
async fn a_file_that_is_mostly_of_the_past_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::open(dir.path(), 1 << 10, |_| true).unwrap());
    let large = change("b", "k", Some(vec![7; 1 << 20].as_slice()));
    let present = vec![change("b", "k", Some(b"now"))];
    for _ in 0..2 {
        let (number, present) = (journal.push(&large), present.clone());
        journal.durable(number, move || present).await.unwrap();
    }
    drop(journal);
    assert_eq!(replayed(dir.path()), present);
    assert!(!dir.path().join(NEXT).exists());
}

#[tokio::test]
async fn nobody_else_has_it_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let one = Journal::open(dir.path(), 1 << 10, |_| true).unwrap();
    assert!(refusal(dir.path()).ends_with(".wherry-keyvalue is in use by another process"));
    drop(one);
    assert!(replayed(dir.path()).is_empty());
}

#[test]
fn what_is_no_file_of_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (file, secret) = (dir.path().join(FILE), dir.path().join("secret"));
    std::fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, &file).unwrap();
    assert!(refusal(dir.path()).ends_with("it is no regular file"));
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(refusal(dir.path()).ends_with("it is no regular file"));
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(&secret, &file).unwrap();
    assert!(refusal(dir.path()).contains("holds no values that this version of wherry can read"));
    assert_eq!(std::fs::read(&file).unwrap(), b"secret");
    std::fs::write(&file, vec![0; 4 << 20]).unwrap();
    assert!(refusal(dir.path()).contains("holds more than"));
    assert!(refusal(&dir.path().join("nowhere")).starts_with("cannot open the directory of"));
}

proptest! {
    #[test]
    fn any_change_is_read_as_it_was_written(bucket in ".*", key in ".*", value in prop::option::of(prop::collection::vec(any::<u8>(), 0..64))) {
        let change = Change { bucket: bucket.into(), key, value };
        let mut bytes = Vec::new();
        change.write(&mut bytes);
        prop_assert_eq!(read(&bytes), (vec![change], bytes.len()));
    }

    #[test]
    fn any_bytes_are_read_as_far_as_they_hold(bytes in prop::collection::vec(any::<u8>(), 0..200), place: prop::sample::Index, byte: u8) {
        prop_assert_eq!(read(&bytes).0.len(), 0);
        // What is sealed rightly and is no change.
        let mut sealed = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        sealed.extend(&bytes);
        let mut record = digest(&SHA256, &sealed).as_ref()[..SEAL].to_vec();
        record.extend(sealed);
        let (changes, held) = read(&record);
        prop_assert_eq!(held, if changes.is_empty() { 0 } else { record.len() });
        let mut good = Vec::new();
        change("b", "k", Some(b"v")).write(&mut good);
        let place = place.index(good.len());
        prop_assume!(good[place] != byte);
        good[place] = byte;
        prop_assert_eq!(read(&good), (vec![], 0));
    }
}
