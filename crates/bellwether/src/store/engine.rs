//! What is of databases: how statements reach SQLite and PostgreSQL, in which transaction and on
//! which thread. What they say is in the files beside this folder.

pub mod batch;
pub mod dialect;
pub mod error;
pub mod migrate;
pub mod node_hints;
pub mod postgres;
pub mod rows;
pub mod sqlite;
pub mod threads;
pub mod tolerant;
pub mod value;
pub mod write;
