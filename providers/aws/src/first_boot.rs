//! What a machine's image runs at first boot: a cloud-init document.

use serde_json::json;

/// The first line of every document of this form.
const HEADER: &str = "#cloud-config";

/// A document that lets a user in by keys and gives the machine a host key that is known before it is reached. Of the host key in OpenSSH's
/// form only ECDSA is installed, and the others that the image makes are left as they are. What a spec adds is a script that runs last.
#[must_use]
pub fn first_boot(user: &str, host_key_private: &str, host_key_public: &str, authorized_keys: &[String], user_data: &str) -> String {
    let mut document = json!({
        "ssh_deletekeys": true,
        "ssh_keys": { "ecdsa_private": host_key_private, "ecdsa_public": host_key_public.trim() },
        "users": ["default", {
            "name": user,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": authorized_keys,
        }],
    });
    if !user_data.trim().is_empty() {
        let script = json!([{ "path": "/var/lib/cloudtik/user-data", "permissions": "0700", "content": user_data }]);
        document["write_files"] = script;
        document["runcmd"] = json!([["/var/lib/cloudtik/user-data"]]);
    }
    format!("{HEADER}\n{document}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_one_of_cloud_init() {
        let text = first_boot("ubuntu", "PRIVATE", "ecdsa k\n", &["ssh-ed25519 a".to_owned()], "#!/bin/sh\ntrue\n");
        let (first, rest) = text.split_once('\n').unwrap();
        let document: serde_json::Value = serde_json::from_str(rest).unwrap();
        assert_eq!(first, HEADER);
        assert_eq!(document["ssh_keys"]["ecdsa_public"], "ecdsa k");
        assert_eq!(document["users"][1]["ssh_authorized_keys"][0], "ssh-ed25519 a");
        assert_eq!(document["write_files"][0]["content"], "#!/bin/sh\ntrue\n");
        assert!(!first_boot("u", "P", "p", &[], "").contains("runcmd"));
    }
}
