//! Frames of SPDY/3.1, as a server reads and writes them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::SpdyError;
use super::headers::{Deflater, Headers, Inflater};

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const HEAD: usize = 8;
/// The longest frame taken.
const MAX_FRAME: usize = 4 << 20;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FIN: u8 = 1;
/// Why a stream is reset: the other side is to forget it.
const CANCEL: u32 = 5;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream.
    Open {
        /// Its number.
        id: u32,
        /// Whether the client will send nothing on it.
        fin: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Bytes on a stream.
    Data {
        /// Its number.
        id: u32,
        /// Whether these are the last.
        fin: bool,
        /// The bytes.
        data: Bytes,
    },
    /// A stream broke off.
    Reset(u32),
    /// A question whether anybody is there.
    Ping(u32),
    /// Something a server need not act on.
    Other,
}

/// Reads frames.
pub(super) struct Decoder(Inflater);

impl Decoder {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self(Inflater::new())
    }

    /// Takes the next frame out of the buffer; `None` if more bytes are needed.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, SpdyError> {
        let Some(head) = buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, flags, length @ ..] = *head;
        let length = length.into_iter().fold(0, |sum, byte| (sum << 8) | usize::from(byte));
        if length > MAX_FRAME {
            return Err(SpdyError("a frame is too long"));
        }
        if buffer.len() < HEAD + length {
            buffer.reserve(HEAD + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEAD);
        let payload = buffer.split_to(length).freeze();
        let (first, kind) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        if first & CONTROL == 0 {
            let id = u32::from_be_bytes([a, b, c, d]);
            return Ok(Some(Frame::Data { id, fin: flags & FIN != 0, data: payload }));
        }
        if first != CONTROL | VERSION {
            return Err(SpdyError("the version is not 3"));
        }
        self.control(kind, flags & FIN != 0, payload).map(Some)
    }

    fn control(&mut self, kind: u16, fin: bool, mut payload: Bytes) -> Result<Frame, SpdyError> {
        let mut number = || {
            let number = payload.try_get_u32().map_err(|_| SpdyError("a control frame ends early"))?;
            Ok(number & 0x7fff_ffff)
        };
        match kind {
            SYN_STREAM => {
                let id = number()?;
                number()?;
                // Priority and slot.
                let block = payload.get(2..).ok_or(SpdyError("a control frame ends early"))?;
                Ok(Frame::Open { id, fin, headers: self.0.headers(block)? })
            }
            SYN_REPLY | HEADERS => {
                number()?;
                // Not wanted, but part of the compressed stream.
                self.0.headers(&payload)?;
                Ok(Frame::Other)
            }
            RST_STREAM => number().map(Frame::Reset),
            PING => {
                payload.try_get_u32().map(Frame::Ping).map_err(|_| SpdyError("a control frame ends early"))
            }
            _ => Ok(Frame::Other),
        }
    }
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// A stream is taken.
    Reply(u32),
    /// Bytes on a stream.
    Data(u32, Bytes),
    /// The end of this side of a stream.
    Finish(u32),
    /// A stream is not, or no longer, wanted.
    Reset(u32),
    /// The answer to a ping.
    Ping(u32),
    /// The connection is to end.
    GoAway,
}

/// Writes frames.
pub(super) struct Encoder(Deflater);

impl Encoder {
    /// At the beginning of a connection.
    pub(super) fn new() -> Result<Self, SpdyError> {
        Deflater::new().map(Self)
    }

    /// The bytes of a frame.
    pub(super) fn bytes(&mut self, frame: Outgoing) -> Result<Bytes, SpdyError> {
        Ok(match frame {
            Outgoing::Reply(id) => {
                let block = self.0.block(&Headers::default())?;
                control(SYN_REPLY, &[&id.to_be_bytes(), &block])
            }
            Outgoing::Data(id, bytes) => data(id, 0, &bytes),
            Outgoing::Finish(id) => data(id, FIN, &[]),
            Outgoing::Reset(id) => control(RST_STREAM, &[&id.to_be_bytes(), &CANCEL.to_be_bytes()]),
            Outgoing::Ping(id) => control(PING, &[&id.to_be_bytes()]),
            Outgoing::GoAway => control(GOAWAY, &[&[0; 8]]),
        })
    }
}

fn control(kind: u16, pieces: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u16(CONTROL | VERSION);
    out.put_u16(kind);
    finish(out, 0, pieces)
}

fn data(id: u32, flags: u8, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD + bytes.len());
    out.put_u32(id);
    finish(out, flags, &[bytes])
}

fn finish(mut out: BytesMut, flags: u8, pieces: &[&[u8]]) -> Bytes {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.put_u8(flags);
    out.put_uint(length as u64, 3);
    for piece in pieces {
        out.put_slice(piece);
    }
    out.freeze()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client writes to open a stream.
    pub(crate) fn open(deflater: &mut Deflater, id: u32, headers: &[(&str, &str)]) -> Bytes {
        let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let block = deflater.block(&Headers(pairs.collect())).unwrap();
        control(SYN_STREAM, &[&id.to_be_bytes(), &[0; 6], &block])
    }

    /// What a client writes on a stream.
    pub(crate) fn sent(id: u32, fin: bool, bytes: &[u8]) -> Bytes {
        data(id, u8::from(fin), bytes)
    }

    fn all(bytes: &[u8]) -> Result<Vec<Frame>, SpdyError> {
        let (mut decoder, mut buffer, mut found) = (Decoder::new(), BytesMut::from(bytes), Vec::new());
        while let Some(frame) = decoder.next(&mut buffer)? {
            found.push(frame);
        }
        Ok(found)
    }

    #[test]
    fn frames_are_read_as_they_were_sent() {
        let mut deflater = Deflater::new().unwrap();
        let mut bytes = open(&mut deflater, 1, &[("streamType", "data"), ("port", "80")]).to_vec();
        bytes.extend(sent(1, true, b"hello"));
        bytes.extend(control(PING, &[&7u32.to_be_bytes()]));
        bytes.extend(control(RST_STREAM, &[&1u32.to_be_bytes(), &[0; 4]]));
        bytes.extend(control(GOAWAY, &[&[0; 8]]));
        let frames = all(&bytes).unwrap();
        let Frame::Open { id: 1, fin: false, headers } = &frames[0] else { panic!("{frames:?}") };
        assert_eq!((headers.get("streamtype"), headers.get("port")), (Some("data"), Some("80")));
        let data = Frame::Data { id: 1, fin: true, data: Bytes::from_static(b"hello") };
        assert_eq!(frames[1..], [data, Frame::Ping(7), Frame::Reset(1), Frame::Other]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(all(&[0x80, 2, 0, 1, 0, 0, 0, 0]).unwrap_err().0, "the version is not 3");
        assert_eq!(all(&[0x80, 3, 0, 1, 0, 0, 0, 0]).unwrap_err().0, "a control frame ends early");
        assert_eq!(all(&[0, 0, 0, 1, 0, 0xff, 0, 0]).unwrap_err().0, "a frame is too long");
    }

    proptest! {
        #[test]
        fn frames_may_be_cut_anywhere(frames in prop::collection::vec((1u32..9, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 1..5), cut: prop::sample::Index) {
            let sent: Vec<u8> = frames.iter().flat_map(|(id, fin, bytes)| sent(*id, *fin, bytes)).collect();
            let (first, second) = sent.split_at(cut.index(sent.len()));
            let (mut decoder, mut buffer, mut found) = (Decoder::new(), BytesMut::new(), Vec::new());
            for piece in [first, second] {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decoder.next(&mut buffer).unwrap() {
                    found.push(frame);
                }
            }
            let expected = frames.into_iter().map(|(id, fin, data)| Frame::Data { id, fin, data: data.into() });
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes: Vec<u8>) {
            all(&bytes).ok();
        }

        #[test]
        fn any_control_frame_ends_in_an_answer(kind in 0u16..12, flags: u8, payload: Vec<u8>) {
            let mut bytes = control(kind, &[&payload]).to_vec();
            bytes[4] = flags;
            all(&bytes).ok();
        }
    }
}
