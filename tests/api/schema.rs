//! JSON Schema, as far as `/openapi.json` uses it. A keyword that is not known here fails the
//! test, so that nothing goes unchecked in silence. An answer must also not show what is not
//! described, although clients are told that fields may be added.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Says nothing of what is valid.
const REMARKS: [&str; 7] = [
    "description",
    "title",
    "example",
    "examples",
    "default",
    "format",
    // Ids and spans: parsed by the types behind them.
    "pattern",
];

/// Whom the values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Callers may say more where the schema allows it.
    Caller,
    /// Fields that no schema names are errors.
    Service,
}

/// A document in which `$ref`s are looked up.
#[derive(Debug, Clone, Copy)]
pub struct Schemas<'a>(pub &'a Value, pub From);

impl Schemas<'_> {
    /// What is wrong with `value`; `at` is where it stands.
    pub fn errors(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Some(schema) = schema.as_object() else {
            return vec![format!("{at}: the schema is no object: {schema}")];
        };
        let mut errors = Vec::new();
        for (keyword, says) in schema {
            errors.extend(self.keyword(keyword, says, schema, value, at));
        }
        errors
    }

    fn keyword(
        &self,
        keyword: &str,
        says: &Value,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let holds = match keyword {
            "$ref" => return self.errors(self.find(says), value, at),
            "allOf" => {
                // Each part alone would call the fields of the others unknown.
                let parts = says.as_array().unwrap().iter();
                let lenient = Self(self.0, From::Caller);
                let mut errors: Vec<_> = parts
                    .flat_map(|part| lenient.errors(part, value, at))
                    .collect();
                errors.extend(self.undescribed(schema, value, at));
                return errors;
            }
            "oneOf" | "anyOf" => {
                let all = says.as_array().unwrap().iter();
                let each: Vec<_> = all.map(|one| self.errors(one, value, at)).collect();
                if each.iter().any(Vec::is_empty) {
                    return Vec::new();
                }
                return each.into_iter().flatten().collect();
            }
            "properties" => {
                let mut errors = self.undescribed(schema, value, at);
                for (name, property) in says.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        errors.extend(self.errors(property, value, &format!("{at}.{name}")));
                    }
                }
                return errors;
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                return items
                    .flat_map(|item| self.errors(says, item, &format!("{at}[]")))
                    .collect();
            }
            "additionalProperties" => return self.additional(says, schema, value, at),
            "type" => match says {
                Value::Array(types) => types.iter().any(|name| is(name, value)),
                name => is(name, value),
            },
            "enum" => says.as_array().unwrap().contains(value),
            "const" => says == value,
            "required" => {
                let mut names = says.as_array().unwrap().iter();
                value.is_null() || names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "minimum" => value.as_f64() >= says.as_f64() || !value.is_number(),
            "maximum" => value.as_f64() <= says.as_f64() || !value.is_number(),
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= number(says)),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 <= number(says)),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= number(says)),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 <= number(says)),
            "propertyNames" => true,
            remark => REMARKS.contains(&remark),
        };
        if holds {
            return Vec::new();
        }
        vec![format!("{at}: {keyword} {says}: {value}")]
    }

    /// The schema that a `$ref` names.
    pub fn find(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        let found = self.0.pointer(pointer);
        found.unwrap_or_else(|| panic!("{pointer} leads nowhere"))
    }

    fn additional(
        &self,
        says: &Value,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let mut known = BTreeSet::new();
        self.names(schema, &mut known);
        let members = value.as_object().into_iter().flatten();
        let others = members.filter(|(name, _)| !known.contains(name.as_str()));
        match says {
            Value::Bool(true) => Vec::new(),
            Value::Bool(false) => others
                .map(|(name, _)| format!("{at}.{name}: unknown"))
                .collect(),
            says => others
                .flat_map(|(name, other)| self.errors(says, other, &format!("{at}.{name}")))
                .collect(),
        }
    }

    fn undescribed(&self, schema: &Map<String, Value>, value: &Value, at: &str) -> Vec<String> {
        if self.1 == From::Caller || schema.contains_key("additionalProperties") {
            return Vec::new();
        }
        self.additional(&Value::Bool(false), schema, value, at)
    }

    /// The names that a schema and its parts give to properties.
    fn names(&self, schema: &Map<String, Value>, names: &mut BTreeSet<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            names.extend(properties.keys().cloned());
        }
        if let Some(reference) = schema.get("$ref") {
            self.names(self.find(reference).as_object().unwrap(), names);
        }
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.names(part.as_object().unwrap(), names);
        }
    }
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type of JSON: {other}"),
    }
}

fn number(says: &Value) -> u64 {
    says.as_u64().unwrap()
}
