//! Judging an answer against what a check expects: status ranges, bodies, texts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use holdfast_core::sample::{Abstention, FailureKind, Phase};
use holdfast_core::spec::{BodyExpectation, StatusRange};
use regex::bytes::{Regex, RegexBuilder};

use crate::exchange::BODY_LIMIT;
use crate::trace::{Step, Stop, Trace, failed};

/// The most compiled expressions kept; beyond it they are compiled anew.
const MAX_PATTERNS: usize = 1024;
/// The most memory of one compiled expression, in bytes.
const MAX_PATTERN_SIZE: usize = 1 << 20;
/// How much of an unexpected content is shown, in bytes.
const EXCERPT: usize = 60;

/// Compiled regular expressions.
#[derive(Debug, Default)]
pub(crate) struct Patterns(Mutex<BTreeMap<String, Regex>>);

impl Patterns {
    fn compiled(&self, pattern: &str) -> Result<Regex, String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = kept.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_PATTERN_SIZE)
            .dfa_size_limit(MAX_PATTERN_SIZE)
            .build()
            .map_err(|error| {
                format!("expect_body: the expression {pattern:?} is not usable: {error}")
            })?;
        if kept.len() >= MAX_PATTERNS {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// Judges a status against ranges; without any, 200–299.
pub(crate) fn status(trace: &mut Trace, code: u16, expected: &[StatusRange]) -> Step {
    const SUCCESS: [StatusRange; 1] = [StatusRange { from: 200, to: 299 }];
    let expected = if expected.is_empty() { &SUCCESS } else { expected };
    let shown = || {
        let parts: Vec<_> = expected
            .iter()
            .map(|range| match range {
                StatusRange { from, to } if from == to => from.to_string(),
                StatusRange { from, to } => format!("{from}-{to}"),
            })
            .collect();
        parts.join(", ")
    };
    if expected.iter().any(|range| (range.from..=range.to).contains(&code)) {
        trace.note(|| format!("status {code} is in {}", shown()));
        return Ok(());
    }
    Err(failed(Phase::Assert, FailureKind::Status, format!("status {code}, expected {}", shown())))
}

/// Judges a body. `cut` says that it is longer than `body`.
pub(crate) fn body(
    trace: &mut Trace,
    patterns: &Patterns,
    expected: &BodyExpectation,
    body: &[u8],
    cut: bool,
) -> Step {
    let shown = || format!("; the body begins {}", excerpt(body));
    let outcome = match expected {
        BodyExpectation::Contains(text) if contains(body, text.as_bytes()) => {
            Ok(format!("the body contains {text:?}"))
        }
        BodyExpectation::Contains(text) => Err(format!("{text:?} does not occur{}", shown())),
        BodyExpectation::Matches(pattern) => {
            let regex = patterns.compiled(pattern).map_err(|why| {
                trace.note(|| why);
                Stop::Abstain(Abstention::Invalid)
            })?;
            if regex.is_match(body) {
                Ok(format!("the body matches {pattern:?}"))
            } else {
                Err(format!("{pattern:?} does not match{}", shown()))
            }
        }
        BodyExpectation::Pointer { pointer: at, equals } => pointer(body, cut, at, equals),
    };
    match outcome {
        Ok(note) => {
            trace.note(|| note);
            Ok(())
        }
        Err(why) => Err(failed(Phase::Assert, FailureKind::Content, why)),
    }
}

fn pointer(body: &[u8], cut: bool, at: &str, equals: &str) -> Result<String, String> {
    if cut {
        return Err(format!("the body is longer than the {BODY_LIMIT} bytes that are judged"));
    }
    let document: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not JSON ({error}): {}", excerpt(body)))?;
    let Some(found) = document.pointer(at) else {
        return Err(format!("there is nothing at {at:?}"));
    };
    let as_text = found.as_str() == Some(equals);
    let as_json =
        serde_json::from_str(equals).is_ok_and(|wanted: serde_json::Value| wanted == *found);
    if as_text || as_json {
        Ok(format!("{at:?} is {equals}"))
    } else {
        Err(format!("{at:?} is {}, expected {equals}", excerpt(found.to_string().as_bytes())))
    }
}

/// Whether `needle` occurs in `haystack`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

/// The beginning of a content, printable.
pub(crate) fn excerpt(content: &[u8]) -> String {
    let head = &content[..content.len().min(EXCERPT)];
    let dots = if content.len() > EXCERPT { "..." } else { "" };
    format!("{:?}{dots}", String::from_utf8_lossy(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_bodies() {
        let contains = |text: &str| BodyExpectation::Contains(text.into());
        let matches = |text: &str| BodyExpectation::Matches(text.into());
        let pointer = |pointer: &str, equals: &str| BodyExpectation::Pointer {
            pointer: pointer.into(),
            equals: equals.into(),
        };
        let (good, bad) = (None, Some(FailureKind::Content));
        for (expected, text, cut, want) in [
            (contains("ok"), "all ok here", false, good),
            (contains(""), "", false, good),
            (contains("ok"), "", false, bad),
            (contains("ok"), "failing", false, bad),
            (matches("^v[0-9]+$"), "v12", false, good),
            (matches("^v[0-9]+$"), "v1x", false, bad),
            (matches("ok"), "ok\u{fffd}", true, good),
            (pointer("/a/b", "true"), r#"{"a":{"b":true}}"#, false, good),
            (pointer("/a/b", "up"), r#"{"a":{"b":"up"}}"#, false, good),
            (pointer("/a/b", "\"up\""), r#"{"a":{"b":"up"}}"#, false, good),
            (pointer("/n", "1"), r#"{"n":1}"#, false, good),
            (pointer("/n", "{\"y\":2,\"x\":1}"), r#"{"n":{"x":1,"y":2}}"#, false, good),
            (pointer("/n", "1"), r#"{"n":2}"#, false, bad),
            (pointer("/l/1", "b"), r#"{"l":["a","b"]}"#, false, good),
            (pointer("/x", "1"), r#"{"n":2}"#, false, bad),
            (pointer("/n", "2"), r#"{"n":2}"#, true, bad),
            (pointer("/n", "2"), "<html>", false, bad),
        ] {
            let mut trace = Trace::new(true);
            let got = body(&mut trace, &Patterns::default(), &expected, text.as_bytes(), cut);
            let kind = match got {
                Ok(()) => None,
                Err(Stop::Fail(failure)) => Some(failure.kind),
                Err(Stop::Abstain(why)) => panic!("{expected:?} on {text}: {why:?}"),
            };
            assert_eq!(kind, want, "{expected:?} on {text}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_says_nothing_about_the_endpoint() {
        for pattern in ["(", "a{1000}{1000}{1000}"] {
            let expected = BodyExpectation::Matches(pattern.into());
            let got = body(&mut Trace::new(false), &Patterns::default(), &expected, b"x", false);
            assert_eq!(got, Err(Stop::Abstain(Abstention::Invalid)), "{pattern}");
        }
    }
}
