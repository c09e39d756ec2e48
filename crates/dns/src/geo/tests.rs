//! Databases made here, byte by byte (MaxMind DB format 2.0): no licence, and every case that a lookup can meet.

use std::net::Ipv4Addr;

use tempfile::TempDir;

use super::*;

/// A value of the format.
enum Value {
    Text(&'static str),
    Number(u32),
    Short(u16),
    Long(u64),
    Double(f64),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

use Value::{Double, List, Long, Map, Number, Short, Text};

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        // All sizes here are below 29, which need no more bytes.
        let control = |kind: u8, size: usize| kind << 5 | size as u8;
        match self {
            Text(text) => {
                out.push(control(2, text.len()));
                out.extend_from_slice(text.as_bytes());
            }
            Double(number) => {
                out.push(control(3, 8));
                out.extend_from_slice(&number.to_be_bytes());
            }
            Short(number) => {
                out.push(control(5, 2));
                out.extend_from_slice(&number.to_be_bytes());
            }
            Number(number) => {
                out.push(control(6, 4));
                out.extend_from_slice(&number.to_be_bytes());
            }
            Long(number) => {
                out.extend_from_slice(&[control(0, 8), 9 - 7]);
                out.extend_from_slice(&number.to_be_bytes());
            }
            List(values) => {
                out.extend_from_slice(&[control(0, values.len()), 11 - 7]);
                values.iter().for_each(|value| value.write(out));
            }
            Map(entries) => {
                out.push(control(7, entries.len()));
                for (key, value) in entries {
                    Text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// Where a branch of the tree leads.
#[derive(Clone, Copy)]
enum Branch {
    Nowhere,
    Node(usize),
    Data(usize),
}

/// A database of IPv4 networks that do not lie in one another.
fn database(entries: &[([u8; 4], u8, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Branch::Nowhere; 2]];
    let mut data = Vec::new();
    for (address, length, value) in entries {
        let bits = u32::from_be_bytes(*address);
        let mut at = 0;
        for depth in 0..*length {
            let side = (bits >> (31 - depth) & 1) as usize;
            if depth + 1 == *length {
                nodes[at][side] = Branch::Data(data.len());
            } else if let Branch::Node(next) = nodes[at][side] {
                at = next;
            } else {
                nodes.push([Branch::Nowhere; 2]);
                nodes[at][side] = Branch::Node(nodes.len() - 1);
                at = nodes.len() - 1;
            }
        }
        value.write(&mut data);
    }
    let mut file = Vec::new();
    for branch in nodes.iter().flatten() {
        let record = match branch {
            Branch::Nowhere => nodes.len(),
            Branch::Node(node) => *node,
            Branch::Data(offset) => nodes.len() + 16 + offset,
        };
        file.extend_from_slice(&(record as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend(data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    Map(vec![
        ("node_count", Number(nodes.len() as u32)),
        ("record_size", Short(24)),
        ("ip_version", Short(4)),
        ("database_type", Text("Test")),
        ("languages", List(vec![Text("en")])),
        ("binary_format_major_version", Short(2)),
        ("binary_format_minor_version", Short(0)),
        ("build_epoch", Long(1_700_000_000)),
        ("description", Map(vec![("en", Text("made by a test"))])),
    ])
    .write(&mut file);
    file
}

fn city(
    continent: &'static str,
    country: &'static str,
    part: &'static str,
    at: (f64, f64),
) -> Value {
    Map(vec![
        ("continent", Map(vec![("code", Text(continent)), ("geoname_id", Number(1))])),
        ("country", Map(vec![("iso_code", Text(country))])),
        ("location", Map(vec![("latitude", Double(at.0)), ("longitude", Double(at.1))])),
        ("subdivisions", List(vec![Map(vec![("iso_code", Text(part))]), Map(vec![])])),
    ])
}

fn cities() -> Vec<u8> {
    database(&[
        ([192, 0, 2, 0], 24, city("EU", "DE", "BE", (52.517, 13.404))),
        ([198, 51, 0, 0], 16, Map(vec![("country", Map(vec![("iso_code", Text("US"))]))])),
    ])
}

fn place(geo: &Geo, address: [u8; 4]) -> Place {
    geo.place(Ipv4Addr::from(address).into()).expect("there is a database")
}

fn code(text: &str) -> Option<Code> {
    Some(Code::new(text).expect("a code"))
}

fn loaded(directory: &TempDir, files: &[(&str, &[u8])]) -> Result<Geo, GeoError> {
    let write = |(name, bytes): &(&str, &[u8])| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    Geo::load(&GeoConfig { databases: files.iter().map(write).collect() })
}

#[test]
fn a_place_is_what_the_databases_know_of_the_smallest_network() {
    let directory = TempDir::new().expect("a directory");
    let number = Map(vec![("autonomous_system_number", Number(64_500))]);
    let numbers = database(&[([192, 0, 2, 64], 26, number)]);
    let files: [(&str, &[u8]); 2] = [("city.mmdb", &cities()), ("asn.mmdb", &numbers)];
    let geo = loaded(&directory, &files).expect("both are good");
    let berlin = Place {
        continent: code("EU"),
        country: code("DE"),
        subdivision: code("BE"),
        coordinates: Some((5252, 1340)),
        asn: Some(64_500),
        length: 26,
    };
    assert_eq!(place(&geo, [192, 0, 2, 65]), berlin);
    assert_eq!(place(&geo, [192, 0, 2, 1]), Place { asn: None, ..berlin });
    let us = place(&geo, [198, 51, 7, 1]);
    assert_eq!((us.country, us.coordinates, us.length), (code("US"), None, 16));
    let nowhere = place(&geo, [10, 0, 0, 1]);
    assert_eq!(nowhere.country, None);
    assert!(nowhere.length >= 1, "the rest of the address space is a network too: {nowhere:?}");
    assert_eq!(Geo::default().place(IpAddr::from([192, 0, 2, 1])), None);
}

#[test]
fn a_new_file_is_taken_at_once_and_a_broken_one_is_not() {
    let directory = TempDir::new().expect("a directory");
    let geo = loaded(&directory, &[("city.mmdb", &cities())]).expect("it is good");
    let path = directory.path().join("city.mmdb");
    let france = database(&[([192, 0, 2, 0], 24, city("EU", "FR", "IDF", (48.9, 2.4)))]);
    let replace = |bytes: &[u8]| {
        let beside = directory.path().join("new");
        fs::write(&beside, bytes).expect("written");
        fs::rename(&beside, &path).expect("replaced");
    };
    replace(&france);
    assert!(geo.refresh().is_empty());
    assert_eq!(place(&geo, [192, 0, 2, 1]).country, code("FR"));
    for broken in [&b"no database"[..], &france[..france.len() / 2], b""] {
        replace(broken);
        let errors = geo.refresh();
        assert!(matches!(errors[..], [GeoError::Damaged { .. }]), "{errors:?}");
        assert_eq!(place(&geo, [192, 0, 2, 1]).country, code("FR"));
    }
    fs::remove_file(&path).expect("removed");
    assert!(matches!(geo.refresh()[..], [GeoError::Io { .. }]));
    assert_eq!(place(&geo, [192, 0, 2, 1]).country, code("FR"));
    replace(&cities());
    assert!(geo.refresh().is_empty());
    assert_eq!(place(&geo, [192, 0, 2, 1]).country, code("DE"));
}

#[test]
fn a_start_with_a_broken_database_says_so() {
    let directory = TempDir::new().expect("a directory");
    let error = loaded(&directory, &[("city.mmdb", b"x")]).expect_err("it is no database");
    assert!(error.to_string().contains("city.mmdb is no MaxMind database"), "{error}");
    let absent = GeoConfig { databases: vec![directory.path().join("absent")] };
    assert!(matches!(Geo::load(&absent), Err(GeoError::Io { .. })));
}
