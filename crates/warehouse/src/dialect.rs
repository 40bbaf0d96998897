//! The pieces of SQL that differ between warehouses, as text for generated statements.
//!
//! Arguments called `expr` are SQL already and are put in parentheses where it matters; names and texts are quoted here.
//! Another warehouse is another variant: the compiler then asks for each piece.

/// The schema of intermediate results. Tables of files and of users live elsewhere, so names cannot clash.
pub const SCRATCH_SCHEMA: &str = "bellwether";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    DataFusion,
}

impl Dialect {
    /// A name of a column or table, exactly as spelled.
    pub fn identifier(self, name: &str) -> String {
        match self {
            Dialect::DataFusion => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// A text literal.
    pub fn text(self, text: &str) -> String {
        match self {
            Dialect::DataFusion => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// A literal that is read back as exactly this number.
    pub fn number(self, value: f64) -> String {
        match self {
            Dialect::DataFusion => format!("CAST('{value:e}' AS DOUBLE)"),
        }
    }

    /// `expr` as a double.
    pub fn to_double(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("CAST(({expr}) AS DOUBLE)"),
        }
    }

    /// `expr` as a double; null where it is a text that is no number.
    pub fn try_double(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("TRY_CAST(({expr}) AS DOUBLE)"),
        }
    }

    /// `expr`, a double, itself; the query fails where it is infinite or NaN, and says that `place` holds it.
    pub fn finite(self, expr: &str, place: &str) -> String {
        match self {
            Dialect::DataFusion => format!("finite({expr}, {})", self.text(place)),
        }
    }

    /// `expr` as text: how subjects and variations are compared, whatever type each source gives them.
    pub fn to_text(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("CAST(({expr}) AS VARCHAR)"),
        }
    }

    /// `expr`, a timestamp, date or text, as the integer of microseconds since 1970-01-01T00:00:00Z: times are integers in
    /// all generated statements. Without an offset it is UTC. Null where it is a text that is no time.
    pub fn micros(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("CAST(TRY_CAST({expr} AS TIMESTAMP(6)) AS BIGINT)"),
        }
    }

    /// The first characters of a text.
    pub fn prefix(self, expr: &str, characters: usize) -> String {
        match self {
            Dialect::DataFusion => format!("left({expr}, {characters})"),
        }
    }

    /// How many characters a text has.
    pub fn length(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("character_length({expr})"),
        }
    }

    pub fn least(self, left: &str, right: &str) -> String {
        match self {
            Dialect::DataFusion => format!("least({left}, {right})"),
        }
    }

    pub fn greatest(self, left: &str, right: &str) -> String {
        match self {
            Dialect::DataFusion => format!("greatest({left}, {right})"),
        }
    }

    /// An aggregate of a subject's facts: its arm, how many facts there are, and how many of them meet each of two
    /// conditions, in one value. [`Dialect::of_tally`] takes it apart.
    pub fn tally(self, arm: &str, is_before: &str, is_after: &str) -> String {
        match self {
            Dialect::DataFusion => format!("tally({arm}, {is_before}, {is_after})"),
        }
    }

    /// A part of a tally: `arm`, `facts`, `before_assignment` or `after_end`.
    pub fn of_tally(self, tally: &str, part: &str) -> String {
        match self {
            Dialect::DataFusion => format!("get_field({tally}, {})", self.text(part)),
        }
    }

    /// An aggregate: how many rows meet `condition`.
    pub fn count_if(self, condition: &str) -> String {
        match self {
            Dialect::DataFusion => format!("COUNT(*) FILTER (WHERE {condition})"),
        }
    }

    /// An aggregate: how many distinct values.
    pub fn count_distinct(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("COUNT(DISTINCT {expr})"),
        }
    }

    /// An aggregate: of the rows that meet `condition`, the value at the earliest time; of several at that time the smallest.
    /// Nulls do not count.
    pub fn first(self, value: &str, time: &str, condition: &str) -> String {
        match self {
            Dialect::DataFusion => format!(
                "FIRST_VALUE({value} ORDER BY {time}, {value}) FILTER (WHERE {condition} AND {value} IS NOT NULL)"
            ),
        }
    }

    /// An aggregate: of the rows that meet `condition`, the value at the latest time; of several at that time the greatest.
    /// Nulls do not count.
    pub fn last(self, value: &str, time: &str, condition: &str) -> String {
        match self {
            Dialect::DataFusion => format!(
                "FIRST_VALUE({value} ORDER BY {time} DESC, {value} DESC) FILTER (WHERE {condition} AND {value} IS NOT NULL)"
            ),
        }
    }

    /// An aggregate: the text at the earliest time, which may be null; of several at that time the smallest.
    pub fn text_at_first(self, text: &str, time: &str) -> String {
        match self {
            Dialect::DataFusion => format!("FIRST_VALUE({text} ORDER BY {time}, {text} NULLS LAST)"),
        }
    }

    /// An aggregate: the sum of doubles, correctly rounded, which no order of addition changes. Null without values.
    pub fn exact_sum(self, expr: &str) -> String {
        match self {
            Dialect::DataFusion => format!("exact_sum({expr})"),
        }
    }

    /// An aggregate: the quantile at `probability` (0 to 1), interpolated linearly between neighbours (type 7 of Hyndman
    /// & Fan 1996, The American Statistician 50, 361–365), exact.
    pub fn quantile(self, expr: &str, probability: f64) -> String {
        match self {
            Dialect::DataFusion => format!("exact_quantile({expr}, {})", self.number(probability)),
        }
    }

    /// The intermediate result `name`, for a FROM clause.
    pub fn intermediate(self, name: &str) -> String {
        match self {
            Dialect::DataFusion => format!("{SCRATCH_SCHEMA}.{}", self.identifier(name)),
        }
    }

    /// A user's query, once checked, as a source for a FROM clause. It stands on its own lines, so that a comment at its
    /// end swallows nothing of ours.
    pub fn subquery(self, sql: &str, alias: &str) -> String {
        match self {
            Dialect::DataFusion => format!("(\n{}\n) AS {}", without_semicolon(sql), self.identifier(alias)),
        }
    }
}

/// A statement without the semicolons and blanks that may end it.
pub fn without_semicolon(sql: &str) -> &str {
    sql.trim_end_matches(|c: char| c == ';' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        let dialect = Dialect::DataFusion;
        assert_eq!(dialect.identifier("a\"b; DROP"), "\"a\"\"b; DROP\"");
        assert_eq!(dialect.text("it's \\'"), "'it''s \\'''");
        assert_eq!(dialect.intermediate("Daily"), "bellwether.\"Daily\"");
    }

    #[test]
    fn a_trailing_semicolon_or_comment_does_not_break_a_subquery() {
        let dialect = Dialect::DataFusion;
        assert_eq!(dialect.subquery("SELECT 1 ;\n ;", "s"), "(\nSELECT 1\n) AS \"s\"");
        assert_eq!(dialect.subquery("SELECT 1 -- one", "s"), "(\nSELECT 1 -- one\n) AS \"s\"");
    }
}
