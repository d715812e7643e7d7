//! `proxy`: what a step on a real node fetches comes through it, and what a step sees is what the spec says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are no test functions to clippy")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use support::stage::{Form, Stage};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A proxy that answers everything itself, and tells what it was asked for.
fn proxy() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, said) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nfetched").unwrap();
            if asked.send(first).is_err() {
                return;
            }
        }
    });
    (address, said)
}

#[test]
fn steps_reach_the_world_through_it() {
    let stage = Stage::new(Form::Plain);
    let (address, asked) = proxy();
    let (seen, fetched) = (stage.project().join("seen"), stage.project().join("fetched"));
    let spec = |own: &str| {
        stage.spec(&format!(
            r#"provider "local" {{}}
workspace "w" {{
  proxy {{
    http     = "http://{address}"
    no_proxy = ["mirror.invalid"]
  }}
}}
cluster "c" {{
  workspace = workspace.w
  {own}
  head {{}}
  setup {{
    before_runtimes = ["env | grep -i _proxy= | sort > {} && curl -sf http://elsewhere.invalid/file > {}"]
  }}
}}
"#,
            seen.display(),
            fetched.display()
        ));
    };
    spec("");
    stage.expect(0, &APPLY);
    assert_eq!(fs::read_to_string(&fetched).unwrap(), "fetched");
    assert_eq!(asked.recv().unwrap(), "GET http://elsewhere.invalid/file HTTP/1.1");
    let environment = fs::read_to_string(&seen).unwrap();
    let of = |name: &str| environment.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default().to_owned();
    assert_eq!((of("http_proxy"), of("HTTP_PROXY")), (format!("http://{address}"), format!("http://{address}")), "{environment}");
    let inside = of("no_proxy");
    let names: Vec<&str> = inside.split(',').collect();
    assert_eq!(names.first().zip(names.last()), Some((&"localhost", &"mirror.invalid")), "{inside}");
    assert!(names.contains(&"127.0.0.1") && names.contains(&".cloudtik") && names.iter().any(|name| name.contains('/')), "{inside}");
    assert_eq!(of("NO_PROXY"), inside);
    assert!(!environment.contains("https_proxy"), "{environment}");
    let again = stage.expect(0, &APPLY);
    assert!(again.stdout.contains("No changes"), "{}", again.text());

    // Another one of the cluster: the step runs again, and the head stays.
    let (own, asked_own) = proxy();
    spec(&format!("proxy {{\n    http = \"http://{own}\"\n  }}"));
    let changed = stage.expect(0, &APPLY);
    assert!(changed.stdout.contains("0 to change, 0 to replace"), "{}", changed.text());
    assert_eq!(asked_own.recv().unwrap(), "GET http://elsewhere.invalid/file HTTP/1.1");
    stage.expect(0, &["destroy", "--auto-approve"]);
}
