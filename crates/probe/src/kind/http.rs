//! A request over HTTP or HTTPS, following redirects only where asked.
//!
//! Each hop is a connection of its own, and its address goes through the same policy. What the check sends to the
//! endpoint alone (its headers, the declared Host and TLS names) is not sent to another authority.

use bytes::Bytes;
use holdfast_core::DnsName;
use holdfast_core::sample::{Abstention, FailureKind, Phase};
use holdfast_core::spec::{Address, Endpoint, HttpCheck, HttpVersion, TlsOptions};
use http_body_util::Full;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::http::uri::Uri;
use hyper::{HeaderMap, Method, Request};

use crate::connect;
use crate::exchange::{Answer, Stream, exchange};
use crate::expect;
use crate::prober::Course;
use crate::tls::{Alpn, Peer};
use crate::trace::{Step, Stop, failed};

pub(crate) async fn probe(course: &mut Course<'_>, endpoint: &Endpoint, check: &HttpCheck) -> Step {
    let mut hop = Hop::first(endpoint, check).map_err(|why| {
        course.trace.note(|| why);
        Stop::Abstain(Abstention::Invalid)
    })?;
    let mut followed = 0;
    loop {
        let answer = hop.fetch(course, check.version).await?;
        course.trace.enter(Phase::Assert);
        if check.follow_redirects == 0 || !is_redirect(&answer) {
            return judge(course, check, &answer);
        }
        if followed == check.follow_redirects {
            let detail = format!("more than {followed} redirects");
            return Err(failed(Phase::Assert, FailureKind::Status, detail));
        }
        followed += 1;
        hop = hop
            .redirected(&answer)
            .map_err(|why| failed(Phase::Assert, FailureKind::Protocol, why))?;
        course.trace.note(|| format!("redirected to {}", hop.url()));
    }
}

fn judge(course: &mut Course<'_>, check: &HttpCheck, answer: &Answer) -> Step {
    let Course { net, trace } = course;
    expect::status(trace, answer.status.as_u16(), &check.expect_status)?;
    if let Some(expected) = &check.expect_body {
        expect::body(trace, &net.patterns, expected, &answer.body, answer.cut)?;
    }
    let took = trace.elapsed();
    match check.max_latency {
        Some(limit) if took > limit => {
            let detail = format!("{} ms, at most {} ms", took.as_millis(), limit.as_millis());
            Err(failed(Phase::Assert, FailureKind::Slow, detail))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_redirect(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308)
        && answer.headers.contains_key(LOCATION)
}

/// One request to one place.
#[derive(Debug, Clone)]
struct Hop {
    host: Address,
    port: u16,
    tls: Option<TlsOptions>,
    method: Method,
    path: String,
    authority: String,
    headers: HeaderMap,
}

impl Hop {
    fn first(endpoint: &Endpoint, check: &HttpCheck) -> Result<Self, String> {
        let method = check.method.to_ascii_uppercase();
        let method = if method.is_empty() { "GET".into() } else { method };
        let port = check.port.unwrap_or(endpoint.port);
        let default = default_port(check.tls.is_some());
        let hop = Self {
            host: endpoint.address.clone(),
            port,
            tls: check.tls.clone(),
            method: Method::from_bytes(method.as_bytes())
                .map_err(|error| format!("method: {error}"))?,
            path: check.path.clone(),
            authority: check
                .host
                .clone()
                .unwrap_or_else(|| authority(&endpoint.address, port, default)),
            headers: headers(check)?,
        };
        hop.request(check.version)?;
        Ok(hop)
    }

    async fn fetch(&self, course: &mut Course<'_>, version: HttpVersion) -> Step<Answer> {
        let Course { net, trace } = course;
        let request = self.request(version).map_err(|why| {
            trace.note(|| why);
            Stop::Abstain(Abstention::Invalid)
        })?;
        let addresses = connect::resolve(trace, &net.policy, &self.host, self.port).await?;
        let tcp = connect::tcp(trace, &addresses).await?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(options) => {
                let alpn = match version {
                    HttpVersion::Http11 => Alpn::Http11,
                    HttpVersion::Http2 => Alpn::H2,
                };
                let peer = Peer { host: &self.host, options };
                Box::new(net.tls.handshake(trace, tcp, peer, alpn).await?)
            }
            None => Box::new(tcp),
        };
        exchange(trace, stream, version, request).await
    }

    fn request(&self, version: HttpVersion) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let target = match version {
            HttpVersion::Http11 => {
                let host = self.authority.parse().map_err(|error| format!("host: {error}"))?;
                request.headers_mut().entry(HOST).or_insert(host);
                self.path.clone()
            }
            HttpVersion::Http2 => self.url(),
        };
        *request.uri_mut() = target.parse().map_err(|error| format!("{target:?}: {error}"))?;
        Ok(request)
    }

    fn url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, self.path)
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The request that a redirect asks for.
    fn redirected(&self, answer: &Answer) -> Result<Self, String> {
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or("the Location is no text")?;
        let method = match (answer.status.as_u16(), &self.method) {
            (303, &Method::GET | &Method::HEAD) | (301 | 302 | 307 | 308, _) => self.method.clone(),
            _ => Method::GET,
        };
        let absolute = self.absolute(location);
        let uri: Uri =
            absolute.parse().map_err(|error| format!("Location {absolute:?}: {error}"))?;
        let (Some(scheme), Some(target)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("Location {absolute:?} names no host"));
        };
        let secure = match scheme {
            "http" => false,
            "https" => true,
            other => return Err(format!("Location leads to {other}, which is not HTTP")),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        if target.as_str() == self.authority && secure == self.tls.is_some() {
            return Ok(Self { method, path, ..self.clone() });
        }
        let port = target.port_u16().unwrap_or(default_port(secure));
        let host = host_of(target.host())?;
        let authority = authority(&host, port, default_port(secure));
        let tls = secure.then(|| self.options_elsewhere());
        Ok(Self { host, port, tls, method, path, authority, headers: plain_headers() })
    }

    fn absolute(&self, location: &str) -> String {
        let location = location.split('#').next().unwrap_or_default();
        let base = format!("{}://{}", self.scheme(), self.authority);
        if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{}:{location}", self.scheme())
        } else if location.starts_with('/') {
            format!("{base}{location}")
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            format!("{base}{directory}{location}")
        }
    }

    /// How another authority is judged: as strictly as this one, under its own name.
    fn options_elsewhere(&self) -> TlsOptions {
        match &self.tls {
            Some(options) => TlsOptions { server_name: None, ..options.clone() },
            None => TlsOptions { verify: true, ..TlsOptions::default() },
        }
    }
}

fn host_of(text: &str) -> Result<Address, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(ip) => Ok(Address::Ip(ip)),
        Err(_) => DnsName::new(bare).map(Address::Name).map_err(|error| error.to_string()),
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Host and, where it is not the default, port, as in a URL.
pub(crate) fn authority(host: &Address, port: u16, default: u16) -> String {
    let host = match host {
        Address::Ip(ip) if ip.is_ipv6() => format!("[{ip}]"),
        other => other.to_string(),
    };
    if port == default { host } else { format!("{host}:{port}") }
}

fn plain_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, const { hyper::header::HeaderValue::from_static("holdfast-probe") });
    headers.insert(ACCEPT, const { hyper::header::HeaderValue::from_static("*/*") });
    headers
}

fn headers(check: &HttpCheck) -> Result<HeaderMap, String> {
    let mut headers = plain_headers();
    let mut given = HeaderMap::new();
    for (name, value) in &check.headers {
        let wrong = |error: &dyn std::fmt::Display| format!("headers[{name}]: {error}");
        let key: hyper::header::HeaderName = name.parse().map_err(|error| wrong(&error))?;
        // The value may be a secret, so it is never shown.
        let mut value: hyper::header::HeaderValue = value
            .parse()
            .map_err(|_| wrong(&"the value has characters that a header cannot hold"))?;
        value.set_sensitive(true);
        given.append(key, value);
    }
    headers.extend(given);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(tls: bool) -> Hop {
        Hop {
            host: Address::Ip([192, 0, 2, 1].into()),
            port: 8080,
            tls: tls.then(TlsOptions::default),
            method: Method::GET,
            path: "/a/b?c".into(),
            authority: "shop.test".into(),
            headers: HeaderMap::from_iter([(
                hyper::header::AUTHORIZATION,
                "secret".parse().expect("valid"),
            )]),
        }
    }

    fn redirect(from: &Hop, location: &str) -> Result<Hop, String> {
        from.redirected(&Answer {
            status: hyper::StatusCode::FOUND,
            headers: HeaderMap::from_iter([(LOCATION, location.parse().expect("valid"))]),
            body: vec![],
            cut: false,
            trailers: HeaderMap::new(),
        })
    }

    #[test]
    fn redirects_lead_where_they_say() {
        for (location, want) in [
            ("/x?y=1#z", "http://shop.test/x?y=1"),
            ("d", "http://shop.test/a/d"),
            ("http://shop.test/e", "http://shop.test/e"),
            ("http://other.test:81/e", "http://other.test:81/e"),
            ("//other.test/e", "http://other.test/e"),
            ("https://[2001:db8::1]:444", "https://[2001:db8::1]:444/"),
        ] {
            assert_eq!(redirect(&hop(false), location).expect(location).url(), want, "{location}");
        }
        for bad in ["ftp://other.test/", "http://", "http://a b/", "gopher://x"] {
            assert!(redirect(&hop(false), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_stay_with_their_authority() {
        let same = redirect(&hop(false), "/x").expect("valid");
        assert!(same.headers.contains_key("authorization"));
        assert_eq!(
            same.host,
            Address::Ip([192, 0, 2, 1].into()),
            "the endpoint stays connected by address"
        );
        for elsewhere in ["http://other.test/", "https://shop.test/", "http://shop.test:81/"] {
            let there = redirect(&hop(false), elsewhere).expect("valid");
            assert!(!there.headers.contains_key("authorization"), "{elsewhere}");
        }
    }

    #[test]
    fn a_redirect_into_tls_is_verified() {
        let there = redirect(&hop(false), "https://other.test/").expect("valid");
        assert!(there.tls.is_some_and(|options| options.verify));
    }
}
