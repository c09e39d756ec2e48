//! Explanations as a tree: each reason on its line, what it rests on below it, its facts where asked for.

use holdfast_wire::pb::v1 as pb;

/// The lines of an explanation; with the facts of each reason where `facts` is set.
pub(crate) fn tree(root: &pb::Reason, facts: bool) -> String {
    let mut lines = format!("{}\n", root.text);
    if facts {
        facts_of(root, "", &mut lines);
    }
    children_of(root, "", facts, &mut lines);
    lines
}

/// Depth is bounded by protobuf's own recursion limit.
fn children_of(reason: &pb::Reason, indent: &str, facts: bool, lines: &mut String) {
    for (place, child) in reason.children.iter().enumerate() {
        let last = place + 1 == reason.children.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let below = format!("{indent}{below}");
        lines.push_str(&format!("{indent}{branch}{}\n", child.text));
        if facts {
            facts_of(child, &below, lines);
        }
        children_of(child, &below, facts, lines);
    }
}

fn facts_of(reason: &pb::Reason, indent: &str, lines: &mut String) {
    let trunk = if reason.children.is_empty() { "   " } else { "│  " };
    let mut facts = vec![format!("rule={}", reason.rule), format!("outcome={}", reason.outcome)];
    facts.extend(reason.facts.iter().map(|fact| format!("{}={}", fact.name, fact.value)));
    lines.push_str(&format!("{indent}{trunk}{}\n", facts.join(" ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str, children: Vec<pb::Reason>) -> pb::Reason {
        pb::Reason {
            text: text.into(),
            rule: "r".into(),
            outcome: "o".into(),
            facts: vec![],
            children,
        }
    }

    #[test]
    fn every_level_is_drawn() {
        let leaf = reason("check http is up", vec![]);
        let root = reason(
            "shop answers eu",
            vec![reason("pool eu is up", vec![]), reason("e1 is up", vec![leaf.clone()]), leaf],
        );
        let expected = "shop answers eu\n├─ pool eu is up\n├─ e1 is up\n│  └─ check http is up\n└─ check http is up\n";
        assert_eq!(tree(&root, false), expected);
    }

    #[test]
    fn facts_stand_below_their_reason() {
        let mut child = reason("e1 is up", vec![]);
        child.facts = vec![pb::Fact { name: "since".into(), value: "now".into() }];
        let root = reason("shop", vec![child]);
        assert_eq!(
            tree(&root, true),
            "shop\n│  rule=r outcome=o\n└─ e1 is up\n      rule=r outcome=o since=now\n"
        );
    }
}
