//! The proxy on this machine's loopback addresses: what it passes on, what it refuses, and how it goes through another one.

use super::*;

const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work);
}

/// Answers each connection with what it got, up to the empty line and so many bytes more.
async fn echo(body_bytes: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (head, mut rest) = read_head(&mut stream).await.unwrap();
            while rest.len() < body_bytes {
                let mut piece = [0; 64];
                let count = stream.read(&mut piece).await.unwrap();
                assert!(count > 0);
                rest.extend_from_slice(&piece[..count]);
            }
            let said = [head, rest].concat();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
            stream.write_all(&[answer.as_bytes(), &said].concat()).await.unwrap();
        }
    });
    port
}

async fn proxy(variables: &ProxyVariables, cidr: Ipv4Net) -> u16 {
    let listener = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (upstreams, _) = Upstreams::of(variables);
    tokio::spawn(listen(cidr, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), Some(listener), Arc::new(upstreams)));
    port
}

async fn say(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn one_request_goes_to_its_server_and_no_byte_of_the_next() {
    run(async {
        let (server, proxy) = (echo(0).await, proxy(&ProxyVariables::default(), LOOPBACK).await);
        let next = "GET http://127.0.0.1:1/secret HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer =
            say(proxy, &format!("GET http://127.0.0.1:{server}/a HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n\r\n{next}")).await;
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, format!("GET /a HTTP/1.1\r\nHost: 127.0.0.1:{server}\r\nConnection: close\r\n\r\n"));
    });
}

#[test]
fn a_body_goes_with_its_request() {
    run(async {
        let (server, proxy) = (echo(10).await, proxy(&ProxyVariables::default(), LOOPBACK).await);
        let head = format!("POST http://127.0.0.1:{server}/ HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", proxy)).await.unwrap();
        for piece in [head.as_str(), "0123", "456", "789and more"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n0123456789"), "{answer}");
    });
}

#[test]
fn a_tunnel_is_open_both_ways() {
    run(async {
        let (server, proxy) = (echo(0).await, proxy(&ProxyVariables::default(), LOOPBACK).await);
        let answer = say(proxy, &format!("CONNECT 127.0.0.1:{server} HTTP/1.1\r\n\r\nanything\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("anything\r\n\r\n"), "{answer}");
    });
}

#[test]
fn what_cannot_be_done_is_answered() {
    run(async {
        let proxy = proxy(&ProxyVariables::default(), LOOPBACK).await;
        assert!(say(proxy, "GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        assert!(say(proxy, "DELETE http://a/ HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        let gone = say(proxy, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").await;
        assert!(gone.starts_with("HTTP/1.1 502 ") && gone.contains("cloudtik: 127.0.0.1:1 cannot be reached"), "{gone}");
        let long = format!("GET http://a/ HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        assert!(say(proxy, &long).await.starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn only_the_network_is_served() {
    run(async {
        let proxy = proxy(&ProxyVariables::default(), "10.208.7.0/24".parse().unwrap()).await;
        let mut stream = TcpStream::connect(("127.0.0.1", proxy)).await.unwrap();
        let mut said = Vec::new();
        // It is closed without an answer.
        assert_eq!(stream.read_to_end(&mut said).await.unwrap_or(0), 0);
    });
}

#[test]
fn it_goes_through_the_machines_own_proxy() {
    run(async {
        let upstream = echo(0).await;
        let url = format!("http://me:word@127.0.0.1:{upstream}");
        let variables = ProxyVariables { http: Some(url.clone()), https: Some(url), no_proxy: String::new() };
        let proxy = proxy(&variables, LOOPBACK).await;
        let answer = say(proxy, "GET http://deb.example.org/a HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let says = "GET http://deb.example.org/a HTTP/1.1\r\nHost: deb.example.org\r\nProxy-Authorization: Basic bWU6d29yZA==\r\n";
        assert!(answer.contains(says), "{answer}");
        // What a tunnel's proxy answers behind its head is the server's already.
        let answer = say(proxy, "CONNECT index.example:443 HTTP/1.1\r\n\r\n").await;
        assert!(
            answer.starts_with(
                "HTTP/1.1 200 Connection established\r\n\r\nCONNECT index.example:443 HTTP/1.1\r\nHost: index.example:443\r\n"
            ),
            "{answer}"
        );
        assert!(answer.contains("Proxy-Authorization: Basic bWU6d29yZA=="), "{answer}");
    });
}
