//! The command line, one file a subcommand.

pub mod demo;
pub mod simulate;
