//! What is wrong with where a provider posts webhooks, and how to mend it. The innermost of Meta's
//! addresses counts for what is said of messages; whatever is about templates and accounts goes to
//! the app's alone. Of 360dialog's the number's counts, then the account's.

use super::infobip::EVENTS;
use super::{Found, Level, META_FIELDS, Ours, shown};
use crate::model::provider::Provider;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's own words")]
pub enum Severity {
    Fail,
    Warn,
}

impl Severity {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which. Stable.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub level: Option<Level>,
    /// Of whom: the provider's id.
    pub id: String,
    /// What is wrong.
    pub detail: String,
    /// How to mend it.
    pub remedy: String,
}

/// Of what the provider was found to have; without an address of ours nothing is compared with it.
pub fn problems(provider: Provider, ours: Option<&Ours>, found: &[Found]) -> Vec<Problem> {
    let mut looking = Looking {
        ours,
        problems: Vec::new(),
    };
    if ours.is_none() {
        looking.problems.push(Problem {
            code: "no_public_url",
            severity: Severity::Warn,
            level: None,
            id: String::new(),
            detail: "nobody said where the provider reaches this service".to_owned(),
            remedy: "set http.public_url to this service's public address".to_owned(),
        });
    }
    match provider {
        Provider::Meta => looking.meta(found),
        Provider::Infobip => looking.infobip(found),
        _ => looking.dialog360(found),
    }
    looking.problems
}

struct Looking<'a> {
    ours: Option<&'a Ours>,
    problems: Vec<Problem>,
}

fn at(level: Level) -> String {
    format!(
        "PUT …/webhook_subscriptions/{} (twotick connect)",
        level.as_str()
    )
}

impl Looking<'_> {
    fn is_ours(&self, found: &Found) -> bool {
        let url = found.url.as_deref();
        self.ours.is_some_and(|ours| url == Some(ours.url.as_str()))
    }

    /// Where webhooks go, if that is not here.
    fn elsewhere(&self, found: &Found) -> Option<String> {
        let url = found.url.as_ref().filter(|_| self.ours.is_some())?;
        (!self.is_ours(found)).then(|| shown(url))
    }

    fn fail(&mut self, code: &'static str, found: &Found, detail: String, remedy: String) {
        self.add(Severity::Fail, code, found, detail, remedy);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        found: &Found,
        detail: String,
        remedy: String,
    ) {
        self.problems.push(Problem {
            code,
            severity,
            level: Some(found.level),
            id: found.id.clone(),
            detail,
            remedy,
        });
    }

    fn meta(&mut self, found: &[Found]) {
        let of = |level| found.iter().filter(move |it| it.level == level);
        for app in of(Level::App) {
            let has_override = found
                .iter()
                .any(|it| it.level != Level::App && self.is_ours(it));
            self.app(app, has_override);
        }
        for account in of(Level::Account) {
            if !account.active {
                let detail = "the app is not told of this account".to_owned();
                self.fail("not_subscribed", account, detail, at(Level::Account));
            }
        }
        for inner in found.iter().filter(|it| it.level != Level::App) {
            if let Some(url) = self.elsewhere(inner) {
                let detail = format!("an override lets what is said of messages go to {url}");
                let remedy = format!(
                    "{}, or DELETE …/webhook_subscriptions/{}",
                    at(inner.level),
                    inner.level.as_str()
                );
                self.fail("override_elsewhere", inner, detail, remedy);
            }
        }
    }

    fn app(&mut self, app: &Found, has_override: bool) {
        match (self.elsewhere(app), &app.url) {
            (_, None) => {
                let detail = "the app has no callback URL for WhatsApp".to_owned();
                self.fail("not_subscribed", app, detail, at(Level::App));
                return;
            }
            (Some(url), _) if has_override => {
                let detail = format!(
                    "overrides lead here, but what is about templates and accounts goes to the \
                     app's callback URL alone, which is {url}: this service does not see it"
                );
                self.fail("blind_to_templates", app, detail, at(Level::App));
            }
            (Some(url), _) => {
                let detail = format!("the app's webhooks go to {url}");
                self.fail("elsewhere", app, detail, at(Level::App));
            }
            (None, Some(_)) => {}
        }
        if !app.active {
            let detail = "Meta has switched the app's subscription off".to_owned();
            self.fail("not_active", app, detail, at(Level::App));
        }
        let events = app.events.as_deref().unwrap_or_default();
        self.missing(app, events, &META_FIELDS, "messages");
    }

    /// Without `first` nothing is known of any message.
    fn missing(&mut self, found: &Found, told: &[String], wanted: &[&str], first: &str) {
        let missing = wanted
            .iter()
            .filter(|name| !told.iter().any(|event| event == *name));
        let missing: Vec<_> = missing.copied().collect();
        if !missing.is_empty() {
            let severity = match missing.contains(&first) {
                true => Severity::Fail,
                false => Severity::Warn,
            };
            let detail = format!("nothing is told of {}", missing.join(", "));
            self.add(severity, "missing_events", found, detail, at(found.level));
        }
    }

    /// It may have several, of which others lead elsewhere.
    fn infobip(&mut self, found: &[Found]) {
        let Some(ours) = self.ours else {
            return;
        };
        let own: Vec<_> = found.iter().filter(|it| self.is_ours(it)).collect();
        let Some(first) = own.first() else {
            self.problems.push(Problem {
                code: "not_subscribed",
                severity: Severity::Fail,
                level: Some(Level::Events),
                id: String::new(),
                detail: "no subscription leads here".to_owned(),
                remedy: at(Level::Events),
            });
            return;
        };
        let told = own.iter().filter_map(|it| it.events.clone()).flatten();
        let told: Vec<_> = told.collect();
        self.missing(first, &told, &EVENTS, "DELIVERY");
        let has_security = ours.security.is_some();
        let bears = |it: &&Found| {
            let headers = it.headers.as_ref();
            let wanted = ours.headers.iter();
            // A password is no header there: what it is set to is not looked at.
            let mut wanted = wanted.filter(|(name, _)| !(has_security && *name == "authorization"));
            wanted.all(|(name, value)| headers.and_then(|all| all.get(name)) == Some(value))
        };
        let proves =
            |it: &&Found| !has_security || it.answer["profile"]["security"]["authId"].is_string();
        if !own.iter().all(|it| bears(it) && proves(it)) {
            let detail = "the webhooks do not bring what this service looks at (401)".to_owned();
            self.fail("unproven", first, detail, at(Level::Events));
        }
    }

    /// Where the number has none, what the account has counts.
    fn dialog360(&mut self, found: &[Found]) {
        let of = |level| found.iter().find(move |it| it.level == level);
        let (number, account) = (of(Level::Number), of(Level::Account));
        let set = |it: &&Found| it.url.is_some();
        let Some(counts) = number.filter(set).or(account.filter(set)) else {
            if let Some(number) = number {
                let detail = "the number has no webhook".to_owned();
                self.fail("not_subscribed", number, detail, at(Level::Number));
            }
            return;
        };
        if let Some(url) = self.elsewhere(counts) {
            let detail = format!("the webhooks go to {url}");
            self.fail("elsewhere", counts, detail, at(Level::Number));
            return;
        }
        let (Some(ours), Some(headers)) = (self.ours, &counts.headers) else {
            return;
        };
        let lacks = |(name, value): (&String, &String)| headers.get(name) != Some(value);
        if ours.headers.iter().any(lacks) {
            let detail = "the webhooks do not bring what this service looks at (401)".to_owned();
            self.fail("unproven", counts, detail, at(counts.level));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const URL: &str = "https://twotick.example/webhooks/con_1";

    fn found(level: Level, url: Option<&str>) -> Found {
        Found {
            level,
            id: "7".to_owned(),
            waba: None,
            url: url.map(str::to_owned),
            headers: None,
            active: true,
            events: (level == Level::App).then(|| META_FIELDS.map(str::to_owned).to_vec()),
            answer: Value::Null,
        }
    }

    fn codes(provider: Provider, found: &[Found]) -> Vec<&'static str> {
        let ours = Ours::new(URL, "verify me", &[]);
        let problems = problems(provider, Some(&ours), found);
        problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn an_override_that_leads_here_alone_is_blind_to_templates() {
        let other = Some("https://other.example/");
        let of = |app, account, number| {
            let levels = [
                (Level::App, app),
                (Level::Account, account),
                (Level::Number, number),
            ];
            codes(
                Provider::Meta,
                &levels.map(|(level, url)| found(level, url)),
            )
        };
        assert!(of(Some(URL), None, None).is_empty());
        assert!(of(Some(URL), Some(URL), Some(URL)).is_empty());
        assert_eq!(of(other, None, Some(URL)), ["blind_to_templates"]);
        assert_eq!(of(other, Some(URL), None), ["blind_to_templates"]);
        assert_eq!(of(other, None, None), ["elsewhere"]);
        assert_eq!(of(None, None, None), ["not_subscribed"]);
        assert_eq!(of(Some(URL), other, None), ["override_elsewhere"]);
        assert_eq!(of(Some(URL), None, other), ["override_elsewhere"]);
    }

    #[test]
    fn without_messages_it_fails_and_without_others_it_warns() {
        let mut app = found(Level::App, Some(URL));
        let severity = |app: &Found| {
            let ours = Ours::new(URL, "", &[]);
            let problems = problems(Provider::Meta, Some(&ours), std::slice::from_ref(app));
            assert_eq!(problems[0].code, "missing_events");
            problems[0].severity
        };
        app.events = Some(vec!["messages".to_owned()]);
        assert_eq!(severity(&app), Severity::Warn);
        app.events = Some(META_FIELDS[1..].iter().map(|&it| it.to_owned()).collect());
        assert_eq!(severity(&app), Severity::Fail);
    }

    #[test]
    fn a_number_of_360dialogs_counts_before_its_account() {
        let of = |number, account| {
            let levels = [(Level::Number, number), (Level::Account, account)];
            codes(
                Provider::Dialog360,
                &levels.map(|(level, url)| found(level, url)),
            )
        };
        let other = Some("https://other.example/");
        assert!(of(Some(URL), other).is_empty());
        assert!(of(None, Some(URL)).is_empty());
        assert_eq!(of(other, Some(URL)), ["elsewhere"]);
        assert_eq!(of(None, None), ["not_subscribed"]);
    }

    #[test]
    fn an_infobip_profile_without_the_security_setting_is_unproven() {
        use crate::model::proof::{Proof, ProofBy};
        let proof = Proof {
            by: ProofBy::Basic,
            secrets: vec!["us:a password".to_owned().into()],
        };
        let ours = Ours::new(URL, "", &[proof]);
        let found = |security: Value| Found {
            events: Some(EVENTS.map(str::to_owned).to_vec()),
            headers: Some(ours.headers.clone()),
            answer: serde_json::json!({"profile": {"security": security}}),
            ..found(Level::Events, Some(URL))
        };
        let codes = |security: Value| {
            let problems = problems(Provider::Infobip, Some(&ours), &[found(security)]);
            problems.iter().map(|it| it.code).collect::<Vec<_>>()
        };
        assert!(codes(serde_json::json!({"authId": "any"})).is_empty());
        assert_eq!(codes(Value::Null), ["unproven"]);
        let nobody = super::problems(Provider::Infobip, None, &[]);
        assert_eq!(nobody[0].code, "no_public_url");
    }

    #[test]
    fn a_subscription_of_metas_that_is_off_fails() {
        let mut app = found(Level::App, Some(URL));
        app.active = false;
        assert_eq!(codes(Provider::Meta, &[app]), ["not_active"]);
    }
}
