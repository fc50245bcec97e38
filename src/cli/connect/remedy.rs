//! What to do about a provider's refusal, by its number: Meta's words for what newcomers run into
//! say little.

use crate::cli::api::{code, provider_code};

/// What to do about a provider that does not answer.
const UNREACHABLE: &str = "the provider did not answer, which says nothing of the key: does the service reach the \
     connection's base_url? twotick connect --base-url changes it";

const NOT_SEEN: &str = "this key sees no such thing: is --waba-id (--number) the id that the WhatsApp Manager \
     shows, of an account that the token's system user was given (Business settings > System users > \
     Assign assets)?";

/// By the number that Meta gave.
const OF_META: [(&str, &str); 9] = [
    (
        "190",
        "Meta does not take the token: it is cut, expired or revoked, or it is another app's than \
         PROVIDER_APP_SECRET. Make one for a system user (Business settings > System users) and run \
         twotick connect with it",
    ),
    ("803", NOT_SEEN),
    ("100", NOT_SEEN),
    (
        "10",
        "the token lacks whatsapp_business_management, or its system user was not given the account",
    ),
    (
        "200",
        "the token lacks whatsapp_business_management, or its system user was not given the account",
    ),
    (
        "15",
        "Meta wants the app's own key: PROVIDER_APP_SECRET must be the secret of the token's app",
    ),
    (
        "2200",
        "Meta asked the address whether it is ours, and was not answered as it should be: it must be \
         public, by https with a certificate that Meta trusts, and lead to this service with path and \
         query unchanged. Ask it yourself: curl the address, it should answer 401",
    ),
    (
        "4",
        "Meta's limit of calls for the app is reached: wait an hour",
    ),
    (
        "80007",
        "Meta's limit of calls for the account is reached: wait an hour",
    ),
];

/// What to do about it; `otherwise` where its number does not say.
pub(in crate::cli) fn of(error: &anyhow::Error, otherwise: &'static str) -> &'static str {
    let by_number = provider_code(error).and_then(|number| {
        let row = OF_META.iter().find(|(known, _)| *known == number);
        row.map(|(_, remedy)| *remedy)
    });
    match code(error) {
        Some("provider_failed") => by_number.unwrap_or(UNREACHABLE),
        _ => by_number.unwrap_or(otherwise),
    }
}
