//! Tests of the row format: golden bytes, round trips, and any bytes at all.

use proptest::prelude::*;

use super::*;

fn record() -> impl Strategy<Value = (Revision, String, bool, Revision, Revision, Vec<u8>)> {
    let revisions = prop::array::uniform3(1_u64..=u64::MAX);
    ("\\PC{1,40}", any::<bool>(), any::<bool>(), revisions, prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(key, delete, fresh, mut revisions, value)| {
            revisions.sort_unstable();
            let [create, replaced, revision] = revisions;
            let replaced = replaced.min(revision - 1);
            if (fresh && !delete) || replaced == 0 || create > replaced {
                (revision, key, false, revision, 0, value)
            } else {
                let value = if delete { Vec::new() } else { value };
                (revision, key, delete, create, replaced, value)
            }
        })
}

fn borrow(parts: &(Revision, String, bool, Revision, Revision, Vec<u8>)) -> Record<'_> {
    let (revision, key, delete, create_revision, replaced, value) = parts;
    Record {
        revision: *revision,
        key,
        kind: if *delete { EventKind::Delete } else { EventKind::Put },
        create_revision: *create_revision,
        replaced: *replaced,
        value,
        sealed: false,
    }
}

/// The layout of `docs/store-format.md`, byte for byte; changing it needs a new format version.
#[test]
fn rows_have_the_bytes_of_the_format_document() {
    let record = Record {
        revision: 0x0102,
        key: "/k",
        kind: EventKind::Put,
        create_revision: 3,
        replaced: 4,
        value: b"v",
        sealed: false,
    };
    let (key, row) = record.encode();
    assert_eq!(key, b"\0\0\0\0\0\0\x01\x02/k");
    assert_eq!(row[4..], *b"\x01\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0v");
    let whole = [key.as_slice(), &row[4..]].concat();
    assert_eq!(row[..4], crc32fast::hash(&whole).to_le_bytes());
    let sealed = Record { sealed: true, ..record };
    let (key, row) = sealed.encode();
    assert_eq!((row[4], Record::decode(&key, &row)), (3, Ok(sealed)));
}

#[test]
fn a_row_says_what_is_wrong_with_it() {
    let (key, row) = Record {
        revision: 7,
        key: "/k",
        kind: EventKind::Delete,
        create_revision: 2,
        replaced: 5,
        value: b"",
        sealed: false,
    }
    .encode();
    let resealed = |at: usize, byte: u8| {
        let mut row = row.clone();
        row[at] = byte;
        let sum = checksum(&key, &row[4..]);
        row[..4].copy_from_slice(&sum.to_le_bytes());
        Record::decode(&key, &row).map(|_| ())
    };
    assert_eq!(Record::decode(&key, &row[..20]), Err(RecordError::Short(20)));
    assert_eq!(Record::decode(&key[..7], &row), Err(RecordError::KeyLength(7)));
    assert_eq!(Record::decode(&key[..8], &row), Err(RecordError::KeyLength(0)));
    assert_eq!(Record::decode(b"\0\0\0\0\0\0\0\x07\xff", &row), Err(RecordError::KeyText));
    assert_eq!(Record::decode(b"\0\0\0\0\0\0\0\x08/k", &row), Err(RecordError::Checksum));
    assert_eq!(resealed(4, 4), Err(RecordError::Kind(4)));
    assert_eq!(resealed(13, 7), Err(RecordError::Revisions));
    assert_eq!(resealed(13, 1), Err(RecordError::Revisions));
    assert_eq!(resealed(13, 6), Ok(()));
}

proptest! {
    #[test]
    fn encoded_rows_decode_to_themselves(parts in record()) {
        let record = borrow(&parts);
        let (key, row) = record.encode();
        prop_assert_eq!(Record::decode(&key, &row), Ok(record));
    }

    #[test]
    fn any_flipped_bit_is_noticed(parts in record(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (mut key, mut row) = borrow(&parts).encode();
        let at = at.index(key.len() + row.len());
        let length = key.len();
        let byte = if at < length { &mut key[at] } else { &mut row[at - length] };
        *byte ^= 1 << bit;
        prop_assert!(Record::decode(&key, &row).is_err());
    }

    #[test]
    fn any_bytes_are_taken_without_panic(
        key in prop::collection::vec(any::<u8>(), 0..64),
        row in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _outcome = Record::decode(&key, &row);
    }

    /// With a fitting checksum, so that what comes behind it is reached.
    #[test]
    fn any_bytes_with_a_checksum_are_a_whole_row_or_an_error(
        key in "[a-z]{1,4}",
        revision in 0..20_u64,
        mut row in prop::collection::vec(0..20_u8, 21..40),
    ) {
        let key = row_key(revision, &key);
        let sum = checksum(&key, &row[4..]);
        row[..4].copy_from_slice(&sum.to_le_bytes());
        if let Ok(record) = Record::decode(&key, &row) {
            prop_assert_eq!(record.encode(), (key, row));
        }
    }

    #[test]
    fn row_keys_sort_by_revision_then_key(a in (any::<u64>(), "\\PC{0,9}"), b in (any::<u64>(), "\\PC{0,9}")) {
        let order = row_key(a.0, &a.1).cmp(&row_key(b.0, &b.1));
        prop_assert_eq!(order, a.cmp(&b));
    }
}
