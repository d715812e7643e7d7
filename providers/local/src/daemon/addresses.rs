//! Which addresses networks and nodes get.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ipnet::Ipv4Net;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
use nix::unistd::geteuid;
use sha2::{Digest as _, Sha256};

use crate::failure::{conflict, io_failure, permanent, system_failure};
use crate::protocol::{CloudError, Form};

/// Networks of the plain form are below `127.64.0.0/10`: far from the addresses that resolvers and others take at the lower end.
const PLAIN_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 64, 0, 0), 10);

/// Networks of the namespaces form are taken from the upper part of `10.0.0.0/8`, which fewer companies use than the lower.
const NAMESPACES_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 208, 0, 0), 12);

/// Bits of a network that the daemon plans.
const PLANNED_PREFIX: u8 = 24;

/// Widest and narrowest network that may be asked for: a /16 is the widest on AWS, and a /28 has room for three nodes and the gateway.
const ASKED_PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// Nodes begin here, where the network is wide enough, so that an address below is known to be none.
const FIRST_NODE: u32 = 10;

/// A port of the gateway's address that is bound while a plain network exists, so that local clouds of other users see that it is taken.
const CLAIM_PORT: u16 = 6464;

/// The sockets that claim the plain networks.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Where the search for a free network begins. Local clouds begin at different places, so that they seldom meet: not even while one of
    /// them was killed and its claims went with it.
    start: usize,
    held: Mutex<BTreeMap<String, OwnedFd>>,
}

impl Claims {
    /// The claims of the local cloud that has this state folder.
    pub(crate) fn new(state_dir: &Path) -> Self {
        let digest = Sha256::digest(format!("{} {}", geteuid(), state_dir.display()));
        let start = digest.iter().take(4).fold(0_usize, |number, byte| number.wrapping_mul(256).wrapping_add(usize::from(*byte)));
        Self { start, held: Mutex::new(BTreeMap::new()) }
    }

    /// Claims a network of the plain form; an error is one that somebody else has.
    pub(crate) fn take(&self, id: &str, cidr: Ipv4Net) -> Result<(), CloudError> {
        let failed = |errno: nix::errno::Errno| {
            let error = std::io::Error::from(errno);
            if errno == nix::errno::Errno::EADDRINUSE {
                return conflict("network_in_use", format!("the addresses {cidr} are used by another user's local cloud"));
            }
            system_failure(&format!("claim the addresses {cidr}"), &error)
        };
        // Bound and not listening: enough to be seen, and no port that a scan would find.
        let claim = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
        bind(claim.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(gateway_of(cidr), CLAIM_PORT))).map_err(failed)?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), claim);
        Ok(())
    }

    pub(crate) fn drop_of(&self, id: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// The addresses of a new network: those asked for, or free ones. Those of the plain form are claimed under `id`.
pub(crate) fn plan_network(id: &str, form: Form, asked: Option<&str>, taken: &[Ipv4Net], claims: &Claims) -> Result<Ipv4Net, CloudError> {
    let range = match form {
        Form::Plain => PLAIN_RANGE,
        Form::Namespaces => NAMESPACES_RANGE,
    };
    let routes = if form == Form::Namespaces { machine_routes()? } else { Vec::new() };
    if let Some(asked) = asked {
        let cidr = check_asked(asked, form)?;
        if let Some(other) = taken.iter().chain(&routes).find(|other| overlap(cidr, **other)) {
            return Err(conflict("network_in_use", format!("the addresses {cidr} overlap {other}, which this machine uses")));
        }
        if form == Form::Plain {
            claims.take(id, cidr)?;
        }
        return Ok(cidr);
    }
    let candidates: Vec<Ipv4Net> = range.subnets(PLANNED_PREFIX).map_err(|error| permanent("no_network", error.to_string()))?.collect();
    let start = claims.start.checked_rem(candidates.len()).unwrap_or(0);
    for cidr in candidates.iter().cycle().skip(start).take(candidates.len()) {
        let free = !taken.iter().chain(&routes).any(|other| overlap(*cidr, *other));
        if free && (form == Form::Namespaces || claims.take(id, *cidr).is_ok()) {
            return Ok(*cidr);
        }
    }
    Err(permanent("no_network", format!("every /{PLANNED_PREFIX} of {range} is in use on this machine")))
}

/// A free address in a network; in the plain form one on which nobody else listens at `port`.
pub(crate) fn plan_node(cidr: Ipv4Net, form: Form, port: u16, taken: &[Ipv4Addr]) -> Result<Ipv4Addr, CloudError> {
    let network = u32::from(cidr.network());
    let last = u32::from(cidr.broadcast()).saturating_sub(1);
    let wide = last.saturating_sub(network) > FIRST_NODE.saturating_mul(2);
    let first = network.saturating_add(if wide { FIRST_NODE } else { 2 });
    for address in (first..=last).map(Ipv4Addr::from).filter(|address| !taken.contains(address)) {
        if form == Form::Namespaces || TcpListener::bind((address, port)).is_ok() {
            return Ok(address);
        }
    }
    Err(permanent("network_full", format!("no address is free in {cidr}")))
}

/// The machine's own address in a network.
pub(crate) fn gateway_of(cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(cidr.network()).saturating_add(1))
}

/// Reads addresses that this daemon wrote.
pub(crate) fn parse(cidr: &str) -> Result<Ipv4Net, CloudError> {
    cidr.parse().map_err(|_| permanent("bad_cidr", format!("`{cidr}` is not a range of IPv4 addresses such as 10.1.2.0/24")))
}

/// The addresses that somebody asks for, if a network of the form can have them.
pub(crate) fn check_asked(asked: &str, form: Form) -> Result<Ipv4Net, CloudError> {
    let cidr = parse(asked)?;
    if cidr.network() != cidr.addr() {
        return Err(permanent("bad_cidr", format!("`{asked}` is an address inside of {}; write that", cidr.trunc())));
    }
    if !ASKED_PREFIXES.contains(&cidr.prefix_len()) {
        let (widest, narrowest) = (ASKED_PREFIXES.start(), ASKED_PREFIXES.end());
        return Err(permanent("bad_cidr", format!("`{asked}`: a local network is between a /{widest} and a /{narrowest}")));
    }
    match form {
        Form::Plain if !PLAIN_RANGE.contains(&cidr) => Err(permanent(
            "bad_cidr",
            format!("`{asked}`: in the plain form a network lies in {PLAIN_RANGE}; leave the cidr out to get one"),
        )),
        Form::Namespaces if !cidr.addr().is_private() => {
            Err(permanent("bad_cidr", format!("`{asked}`: a local network has private addresses, such as 10.1.2.0/24")))
        }
        _ => Ok(cidr),
    }
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The machine's routes but for the default one.
fn machine_routes() -> Result<Vec<Ipv4Net>, CloudError> {
    let path = Path::new("/proc/net/route");
    let text = fs::read_to_string(path).map_err(|error| io_failure("read", path, &error))?;
    Ok(routes_in(&text))
}

/// The kernel writes addresses as the number that their bytes are on this machine.
fn routes_in(text: &str) -> Vec<Ipv4Net> {
    let address = |field: Option<&str>| Some(Ipv4Addr::from(u32::from_str_radix(field?, 16).ok()?.to_ne_bytes()));
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let network = address(fields.get(1).copied())?;
            let mask = address(fields.get(7).copied())?;
            Ipv4Net::with_netmask(network, mask).ok()
        })
        .filter(|route| route.prefix_len() > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn routes_are_read_and_the_default_is_left_out() {
        let text = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
        assert_eq!(routes_in(text), [net("192.0.2.0/24")]);
    }

    #[test]
    fn two_plain_networks_differ_also_for_two_daemons() {
        let (mine, another) = (Claims::new(Path::new("/a")), Claims::new(Path::new("/a")));
        let first = plan_network("net-1", Form::Plain, None, &[], &mine).unwrap();
        let second = plan_network("net-2", Form::Plain, None, &[first], &mine).unwrap();
        let third = plan_network("net-3", Form::Plain, None, &[], &another).unwrap();
        assert!(first != second && second != third && first != third);
        assert!(plan_network("net-4", Form::Plain, Some(&first.to_string()), &[], &another).is_err());
        mine.drop_of("net-1");
        assert_eq!(plan_network("net-4", Form::Plain, Some(&first.to_string()), &[], &another).unwrap(), first);
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let claims = Claims::new(Path::new("/a"));
        let plan = |form, asked| plan_network("net-1", form, Some(asked), &[net("10.9.0.0/24")], &claims).map_err(|error| error.message);
        assert!(plan(Form::Plain, "10.1.2.0/24").unwrap_err().contains("127.64.0.0/10"));
        assert!(plan(Form::Namespaces, "8.8.8.0/24").unwrap_err().contains("private"));
        assert!(plan(Form::Namespaces, "10.9.0.0/16").unwrap_err().contains("overlap 10.9.0.0/24"));
        assert!(plan(Form::Namespaces, "10.1.2.3/24").unwrap_err().contains("10.1.2.0/24"));
        assert!(plan(Form::Namespaces, "10.0.0.0/8").unwrap_err().contains("/16"));
        assert!(plan(Form::Namespaces, "pony").is_err());
    }

    #[test]
    fn nodes_get_the_lowest_free_address_until_none_is_left() {
        let cidr = net("10.1.2.0/28");
        let mut taken = Vec::new();
        while let Ok(address) = plan_node(cidr, Form::Namespaces, 22, &taken) {
            taken.push(address);
        }
        assert_eq!(taken.first().unwrap().to_string(), "10.1.2.2");
        assert_eq!(taken.last().unwrap().to_string(), "10.1.2.14");
        assert_eq!(plan_node(net("10.1.2.0/24"), Form::Namespaces, 22, &[]).unwrap().to_string(), "10.1.2.10");
    }
}
