//! 360dialog: a solution provider in front of Meta's Cloud API, and of the On-Premises API where
//! that still runs.

pub mod manage;
pub mod send;
pub mod webhook;

/// The header that bears a partner's key, and what stands before the key in it ("Partner API").
pub const HUB_KEY: (&str, &str) = ("x-api-key", "");

/// Where partners' calls go, beside the address of those of numbers. Whoever stands in for 360dialog
/// does so for both.
pub fn hub(base_url: &str) -> &str {
    let host = base_url.strip_prefix("https://").unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default();
    match host.to_ascii_lowercase().ends_with(".360dialog.io") {
        true => "https://hub.360dialog.io",
        false => base_url,
    }
}

#[cfg(test)]
mod tests {
    use super::hub;

    #[test]
    fn a_partners_key_goes_to_the_hub_of_360dialog_or_to_who_stands_in_for_it() {
        for base_url in [
            "https://waba-v2.360dialog.io",
            "https://WABA.360dialog.io/x",
        ] {
            assert_eq!(hub(base_url), "https://hub.360dialog.io");
        }
        for base_url in [
            "http://127.0.0.1:14010",
            "https://waba-v2.360dialog.io.example",
            "https://example/waba-v2.360dialog.io",
        ] {
            assert_eq!(hub(base_url), base_url);
        }
    }
}
