//! Tables for a terminal: columns aligned, never wider than [`WIDTH`], and nothing in them that could steer the terminal.

/// Columns of a terminal that a table may use.
pub const WIDTH: usize = 100;
const GAP: &str = "  ";
/// A column is not cut to less than this, even if the table is then too wide.
const NARROWEST: usize = 6;

/// How a column's cells stand in it.
#[derive(Clone, Copy)]
pub enum Align {
    Left,
    Right,
}

pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(head: [(&str, Align); N]) -> Table {
        let rows = vec![head.iter().map(|(name, _)| (*name).to_owned()).collect()];
        Table { columns: head.iter().map(|(_, align)| *align).collect(), rows }
    }

    /// Adds a row with as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    pub fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.columns).map(|((cell, &width), align)| {
                let cell = cut(cell, width);
                match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                }
            });
            text += cells.collect::<Vec<_>>().join(GAP).trim_end();
            text.push('\n');
        }
        text
    }

    /// As wide as the widest cell; too wide a table takes from its widest columns.
    fn widths(&self) -> Vec<usize> {
        let widest =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell)).max();
        let mut widths: Vec<_> = (0..self.columns.len()).map(|column| widest(column).unwrap_or(0)).collect();
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > WIDTH {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// At most `width` characters; a mark stands for what is left out.
pub fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// In one line, and without what could move the cursor, change colours or reverse the text: names and notes come from
/// strangers.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// Like [`printable`], for text whose lines and tabs are meant.
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' && c != '\t' { ' ' } else { c }).collect()
}

fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new([("NAME", Align::Left), ("LOG", Align::Right), ("NOTE", Align::Left)]);
        table.row(["m1".into(), "7".into(), "fine".into()]);
        table.row(["manager".into(), "12345".into(), String::new()]);

        assert_eq!(table.render(), "NAME       LOG  NOTE\nm1           7  fine\nmanager  12345\n");
    }

    #[test]
    fn a_table_that_is_too_wide_is_cut_in_its_widest_column() {
        let mut table = Table::new([("A", Align::Left), ("B", Align::Left)]);
        table.row(["a".repeat(200), "short".into()]);

        let text = table.render();

        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("…  short"), "{text}");
    }

    #[test]
    fn what_could_steer_a_terminal_is_blanked() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}d"), "a [31mb c d");
        assert_eq!(printable_lines("<a>\n\t<b/>\u{7}"), "<a>\n\t<b/> ");
    }
}
