//! Tidiness as a test: which room may depend on which, where the guarded libraries may be named, and that every
//! module says what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms and what each may depend on. An edge that is not here fails; a crate that is not here fails.
const EDGES: &[(&str, &[&str])] = &[
    ("holdfast-core", &[]),
    ("holdfast-wire", &["holdfast-core"]),
    ("holdfast-consensus", &["holdfast-core", "holdfast-wire"]),
    ("holdfast-audit", &["holdfast-core"]),
    ("holdfast-probe", &["holdfast-core"]),
    ("holdfast-seal", &["holdfast-core"]),
    ("holdfast-sign", &["holdfast-core"]),
    ("holdfast-dns", &["holdfast-core", "holdfast-seal", "holdfast-sign"]),
    (
        "holdfast-api",
        &[
            "holdfast-core",
            "holdfast-wire",
            "holdfast-consensus",
            "holdfast-audit",
            "holdfast-seal",
            "holdfast-sign",
        ],
    ),
    (
        "holdfast-agent",
        &[
            "holdfast-core",
            "holdfast-wire",
            "holdfast-consensus",
            "holdfast-audit",
            "holdfast-probe",
            "holdfast-seal",
            "holdfast-dns",
            "holdfast-api",
        ],
    ),
    ("holdfast", &["holdfast-agent", "holdfast-seal", "holdfast-wire", "holdfast-core"]),
    ("holdfast-sim", &["holdfast-agent", "holdfast-consensus", "holdfast-core", "holdfast-probe"]),
    ("holdfast-tests", &["holdfast-core", "holdfast-wire"]),
    (
        "holdfast-fuzz",
        &["holdfast-core", "holdfast-dns", "holdfast-seal", "holdfast-sign", "holdfast-wire"],
    ),
    ("holdfast-bench", &["holdfast-core", "holdfast-wire"]),
];

/// Libraries that only one room may name.
const GUARDED: &[(&str, &[&str])] = &[
    ("openraft", &["holdfast-consensus"]),
    ("openraft-rt", &["holdfast-consensus"]),
    ("openraft-rt-tokio", &["holdfast-consensus"]),
    ("redb", &["holdfast-consensus"]),
    ("sled", &["holdfast-audit"]),
    ("hickory-server", &["holdfast-dns"]),
    // The CLI and the benchmarks are clients of the API like any other: they speak its messages.
    (
        "prost",
        &["holdfast-wire", "holdfast-api", "holdfast-consensus", "holdfast", "holdfast-bench"],
    ),
    ("prost-types", &["holdfast-wire", "holdfast-api"]),
];

/// A file longer than this holds more than one idea; tests aside.
const MAX_LINES: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn packages() -> Vec<cargo_metadata::Package> {
    let mut command = cargo_metadata::MetadataCommand::new();
    command
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()]);
    command.exec().expect("cargo metadata works in a checkout").packages
}

#[test]
fn rooms_depend_only_on_what_the_table_allows() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let Some(edges) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("{} is not in the table", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let ours = name == "holdfast" || name.starts_with("holdfast-");
            if ours && !edges.contains(name) {
                wrong.push(format!("{} -> {name}", package.name));
            }
            let guard = GUARDED.iter().find(|(library, _)| *library == name);
            let outside = guard.is_some_and(|(_, rooms)| !rooms.contains(&package.name.as_str()));
            let build_only = dependency.kind == cargo_metadata::DependencyKind::Build;
            if outside && !build_only {
                wrong.push(format!("{} names {name}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that architecture.md does not allow: {wrong:#?}");
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder of the checkout can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_says_what_it_is_for_and_holds_one_idea() {
    let mut files = Vec::new();
    for folder in ["crates", "tests", "benches"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources were found");
    let mut wrong = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a source is text");
        let is_test = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs"));
        if !is_test && !text.starts_with("//!") {
            wrong.push(format!("{}: no //! at the top", path.display()));
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if !is_test && code.lines().count() > MAX_LINES {
            wrong.push(format!("{}: {} lines", path.display(), code.lines().count()));
        }
        for marker in ["TODO", "FIXME", "XXX"] {
            if text.contains(marker) && !path.ends_with("edges.rs") {
                wrong.push(format!("{}: {marker}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
