//! What a machine is told of itself, at the address where AWS tells it. Only the second version is spoken: every question needs a token.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

/// Where it is, in the network of the machine.
pub(crate) const ADDRESS: &str = "169.254.169.254";
const PORT: u16 = 80;

/// Between two looks whether the machine is gone.
const PAUSE: Duration = Duration::from_millis(20);

const TIME_MAX: Duration = Duration::from_secs(5);
const TOKEN: &str = "token-of-the-tests";

/// What a machine is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) address: String,
    pub(crate) vpc: String,
    /// The name of its instance profile.
    pub(crate) profile: Option<String>,
}

/// Answers one machine. It must be made in the network of the machine; it serves wherever it runs.
pub(crate) struct Metadata {
    listener: TcpListener,
    identity: Arc<Mutex<Identity>>,
    /// What was asked with a good token.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    pub(crate) fn listen(identity: Arc<Mutex<Identity>>, asked: Arc<Mutex<Vec<String>>>) -> io::Result<Self> {
        let listener = TcpListener::bind((ADDRESS, PORT))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, identity, asked })
    }

    pub(crate) fn serve(&self, gone: &AtomicBool) {
        while !gone.load(Ordering::SeqCst) {
            match self.listener.accept() {
                // A client that goes away in the middle asks again.
                Ok((stream, _)) => drop(self.answer(stream)),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TIME_MAX))?;
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
            request.extend_from_slice(&byte);
        }
        let request = String::from_utf8_lossy(&request);
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let has_token = request.lines().any(|line| line.eq_ignore_ascii_case(&format!("x-aws-ec2-metadata-token: {TOKEN}")));
        let (status, body) = match (method, path) {
            ("PUT", "/latest/api/token") => (200, TOKEN.to_owned()),
            ("GET", _) if !has_token => (401, String::new()),
            ("GET", path) => self.told(path).map_or((404, String::new()), |body| (200, body)),
            _ => (405, String::new()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} -\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes())
    }

    fn told(&self, path: &str) -> Option<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        let identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let Identity { id, region, zone, address, vpc, profile } = &*identity;
        let path = path.strip_prefix("/latest/meta-data/")?;
        let mac = "0a:00:00:00:00:01";
        let text = match path {
            "instance-id" => id.clone(),
            "local-ipv4" => address.clone(),
            "placement/region" => region.clone(),
            "placement/availability-zone" => zone.clone(),
            "mac" => mac.to_owned(),
            "iam/security-credentials/" => profile.clone()?,
            _ if path == format!("network/interfaces/macs/{mac}/vpc-id") => vpc.clone(),
            _ => {
                path.strip_prefix("iam/security-credentials/").filter(|name| Some(*name) == profile.as_deref())?;
                credentials(id)
            }
        };
        Some(text)
    }
}

/// The server takes any, and never says that they are over.
fn credentials(id: &str) -> String {
    let (began, ends) = ("2026-01-01T00:00:00Z", "2126-01-01T00:00:00Z");
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": began, "Expiration": ends,
        "AccessKeyId": "ASIATESTS", "SecretAccessKey": "of-the-tests", "Token": id,
    })
    .to_string()
}
