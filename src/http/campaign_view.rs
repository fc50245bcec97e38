//! A campaign as the API shows it.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::content::Span;
use super::moment::Moment;
use super::quiet::QuietView;
use super::schema::WaitingReason;
use super::sequence_view::GateView;
use crate::model::Timestamp;
use crate::model::campaign::CampaignStatus;
use crate::model::duration;
use crate::model::ids::{CampaignId, SenderId};
use crate::model::sequence::{OnFailure, OnOptOut, OnTemplatePause, OutsideWindow};
use crate::store::campaign_counts::PutOff;
use crate::store::campaigns::Campaign;
use crate::store::sequence_create::NewStep;

/// The same sequence for many recipients of one sender.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub struct CampaignView {
    id: CampaignId,
    sender: SenderId,
    name: String,
    label: Option<String>,
    status: CampaignStatus,
    gate: GateView,
    on_failure: OnFailure,
    stop_on_reply: bool,
    on_opt_out: OnOptOut,
    outside_window: OutsideWindow,
    on_template_pause: OnTemplatePause,
    quiet_hours: Option<QuietView>,
    allow_repeats: bool,
    /// `null` where all go, or once the rest does.
    pace: Option<PaceView>,
    /// `template` where it paused itself: one may not be sent any more, or its quality is low.
    paused_because: Option<String>,
    /// What the messages take from each recipient.
    variables: Vec<String>,
    /// As they were given.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// Of whole uploads.
    recipients: i64,
    counts: CountsView,
    /// When they were counted: big campaigns are counted now and then.
    counted_at: Option<Moment>,
    /// Messages that were taken up, over the last minute, or since it goes. `null` in lists.
    messages_per_second: Option<f64>,
    /// Why nothing of it is posted now though it runs, as of `counted_at`; `null` in lists.
    waiting: Option<CampaignWaiting>,
    /// When all of its messages will have gone: at the rate of the last minute, or at its sender's
    /// where nothing went in it; from when the first goes on, where all wait. A guess; `null` where
    /// nobody can say, and where none is left.
    expected_end: Option<Moment>,
    created_at: Moment,
    activated_at: Option<Moment>,
    paused_at: Option<Moment>,
    /// When it was completed or cancelled.
    ended_at: Option<Moment>,
}

/// What all of a campaign waits for that could be posted.
#[derive(Debug, Serialize, ToSchema)]
struct CampaignWaiting {
    /// Of most of them.
    #[schema(value_type = WaitingReason)]
    reason: &'static str,
    since: Moment,
    /// When the first of them is tried again, where that is a matter of time.
    until: Option<Moment>,
}

/// Some go first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pace)]
struct PaceView {
    first: i64,
    #[schema(value_type = Span)]
    then_watch: String,
    /// When the rest goes, once all of the first have been taken up.
    watch_until: Option<Moment>,
}

/// How many recipients stand how.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = CampaignCounts)]
struct CountsView {
    /// Nothing has been posted to them.
    queued: i64,
    in_progress: i64,
    completed: i64,
    /// Ended by a policy, such as that of a deadline or a reply.
    stopped: i64,
    /// Ended because a message failed.
    failed: i64,
    cancelled: i64,
}

impl CampaignView {
    /// How one looks now.
    pub fn of(campaign: Campaign) -> Self {
        let rate = rate(campaign.last_minute, campaign.going_for);
        let waiting = waiting(&campaign);
        Self {
            messages_per_second: Some(rate),
            waiting: waiting.map(|waiting| CampaignWaiting {
                reason: waiting.reason.as_str(),
                since: waiting.since.into(),
                until: waiting.until.map(Moment),
            }),
            expected_end: end(&campaign, rate, waiting).map(Moment),
            ..Self::in_list(campaign)
        }
    }

    /// Without what a list does not read.
    pub fn in_list(campaign: Campaign) -> Self {
        Self {
            id: campaign.id,
            sender: campaign.id.sender,
            status: campaign.status,
            gate: campaign.gate.into(),
            on_failure: campaign.on_failure,
            stop_on_reply: campaign.policy.stop_on_reply,
            on_opt_out: campaign.policy.on_opt_out,
            outside_window: campaign.policy.outside_window,
            on_template_pause: campaign.policy.on_template_pause,
            quiet_hours: campaign.quiet_hours.clone().map(QuietView::from),
            allow_repeats: campaign.allow_repeats,
            pace: campaign.pace.map(|pace| PaceView {
                first: pace.first,
                then_watch: duration::show(pace.then_watch),
                watch_until: campaign.watch_until.map(Moment),
            }),
            messages: campaign.steps.iter().map(show_step).collect(),
            recipients: campaign.recipients,
            counts: CountsView::of(&campaign),
            counted_at: campaign.counted_at.map(Moment),
            messages_per_second: None,
            waiting: None,
            expected_end: None,
            created_at: campaign.created_at.into(),
            activated_at: campaign.activated_at.map(Moment),
            paused_at: campaign.paused_at.map(Moment),
            ended_at: campaign.ended_at.map(Moment),
            name: campaign.name,
            label: campaign.label,
            variables: campaign.variables,
            paused_because: campaign.paused_because,
        }
    }
}

impl CountsView {
    /// Recipients that are no sequences yet wait, or were cancelled before they became any.
    fn of(campaign: &Campaign) -> Self {
        let counts = campaign.counts.unwrap_or_default();
        let others = (campaign.recipients - counts.sequences()).max(0);
        let is_cancelled = campaign.status == CampaignStatus::Cancelled;
        Self {
            queued: counts.queued + if is_cancelled { 0 } else { others },
            in_progress: counts.in_progress,
            completed: counts.completed,
            stopped: counts.stopped,
            failed: counts.failed,
            cancelled: counts.cancelled + if is_cancelled { others } else { 0 },
        }
    }
}

/// A second, of messages that were taken up in the last minute, or since it goes.
fn rate(last_minute: i64, going_for: Duration) -> f64 {
    let seconds = going_for.as_secs_f64().clamp(1.0, 60.0);
    (last_minute as f64 / seconds * 100.0).round() / 100.0
}

fn waiting(campaign: &Campaign) -> Option<PutOff> {
    let counts = campaign.counts.unwrap_or_default();
    counts
        .waiting
        .filter(|_| campaign.status == CampaignStatus::Running)
}

/// When all will have gone, as far as anybody can say.
fn end(campaign: &Campaign, rate: f64, waiting: Option<PutOff>) -> Option<Timestamp> {
    let counted_at = campaign.counted_at?;
    let from = match waiting {
        Some(waiting) => waiting.until?.max(counted_at),
        None => counted_at,
    };
    let per_second = match rate > 0.0 {
        true => rate,
        false => f64::from(campaign.messages_per_second),
    };
    let left = left(campaign);
    let goes = campaign.status == CampaignStatus::Running && left > 0 && per_second > 0.0;
    let seconds = (left as f64 / per_second).min(1e9);
    from.checked_add(time::Duration::seconds_f64(seconds))
        .filter(|_| goes)
}

/// Messages that may still go, if no sequence ends early.
fn left(campaign: &Campaign) -> i64 {
    let counts = campaign.counts.unwrap_or_default();
    let length = i64::try_from(campaign.steps.len()).unwrap_or(0);
    counts.messages_left + (campaign.recipients - counts.sequences()).max(0) * length
}

fn show_step(step: &NewStep) -> Value {
    let mut shown = json!({
        "type": step.kind, "delay": duration::show(step.delay), "reference": step.reference,
        "on_unknown": step.on_unknown, "gate": step.gate.map(GateView::from),
    });
    shown[&step.kind] = step.content.clone();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_a_campaign_that_has_just_begun_is_that_since_then() {
        assert_eq!(rate(600, Duration::from_secs(60)), 10.0);
        assert_eq!(rate(600, Duration::from_secs(3600)), 10.0);
        assert_eq!(rate(50, Duration::from_secs(5)), 10.0);
        assert_eq!(rate(5, Duration::from_millis(10)), 5.0);
        assert_eq!(rate(0, Duration::ZERO), 0.0);
    }
}
