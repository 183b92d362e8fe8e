//! A client of the Confluent-compatible API, as Confluent's, Apicurio's and Karapace's registries speak it.
//!
//! Every question has a time limit; what may pass by itself is asked again a few times. No error holds a credential.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Judged};
pub use super::answer::{Registered, Verdict};
pub use super::error::RegistryError;
use crate::config::{Credentials, Registry};
use crate::verify::secret::Secret;

/// A client of one registry.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    credentials: Option<Credentials>,
    patience: Patience,
}

/// How often something that may pass by itself is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not: the caller asks again.
    Once,
    /// Three times more, within a few seconds.
    Some,
}

#[derive(Serialize)]
struct Schema<'a> {
    #[serde(rename = "schemaType")]
    schema_type: &'static str,
    schema: &'a str,
}

impl Client {
    /// A client of the configured registry.
    ///
    /// # Errors
    ///
    /// `registry.ca` cannot be read, or the system gives no client.
    pub fn new(registry: &Registry, patience: Patience) -> Result<Self, RegistryError> {
        let mut builder = reqwest::Client::builder()
            // A redirect would carry the schema, or a password, to who knows where.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("atoms-kafka-bridge/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&registry.url) {
            // A proxy from the environment cannot know what this machine's own address means.
            builder = builder.no_proxy();
        }
        if let Some(path) = &registry.ca {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        let http = builder
            .build()
            .map_err(|error| RegistryError::Client(innermost(&error)))?;
        Ok(Self {
            http,
            url: registry.url.clone(),
            credentials: registry.credentials.clone(),
            patience,
        })
    }

    /// A schema's id and version under a subject; `None` when it is not registered there.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn look_up(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<Option<Registered>, RegistryError> {
        let answer = self
            .send(
                Method::POST,
                &format!("/subjects/{subject}"),
                Some(&json_schema(schema)),
            )
            .await?;
        if answer.is_unknown() {
            return Ok(None);
        }
        answer.read().map(Some)
    }

    /// The versions of a subject; none of one that is not there.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        let answer = self.ask(&format!("/subjects/{subject}/versions")).await?;
        if answer.is_unknown() {
            return Ok(Vec::new());
        }
        answer.read()
    }

    /// The text of one version.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn schema(&self, subject: &str, version: u32) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Found {
            schema: String,
        }
        let answer = self
            .ask(&format!("/subjects/{subject}/versions/{version}"))
            .await?;
        answer.read().map(|found: Found| found.schema)
    }

    /// The compatibility level that is set for a subject; `None` when none is.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn level(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "compatibilityLevel")]
            level: String,
        }
        let answer = self.ask(&format!("/config/{subject}")).await?;
        if answer.is_unknown() {
            return Ok(None);
        }
        answer.read().map(|found: Found| Some(found.level))
    }

    /// Sets the compatibility level of a subject, which need not be there yet.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn set_level(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let body = serde_json::json!({ "compatibility": level });
        let answer = self
            .send(Method::PUT, &format!("/config/{subject}"), Some(&body))
            .await?;
        answer.read().map(|_: serde_json::Value| ())
    }

    /// Whether a schema may follow those of a subject, by the level that is in force there.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn judge(&self, subject: &str, schema: &str) -> Result<Verdict, RegistryError> {
        // Against all versions that the level asks for; older registries know only the second.
        for versions in ["versions", "versions/latest"] {
            let path = format!("/compatibility/subjects/{subject}/{versions}?verbose=true");
            let answer = self
                .send(Method::POST, &path, Some(&json_schema(schema)))
                .await?;
            if answer.is_unknown() {
                return Ok(Verdict::Compatible);
            }
            if !answer.has_no_such_route() {
                return answer.read().map(Judged::verdict);
            }
        }
        Ok(Verdict::NotJudged)
    }

    /// Registers a schema. Within: the registry's words when it is incompatible.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn register(
        &self,
        subject: &str,
        schema: &str,
    ) -> Result<Result<u32, String>, RegistryError> {
        #[derive(Deserialize)]
        struct Given {
            id: u32,
        }
        let path = format!("/subjects/{subject}/versions");
        let answer = self
            .send(Method::POST, &path, Some(&json_schema(schema)))
            .await?;
        if answer.status == StatusCode::CONFLICT {
            return Ok(Err(answer.message()));
        }
        answer.read().map(|given: Given| Ok(given.id))
    }

    async fn ask(&self, path: &str) -> Result<Answer, RegistryError> {
        self.send::<()>(Method::GET, path, None).await
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Answer, RegistryError> {
        let mut pauses = match self.patience {
            Patience::Once => [].iter(),
            Patience::Some => PAUSES.iter(),
        };
        loop {
            let request = self.request(method.clone(), path, body);
            let (outcome, wait) = match request.send().await {
                Ok(response) => {
                    let wait = retry_after(&response);
                    (self.answer(&method, path, response).await, wait)
                }
                Err(error) => (Err(self.unreachable(error)), None),
            };
            let again = match &outcome {
                Ok(answer) => may_pass(answer.status),
                Err(error) => matches!(error, RegistryError::Unreachable { .. }),
            };
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(wait.unwrap_or(*pause)).await,
                None => return outcome,
            }
        }
    }

    pub(super) fn request<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = match &self.credentials {
            // A secret that is no text is one that no registry has given out; it is refused there.
            Some(Credentials::Basic { username, password }) => {
                request.basic_auth(username, Some(text(password)))
            }
            Some(Credentials::Bearer(token)) => request.bearer_auth(text(token)),
            None => request,
        };
        let request = request.header("accept", MEDIA_TYPE);
        match body.and_then(|body| serde_json::to_vec(body).ok()) {
            Some(body) => request.header("content-type", MEDIA_TYPE).body(body),
            None => request,
        }
    }

    async fn answer(
        &self,
        method: &Method,
        path: &str,
        response: Response,
    ) -> Result<Answer, RegistryError> {
        let status = response.status();
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
            return Err(RegistryError::Unauthorized {
                url: self.url.clone(),
                status: status.as_u16(),
            });
        }
        let body = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(error))?;
        Ok(Answer {
            url: self.url.clone(),
            what: format!("{method} {}", path.split('?').next().unwrap_or_default()),
            status,
            body: body.to_vec(),
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        let reason = if error.is_timeout() {
            format!("no answer within {} s", TIMEOUT.as_secs())
        } else {
            innermost(&error.without_url())
        };
        RegistryError::Unreachable {
            url: self.url.clone(),
            reason,
        }
    }
}

fn json_schema(schema: &str) -> Schema<'_> {
    Schema {
        schema_type: "JSON",
        schema,
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<Certificate>, RegistryError> {
    let unusable = |reason: String| RegistryError::Ca {
        path: path.clone(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| unusable(innermost(&error)))?;
    if certificates.is_empty() {
        return Err(unusable("no certificate in it".to_owned()));
    }
    Ok(certificates)
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// What the registry asks for, within reason.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn is_this_machine(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn text(secret: &Secret) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(secret.expose())
}

/// What the system said, without the layers that only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
