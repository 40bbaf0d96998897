//! Request bodies: JSON with nothing twice and nothing unknown. Each error names the path of the field.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::{Kind, Problem};
use crate::domain::input;

/// For all of a body to come.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body read as `T`. An empty one is read as `{}`.
pub struct Body<T>(pub T);

/// A body with nothing in it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A body that names the fields to edit of a `T`.
pub struct Edit<T> {
    pub fields: Map<String, Value>,
    of: PhantomData<fn() -> T>,
}

/// A body that is read in parts, and described as a `T`.
pub struct Fields<T> {
    pub fields: Map<String, Value>,
    of: PhantomData<fn() -> T>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let fields = read_object(request, state).await?;
        Ok(Body(input::read(fields)?))
    }
}

impl<S: Send + Sync, T> FromRequest<S> for Edit<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self { fields: read_object(request, state).await?, of: PhantomData })
    }
}

impl<S: Send + Sync, T> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self { fields: read_object(request, state).await?, of: PhantomData })
    }
}

async fn read_object<S: Send + Sync>(request: Request, _: &S) -> Result<Map<String, Value>, Problem> {
    let (parts, bytes) = whole(request).await?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        let detail = format!("the content type '{content_type}' was given; send JSON, as application/json");
        return Err(Problem::of(Kind::ContentType, detail));
    }
    let malformed = |detail: String| Problem::of(Kind::MalformedJson, detail);
    match parse(&bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(malformed("the body must be a JSON object".to_owned())),
        Err(error) => Err(malformed(format!("the body cannot be read: {error}"))),
    }
}

/// A request whose body has come whole, within what it may have of size and time.
pub async fn whole(request: Request) -> Result<(Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > super::LARGEST_BODY as u64) {
        // Nobody has to send it first.
        let detail =
            format!("the body is to have {} bytes; at most {} are allowed", length.unwrap_or(0), super::LARGEST_BODY);
        return Err(Problem::of(Kind::BodyTooLarge, detail));
    }
    let request = Request::from_parts(parts.clone(), body);
    let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await.map_err(|_| {
        let detail = format!("the body did not come within {} s; nothing was changed", BODY_TIMEOUT.as_secs());
        Problem::of(Kind::BodyTimeout, detail)
    })?;
    let bytes = read.map_err(|rejection| {
        let is_too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let kind = if is_too_large { Kind::BodyTooLarge } else { Kind::Body };
        Problem::of(kind, format!("{}; a body may have {} bytes", rejection.body_text(), super::LARGEST_BODY))
    })?;
    Ok((parts, bytes))
}

/// JSON in which no object names a field twice, for readers differ on which of the two counts.
pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = NothingTwice.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct NothingTwice;

impl<'de> DeserializeSeed<'de> for NothingTwice {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NothingTwice {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(NothingTwice)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(NothingTwice)?;
            if fields.contains_key(&name) {
                return Err(serde::de::Error::custom(format!(
                    "the field '{name}' stands twice in one object; give it once"
                )));
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_twice_is_refused_at_any_depth_by_name() {
        assert_eq!(
            parse(br#"{"a":[1,-2,1.5,"x",null,true]}"#).unwrap().to_string(),
            r#"{"a":[1,-2,1.5,"x",null,true]}"#
        );
        for text in [r#"{"a":1,"a":2}"#, r#"{"b":[{"a":1,"a":1}]}"#] {
            assert!(parse(text.as_bytes()).unwrap_err().to_string().contains("'a' stands twice"), "{text}");
        }
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{\"a\":NaN}").is_err());
    }
}
