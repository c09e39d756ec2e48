//! The canonical form of data whose names stand in full (RFC 4034, 6.2; RFC 6840, 5.1).
//!
//! Types that the group knows by their parts hold names in lower case already. Others are held as they came, by UPDATE,
//! from a primary or as `\#`, and validators put the names of some of them into lower case before they verify. Data that
//! are not what their type says are left as they stand from there on: nothing is refused here.

/// Types whose data have names after so many bytes, and how many names: MD, MF, MB, MG, MR, MINFO, RP, AFSDB, RT, SIG,
/// PX, NXT, KX. NAPTR has its name behind strings, A6 behind as much of an address as is not the prefix's.
const NAMED: [(u16, usize, usize); 13] = [
    (3, 0, 1),
    (4, 0, 1),
    (7, 0, 1),
    (8, 0, 1),
    (9, 0, 1),
    (14, 0, 2),
    (17, 0, 2),
    (18, 2, 1),
    (21, 2, 1),
    (24, 18, 1),
    (26, 2, 2),
    (30, 0, 1),
    (36, 2, 1),
];
const NAPTR: u16 = 35;
/// Order and preference come first, then flags, services and a regular expression (RFC 3403, 4.1).
const NAPTR_NUMBERS: usize = 4;
const NAPTR_STRINGS: usize = 3;
const A6: u16 = 38;
/// The bits of an address, of which a prefix has some (RFC 2874, 3.1).
const A6_BITS: usize = 128;

/// Puts the names in a record's data into lower case where its type asks for that.
pub(super) fn lower_names(kind: u16, data: &mut [u8]) {
    let named = match kind {
        NAPTR => behind_strings(data).map(|at| (at, 1)),
        A6 => behind_suffix(data).map(|at| (at, 1)),
        _ => NAMED.iter().find(|(named, ..)| *named == kind).map(|(_, at, names)| (*at, *names)),
    };
    let Some((mut at, names)) = named else { return };
    for _ in 0..names {
        let Some(end) = name_end(data, at) else { return };
        // Length bytes are at most 63 and so no letters.
        data[at..end].make_ascii_lowercase();
        at = end;
    }
}

fn behind_strings(data: &[u8]) -> Option<usize> {
    (0..NAPTR_STRINGS)
        .try_fold(NAPTR_NUMBERS, |at, _| data.get(at).map(|length| at + 1 + usize::from(*length)))
}

/// Where the name of an A6 record's prefix begins; a prefix of no bits has none.
fn behind_suffix(data: &[u8]) -> Option<usize> {
    let prefix = data.first().copied().map(usize::from)?;
    (1..=A6_BITS).contains(&prefix).then(|| 1 + (A6_BITS - prefix).div_ceil(8))
}

/// Where a name in full ends, which begins here; `None` where none does.
fn name_end(data: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*data.get(at).filter(|length| **length < 64)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        lower_names(kind, &mut data);
        data
    }

    #[test]
    fn names_and_nothing_else_are_put_into_lower_case() {
        assert_eq!(lowered(17, b"\x01A\x01B\0\x01C\0"), b"\x01a\x01b\0\x01c\0");
        assert_eq!(lowered(18, b"AB\x01C\0"), b"AB\x01c\0");
        assert_eq!(lowered(26, b"AB\x01C\0\x01D\0"), b"AB\x01c\0\x01d\0");
        assert_eq!(lowered(35, b"ABCD\x01E\0\x02FG\x01H\0"), b"ABCD\x01E\0\x02FG\x01h\0");
        assert_eq!(lowered(24, b"ABCDEFGHIJKLMNOPQR\x01S\0TU"), b"ABCDEFGHIJKLMNOPQR\x01s\0TU");
        assert_eq!(lowered(16, b"\x01A\0"), b"\x01A\0", "TXT has none");
        assert_eq!(lowered(38, b"\x80\x01A\0"), b"\x80\x01a\0", "a prefix of all 128 bits");
        assert_eq!(lowered(38, b"\x71AB\x01C\0"), b"\x71AB\x01c\0", "of 113, so 15 are left");
        let short = b"\x01ABCDEFGHIJKLMNOP\x01A\0";
        assert_eq!(lowered(38, short), b"\x01ABCDEFGHIJKLMNOP\x01a\0", "of one, so 127 are left");
        let none = b"\0ABCDEFGHIJKLMNOP\x01A\0";
        assert_eq!(lowered(38, none), none, "without a prefix there is no name");
        assert_eq!(lowered(38, b"\x81\x01A\0"), b"\x81\x01A\0", "a prefix beyond an address");
    }

    #[test]
    fn data_that_are_not_of_their_type_stay_as_they_are() {
        for kind in [17, 18, 24, 26, 35, 36, 38] {
            for data in
                [&b""[..], b"A", b"AB\x05CD", b"ABCD\x01E\x01F", b"AB\xc0\x0c", &[b'A'; 300]]
            {
                assert_eq!(lowered(kind, data), data, "{kind}");
            }
        }
    }
}
