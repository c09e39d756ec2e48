//! The simulation as it is used: a process per seed. Seeds pass, a seed repeats bit for bit, and a defect put in on
//! purpose is found.

use std::process::{Command, Output};

/// Virtual seconds of faults per run: enough for every kind of fault to come up in most.
const SECONDS: &str = "14";

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-sim"));
    command.args(arguments).args(["--seconds", SECONDS]);
    command.output().expect("the simulation starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn seeds_pass() {
    let output = sim(&["run", "--seeds", "3", "--first", "1"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).ends_with("3 passed, 0 failed\n"), "{}", text(&output));
}

#[test]
fn a_seed_repeats_bit_for_bit() {
    let output = sim(&["meta", "--seeds", "1", "--first", "4"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn seeds_differ() {
    let (one, two) = (sim(&["replay", "--seed", "5"]), sim(&["replay", "--seed", "6"]));
    assert!(one.status.success() && two.status.success(), "{}{}", text(&one), text(&two));
    assert_ne!(one.stdout, two.stdout);
}

/// Runs a seed with a defect; it must fail for the reason expected, and by name of the command that shows it.
fn finds(sabotage: &str, expected: &str) {
    let output = sim(&["one", "--seed", "7", "--sabotage", sabotage]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{sabotage} was not found: {text}");
    assert!(
        text.contains(expected),
        "{sabotage} was found for another reason than {expected:?}: {text}"
    );
}

#[test]
fn made_up_opinions_are_found() {
    finds("lying-probers", "L2");
}

#[test]
fn altered_audit_records_are_found() {
    finds("tampered-records", "S14");
}

#[test]
fn a_wiped_disk_is_found() {
    finds("wiped-disk", "does not start");
}

#[test]
fn silence_of_dns_is_found() {
    finds("forgotten-answers", "L4");
}

#[test]
fn a_failure_that_nobody_notices_is_found() {
    finds("blind-probers", "L1");
}

#[test]
fn a_cluster_that_does_not_come_together_is_found() {
    finds("lasting-partition", "L5");
}
