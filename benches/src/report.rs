//! A benchmark's result: what was measured, the ratios, and the goals with a plain yes or no.

use serde_json::{Map, Value, json};

use crate::stat::{Series, round};

/// What a benchmark found.
#[derive(Debug)]
pub(crate) struct Report {
    bench: &'static str,
    lines: Vec<String>,
    facts: Map<String, Value>,
    headlines: Map<String, Value>,
    goals: Vec<Goal>,
}

#[derive(Debug)]
struct Goal {
    what: String,
    bound: Bound,
    got: f64,
}

/// On which side of a number the goal lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Goal {
    fn met(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.got <= limit,
            Bound::AtLeast(limit) => self.got >= limit,
        }
    }
}

impl Report {
    /// An empty one.
    pub(crate) fn new(bench: &'static str) -> Self {
        Self {
            bench,
            lines: Vec::new(),
            facts: Map::new(),
            headlines: Map::new(),
            goals: Vec::new(),
        }
    }

    /// A series in milliseconds or whatever `name` says.
    pub(crate) fn series(&mut self, name: &str, series: &Series) {
        self.lines.push(format!("{name:<34} {series}"));
        self.facts.insert(name.into(), series.json());
    }

    /// One number.
    pub(crate) fn number(&mut self, name: &str, value: f64) {
        self.lines.push(format!("{name:<34} {:.3}", value));
        self.facts.insert(name.into(), json!(round(value)));
    }

    /// One of the few numbers that stand at the top of the JSON, and among the facts as well.
    pub(crate) fn headline(&mut self, name: &str, value: f64) {
        self.number(name, value);
        self.headlines.insert(name.into(), json!(round(value)));
    }

    /// Something to compare with what was aimed at.
    pub(crate) fn goal(&mut self, what: &str, bound: Bound, got: f64) {
        self.goals.push(Goal { what: what.into(), bound, got });
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.bench);
        for line in &self.lines {
            text.push_str(&format!("  {line}\n"));
        }
        for goal in &self.goals {
            let word = if goal.met() { "met   " } else { "MISSED" };
            let bound = match goal.bound {
                Bound::AtMost(limit) => format!("at most {limit}"),
                Bound::AtLeast(limit) => format!("at least {limit}"),
            };
            text.push_str(&format!("  goal {word} {}: {:.3}, {bound}\n", goal.what, goal.got));
        }
        text
    }

    /// For machines, in one line.
    pub(crate) fn json(&self) -> Value {
        let goal = |goal: &Goal| {
            let (side, limit) = match goal.bound {
                Bound::AtMost(limit) => ("at_most", limit),
                Bound::AtLeast(limit) => ("at_least", limit),
            };
            json!({ "what": goal.what, side: limit, "got": round(goal.got), "met": goal.met() })
        };
        let goals: Vec<Value> = self.goals.iter().map(goal).collect();
        let mut whole = Map::from_iter([("bench".to_owned(), json!(self.bench))]);
        whole.extend(self.headlines.clone());
        whole.extend([("facts".to_owned(), json!(self.facts)), ("goals".to_owned(), json!(goals))]);
        Value::Object(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_on_their_side() {
        let mut report = Report::new("x");
        report.goal("time", Bound::AtMost(1.0), 1.5);
        report.goal("ratio", Bound::AtLeast(1.0), 1.5);
        let met: Vec<Value> = report.json()["goals"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|g| g["met"].clone())
            .collect();
        assert_eq!(met, [json!(false), json!(true)]);
        assert!(report.text().contains("MISSED time"));
    }

    #[test]
    fn headlines_stand_at_the_top() {
        let mut report = Report::new("x");
        report.number("fact", 1.0);
        report.headline("ratio", 1.5);
        let json = report.json();
        assert_eq!((&json["ratio"], &json["facts"]["ratio"]), (&json!(1.5), &json!(1.5)));
        assert_eq!(json.get("fact"), None);
    }
}
