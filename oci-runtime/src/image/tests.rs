//! Layers, whole and hostile, into directories.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use proptest::prelude::*;
use tar::EntryType::{self, Directory, Link, Regular, Symlink};
use tempfile::TempDir;

use super::archive::Archive;
use super::layer::{digest_of, ensure};
use super::unpack::unpack;
use super::*;

/// One entry to be written, whatever it says.
#[derive(Clone, Debug)]
struct Item {
    path: String,
    kind: EntryType,
    link: String,
    data: Vec<u8>,
}

fn item(path: &str, kind: EntryType, text: &str) -> Item {
    let linked = matches!(kind, Link | Symlink);
    let (link, data) = if linked { (text, "") } else { ("", text) };
    Item { path: path.into(), kind, link: link.into(), data: data.as_bytes().to_vec() }
}

fn append(archive: &mut tar::Builder<Vec<u8>>, item: &Item) {
    let mut header = tar::Header::new_gnu();
    let fields = header.as_gnu_mut().unwrap();
    fields.name[..item.path.len()].copy_from_slice(item.path.as_bytes());
    fields.linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
    header.set_entry_type(item.kind);
    header.set_mode(0o640);
    header.set_uid(12);
    header.set_gid(34);
    header.set_mtime(1_000_000);
    header.set_size(item.data.len() as u64);
    if matches!(item.kind, EntryType::Char | EntryType::Block) {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_cksum();
    archive.append(&header, item.data.as_slice()).unwrap();
}

fn archive(items: &[Item]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for item in items {
        append(&mut archive, item);
    }
    archive.into_inner().unwrap()
}

/// Unpacks into the directory `root` of a directory of its own.
fn unpacked(items: &[Item]) -> (TempDir, io::Result<()>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let done = unpack(archive(items).as_slice(), &root);
    (dir, done)
}

fn root_of(items: &[Item]) -> (TempDir, std::path::PathBuf) {
    let (dir, done) = unpacked(items);
    done.unwrap();
    let root = dir.path().join("root");
    (dir, root)
}

fn opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(path, "trusted.overlay.opaque", &mut value).is_ok_and(|n| value[..n] == *b"y")
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_char_device() && found.rdev() == 0)
}

#[test]
fn every_kind_of_entry_arrives_with_owner_mode_and_time() {
    let (_dir, root) = root_of(&[
        item("d", Directory, ""),
        item("d/f", Regular, "text"),
        item("d/hard", Link, "d/f"),
        item("d/soft", Symlink, "/etc/passwd"),
        item("null", EntryType::Char, ""),
        item("pipe", EntryType::Fifo, ""),
        item("implied/parent/f", Regular, ""),
    ]);
    let stat = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(fs::read_to_string(root.join("d/f")).unwrap(), "text");
    assert_eq!(stat("d/hard").ino(), stat("d/f").ino());
    assert_eq!(fs::read_link(root.join("d/soft")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(stat("pipe").file_type().is_fifo());
    for path in ["d", "d/f", "null", "pipe"] {
        let found = stat(path);
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777, found.mtime()),
            (12, 34, 0o640, 1_000_000),
            "{path}"
        );
    }
    assert_eq!((stat("d/soft").uid(), stat("d/soft").mtime()), (12, 1_000_000));
    assert_eq!((stat("implied").uid(), stat("implied").mode() & 0o7777), (0, 0o755));
}

#[test]
fn whiteouts_become_those_of_overlayfs() {
    let (_dir, root) = root_of(&[
        item(".wh.gone", Regular, ""),
        item("d", Directory, ""),
        item("d/.wh..wh..opq", Regular, ""),
        item("d/new", Regular, "x"),
        // In the same layer as what they name, before and after it: the layer's own stays.
        item(".wh.back", Regular, ""),
        item("back", Directory, ""),
        item("own", Regular, "x"),
        item(".wh.own", Regular, ""),
    ]);
    assert!(is_whiteout(&root.join("gone")));
    assert!(opaque(&root.join("d")) && root.join("d/new").exists());
    assert!(opaque(&root.join("back")) && root.join("back").is_dir());
    assert_eq!(fs::read_to_string(root.join("own")).unwrap(), "x");
    assert!(!root.join(".wh.gone").exists());
}

#[test]
fn mounted_layers_are_merged_and_cannot_be_written_to() {
    let lower =
        archive(&[item("gone", Regular, "x"), item("kept", Regular, "lower"), item("new", Regular, "lower")]);
    let upper = archive(&[item(".wh.gone", Regular, ""), item("new", Regular, "upper")]);
    let shown = std::thread::spawn(move || {
        let flags = nix::sched::CloneFlags::CLONE_NEWNS;
        nix::sched::unshare(flags).unwrap();
        let private =
            rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let layers: Vec<_> = [lower, upper]
            .iter()
            .zip(["one", "two"])
            .map(|(layer, name)| {
                let root = dir.path().join("layers").join(name).join("fs");
                fs::create_dir_all(&root).unwrap();
                unpack(layer.as_slice(), &root).unwrap();
                root
            })
            .collect();
        fs::create_dir(&target).unwrap();
        super::mount::layers(&dir.path().join("layers"), &layers, &target).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let text = |name: &str| fs::read_to_string(target.join(name)).unwrap();
        let (kept, new) = (text("kept"), text("new"));
        let refused = fs::write(target.join("more"), "x").unwrap_err().kind();
        rustix::mount::unmount(&target, rustix::mount::UnmountFlags::DETACH).unwrap();
        (names, kept, new, refused)
    });
    let (names, kept, new, refused) = shown.join().unwrap();
    assert_eq!(names, ["kept", "new"]);
    assert_eq!((kept.as_str(), new.as_str(), refused), ("lower", "upper", io::ErrorKind::ReadOnlyFilesystem));
}

#[test]
fn a_later_entry_replaces_an_earlier_one_of_another_kind() {
    let (_dir, root) = root_of(&[
        item("a", Directory, ""),
        item("a/b", Regular, ""),
        item("a", Regular, "file"),
        item("c", Regular, ""),
        item("c", Directory, ""),
        item("c/d", Regular, "kept"),
        item("c", Directory, ""),
    ]);
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "file");
    assert_eq!(fs::read_to_string(root.join("c/d")).unwrap(), "kept");
}

#[test]
fn links_are_followed_within_the_root_only() {
    let (dir, root) = root_of(&[
        item("real", Directory, ""),
        item("absolute", Symlink, "/real"),
        item("upwards", Symlink, "../../../real"),
        item("absolute/a", Regular, "a"),
        item("upwards/b", Regular, "b"),
        item("/leading/slash", Regular, "c"),
    ]);
    for (path, text) in [("real/a", "a"), ("real/b", "b"), ("leading/slash", "c")] {
        assert_eq!(fs::read_to_string(root.join(path)).unwrap(), text);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_reaches_out_or_makes_no_sense_is_refused() {
    let refused: &[(&[Item], &str)] = &[
        (&[item("../x", Regular, "")], "entry \"../x\": the path contains \"..\" and could leave the root"),
        (&[item("a/../../x", Regular, "")], "could leave the root"),
        (&[item("l", Link, "../../etc/passwd")], "could leave the root"),
        (&[item("l", Link, "/etc/passwd")], "its hard link's target is not in the layer"),
        (
            &[item("out", Symlink, "/etc"), item("out/x", Regular, "")],
            "its parent is a link that leads nowhere",
        ),
        (&[item("f", Regular, ""), item("f/x", Regular, "")], "its parent is not a directory"),
        (&[item("a", Symlink, "b"), item("b", Symlink, "a"), item("a/x", Regular, "")], "symbolic links"),
        (&[item("d", Directory, ""), item("l", Link, "d")], "a hard link to a directory"),
        (&[item(".wh...", Regular, "")], "not a valid whiteout"),
        (&[item(".wh.", Regular, "")], "not a valid whiteout"),
        (&[item("./", Symlink, "/etc")], "the root of a layer must be a directory"),
        (&[item("x", EntryType::GNUSparse, "")], "sparse files are not supported"),
        (&[item("x", EntryType::new(b'Z'), "")], "entries of type 'Z' are not supported"),
    ];
    for (items, text) in refused {
        let (dir, done) = unpacked(items);
        let found = done.expect_err(text).to_string();
        assert!(found.contains(text), "{found}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{text}: something outside the root");
    }
}

#[test]
fn long_names_and_pax_records_override_headers_and_are_bounded() {
    let long = format!("{}/file", "n".repeat(150));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o600);
    builder.append_data(&mut header, &long, b"1".as_slice()).unwrap();
    let records: [(&str, &[u8]); 4] = [
        ("path", b"renamed"),
        ("mtime", b"12.5"),
        ("SCHILY.xattr.user.kept", b"v"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
    ];
    builder.append_pax_extensions(records).unwrap();
    append(&mut builder, &item("original", Regular, "data"));
    let dir = tempfile::tempdir().unwrap();
    unpack(builder.into_inner().unwrap().as_slice(), dir.path()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(long)).unwrap(), "1");
    let renamed = dir.path().join("renamed");
    assert_eq!(fs::metadata(&renamed).unwrap().mtime_nsec(), 500_000_000);
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(&renamed, "user.kept", &mut value), Ok(1));
    assert!(rustix::fs::getxattr(&renamed, "trusted.overlay.redirect", &mut value).is_err());

    let huge = archive(&[Item { data: vec![b'x'; 5000], ..item("x", EntryType::GNULongName, "") }]);
    let refused = Archive::new(huge.as_slice()).next_entry().unwrap_err().to_string();
    assert_eq!(refused, "a name of 5000 bytes is longer than 4097");
}

#[test]
fn damaged_archives_are_refused() {
    let mut wrong = archive(&[item("file", Regular, "text")]);
    let refused = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        unpack(bytes, dir.path()).unwrap_err().to_string()
    };
    assert!(refused(&wrong[..514]).contains("ends within an entry"));
    wrong[0] ^= 1;
    assert!(refused(&wrong).contains("wrong checksum"));
}

fn stored(dir: &Path, blob: &[u8]) -> Layer {
    let path = dir.join("blob");
    fs::write(&path, blob).unwrap();
    Layer { digest: digest_of(blob), media_type: String::new(), path }
}

#[test]
fn every_compression_is_taken_and_verified() {
    let plain = archive(&[item("file", Regular, "text")]);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, &plain).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for blob in [&plain, &gzip, &zstd] {
        let dir = tempfile::tempdir().unwrap();
        let layers = dir.path().join("layers");
        fs::create_dir(&layers).unwrap();
        let layer = stored(dir.path(), blob);
        let wrong = ensure(&layers, &layer, "sha256:0", u64::MAX).unwrap_err().to_string();
        assert!(wrong.ends_with("the image config says sha256:0"), "{wrong}");
        assert_eq!(fs::read_dir(&layers).unwrap().count(), 0);
        for _ in 0..2 {
            ensure(&layers, &layer, &digest_of(&plain), u64::MAX).unwrap();
        }
        let content = layer::content(&layers, hex_of(&layer.digest).unwrap());
        assert_eq!(fs::read_to_string(content.join("file")).unwrap(), "text");
        assert!(ensure(&layers, &layer, "sha256:1", u64::MAX).is_err());
    }
}

#[test]
fn a_damaged_or_boundless_layer_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let layers = dir.path().join("layers");
    fs::create_dir(&layers).unwrap();
    let plain = archive(&[item("file", Regular, "text")]);
    let zeros = archive(&[Item { data: vec![0; 1 << 20], ..item("zeros", Regular, "") }]);
    let bomb = stored(dir.path(), &zstd::encode_all(zeros.as_slice(), 1).unwrap());
    let refused = ensure(&layers, &bomb, &digest_of(&zeros), 4096).unwrap_err().to_string();
    assert!(refused.contains("the layer unpacks to more than 4096 bytes"), "{refused}");

    let layer = stored(dir.path(), &plain);
    fs::write(&layer.path, &plain[..700]).unwrap();
    let refused = ensure(&layers, &layer, &digest_of(&plain), u64::MAX).unwrap_err().to_string();
    assert!(refused.contains("the stored layer is damaged, its digest is sha256:"), "{refused}");

    let escaping = Layer { digest: "sha256:../../x".into(), ..layer };
    let refused = ensure(&layers, &escaping, "", u64::MAX).unwrap_err().to_string();
    assert!(refused.contains("not a sha256 digest"), "{refused}");
    assert_eq!(fs::read_dir(&layers).unwrap().count(), 0);
}

#[test]
fn an_image_for_another_machine_or_with_missing_layers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(&dir.path().join("data"), u64::MAX).unwrap();
    let refused = |config: &str| {
        let path = dir.path().join("config");
        fs::write(&path, config).unwrap();
        let source = Source { digest: digest_of(config.as_bytes()), config: path, layers: Vec::new() };
        images.prepare(&source).unwrap_err().to_string()
    };
    let rootfs = r#""rootfs":{"type":"layers","diff_ids":["sha256:1"]}"#;
    let other = refused(&format!(r#"{{"os":"linux","architecture":"s390x",{rootfs}}}"#));
    assert!(other.contains("the image is for linux/s390x, this node is linux/"), "{other}");
    let own = Arch::default();
    let missing = refused(&format!(r#"{{"os":"linux","architecture":"{own}",{rootfs}}}"#));
    assert!(missing.ends_with("the image config lists 1 layers, the manifest 0"), "{missing}");
    assert!(refused("{").contains("the image config does not parse"));
}

fn any_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-c]",
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(".wh.a".to_owned()),
        1 => Just(".wh..wh..opq".to_owned()),
        1 => Just(String::new()),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn any_item() -> impl Strategy<Value = Item> {
    let kind = prop_oneof![Just(Regular), Just(Directory), Just(Symlink), Just(Link), Just(EntryType::Fifo)];
    let link = prop_oneof![any_path(), any_path().prop_map(|path| format!("/{path}"))];
    (any_path(), kind, link).prop_map(|(path, kind, link)| item(&path, kind, &link))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever the links and names: beside the root there is still only what was there, unchanged.
    #[test]
    fn no_archive_leaves_the_root(items in prop::collection::vec(any_item(), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        // Accepted or refused: both are fine.
        unpack(archive(&items).as_slice(), &root).ok();
        prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
        for name in ["a", "b", "c"] {
            prop_assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), name);
            prop_assert_eq!(fs::metadata(dir.path().join(name)).unwrap().uid(), 0);
        }
    }

    /// Bytes that were an archive once never panic the reader, nor make it read without end.
    #[test]
    fn no_bytes_panic_the_reader(mut bytes in Just(archive(&[
        item("a/b", Regular, "text"), item("l", Symlink, "a"), item("d", Directory, ""),
    ])), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20), cut in any::<prop::sample::Index>()) {
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        for block in bytes.chunks_exact_mut(512) {
            // A right checksum lets the flips through to what is behind it.
            let mut header = tar::Header::from_byte_slice(block).clone();
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let mut reader = Archive::new(bytes.as_slice());
        while let Ok(Some(_)) = reader.next_entry() {}
    }
}
