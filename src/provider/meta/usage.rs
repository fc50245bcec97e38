//! How much of what Meta allows is used up, as the headers of its answers say: in percent, and
//! where it is all of it, for how many minutes nothing more is allowed.

use std::time::Duration;

use serde_json::Value;

/// For the app as a whole: an object.
pub const OF_APP: &str = "x-app-usage";
/// For a business account: of each, a list of objects.
pub const OF_ACCOUNT: &str = "x-business-use-case-usage";

/// All of it.
const ALL: f64 = 100.0;
/// Where it is not said how long: usage counts over an hour that moves on.
const A_WHILE: Duration = Duration::from_secs(60);
/// Calls that read templates and numbers are counted apart from messages.
const MANAGEMENT: &str = "whatsapp_business_management";

/// How long nothing more is allowed, if it is all used up. `sends` asks for messages, else for
/// what is read.
pub fn wait(name: &str, value: &str, sends: bool) -> Option<Duration> {
    let usage: Value = serde_json::from_str(value).ok()?;
    if name == OF_APP {
        return wait_of(&usage);
    }
    let accounts = usage.as_object()?.values();
    let uses = accounts.filter_map(Value::as_array).flatten();
    uses.filter(|usage| (usage["type"] == MANAGEMENT) != sends)
        .filter_map(wait_of)
        .max()
}

fn wait_of(usage: &Value) -> Option<Duration> {
    let minutes = usage["estimated_time_to_regain_access"].as_u64();
    if let Some(minutes) = minutes.filter(|minutes| *minutes > 0) {
        return Some(Duration::from_secs(minutes.saturating_mul(60)));
    }
    let percent = ["call_count", "total_cputime", "total_time"].map(|name| usage[name].as_f64());
    let is_all = percent.iter().flatten().any(|percent| *percent >= ALL);
    is_all.then_some(A_WHILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_waited_for() {
        let app = |value| wait(OF_APP, value, true);
        assert_eq!(
            app(r#"{"call_count":99,"total_cputime":3,"total_time":0}"#),
            None
        );
        assert_eq!(
            app(r#"{"call_count":3,"total_cputime":100,"total_time":0}"#),
            Some(A_WHILE)
        );
        let account = r#"{"880000000000033":[
            {"type":"whatsapp_business_management","call_count":100,"total_cputime":1,
             "total_time":1,"estimated_time_to_regain_access":7},
            {"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":0}],
            "880000000000034":[{"type":"whatsapp","estimated_time_to_regain_access":3}]}"#;
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        assert_eq!(wait(OF_ACCOUNT, account, true), minutes(3));
        assert_eq!(wait(OF_ACCOUNT, account, false), minutes(7));
        for noise in [
            "",
            "[]",
            "7",
            r#"{"a":7}"#,
            r#"{"a":[7]}"#,
            r#"{"call_count":"x"}"#,
        ] {
            assert_eq!(
                (app(noise), wait(OF_ACCOUNT, noise, true)),
                (None, None),
                "{noise}"
            );
        }
    }
}
