//! What may be asked: exactly one query, that only reads.
//!
//! Judges the text and its syntax tree; that the plan made of it does not write either is checked once it is planned.

use super::failure::sql_failure;
use crate::dialect::without_semicolon;
use crate::{ErrorKind, Failure};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as Ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::HashSet;

/// Who wrote the SQL: only ours may name intermediate results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Pipeline,
    User,
}

/// A statement known to be one query.
#[derive(Debug)]
pub struct Query {
    statement: Statement,
    /// The tables of files that it names, once they were looked up.
    pub tables: Vec<String>,
    /// All words in it, as names are looked up: in lower case where they are not quoted.
    words: HashSet<String>,
}

impl Query {
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Whether a name stands in it.
    pub fn names(&self, name: &str) -> bool {
        self.words.contains(name)
    }
}

/// Parses one query; a semicolon may end it. Errors name line and column where the parser knows them.
pub fn parse(sql: &str) -> Result<Query, Failure> {
    let dialect = GenericDialect {};
    let sql = without_semicolon(sql);
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| Failure::of(ErrorKind::Sql, format!("the SQL cannot be read: {error}")))?;
    if let Some(semicolon) = tokens.iter().find(|token| token.token == Token::SemiColon) {
        let at = semicolon.span.start;
        return Err(Failure::of(
            ErrorKind::Forbidden,
            format!("there is more after the `;` at line {}, column {}; give one query", at.line, at.column),
        ));
    }
    if tokens.iter().all(|token| matches!(token.token, Token::Whitespace(_) | Token::EOF)) {
        return Err(Failure::of(ErrorKind::Sql, "the SQL is empty; give a query such as SELECT … FROM a table"));
    }
    let mut statements = DFParser::parse_sql_with_dialect(sql, &dialect).map_err(|error| sql_failure(&error))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(Statement::Statement(ast)), true) if matches!(*ast, Ast::Query(_)) => {
            let words = tokens.iter().filter_map(|token| match &token.token {
                Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
                Token::Word(word) => Some(word.value.to_lowercase()),
                _ => None,
            });
            Ok(Query { statement: Statement::Statement(ast), tables: Vec::new(), words: words.collect() })
        }
        _ => {
            let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
            Err(forbidden(&first.map_or_else(String::new, |token| token.token.to_string().to_uppercase())))
        }
    }
}

/// The refusal of `what`, a keyword or a short description.
pub fn forbidden(what: &str) -> Failure {
    Failure::of(
        ErrorKind::Forbidden,
        format!(
            "{what} is not allowed; give one query (SELECT, WITH or VALUES) that only reads the warehouse's tables"
        ),
    )
}
