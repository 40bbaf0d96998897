//! Somebody in a browser: logs in by a link, and asks for pages of the console.

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use serde_json::json;

pub struct Visitor {
    api: Api,
    base: String,
    cookie: String,
}

impl Visitor {
    /// A new person, who may read.
    pub async fn enter(api: Api, address: std::net::SocketAddr) -> Result<Self, Problem> {
        let person = api.post("/people", &json!({"name": "Visitor", "role": "read"})).await?;
        let id = person["id"].as_str().ok_or("the person has no id")?;
        let link = api.post(&format!("/people/{id}/login_links"), &json!({})).await?;
        let token = link["url"].as_str().and_then(|url| url.split_once("token=")).ok_or("there is no login link")?.1;
        let base = format!("http://{address}");
        let login = Request::builder()
            .method(Method::POST)
            .uri(format!("{base}/login"))
            .header(header::ORIGIN, &base)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(format!("token={token}"))))?;
        let answer = api.send(login).await?;
        let cookie = answer.headers().get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).ok_or("the login gave no cookie")?.to_owned();
        Ok(Self { api, base, cookie })
    }

    /// A page as it is sent to a browser.
    pub async fn page(&self, path: &str) -> Result<Bytes, Problem> {
        let request = Request::builder()
            .uri(format!("{}{path}", self.base))
            .header(header::COOKIE, &self.cookie)
            .header(header::ACCEPT, "text/html")
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Full::default())?;
        let answer = self.api.send(request).await?;
        if !answer.status().is_success() {
            return Err(format!("{path}: {}", answer.status()).into());
        }
        Ok(answer.into_body().collect().await?.to_bytes())
    }
}
