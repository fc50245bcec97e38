//! A sequence as the API shows it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::content::Span;
use super::message_view::MessageView;
use super::moment::Moment;
use super::quiet::QuietView;
use crate::model::duration;
use crate::model::ids::{CampaignId, SenderId, SequenceId};
use crate::model::sequence::{
    Gate, GateStatus, OnDeadline, OnFailure, OnOptOut, OnTemplatePause, OutsideWindow, Reason,
    SequenceStatus,
};
use crate::store::sequences::SequenceRow;

/// An ordered list of messages to one recipient.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sequence)]
pub struct SequenceView {
    id: SequenceId,
    sender: SenderId,
    to: String,
    reference: Option<String>,
    status: SequenceStatus,
    /// Set while it is held or stopped.
    reason: Option<Reason>,
    /// Of the message that is being sent or waited for; of the last one at the end.
    position: i32,
    gate: GateView,
    on_failure: OnFailure,
    stop_on_reply: bool,
    on_opt_out: OnOptOut,
    outside_window: OutsideWindow,
    on_template_pause: OnTemplatePause,
    quiet_hours: Option<QuietView>,
    /// When the gate of the message at `position` is decided by time.
    deadline_at: Option<Moment>,
    paused_at: Option<Moment>,
    /// Of a campaign's sequence only those that have been taken up.
    messages: Vec<MessageView>,
    campaign: Option<CampaignId>,
    /// What this recipient's own is in the campaign's messages.
    #[schema(value_type = Option<Object>)]
    variables: Option<Value>,
    created_at: Moment,
}

/// What the next message waits for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gate)]
pub struct GateView {
    status: GateStatus,
    #[schema(value_type = Span)]
    deadline: String,
    on_deadline: OnDeadline,
}

impl From<Gate> for GateView {
    fn from(gate: Gate) -> Self {
        Self {
            status: gate.status,
            deadline: duration::show(gate.deadline),
            on_deadline: gate.on_deadline,
        }
    }
}

impl SequenceView {
    /// How it looks now.
    pub fn of(api: &Api, row: SequenceRow) -> Self {
        Self {
            id: row.id,
            sender: row.id.sender,
            to: row.recipient,
            reference: row.reference,
            status: row.status,
            // Else it is why a message is posted again, which its attempts show.
            reason: row
                .reason
                .filter(|_| matches!(row.status, SequenceStatus::Held | SequenceStatus::Stopped)),
            position: row.head.min(row.length),
            gate: row.gate.into(),
            on_failure: row.on_failure,
            stop_on_reply: row.policy.stop_on_reply,
            on_opt_out: row.policy.on_opt_out,
            outside_window: row.policy.outside_window,
            on_template_pause: row.policy.on_template_pause,
            quiet_hours: row.quiet_hours.map(QuietView::from),
            deadline_at: row.deadline_at.map(Moment),
            paused_at: row.paused_at.map(Moment),
            messages: row
                .messages
                .iter()
                .map(|message| api.show_message(message))
                .collect(),
            campaign: row.campaign,
            variables: row.variables,
            created_at: row.created_at.into(),
        }
    }
}
