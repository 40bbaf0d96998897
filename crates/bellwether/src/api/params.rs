//! What stands in a path, a query or a header: ids, pages, versions.

use std::str::FromStr;

use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};
use super::{Api, Shared};
use crate::domain::actor::{Actor, Principal};
use crate::domain::error::{Refusal, in_plain_words};
use crate::domain::id::{ExperimentId, TypedId};
use crate::registry::OnEndpoint;
use crate::store::{Tx, experiments};

pub const LONGEST_PAGE: u32 = 250;

/// `?limit=&after=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageParams {
    /// The `next` of the page before.
    #[serde(default)]
    pub after: String,
    /// Of items on a page.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = LONGEST_PAGE))]
    pub limit: u32,
}

pub fn default_limit() -> u32 {
    50
}

pub fn check_limit(limit: u32) -> Result<u32, Problem> {
    if (1..=LONGEST_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Refusal::invalid("limit", format!("{limit} was given; from 1 to {LONGEST_PAGE} are allowed")).into())
}

/// A value that is read from its text, and whose error says what is allowed.
#[derive(Debug)]
pub struct Spelled<T>(pub T);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Spelled<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl<T: JsonSchema> JsonSchema for Spelled<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A query whose errors are problem answers.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // No text holds U+0000, which PostgreSQL refuses; `%00` is the only way to write it in a query.
        let with_nul = parts.uri.query().and_then(|query| query.split('&').find(|pair| pair.contains("%00")));
        if let Some(pair) = with_nul {
            let name = pair.split('=').next().unwrap_or("query");
            return Err(Refusal::invalid(name, "U+0000 was given; it is not allowed in any text").into());
        }
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(pairs).map(Self).map_err(|error| {
            let path = error.path().to_string();
            unread(query, &path, &in_plain_words(&error.inner().to_string())).into()
        })
    }
}

/// Why a query cannot be read, for one who does not see it any more.
fn unread(query: &str, path: &str, reason: &str) -> Refusal {
    // Of an unknown name the reason says which; a wrong value's name is its path.
    let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let field = unknown.unwrap_or(if path == "." { "query" } else { path });
    let value = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| unknown.is_none() && name == field);
    // What reads its value itself has said already what was given.
    let value = value.filter(|_| !reason.contains(" was given; "));
    let given = value.map(|(_, value)| format!("'{value}' was given; ")).unwrap_or_default();
    Refusal::invalid(field, format!("{given}{reason}; see docs/api.md for what this route takes"))
}

/// Where a page begins: behind what the page before gave as `next`, or at the beginning.
pub fn cursor<T: FromStr>(after: &str) -> Result<Option<T>, Refusal> {
    let wrong = |_| {
        let allowed = "what a page of the same list gave as 'next' is allowed, or nothing";
        Refusal::invalid("after", format!("'{after}' was given; {allowed}"))
    };
    if after.is_empty() { Ok(None) } else { after.parse().map(Some).map_err(wrong) }
}

impl PageParams {
    /// The same as the text of an id, checked.
    pub fn after<I: FromStr + ToString>(&self) -> Result<String, Refusal> {
        Ok(cursor::<I>(&self.after)?.map(|id| id.to_string()).unwrap_or_default())
    }
}

/// The header `If-Match`, if there is one.
pub struct IfMatch(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(header_text(&parts.headers, header::IF_MATCH.as_str())))
    }
}

/// The header `If-None-Match`: what whoever asks has already.
pub struct IfNoneMatch(Option<String>);

impl IfNoneMatch {
    pub fn of(headers: &HeaderMap) -> Self {
        Self(header_text(headers, header::IF_NONE_MATCH.as_str()))
    }

    /// Whether `tag` is among them.
    pub fn names(&self, tag: &str) -> bool {
        let given = self.0.as_deref().unwrap_or_default();
        given.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

/// The header `Last-Event-ID`, as browsers send it when they come back to a stream.
pub struct LastEventId(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        const NAME: &str = "Last-Event-ID";
        let Some(text) = header_text(&parts.headers, NAME).filter(|text| !text.is_empty()) else {
            return Ok(Self(None));
        };
        let cursor = text.parse().ok().and_then(|cursor: u64| i64::try_from(cursor).ok()).ok_or_else(|| {
            Refusal::invalid(
                NAME,
                format!("'{text}' was given; it must be the id of an event of this stream, a number"),
            )
        })?;
        Ok(Self(Some(cursor)))
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The ids of a path.
pub struct Ids<T>(pub T);

/// What a part of a path may be read as.
pub trait PathPart: JsonSchema + Sized {
    fn read(text: String) -> Result<Self, Problem>;
}

impl<I: TypedId> PathPart for I {
    fn read(text: String) -> Result<Self, Problem> {
        parse_id(&text)
    }
}

impl PathPart for String {
    fn read(text: String) -> Result<Self, Problem> {
        Ok(text)
    }
}

impl<S: Send + Sync, I: PathPart> FromRequestParts<S> for Ids<I> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Path(id): Path<String> = path(parts).await?;
        Ok(Self(I::read(id)?))
    }
}

impl<S: Send + Sync, A: PathPart, B: PathPart> FromRequestParts<S> for Ids<(A, B)> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Path((first, second)): Path<(String, String)> = path(parts).await?;
        Ok(Self((A::read(first)?, B::read(second)?)))
    }
}

async fn path<T: DeserializeOwned + Send + 'static>(parts: &mut Parts) -> Result<Path<T>, Problem> {
    parts
        .extract()
        .await
        .map_err(|rejection: axum::extract::rejection::PathRejection| Problem::of(Kind::Path, rejection.body_text()))
}

/// What every command on an experiment carries: who gives it, on which one, and the version it was read at.
pub struct Command {
    pub actor: Actor,
    pub id: ExperimentId,
    pub if_match: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for OnEndpoint {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Principal { actor, .. } = Principal::from_request_parts(parts, state).await?;
        let IfMatch(if_match) = IfMatch::from_request_parts(parts, state).await?;
        let Ids(id) = <Ids<String> as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Self { actor, id: parse_id(&id)?, if_match })
    }
}

/// The experiment that the path names, by its number or its key.
pub struct OfExperiment(pub ExperimentId);

impl FromRequestParts<Shared> for OfExperiment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        let params = parts.extract::<RawPathParams>().await;
        let params = params.map_err(|rejection| Problem::of(Kind::Path, rejection.body_text()))?;
        let given = params.iter().find(|(name, _)| *name == "id").map_or("", |(_, value)| value);
        Ok(Self(api.experiment_id(given).await?))
    }
}

impl FromRequestParts<Shared> for Command {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        let Principal { actor, .. } = Principal::from_request_parts(parts, api).await?;
        let OfExperiment(id) = OfExperiment::from_request_parts(parts, api).await?;
        Ok(Self { actor, id, if_match: header_text(&parts.headers, header::IF_MATCH.as_str()) })
    }
}

/// An id of the path, read as what it should be.
pub fn parse_id<I: FromStr<Err = String>>(text: &str) -> Result<I, Problem> {
    text.parse().map_err(|reason: String| Problem::not_found(reason))
}

impl Api {
    /// An experiment's number, given as such or as `key:<key>`.
    pub async fn experiment_id(&self, given: &str) -> Result<ExperimentId, Problem> {
        if let Ok(number) = given.parse() {
            return Ok(number);
        }
        let Some(key) = given.strip_prefix("key:").map(str::to_owned) else {
            let detail = format!("'{given}' is neither an experiment's number nor 'key:' with its key");
            return Err(Problem::not_found(detail));
        };
        // PostgreSQL cannot even look for U+0000, and no key holds it.
        if key.contains('\0') {
            return Err(Refusal::not_found("experiment with the key", key.escape_debug()).into());
        }
        let wanted = key.clone();
        let found: Result<_, crate::registry::Error> =
            self.registry.db().read(move |tx: &mut dyn Tx| Ok(experiments::number_of_key(tx, &wanted)?)).await;
        Ok(found?.ok_or_else(|| Refusal::not_found("experiment with the key", key))?)
    }

    /// Reads in one consistent state of the database.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Tx) -> Result<T, crate::registry::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        Ok(self.registry.db().read(work).await?)
    }
}
