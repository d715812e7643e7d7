//! Ranges of addresses, of IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use cloudtik_model::Value;
use ipnet::IpNet;

use super::{Fault, Function, Outcome, Wants, a_string, arg, parameter, strings, text, whole};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("cidrhost", &[parameter("prefix", Wants::String), parameter("hostnum", Wants::Number)], a_string, cidrhost)
        .doc("The address of that number in a network; a negative number counts from its end."),
    Function::known("cidrnetmask", &[parameter("prefix", Wants::String)], a_string, cidrnetmask).doc("The mask of a network of IPv4."),
    Function::known(
        "cidrsubnet",
        &[parameter("prefix", Wants::String), parameter("newbits", Wants::Number), parameter("netnum", Wants::Number)],
        a_string,
        cidrsubnet,
    )
    .doc("The subnet of that number when the prefix grows by so many bits."),
    Function::known("cidrsubnets", &[parameter("prefix", Wants::String)], strings, cidrsubnets)
        .and(parameter("newbits", Wants::Number))
        .doc("Subnets one after the other, each with a prefix that is longer by so many bits."),
];

fn prefix(args: &[Value]) -> Result<IpNet, Fault> {
    let shown = text(args, 0);
    IpNet::from_str(shown).map(|network| network.trunc()).map_err(|_| {
        let help = if shown.contains('/') { "" } else { ": the length is missing, as in 10.0.0.0/16" };
        Fault::at(0, format!("{shown:?} is no range of addresses{help}"))
    })
}

/// The bits of a network's first address, and how wide its addresses are.
fn bits(network: &IpNet) -> (u128, u8) {
    match network {
        IpNet::V4(network) => (u32::from(network.network()).into(), 32),
        IpNet::V6(network) => (network.network().into(), 128),
    }
}

fn address(bits: u128, width: u8) -> IpAddr {
    if width == 32 {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(0)))
    } else {
        IpAddr::V6(Ipv6Addr::from(bits))
    }
}

/// A whole number, and whether it is below zero.
fn number(args: &[Value], index: usize) -> Result<(u128, bool), Fault> {
    let number = arg(args, index).as_number().filter(|number| number.is_integer());
    let number = number.ok_or_else(|| Fault::at(index, "a whole number is required"))?;
    let text = number.to_string();
    let parsed = text.trim_start_matches('-').parse::<u128>();
    parsed.map(|magnitude| (magnitude, number.is_negative())).map_err(|_| Fault::at(index, format!("{number} is too large")))
}

/// How many numbers so many bits can tell apart; `None` when it is more than can be counted.
fn count(bits: u8) -> Option<u128> {
    1_u128.checked_shl(bits.into())
}

fn cidrhost(args: &[Value]) -> Outcome {
    let network = prefix(args)?;
    let (first, width) = bits(&network);
    let host_bits = width - network.prefix_len();
    let (magnitude, negative) = number(args, 1)?;
    let size = count(host_bits);
    let fits = size.is_none_or(|size| if negative { magnitude <= size } else { magnitude < size });
    if !fits {
        let sign = if negative { "-" } else { "" };
        return Err(Fault::at(1, format!("the network has {host_bits} bits for hosts, which is not enough for host {sign}{magnitude}")));
    }
    let mask = size.map_or(u128::MAX, |size| size - 1);
    let host = if negative { magnitude.wrapping_neg() & mask } else { magnitude };
    Ok(address(first | host, width).to_string().into())
}

fn cidrsubnet(args: &[Value]) -> Outcome {
    let network = prefix(args)?;
    let (first, width) = bits(&network);
    let new_bits = u8::try_from(whole(args, 1)?).map_err(|_| Fault::at(1, "it must be from 0 to 128"))?;
    let length = network.prefix_len().saturating_add(new_bits);
    if length > width {
        let had = network.prefix_len();
        return Err(Fault::at(1, format!("a prefix of {had} bits has no room for {new_bits} more: an address has {width}")));
    }
    let (number, negative) = number(args, 2)?;
    if negative || count(new_bits).is_some_and(|count| number >= count) {
        let shown = arg(args, 2).as_number().map_or_else(String::new, ToString::to_string);
        return Err(Fault::at(
            2,
            format!("{new_bits} bits tell {} subnets apart, and {shown} is none of them", count(new_bits).unwrap_or(u128::MAX)),
        ));
    }
    let shifted = number.checked_shl((width - length).into()).unwrap_or(0);
    Ok(format!("{}/{length}", address(first | shifted, width)).into())
}

fn cidrnetmask(args: &[Value]) -> Outcome {
    match prefix(args)? {
        IpNet::V4(network) => Ok(network.netmask().to_string().into()),
        IpNet::V6(_) => Err(Fault::at(0, "a network of IPv6 has no mask, only the length of its prefix")),
    }
}

fn cidrsubnets(args: &[Value]) -> Outcome {
    let network = prefix(args)?;
    let (first, width) = bits(&network);
    let room = count(width - network.prefix_len());
    // Where the next one may begin, counted from the beginning of the network; `None` beyond what can be counted.
    let mut next = Some(0_u128);
    let mut subnets = Vec::new();
    for i in 1..args.len() {
        let new_bits =
            u8::try_from(whole(args, i)?).ok().filter(|bits| *bits > 0).ok_or_else(|| Fault::at(i, "it must be from 1 to 128"))?;
        let length = network.prefix_len().saturating_add(new_bits);
        if length > width {
            let had = network.prefix_len();
            return Err(Fault::at(i, format!("a prefix of {had} bits has no room for {new_bits} more: an address has {width}")));
        }
        // It has less than all bits, so its size can be counted.
        let size = count(width - length).unwrap_or(u128::MAX);
        let begin = next.and_then(|next| next.checked_next_multiple_of(size));
        let begin = begin.filter(|begin| room.is_none_or(|room| begin.checked_add(size).is_some_and(|end| end <= room)));
        let begin = begin.ok_or_else(|| Fault::at(i, format!("no room is left in {network} for a subnet of {length} bits")))?;
        next = begin.checked_add(size);
        subnets.push(format!("{}/{length}", address(first | begin, width)).into());
    }
    Ok(Value::list(subnets))
}
