//! What can be managed at the providers: one row an operation, with each provider's call for it.
//! All that sets one call apart from another is here as data (method, path, whether it changes
//! something, how often it may be made, through which call of our API it is reached); what bodies
//! say is in each provider's `manage`. `GET /v1/capabilities` shows this table, `manage` makes the
//! calls by it, and nothing is called that is not in it.
//!
//! A resource has a file: a new one is a file of rows, and a place in [`all`].
//!
//! A provider whose place in a row is empty lacks the operation: whoever asks for it is told so.

pub mod flows;
pub mod media;
pub mod senders;
pub mod subscriptions;
pub mod templates;
pub mod welcome;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::meta::graph::encoded;
use crate::model::provider::Provider;

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names")]
pub enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the call may be made again when nobody knows what became of it.
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// How often a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Calls that share a limit have one name.
    pub class: &'static str,
    /// So many.
    pub calls: u32,
    /// In so long.
    pub per: Duration,
}

/// A provider's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// How.
    pub verb: Verb,
    /// Below the provider's base address: `{name}` stands for what [`Call::path`] is given.
    pub path: &'static str,
    /// What the provider says of how often.
    pub limit: Option<Limit>,
    /// How often it may be refused: the provider takes no more of these calls then, for long.
    pub refusals: Option<Limit>,
    /// The provider has announced its end: it is made only for who asks for it by name.
    pub deprecated: bool,
}

impl Call {
    const fn deprecated(self) -> Self {
        Self {
            deprecated: true,
            ..self
        }
    }

    /// The path with its names filled in, each as one segment. A name that nobody gave is empty.
    pub fn path(&self, names: &[(&str, &str)]) -> String {
        let mut out = String::with_capacity(self.path.len() + 32);
        let mut rest = self.path;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let given = names.iter().find(|(known, _)| *known == name);
            out.push_str(before);
            out.push_str(&given.map(|(_, value)| encoded(value)).unwrap_or_default());
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Something that can be managed.
#[derive(Debug)]
pub struct Operation {
    /// Its name, such as `templates.create`.
    pub name: &'static str,
    /// What it does, for people.
    pub says: &'static str,
    /// The calls of our API that lead to it.
    pub api: &'static [&'static str],
    /// What such a call has to say so that it is this: parameters by their names.
    pub with: &'static [(&'static str, &'static str)],
    /// Meta's call.
    pub meta: Option<Call>,
    /// 360dialog's, in front of the Cloud API.
    pub dialog360: Option<Call>,
    /// 360dialog's, in front of the On-Premises API.
    pub dialog360_onprem: Option<Call>,
    /// Infobip's.
    pub infobip: Option<Call>,
}

impl Operation {
    /// A provider's call, if it has one.
    pub const fn at(&self, provider: Provider) -> Option<Call> {
        match provider {
            Provider::Meta => self.meta,
            Provider::Dialog360 => self.dialog360,
            Provider::Dialog360Onprem => self.dialog360_onprem,
            Provider::Infobip => self.infobip,
        }
    }

    /// Whether it changes something at the provider.
    pub fn changes(&self) -> bool {
        let calls = [
            self.meta,
            self.dialog360,
            self.dialog360_onprem,
            self.infobip,
        ];
        calls.iter().flatten().any(|call| !call.verb.is_harmless())
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Meta's calls that manage share one limit an app and account, 5000 an hour for an account that
/// has a registered number ("Rate limits" of the WhatsApp Business Management API); the setting
/// `manage.meta_calls_per_hour` stands in its place.
pub const META_MANAGEMENT: &str = "meta.management";

const fn meta(verb: Verb, path: &'static str) -> Option<Call> {
    let limit = Some(Limit {
        class: META_MANAGEMENT,
        calls: 5000,
        per: HOUR,
    });
    Some(Call {
        verb,
        path,
        limit,
        refusals: None,
        deprecated: false,
    })
}

/// 360dialog says that its endpoints have limits, and not which.
const fn dialog360(verb: Verb, path: &'static str) -> Option<Call> {
    Some(Call {
        verb,
        path,
        limit: None,
        refusals: None,
        deprecated: false,
    })
}

/// Infobip's limits are those of its OpenAPI document (`x-throttling-info`), an endpoint each.
const fn infobip(
    verb: Verb,
    path: &'static str,
    class: &'static str,
    calls: u32,
    per: Duration,
) -> Call {
    Call {
        verb,
        path,
        limit: Some(Limit { class, calls, per }),
        refusals: None,
        deprecated: false,
    }
}

/// Every row, in the order in which it is shown.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    let resources: [&[&Operation]; 6] = [
        &templates::ALL,
        &flows::ALL,
        &media::ALL,
        &senders::ALL,
        &welcome::ALL,
        &subscriptions::ALL,
    ];
    resources.into_iter().flatten().copied()
}

/// A call that is to be made: which, of whom, and what it says.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which row.
    pub operation: &'static Operation,
    /// The path's names.
    pub names: Vec<(&'static str, String)>,
    /// The parameters behind the `?`.
    pub query: Vec<(&'static str, String)>,
    /// The body, if there is one.
    pub body: Option<Body>,
    /// With which key it goes out.
    pub by: By,
}

/// Who makes a call.
#[derive(Debug, Clone, Default)]
pub enum By {
    /// The connection, with its own key.
    #[default]
    Connection,
    /// Meta's app.
    App(AsApp),
    /// 360dialog's partner, with a key that no connection has, at another address.
    Partner(SecretString),
}

/// Meta's app, which speaks for itself with its id and a secret of its.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsApp {
    /// The app's id.
    pub id: String,
    /// Which of the connection's app secrets.
    pub secret: usize,
}

/// What a call says beside its address.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// A form of texts.
    Form(Vec<(&'static str, String)>),
    /// Bytes of a kind.
    Raw {
        /// What they are.
        content_type: String,
        /// As they are. Clones share them.
        bytes: Arc<Vec<u8>>,
    },
}

/// A form as it goes out.
pub fn form(pairs: &[(&'static str, String)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

impl Ask {
    /// Of what the path names, without a body.
    pub fn of(operation: &'static Operation, names: &[(&'static str, &str)]) -> Self {
        let names = names
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            operation,
            names: names.collect(),
            query: Vec::new(),
            body: None,
            by: By::Connection,
        }
    }

    /// With a parameter behind the `?`, if there is one.
    pub fn query(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    /// With a JSON body.
    pub fn body(self, body: Value) -> Self {
        self.saying(Body::Json(body))
    }

    /// With a body.
    pub fn saying(self, body: Body) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    /// The address below the provider's own, of the call that the provider has for it.
    pub fn address(&self, call: &Call) -> String {
        let names: Vec<_> = self
            .names
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut address = call.path(&names);
        for (n, (name, value)) in self.query.iter().enumerate() {
            address.push(if n == 0 { '?' } else { '&' });
            address.push_str(name);
            address.push('=');
            address.push_str(&encoded(value));
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::templates::READ_TEMPLATE;
    use super::*;

    #[test]
    fn names_fill_a_path_and_cannot_leave_their_segment() {
        let ask = Ask::of(&READ_TEMPLATE, &[("number", "44"), ("id", "../a b")]);
        let ask = ask.query("x", Some("1&y=2")).query("z", None::<&str>);
        let call = READ_TEMPLATE.infobip.unwrap();
        assert_eq!(
            ask.address(&call),
            "whatsapp/2/senders/44/templates/..%2Fa%20b?x=1%26y%3D2"
        );
    }

    #[test]
    fn every_row_is_there_once_and_leads_somewhere() {
        let names: BTreeSet<_> = all().map(|operation| operation.name).collect();
        assert_eq!(names.len(), all().count());
        for operation in all() {
            assert!(!operation.api.is_empty() && !operation.says.is_empty());
            let at = |provider| operation.at(provider);
            assert!(
                Provider::ALL
                    .into_iter()
                    .any(|provider| at(provider).is_some())
            );
        }
    }
}
