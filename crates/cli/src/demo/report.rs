//! What the demo prints: one line per step as it happens, or everything as JSON at the end.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

/// The phases of a failover, in milliseconds since the fault.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Phases {
    /// The first probe that failed began.
    pub(crate) suspicion_ms: u64,
    /// The group decided.
    pub(crate) verdict_ms: u64,
    /// The first agent's DNS answered anew.
    pub(crate) first_answer_ms: u64,
    /// The last agent's DNS answered anew.
    pub(crate) last_answer_ms: u64,
    /// The epoch of the decision.
    pub(crate) epoch: u64,
}

#[derive(Debug, Serialize)]
struct Line {
    step: String,
    text: String,
    at_ms: u64,
    ok: bool,
    facts: Map<String, Value>,
}

/// Collects and prints steps.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    began: Instant,
    lines: Vec<Line>,
}

impl Report {
    /// A report that prints lines, or JSON at the end.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, began: Instant::now(), lines: Vec::new() }
    }

    /// A step was seen to happen.
    pub(crate) fn step(&mut self, step: &str, text: &str, facts: Vec<(String, String)>) {
        let facts = facts.into_iter().map(|(name, value)| {
            let value = value.parse::<u64>().map_or(Value::String(value), Value::from);
            (name, value)
        });
        self.add(step, text, true, facts.collect());
    }

    /// A failover was seen to happen.
    pub(crate) fn failover(&mut self, step: &str, text: &str, phases: Phases) {
        let facts = serde_json::to_value(phases).ok().and_then(|value| value.as_object().cloned());
        self.add(step, text, true, facts.unwrap_or_default());
    }

    /// Lines of prose.
    pub(crate) fn lines(&mut self, step: &str, lines: Vec<String>) {
        let facts = Map::from_iter([("lines".to_owned(), Value::from(lines.clone()))]);
        self.record(step, lines.first().map_or("", String::as_str), true, facts);
        if !self.json {
            for line in lines {
                println!("            │ {line}");
            }
        }
    }

    /// The story ended early.
    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        self.add("failed", &format!("{error:#}"), false, Map::new());
    }

    /// Prints what is printed at the end.
    pub(crate) fn finish(&self) {
        if self.json {
            let ok = self.lines.iter().all(|line| line.ok);
            let all = serde_json::json!({ "ok": ok, "steps": self.lines });
            println!("{all:#}");
        }
    }

    fn add(&mut self, step: &str, text: &str, ok: bool, facts: Map<String, Value>) {
        if !self.json {
            let mut line = format!("{:>9} {} {text}", self.elapsed(), if ok { "✓" } else { "✗" });
            let shown = facts.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name} {text}"),
                other => format!("{name} {other}"),
            });
            let shown: Vec<String> = shown.collect();
            if !shown.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(line, "  [{}]", shown.join(", "));
            }
            println!("{line}");
        }
        self.record(step, text, ok, facts);
    }

    fn record(&mut self, step: &str, text: &str, ok: bool, facts: Map<String, Value>) {
        let at_ms = holdfast_core::time::millis(self.began.elapsed());
        self.lines.push(Line { step: step.into(), text: text.into(), at_ms, ok, facts });
    }

    fn elapsed(&self) -> String {
        format!("{:.3}s", self.began.elapsed().as_secs_f64())
    }
}
