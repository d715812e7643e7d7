//! What a client of the proxy asks: the head of its request, read without trust. Everything that is not looked at is passed on as it is.

/// Names of headers that are between the client and the proxy only.
const HOP_BY_HOP: [&str; 9] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade", "host", "proxy-authenticate"];

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// As it stands in a request: with brackets around an address of IPv6.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

/// A request that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forward {
    pub(super) target: Target,
    method: String,
    path: String,
    /// The `Host` of the target, as a server expects it.
    host: String,
    /// The lines of the headers that are passed on.
    headers: Vec<u8>,
    /// How many bytes follow.
    pub(super) body_bytes: u64,
}

impl Forward {
    /// The head as the server itself gets it. Each connection carries one request, so that no byte can come to another server than it is for.
    pub(super) fn for_server(&self) -> Vec<u8> {
        self.head(&self.path, None)
    }

    /// The head as another proxy gets it.
    pub(super) fn for_proxy(&self, authorization: Option<&str>) -> Vec<u8> {
        self.head(&format!("http://{}{}", self.host, self.path), authorization)
    }

    fn head(&self, place: &str, authorization: Option<&str>) -> Vec<u8> {
        let mut head = format!("{} {place} HTTP/1.1\r\nHost: {}\r\n", self.method, self.host).into_bytes();
        head.extend_from_slice(&self.headers);
        if let Some(authorization) = authorization {
            head.extend_from_slice(format!("Proxy-Authorization: {authorization}\r\n").as_bytes());
        }
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        head
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `CONNECT host:port`
    Tunnel(Target),
    /// `GET http://host/path`
    Forward(Forward),
}

/// Why a request is not done: a status of HTTP, and a line for whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: &'static str,
    pub(super) text: String,
}

pub(super) fn refusal(status: &'static str, text: impl Into<String>) -> Refusal {
    Refusal { status, text: text.into() }
}

fn bad(text: &str) -> Refusal {
    refusal("400 Bad Request", text)
}

/// Where a head ends, the empty line counted in. `None`: it is not whole yet.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let ends = |end: &'static [u8]| bytes.windows(end.len()).position(|window| window == end).map(|at| at.saturating_add(end.len()));
    [ends(b"\r\n\r\n"), ends(b"\n\n")].into_iter().flatten().min()
}

/// Reads a whole head.
pub(super) fn parse(head: &[u8]) -> Result<Asked, Refusal> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()).ok_or_else(|| bad("the first line is no text"))?;
    let mut words = first.split(' ');
    let (Some(method), Some(place), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(bad("the first line is not `METHOD URL VERSION`"));
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(refusal("505 HTTP Version Not Supported", "this proxy speaks HTTP/1.1"));
    }
    match method {
        "CONNECT" => target(place, None).map(Asked::Tunnel),
        "GET" | "HEAD" | "POST" => forward(method, place, lines.filter(|line| !line.is_empty()).collect()).map(Asked::Forward),
        _ => Err(refusal("405 Method Not Allowed", "this proxy does CONNECT, GET, HEAD and POST")),
    }
}

fn forward(method: &str, place: &str, lines: Vec<&[u8]>) -> Result<Forward, Refusal> {
    let rest = place.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| place.get(7..));
    let rest = rest.ok_or_else(|| bad("this is a proxy: `http://HOST/PATH` is expected, and `CONNECT` for everything else"))?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // Who logs in says so in a header.
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let target = target(host, Some(80))?;
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| bad("a header has no `:`"))?;
        let (name, value) = line.split_at(colon);
        let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic());
        let name = std::str::from_utf8(name).ok().filter(|_| is_name).ok_or_else(|| bad("the name of a header is none"))?;
        fields.push((name.to_ascii_lowercase(), value.get(1..).unwrap_or_default().trim_ascii(), line));
    }
    let values = |wanted: &str| fields.iter().filter(|(name, ..)| name == wanted).map(|(_, value, _)| *value).collect::<Vec<_>>();
    if !values("transfer-encoding").is_empty() {
        return Err(refusal("411 Length Required", "a request with a body says how long it is"));
    }
    let body_bytes = match values("content-length").as_slice() {
        [] => 0,
        [one] if !one.is_empty() && one.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(one).ok().and_then(|text| text.parse().ok()).ok_or_else(|| bad("the length of the body is no number"))?
        }
        _ => return Err(bad("the length of the body is no number")),
    };
    let named: Vec<String> = values("connection")
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .collect();
    let mut headers = Vec::new();
    for (name, _, line) in &fields {
        // The length stays whatever else is said of it: the body is passed on.
        if name == "content-length" || !(HOP_BY_HOP.contains(&name.as_str()) || named.contains(name)) {
            headers.extend_from_slice(line);
            headers.extend_from_slice(b"\r\n");
        }
    }
    Ok(Forward { target, method: method.to_owned(), path, host: host.to_owned(), headers, body_bytes })
}

/// `host:port`, `[address]:port`; without a port the usual one.
fn target(text: &str, usual: Option<u16>) -> Result<Target, Refusal> {
    let wrong = || bad("`HOST:PORT` is expected");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")).ok_or_else(wrong)?)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(fits) {
                return Err(wrong());
            }
            (host, port)
        }
    };
    let port = if port.is_empty() { usual } else { port.parse().ok().filter(|port| *port > 0) };
    Ok(Target { host: host.to_owned(), port: port.ok_or_else(wrong)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(head: &str) -> Forward {
        match parse(head.as_bytes()).unwrap() {
            Asked::Forward(forward) => forward,
            Asked::Tunnel(target) => panic!("{target:?}"),
        }
    }

    fn status(head: &str) -> &'static str {
        parse(head.as_bytes()).unwrap_err().status
    }

    #[test]
    fn a_request_is_passed_on_without_what_is_the_proxys() {
        let asked = forward(
            "GET http://user:word@deb.example.org:8080/a?b=c#d HTTP/1.1\r\nHost: other\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\n\
             Connection: close, X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: Basic x\r\nUser-Agent: \u{e9}\r\n\r\n",
        );
        assert_eq!(asked.target, Target { host: "deb.example.org".into(), port: 8080 });
        let server = String::from_utf8(asked.for_server()).unwrap();
        assert_eq!(
            server,
            "GET /a?b=c HTTP/1.1\r\nHost: deb.example.org:8080\r\nAccept: */*\r\nUser-Agent: \u{e9}\r\nConnection: close\r\n\r\n"
        );
        let proxy = String::from_utf8(asked.for_proxy(Some("Basic eA=="))).unwrap();
        assert!(proxy.starts_with("GET http://deb.example.org:8080/a?b=c HTTP/1.1\r\n"), "{proxy}");
        assert!(proxy.contains("\r\nProxy-Authorization: Basic eA==\r\n"), "{proxy}");
    }

    #[test]
    fn places_are_read() {
        for (place, path, authority) in [
            ("http://a", "/", "a:80"),
            ("HTTP://a:81", "/", "a:81"),
            ("http://a?x", "/?x", "a:80"),
            ("http://[::1]/y", "/y", "[::1]:80"),
            ("http://[fe80::1]:8/", "/", "[fe80::1]:8"),
        ] {
            let asked = forward(&format!("GET {place} HTTP/1.0\n\n"));
            assert_eq!((asked.path.as_str(), asked.target.authority().as_str()), (path, authority), "{place}");
        }
        let tunnel = parse(b"CONNECT index.example:443 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(tunnel, Asked::Tunnel(Target { host: "index.example".into(), port: 443 }));
    }

    #[test]
    fn what_cannot_be_passed_on_whole_is_refused() {
        for head in [
            "",
            "GET\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET https://a/ HTTP/1.1\r\n\r\n",
            "GET http:// HTTP/1.1\r\n\r\n",
            "GET http://a b/ HTTP/1.1\r\n\r\n",
            "GET http://a:0/ HTTP/1.1\r\n\r\n",
            "GET http://[::1/ HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nno colon\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n",
            "POST http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST http://a/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "CONNECT index.example HTTP/1.1\r\n\r\n",
            "CONNECT a@b:443 HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(status(head), "400 Bad Request", "{head:?}");
        }
        assert_eq!(status("DELETE http://a/ HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("GET http://a/ HTTP/2\r\n\r\n"), "505 HTTP Version Not Supported");
        assert_eq!(status("POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), "411 Length Required");
        assert_eq!(forward("POST http://a/ HTTP/1.1\r\nContent-Length: 12\r\nConnection: content-length\r\n\r\n").body_bytes, 12);
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(end_of_head(b"GET a\r\n\r\nrest"), Some(9));
        assert_eq!(end_of_head(b"GET a\n\nrest"), Some(7));
        assert_eq!(end_of_head(b"GET a\r\n"), None);
    }
}
