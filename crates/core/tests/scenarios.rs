//! The policy, told in scripts: commands in, trace out (`tests/scenarios/*.txt`, one rule each).
//!
//! A script is blocks of commands, each followed by `----` and what they bring about; a block without `----` is the
//! setting and says nothing. After every entry the invariants are checked. `HOLDFAST_REWRITE=1` writes the traces
//! anew; the difference is then for a reviewer to judge.

#[path = "scenarios/keys.rs"]
mod keys;
#[path = "scenarios/parse.rs"]
mod parse;
#[path = "scenarios/trace.rs"]
mod trace;
#[path = "scenarios/world.rs"]
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use world::World;

/// One rule, one script: fewer scripts than this are a rule lost.
const FEWEST: usize = 30;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = fs::read_dir(&folder).expect("the folder of scripts is part of the crate");
    let mut scripts: Vec<PathBuf> = files
        .map(|file| file.expect("a folder that opened can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    scripts
}

/// Runs a script; returns it with the traces that came about.
fn play(text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    for block in text.trim_end().split("\n\n") {
        let (commands, expected) = match block.split_once("\n----") {
            Some((commands, _)) => (commands, true),
            None => (block, false),
        };
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            world.run(line);
        }
        let trace = world.take_trace();
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        out.push_str(commands);
        if expected {
            let trace = if trace.is_empty() { "(nothing)\n" } else { &trace };
            write!(out, "\n----\n{}", trace.trim_end()).expect("writing to a text cannot fail");
        }
    }
    out + "\n"
}

/// The first line that differs, with its number.
fn first_difference(expected: &str, actual: &str) -> String {
    let (mut expected, mut actual) = (expected.lines(), actual.lines());
    for number in 1.. {
        let (e, a) = (expected.next(), actual.next());
        if e != a {
            let show = |line: Option<&str>| line.unwrap_or("(end)").to_owned();
            return format!("line {number}:\n  expected: {}\n  actual:   {}", show(e), show(a));
        }
    }
    unreachable!("two texts that differ differ in some line")
}

#[test]
fn every_script_comes_out_as_written() {
    let rewrite = std::env::var_os("HOLDFAST_REWRITE").is_some();
    let mut failures = String::new();
    for path in scripts() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a script is text");
        assert!(text.starts_with("# "), "{name}: the first line says the rule");
        let played = std::panic::catch_unwind(|| play(&text));
        let Ok(actual) = played else {
            writeln!(failures, "{name}: does not run, see above").expect("a text takes it");
            continue;
        };
        if actual == text {
            continue;
        }
        if rewrite {
            fs::write(&path, &actual).expect("the script can be written");
        } else {
            let difference = first_difference(&text, &actual);
            writeln!(failures, "{name}, {difference}").expect("a text takes it");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn no_rule_is_lost() {
    assert!(scripts().len() >= FEWEST, "{} scripts", scripts().len());
}

#[test]
fn a_wrong_trace_is_found() {
    let right = play("# a rule\nzone example.test\n----\n(whatever)\n");
    assert_eq!(right, "# a rule\nzone example.test\n----\nstored revision=1\n");
    assert!(first_difference("a\nb\n", "a\nc\n").starts_with("line 2"));
}
