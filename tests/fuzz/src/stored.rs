//! What agents read of each other and of their own disk: any bytes are refused, or mean the same when written again.

use holdfast_wire::codec::{entry, outcome, report, snapshot};

/// The first byte chooses the kind, the rest is the value.
pub(crate) fn stored(bytes: &[u8]) {
    let Some((kind, value)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => {
            let Ok(read) = entry::decode(value) else { return };
            assert_eq!(entry::decode(&entry::encode(&read)).ok(), Some(read));
        }
        1 => {
            let Ok(read) = outcome::decode(value) else { return };
            assert_eq!(outcome::decode(&outcome::encode(&read)).ok(), Some(read));
        }
        2 => {
            let Ok(read) = report::decode(value) else { return };
            assert_eq!(report::decode(&report::encode(&read)).ok(), Some(read));
        }
        _ => {
            let Ok(read) = snapshot::decode(value) else { return };
            assert_eq!(snapshot::decode(&snapshot::encode(&read)).ok(), Some(read));
        }
    }
}
