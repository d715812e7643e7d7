//! The proxy behind the proxy: what this machine's own environment says about how the network outside is reached.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use super::head::Target;
use crate::options::ProxyVariables;

/// A proxy that requests are passed on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) target: Target,
    /// What its header says, if it wants to know who asks.
    pub(super) authorization: Option<String>,
}

/// Which requests go to another proxy.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    http: Option<Upstream>,
    https: Option<Upstream>,
    direct: Vec<String>,
}

impl Upstreams {
    /// As the variables say; and what of them cannot be used.
    pub(super) fn of(variables: &ProxyVariables) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut read = |text: &Option<String>| {
            let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
            let upstream = parse(text);
            if upstream.is_none() {
                // It may hold a password.
                problems.push("a proxy in the environment is not of the form http://HOST:PORT and is not used".to_owned());
            }
            upstream
        };
        let (http, https) = (read(&variables.http), read(&variables.https));
        let direct = variables.no_proxy.split([',', ' ']).map(|entry| entry.trim().to_ascii_lowercase());
        (Self { http, https, direct: direct.filter(|entry| !entry.is_empty()).collect() }, problems)
    }

    /// The proxy for a target; `None`: it is reached directly.
    pub(super) fn of_target(&self, target: &Target, tunnel: bool) -> Option<&Upstream> {
        let upstream = if tunnel { self.https.as_ref() } else { self.http.as_ref() };
        upstream.filter(|_| !self.is_direct(target))
    }

    fn is_direct(&self, target: &Target) -> bool {
        let host = target.host.to_ascii_lowercase();
        let address = host.parse::<std::net::IpAddr>().ok();
        // Another machine's proxy has another loopback.
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.direct.iter().any(|entry| {
            let net = entry.parse::<IpNet>().ok();
            let name = entry.split(':').next().unwrap_or(entry).trim_start_matches("*.").trim_start_matches('.');
            entry == "*"
                || *entry == host
                || net.zip(address).is_some_and(|(net, address)| net.contains(&address))
                || (address.is_none() && !name.is_empty() && (host == name || host.ends_with(&format!(".{name}"))))
        })
    }
}

/// `http://user:word@host:port`; the scheme may be left out.
fn parse(text: &str) -> Option<Upstream> {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) => scheme.eq_ignore_ascii_case("http").then_some(rest)?,
        None => text,
    };
    let authority = rest.split('/').next()?;
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.trim_start_matches(':')))?,
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = if port.is_empty() { 80 } else { port.parse().ok()? };
    let authorization = user.map(|user| format!("Basic {}", STANDARD.encode(decoded(user))));
    (!host.is_empty()).then(|| Upstream { target: Target { host: host.to_owned(), port }, authorization })
}

/// Without the `%41` of a URL.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0_usize;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at.saturating_add(1)..at.saturating_add(3)).filter(|_| *byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value =
            digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit())).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(value.unwrap_or(*byte));
        at = at.saturating_add(if value.is_some() { 3 } else { 1 });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(http: &str, no_proxy: &str) -> Upstreams {
        let variables = ProxyVariables { http: Some(http.into()), https: None, no_proxy: no_proxy.into() };
        let (upstreams, problems) = Upstreams::of(&variables);
        assert!(problems.is_empty(), "{problems:?}");
        upstreams
    }

    #[test]
    fn proxies_are_read_with_who_asks() {
        let read = parse("http://me:a%40b@proxy.example:3128/").unwrap();
        assert_eq!(read.target, Target { host: "proxy.example".into(), port: 3128 });
        assert_eq!(read.authorization.unwrap(), format!("Basic {}", STANDARD.encode("me:a@b")));
        assert_eq!(parse("proxy").unwrap().target.port, 80);
        assert_eq!(parse("http://[::1]:8").unwrap().target, Target { host: "::1".into(), port: 8 });
        assert_eq!((parse("socks5://a:1"), parse("http://")), (None, None));
        let (_, problems) = Upstreams::of(&ProxyVariables { http: Some("https://me:word@p".into()), ..ProxyVariables::default() });
        assert!(problems.len() == 1 && !problems.concat().contains("word"));
    }

    #[test]
    fn what_is_near_is_reached_directly() {
        let upstreams = upstreams("http://p:1", "10.0.0.0/8, .internal,example.org,192.168.1.1");
        let direct = |host: &str| upstreams.of_target(&Target { host: host.into(), port: 80 }, false).is_none();
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "10.2.3.4", "a.internal", "example.org", "a.example.org", "192.168.1.1"]
        {
            assert!(direct(host), "{host}");
        }
        for host in ["example.com", "notexample.org", "11.0.0.1", "192.168.1.10"] {
            assert!(!direct(host), "{host}");
        }
        assert!(upstreams.of_target(&Target { host: "example.com".into(), port: 443 }, true).is_none(), "there is none for tunnels");
    }
}
