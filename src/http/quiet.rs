//! Quiet hours as callers write them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::FieldError;
use crate::model::quiet::{QuietHours, is_time_zone, parse_time, show_time};

/// When nothing is posted, by the recipient's own clock.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuietHours, example = json!({"from": "21:00", "to": "08:00", "time_zone": null}))]
pub struct QuietView {
    /// A time of day. It is quiet over midnight where `to` is the earlier.
    #[schema(pattern = "^[0-9]{2}:[0-9]{2}$", example = "21:00")]
    from: String,
    /// The first time of day that is not quiet.
    #[schema(pattern = "^[0-9]{2}:[0-9]{2}$", example = "08:00")]
    to: String,
    /// An IANA name. As the number's prefix says where nothing is said; where that leaves several
    /// it is quiet as long as it is in any.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
}

impl QuietView {
    /// Reads them.
    pub fn read(self, at: &str, errors: &mut Vec<FieldError>) -> Option<QuietHours> {
        let before = errors.len();
        let mut time = |field: &str, text: &str| {
            parse_time(text).unwrap_or_else(|error| {
                errors.push(FieldError::new(format!("{at}quiet_hours.{field}"), error));
                0
            })
        };
        let (from, to) = (time("from", &self.from), time("to", &self.to));
        if self
            .time_zone
            .as_deref()
            .is_some_and(|name| !is_time_zone(name))
        {
            let field = format!("{at}quiet_hours.time_zone");
            let message = "expected an IANA name such as `Europe/Berlin`";
            errors.push(FieldError::new(field, message));
        }
        if from == to {
            let message = "expected another time than `from`: it would never be quiet";
            errors.push(FieldError::new(format!("{at}quiet_hours.to"), message));
        }
        (errors.len() == before).then_some(QuietHours {
            from,
            to,
            time_zone: self.time_zone,
        })
    }
}

impl From<QuietHours> for QuietView {
    fn from(hours: QuietHours) -> Self {
        Self {
            from: show_time(hours.from),
            to: show_time(hours.to),
            time_zone: hours.time_zone,
        }
    }
}
