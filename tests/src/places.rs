//! Databases of places made here, in MaxMind's format 2.0: IPv4 networks and their countries, and nothing else.

/// A database of networks that do not lie in one another, each in the country of this code.
pub fn database(networks: &[([u8; 4], u8, &str)]) -> Vec<u8> {
    let mut tree = Tree { nodes: vec![[Branch::Nowhere; 2]] };
    let mut data = Vec::new();
    for (address, length, country) in networks {
        tree.insert(u32::from_be_bytes(*address), *length, data.len());
        data.extend(map(&[("country", map(&[("iso_code", text(country))]))]));
    }
    let mut file = tree.encoded();
    file.extend_from_slice(&[0; 16]);
    file.extend(data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("node_count", number(tree.nodes.len())),
        ("record_size", short(24)),
        ("ip_version", short(4)),
        ("database_type", text("Test")),
        ("languages", vec![control(0, 0), 11 - 7]),
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", long(1_700_000_000)),
        ("description", map(&[("en", text("made by a test"))])),
    ]));
    file
}

/// Where a branch of the tree leads.
#[derive(Clone, Copy)]
enum Branch {
    Nowhere,
    Node(usize),
    Data(usize),
}

/// A node for each bit of a network.
struct Tree {
    nodes: Vec<[Branch; 2]>,
}

impl Tree {
    fn insert(&mut self, bits: u32, length: u8, offset: usize) {
        let side = |depth: u8| (bits >> (31 - depth) & 1) as usize;
        let mut at = 0;
        for depth in 0..length - 1 {
            at = match self.nodes[at][side(depth)] {
                Branch::Node(next) => next,
                Branch::Nowhere | Branch::Data(_) => {
                    self.nodes.push([Branch::Nowhere; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[at][side(depth)] = Branch::Node(next);
                    next
                }
            };
        }
        self.nodes[at][side(length - 1)] = Branch::Data(offset);
    }

    /// Records of 24 bits: a node, nothing, or a place in the data, 16 bytes of separator included.
    fn encoded(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let record = |branch: &Branch| match branch {
            Branch::Nowhere => count,
            Branch::Node(node) => *node,
            Branch::Data(offset) => count + 16 + offset,
        };
        let records = self.nodes.iter().flatten().map(record);
        records.flat_map(|record| (record as u32).to_be_bytes().into_iter().skip(1)).collect()
    }
}

/// Less than 29 bytes or entries need no more than this byte.
fn control(kind: u8, size: usize) -> u8 {
    kind << 5 | size as u8
}

fn text(text: &str) -> Vec<u8> {
    [&[control(2, text.len())], text.as_bytes()].concat()
}

/// An unsigned number of 16 bits.
fn short(number: u16) -> Vec<u8> {
    [&[control(5, 2)][..], &number.to_be_bytes()].concat()
}

/// An unsigned number of 64 bits, one of the kinds from 8 on, which take a byte more.
fn long(number: u64) -> Vec<u8> {
    [&[control(0, 8), 9 - 7][..], &number.to_be_bytes()].concat()
}

/// An unsigned number of 32 bits.
fn number(number: usize) -> Vec<u8> {
    [&[control(6, 4)][..], &(number as u32).to_be_bytes()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, Vec<u8>)| [text(key), value.clone()].concat();
    let entries_encoded = entries.iter().flat_map(entry);
    std::iter::once(control(7, entries.len())).chain(entries_encoded).collect()
}
