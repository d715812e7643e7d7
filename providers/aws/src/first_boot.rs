//! What an image runs at first boot: it takes the SSH host key that is known here, lets the given keys log in, and does what the spec adds.

use std::fmt::Write as _;

use serde_json::json;

/// What begins a configuration of cloud-init.
const CLOUD_CONFIG: &str = "#cloud-config";

/// The user data of an instance, as cloud-init reads it. The host key is that of the launch, of the type ECDSA; the image makes no other one.
///
/// What the spec adds is run as it is: a script that begins with `#!`, a configuration that begins with `#cloud-config`, or any other format
/// that cloud-init knows by its first line.
#[must_use]
pub fn first_boot(user: &str, host_key_private: &str, host_key_public: &str, authorized_keys: &[String], user_data: &str) -> String {
    let keys: Vec<&str> = authorized_keys.iter().map(|key| key.trim()).filter(|key| !key.is_empty()).collect();
    let account = json!({
        "name": user,
        "ssh_authorized_keys": keys,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/bash",
        "lock_passwd": true,
    });
    // The image's own account comes first: where it is this one, only its keys are added.
    let config = json!({
        "users": ["default", account],
        "ssh_authorized_keys": keys,
        "ssh_deletekeys": true,
        "ssh_keys": { "ecdsa_private": with_end(host_key_private), "ecdsa_public": host_key_public.trim() },
        "ssh_publish_hostkeys": { "enabled": false },
        "ssh_pwauth": false,
        "disable_root": true,
    });
    // JSON is YAML too, and needs no quoting of its own.
    let config = format!("{CLOUD_CONFIG}\n{config}\n");
    if user_data.trim().is_empty() {
        return config;
    }
    multipart(&[(content_type(user_data), user_data), ("text/cloud-config", &config)])
}

/// OpenSSH refuses a private key whose last line does not end.
fn with_end(key: &str) -> String {
    format!("{}\n", key.trim_end())
}

fn content_type(text: &str) -> &'static str {
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with("#!") {
        "text/x-shellscript"
    } else if first.starts_with(CLOUD_CONFIG) {
        "text/cloud-config"
    } else {
        "text/plain"
    }
}

/// Ours is the last part: of two configurations that say the same, cloud-init takes the later one.
fn multipart(parts: &[(&str, &str)]) -> String {
    let mut boundary = "cloudtik-part".to_owned();
    while parts.iter().any(|(_, text)| text.contains(&boundary)) {
        boundary.push('-');
    }
    let mut out = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for (content_type, text) in parts {
        let _ = write!(out, "--{boundary}\nContent-Type: {content_type}; charset=\"utf-8\"\n\n{}\n", text.trim_end());
    }
    let _ = writeln!(out, "--{boundary}--");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        vec!["ssh-ed25519 AAAA ana\n".to_owned(), String::new()]
    }

    #[test]
    fn the_host_key_and_the_keys_of_people_are_in_it() {
        let text = first_boot("ubuntu", "PRIVATE", "ecdsa-sha2-nistp256 AAAA\n", &keys(), "");
        let json: serde_json::Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(json["ssh_keys"]["ecdsa_private"], "PRIVATE\n");
        assert_eq!(json["ssh_keys"]["ecdsa_public"], "ecdsa-sha2-nistp256 AAAA");
        assert_eq!(json["users"][1]["name"], "ubuntu");
        assert_eq!(json["users"][1]["ssh_authorized_keys"], json!(["ssh-ed25519 AAAA ana"]));
    }

    #[test]
    fn what_the_spec_adds_is_a_part_of_its_own() {
        let text = first_boot("ubuntu", "PRIVATE", "PUBLIC", &keys(), "#!/bin/sh\necho cloudtik-part\n");
        assert!(text.starts_with("Content-Type: multipart/mixed; boundary=\"cloudtik-part-\"\n"), "{text}");
        assert!(text.contains("--cloudtik-part-\nContent-Type: text/x-shellscript; charset=\"utf-8\"\n\n#!/bin/sh\necho cloudtik-part\n"));
        assert!(text.ends_with("--cloudtik-part---\n"));
        assert!(text.find("text/x-shellscript").unwrap() < text.find("text/cloud-config").unwrap());
    }
}
