//! Where webhooks are to go, as callers have set it at Meta: for the app, for an account, for a
//! number. The innermost counts for what is said of messages; all else goes to the app's address
//! alone, and only what the app wants to be told is told at all. While no app was subscribed by its
//! API everything goes where `control` says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dialect::Dialect;
use super::state::State;
use super::trouble::Trouble;
use super::update::{Change, Update};

/// What callers have set.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    pub app: Option<App>,
    /// Accounts that the app is told of, and where, if not at its own address.
    pub accounts: BTreeMap<String, Option<String>>,
    /// Where what is said of a number goes.
    pub numbers: BTreeMap<String, String>,
    /// What the caller's key may do; `None`: all.
    pub permissions: Option<Vec<String>>,
    /// Until when it may, in seconds since 1970; 0: for good.
    pub expires_at: i64,
    /// Infobip's, by their ids: subscriptions, profiles, security settings.
    pub subscriptions: BTreeMap<String, Value>,
    pub profiles: BTreeMap<String, Value>,
    pub securities: BTreeMap<String, Value>,
    /// 360dialog's of the account: where, and with which headers.
    pub waba_webhook: Option<(String, BTreeMap<String, String>)>,
    /// 360dialog's of its partners: where.
    pub partner_webhooks: BTreeMap<String, String>,
}

/// An app's own.
#[derive(Debug, Clone)]
pub struct App {
    pub url: String,
    pub fields: Vec<String>,
}

/// Where an update goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Where `control`, or the app, says.
    Usual,
    To(String),
    /// Nobody wants to know.
    Nowhere,
}

/// The permission to manage.
pub const MANAGEMENT: &str = "whatsapp_business_management";
/// The permission to send.
pub const MESSAGING: &str = "whatsapp_business_messaging";

impl Hooks {
    /// What the caller's key may do.
    pub fn permissions(&self) -> Vec<String> {
        let all = || vec![MANAGEMENT.to_owned(), MESSAGING.to_owned()];
        self.permissions.clone().unwrap_or_else(all)
    }

    /// Refused without the permission: what reads in other words than what changes.
    pub fn permit(&self, changes: bool) -> Result<(), Trouble> {
        let has = self.permissions().iter().any(|it| it == MANAGEMENT);
        match has {
            true => Ok(()),
            false => Err(Trouble::NotPermitted { changes }),
        }
    }

    /// Where it goes.
    pub fn route(&self, waba_id: &str, update: &Update) -> Route {
        if update.dialect() == Dialect::Infobip {
            return self.of_infobip(update);
        }
        let Some(app) = self.app.as_ref() else {
            return Route::Usual;
        };
        if update.dialect() != Dialect::Meta || update.notify_url().is_some() {
            return Route::Usual;
        }
        let Some(account) = self.accounts.get(waba_id) else {
            return Route::Nowhere;
        };
        if !app.fields.iter().any(|field| field == field_of(update)) {
            return Route::Nowhere;
        }
        let number = update.sender().and_then(|number| self.numbers.get(number));
        let account = account.as_ref().filter(|_| update.sender().is_some());
        match number.or(account) {
            Some(url) => Route::To(url.clone()),
            None => Route::Usual,
        }
    }
}

impl Hooks {
    /// While there is no subscription everything is told.
    fn of_infobip(&self, update: &Update) -> Route {
        let Some(subscription) = self.subscriptions.values().next() else {
            return Route::Usual;
        };
        let event = match update {
            Update::Status(status) if status.status == "read" => "SEEN",
            Update::Status(_) => "DELIVERY",
            Update::Inbound(_) => "INBOUND_MESSAGE",
            Update::Template(_) => "TEMPLATE_UPDATE",
        };
        let told = subscription["events"].as_array();
        match told.is_some_and(|told| told.iter().any(|it| it == event)) {
            true => Route::Usual,
            false => Route::Nowhere,
        }
    }
}

fn field_of(update: &Update) -> &'static str {
    match update {
        Update::Status(_) | Update::Inbound(_) => "messages",
        Update::Template(news) => match news.change {
            Change::Status { .. } => "message_template_status_update",
            Change::Quality { .. } => "message_template_quality_update",
        },
    }
}

/// Sorts updates by where they go; those that go nowhere are gone.
pub fn routed(state: &State, waba_id: &str, updates: Vec<Update>) -> Vec<(Route, Vec<Update>)> {
    let mut routes: Vec<(Route, Vec<Update>)> = Vec::new();
    for update in updates {
        let route = state.hooks.route(waba_id, &update);
        match routes.iter_mut().find(|(known, _)| *known == route) {
            Some((_, updates)) => updates.push(update),
            None => routes.push((route, vec![update])),
        }
    }
    routes.retain(|(route, _)| *route != Route::Nowhere);
    routes
}
