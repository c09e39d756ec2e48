use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::*;
use crate::spec::{Kind, RecordData};

fn origin() -> DnsName {
    DnsName::new("example.test").expect("a name")
}

fn read(kind: &str, text: &str) -> Result<RecordData, String> {
    parse_data(kind.parse()?, text, Some(&origin()), &NoOtherTypes)
}

/// What is read, and how it is told; each is read again as the same.
fn check(kind: &str, text: &str, told: &str) {
    let data = read(kind, text).unwrap_or_else(|problem| panic!("{kind} {text}: {problem}"));
    assert_eq!(data.to_string(), told, "{kind} {text}");
    assert_eq!(read(&data.kind().to_string(), told).as_ref(), Ok(&data), "{kind} {told}");
}

#[test]
fn data_are_told_as_they_are_read_again() {
    for (kind, text, told) in [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("aaaa", "2001:DB8::1", "2001:db8::1"),
        ("CNAME", "www", "www.example.test."),
        ("CNAME", "@", "example.test."),
        ("NS", "NS.Example.NET.", "ns.example.net."),
        ("PTR", "host", "host.example.test."),
        ("MX", "10 mail", "10 mail.example.test."),
        ("MX", "0 .", "0 ."),
        ("SRV", "1 2 443 a.b.", "1 2 443 a.b."),
        ("SRV", "0 0 0 .", "0 0 0 ."),
        ("DNAME", "other.", "other."),
        ("ALIAS", "shop", "shop.example.test."),
        ("TXT", "one \"two words\" \"\"", "\"one\" \"two words\" \"\""),
        ("TXT", "\"a\\\"b\\\\c\\200\" \\; x\\032y", "\"a\\\"b\\\\c\\200\" \";\" \"x y\""),
        ("CAA", "0 issue \"ca.example; policy=ev\"", "0 issue \"ca.example; policy=ev\""),
        ("CAA", "128 iodef mailto:a@b", "128 iodef \"mailto:a@b\""),
        ("DS", "60485 5 1 2BB183AF 5F22", "60485 5 1 2BB183AF5F22"),
        ("TYPE52", "\\# 4 0301 01ff", "\\# 4 030101FF"),
        ("TYPE65280", "\\# 0", "\\# 0"),
        ("TYPE1", "\\# 4 c0000201", "192.0.2.1"),
    ] {
        check(kind, text, told);
    }
}

/// RFC 9460, appendix D.
#[test]
fn bindings_follow_the_vectors_of_the_rfc() {
    for (text, told) in [
        ("0 foo.example.com.", "0 foo.example.com."),
        ("1 .", "1 ."),
        ("16 foo.example.com. port=53", "16 foo.example.com. port=53"),
        ("1 foo.example.com. key667=hello", "1 foo.example.com. key667=\"hello\""),
        (
            "1 foo.example.com. key667=\"hello\\210qoo\"",
            "1 foo.example.com. key667=\"hello\\210qoo\"",
        ),
        (
            "1 foo.example.com. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
            "1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1",
        ),
        (
            "16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
            "16 foo.example.org. mandatory=alpn,ipv4hint alpn=\"h2,h3-19\" ipv4hint=192.0.2.1",
        ),
        (
            r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#,
            r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#,
        ),
        (
            r"16 foo.example.org. alpn=f\\\092oo\092,bar,h2",
            r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#,
        ),
        ("1 . alpn=h2 no-default-alpn ech=AEX+", "1 . alpn=\"h2\" no-default-alpn ech=\"AEX+\""),
    ] {
        check("SVCB", text, told);
        check("HTTPS", text, told);
    }
    for wrong in [
        "1 foo.example.com. key123=abc key123=def",
        "1 foo.example.com. mandatory",
        "1 foo.example.com. alpn",
        "1 foo.example.com. port",
        "1 foo.example.com. ipv4hint",
        "1 foo.example.com. ipv6hint",
        "1 foo.example.com. no-default-alpn=abc",
        "1 foo.example.com. mandatory=key123",
        "1 foo.example.com. mandatory=mandatory",
        "1 foo.example.com. mandatory=key123,key123 key123=abc",
        "1 foo.example.com. no-default-alpn",
        "0 foo.example.com. port=1",
        "1 . key65535=x",
        "1 . key0004=x",
    ] {
        assert!(read("SVCB", wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (kind, text, part) in [
        ("A", "192.0.2", "IPv4"),
        ("A", "192.0.2.1 192.0.2.2", "more than"),
        ("A", "", "missing"),
        ("MX", "mail", "preference"),
        ("MX", "+10 mail", "preference"),
        ("MX", "10", "missing"),
        ("CNAME", "a\\.b.test.", "escaped"),
        ("CNAME", "a..b.", "label"),
        ("TXT", "", "one or more"),
        ("TXT", "\"open", "not closed"),
        ("TXT", "\\256", "more than a byte"),
        ("TXT", "\\25", "three digits"),
        ("TXT", "a\nb", "one line"),
        ("CAA", "0 is-sue x", "tag"),
        ("DS", "1 2 3 0", "hexadecimal"),
        ("TYPE52", "\\# 3 00", "announces 3"),
        ("TLSA", "3 1 1 00", "RFC 3597"),
        ("MX", "\\# 1 00", "own form"),
        ("TYPE255", "\\# 0", "questions"),
        ("RRSIG", "\\# 0", "signing"),
        ("NONSENSE", "x", "record type"),
    ] {
        let problem = read(kind, text).expect_err(text);
        assert!(problem.contains(part), "{kind} {text:?}: {problem}");
    }
}

#[test]
fn types_are_known_by_name_and_number() {
    for number in 0..=u16::MAX {
        let kind = Kind(number);
        assert_eq!(kind.to_string().parse(), Ok(kind));
        assert_eq!(format!("type{number}").parse(), Ok(kind));
    }
    for wrong in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "type1x", "é", "TYPé"] {
        assert!(wrong.parse::<Kind>().is_err(), "{wrong}");
    }
}

#[test]
fn any_bytes_stand_in_a_text() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(unescaped(escaped(&bytes).as_bytes()), Ok(bytes.clone()));
    let data = RecordData::Txt(bytes.chunks(255).map(<[u8]>::to_vec).collect());
    check("TXT", &data.to_string(), &data.to_string());
    assert!(data.to_string().is_ascii());
}

const FILE: &str = r#"
$ORIGIN example.test.
$TTL 1h
@       IN SOA ns1 hostmaster (
            2026010101 ; serial
            1h 10m     ; refresh and retry
            2w 60 )    ; expire and minimum
        NS   ns2
        NS   ns1
ns1     A    192.0.2.53
ns2     A    192.0.2.54
        AAAA 2001:db8::54
@   300 IN   MX 10 mail
mail IN 300  A 192.0.2.25
dkim TXT ( "v=DKIM1; k=rsa; "
           "p=MIGf" )   ; a comment with ( and "
$ORIGIN sub
@       NS   ns
ns      A    192.0.2.60
host.example.test. 2d CAA 0 issue ";"
"#;

fn file(text: &[u8]) -> Result<ZoneFile, Fault> {
    parse_zone_file(text, &origin(), &NoOtherTypes)
}

#[test]
fn a_zone_file_is_read_as_other_servers_read_it() {
    let (zone, notes) = file(FILE.as_bytes()).expect("right").into_zone(&origin()).expect("whole");
    assert_eq!(zone.validate(), Ok(()));
    assert_eq!(notes, ["TTLs of more than a day were cut to one day"]);
    assert_eq!(
        write_zone_file(&zone, 7),
        r#"example.test. 3600 IN SOA ns1.example.test. hostmaster.example.test. 7 3600 600 1209600 60
example.test. 3600 IN NS ns1.example.test.
example.test. 3600 IN NS ns2.example.test.
ns1.example.test. 3600 IN A 192.0.2.53
ns2.example.test. 3600 IN A 192.0.2.54
ns2.example.test. 3600 IN AAAA 2001:db8::54
example.test. 300 IN MX 10 mail.example.test.
mail.example.test. 300 IN A 192.0.2.25
dkim.example.test. 3600 IN TXT "v=DKIM1; k=rsa; " "p=MIGf"
sub.example.test. 3600 IN NS ns.sub.example.test.
ns.sub.example.test. 3600 IN A 192.0.2.60
host.example.test. 86400 IN CAA 0 issue ";"
"#
    );
    let told = write_zone_file(&zone, 7);
    let (again, _) = file(told.as_bytes()).expect("right").into_zone(&origin()).expect("whole");
    assert_eq!(again, zone);
}

#[test]
fn a_fault_of_a_file_names_its_line() {
    for (text, line, part) in [
        ("\n\n@ A 192.0.2.1", 3, "no TTL"),
        ("$TTL x", 1, "$TTL"),
        ("$INCLUDE /etc/passwd", 1, "not followed"),
        ("$GENERATE 1-10 a A 192.0.2.$", 1, "not known"),
        (" A 192.0.2.1", 1, "owner"),
        ("@ 60 CH TXT x", 1, "class IN"),
        ("@ 60 IN", 1, "type"),
        ("@ 60 NONSENSE x", 1, "record type"),
        ("@ 60 A 192.0.2.1\nother. 60 A 192.0.2.1", 2, "outside"),
        ("@ 60 TXT (\n\n", 1, "not closed"),
        ("@ 60 TXT )", 1, "closes"),
        ("@ 60 SOA a b 1 2 3 4", 1, "serial"),
        ("@ 60 SOA a b 1 2 3 4 5\n@ 60 SOA a b 1 2 3 4 5", 2, "one SOA"),
        ("a 60 SOA a b 1 2 3 4 5", 1, "one SOA"),
        ("@ 60 SOA a first\\.last 1 2 3 4 5", 1, "escaped"),
        ("@ 99999999999999999999 A 192.0.2.1", 1, "TTL"),
    ] {
        let fault = file(text.as_bytes()).expect_err(text);
        assert!(fault.line == line && fault.problem.contains(part), "{text:?}: {fault}");
    }
    assert!(file(b"").expect("empty").into_zone(&origin()).is_err(), "there is no SOA");
}

proptest::proptest! {
    #[test]
    fn no_bytes_do_harm(bytes: Vec<u8>, at in 0usize..900, cut in 0usize..900) {
        let _ = file(&bytes);
        let mut damaged = FILE.as_bytes().to_vec();
        let at = at.min(damaged.len());
        damaged.splice(at..(at + bytes.len()).min(damaged.len()), bytes);
        damaged.truncate(cut);
        if let Ok(read) = file(&damaged) {
            let _ = read.into_zone(&origin());
        }
    }
}
