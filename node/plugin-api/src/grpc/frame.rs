//! Messages as they follow each other in the body of a request or an answer: a flag, a length, the bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// A flag that says whether the message is compressed, and its length.
const PREFIX: usize = 5;
/// The longest message taken, as gRPC's own libraries have it.
pub(super) const LONGEST: usize = 4 << 20;

/// The message with what precedes it.
pub(super) fn of<M: Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as it must, so nothing can be too long for it.
    let _fits = message.encode(&mut bytes);
    bytes.freeze()
}

/// The next message of what came so far: `None` if it is not all there yet.
pub(super) fn next(came: &mut BytesMut) -> Result<Option<Bytes>, &'static str> {
    let Some(prefix) = came.first_chunk::<PREFIX>() else { return Ok(None) };
    let [flag, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if flag != 0 {
        return Err("it is compressed");
    }
    if length > LONGEST {
        return Err("it is longer than 4 MiB");
    }
    if came.len() < PREFIX + length {
        return Ok(None);
    }
    came.advance(PREFIX);
    Ok(Some(came.split_to(length).freeze()))
}

/// What the bytes say.
pub(super) fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, &'static str> {
    M::decode(bytes).map_err(|_| "its fields cannot be read")
}

/// The one message that is all of this.
pub(super) fn only<M: Message + Default>(bytes: Bytes) -> Result<M, &'static str> {
    let mut bytes = BytesMut::from(bytes);
    let message = next(&mut bytes)?.ok_or("it ends early")?;
    if !bytes.is_empty() {
        return Err("something follows it");
    }
    decode(message)
}
