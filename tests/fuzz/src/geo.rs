//! Databases of places: any bytes are refused or answer any address, and a good one answers every address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use holdfast_dns::Geo;

const GOOD: &[u8] = include_bytes!("../corpus/geo/good");
/// Bytes before the database: one of choice and an address.
const HEAD: usize = 17;

/// A byte that chooses between the good database and the one that follows, an address, and a database.
pub(crate) fn geo(bytes: &[u8]) {
    let Some((head, database)) = bytes.split_first_chunk::<HEAD>() else { return };
    let octets: [u8; 16] = *head.last_chunk().expect("17 bytes end with 16");
    let v4 = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
    let addresses: [IpAddr; 2] = [v4.into(), Ipv6Addr::from(octets).into()];
    if head[0] & 1 == 0 {
        let good = good();
        for address in addresses {
            let place = good.place(address).expect("there is a database");
            assert!(place.length <= 128, "{place:?}");
            assert_eq!(good.place(address), Some(place), "the same address, another place");
        }
    } else if let Ok(found) = Geo::from_bytes(database.to_vec()) {
        for address in addresses {
            assert!(found.place(address).is_some_and(|place| place.length <= 128));
        }
    }
}

/// The committed database.
pub(crate) fn good() -> &'static Geo {
    static DATABASE: OnceLock<Geo> = OnceLock::new();
    DATABASE.get_or_init(|| {
        Geo::from_bytes(GOOD[HEAD..].to_vec()).expect("the committed database is good")
    })
}
