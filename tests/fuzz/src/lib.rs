//! What must hold for any bytes that somebody sends us: one function a target, which panics where it does not.
//!
//! ```text
//! tests/fuzz/run query ─▶ libFuzzer, instrumented ─┐
//!                                                  ├─▶ target(bytes)
//! cargo test -p holdfast-fuzz ─▶ corpus/query/* ───┘
//! ```
//!
//! A target keeps nothing between two inputs that its verdict depends on, so that a finding is one file. What was found
//! once is committed to the corpus and holds from then on in every test run.

mod copy;
mod declared;
mod geo;
mod query;
mod stored;
mod transfer;
mod tsig;
mod update;
mod view;
mod zone_file;

/// A property over arbitrary bytes.
pub type Target = fn(&[u8]);

/// All targets, by the name of their folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("edns", query::edns),
    ("geo", geo::geo),
    ("query", query::query),
    ("stored", stored::stored),
    ("transfer", transfer::transfer),
    ("update", update::update),
    ("zone_file", zone_file::zone_file),
];

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_corpus_holds() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            let inputs = std::fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let mut count = 0;
            for input in inputs {
                let input = input.expect("an entry can be read").path();
                let bytes = std::fs::read(&input).expect("an input can be read");
                let verdict = std::panic::catch_unwind(|| target(&bytes));
                assert!(verdict.is_ok(), "{} does not hold for {}", name, input.display());
                count += 1;
            }
            assert!(count >= 10, "{name}: {count} inputs are no corpus");
        }
    }
}
