//! Reads a layer's tar stream entry by entry: ustar, pax and GNU long names.
//!
//! Written for hostile input: names and pax records are bounded, a header with a wrong checksum, a truncated
//! stream or a sparse file (whose size on disk the stream does not bound) is an error, nothing panics.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use tar::{EntryType, Header, PaxExtensions};

const BLOCK: usize = 512;
/// Longest name or link target; Linux refuses longer paths.
const MAX_NAME: u64 = 4096 + 1;
/// Longest block of pax records.
const MAX_PAX: u64 = 1024 * 1024;

const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;

/// The metadata of one entry, its overrides applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it stands in the archive: with `.`, `..` and a root, if it has them.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// Target of a symbolic or hard link.
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of its content.
    pub size: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tar stream being read.
#[derive(Debug)]
pub struct Archive<R> {
    stream: R,
    /// Bytes of the current entry's data not yet read, and its padding.
    left: u64,
    padding: u64,
}

/// What precedes an entry and overrides its header.
#[derive(Default)]
struct Overrides {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// A number in a header: octal text, or a big-endian number if the first bit is set. An empty field is zero.
fn field(header: &Header, place: Range<usize>) -> io::Result<u64> {
    let bytes = &header.as_bytes()[place];
    let bad = || invalid("a number in a header does not parse");
    if bytes[0] & 0x80 != 0 {
        let digits = std::iter::once(bytes[0] & 0x7f).chain(bytes[1..].iter().copied());
        let number = digits.fold(0_u128, |sum, byte| (sum << 8) | u128::from(byte));
        return u64::try_from(number).map_err(|_| bad());
    }
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(text).map_err(|_| bad())?.trim() {
        "" => Ok(0),
        digits => u64::from_str_radix(digits, 8).map_err(|_| bad()),
    }
}

fn short(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| invalid(format!("number {number} is too large")))
}

impl<R: Read> Archive<R> {
    /// At its beginning.
    pub fn new(stream: R) -> Self {
        Self { stream, left: 0, padding: 0 }
    }

    /// Goes to the next entry, passing over what was not read of the current one; `None` at the end.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut overrides = Overrides::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.set_size(field(&header, SIZE)?);
            match header.entry_type() {
                EntryType::GNULongName => overrides.path = Some(self.name()?),
                EntryType::GNULongLink => overrides.link = Some(self.name()?),
                EntryType::XHeader => overrides.pax = Some(self.bounded(MAX_PAX, "pax header")?),
                EntryType::XGlobalHeader => {}
                EntryType::GNUSparse => return Err(invalid("sparse files are not supported in layers")),
                _ => return self.entry(&header, overrides).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, overrides: Overrides) -> io::Result<Entry> {
        let device = match header.entry_type() {
            EntryType::Char | EntryType::Block => {
                (short(field(header, MAJOR)?)?, short(field(header, MINOR)?)?)
            }
            _ => (0, 0),
        };
        let mut entry = Entry {
            path: overrides.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            kind: header.entry_type(),
            link: overrides.link.or_else(|| Some(header.link_name_bytes()?.into_owned())).unwrap_or_default(),
            mode: short(field(header, MODE)? & 0o7777)?,
            uid: id(field(header, UID)?)?,
            gid: id(field(header, GID)?)?,
            size: field(header, SIZE)?,
            mtime: (i64::try_from(field(header, MTIME).unwrap_or(0)).unwrap_or(0), 0),
            device,
            xattrs: BTreeMap::new(),
        };
        if let Some(pax) = overrides.pax {
            entry.apply(&pax)?;
        }
        if matches!(entry.kind, EntryType::Link | EntryType::Symlink) {
            // Some writers give a hard link the size of its target, yet no data follows.
            entry.size = 0;
        }
        if entry.kind == EntryType::Regular && entry.path.ends_with(b"/") {
            // How archives older than ustar write a directory.
            entry.kind = EntryType::Directory;
        }
        self.set_size(entry.size);
        Ok(entry)
    }

    fn set_size(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        if !fill(&mut self.stream, header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            // The end of the archive; whatever follows belongs to the digest, not to the content.
            io::copy(&mut self.stream, &mut io::sink())?;
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let sum = bytes[..148].iter().chain(&bytes[156..]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        if field(&header, CHECKSUM)? != u64::from(sum) {
            return Err(invalid("not a tar archive: a header has a wrong checksum"));
        }
        Ok(Some(header))
    }

    fn name(&mut self) -> io::Result<Vec<u8>> {
        let mut name = self.bounded(MAX_NAME, "name")?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn bounded(&mut self, limit: u64, what: &str) -> io::Result<Vec<u8>> {
        if self.left > limit {
            return Err(invalid(format!("a {what} of {} bytes is longer than {limit}", self.left)));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut (&mut self.stream).take(padding), &mut io::sink())?;
        if skipped < padding { Err(truncated()) } else { Ok(()) }
    }
}

/// Reads the data of the current entry.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.stream.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(truncated());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl Entry {
    fn apply(&mut self, pax: &[u8]) -> io::Result<()> {
        for record in PaxExtensions::new(pax) {
            let record = record.map_err(|error| invalid(error.to_string()))?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = value.to_vec(),
                b"linkpath" => self.link = value.to_vec(),
                b"size" => self.size = number(value)?,
                b"uid" => self.uid = id(number(value)?)?,
                b"gid" => self.gid = id(number(value)?)?,
                b"mtime" => self.mtime = time(value).ok_or_else(|| invalid("a pax time is not a number"))?,
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(invalid("sparse files are not supported in layers"));
                }
                key => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.insert(name.to_vec(), value.to_vec());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Fills the buffer; false if the stream is at its end.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(truncated()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the tar archive ends within an entry")
}

fn id(number: u64) -> io::Result<u32> {
    // The highest id means "leave unchanged" to chown.
    u32::try_from(number)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| invalid(format!("id {number} is too large")))
}

fn number(text: &[u8]) -> io::Result<u64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| invalid("a pax record is not a number"))
}

/// Seconds and nanoseconds of a decimal number; the fraction counts upwards also before 1970.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (seconds, nanoseconds): (i64, i64) = (seconds.parse().ok()?, digits.parse().ok()?);
    match (text.starts_with('-'), nanoseconds) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        _ => Some((seconds, nanoseconds)),
    }
}
