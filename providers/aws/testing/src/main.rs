//! `aws-proxy SERVER [LISTEN [CONFIG]]`: the proxy in front of a server, with switches from a file of JSON.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use cloudtik_aws_testing::{Config, Proxy};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let server = address(&arguments.next().ok_or_else(|| io::Error::other("usage: aws-proxy SERVER [LISTEN [CONFIG]]"))?)?;
    let listen = arguments.next().map_or_else(|| Ok(([127, 0, 0, 1], 0).into()), |text| address(&text))?;
    let config = match arguments.next() {
        Some(file) => serde_json::from_str(&std::fs::read_to_string(file)?)?,
        None => Config::quick(),
    };
    let proxy = Proxy::listen(listen, server, config)?;
    writeln!(io::stdout(), "{}", proxy.url())?;
    loop {
        std::thread::park();
    }
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(|error| io::Error::other(format!("`{text}` is no address and port: {error}")))
}
