//! Tables: columns as wide as their widest cell, two spaces apart, nothing drawn, nothing cut.

use std::fmt::Write as _;

/// What a cell means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// All is well.
    Good,
    /// Something is to be looked at.
    Warn,
    /// Something is broken.
    Bad,
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a text.
    pub(crate) fn new(text: impl ToString) -> Self {
        Self { text: text.to_string(), tone: Tone::Plain }
    }

    /// A cell that means something.
    pub(crate) fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: text.to_string(), tone }
    }

    /// A state, in capitals, toned by its name.
    pub(crate) fn state(state: &str) -> Self {
        let tone = match state {
            "up" | "ready" | "ok" | "running" => Tone::Good,
            "down" | "refused" | "unreachable" | "stopped" | "bad" => Tone::Bad,
            "degraded" | "unknown" | "not_ready" | "restarting" | "warning" => Tone::Warn,
            _ => Tone::Plain,
        };
        Self { text: state.to_ascii_uppercase(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    title: &'static str,
    wide: bool,
}

impl Column {
    /// A column that is always shown.
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, wide: false }
    }

    /// A column that only `wide` and csv show.
    pub(crate) fn wide(title: &'static str) -> Self {
        Self { title, wide: true }
    }
}

/// Rows under titles.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines.
    pub(crate) fn render(&self, wide: bool, colour: bool) -> String {
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|&i| wide || !self.columns[i].wide).collect();
        let width = |i: usize| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(i)).map(|cell| length(&cell.text));
            cells.chain([length(self.columns[i].title)]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = shown.iter().map(|&i| width(i)).collect();
        let titles =
            shown.iter().map(|&i| (self.columns[i].title, Tone::Plain)).collect::<Vec<_>>();
        let mut lines = line(&titles, &widths, false);
        for row in &self.rows {
            let cells: Vec<(&str, Tone)> = shown
                .iter()
                .filter_map(|&i| row.get(i))
                .map(|cell| (cell.text.as_str(), cell.tone))
                .collect();
            lines.push_str(&line(&cells, &widths, colour));
        }
        lines
    }

    /// The table as comma-separated values (RFC 4180, lines end in LF), titles in lower case.
    pub(crate) fn csv(&self) -> String {
        let titles: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.title.to_ascii_lowercase().replace(' ', "_"))
            .collect();
        let mut lines = titles.join(",");
        lines.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| quoted(&cell.text)).collect();
            lines.push_str(&cells.join(","));
            lines.push('\n');
        }
        lines
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn line(cells: &[(&str, Tone)], widths: &[usize], colour: bool) -> String {
    let mut text = String::new();
    for (place, (cell, tone)) in cells.iter().enumerate() {
        let last = place + 1 == cells.len();
        let padding = if last { 0 } else { widths[place] - length(cell) + 2 };
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{:padding$}", paint(cell, *tone, colour), "");
    }
    let mut text = text.trim_end().to_owned();
    text.push('\n');
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The text in the colour of its meaning.
pub(super) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => 32,
        Tone::Warn => 33,
        Tone::Bad => 31,
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_would_break_csv_are_quoted() {
        let mut table = Table::new([Column::new("UP FOR"), Column::new("NOTE")]);
        table.row(["a,b".into(), "say \"x\"".into()]);
        assert_eq!(table.csv(), "up_for,note\n\"a,b\",\"say \"\"x\"\"\"\n");
    }

    #[test]
    fn cells_are_measured_in_characters() {
        let mut table = Table::new([Column::new("MOVE"), Column::new("AT")]);
        table.row(["eu → us".into(), "1".into()]);
        table.row(["eu".into(), "2".into()]);
        assert_eq!(table.render(false, false), "MOVE     AT\neu → us  1\neu       2\n");
    }
}
