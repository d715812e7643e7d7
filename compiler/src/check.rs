//! What must be true of a value beyond its type.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cloudtik_model::{Value, did_you_mean, duration_seconds};

use crate::schema::Check;

/// What is wrong with a value, and what to write instead.
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

pub(crate) fn problem(message: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem { message: message.into(), help: Some(help.into()) }
}

impl Problem {
    /// The same, of a part of something.
    pub(crate) fn within(self, part: &str) -> Self {
        Self { message: format!("{part}: {}", self.message), ..self }
    }
}

/// Checks what is known of a value; deferred parts are checked when they are known.
pub(crate) fn check_value(value: &Value, check: Check) -> Result<(), Problem> {
    if value.is_null() || value.is_deferred() {
        return Ok(());
    }
    let text = value.as_str().unwrap_or_default();
    match check {
        Check::None => Ok(()),
        Check::Days => {
            match text.strip_suffix('d').filter(|days| days.parse::<u32>().is_ok() && days.starts_with(|c: char| c.is_ascii_digit())) {
                Some(_) => Ok(()),
                None => Err(problem(format!("`{text}` is no number of days"), "write it as `\"7d\"`")),
            }
        }
        Check::Duration => match duration_seconds(text) {
            Some(_) => Ok(()),
            None => Err(problem(format!("`{text}` is not a duration"), "write a number with its unit: `\"90s\"`, `\"5m\"`, `\"1h30m\"`")),
        },
        Check::Limit => match duration_seconds(text) {
            Some(seconds) if seconds > 0 => Ok(()),
            _ => Err(problem(
                format!("`{text}` is no time that something may take"),
                "write a number with its unit: `\"90s\"`, `\"30m\"`, `\"2h\"`",
            )),
        },
        Check::Cidr => check_cidr(text),
        Check::Cidrs => each_text(value, check_cidr),
        Check::Ports => each_text(value, check_ports),
        Check::OneOf(words) if words.contains(&text) => Ok(()),
        Check::OneOf(words) => {
            let all: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            let near = did_you_mean(text, words.iter().copied()).map_or_else(String::new, |near| format!("did you mean `\"{near}\"`? "));
            Err(problem(format!("`{text}` is none of its words"), format!("{near}it is one of {}", all.join(", "))))
        }
        Check::Name(max) => check_name(text, max),
        Check::Domain => check_domain(text),
        Check::IntFrom(least) => match value.as_number().and_then(cloudtik_model::Number::as_i64) {
            Some(number) if number >= least => Ok(()),
            _ => Err(problem("it is not a whole number in range", format!("write a whole number, {least} or more"))),
        },
        Check::Positive => match value.as_number() {
            Some(number) if *number > cloudtik_model::Number::ZERO => Ok(()),
            _ => Err(problem("it is not above zero", "write a number above 0")),
        },
        Check::Mode => check_mode(text),
        Check::PortMap => {
            for (from, to) in value.entries().into_iter().flatten() {
                check_port(from)?;
                if !to.is_deferred() {
                    check_port(&to.as_number().map(ToString::to_string).unwrap_or_default())?;
                }
            }
            Ok(())
        }
        Check::PublicKeys => each_text(value, check_public_key),
        Check::Zones => check_zones(value),
        Check::Image => check_image(value),
        Check::Roles => each_text(value, |role| {
            if matches!(role, "all" | "head" | "workers") || role.strip_prefix("workers.").is_some_and(|group| !group.is_empty()) {
                Ok(())
            } else {
                Err(problem(format!("`{role}` names no nodes"), "write `\"head\"`, `\"workers\"`, `\"workers.<group>\"` or `\"all\"`"))
            }
        }),
    }
}

/// One line of `authorized_keys` without options: a type, the key, and perhaps a comment. An option would give the key other rights than the
/// spec says, and a second line would be a second key.
fn check_public_key(text: &str) -> Result<(), Problem> {
    let base64 = |key: &str| key.len() >= 16 && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    let known = |kind: &str| ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|prefix| kind.starts_with(prefix));
    let line = text.trim_end_matches(['\n', '\r']);
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let fits = !line.contains(['\n', '\r', '\0']) && words.next().is_some_and(known) && words.next().is_some_and(base64);
    if fits {
        Ok(())
    } else {
        Err(problem("it holds what is no public key", "write one key each: `\"ssh-ed25519 AAAA… name\"`, or `file(\"keys/name.pub\")`"))
    }
}

/// Characters of a suffix that leave room for the names of a service and a node before it: DNS takes 253 in all.
const DOMAIN_CHARS_MAX: usize = 120;
/// Characters of one label of a name.
const LABEL_CHARS_MAX: usize = 63;

fn check_domain(text: &str) -> Result<(), Problem> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label =
        |label: &str| (1..=LABEL_CHARS_MAX).contains(&label.len()) && label.chars().all(inner) && label.trim_matches('-') == label;
    if text.len() <= DOMAIN_CHARS_MAX && text.split('.').all(is_label) {
        return Ok(());
    }
    Err(problem(
        format!("`{text}` is no suffix of names in DNS"),
        "write lower-case letters, digits and `-`, with dots between: `\"data.example\"`",
    ))
}

fn check_zones(value: &Value) -> Result<(), Problem> {
    let wrong = || problem("it is neither a number of zones nor a list of them", "write `2`, or `[\"us-west-2a\", \"us-west-2b\"]`");
    if let Some(number) = value.as_number() {
        return if number.as_u64().is_some_and(|number| number > 0) { Ok(()) } else { Err(wrong()) };
    }
    let Some(names) = value.elements().filter(|names| names.len() > 0) else { return Err(wrong()) };
    let mut seen = BTreeSet::new();
    for name in names {
        match name.as_str() {
            Some(text) if !text.is_empty() && seen.insert(text) => {}
            Some(text) if !text.is_empty() => return Err(problem(format!("`{text}` is there twice"), "name each zone once")),
            _ => return Err(wrong()),
        }
    }
    Ok(())
}

fn check_image(value: &Value) -> Result<(), Problem> {
    let wrong = || problem("it names no image", "write its id, `\"ssm:PATH\"`, or `{ owner = \"…\", name = \"…\" }`");
    if let Some(text) = value.as_str() {
        return if text.is_empty() { Err(wrong()) } else { Ok(()) };
    }
    let entries = value.entries().ok_or_else(wrong)?;
    if let Some(other) = entries.keys().find(|name| !matches!(&***name, "owner" | "name" | "arch")) {
        return Err(problem(format!("an image has no `{other}`"), "an image is `{ owner, name, arch }`"));
    }
    let text = |name: &str| entries.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if text("owner") && text("name") && entries.get("arch").is_none_or(|arch| arch.as_str().is_some()) { Ok(()) } else { Err(wrong()) }
}

fn each_text(value: &Value, check: impl Fn(&str) -> Result<(), Problem>) -> Result<(), Problem> {
    value.elements().into_iter().flatten().filter_map(Value::as_str).try_for_each(check)
}

fn check_cidr(text: &str) -> Result<(), Problem> {
    let what = format!("`{text}` is not a range of addresses");
    if let Ok(address) = text.parse::<IpAddr>() {
        let all = if address.is_ipv4() { 32 } else { 128 };
        return Err(problem(what, format!("write `\"{text}/{all}\"` for that address alone, or a range as in `\"10.0.0.0/16\"`")));
    }
    if matches!(text, "*" | "any" | "all") {
        return Err(problem(what, "everybody is `\"0.0.0.0/0\"`"));
    }
    let wrong = || problem(what.clone(), "write an address and a prefix length: `\"10.0.0.0/16\"`");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let length: u32 = length.parse().map_err(|_| wrong())?;
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32_u32),
        IpAddr::V6(address) => (u128::from(address), 128_u32),
    };
    let host_bits = width.checked_sub(length).ok_or_else(wrong)?;
    let mask = if host_bits == 128 { u128::MAX } else { (1_u128 << host_bits) - 1 };
    if bits & mask == 0 {
        return Ok(());
    }
    let network = bits & !mask;
    let shown = match address {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(network).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(network.into()),
    };
    Err(problem(format!("`{text}` names an address inside a range"), format!("the range is written `\"{shown}/{length}\"`")))
}

fn check_ports(text: &str) -> Result<(), Problem> {
    let Some((from, to)) = text.split_once('-') else { return check_port(text) };
    check_port(from)?;
    check_port(to)?;
    if from.parse::<u16>().ok() > to.parse::<u16>().ok() {
        return Err(problem(format!("`{text}` ends before it begins"), format!("write `\"{to}-{from}\"`")));
    }
    Ok(())
}

fn check_port(text: &str) -> Result<(), Problem> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err(problem(format!("`{text}` is not a port"), "a port is a whole number from 1 to 65535; a range is `\"8080-8090\"`")),
    }
}

fn check_name(text: &str, max: usize) -> Result<(), Problem> {
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && text.len() <= max;
    if fits {
        return Ok(());
    }
    let near = like_a_name(text).filter(|near| near.len() <= max);
    let help = near.map_or_else(
        || format!("a name is a lower-case letter, then lower-case letters, digits and `-`; at most {max} characters"),
        |near| format!("a name is a lower-case letter, then lower-case letters, digits and `-`: write `\"{near}\"`"),
    );
    Err(problem(format!("`{text}` is not a name"), help))
}

/// The name that somebody will have meant who writes it with capitals, `_` or spaces.
pub(crate) fn like_a_name(text: &str) -> Option<String> {
    let near = text.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
    let fits = near.starts_with(|c: char| c.is_ascii_lowercase()) && near.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then_some(near)
}

fn check_mode(text: &str) -> Result<(), Problem> {
    if (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        Ok(())
    } else {
        Err(problem(format!("`{text}` is not a file mode"), "write it in octal digits: `\"0644\"`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses_name_the_range() {
        assert!(check_cidr("10.0.0.0/16").is_ok());
        assert!(check_cidr("::/0").is_ok());
        assert_eq!(check_cidr("10.0.1.5/16").err().and_then(|p| p.help).unwrap(), "the range is written `\"10.0.0.0/16\"`");
        assert!(check_cidr("10.0.0.0/33").is_err());
    }

    #[test]
    fn ports_and_modes() {
        assert!(check_ports("8080-8090").is_ok());
        assert!(check_ports("8090-8080").is_err());
        assert!(check_ports("0").is_err());
        assert!(check_mode("0644").is_ok() && check_mode("888").is_err());
    }
}
