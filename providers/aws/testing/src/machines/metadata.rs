//! What a machine is told of itself, at the address where AWS tells it. Only the second version is spoken: every question needs a token.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

/// Where it is, in the network of the machine.
pub(crate) const ADDRESS: &str = "169.254.169.254";
pub(crate) const PORT: u16 = 80;

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
    /// The address by which the world knows it.
    pub(crate) public: Option<String>,
    /// The name of its instance profile.
    pub(crate) profile: Option<String>,
}

/// Answers one machine. It must be made in the network of the machine; it serves wherever it runs, until it is told that the machine is gone.
pub(crate) struct Metadata {
    listener: TcpListener,
    identity: Arc<Mutex<Identity>>,
    /// What was asked with a good token.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    pub(crate) fn listen(at: impl ToSocketAddrs, identity: Arc<Mutex<Identity>>, asked: Arc<Mutex<Vec<String>>>) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
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
        let Identity { id, region, zone, address, vpc, public, profile } = &*identity;
        let path = path.strip_prefix("/latest/meta-data/")?;
        let mac = "0a:00:00:00:00:01";
        let text = match path {
            "instance-id" => id.clone(),
            "local-ipv4" => address.clone(),
            "public-ipv4" => public.clone()?,
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

/// The metadata of an instance, for a program that runs on this host and is told where they are.
pub struct InstanceMetadata {
    url: String,
    gone: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl InstanceMetadata {
    /// Of an instance in a network, with these addresses.
    ///
    /// # Errors
    ///
    /// This host has no port left.
    pub fn start(region: &str, network: &str, private: Ipv4Addr, public: Option<Ipv4Addr>) -> io::Result<Self> {
        let identity = Identity {
            region: region.to_owned(),
            vpc: network.to_owned(),
            address: private.to_string(),
            public: public.map(|address| address.to_string()),
            ..Identity::default()
        };
        let metadata = Metadata::listen((Ipv4Addr::LOCALHOST, 0), Arc::new(Mutex::new(identity)), Arc::default())?;
        let url = format!("http://{}", metadata.listener.local_addr()?);
        let gone = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&gone);
        let serving = std::thread::Builder::new().name("metadata".to_owned()).spawn(move || metadata.serve(&until))?;
        Ok(Self { url, gone, serving: Some(serving) })
    }

    /// Where it answers, for `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for InstanceMetadata {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        // It ends at its next look.
        drop(self.serving.take().map(JoinHandle::join));
    }
}
