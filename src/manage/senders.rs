//! Senders at the provider: what it shows of numbers goes the way of every reading, profiles are
//! read and changed where they are kept, and numbers are added and registered.

use serde_json::{Map, Value};

use super::failed::Steps;
use super::{Account, Failed, Manage};
use crate::model::ids::SenderId;
use crate::model::provider::Provider;
use crate::provider::profile::{self, Profile};
use crate::provider::reading::ReadError;
use crate::provider::registration::{self, Added, Change, NewNumber};
use crate::provider::senders::{self, AT_ONCE, Number};
use crate::store::senders::{CreateSenderError, NewSender, STANDARD_RATE, Sender};
use crate::store::{Once, StoreError};

/// What a reading of numbers brought.
#[derive(Debug)]
pub struct SyncedSenders {
    /// All that the provider showed, with its own object of each.
    pub senders: Vec<(SenderId, Value)>,
    /// How many events tell of what differed from what was known.
    pub told: usize,
}

/// Of an answer that only reads, if it is understood.
fn read<T>(
    answer: Value,
    reading: impl FnOnce(Value) -> Result<T, ReadError>,
) -> Result<T, Failed> {
    reading(answer.clone()).map_err(|error| Failed::unread(answer, error))
}

impl Manage {
    /// Reads a number, and joins what is read to what is known. `None`: the provider shows nothing
    /// of it.
    pub async fn read_sender(
        &self,
        account: &Account,
        sender: &Sender,
    ) -> Result<Option<(Value, usize)>, Failed> {
        let provider = account.provider();
        let asked_at = self.store.clock().now();
        let ask = senders::read(provider, &account.named());
        let answer = self.asked(account, &ask).await?;
        let id = &sender.phone_number_id;
        let Some(number) = read(answer, |answer| senders::one(provider, answer, id))? else {
            return Ok(None);
        };
        let reading = &number.reading;
        let told = self
            .store
            .record_number_reading(sender.id, asked_at, reading);
        Ok(Some((number.object, told.await?)))
    }

    /// Reads the numbers of an account, or of it those alone that are named. What has no row yet
    /// gets one.
    pub async fn sync_senders(
        &self,
        account: &Account,
        numbers: &[String],
    ) -> Result<SyncedSenders, Failed> {
        let asked_at = self.store.clock().now();
        let mut shown = self.numbers(account, numbers).await?;
        if !numbers.is_empty() {
            shown.retain(|number| numbers.contains(&number.id));
        }
        let mut synced = SyncedSenders {
            senders: Vec::with_capacity(shown.len()),
            told: 0,
        };
        for number in shown {
            let sender = self.row(account, &number).await?;
            let reading = &number.reading;
            let told = self.store.record_number_reading(sender, asked_at, reading);
            synced.told += told.await?;
            synced.senders.push((sender, number.object));
        }
        Ok(synced)
    }

    async fn numbers(&self, account: &Account, asked: &[String]) -> Result<Vec<Number>, Failed> {
        let (provider, connection) = (account.provider(), account.connection.id);
        let page = |answer| read(answer, |answer| senders::page(provider, answer));
        if provider != Provider::Infobip {
            let ask = |after: Option<&str>| senders::list(provider, &account.named(), &[], after);
            return self.pages(account, ask, page).await;
        }
        let known = match asked.is_empty() {
            true => self.store.listing_numbers(connection).await?,
            false => asked.to_vec(),
        };
        let mut all = Vec::new();
        for some in known.chunks(AT_ONCE) {
            let ask = senders::list(provider, &account.named(), some, None);
            all.extend(page(self.asked(account, &ask).await?)?.0);
        }
        Ok(all)
    }

    /// The row of a number that the provider shows.
    async fn row(&self, account: &Account, number: &Number) -> Result<SenderId, Failed> {
        let connection = account.connection.id;
        if let Some(known) = self.store.sender_of(connection, &number.id).await? {
            return Ok(known);
        }
        let display = number.reading.display_phone_number.clone();
        let new = row_of(account, &number.id, display);
        let once = Once::default();
        let made = self.store.create_sender(&new, &once, |sender| sender.id);
        match made.await {
            Ok(_) | Err(CreateSenderError::Taken) => {}
            Err(CreateSenderError::Store(error)) => return Err(error.into()),
            Err(CreateSenderError::UnknownConnection) => return Err(lost(&number.id).into()),
        }
        let made = self.store.sender_of(connection, &number.id).await?;
        Ok(made.ok_or_else(|| lost(&number.id))?)
    }

    /// A number's profile, with the provider's own answer: a list of them where it takes several.
    pub async fn profile(&self, account: &Account) -> Result<(Profile, Value), Failed> {
        let provider = account.provider();
        let mut answers = Vec::new();
        for ask in profile::read(provider, &account.named()) {
            answers.push(self.asked(account, &ask).await?);
        }
        let profile = profile::profile(provider, &answers);
        let whole = one_or_all(answers);
        let profile =
            profile.ok_or_else(|| Failed::unread(whole.clone(), "the profile is missing"))?;
        Ok((profile, whole))
    }

    /// Changes a profile: what is not named stays.
    pub async fn update_profile(
        &self,
        account: &Account,
        given: &Map<String, Value>,
    ) -> Result<Value, Failed> {
        let asks = profile::update(account.provider(), &account.named(), given);
        let mut steps = Steps::of(asks.iter().map(|ask| ask.operation.name));
        let mut answers = Vec::new();
        for ask in asks {
            answers.push(steps.took(self.change(account, &ask).await)?);
        }
        Ok(one_or_all(answers))
    }

    /// Takes a step of a number's registration; the provider's answer.
    pub async fn register(&self, account: &Account, change: &Change) -> Result<Value, Failed> {
        account.has(change.operation())?;
        let ask = change.ask(account.provider(), &account.named());
        self.change(account, &ask).await
    }

    /// Puts a number on an account, and makes its row.
    pub async fn add_sender(
        &self,
        account: &Account,
        new: &NewNumber,
    ) -> Result<(Sender, Added), Failed> {
        let provider = account.provider();
        let ask = registration::add(provider, &account.named(), new);
        let answer = self.change(account, &ask).await?;
        let added = registration::added(provider, new, answer.clone());
        let added = added.ok_or_else(|| Failed::unreadable(answer.clone(), "`id` is missing"))?;
        let sender = self.row_of_added(account, new, &added).await;
        let sender = sender.map_err(Failed::unrecorded(&answer))?;
        Ok((sender, added))
    }

    async fn row_of_added(
        &self,
        account: &Account,
        new: &NewNumber,
        added: &Added,
    ) -> Result<Sender, StoreError> {
        let row = row_of(account, &added.id, Some(new.digits()));
        let once = Once::default();
        let made = self.store.create_sender(&row, &once, |it| it.id);
        match made.await {
            // There may have been a row before there was a number.
            Ok(_) | Err(CreateSenderError::Taken) => {}
            Err(CreateSenderError::Store(error)) => return Err(error),
            Err(CreateSenderError::UnknownConnection) => return Err(lost(&added.id)),
        }
        let sender = match self.store.sender_of(row.connection, &added.id).await? {
            Some(id) => self.store.sender(id).await?,
            None => None,
        };
        sender.ok_or_else(|| lost(&added.id))
    }
}

fn row_of(account: &Account, id: &str, display: Option<String>) -> NewSender {
    let is_infobip = account.provider() == Provider::Infobip;
    NewSender {
        connection: account.connection.id,
        phone_number_id: id.to_owned(),
        display_phone_number: display.or_else(|| is_infobip.then(|| id.to_owned())),
        waba_id: Some(account.waba_id.clone()).filter(|waba_id| !waba_id.is_empty()),
        messages_per_second: STANDARD_RATE,
    }
}

/// A row that was there a moment ago.
fn lost(number: &str) -> StoreError {
    StoreError::Corrupt(format!("senders: {number}"))
}

fn one_or_all(mut answers: Vec<Value>) -> Value {
    match answers.len() {
        1 => answers.remove(0),
        _ => answers.into(),
    }
}
