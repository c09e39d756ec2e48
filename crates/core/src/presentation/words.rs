//! From bytes to lines of words: comments, quotes, escapes, and parentheses that join lines (RFC 1035, 5.1).
//!
//! A word is kept as it was written, escapes and all: what they mean depends on what the word is.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// What is wrong with a text in presentation form, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A word as it was written, without the quotes around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) raw: Vec<u8>,
    pub(super) quoted: bool,
}

/// The words of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    /// It begins with a blank: the owner is that of the entry before.
    pub(super) indented: bool,
    pub(super) words: Vec<Word>,
}

/// Cuts a text into lines.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The next line that has words; `None` at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, Fault> {
        while self.at < self.text.len() {
            let line = self.line()?;
            if !line.words.is_empty() {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Result<Line, Fault> {
        let indented = matches!(self.peek(), Some(b' ' | b'\t'));
        let (number, mut words, mut open) = (self.line, Vec::new(), false);
        while let Some(byte) = self.take() {
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' if open => {}
                b'\n' => break,
                b';' => self.skip_comment(),
                b'(' if open => return Err(self.fault("a parenthesis within parentheses")),
                b'(' => open = true,
                b')' if !open => return Err(self.fault("a parenthesis closes that none opened")),
                b')' => open = false,
                b'"' => words.push(Word { raw: self.quoted()?, quoted: true }),
                _ => words.push(Word { raw: self.plain()?, quoted: false }),
            }
        }
        if open {
            return Err(Fault { line: number, problem: "a parenthesis is not closed".to_string() });
        }
        Ok(Line { number, indented, words })
    }

    /// The rest of a word whose first byte was taken. Quotes within it hold blanks, as in `alpn="h2,h3"`.
    fn plain(&mut self) -> Result<Vec<u8>, Fault> {
        self.at -= 1;
        let mut raw = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' => break,
                b'"' => {
                    self.at += 1;
                    raw.extend(self.quoted()?);
                }
                b'\\' => self.escape_into(&mut raw)?,
                _ => {
                    self.at += 1;
                    raw.push(byte);
                }
            }
        }
        Ok(raw)
    }

    /// What stands before the closing quote.
    fn quoted(&mut self) -> Result<Vec<u8>, Fault> {
        let begun = self.line;
        let mut raw = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(raw);
                }
                Some(b'\\') => self.escape_into(&mut raw)?,
                Some(byte) if byte != b'\n' => {
                    self.at += 1;
                    raw.push(byte);
                }
                _ => {
                    let problem = "a quote is not closed in its line".to_string();
                    return Err(Fault { line: begun, problem });
                }
            }
        }
    }

    fn escape_into(&mut self, raw: &mut Vec<u8>) -> Result<(), Fault> {
        let pair = self.text.get(self.at..self.at + 2).filter(|pair| pair[1] != b'\n');
        let pair = pair.ok_or_else(|| self.fault("a backslash stands at the end of a line"))?;
        raw.extend_from_slice(pair);
        self.at += 2;
        Ok(())
    }

    fn skip_comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn fault(&self, problem: &str) -> Fault {
        Fault { line: self.line, problem: problem.to_string() }
    }
}
