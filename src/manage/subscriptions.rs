//! Where providers post webhooks: read, compared with where they should, set and removed. Nothing of
//! it is kept here. Meta's app is told by its key, and its accounts are those of the connection's
//! senders and those that the key is for.

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::failed::Steps;
use super::{Failed, Manage, shown};
use crate::model::error_class::ErrorClass;
use crate::model::provider::Provider;
use crate::provider::operations::subscriptions::{READ_TOKEN, SET_PARTNER};
use crate::provider::operations::{Ask, By};
use crate::provider::refused::Refused;
use crate::provider::subscriptions::{
    self as wire, Found, Level, Ours, Partner, Place, Problem, Token, Wanted, hide, infobip,
    problems, without,
};
use crate::send::ask::Answered;
use crate::store::Connection;

/// Pages of a list.
const PAGES: usize = 100;

/// All that a provider has set, beside what should be.
#[derive(Debug)]
pub struct Overview {
    /// At each level.
    pub found: Vec<Found>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What could not be read.
    pub unread: Vec<(Level, Failed)>,
    /// Seconds that the provider's clock is ahead.
    pub clock_offset: Option<i64>,
}

/// What is to be set.
#[derive(Debug)]
pub struct Wish {
    /// Where.
    pub level: Level,
    /// What is to be there.
    pub ours: Ours,
    /// What is to be told.
    pub wanted: Wanted,
}

/// What was read.
#[derive(Default)]
struct Reading {
    found: Vec<Found>,
    clock_offset: Option<i64>,
}

/// Which of a level's calls.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Read = 0,
    Set = 1,
    Remove = 2,
}

fn has(connection: &Connection, level: Level, doing: Doing) -> Result<(), Failed> {
    super::has(connection, level.calls()[doing as usize])
}

/// What a provider said against it, without the secrets that it was told.
fn hidden(secrets: &[String], mut failed: Failed) -> Failed {
    if let Some(said) = failed.said_mut() {
        hide(&mut said.body, secrets);
        said.message = said.message.take().map(|text| without(text, secrets));
    }
    failed
}

impl Manage {
    /// Whose the connection's key is, what it may do and until when; with the provider's answer, and
    /// the seconds that its clock is ahead.
    pub async fn token(
        &self,
        connection: &Connection,
    ) -> Result<(Token, Value, Option<i64>), Failed> {
        super::has(connection, &READ_TOKEN)?;
        let place = Place {
            api_version: connection.api_version.clone().unwrap_or_default(),
            ..Place::default()
        };
        let key = connection.credentials.access_token.expose_secret();
        let answered = self
            .call(connection, &wire::read_token(&place, key))
            .await?;
        let answer = shown(&answered.body);
        let token = wire::token(&answer);
        let token = token.ok_or_else(|| Failed::unread(answer.clone(), "`data` is missing"))?;
        Ok((token, answer, self.offset(&answered)))
    }

    fn offset(&self, answered: &Answered) -> Option<i64> {
        let offset = answered.date? - self.store.clock().now();
        Some(offset.whole_seconds())
    }

    /// Where a level of a connection is: Meta's accounts each have one. `waba`: of this one alone.
    pub async fn places(
        &self,
        connection: &Connection,
        level: Level,
        waba: Option<&str>,
    ) -> Result<Vec<Place>, Failed> {
        if connection.provider != Provider::Meta {
            return Ok(vec![Place {
                own: format!("twotick-{}", connection.id),
                ..Place::default()
            }]);
        }
        let (token, answer, _) = self.token(connection).await?;
        let missing = || Failed::unread(answer, "`data.app_id` is missing");
        let place = Place {
            api_version: connection.api_version.clone().unwrap_or_default(),
            app: token.app_id.ok_or_else(missing)?,
            ..Place::default()
        };
        if level == Level::App {
            return Ok(vec![place]);
        }
        let accounts = match waba {
            Some(waba) => vec![waba.to_owned()],
            None => {
                let mut accounts = self.store.accounts_of(connection.id).await?;
                accounts.extend(token.accounts);
                accounts.sort();
                accounts.dedup();
                accounts
            }
        };
        let of = |waba| Place {
            waba,
            ..place.clone()
        };
        Ok(accounts.into_iter().map(of).collect())
    }

    /// What a provider has at a level.
    pub async fn subscribed(
        &self,
        connection: &Connection,
        level: Level,
        waba: Option<&str>,
    ) -> Result<Vec<Found>, Failed> {
        Ok(self.reading(connection, level, waba).await?.found)
    }

    async fn reading(
        &self,
        connection: &Connection,
        level: Level,
        waba: Option<&str>,
    ) -> Result<Reading, Failed> {
        has(connection, level, Doing::Read)?;
        let mut reading = Reading::default();
        let secrets = connection.credentials.as_told();
        for place in self.places(connection, level, waba).await? {
            self.read_place(connection, level, &place, &mut reading)
                .await
                .map_err(|failed| hidden(&secrets, failed))?;
        }
        for found in &mut reading.found {
            hide(&mut found.answer, &secrets);
        }
        Ok(reading)
    }

    async fn read_place(
        &self,
        connection: &Connection,
        level: Level,
        place: &Place,
        reading: &mut Reading,
    ) -> Result<(), Failed> {
        if level == Level::Events {
            return self.read_events(connection, place, reading).await;
        }
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let ask =
                |place: &Place| wire::read(connection.provider, level, place, after.as_deref());
            let answered = self.as_whoever_may(connection, place, ask).await?;
            reading.clock_offset = self.offset(&answered);
            let answer = shown(&answered.body);
            let found = wire::found(connection.provider, level, place, &answer);
            let missing = || Failed::unread(answer, "what is set is missing");
            let (found, next) = found.ok_or_else(missing)?;
            reading.found.extend(found);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    /// A connection may have several app secrets, and nobody knows which of them is still good.
    async fn as_whoever_may(
        &self,
        connection: &Connection,
        place: &Place,
        ask: impl Fn(&Place) -> Ask,
    ) -> Result<Answered, Failed> {
        let secrets = connection.credentials.app_secrets.len();
        let mut place = place.clone();
        loop {
            let asked = ask(&place);
            let came = self.call(connection, &asked).await;
            let is_key = |failed: &Failed| matches!(failed, Failed::Refused(said) if said.class == ErrorClass::ConnectionStops);
            let by_app = matches!(asked.by, By::App(_));
            let again = by_app && place.app_secret + 1 < secrets;
            match came {
                Err(failed) if again && is_key(&failed) => place.app_secret += 1,
                came => return came,
            }
        }
    }

    /// All levels. What cannot be read is told; if that is all, it is the answer.
    pub async fn subscriptions(
        &self,
        connection: &Connection,
        ours: Option<&Ours>,
    ) -> Result<Overview, Failed> {
        let mut overview = Overview {
            found: Vec::new(),
            problems: Vec::new(),
            unread: Vec::new(),
            clock_offset: None,
        };
        for level in Level::ALL {
            if has(connection, level, Doing::Read).is_err() {
                continue;
            }
            match self.reading(connection, level, None).await {
                Ok(reading) => {
                    overview.found.extend(reading.found);
                    overview.clock_offset = reading.clock_offset.or(overview.clock_offset);
                }
                Err(Failed::Store(error)) => return Err(error.into()),
                Err(failed) => overview.unread.push((level, failed)),
            }
        }
        if overview.found.is_empty()
            && let Some((_, failed)) = overview.unread.pop()
        {
            return Err(failed);
        }
        overview.problems = problems(connection.provider, ours, &overview.found);
        Ok(overview)
    }

    /// Sets it at each place; the provider's answers, without secrets.
    pub async fn subscribe(
        &self,
        connection: &Connection,
        places: &[Place],
        wish: &Wish,
    ) -> Result<Vec<Value>, Failed> {
        has(connection, wish.level, Doing::Set)?;
        let mut steps = Steps::of(places.iter().map(|place| place.named(wish.level)));
        let mut answers = Vec::new();
        let secrets = connection.credentials.as_told();
        for place in places {
            let came = match wish.level {
                Level::Events => self.subscribe_events(connection, place, wish).await,
                _ => self.set_place(connection, place, wish).await,
            };
            let came = steps.took(came);
            answers.push(came.map_err(|failed| hidden(&secrets, failed))?);
        }
        answers.iter_mut().for_each(|it| hide(it, &secrets));
        Ok(answers)
    }

    async fn set_place(
        &self,
        connection: &Connection,
        place: &Place,
        wish: &Wish,
    ) -> Result<Value, Failed> {
        let mut known = Vec::new();
        if wish.level == Level::App && wish.wanted.events.is_none() {
            let mut reading = Reading::default();
            self.read_place(connection, wish.level, place, &mut reading)
                .await?;
            let found = reading.found.into_iter().filter_map(|it| it.events);
            known.extend(found.flatten());
        }
        let (provider, level) = (connection.provider, wish.level);
        let ask =
            |place: &Place| wire::set(provider, level, place, &wish.ours, &wish.wanted, &known);
        self.done_as_whoever_may(connection, place, ask).await
    }

    /// Sets where 360dialog tells a partner; its answer, without secrets.
    pub async fn subscribe_partner(
        &self,
        connection: &Connection,
        partner: Partner,
        ours: &Ours,
    ) -> Result<Value, Failed> {
        let mut secrets = connection.credentials.as_told();
        secrets.push(partner.key.expose_secret().to_owned());
        let answered = self
            .call(connection, &wire::set_partner(partner, ours))
            .await;
        let answered = answered.map_err(|failed| hidden(&secrets, failed))?;
        let mut answer = Self::done(&answered)?;
        hide(&mut answer, &secrets);
        Ok(answer)
    }

    /// Removes it from each place; the provider's answers, without secrets.
    pub async fn unsubscribe(
        &self,
        connection: &Connection,
        places: &[Place],
        level: Level,
    ) -> Result<Vec<Value>, Failed> {
        has(connection, level, Doing::Remove)?;
        let mut steps = Steps::of(places.iter().map(|place| place.named(level)));
        let mut answers = Vec::new();
        let secrets = connection.credentials.as_told();
        for place in places {
            let ask = |place: &Place| wire::remove(level, place);
            let came = self.done_as_whoever_may(connection, place, ask).await;
            let came = steps.took(came);
            answers.push(came.map_err(|failed| hidden(&secrets, failed))?);
        }
        answers.iter_mut().for_each(|it| hide(it, &secrets));
        Ok(answers)
    }

    async fn done_as_whoever_may(
        &self,
        connection: &Connection,
        place: &Place,
        ask: impl Fn(&Place) -> Ask,
    ) -> Result<Value, Failed> {
        let answered = self.as_whoever_may(connection, place, ask).await?;
        Self::done(&answered)
    }

    /// Whether the provider has partners.
    pub fn has_partners(connection: &Connection) -> Result<(), Failed> {
        super::has(connection, &SET_PARTNER)
    }

    /// Whether the provider has the calls for a level.
    pub fn can_set(connection: &Connection, level: Level, removes: bool) -> Result<(), Failed> {
        let doing = match removes {
            true => Doing::Remove,
            false => Doing::Set,
        };
        has(connection, level, doing)
    }
}

/// Infobip's subscriptions have parts.
impl Manage {
    async fn read_events(
        &self,
        connection: &Connection,
        place: &Place,
        reading: &mut Reading,
    ) -> Result<(), Failed> {
        for n in 0..PAGES {
            let answered = self.call(connection, &infobip::list(place, n)).await?;
            reading.clock_offset = self.offset(&answered);
            let page = infobip::page(&shown(&answered.body), n);
            let missing = || Failed::unread(shown(&answered.body), "`results` is missing");
            let (list, more) = page.ok_or_else(missing)?;
            for subscription in list {
                let profile = match infobip::read_profile(place, &subscription) {
                    Some(ask) => shown(&self.call(connection, &ask).await?.body),
                    None => Value::Null,
                };
                reading.found.extend(infobip::found(subscription, profile));
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Makes the connection's own, or brings its parts up to date, what proves it first: until the
    /// last step it goes where it went. Of the answers the last is shown.
    async fn subscribe_events(
        &self,
        connection: &Connection,
        place: &Place,
        wish: &Wish,
    ) -> Result<Value, Failed> {
        let mut reading = Reading::default();
        self.read_events(connection, place, &mut reading).await?;
        let known = reading.found.iter().find(|it| it.id == place.own);
        let profile = self.own_profile(connection, place).await?;
        if known.is_none() && profile.is_none() {
            let ask = infobip::create(place, &wish.ours, &wish.wanted);
            return Self::done(&self.call(connection, &ask).await?);
        }
        let profile = profile.unwrap_or_default();
        let mut steps = Steps::of(["what proves it", "its profile", "its events"]);
        let proved = self.prove_events(connection, place, &wish.ours).await;
        steps.took(proved)?;
        let ask = infobip::update_profile(place, &profile, &wish.ours);
        steps.took(self.call(connection, &ask).await)?;
        let ask = match known {
            Some(known) => infobip::update(place, known, &wish.wanted),
            None => infobip::create_with_profile(place, &wish.wanted),
        };
        let came = self.call(connection, &ask).await;
        steps.took(came.and_then(|answered| Self::done(&answered)))
    }

    /// The profile of the connection's subscription, which stays when that goes.
    async fn own_profile(
        &self,
        connection: &Connection,
        place: &Place,
    ) -> Result<Option<Value>, Failed> {
        match self
            .call(connection, &infobip::read_own_profile(place))
            .await
        {
            Ok(answered) => Ok(Some(shown(&answered.body))),
            Err(Failed::Refused(said))
                if Refused::is_not_there(said.status, said.code.as_deref()) =>
            {
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    async fn prove_events(
        &self,
        connection: &Connection,
        place: &Place,
        ours: &Ours,
    ) -> Result<(), Failed> {
        let Some(security) = &ours.security else {
            return Ok(());
        };
        let ask = |is_new| infobip::write_security(place, security, is_new);
        match self.call(connection, &ask(false)).await {
            Err(Failed::Refused(said)) if said.status == 404 => {
                self.call(connection, &ask(true)).await?;
            }
            came => drop(came?),
        }
        Ok(())
    }
}
