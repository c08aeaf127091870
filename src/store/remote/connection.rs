//! The connection to a server, and what it says in words that tell no secret.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, Error, RetryConfig};

use super::error::RemoteError;
use super::place::{Place, PlaceFault};

/// The variables that are read, under the names that AWS gave them. Nothing else of the environment has a say.
const VARIABLES: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_REQUEST_PAYER",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_SSE_BUCKET_KEY_ENABLED",
];

/// One of these must be set. Without, the address that only machines of AWS have would be asked for credentials,
/// and elsewhere nobody answers there.
const CREDENTIALS: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
];

/// Whose values no message repeats.
const SECRET: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// A server that says nothing for this long is given up, and asked again.
const SILENCE: Duration = Duration::from_secs(120);

/// A connection, and what must not be told about it.
pub(super) struct Connection {
    pub(super) client: AmazonS3,
    endpoint: Option<String>,
    secrets: Vec<String>,
}

impl Connection {
    /// Prepares a connection; nothing is sent yet. What the place leaves open is taken from the environment.
    pub(super) fn new(
        mut place: Place,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RemoteError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let remote = place.to_string();
        if !CREDENTIALS.iter().any(|name| set(name).is_some()) {
            return Err(RemoteError::NoCredentials(remote));
        }
        let first = |names: &[&str]| names.iter().find_map(|name| set(name));
        let endpoint = first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]);
        let region = first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
        place
            .fill(endpoint.as_deref(), region.as_deref())
            .map_err(|fault| unfit(&remote, &fault))?;
        let mut connection = Self {
            client: build(&place, &set).map_err(|error| RemoteError::Setting {
                remote,
                variable: "AWS_*",
                why: error.to_string(),
            })?,
            endpoint: place.endpoint().map(str::to_owned),
            secrets: SECRET.iter().filter_map(|name| set(name)).collect(),
        };
        // What is too short to be a secret would blot out words.
        connection.secrets.retain(|secret| secret.len() >= 4);
        Ok(connection)
    }

    /// What a server said, as an error of ours.
    pub(super) fn refused(&self, action: &'static str, remote: &str, error: &Error) -> RemoteError {
        let remote = match &self.endpoint {
            Some(endpoint) => format!("{remote} at {endpoint}"),
            None => remote.to_owned(),
        };
        let mut why = said(error);
        for secret in &self.secrets {
            why = why.replace(secret.as_str(), "[…]");
        }
        match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => RemoteError::Denied {
                action,
                remote,
                why,
            },
            _ => RemoteError::Request {
                action,
                remote,
                why,
            },
        }
    }
}

fn build(
    place: &Place,
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<AmazonS3, object_store::Error> {
    // Chosen once for the process; that it was chosen before is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new();
    for name in VARIABLES {
        if let Some(value) = set(name) {
            builder = builder.with_config(name.to_ascii_lowercase().parse()?, value);
        }
    }
    if let Some(endpoint) = place.endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = place.region() {
        builder = builder.with_region(region);
    }
    let http = place
        .endpoint()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder
        .with_bucket_name(place.bucket())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(
            ClientOptions::new()
                .with_allow_http(http)
                .with_timeout_disabled()
                .with_connect_timeout(Duration::from_secs(10))
                .with_read_timeout(SILENCE),
        )
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 6,
            retry_timeout: Duration::from_secs(180),
        })
        .build()
}

fn unfit(remote: &str, fault: &PlaceFault) -> RemoteError {
    RemoteError::Setting {
        remote: remote.to_owned(),
        variable: match fault.part {
            "region" => "AWS_REGION",
            _ => "AWS_ENDPOINT_URL",
        },
        why: fault.why.to_owned(),
    }
}

/// What is at the bottom of an error: the code and message of the server's document, or the network's words.
fn said(error: &Error) -> String {
    const LONGEST: usize = 300;
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim().to_owned())
    };
    let said = match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => text.lines().next().unwrap_or_default().to_owned(),
    };
    said.chars().take(LONGEST).collect()
}
