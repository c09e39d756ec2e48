//! A place in a message, and the steps over what stands there.
//!
//! Invariant: whatever the bytes are, a step stays within the message, or there is none (`None`), and every step leads on.
//!
//! What it deliberately does not do: follow the pointers of compressed names; where a name is needed from there, hickory
//! reads it.

use crate::limits::MAX_NAME;

/// A place in a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(message: &'a [u8], at: usize) -> Self {
        Self { message, at }
    }

    /// How many bytes stand before it.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn message(&self) -> &'a [u8] {
        self.message
    }

    /// Whether nothing stands behind it.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.message.len()
    }

    /// The byte that stands there.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.message.get(self.at).copied()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    /// A name that is not compressed, as it is written.
    pub(crate) fn plain_name(&mut self) -> Option<&'a [u8]> {
        let begin = self.at;
        loop {
            match usize::from(*self.take(1)?.first()?) {
                0 => break,
                length @ 1..=63 => self.take(length).map(drop)?,
                _ => return None,
            }
        }
        self.message.get(begin..self.at).filter(|name| name.len() <= MAX_NAME)
    }

    /// Steps over a name that may end in a pointer (RFC 1035, 4.1.4).
    pub(crate) fn skip_name(&mut self) -> Option<()> {
        let begin = self.at;
        loop {
            match usize::from(*self.take(1)?.first()?) {
                0 => return (self.at - begin <= MAX_NAME).then_some(()),
                length @ 1..=63 => self.take(length).map(drop)?,
                0xc0.. => return self.take(1).map(drop),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stepped_over_as_far_as_they_are_names() {
        let long = [&[1, b'a'].repeat(127)[..], &[0]].concat();
        let too_long = [&[1, b'a'].repeat(128)[..], &[0]].concat();
        for (bytes, plain, any) in [
            (&b"\0rest"[..], Some(1), Some(1)),
            (b"\x01a\x02bc\0rest", Some(6), Some(6)),
            (b"\x01a\xc0\x0crest", None, Some(4)),
            (b"\x01a\xc0", None, None),
            (b"\x01a\x40rest", None, None),
            (b"\x01a", None, None),
            (b"\x05a", None, None),
            (b"", None, None),
            (&long, Some(255), Some(255)),
            (&too_long, None, None),
        ] {
            let mut cursor = Cursor::new(bytes, 0);
            assert_eq!(cursor.plain_name(), plain.map(|end| &bytes[..end]), "{bytes:?}");
            let mut cursor = Cursor::new(bytes, 0);
            assert_eq!(cursor.skip_name().map(|()| cursor.at()), any, "{bytes:?}");
        }
    }
}
