//! Bytes of messages: numbers and texts, each aligned to its own size.

/// Bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came over the bus is no message: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// Takes bytes apart.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl<'a> Reader<'a> {
    /// Of all these bytes, whose numbers begin with the most significant byte if `big`.
    pub(crate) fn new(bytes: &'a [u8], big: bool) -> Self {
        Self { bytes, at: 0, big }
    }

    /// Where it is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at a multiple of `size`.
    pub(crate) fn align(&mut self, size: usize) -> Result<(), Malformed> {
        let next = self.at.next_multiple_of(size);
        self.take(next - self.at).map(drop)
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed("a length is too large"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed("it ends too early"))?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.number().map(if self.big { u16::from_be_bytes } else { u16::from_le_bytes })
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.number().map(if self.big { u32::from_be_bytes } else { u32::from_le_bytes })
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.number().map(if self.big { u64::from_be_bytes } else { u64::from_le_bytes })
    }

    fn number<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Malformed> {
        self.align(SIZE)?;
        self.take(SIZE).map(|bytes| bytes.try_into().expect("as many were taken"))
    }

    /// A length, and the number it counts.
    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        self.u32().map(|length| length as usize)
    }

    /// A text or the path of an object.
    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let length = self.length()?;
        self.ended(length)
    }

    /// Which types follow.
    pub(crate) fn signature(&mut self) -> Result<String, Malformed> {
        let length = self.byte()?.into();
        self.ended(length)
    }

    fn ended(&mut self, length: usize) -> Result<String, Malformed> {
        let text = self.take(length)?;
        if self.byte()? != 0 {
            return Err(Malformed("a text does not end with zero"));
        }
        String::from_utf8(text.to_vec()).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

/// Puts bytes together, the least significant of a number first.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn align(&mut self, size: usize) {
        self.0.resize(self.0.len().next_multiple_of(size), 0);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_le_bytes());
    }

    /// Lengths of what is written here fit: nobody says that much.
    pub(crate) fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub(crate) fn signature(&mut self, signature: &str) {
        self.0.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }
}
