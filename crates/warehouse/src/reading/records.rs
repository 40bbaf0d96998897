//! Splits text into records and values (RFC 4180): quoted values with separators, line breaks and doubled quotes in them.
//!
//! Strict where a lenient reader would lose or shift values without a word: each record has as many values as the header,
//! a quote that opens is closed, and every value is UTF-8. Only blank lines are passed over, in files of several columns.

use super::text_file::Bytes;
use memchr::{memchr, memchr_iter, memchr3};
use std::borrow::Cow;

/// Read from the file at a time.
const STEP: usize = if cfg!(test) { 7 } else { 1 << 20 };
/// The largest record; a quote that is never closed would otherwise take the whole file into memory.
const LARGEST_RECORD: usize = 16 << 20;
/// Records handed out at a time.
const BLOCK_ROWS: usize = 8192;
const MOST_COLUMNS: usize = 10_000;

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Where a value lies in the buffer.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    /// Whether it holds doubled quotes.
    is_escaped: bool,
}

pub struct Records {
    input: Bytes,
    is_at_end: bool,
    separator: u8,
    buffer: Vec<u8>,
    /// What of the buffer is yet to be handed out.
    next: usize,
    /// The place of the buffer's first byte in the text.
    offset: u64,
    header: Vec<String>,
    spans: Vec<Span>,
    lines: Vec<u64>,
    /// Records handed out so far; the first after the header is 1.
    rows: u64,
    /// The line at `next`, from 1.
    line: u64,
}

/// Some records, each with a value for every column.
pub struct Block<'a> {
    text: &'a str,
    /// The place of `text` in the buffer.
    base: usize,
    spans: &'a [Span],
    lines: &'a [u64],
    columns: usize,
    first_row: u64,
}

impl<'a> Block<'a> {
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The number of a record and the line in which it begins, both from 1; the header is no record.
    pub fn place(&self, row: usize) -> (u64, u64) {
        (self.first_row + row as u64, self.lines[row])
    }

    /// The values of one column, in order.
    pub fn column(&self, column: usize) -> impl Iterator<Item = Cow<'a, str>> {
        let (text, base) = (self.text, self.base);
        self.spans.iter().skip(column).step_by(self.columns).map(move |span| {
            let value = &text[span.start - base..span.end - base];
            if span.is_escaped { Cow::Owned(value.replace("\"\"", "\"")) } else { Cow::Borrowed(value) }
        })
    }
}

/// What a look at the buffer found.
enum Found {
    /// A record, and where the next one begins.
    Record(usize),
    /// More of the text is needed to tell.
    Incomplete,
    Wrong(&'static str),
}

impl Records {
    /// Reads the header of a text. What is wrong is told without the file's name.
    pub fn of(input: Bytes, separator: u8) -> Result<Records, String> {
        let mut records = Records {
            input,
            is_at_end: false,
            separator,
            buffer: Vec::new(),
            next: 0,
            offset: 0,
            header: Vec::new(),
            spans: Vec::new(),
            lines: Vec::new(),
            rows: 0,
            line: 1,
        };
        records.fill()?;
        records.read_header()?;
        Ok(records)
    }

    /// Goes on in another part of the same text, which begins with the record `row` in `line`.
    pub fn go_on(&mut self, input: Bytes, offset: u64, row: u64, line: u64) {
        self.input = input;
        self.is_at_end = false;
        self.buffer.clear();
        (self.next, self.offset, self.rows, self.line) = (0, offset, row - 1, line);
    }

    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Where the next record begins: its place in the text, its number, its line.
    pub fn position(&self) -> (u64, u64, u64) {
        (self.offset + self.next as u64, self.rows + 1, self.line)
    }

    /// The next records, `None` after the last.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, String> {
        self.spans.clear();
        self.lines.clear();
        let mut base = self.next;
        while self.lines.len() < BLOCK_ROWS {
            if self.pass_blank_lines()? {
                break;
            }
            if self.lines.is_empty() {
                base = self.next;
            }
            let held = self.spans.len();
            match self.find_record(self.next) {
                Found::Record(end) => self.take(held, end)?,
                Found::Wrong(what) => return Err(format!("{}: {what}", self.here())),
                Found::Incomplete => {
                    self.spans.truncate(held);
                    // What was found stays where it is; it is handed out before more is read over it.
                    if !self.lines.is_empty() {
                        break;
                    }
                    self.fill()?;
                }
            }
        }
        if self.lines.is_empty() {
            return Ok(None);
        }
        let bytes = &self.buffer[base..self.next];
        let text = std::str::from_utf8(bytes).map_err(|error| self.no_utf8(base + error.valid_up_to()))?;
        let first_row = self.rows + 1 - self.lines.len() as u64;
        let (spans, lines, columns) = (&self.spans[..], &self.lines[..], self.header.len());
        Ok(Some(Block { text, base, spans, lines, columns, first_row }))
    }

    /// Counts the record that ends at `end`, whose values are the spans from `held` on.
    fn take(&mut self, held: usize, end: usize) -> Result<(), String> {
        let (found, expected) = (self.spans.len() - held, self.header.len());
        if found != expected {
            let message = format!(
                "{} has {found} value{}, but the header names {expected} column{}: mend it; a value that holds the \
                 separator or a line break stands in double quotes",
                self.here(),
                if found == 1 { "" } else { "s" },
                if expected == 1 { "" } else { "s" }
            );
            return Err(message);
        }
        self.lines.push(self.line);
        // Line breaks stand at the end of a record, and within quotes, where alone spans are apart by more than a byte.
        self.line += memchr_iter(b'\n', &self.buffer[self.next..end]).count() as u64;
        self.next = end;
        self.rows += 1;
        Ok(())
    }

    /// Whether the text ends here. A blank line is a record where there is one column: its value is empty.
    fn pass_blank_lines(&mut self) -> Result<bool, String> {
        loop {
            if self.next == self.buffer.len() || (self.buffer.len() == self.next + 1 && self.buffer[self.next] == b'\r')
            {
                if self.is_at_end {
                    return Ok(self.next == self.buffer.len());
                }
                if !self.lines.is_empty() {
                    return Ok(true);
                }
                self.fill()?;
                continue;
            }
            let blank = match self.buffer[self.next..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return Ok(false),
            };
            // A byte order mark alone is a header that is missing.
            if self.header.len() == 1 {
                return Ok(false);
            }
            if !self.lines.is_empty() {
                // Handed out first, as all of a block stands in one piece of text.
                return Ok(true);
            }
            (self.next, self.line) = (self.next + blank, self.line + 1);
        }
    }

    /// Finds the record that begins at `from` and adds its spans.
    fn find_record(&mut self, from: usize) -> Found {
        let (buffer, separator) = (&self.buffer[..], self.separator);
        let mut at = from;
        loop {
            let Some(first) = buffer.get(at) else {
                if !self.is_at_end {
                    return Found::Incomplete;
                }
                self.spans.push(Span { start: at, end: at, is_escaped: false });
                return Found::Record(at);
            };
            let end = if *first == b'"' {
                match closing_quote(buffer, at + 1, self.is_at_end) {
                    Ok((end, is_escaped)) => {
                        self.spans.push(Span { start: at + 1, end, is_escaped });
                        end + 1
                    }
                    Err(wrong) => return wrong,
                }
            } else {
                let end = memchr3(separator, b'\n', b'\r', &buffer[at..]).map_or(buffer.len(), |found| at + found);
                if end == buffer.len() && !self.is_at_end {
                    return Found::Incomplete;
                }
                self.spans.push(Span { start: at, end, is_escaped: false });
                end
            };
            match buffer[end..] {
                [byte, ..] if byte == separator => at = end + 1,
                [] if self.is_at_end => return Found::Record(end),
                [b'\n', ..] => return Found::Record(end + 1),
                [b'\r', b'\n', ..] => return Found::Record(end + 2),
                [b'\r'] if self.is_at_end => return Found::Record(end + 1),
                [] | [b'\r'] => return Found::Incomplete,
                [b'\r', ..] => {
                    return Found::Wrong(
                        "a carriage return stands alone: end lines with a line feed, or put the value in double quotes",
                    );
                }
                _ => {
                    return Found::Wrong(
                        "there is more after a closing quote: write a quote within a value twice, as in \"5\"\" pipe\"",
                    );
                }
            }
        }
    }

    /// Drops what was handed out, and reads on.
    fn fill(&mut self) -> Result<(), String> {
        self.buffer.drain(..self.next);
        self.offset += self.next as u64;
        self.next = 0;
        let held = self.buffer.len();
        if held > LARGEST_RECORD {
            return Err(format!(
                "{} is longer than {} MiB: is a quote in it never closed?",
                self.here(),
                LARGEST_RECORD >> 20
            ));
        }
        // Twice as much each time, as a long record is looked at from its start again.
        self.buffer.resize(held + STEP.max(held), 0);
        let mut filled = held;
        while filled < self.buffer.len() && !self.is_at_end {
            match self.input.read(&mut self.buffer[filled..]) {
                Ok(0) => self.is_at_end = true,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("it cannot be read to its end ({error}): is it complete?")),
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }

    fn read_header(&mut self) -> Result<(), String> {
        if self.buffer.starts_with(b"\xff\xfe") || self.buffer.starts_with(b"\xfe\xff") {
            return Err("it is UTF-16: save it as UTF-8".to_owned());
        }
        if self.buffer.starts_with(BOM) {
            self.next = BOM.len();
        }
        if self.pass_blank_lines()? {
            return Err("it is empty: a file starts with a line that names its columns".to_owned());
        }
        let end = loop {
            match self.find_record(self.next) {
                Found::Record(end) => break end,
                Found::Wrong(what) => return Err(format!("the header: {what}")),
                Found::Incomplete => {
                    self.spans.clear();
                    self.fill()?;
                }
            }
        };
        let mut names = Vec::with_capacity(self.spans.len());
        for (index, span) in self.spans.iter().enumerate() {
            let name = std::str::from_utf8(&self.buffer[span.start..span.end])
                .map_err(|_| "the header is no UTF-8: save the file as UTF-8".to_owned())?;
            let name = if span.is_escaped { name.replace("\"\"", "\"") } else { name.to_owned() };
            // As tools write an index that has no name.
            let name = if name.trim().is_empty() { format!("column_{}", index + 1) } else { name.trim().to_owned() };
            names.push(name);
        }
        if names.len() > MOST_COLUMNS {
            return Err(format!("the header names {} columns; {MOST_COLUMNS} are allowed", names.len()));
        }
        let is_quoted = self.buffer.get(self.next) == Some(&b'"');
        if names.len() == 1 && !is_quoted && names[0].contains([',', ';', '\t', '|']) {
            return Err(format!(
                "the header names one column only, {:?}: values stand apart by commas in `.csv`, by tabs in `.tsv`; write it so, \
                 or put the name in double quotes if it is one",
                names[0]
            ));
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the header names {:?} twice: rename one of the columns", twice[0]));
        }
        self.line += memchr_iter(b'\n', &self.buffer[self.next..end]).count() as u64;
        self.next = end;
        self.header = names;
        Ok(())
    }

    fn here(&self) -> String {
        format!("row {} (line {})", self.rows + 1, self.line)
    }

    /// The message for a byte that is no UTF-8, which stands at `at`.
    fn no_utf8(&self, at: usize) -> String {
        let columns = self.header.len();
        let place = self.spans.iter().position(|span| span.end > at);
        let index = place.unwrap_or_else(|| self.spans.len().saturating_sub(1));
        let first_row = self.rows + 1 - self.lines.len() as u64;
        let (row, column) = (index / columns, index % columns);
        format!(
            "row {} (line {}), column {:?} holds bytes that are no UTF-8: save the file as UTF-8",
            first_row + row as u64,
            self.lines.get(row).copied().unwrap_or(self.line),
            self.header[column]
        )
    }
}

/// The place of the quote that closes a value that begins at `start`, and whether there are doubled ones before it.
fn closing_quote(buffer: &[u8], start: usize, is_at_end: bool) -> Result<(usize, bool), Found> {
    let (mut at, mut is_escaped) = (start, false);
    loop {
        let Some(found) = memchr(b'"', &buffer[at..]) else {
            return Err(match is_at_end {
                true => Found::Wrong("a double quote opens a value and is never closed: close it, or write it twice"),
                false => Found::Incomplete,
            });
        };
        let quote = at + found;
        match buffer.get(quote + 1) {
            Some(b'"') => (at, is_escaped) = (quote + 2, true),
            None if !is_at_end => return Err(Found::Incomplete),
            _ => return Ok((quote, is_escaped)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<(Vec<String>, Vec<Vec<String>>), String> {
        let mut records = Records::of(Box::new(std::io::Cursor::new(text.to_vec())), b',')?;
        let header = records.header().to_vec();
        let mut rows: Vec<Vec<String>> = Vec::new();
        while let Some(block) = records.next_block()? {
            let columns: Vec<Vec<Cow<'_, str>>> =
                (0..header.len()).map(|index| block.column(index).collect()).collect();
            rows.extend((0..block.rows()).map(|row| columns.iter().map(|column| column[row].to_string()).collect()));
        }
        Ok((header, rows))
    }

    #[test]
    fn quotes_line_breaks_and_marks() {
        let text = "\u{feff}id, full name ,\"q\"\"t\"\r\n1,\"a,\"\"b\"\"\r\nc\",\r\n\r\n2,5\" pipe,\"\"";
        let (header, rows) = read(text.as_bytes()).unwrap();
        assert_eq!(header, ["id", "full name", "q\"t"]);
        assert_eq!(rows, [["1", "a,\"b\"\r\nc", ""], ["2", "5\" pipe", ""]]);
        assert_eq!(read(b"n\n1\n\n2\n").unwrap().1, [["1"], [""], ["2"]]);
        assert_eq!(read(b"\"a;b\"\n1\n").unwrap().0, ["a;b"]);
        assert_eq!(read(b"n").unwrap(), (vec!["n".to_owned()], vec![]));
        assert_eq!(
            read(b",b\n1,2\r").unwrap(),
            (vec!["column_1".into(), "b".into()], vec![vec!["1".into(), "2".into()]])
        );
    }

    #[test]
    fn what_would_be_lost_is_refused_with_its_place() {
        for (text, expected) in [
            (&b"a,b\n1,2\n3\n"[..], "row 2 (line 3) has 1 value, but the header names 2 columns"),
            (b"a,b\n1,\"x\ny\"\n1,2,3\n", "row 2 (line 4) has 3 values"),
            (b"a\n\"1\n2\n", "row 1 (line 2): a double quote opens a value and is never closed"),
            (b"a\n\"1\"2\n", "row 1 (line 2): there is more after a closing quote"),
            (b"a,b\r1,2\r", "the header: a carriage return stands alone"),
            (b"a,b\n1,2\n3,\xe4\n", "row 2 (line 3), column \"b\" holds bytes that are no UTF-8"),
            (b"a,b\n\xe4,\"x\n\"\n3,\n", "row 1 (line 2), column \"a\""),
            (b"a,a\n", "names \"a\" twice"),
            (b"a;b\n1;2\n", "one column only, \"a;b\""),
            (b"", "it is empty"),
            (b"\n\n", "it is empty"),
            (b"\xff\xfea\0", "UTF-16"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{:?}: {error}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        /// What is written by the rules is read as it was.
        #[test]
        fn what_was_quoted_is_read_back(rows in prop::collection::vec(prop::collection::vec("[a\",;\r\n é]{0,4}", 2), 0..6)) {
            let mut text = "a,b\r\n".to_owned();
            for row in &rows {
                let quoted: Vec<String> = row.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
                text.push_str(&format!("{}\r\n", quoted.join(",")));
            }
            prop_assert_eq!(read(text.as_bytes()).unwrap().1, rows);
        }
    }
}
