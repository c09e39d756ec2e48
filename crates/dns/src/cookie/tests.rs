//! The examples of RFC 9018, appendix A, and the bounds of time.

use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_core::Timestamp;

use super::*;

#[derive(Default)]
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed) * 1000 + 999)
    }
}

const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const LAST_SECRET: &str = "dd3bdf9344b678b185a6f5cb60fca715";
const NEXT_SECRET: &str = "445536bcd2513298075a5d379663c962";

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    assert_eq!(hex.len(), 2 * N);
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
}

fn cookie(client: &str, server: Option<&str>) -> Cookie {
    let server =
        server.map_or(ServerCookie::Absent, |server| ServerCookie::Presented(bytes(server)));
    Cookie { client: bytes(client), server }
}

fn judge(secrets: &[&str], at: u64, cookie: Cookie, client: &str) -> (Standing, [u8; 16]) {
    let secrets: Vec<CookieSecret> =
        secrets.iter().map(|secret| secret.parse().expect("a secret")).collect();
    let clock = Arc::new(Set(at.into()));
    let judged = Cookies::new(&secrets, clock).judge(cookie, client.parse().expect("an address"));
    assert_eq!(judged.told[..8], cookie.client, "the client's part comes back");
    (judged.standing, std::array::from_fn(|at| judged.told[8 + at]))
}

#[test]
fn the_examples_of_the_rfc() {
    let client = "2464c4abcf10c957";
    let (at, first) = ("198.51.100.100", "010000005cf79f111f8130c3eee29480");
    let new = judge(&[SECRET], 1_559_731_985, cookie(client, None), at);
    assert_eq!(new, (Standing::New, bytes(first)), "A.1");
    let renewed = judge(&[SECRET], 1_559_734_385, cookie(client, Some(first)), at);
    assert_eq!(renewed, (Standing::Valid, bytes("010000005cf7a871d4a564a1442aca77")), "A.2");
    let reserved = cookie("fc93fc62807ddb86", Some("01abcdef5cf78f71a314227b6679ebf5"));
    let renewed = judge(&[SECRET], 1_559_734_700, reserved, "203.0.113.203");
    assert_eq!(renewed, (Standing::Invalid, bytes("010000005cf7a9acf73a7810aca2381e")), "A.3");
    let earlier = judge(&[SECRET], 1_559_727_985, reserved, "203.0.113.203");
    assert_eq!(
        earlier.0,
        Standing::Valid,
        "A.3, when it was made: reserved bits are hashed as told"
    );
    let old = cookie("22681ab97d52c298", Some("010000005cf7c57926556bd0934c72f8"));
    let at = "2001:db8:220:1:59de:d0f4:8769:82b8";
    let rolled = judge(&[NEXT_SECRET, LAST_SECRET], 1_559_741_961, old, at);
    assert_eq!(rolled, (Standing::Valid, bytes("010000005cf7c609a6bb79d16625507a")), "A.4");
    assert_eq!(judge(&[NEXT_SECRET], 1_559_741_961, old, at).0, Standing::Invalid, "taken out");
}

#[test]
fn a_cookie_is_good_for_one_client_and_one_hour() {
    let made = 2_000_000_000;
    let (client, at) = ("0102030405060708", "192.0.2.1");
    let (_, server) = judge(&[SECRET], made, cookie(client, None), at);
    let presented = Cookie { client: bytes(client), server: ServerCookie::Presented(server) };
    let standing = |now: u64, at: &str| judge(&[SECRET], now, presented, at).0;
    for (now, expected) in [
        (made - 301, Standing::Invalid),
        (made - 300, Standing::Valid),
        (made + 3600, Standing::Valid),
        (made + 3601, Standing::Invalid),
        (made + (1 << 31), Standing::Invalid),
    ] {
        assert_eq!(standing(now, at), expected, "{} s after", now as i64 - made as i64);
    }
    assert_eq!(judge(&[SECRET], made + 1800, presented, at).1, server, "kept for half an hour");
    assert_ne!(judge(&[SECRET], made + 1801, presented, at).1, server, "then renewed");
    assert_eq!(standing(made, "192.0.2.2"), Standing::Invalid, "another address");
    let mut other = presented;
    other.client[0] ^= 1;
    assert_eq!(judge(&[SECRET], made, other, at).0, Standing::Invalid, "another client cookie");
    for place in 0..16 {
        let mut damaged = server;
        damaged[place] ^= 0x40;
        let damaged = Cookie { server: ServerCookie::Presented(damaged), ..presented };
        assert_eq!(judge(&[SECRET], made, damaged, at).0, Standing::Invalid, "byte {place}");
    }
    let foreign = Cookie { server: ServerCookie::Foreign, ..presented };
    assert_eq!(judge(&[SECRET], made, foreign, at).0, Standing::Invalid, "of another length");
}

#[test]
fn the_clock_may_pass_32_bits() {
    let made = u64::from(u32::MAX) - 10;
    let (client, at) = ("0102030405060708", "2001:db8::1");
    let (_, server) = judge(&[SECRET], made, cookie(client, None), at);
    let presented = Cookie { client: bytes(client), server: ServerCookie::Presented(server) };
    assert_eq!(judge(&[SECRET], made + 60, presented, at).0, Standing::Valid);
}

#[test]
fn secrets_are_32_hexadecimal_digits_and_are_not_printed() {
    for text in ["", "12", "+5e973e5a6b2a43f48e7dc849e37bfcf", &"0".repeat(33), &"g".repeat(32)] {
        assert_eq!(text.parse::<CookieSecret>(), Err(CookieSecretError), "{text:?}");
    }
    let secret: CookieSecret = SECRET.parse().expect("a secret");
    assert!(!format!("{secret:?}").contains("e5"));
}
