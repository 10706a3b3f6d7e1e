//! Blocks of headers: one compressed stream in each direction of a connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::SpdyError;
use super::dictionary::DICTIONARY;

/// The most a block holds when it is not compressed.
const MAX_BLOCK: usize = 64 * 1024;

/// Names, in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// The value of a name in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn parse(mut bytes: &[u8]) -> Result<Self, SpdyError> {
        let count = number(&mut bytes)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = text(&mut bytes)?.to_ascii_lowercase();
            headers.push((name, text(&mut bytes)?));
        }
        Ok(Self(headers))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |length: usize| out_number(&mut out, length);
        put(self.0.len());
        for (name, value) in &self.0 {
            for text in [name, value] {
                out_number(&mut out, text.len());
                out.extend(text.as_bytes());
            }
        }
        out
    }
}

fn out_number(out: &mut Vec<u8>, number: usize) {
    out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn number(bytes: &mut &[u8]) -> Result<usize, SpdyError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(SpdyError("a block of headers ends early"))?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn text(bytes: &mut &[u8]) -> Result<String, SpdyError> {
    let length = number(bytes)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(SpdyError("a block of headers ends early"))?;
    *bytes = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Reads blocks of headers, in the order in which they come.
pub(super) struct Inflater(Decompress);

impl Inflater {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The headers of the next block.
    pub(super) fn headers(&mut self, block: &[u8]) -> Result<Headers, SpdyError> {
        const BROKEN: SpdyError = SpdyError("a block of headers is not compressed as it should be");
        let mut out = Vec::with_capacity(1024);
        let begin = self.0.total_in();
        loop {
            let read = usize::try_from(self.0.total_in() - begin).unwrap_or(usize::MAX);
            let rest = block.get(read..).unwrap_or_default();
            let before = (self.0.total_in(), self.0.total_out());
            match self.0.decompress_vec(rest, &mut out, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| BROKEN)?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(BROKEN),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if out.len() > MAX_BLOCK {
                return Err(SpdyError("a block of headers is too long"));
            }
            let stuck = before == (self.0.total_in(), self.0.total_out());
            if stuck && out.len() < out.capacity() {
                return Headers::parse(&out);
            }
            out.reserve(4096);
        }
    }
}

/// Writes blocks of headers.
pub(super) struct Deflater(Compress);

impl Deflater {
    /// At the beginning of a connection.
    pub(super) fn new() -> Result<Self, SpdyError> {
        let mut compress = Compress::new(Compression::best(), true);
        let set = compress.set_dictionary(&DICTIONARY);
        set.map_err(|_| SpdyError("the dictionary of headers cannot be used"))?;
        Ok(Self(compress))
    }

    /// The next block.
    pub(super) fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, SpdyError> {
        let bytes = headers.bytes();
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let begin = self.0.total_in();
        loop {
            let read = usize::try_from(self.0.total_in() - begin).unwrap_or(usize::MAX);
            let rest = bytes.get(read..).unwrap_or_default();
            let packed = self.0.compress_vec(rest, &mut out, FlushCompress::Sync);
            packed.map_err(|_| SpdyError("headers cannot be compressed"))?;
            if out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(64);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn blocks_are_read_in_the_order_they_were_written() {
        let (mut deflater, mut inflater) = (Deflater::new().unwrap(), Inflater::new());
        let long = "x".repeat(9000);
        for expected in [
            headers(&[("streamtype", "error"), ("port", "80")]),
            headers(&[]),
            headers(&[("streamtype", "data"), ("requestid", "0"), ("long", &long)]),
        ] {
            let block = deflater.block(&expected).unwrap();
            let found = inflater.headers(&block).unwrap();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_dictionary_is_that_of_the_protocol() {
        let block = Deflater::new().unwrap().block(&headers(&[])).unwrap();
        // A zlib header with a preset dictionary, and the dictionary's checksum.
        assert_eq!(block[1] & 0x20, 0x20);
        assert_eq!(block[2..6], 0xe3c6_a7c2_u32.to_be_bytes());
    }

    #[test]
    fn what_is_no_block_is_refused() {
        assert!(Inflater::new().headers(b"nonsense").is_err());
        assert!(Inflater::new().headers(b"").is_err());
        let mut bomb = Vec::new();
        for _ in 0..100 {
            out_number(&mut bomb, 0);
        }
        let block =
            Deflater::new().unwrap().block(&headers(&[("bomb", &"0".repeat(MAX_BLOCK + 1))])).unwrap();
        assert_eq!(Inflater::new().headers(&block).unwrap_err().0, "a block of headers is too long");
    }

    proptest! {
        #[test]
        fn any_headers_are_read_as_they_were_written(
            blocks in prop::collection::vec(prop::collection::vec(("[a-z-]{1,20}", "\\PC{0,60}"), 0..6), 1..4),
        ) {
            let (mut deflater, mut inflater) = (Deflater::new().unwrap(), Inflater::new());
            for expected in blocks.into_iter().map(Headers) {
                let block = deflater.block(&expected).unwrap();
                prop_assert_eq!(inflater.headers(&block).unwrap(), expected);
            }
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes: Vec<u8>) {
            Headers::parse(&bytes).ok();
            Inflater::new().headers(&bytes).ok();
        }

        /// A block that is compressed as it should be and holds anything.
        #[test]
        fn any_content_of_a_block_ends_in_an_answer(bytes: Vec<u8>) {
            let mut compress = Compress::new(Compression::best(), true);
            compress.set_dictionary(&DICTIONARY).unwrap();
            let mut block = Vec::with_capacity(bytes.len() + 1024);
            compress.compress_vec(&bytes, &mut block, FlushCompress::Sync).unwrap();
            prop_assert_eq!(Inflater::new().headers(&block).ok(), Headers::parse(&bytes).ok());
        }
    }
}
