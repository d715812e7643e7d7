//! Planning of address ranges: a free one for a network, and equal parts of a network for its subnets.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The longest and the shortest prefix of a network on AWS, and of a subnet.
pub const SHORTEST_PREFIX: u8 = 16;
/// See [`SHORTEST_PREFIX`].
pub const LONGEST_PREFIX: u8 = 28;

/// Bits that number the subnets of a network of our own: 16 of them, a public and a private one for each of eight zones, which is more zones
/// than any region has. How many zones a spec has does not matter, so that another zone leaves all subnets where they are.
const SLOT_BITS: u8 = 4;

/// Subnets in a network that belongs to somebody else are no larger than this: 251 addresses, as the predecessor made them.
const SHARED_PREFIX: u8 = 24;

/// Ranges for private networks, in the order in which they are tried.
const PRIVATE: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];

/// The ranges of one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneRanges {
    /// Of the subnet that the internet reaches.
    pub public: Ipv4Net,
    /// Of the other one.
    pub private: Ipv4Net,
}

/// Whether two ranges have an address in common.
#[must_use]
pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The first range of 65,536 private addresses that overlaps none of these.
#[must_use]
pub fn free_network(taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    PRIVATE.iter().find_map(|(address, prefix)| {
        let all = Ipv4Net::new(*address, *prefix).ok()?;
        free_within(&all, SHORTEST_PREFIX, taken)
    })
}

fn free_within(all: &Ipv4Net, prefix: u8, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    all.subnets(prefix).ok()?.find(|range| !taken.iter().any(|other| overlap(range, other)))
}

/// How many zones a network of this range has room for.
#[must_use]
pub fn zones_max(network: &Ipv4Net) -> usize {
    1_usize << (slot_bits(network.prefix_len()).saturating_sub(1))
}

fn slot_bits(prefix: u8) -> u8 {
    LONGEST_PREFIX.saturating_sub(prefix).min(SLOT_BITS)
}

/// The ranges of a network of our own: public ones from the beginning, private ones from the middle. `None`: there is no room for so many zones.
#[must_use]
pub fn own_subnets(network: &Ipv4Net, zones: usize) -> Option<Vec<ZoneRanges>> {
    let bits = slot_bits(network.prefix_len());
    if bits == 0 || zones > zones_max(network) {
        return None;
    }
    let slots: Vec<Ipv4Net> = network.subnets(network.prefix_len() + bits).ok()?.collect();
    let half = slots.len() / 2;
    (0..zones).map(|zone| Some(ZoneRanges { public: *slots.get(zone)?, private: *slots.get(half + zone)? })).collect()
}

/// Free ranges of a network that belongs to somebody else, zone by zone, so that another zone comes after those that are there. `None`: there
/// is no room.
#[must_use]
pub fn shared_subnets(networks: &[Ipv4Net], taken: &[Ipv4Net], zones: usize) -> Option<Vec<ZoneRanges>> {
    let mut taken = taken.to_vec();
    let mut next = || {
        let free = networks.iter().find_map(|network| {
            let prefix = network.prefix_len().saturating_add(SLOT_BITS).clamp(SHARED_PREFIX, LONGEST_PREFIX);
            free_within(network, prefix, &taken)
        })?;
        taken.push(free);
        Some(free)
    };
    (0..zones).map(|_| Some(ZoneRanges { public: next()?, private: next()? })).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_free_network_is_the_first_one() {
        assert_eq!(free_network(&[]), Some(net("10.0.0.0/16")));
        assert_eq!(free_network(&[net("10.0.0.0/16"), net("10.1.128.0/24")]), Some(net("10.2.0.0/16")));
        assert_eq!(free_network(&[net("10.0.0.0/8")]), Some(net("172.16.0.0/16")));
        assert_eq!(free_network(&[net("10.0.0.0/8"), net("172.16.0.0/12")]), Some(net("192.168.0.0/16")));
        assert_eq!(free_network(&[net("0.0.0.0/0")]), None);
    }

    #[test]
    fn subnets_are_equal_parts_of_what_the_network_has() {
        let ranges = own_subnets(&net("10.0.0.0/16"), 2).unwrap();
        let shown: Vec<String> = ranges.iter().map(|zone| format!("{} {}", zone.public, zone.private)).collect();
        assert_eq!(shown, ["10.0.0.0/20 10.0.128.0/20", "10.0.16.0/20 10.0.144.0/20"]);
        assert_eq!(own_subnets(&net("10.0.0.0/24"), 1).unwrap()[0].private, net("10.0.0.128/28"));
        assert_eq!(own_subnets(&net("10.0.0.0/26"), 2).unwrap()[1].private, net("10.0.0.48/28"));
        assert_eq!(own_subnets(&net("10.0.0.0/26"), 3), None);
        assert_eq!(own_subnets(&net("10.0.0.0/28"), 1), None);
    }

    #[test]
    fn shared_ranges_are_the_first_that_are_free() {
        let ranges = shared_subnets(&[net("172.31.0.0/16")], &[net("172.31.0.0/20"), net("172.31.17.0/28")], 1).unwrap();
        assert_eq!(ranges, [ZoneRanges { public: net("172.31.16.0/24"), private: net("172.31.18.0/24") }]);
        assert_eq!(shared_subnets(&[net("10.0.0.0/28")], &[], 1), None);
        assert_eq!(shared_subnets(&[net("10.0.0.0/28"), net("10.1.0.0/27")], &[], 1).unwrap()[0].private, net("10.1.0.0/28"));
    }

    fn range(shortest: u8) -> impl Strategy<Value = Ipv4Net> {
        (any::<u16>(), shortest..=28_u8).prop_map(|(bits, prefix)| {
            // In 10.0.0.0/12, so that ranges often meet.
            let address = Ipv4Addr::from(0x0A00_0000 | (u32::from(bits) << 4));
            Ipv4Net::new(address, prefix).unwrap().trunc()
        })
    }

    fn apart(ranges: &[Ipv4Net]) -> bool {
        ranges.iter().enumerate().all(|(i, a)| ranges.iter().skip(i + 1).all(|b| !overlap(a, b)))
    }

    fn all(zones: &[ZoneRanges]) -> Vec<Ipv4Net> {
        zones.iter().flat_map(|zone| [zone.public, zone.private]).collect()
    }

    proptest! {
        #[test]
        fn a_free_network_overlaps_nothing(taken in proptest::collection::vec(range(9), 0..20)) {
            let free = free_network(&taken).unwrap();
            prop_assert!(taken.iter().all(|other| !overlap(&free, other)));
        }

        #[test]
        fn own_subnets_never_overlap_and_are_always_inside(network in range(16), zones in 1..9_usize) {
            match own_subnets(&network, zones) {
                None => prop_assert!(network.prefix_len() == 28 || zones > zones_max(&network)),
                Some(ranges) => {
                    prop_assert_eq!(ranges.len(), zones);
                    let all = all(&ranges);
                    prop_assert!(apart(&all));
                    prop_assert!(all.iter().all(|range| network.contains(range) && range.prefix_len() <= LONGEST_PREFIX));
                    // Another zone leaves the others where they are.
                    let fewer = own_subnets(&network, zones - 1).unwrap();
                    prop_assert_eq!(&ranges[..zones - 1], &fewer[..]);
                }
            }
        }

        #[test]
        fn shared_subnets_are_free(network in range(16), taken in proptest::collection::vec(range(18), 0..10), zones in 1..5_usize) {
            if let Some(ranges) = shared_subnets(&[network], &taken, zones) {
                let all = all(&ranges);
                prop_assert!(apart(&all));
                prop_assert!(all.iter().all(|range| network.contains(range) && taken.iter().all(|other| !overlap(range, other))));
                let fewer = shared_subnets(&[network], &taken, zones - 1).unwrap();
                prop_assert_eq!(&ranges[..zones - 1], &fewer[..]);
            }
        }
    }
}
