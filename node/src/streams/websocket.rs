//! WebSocket (RFC 6455) as a server speaks it: the handshake's answer, frames, messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// The longest message taken.
const MAX_MESSAGE: usize = 4 << 20;
/// What the handshake adds to a client's key.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Bytes that are not WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a WebSocket frame: {0}")]
pub(super) struct FrameError(&'static str);

/// Something a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole message.
    Message(Bytes),
    /// A question whether anybody is there.
    Ping(Bytes),
    /// The end.
    Close,
}

/// The value of `Sec-WebSocket-Accept` for a client's key.
pub(super) fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes()))
}

/// Reads what a client sends.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The message whose end has not come.
    partial: Option<BytesMut>,
}

struct Head {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    length: usize,
    /// Bytes before the payload.
    size: usize,
}

impl Decoder {
    /// Takes the next event out of the buffer; `None` if more bytes are needed.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        loop {
            let Some(head) = head(buffer)? else { return Ok(None) };
            if buffer.len() < head.size + head.length {
                buffer.reserve(head.size + head.length - buffer.len());
                return Ok(None);
            }
            buffer.advance(head.size);
            let mut payload = buffer.split_to(head.length);
            for (index, byte) in payload.iter_mut().enumerate() {
                *byte ^= head.mask[index % 4];
            }
            if let Some(event) = self.event(&head, payload)? {
                return Ok(Some(event));
            }
        }
    }

    fn event(&mut self, head: &Head, payload: BytesMut) -> Result<Option<Event>, FrameError> {
        match (head.opcode, self.partial.take()) {
            (CLOSE, _) => Ok(Some(Event::Close)),
            (PING, partial) => {
                self.partial = partial;
                Ok(Some(Event::Ping(payload.freeze())))
            }
            (PONG, partial) => {
                self.partial = partial;
                Ok(None)
            }
            (TEXT | BINARY, None) => Ok(self.piece(head.fin, payload)),
            (CONTINUATION, Some(mut partial)) => {
                if partial.len() + payload.len() > MAX_MESSAGE {
                    return Err(FrameError("the message is too long"));
                }
                partial.extend_from_slice(&payload);
                Ok(self.piece(head.fin, partial))
            }
            (CONTINUATION, None) => Err(FrameError("there is no message to go on with")),
            _ => Err(FrameError("a message begins within another")),
        }
    }

    fn piece(&mut self, fin: bool, message: BytesMut) -> Option<Event> {
        if fin {
            return Some(Event::Message(message.freeze()));
        }
        self.partial = Some(message);
        None
    }
}

/// The head of the next frame, if it has come.
fn head(buffer: &[u8]) -> Result<Option<Head>, FrameError> {
    let [first, second, rest @ ..] = buffer else { return Ok(None) };
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    if first & 0x70 != 0 {
        return Err(FrameError("reserved bits are set"));
    }
    if !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
        return Err(FrameError("the opcode is unknown"));
    }
    if second & 0x80 == 0 {
        return Err(FrameError("it is not masked"));
    }
    let short = second & 0x7f;
    if opcode >= CLOSE && (!fin || short > 125) {
        return Err(FrameError("a control frame is too long"));
    }
    let (length, wide) = match short {
        126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
        127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
        short => (Some(u64::from(short)), 0),
    };
    let Some(length) = length else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(FrameError("the message is too long"));
    }
    let mask = rest.get(wide..).and_then(|rest| rest.first_chunk());
    Ok(mask.map(|mask| Head { fin, opcode, mask: *mask, length, size: 6 + wide }))
}

/// A message in the pieces given, in binary or as text.
pub(super) fn message(pieces: &[&[u8]], binary: bool) -> Bytes {
    frame(if binary { BINARY } else { TEXT }, pieces)
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, &[payload])
}

/// The end, as it should be.
pub(super) fn close() -> Bytes {
    frame(CLOSE, &[&1000u16.to_be_bytes()])
}

fn frame(opcode: u8, pieces: &[&[u8]]) -> Bytes {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut out = BytesMut::with_capacity(length + 10);
    out.put_u8(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.put_u8(short),
        (_, Ok(medium)) => {
            out.put_u8(126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    for piece in pieces {
        out.put_slice(piece);
    }
    out.freeze()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it.
    pub(crate) fn masked(opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = frame(opcode, &[payload]).to_vec();
        out[0] = opcode | if fin { 0x80 } else { 0 };
        out[1] |= 0x80;
        let body = out.split_off(out.len() - payload.len());
        let mask = [1, 2, 3, 4];
        out.extend(mask);
        out.extend(body.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
        out
    }

    #[test]
    fn the_key_of_the_standards_example_is_accepted_as_there() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_message_may_come_in_frames_with_a_ping_between_them() {
        let mut buffer = BytesMut::new();
        buffer.extend(masked(BINARY, false, b"ab"));
        buffer.extend(masked(PING, true, b"there?"));
        buffer.extend(masked(CONTINUATION, true, b"cd"));
        buffer.extend(masked(CLOSE, true, b""));
        let mut decoder = Decoder::default();
        let mut next = || decoder.next(&mut buffer).unwrap();
        assert_eq!(next(), Some(Event::Ping(Bytes::from_static(b"there?"))));
        assert_eq!(next(), Some(Event::Message(Bytes::from_static(b"abcd"))));
        assert_eq!(next(), Some(Event::Close));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_a_client_must_not_send_is_refused() {
        let refused = |bytes: &[u8]| Decoder::default().next(&mut BytesMut::from(bytes)).unwrap_err().0;
        assert_eq!(refused(&[0x82, 0x01, 0x00]), "it is not masked");
        assert_eq!(refused(&[0xc2, 0x80]), "reserved bits are set");
        assert_eq!(refused(&[0x83, 0x80]), "the opcode is unknown");
        assert_eq!(refused(&[0x82, 0xff, 0, 0, 0, 0, 0xff, 0, 0, 0]), "the message is too long");
        assert_eq!(refused(&masked(CONTINUATION, true, b"x")), "there is no message to go on with");
        assert_eq!(refused(&[0x09, 0x80]), "a control frame is too long");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_end_in_an_answer(bytes: Vec<u8>, cuts in prop::collection::vec(0usize..64, 0..8)) {
            let whole = events(&[&bytes]);
            let mut rest = bytes.as_slice();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(events(&pieces), whole);
        }

        #[test]
        fn messages_are_read_as_they_were_sent(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 1..4)) {
            let sent: Vec<u8> = messages.iter().flat_map(|message| masked(BINARY, true, message)).collect();
            let expected: Vec<Event> = messages.into_iter().map(|message| Event::Message(message.into())).collect();
            prop_assert_eq!(events(&[&sent]), (expected, None));
        }
    }

    fn events(pieces: &[&[u8]]) -> (Vec<Event>, Option<FrameError>) {
        let (mut decoder, mut buffer, mut found) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&mut buffer) {
                    Ok(Some(event)) => found.push(event),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }
}
