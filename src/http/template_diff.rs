//! `/v1/templates/diff`: definitions beside what is at the provider, so that templates can live in
//! a folder of files. It changes nothing there.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::managed::{Whose, given, note};
use super::problem::{ApiError, FieldError};
use super::request::Body;
use super::schema::TemplateStep;
use super::template_manage::TemplateContent;
use super::templates::View;
use crate::manage::{Diff, Step};
use crate::model::ids::{ConnectionId, SenderId};
use crate::provider::compare;
use crate::provider::operations::templates::LIST_TEMPLATES;
use crate::provider::templates::check;

/// Definitions in one request.
const MOST: usize = 1_000;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(diff))
}

/// Templates as they are to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateDefinitions)]
struct Asked {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Meta's account; needed where the connection's senders are of several, or of none.
    waba_id: Option<String>,
    #[schema(max_items = 1000)]
    templates: Vec<Definition>,
}

/// A template as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TemplateDefinition)]
struct Definition {
    #[schema(example = "order_ready")]
    name: String,
    #[schema(example = "en_GB")]
    language: String,
    #[serde(flatten)]
    #[schema(value_type = TemplateContent)]
    content: Map<String, Value>,
}

/// What is to be done, and what nobody defined.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateDiffs)]
struct Shown {
    /// In the order of the definitions.
    data: Vec<DiffView>,
    /// What else the provider has.
    others: Vec<Other>,
}

/// A template that nobody defined.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OtherTemplate)]
struct Other {
    name: String,
    language: String,
    status: String,
}

/// A definition beside what is at the provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateDiff)]
struct DiffView {
    name: String,
    language: String,
    /// `none`, `create`, `edit`; `wait`: it differs and cannot be edited now; `impossible`: it
    /// differs and cannot be edited at all; `invalid`: it cannot be submitted.
    #[schema(value_type = TemplateStep)]
    step: &'static str,
    /// Why, where that is not all said by what differs.
    note: Option<String>,
    differences: Vec<DifferenceView>,
    /// What is wrong with it.
    errors: Vec<FieldError>,
    /// What is there.
    template: Option<View>,
}

/// Something that differs, by its place in the provider's own shape.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateDifference)]
struct DifferenceView {
    #[schema(example = "BODY.text")]
    field: String,
    /// As it is defined; `null`: not at all.
    ours: Value,
    /// As the provider shows it; `null`: not at all.
    theirs: Value,
}

impl From<compare::Difference> for DifferenceView {
    fn from(difference: compare::Difference) -> Self {
        let compare::Difference {
            field,
            ours,
            theirs,
        } = difference;
        Self {
            field,
            ours,
            theirs,
        }
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::None => "none",
        Step::Create => "create",
        Step::Edit => "edit",
        Step::Wait => "wait",
        Step::Impossible => "impossible",
    }
}

/// Compares definitions with the templates that the provider shows now. Nothing is changed there.
#[utoipa::path(
    post,
    path = "/templates/diff",
    operation_id = "diff_templates",
    tag = "Templates",
    request_body = Asked,
    responses((status = 200, body = Shown)),
)]
async fn diff(State(api): State<Api>, Body(asked): Body<Asked>) -> Result<Json<Shown>, ApiError> {
    if asked.templates.len() > MOST {
        return Err(ApiError::field("templates", "expected at most 1000"));
    }
    let whose = Whose {
        sender: asked.sender,
        connection: asked.connection,
        waba_id: asked.waba_id,
    };
    let account = api.account(&whose, &LIST_TEMPLATES).await?;
    note(&account, "compare templates");
    let definitions = asked.templates.into_iter().map(|template| {
        let mut definition = given(template.content);
        definition.insert("name".to_owned(), template.name.into());
        definition.insert("language".to_owned(), template.language.into());
        Value::Object(definition)
    });
    let definitions: Vec<Value> = definitions.collect();
    let (diffs, others) = api.manage.diff(&account, &definitions).await?;
    let provider = account.connection.provider;
    let data = definitions.iter().zip(diffs).map(|(definition, diff)| {
        let faults = check(provider, definition);
        let errors = faults
            .into_iter()
            .map(|fault| FieldError::of_fault("", fault));
        api.show_diff(definition, diff, errors.collect())
    });
    Ok(Json(Shown {
        data: data.collect(),
        others: others
            .into_iter()
            .map(|template| Other {
                name: template.name,
                language: template.language,
                status: template.status,
            })
            .collect(),
    }))
}

impl Api {
    fn show_diff(&self, definition: &Value, diff: Diff, errors: Vec<FieldError>) -> DiffView {
        let text = |name: &str| definition[name].as_str().unwrap_or_default().to_owned();
        // What is there as it is defined was good enough once.
        let is_invalid = !errors.is_empty() && diff.step != Step::None;
        DiffView {
            name: text("name"),
            language: text("language"),
            step: match is_invalid {
                true => "invalid",
                false => word(diff.step),
            },
            note: diff.note,
            differences: diff.differences.into_iter().map(Into::into).collect(),
            errors: if is_invalid { errors } else { Vec::new() },
            template: diff.template.map(|template| self.show_template(template)),
        }
    }
}
