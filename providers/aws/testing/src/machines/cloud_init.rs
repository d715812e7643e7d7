//! What an image does with its user data at first boot: exactly the parts of cloud-init that the program writes. Anything else is an error, so that a
//! test sees when the program begins to write something that nobody here understands.

use std::fmt::Write as _;
use std::io;

use serde_json::Value as Json;

/// The account of the image.
const IMAGE_USER: &str = "ubuntu";

/// What is run at first boot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstBoot {
    /// For `/bin/sh`, before the SSH server starts.
    pub(crate) config: String,
    /// Programs that run when the machine is up.
    pub(crate) scripts: Vec<String>,
}

impl FirstBoot {
    /// Reads user data.
    pub(crate) fn read(user_data: &str) -> io::Result<Self> {
        let mut boot = Self { config: "set -e\n".to_owned(), scripts: Vec::new() };
        // The account of the image is there with every user data.
        boot.account(IMAGE_USER, &[], Some("ALL=(ALL) NOPASSWD:ALL"));
        for part in parts(user_data)? {
            boot.part(part)?;
        }
        Ok(boot)
    }

    fn part(&mut self, part: &str) -> io::Result<()> {
        if part.starts_with("#!") {
            self.scripts.push(part.to_owned());
            return Ok(());
        }
        let json =
            part.strip_prefix("#cloud-config\n").ok_or_else(|| wrong("a part of the user data is neither a script nor a configuration"))?;
        let config: serde_json::Map<String, Json> = serde_json::from_str(json)?;
        for (name, value) in &config {
            self.setting(name, value)?;
        }
        Ok(())
    }

    fn setting(&mut self, name: &str, value: &Json) -> io::Result<()> {
        match (name, value) {
            ("users", Json::Array(users)) => users.iter().try_for_each(|user| self.user(user)),
            ("ssh_authorized_keys", Json::Array(keys)) => {
                let keys = texts(keys);
                self.account(IMAGE_USER, &keys, None);
                Ok(())
            }
            ("ssh_keys", Json::Object(keys)) => keys.iter().try_for_each(|(name, key)| self.host_key(name, key)),
            ("ssh_deletekeys", Json::Bool(true)) => {
                // Before those that are given are written.
                self.config = self.config.replacen("set -e\n", "set -e\nrm -f /etc/ssh/ssh_host_*key*\n", 1);
                Ok(())
            }
            ("ssh_pwauth" | "disable_root", Json::Bool(_)) | ("ssh_publish_hostkeys", Json::Object(_)) => Ok(()),
            _ => Err(wrong(&format!("nothing here knows `{name}` of cloud-init: {value}"))),
        }
    }

    fn user(&mut self, user: &Json) -> io::Result<()> {
        if user == "default" {
            return Ok(());
        }
        let text = |name: &str| user.get(name).and_then(Json::as_str);
        let name = text("name").ok_or_else(|| wrong("a user without a name"))?;
        let keys = user.get("ssh_authorized_keys").and_then(Json::as_array).map(|keys| texts(keys)).unwrap_or_default();
        self.account(name, &keys, text("sudo"));
        Ok(())
    }

    /// Of an account that is there only the keys are added.
    fn account(&mut self, name: &str, keys: &[String], sudo: Option<&str>) {
        let user = quote(name);
        let _ = writeln!(self.config, "id {user} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}");
        let _ = writeln!(self.config, "home=$(getent passwd {user} | cut -d: -f6)");
        for key in keys {
            let _ = writeln!(self.config, "install -d -m 700 -o {user} \"$home/.ssh\"");
            let _ = writeln!(self.config, "echo {} >> \"$home/.ssh/authorized_keys\"", quote(key));
            let _ = writeln!(self.config, "chown {user} \"$home/.ssh/authorized_keys\" && chmod 600 \"$home/.ssh/authorized_keys\"");
        }
        if let Some(sudo) = sudo {
            let _ = writeln!(
                self.config,
                "echo {} > /etc/sudoers.d/90-{name} && chmod 440 /etc/sudoers.d/90-{name}",
                quote(&format!("{name} {sudo}"))
            );
        }
    }

    fn host_key(&mut self, name: &str, key: &Json) -> io::Result<()> {
        let (ty, half) = name.rsplit_once('_').ok_or_else(|| wrong(&format!("`{name}` is no host key")))?;
        let key = key.as_str().ok_or_else(|| wrong(&format!("`{name}` is no text")))?;
        let (ending, mode) = if half == "private" { ("", "600") } else { (".pub", "644") };
        let file = quote(&format!("/etc/ssh/ssh_host_{ty}_key{ending}"));
        let _ = writeln!(self.config, "printf '%s\\n' {} > {file} && chmod {mode} {file}", quote(key.trim_end()));
        Ok(())
    }
}

/// The parts of a message, or the whole text where it has none.
fn parts(text: &str) -> io::Result<Vec<&str>> {
    let Some(head) = text.strip_prefix("Content-Type: multipart/mixed; boundary=\"") else { return Ok(Vec::from([text])) };
    let (boundary, rest) = head.split_once('"').ok_or_else(|| wrong("a message without a boundary"))?;
    let line = format!("--{boundary}");
    let inside = rest.split(line.as_str()).skip(1).take_while(|part| !part.starts_with("--"));
    inside.map(|part| part.split_once("\n\n").map(|(_, body)| body).ok_or_else(|| wrong("a part without a body"))).collect()
}

fn texts(values: &[Json]) -> Vec<String> {
    values.iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_becomes_a_script() {
        let text = "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho 1\n--b\n\
                    Content-Type: text/cloud-config\n\n#cloud-config\n{\"ssh_keys\": {\"ecdsa_private\": \"K\\n\"}, \"ssh_deletekeys\": true}\n--b--\n";
        let boot = FirstBoot::read(text).unwrap();
        assert_eq!(boot.scripts, ["#!/bin/sh\necho 1\n"]);
        assert!(boot.config.starts_with("set -e\nrm -f /etc/ssh/ssh_host_*key*\n"), "{}", boot.config);
        assert!(boot.config.contains("printf '%s\\n' 'K' > '/etc/ssh/ssh_host_ecdsa_key'"), "{}", boot.config);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        let error = FirstBoot::read("#cloud-config\n{\"runcmd\": []}\n").unwrap_err();
        assert!(error.to_string().contains("runcmd"), "{error}");
        assert!(FirstBoot::read("hello").is_err());
    }
}
