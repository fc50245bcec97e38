//! WhatsApp Cloud API, as Meta offers it itself.

pub mod graph;
pub(in crate::provider) mod health;
pub mod manage;
pub mod send;
pub mod webhook;

/// Whether a status carries our attempt's id back, so that an attempt whose answer was lost can
/// be settled by evidence. `biz_opaque_callback_data` does; Meta promises it for `sent`,
/// `delivered` and `read` and says nothing of `failed`.
pub const CORRELATES: bool = true;
