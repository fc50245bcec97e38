//! Flows as the provider keeps them: a draft that may be changed, until it is published.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::trouble::Trouble;

/// Ids begin here: fifteen digits, as Meta's.
const FIRST_ID: u64 = 330_000_000_000_000;

/// All of both providers.
pub type Flows = BTreeMap<String, Flow>;

#[derive(Debug, Clone)]
pub struct Flow {
    pub id: String,
    pub dialect: Dialect,
    pub name: String,
    pub categories: Vec<Value>,
    pub status: &'static str,
    pub json: Option<Value>,
    /// As Meta writes times.
    pub updated_at: String,
}

/// What a caller wants of a flow that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Change,
    Delete,
    Publish,
    Deprecate,
}

impl Flow {
    /// A new draft.
    pub fn made(
        flows: &mut Flows,
        dialect: Dialect,
        given: &Value,
        now: &str,
    ) -> Result<Self, Trouble> {
        let name = given["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Trouble::invalid("name", "Param name is required."))?;
        let categories = given["categories"]
            .as_array()
            .filter(|list| !list.is_empty());
        let missing = || Trouble::invalid("categories", "Param categories is required.");
        let categories = categories.ok_or_else(missing)?;
        let taken = |flow: &Flow| flow.dialect == dialect && flow.name == name;
        if flows.values().any(taken) {
            return Err(Trouble::invalid("name", "Flow name has to be unique."));
        }
        let id = (FIRST_ID + flows.len() as u64 + 1).to_string();
        let flow = Self {
            id: id.clone(),
            dialect,
            name: name.to_owned(),
            categories: categories.clone(),
            status: "DRAFT",
            json: None,
            updated_at: now.to_owned(),
        };
        flows.insert(id, flow.clone());
        Ok(flow)
    }

    /// Whether its state lets a wish be.
    pub fn lets(&self, wish: Wish) -> Result<(), Trouble> {
        let (state, code, message) = match wish {
            Wish::Change => (
                "DRAFT",
                139_001,
                "Flow can't be updated: it is not a draft.",
            ),
            Wish::Delete => (
                "DRAFT",
                139_004,
                "Flow can't be deleted: it is not a draft.",
            ),
            Wish::Publish => (
                "DRAFT",
                139_002,
                "Flow can't be published: it is not a draft.",
            ),
            Wish::Deprecate => (
                "PUBLISHED",
                139_003,
                "Flow can't be deprecated: it is not published.",
            ),
        };
        let is_sound = wish != Wish::Publish || self.errors().is_empty();
        if self.status == state && is_sound {
            return Ok(());
        }
        Err(Trouble::Flow {
            code,
            message: message.to_owned(),
        })
    }

    /// What is wrong with its JSON: enough that a wrong one shows.
    fn errors(&self) -> Vec<&'static str> {
        let Some(flow) = &self.json else {
            return vec!["The flow has no JSON."];
        };
        let mut wrong = Vec::new();
        if !flow["version"].is_string() {
            wrong.push("Required property 'version' is missing.");
        }
        if flow["screens"].as_array().is_none_or(Vec::is_empty) {
            wrong.push("Expected property 'screens' to have at least one screen.");
        }
        wrong
    }

    /// The same, as a dialect says it.
    pub fn validation_errors(&self) -> Value {
        if self.json.is_none() {
            return json!([]);
        }
        let names = match self.dialect {
            Dialect::Infobip => [
                "errorType",
                "lineStart",
                "lineEnd",
                "columnStart",
                "columnEnd",
            ],
            _ => [
                "error_type",
                "line_start",
                "line_end",
                "column_start",
                "column_end",
            ],
        };
        let one = |message: &&'static str| {
            let mut error = Map::new();
            error.insert("error".into(), "INVALID_PROPERTY".into());
            error.insert("message".into(), (*message).into());
            error.insert(names[0].into(), "FLOW_JSON_ERROR".into());
            for name in &names[1..] {
                error.insert((*name).to_owned(), 1.into());
            }
            Value::Object(error)
        };
        self.errors().iter().map(one).collect()
    }

    /// As its provider shows it.
    pub fn shown(&self) -> Value {
        let mut shown = json!({"id": self.id, "name": self.name, "status": self.status,
            "categories": self.categories});
        match self.dialect {
            Dialect::Infobip => shown["businessAccountId"] = 40211.into(),
            _ => {
                shown["validation_errors"] = self.validation_errors();
                shown["updated_at"] = self.updated_at.as_str().into();
            }
        }
        shown
    }
}
