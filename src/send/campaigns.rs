//! The keeper of campaigns: does what they need beside posting, a batch at a time, for as long as
//! there is any. Every instance has one; who finds a campaign locked leaves it to the other.

use tokio_util::sync::CancellationToken;

use super::Sending;
use crate::model::ids::CampaignId;
use crate::store::{CampaignWork, StoreError};

/// Keeps campaigns until `shutdown`.
pub async fn keep_campaigns(sending: Sending, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        // Dropped between two awaits at worst: a transaction is rolled back, and done again.
        let worked = tokio::select! {
            () = shutdown.cancelled() => return,
            worked = work(&sending) => worked,
        };
        let more = worked.unwrap_or_else(|error| {
            tracing::warn!(%error, "campaigns could not be looked at");
            false
        });
        if more {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sending.signals.changed_campaign() => {}
            () = tokio::time::sleep(sending.settings.poll) => {}
        }
    }
}

/// A batch of each. Whether any may have more to do at once.
async fn work(sending: &Sending) -> Result<bool, StoreError> {
    let mut more = false;
    for campaign in sending.store.open_campaigns().await? {
        // What is wrong with one costs the others nothing.
        more |= work_on(sending, campaign).await.unwrap_or_else(|error| {
            tracing::warn!(%campaign, %error, "a campaign could not be gone on with");
            false
        });
    }
    Ok(more)
}

async fn work_on(sending: &Sending, campaign: CampaignId) -> Result<bool, StoreError> {
    let work = sending.store.work_on_campaign(campaign).await?;
    if work == CampaignWork::More {
        sending.signals.due(campaign.sender);
        sending.signals.changed();
    }
    sending.store.count_campaign(campaign).await?;
    Ok(work == CampaignWork::More)
}
