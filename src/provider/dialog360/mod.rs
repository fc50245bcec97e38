//! 360dialog: a solution provider in front of Meta's Cloud API, and of the On-Premises API where
//! that still runs.

pub mod manage;
pub mod send;
pub mod webhook;
