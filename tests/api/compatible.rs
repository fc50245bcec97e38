//! What a newer description of the API takes away from an older one: a call, a field, a word of an
//! enumeration; what it asks for that was not asked for; what is of another type. More fields in
//! answers, more calls, more that may be asked for is nothing of the kind.

use std::collections::BTreeSet;

use serde_json::Value;

/// Which way what a schema describes goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    broken: Vec<String>,
    /// References that are being compared: schemas may hold themselves.
    open: BTreeSet<(String, bool)>,
}

/// What breaks whoever was written to the old description.
pub fn broken(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison {
        old,
        new,
        broken: Vec::new(),
        open: BTreeSet::new(),
    };
    for (path, operations) in members(&old["paths"]) {
        for (method, operation) in members(operations) {
            comparison.operation(path, method, operation);
        }
    }
    comparison.broken
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The words of a list, or of one.
fn words(value: &Value) -> BTreeSet<&str> {
    let one = value.as_str();
    items(value).filter_map(Value::as_str).chain(one).collect()
}

impl<'a> Comparison<'a> {
    fn says(&mut self, said: String) {
        self.broken.push(said);
    }

    fn operation(&mut self, path: &str, method: &str, old: &'a Value) {
        let at = format!("{} {path}", method.to_uppercase());
        let Some(new) = self.new["paths"][path].get(method) else {
            return self.says(format!("{at} is gone"));
        };
        self.parameters(&at, old, new);
        for (kind, content) in members(&old["requestBody"]["content"]) {
            match new["requestBody"]["content"].get(kind) {
                Some(taken) => {
                    self.schema(
                        &format!("{at} body"),
                        Way::In,
                        &content["schema"],
                        &taken["schema"],
                    );
                }
                None => self.says(format!("{at} takes no {kind} any more")),
            }
        }
        for (status, answer) in members(&old["responses"]).filter(|(s, _)| s.starts_with('2')) {
            for (kind, content) in members(&answer["content"]) {
                match new["responses"][status]["content"].get(kind) {
                    Some(now) => {
                        let at = format!("{at} {status}");
                        self.schema(&at, Way::Out, &content["schema"], &now["schema"]);
                    }
                    None => self.says(format!("{at} answers no {status} {kind} any more")),
                }
            }
        }
    }

    fn parameters(&mut self, at: &str, old: &'a Value, new: &'a Value) {
        let find = |all: &'a Value, like: &Value| {
            let is = |p: &&Value| p["name"] == like["name"] && p["in"] == like["in"];
            items(&all["parameters"]).find(is)
        };
        for parameter in items(&old["parameters"]) {
            let name = &parameter["name"];
            match find(new, parameter) {
                Some(now) => {
                    self.schema(
                        &format!("{at} {name}"),
                        Way::In,
                        &parameter["schema"],
                        &now["schema"],
                    );
                }
                None => self.says(format!("{at} takes no {name} any more")),
            }
        }
        for parameter in items(&new["parameters"]) {
            let was = find(old, parameter).is_some_and(|was| was["required"] == true);
            if parameter["required"] == true && !was {
                self.says(format!("{at} needs {} now", parameter["name"]));
            }
        }
    }

    fn schema(&mut self, at: &str, way: Way, old: &'a Value, new: &'a Value) {
        let reference = old["$ref"].as_str();
        if let Some(reference) = reference {
            let entered = (reference.to_owned(), way == Way::In);
            if !self.open.insert(entered.clone()) {
                return;
            }
            let (old, new) = (find(self.old, old), find(self.new, new));
            self.plain(at, way, old, new);
            self.open.remove(&entered);
        } else {
            self.plain(at, way, old, find(self.new, new));
        }
    }

    fn plain(&mut self, at: &str, way: Way, old: &'a Value, new: &'a Value) {
        let (was, is) = (words(&old["type"]), words(&new["type"]));
        let fits = match way {
            Way::In => was.is_subset(&is) || is.is_empty(),
            Way::Out => is.is_subset(&was) && !is.is_empty() || was.is_empty(),
        };
        if !fits {
            self.says(format!("{at} was {was:?} and is {is:?}"));
        }
        for word in items(&old["enum"]) {
            if new.get("enum").is_some() && !items(&new["enum"]).any(|now| now == word) {
                self.says(format!("{at}: {word} is gone"));
            }
        }
        if way == Way::In && old.get("enum").is_none() && new.get("enum").is_some() {
            self.says(format!("{at} takes few words now"));
        }
        for (name, schema) in members(&old["properties"]) {
            match new["properties"].get(name) {
                Some(now) => self.schema(&format!("{at}.{name}"), way, schema, now),
                None => self.says(format!("{at}.{name} is gone")),
            }
        }
        let (was, is) = (words(&old["required"]), words(&new["required"]));
        let (more, what) = match way {
            Way::In => (is.difference(&was), "is needed now"),
            Way::Out => (was.difference(&is), "may be missing now"),
        };
        let said: Vec<_> = more.map(|name| format!("{at}.{name} {what}")).collect();
        self.broken.extend(said);
        if let (Some(old), Some(new)) = (old.get("items"), new.get("items")) {
            self.schema(&format!("{at}[]"), way, old, new);
        }
        for several in ["oneOf", "anyOf", "allOf"] {
            for (index, one) in items(&old[several]).enumerate() {
                self.one_of(&format!("{at} ({several} {index})"), way, one, new, several);
            }
        }
    }

    /// One of several schemas: some of the new ones must do for it.
    fn one_of(&mut self, at: &str, way: Way, one: &'a Value, new: &'a Value, several: &str) {
        let before = self.broken.len();
        for now in items(&new[several]) {
            self.broken.truncate(before);
            self.schema(at, way, one, now);
            if self.broken.len() == before {
                return;
            }
        }
        // A reference that has become the schema itself, or the reverse.
        if items(&new[several]).next().is_none() {
            self.schema(at, way, one, new);
        }
    }
}

fn find<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

mod tests {
    use serde_json::json;

    use super::*;

    fn of(schemas: Value) -> Value {
        let body = |name: &str| {
            json!({"application/json": {"schema":
            {"$ref": format!("#/components/schemas/{name}")}}})
        };
        json!({"paths": {"/things": {"post": {
            "parameters": [{"name": "limit", "in": "query", "schema": {"type": "string"}}],
            "requestBody": {"content": body("New")},
            "responses": {"201": {"content": body("Thing")}},
        }}}, "components": {"schemas": schemas}})
    }

    #[test]
    fn whatever_is_taken_away_is_noticed_and_nothing_else() {
        let old = of(json!({
            "New": {"type": "object", "required": ["a"], "properties": {
                "a": {"type": "string"}, "kind": {"type": "string", "enum": ["x", "y"]}}},
            "Thing": {"type": "object", "required": ["id"], "properties": {
                "id": {"type": "string"}, "next": {"$ref": "#/components/schemas/Thing"},
                "at": {"oneOf": [{"type": "null"}, {"type": "string"}]}}},
        }));
        let schemas = "/components/schemas";
        let post = "/paths/~1things/post";
        let with = |changes: &[(String, Value)]| {
            let mut new = old.clone();
            for (pointer, value) in changes {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                new.pointer_mut(parent).unwrap()[name.replace("~1", "/")] = value.clone();
            }
            broken(&old, &new)
        };
        let added = [
            (
                format!("{schemas}/New/properties/b"),
                json!({"type": "string"}),
            ),
            (
                format!("{schemas}/New/properties/kind/enum"),
                json!(["x", "y", "z"]),
            ),
            (
                format!("{schemas}/Thing/properties/b"),
                json!({"type": "string"}),
            ),
            ("/paths/~1others".to_owned(), json!({})),
        ];
        assert_eq!(with(&added), [""; 0]);
        for (pointer, value, said) in [
            (
                "/paths/~1things".to_owned(),
                json!({}),
                "POST /things is gone",
            ),
            (
                format!("{post}/parameters"),
                json!([]),
                "POST /things takes no \"limit\" any more",
            ),
            (
                format!("{schemas}/Thing/properties/id"),
                json!({"type": "integer"}),
                "POST /things 201.id was {\"string\"} and is {\"integer\"}",
            ),
            (
                format!("{schemas}/Thing/properties/at"),
                json!({"oneOf": [{"type": "null"}]}),
                "POST /things 201.at (oneOf 1) was {\"string\"} and is {\"null\"}",
            ),
            (
                format!("{schemas}/Thing/properties"),
                json!({"id": {"type": "string"},
             "next": {"$ref": "#/components/schemas/Thing"}}),
                "POST /things 201.at is gone",
            ),
            (
                format!("{schemas}/Thing/required"),
                json!([]),
                "POST /things 201.id may be missing now",
            ),
            (
                format!("{schemas}/New/required"),
                json!(["a", "kind"]),
                "POST /things body.kind is needed now",
            ),
            (
                format!("{schemas}/New/properties/kind/enum"),
                json!(["x"]),
                "POST /things body.kind: \"y\" is gone",
            ),
            (
                format!("{post}/responses"),
                json!({"200": {}}),
                "POST /things answers no 201 application/json any more",
            ),
        ] {
            assert_eq!(with(&[(pointer, value)]), [said]);
        }
    }
}
