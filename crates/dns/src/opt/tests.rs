//! Options by their bytes: what is read, and what is FORMERR.

use proptest::prelude::*;

use super::*;

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short");
    [&code.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
}

fn parse(data: &[u8]) -> Option<Options> {
    Options::parse(data, Transport::Tcp)
}

#[test]
fn options_must_fill_the_record() {
    assert_eq!(parse(&[]), Some(Options::default()));
    assert_eq!(parse(&option(65_001, &[1, 2, 3])), Some(Options::default()), "unknown");
    for cut in [&[0][..], &[0, 3, 0], &[0, 3, 0, 1], &[0xff, 0xff, 0xff, 0xff, 0]] {
        assert_eq!(parse(cut), None, "{cut:?}");
    }
    let both = [option(number::NSID, &[]), option(number::PADDING, &[0; 9])].concat();
    let options = parse(&both).expect("well-formed");
    assert!(options.nsid && options.padding && !options.keepalive);
}

#[test]
fn cookies_have_the_lengths_of_the_rfc() {
    for length in 0..48u8 {
        let data: Vec<u8> = (0..length).collect();
        let server = parse(&option(number::COOKIE, &data)).map(|options| {
            let cookie = options.cookie.expect("there is one");
            assert_eq!(cookie.client, [0, 1, 2, 3, 4, 5, 6, 7]);
            cookie.server
        });
        let expected = match length {
            8 => Some(ServerCookie::Absent),
            24 => Some(ServerCookie::Presented(std::array::from_fn(|at| at as u8 + 8))),
            16..=40 => Some(ServerCookie::Foreign),
            _ => None,
        };
        assert_eq!(server, expected, "{length} bytes");
    }
    let twice = [option(number::COOKIE, &[1; 8]), option(number::COOKIE, &[2; 8])].concat();
    assert_eq!(parse(&twice).and_then(|options| options.cookie).map(|it| it.client), Some([1; 8]));
}

#[test]
fn subnets_are_exact() {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0x12];
    let cases: [(&str, &[u8], Option<&str>); 14] = [
        ("a /24", &[0, 1, 24, 0, 192, 0, 2], Some("192.0.2.0")),
        ("a /20", &[0, 1, 20, 0, 192, 0, 0xf0], Some("192.0.240.0")),
        ("a /32", &[0, 1, 32, 0, 192, 0, 2, 1], Some("192.0.2.1")),
        ("a /0", &[0, 1, 0, 0], Some("0.0.0.0")),
        ("a /56", &[&[0, 2, 56, 0], &v6[..]].concat(), Some("2001:db8:0:1200::")),
        ("no family", &[0, 0, 0, 0], None),
        ("no family with a prefix", &[0, 0, 8, 0, 10], Some("FORMERR")),
        ("an unknown family", &[0, 3, 0, 0], Some("FORMERR")),
        ("a family of 16 bits", &[1, 1, 0, 0], Some("FORMERR")),
        ("a scope", &[0, 1, 24, 24, 192, 0, 2], Some("FORMERR")),
        ("too few bytes", &[0, 1, 24, 0, 192, 0], Some("FORMERR")),
        ("too many bytes", &[0, 1, 24, 0, 192, 0, 2, 0], Some("FORMERR")),
        ("bits beyond the prefix", &[0, 1, 20, 0, 192, 0, 0xf8], Some("FORMERR")),
        ("a prefix of 33", &[0, 1, 33, 0, 192, 0, 2, 1, 0], Some("FORMERR")),
    ];
    for (what, data, expected) in cases {
        let told = parse(&option(number::SUBNET, data)).map(|options| options.subnet);
        let address = match told {
            None => Some("FORMERR".to_owned()),
            Some(subnet) => subnet.map(|subnet| {
                assert_eq!((&data[4..], data[2]), (subnet.told(), subnet.source), "{what}");
                subnet.address().to_string()
            }),
        };
        assert_eq!(address.as_deref(), expected, "{what}");
    }
}

#[test]
fn keepalive_is_empty_and_of_streams() {
    let empty = option(number::KEEPALIVE, &[]);
    assert!(parse(&empty).expect("well-formed").keepalive);
    assert_eq!(parse(&option(number::KEEPALIVE, &[0, 1])), None);
    for data in [&[][..], &[0, 1]] {
        let over_udp = Options::parse(&option(number::KEEPALIVE, data), Transport::Udp);
        assert_eq!(over_udp, Some(Options::default()), "ignored over UDP");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        known in prop::collection::vec((prop::sample::select(vec![3u16, 8, 10, 11, 12, 15, 99]),
            prop::collection::vec(any::<u8>(), 0..48)), 0..5),
        tail in prop::collection::vec(any::<u8>(), 0..5),
        stream: bool,
    ) {
        let mut data: Vec<u8> = known.iter().flat_map(|(code, data)| option(*code, data)).collect();
        data.extend(&tail);
        let transport = if stream { Transport::Tcp } else { Transport::Udp };
        if let Some(options) = Options::parse(&data, transport) {
            prop_assert!(tail.is_empty() || tail == [0; 4] || tail.len() >= 4);
            prop_assert_eq!(options.nsid, known.iter().any(|(code, _)| *code == 3) || tail.starts_with(&[0, 3]));
            prop_assert!(stream || !options.keepalive);
        }
    }
}
