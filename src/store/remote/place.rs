//! The address of a bucket: where it is, never how to get in.

use std::fmt;
use std::net::IpAddr;

/// A bucket, a prefix in it, and the server that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    region: Option<String>,
    allow_http: bool,
}

/// Why something is no address of a bucket. Never repeats what it was given: that may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct PlaceFault {
    /// What is wrong: `url`, `endpoint` or `region`.
    pub part: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Place {
    /// The place that `url` (`s3://BUCKET/PREFIX`) names, on the server at `endpoint`; AWS where that is `None`.
    ///
    /// An endpoint of plain http is taken on this machine only, or with `allow_http`.
    pub fn new(
        url: &str,
        endpoint: Option<&str>,
        region: Option<&str>,
        allow_http: bool,
    ) -> Result<Self, PlaceFault> {
        let (bucket, prefix) = address(url).map_err(|why| PlaceFault { part: "url", why })?;
        let mut place = Self {
            bucket,
            prefix,
            endpoint: None,
            region: None,
            allow_http,
        };
        place.fill(endpoint, region)?;
        Ok(place)
    }

    /// Takes endpoint and region where this place has none yet.
    pub fn fill(&mut self, endpoint: Option<&str>, region: Option<&str>) -> Result<(), PlaceFault> {
        if let Some(endpoint) = endpoint.filter(|_| self.endpoint.is_none()) {
            let part = "endpoint";
            check_endpoint(endpoint, self.allow_http).map_err(|why| PlaceFault { part, why })?;
            self.endpoint = Some(endpoint.trim_end_matches('/').to_owned());
        }
        if let Some(region) = region.filter(|_| self.region.is_none()) {
            let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            if region.is_empty() || !region.bytes().all(plain) {
                return Err(PlaceFault {
                    part: "region",
                    why: "a region is made of a-z, 0-9 and '-'",
                });
            }
            self.region = Some(region.to_owned());
        }
        Ok(())
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix of every key, without slashes at its ends; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The server's address; `None`: AWS.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The region, where one was named.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        match self.prefix.as_str() {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

/// Bucket and prefix of `s3://BUCKET/PREFIX`.
fn address(url: &str) -> Result<(String, String), &'static str> {
    let rest = url
        .strip_prefix("s3://")
        .ok_or("write s3://BUCKET or s3://BUCKET/PREFIX")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains(['@', ':']) {
        return Err(
            "it holds a name or a password; those come from the environment only, as AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY",
        );
    }
    let of_bucket =
        |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-');
    let ends = |c: char| c.is_ascii_alphanumeric();
    let well_formed = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(of_bucket)
        && bucket.starts_with(ends)
        && bucket.ends_with(ends)
        && !bucket.contains("..");
    if !well_formed {
        return Err(
            "a bucket has 3 to 63 of a-z, 0-9, '.' and '-', and begins and ends with one of the first",
        );
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let of_prefix =
        |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'=' | b'+');
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(of_prefix) && part.len() <= 255
    };
    if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(plain)) {
        return Err(
            "a prefix is made of a-z, A-Z, 0-9, '-', '_', '.', '=' and '+', in parts between single slashes",
        );
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), &'static str> {
    let (scheme, rest) = endpoint
        .split_once("://")
        .ok_or("write https://HOST or https://HOST:PORT")?;
    if endpoint
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\'))
    {
        return Err("it holds a blank, a control character, a query or a fragment");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(
            "it holds a name or a password; those come from the environment only, as AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY",
        );
    }
    let host = host(authority);
    match scheme {
        _ if host.is_empty() => Err("it names no host"),
        "https" => Ok(()),
        "http" if allow_http || is_this_machine(host) => Ok(()),
        "http" => {
            Err("http can be read and changed on its way; use https, or say allow_http: true")
        }
        _ => Err("write https://HOST or https://HOST:PORT"),
    }
}

/// The host of `host:port` or `[address]:port`.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fault(url: &str, endpoint: Option<&str>, region: Option<&str>) -> Option<&'static str> {
        Place::new(url, endpoint, region, false)
            .err()
            .map(|fault| fault.part)
    }

    #[test]
    fn a_place_is_a_bucket_with_a_prefix() {
        for (url, bucket, prefix) in [
            ("s3://models", "models", ""),
            ("s3://models/", "models", ""),
            ("s3://team.models-1/retune/v1", "team.models-1", "retune/v1"),
            ("s3://models/a_b=c/", "models", "a_b=c"),
        ] {
            let place = Place::new(url, None, None, false).unwrap();
            assert_eq!((place.bucket(), place.prefix()), (bucket, prefix), "{url}");
            assert_eq!(place.to_string(), url.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_tells_a_secret_or_goes_in_the_open_is_no_place() {
        for bad in [
            "",
            "models",
            "http://models",
            "s3:/models",
            "s3://",
            "s3://ab",
            "s3://Models",
            "s3://ana:secret@models/x",
            "s3://ana@models",
            "s3://models:9000/x",
            "s3://models//x",
            "s3://models/../x",
            "s3://models/a b",
            "s3://models/x?y",
            "s3://models/é",
            "s3://-models",
        ] {
            assert_eq!(fault(bad, None, None), Some("url"), "{bad:?}");
        }
        for (endpoint, good) in [
            ("https://s3.example.org", true),
            ("https://s3.example.org:9000/", true),
            ("http://127.0.0.1:5000", true),
            ("http://localhost:5000", true),
            ("http://[::1]:5000", true),
            ("http://127.0.0.1.example.org", false),
            ("http://s3.example.org", false),
            ("https://ana:secret@s3.example.org", false),
            ("https://ana@s3.example.org", false),
            ("https://", false),
            ("https://s3.example.org/?x=y", false),
            ("ftp://s3.example.org", false),
            ("s3.example.org", false),
        ] {
            let found = fault("s3://models", Some(endpoint), None);
            assert_eq!(found, (!good).then_some("endpoint"), "{endpoint}");
        }
        assert_eq!(fault("s3://models", None, Some("eu-central-1")), None);
        assert_eq!(fault("s3://models", None, Some("x/../y")), Some("region"));
        Place::new("s3://models", Some("http://s3.example.org"), None, true).unwrap();
    }

    #[test]
    fn what_a_place_says_itself_counts() {
        let mut place = Place::new("s3://models", Some("https://a.example"), None, false).unwrap();
        place
            .fill(Some("https://b.example"), Some("eu-west-1"))
            .unwrap();
        assert_eq!(place.endpoint(), Some("https://a.example"));
        assert_eq!(place.region(), Some("eu-west-1"));
    }
}
