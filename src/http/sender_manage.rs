//! `/v1/senders`, as far as a call reads from the provider or changes something there: numbers that
//! are read, added and registered. A PIN and a code are in the request's body alone: nothing here
//! keeps them, so these calls take no `Idempotency-Key`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::connections::SecretText;
use super::json::Json;
use super::managed::{Whose, note, refuse};
use super::once::OnceBody;
use super::problem::ApiError;
use super::request::{Body, id};
use super::senders::{View, read};
use crate::manage::Account;
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::provider::Provider;
use crate::provider::operations::Operation;
use crate::provider::operations::senders::{ADD_SENDER, LIST_SENDERS, READ_SENDER};
use crate::provider::registration::{Change, Method, NewNumber};
use crate::store::Once;
use crate::store::senders::Sender;

/// How to find out what became of a call whose answer was lost.
pub(super) const LOOK: &str = "look with `GET /v1/senders/{id}?fresh=true`, or \
                               `POST /v1/senders/sync`, before you ask again";

/// The most numbers that are asked for by name.
const MOST_NUMBERS: usize = 1_000;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sync))
        .routes(routes!(add))
        .routes(routes!(request_code))
        .routes(routes!(verify))
        .routes(routes!(register))
        .routes(routes!(deregister))
        .routes(routes!(set_pin))
}

/// What the provider answered to a change of a sender.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SenderAnswer)]
pub(super) struct Done {
    id: SenderId,
    provider_answer: Value,
}

impl Done {
    pub(super) fn of(id: SenderId, provider_answer: Value) -> Self {
        Self {
            id,
            provider_answer,
        }
    }
}

impl Api {
    /// A sender by its id in a path, and its account.
    pub(super) async fn sender_account(
        &self,
        text: &str,
        operation: &'static Operation,
    ) -> Result<(Sender, Account), ApiError> {
        let known = self.store.sender(id(text, "sender")?).await?;
        let sender = known.ok_or(ApiError::NotFound("sender"))?;
        let whose = Whose::of(Some(sender.id), None, None);
        let account = self.account_of_any(&whose, operation).await?;
        Ok((sender, account))
    }

    /// A sender as its provider shows it now.
    pub(super) async fn fresh_sender(&self, sender: SenderId) -> Result<View, ApiError> {
        let (sender, account) = self
            .sender_account(&sender.to_string(), &READ_SENDER)
            .await?;
        let shown = self.manage.read_sender(&account, &sender).await?;
        let (object, told) = shown.ok_or_else(|| {
            ApiError::not_there("the provider shows nothing of this number to this key")
        })?;
        self.told(told);
        Ok(read(self, sender.id).await?.with(object))
    }

    /// Whether a call for this number is one for it. 360dialog's name none: they are about the number of
    /// the key, and a connection whose webhook is its account's has senders that are other numbers.
    pub(super) async fn keys_own(
        &self,
        account: &Account,
        sender: &Sender,
    ) -> Result<(), ApiError> {
        if account.connection.provider != Provider::Dialog360 {
            return Ok(());
        }
        match self.manage.read_sender(account, sender).await? {
            Some((_, told)) => {
                self.told(told);
                Ok(())
            }
            None => Err(ApiError::not_there(
                "the connection's key is another number's, and 360dialog does this for the key's own \
                 number alone: make a connection with this number's key",
            )),
        }
    }

    /// What was read may have opened what many wait for.
    fn told(&self, differences: usize) {
        if differences > 0 {
            self.signals.all_due_here();
            self.signals.changed();
        }
    }

    /// Takes a step of a sender's registration.
    async fn step(&self, sender: &str, change: Change) -> Result<Json<Done>, ApiError> {
        let operation = change.operation();
        let (sender, account) = self.sender_account(sender, operation).await?;
        note(&account, &format!("number {}", sender.phone_number_id));
        refuse(change.check())?;
        let done = self.manage.register(&account, &change).await;
        let done = done.map_err(|error| ApiError::from(error).found_out_by(LOOK))?;
        Ok(Json(Done::of(sender.id, done)))
    }
}

/// Which numbers are to be read from the provider.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SenderSync)]
struct Sync {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Meta's account; needed where the connection's senders are of several, or of none.
    waba_id: Option<String>,
    /// These alone, by the provider's ids of them, which are their digits at Infobip. Infobip shows
    /// only numbers that it is asked for: where none are named, those of the connection's senders.
    #[serde(default)]
    #[schema(max_items = 1000)]
    numbers: Vec<String>,
}

/// What a reading of numbers brought.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncedSenders)]
struct SyncedView {
    /// All that were asked for and that the provider showed.
    data: Vec<View>,
    /// How many events tell of what differed from what was known.
    changes: usize,
}

/// Reads an account's numbers from the provider, all pages, and shows them. One that has no sender
/// yet gets one.
#[utoipa::path(
    post,
    path = "/senders/sync",
    operation_id = "sync_senders",
    tag = "Senders",
    request_body = Sync,
    responses((status = 200, body = SyncedView)),
)]
async fn sync(
    State(api): State<Api>,
    Body(asked): Body<Sync>,
) -> Result<Json<SyncedView>, ApiError> {
    let is_number = |text: &String| {
        (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some(n) = asked.numbers.iter().position(|text| !is_number(text)) {
        return Err(ApiError::field(format!("numbers[{n}]"), "expected digits"));
    }
    if asked.numbers.len() > MOST_NUMBERS {
        let most = format!("expected at most {MOST_NUMBERS}");
        return Err(ApiError::field("numbers", most));
    }
    let whose = Whose::of(asked.sender, asked.connection, asked.waba_id);
    let account = api.account_of_numbers(&whose).await?;
    note(&account, "numbers");
    let synced = api.manage.sync_senders(&account, &asked.numbers).await?;
    api.told(synced.told);
    let mut data = Vec::with_capacity(synced.senders.len());
    for (sender, object) in synced.senders {
        data.push(read(&api, sender).await?.with(object));
    }
    Ok(Json(SyncedView {
        data,
        changes: synced.told,
    }))
}

impl Api {
    /// Whose numbers are meant: Infobip's connection need not have one yet.
    async fn account_of_numbers(&self, whose: &Whose) -> Result<Account, ApiError> {
        let connection = match (whose.sender, whose.connection) {
            (None, Some(connection)) => self.connections.get(connection).await?,
            _ => None,
        };
        match connection.filter(|connection| connection.provider == Provider::Infobip) {
            None => self.account(whose, &LIST_SENDERS).await,
            Some(connection) => Ok(Account {
                connection,
                waba_id: String::new(),
                number: String::new(),
            }),
        }
    }
}

/// How a code is to come.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = CodeMethod)]
enum CodeMethod {
    #[default]
    Sms,
    Voice,
}

impl From<CodeMethod> for Method {
    fn from(method: CodeMethod) -> Self {
        match method {
            CodeMethod::Sms => Self::Sms,
            CodeMethod::Voice => Self::Voice,
        }
    }
}

/// Where nothing is said, as at Infobip.
fn english() -> String {
    "en_US".to_owned()
}

/// A number that is to be put on an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRegistration)]
struct Add {
    connection: ConnectionId,
    /// The WhatsApp Business Account.
    #[schema(example = "204411887755301")]
    waba_id: String,
    #[schema(pattern = "^[1-9][0-9]{0,2}$", example = "44")]
    country_code: String,
    /// Without the country code.
    #[schema(pattern = "^[1-9][0-9]*$", example = "7796344125")]
    phone_number: String,
    /// The name that users are to see.
    #[schema(min_length = 2, max_length = 75, example = "Shop 7")]
    display_name: String,
    /// How its code is to come; Meta's callers ask for it by `…/code`.
    #[serde(default)]
    method: CodeMethod,
    #[serde(default = "english")]
    language: String,
}

/// A number that was put on an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Registration)]
struct AddedView {
    sender: View,
    /// Infobip's word: `OTP_REQUESTED`: its code is under way; `SUBMITTED_FOR_REGISTRATION`: it is
    /// verified already. `null` with Meta, whose code is still to be asked for.
    status: Option<String>,
    provider_answer: Value,
}

/// Puts a number on a WhatsApp Business Account, and makes its sender.
#[utoipa::path(
    post,
    path = "/senders/registrations",
    operation_id = "add_sender",
    tag = "Senders",
    params(Once),
    request_body = Add,
    responses((status = 201, body = AddedView)),
)]
async fn add(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Add>,
) -> Result<Response, ApiError> {
    let found = api.connections.get(new.connection).await?;
    let no_such = || ApiError::field("connection", "there is no such connection");
    let account = Account {
        connection: found.ok_or_else(no_such)?,
        waba_id: new.waba_id,
        number: String::new(),
    };
    let number = NewNumber {
        country_code: new.country_code,
        phone_number: new.phone_number,
        display_name: new.display_name,
        method: new.method.into(),
        language: new.language,
    };
    note(&account, &format!("number {}", number.digits()));
    account.has(&ADD_SENDER)?;
    let waba_id = &account.waba_id;
    if waba_id.is_empty() || !waba_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::field("waba_id", "expected digits"));
    }
    refuse(number.check())?;
    let work = async {
        let (sender, added) = api.manage.add_sender(&account, &number).await?;
        api.signals.sender_is_free();
        Ok(AddedView {
            sender: sender.into(),
            status: added.status,
            provider_answer: added.answer,
        })
    };
    let added = api.once(&once, StatusCode::CREATED, work).await;
    added.map_err(|error| error.found_out_by(LOOK))
}

/// How a number's code is to come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CodeRequest)]
struct RequestCode {
    #[serde(default)]
    method: CodeMethod,
    #[serde(default = "english")]
    #[schema(example = "en_US")]
    language: String,
}

/// Has a number's verification code sent, or sent again.
#[utoipa::path(
    post,
    path = "/senders/{id}/code",
    operation_id = "request_sender_code",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    request_body = RequestCode,
    responses((status = 200, body = Done)),
)]
async fn request_code(
    State(api): State<Api>,
    Path(sender): Path<String>,
    Body(asked): Body<RequestCode>,
) -> Result<Json<Done>, ApiError> {
    let (method, language) = (asked.method.into(), asked.language);
    api.step(&sender, Change::RequestCode { method, language })
        .await
}

/// The code that came.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SenderCode)]
struct Verify {
    /// Six digits. Nothing keeps or logs it.
    code: SecretText,
}

/// Verifies a number by its code. Infobip registers it then; with Meta `…/register` does.
#[utoipa::path(
    post,
    path = "/senders/{id}/verify",
    operation_id = "verify_sender",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    request_body = Verify,
    responses((status = 200, body = Done)),
)]
async fn verify(
    State(api): State<Api>,
    Path(sender): Path<String>,
    Body(given): Body<Verify>,
) -> Result<Json<Done>, ApiError> {
    api.step(&sender, Change::Verify(given.code.0)).await
}

/// What a registration needs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SenderRegistration)]
struct Register {
    /// Six digits: the number's PIN, or the one that it gets by this. Nothing keeps or logs it.
    pin: SecretText,
    /// Where its data is kept, such as `DE`.
    data_localization_region: Option<String>,
}

/// Registers a verified number: messages can be sent through it then.
#[utoipa::path(
    post,
    path = "/senders/{id}/register",
    operation_id = "register_sender",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    request_body = Register,
    responses((status = 200, body = Done)),
)]
async fn register(
    State(api): State<Api>,
    Path(sender): Path<String>,
    Body(given): Body<Register>,
) -> Result<Json<Done>, ApiError> {
    let change = Change::Register {
        pin: given.pin.0,
        region: given.data_localization_region,
    };
    api.step(&sender, change).await
}

/// Takes a number off: nothing can be sent through it until it is registered again.
#[utoipa::path(
    post,
    path = "/senders/{id}/deregister",
    operation_id = "deregister_sender",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    responses((status = 200, body = Done)),
)]
async fn deregister(
    State(api): State<Api>,
    Path(sender): Path<String>,
) -> Result<Json<Done>, ApiError> {
    api.step(&sender, Change::Deregister).await
}

/// The PIN of two-step verification.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SenderPin)]
struct SetPin {
    /// Six digits. Nothing keeps or logs it.
    pin: SecretText,
}

/// Sets the PIN of a number's two-step verification.
#[utoipa::path(
    put,
    path = "/senders/{id}/pin",
    operation_id = "set_sender_pin",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    request_body = SetPin,
    responses((status = 200, body = Done)),
)]
async fn set_pin(
    State(api): State<Api>,
    Path(sender): Path<String>,
    Body(given): Body<SetPin>,
) -> Result<Json<Done>, ApiError> {
    api.step(&sender, Change::SetPin(given.pin.0)).await
}
