//! The HTTP client of a lane: one request, one answer, within fixed limits of time and size. Follows no redirect,
//! decompresses nothing, and connects only through the guard. Knows neither endpoints nor events.

use std::sync::atomic::AtomicU16;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Response, Uri};
use hyper::body::Incoming;

use super::answer::Answer;
use super::connector::Connector;
use super::error::ErrorClass;
use super::outbound::{Outbound, Timeouts};
use super::pool::{Connection, Pool};
use super::redaction::Redaction;
pub use super::request::{Credentials, Message, MessageKey};
use super::request::{Sentences, Signed, Template};
use super::tls::Tls;
use super::{http1, http2};
use crate::domain::clock::Timestamp;
use crate::domain::sentence::Chat;

/// Where a client sends to, and how.
#[derive(Debug, Clone)]
pub struct Target {
    pub url: String,
    /// Requests under way at once, and so connections.
    pub max_in_flight: u32,
    /// Sent with every request. Bellwether's own headers win over them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub credentials: Credentials,
    /// The service that is sent sentences in place of data.
    pub chat: Option<Chat>,
    /// In place of the installation's.
    pub tls: Option<Tls>,
}

#[derive(Debug, thiserror::Error)]
#[error("the URL cannot be used: {0}")]
pub struct UnusableUrl(String);

/// A client bound to one target, with its own connections.
pub struct Client {
    pool: Pool,
    template: Template,
    redaction: Redaction,
    timeouts: Timeouts,
}

/// What came of a request, and its headers as they were sent, for people.
#[derive(Debug)]
pub struct Exchanged {
    pub answer: Answer,
    pub request_headers: String,
}

/// An answer whose head has come.
enum Asked {
    Http1(http1::Connection, http1::Head),
    Http2(Response<Incoming>),
}

impl Client {
    /// Opens no connection yet.
    pub fn connect(target: Target, outbound: &Outbound) -> Result<Self, UnusableUrl> {
        let limit = usize::try_from(target.max_in_flight.max(1)).unwrap_or(1);
        // The URL's standard form: names in ASCII, everything escaped that must be.
        let url = url::Url::parse(&target.url).map_err(|error| UnusableUrl(error.to_string()))?;
        let uri: Uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| UnusableUrl(error.to_string()))?;
        let outbound = target.tls.map_or_else(|| outbound.clone(), |tls| Outbound { tls, ..outbound.clone() });
        let timeouts = outbound.timeouts;
        let sentences = target.chat.map(|chat| Sentences { chat, links: outbound.links.clone() });
        let connector = Connector::to(&url, outbound).map_err(UnusableUrl)?;
        let values = target.headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let keys = target.credentials.message.iter().map(|key| key.secret.text());
        let secrets = values.chain(keys).chain([target.credentials.body.text()]).chain(url.query());
        Ok(Self {
            pool: Pool::of(connector, limit),
            redaction: Redaction::of(secrets),
            template: Template::new(&url, uri, &target.headers, target.credentials, sentences),
            timeouts,
        })
    }

    /// Sends `message`, signed as of `now`.
    pub async fn send(&self, message: &Message<'_>, now: Timestamp) -> Answer {
        self.exchange_signed(&self.template.sign(message, now)).await
    }

    /// The same, with the headers that were sent if it failed, or if `is_shown`.
    pub async fn exchange(&self, message: &Message<'_>, now: Timestamp, is_shown: bool) -> Exchanged {
        let signed = self.template.sign(message, now);
        let answer = self.exchange_signed(&signed).await;
        let is_shown = is_shown || !answer.is_success();
        let request_headers = if is_shown { self.template.shown(&signed) } else { String::new() };
        Exchanged { answer, request_headers }
    }

    async fn exchange_signed(&self, signed: &Signed<'_>) -> Answer {
        let began_at = self.pool.clock().monotonic();
        // A status that has been read decides, though the rest of its head may never come.
        let seen = AtomicU16::new(0);
        let exchange = async {
            let permit = self.pool.permit().await.map_err(|error| Answer::of_error(&error))?;
            Ok((self.ask(signed, &seen).await?, permit))
        };
        let answer = match tokio::time::timeout(self.timeouts.whole, exchange).await {
            Ok(Ok((asked, _permit))) => self.read(asked, began_at).await,
            Ok(Err(failed)) => failed,
            Err(_) => match seen.into_inner() {
                0 => {
                    let seconds = self.timeouts.whole.as_secs_f64();
                    Answer::failed(ErrorClass::TimeoutAnswer, format!("no status came within {seconds} s"))
                }
                code => Answer::of_code(code),
            },
        };
        answer.redacted(&self.redaction)
    }

    async fn read(&self, asked: Asked, began_at: Duration) -> Answer {
        let left = (began_at + self.timeouts.whole).saturating_sub(self.pool.clock().monotonic());
        let limit = self.timeouts.body.min(left);
        match asked {
            Asked::Http2(response) => Answer::of_response(response, limit).await,
            Asked::Http1(mut connection, mut head) => {
                let answer = Answer::of_head(&mut connection, &mut head, limit).await;
                if let Some(connection) = connection.kept(&head) {
                    self.pool.put(connection);
                }
                answer
            }
        }
    }

    /// Over a connection that waits, or else a fresh one. One that waited may be ended by the other side in just this
    /// moment: nothing has come back then, and the request goes over another. It may be received twice, as any may.
    async fn ask(&self, signed: &Signed<'_>, seen: &AtomicU16) -> Result<Asked, Answer> {
        if let Some(connection) = self.pool.take()
            && let Some(asked) = self.ask_over(connection, signed, seen, true).await?
        {
            return Ok(asked);
        }
        for _ in 0..2 {
            let connection = self.pool.connect().await.map_err(|error| Answer::of_error(&error))?;
            if let Some(asked) = self.ask_over(connection, signed, seen, false).await? {
                return Ok(asked);
            }
        }
        Err(Answer::failed(ErrorClass::Exchange, "the receiver wants HTTP/1.1, and then HTTP/2 all the same"))
    }

    /// `None`: the request is to go over another connection, for the receiver has not looked at it. The connection
    /// `has_waited`, and was ended before anything came back; or it is one of HTTP/2, and HTTP/1.1 is wanted.
    async fn ask_over(
        &self,
        connection: Connection,
        signed: &Signed<'_>,
        seen: &AtomicU16,
        has_waited: bool,
    ) -> Result<Option<Asked>, Answer> {
        match connection {
            Connection::Http1(mut connection) => match connection.ask(&self.template.http1(signed), seen).await {
                Ok(head) => Ok(Some(Asked::Http1(connection, head))),
                Err(http1::Failure::Broken { is_unanswered: true, .. }) if has_waited => Ok(None),
                Err(http1::Failure::Broken { error, is_unanswered }) => {
                    let answer = Answer::of_error(&error);
                    Err(if is_unanswered && !self.pool.is_tls() { answer.asking("is it https?") } else { answer })
                }
                Err(http1::Failure::Malformed(message)) => Err(Answer::failed(ErrorClass::MalformedAnswer, message)),
            },
            Connection::Http2(mut connection) => {
                let request = self.template.http2(signed);
                let request = request.map_err(|error| Answer::failed(ErrorClass::Request, error.to_string()))?;
                match connection.ask(request).await {
                    Ok(response) => Ok(Some(Asked::Http2(response))),
                    Err(error) if has_waited && http2::is_unanswered(&error) => Ok(None),
                    Err(error) if http2::wants_http1(&error) => {
                        self.pool.keep_to_http1();
                        Ok(None)
                    }
                    Err(error) => Err(Answer::of_error(&error)),
                }
            }
        }
    }
}
