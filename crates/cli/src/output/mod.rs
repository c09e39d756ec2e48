//! Prints: one page of data as a table for people, or the same data as JSON, YAML or CSV for programs.
//!
//! A command makes a [`Page`] and does not know the format. JSON and YAML are the message of the API in snake_case,
//! complete; the table is what people need of it, and `wide` shows the rest. Colour appears on a terminal only.

pub(crate) mod json;
mod table;
mod tree;

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

pub(crate) use table::{Cell, Column, Table, Tone};
pub(crate) use tree::tree;

use crate::failure::Failure;

/// The form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For people who want everything.
    Wide,
    /// One document; of a stream, one per line.
    Json,
    /// One document; of a stream, one per event.
    Yaml,
    /// The rows of the first table.
    Csv,
}

impl Format {
    /// Whether people read it.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// A part of a page as people see it.
#[derive(Debug)]
enum Block {
    Text(String),
    Warning(String),
    Table(Table),
    /// For csv alone.
    Rows(Table),
}

/// What a command has to show.
#[derive(Debug)]
pub(crate) struct Page {
    data: Value,
    blocks: Vec<Block>,
}

impl Page {
    /// A page with this data for programs, and nothing for people yet.
    pub(crate) fn new(data: Value) -> Self {
        Self { data, blocks: Vec::new() }
    }

    /// A page with one line for people.
    pub(crate) fn line(data: Value, text: impl Into<String>) -> Self {
        Self::new(data).text(text)
    }

    /// Lines for people.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Text(text.into()));
        self
    }

    /// Lines that people must not miss.
    pub(crate) fn warnings(mut self, texts: impl IntoIterator<Item = String>) -> Self {
        self.blocks.extend(texts.into_iter().map(Block::Warning));
        self
    }

    /// A table.
    pub(crate) fn table(mut self, table: Table) -> Self {
        self.blocks.push(Block::Table(table));
        self
    }

    /// Rows that csv prints and people do not see: they have lines instead.
    pub(crate) fn rows(mut self, table: Table) -> Self {
        self.blocks.push(Block::Rows(table));
        self
    }

    /// The page in a format. Errors: it cannot be told in that format.
    pub(crate) fn render(&self, format: Format, colour: bool) -> Result<String, Failure> {
        match format {
            Format::Table => Ok(self.for_people(false, colour)),
            Format::Wide => Ok(self.for_people(true, colour)),
            Format::Json => Ok(pretty(&self.data)),
            Format::Yaml => yaml(&self.data),
            Format::Csv => self.csv(),
        }
    }

    fn for_people(&self, wide: bool, colour: bool) -> String {
        let mut lines = String::new();
        for block in &self.blocks {
            let text = match block {
                Block::Text(text) => text.clone(),
                Block::Warning(text) => table::paint(&format!("! {text}"), Tone::Warn, colour),
                Block::Table(table) => table.render(wide, colour),
                Block::Rows(_) => String::new(),
            };
            lines.push_str(&text);
            if !text.is_empty() && !text.ends_with('\n') {
                lines.push('\n');
            }
        }
        lines
    }

    fn csv(&self) -> Result<String, Failure> {
        let table = self.blocks.iter().find_map(|block| match block {
            Block::Table(table) | Block::Rows(table) => Some(table),
            Block::Text(_) | Block::Warning(_) => None,
        });
        table.map(Table::csv).ok_or_else(|| {
            Failure::usage("this command has no rows to print as csv").next("use -o json")
        })
    }
}

fn pretty(data: &Value) -> String {
    let mut text = serde_json::to_string_pretty(data).expect("a JSON value always prints");
    text.push('\n');
    text
}

fn yaml(data: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(data).map_err(|error| {
        Failure::error(format!("cannot print this as YAML: {error}")).next("use -o json")
    })
}

/// Where output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// The form.
    pub format: Format,
    colour: bool,
}

impl Output {
    /// Standard output; in colour on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn standard(format: Format) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { format, colour: wanted && io::stdout().is_terminal() }
    }

    /// Prints a page.
    pub(crate) fn page(&self, page: &Page) -> Result<(), Failure> {
        write(&page.render(self.format, self.colour)?)
    }

    /// Prints one event of a stream at once: a line for people, or a document for programs.
    pub(crate) fn event(&self, line: &str, data: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Table | Format::Wide => write(&format!("{line}\n")),
            Format::Json => write(&format!("{data}\n")),
            Format::Yaml => write(&format!("---\n{}", yaml(data)?)),
            Format::Csv => Err(Failure::usage("a stream has no csv form").next("use -o json")),
        }
    }

    /// Prints text as it is.
    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        write(text)
    }
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::closed(),
        _ => Failure::error(format!("cannot write to standard output: {error}")),
    })
}

/// Tells people something beside the output.
pub(crate) fn note(text: &str) {
    // Nothing can be told where standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page() -> Page {
        let mut table =
            Table::new([Column::new("NAME"), Column::new("STATE"), Column::wide("EPOCH")]);
        table.row([Cell::new("shop"), Cell::state("up"), Cell::new(88)]);
        table.row([Cell::new("a-longer-name"), Cell::state("down"), Cell::new(7)]);
        Page::new(json!({"services": [{"name": "shop", "epoch": 88}]}))
            .text("cluster c")
            .warnings(["paused".to_owned()])
            .table(table)
    }

    #[test]
    fn one_page_has_every_form() {
        let render = |format| page().render(format, false).expect("printable");
        let table =
            "cluster c\n! paused\nNAME           STATE\nshop           UP\na-longer-name  DOWN\n";
        assert_eq!(render(Format::Table), table);
        assert!(
            render(Format::Wide)
                .contains("NAME           STATE  EPOCH\nshop           UP     88\n")
        );
        assert_eq!(render(Format::Csv), "name,state,epoch\nshop,UP,88\na-longer-name,DOWN,7\n");
        let json: Value = serde_json::from_str(&render(Format::Json)).expect("JSON");
        assert_eq!(json["services"][0]["epoch"], 88);
        assert!(render(Format::Yaml).contains("name: shop"));
    }

    #[test]
    fn colour_surrounds_words_and_not_the_padding() {
        let text = page().render(Format::Table, true).expect("printable");
        assert!(text.contains("\u{1b}[32mUP\u{1b}[0m\n"), "{text:?}");
        assert!(text.contains("\u{1b}[31mDOWN\u{1b}[0m\n"), "{text:?}");
    }

    #[test]
    fn a_page_without_rows_has_no_csv() {
        let failure =
            Page::line(json!({}), "done").render(Format::Csv, false).expect_err("no rows");
        assert_eq!(failure.exit().code(), 64);
    }
}
