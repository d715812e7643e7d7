//! Calls that list objects: where the objects stand in the answer, how one is asked for by id, and how a list is parted into pages.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::answer::Refusal;
use crate::call::Call;
use crate::config::Config;
use crate::xml::Element;

/// A call of EC2 that lists objects.
pub(crate) struct Listing {
    action: &'static str,
    /// The element whose children are the objects.
    set: &'static str,
    /// The parameter that asks for some of them, and the element of their id.
    pub(crate) parameter: &'static str,
    pub(crate) id: &'static str,
    /// What is answered when one of them is not there.
    missing: &'static str,
    paged: bool,
}

const fn listing(action: &'static str, set: &'static str, parameter: &'static str, id: &'static str, missing: &'static str) -> Listing {
    Listing { action, set, parameter, id, missing, paged: true }
}

const LISTINGS: &[Listing] = &[
    Listing {
        paged: false,
        ..listing("DescribeAddresses", "addressesSet", "AllocationId", "allocationId", "InvalidAllocationID.NotFound")
    },
    listing("DescribeImages", "imagesSet", "ImageId", "imageId", "InvalidAMIID.NotFound"),
    listing("DescribeInstances", "reservationSet", "InstanceId", "instanceId", "InvalidInstanceID.NotFound"),
    listing(
        "DescribeInternetGateways",
        "internetGatewaySet",
        "InternetGatewayId",
        "internetGatewayId",
        "InvalidInternetGatewayID.NotFound",
    ),
    listing("DescribeLaunchTemplates", "launchTemplates", "LaunchTemplateId", "launchTemplateId", "InvalidLaunchTemplateId.NotFound"),
    listing("DescribeNatGateways", "natGatewaySet", "NatGatewayId", "natGatewayId", "NatGatewayNotFound"),
    listing("DescribeRouteTables", "routeTableSet", "RouteTableId", "routeTableId", "InvalidRouteTableID.NotFound"),
    listing(
        "DescribeSecurityGroupRules",
        "securityGroupRuleSet",
        "SecurityGroupRuleId",
        "securityGroupRuleId",
        "InvalidSecurityGroupRuleId.NotFound",
    ),
    listing("DescribeSecurityGroups", "securityGroupInfo", "GroupId", "groupId", "InvalidGroup.NotFound"),
    listing("DescribeSubnets", "subnetSet", "SubnetId", "subnetId", "InvalidSubnetID.NotFound"),
    listing("DescribeTags", "tagSet", "", "resourceId", ""),
    listing("DescribeVolumes", "volumeSet", "VolumeId", "volumeId", "InvalidVolume.NotFound"),
    listing("DescribeVpcEndpoints", "vpcEndpointSet", "VpcEndpointId", "vpcEndpointId", "InvalidVpcEndpointId.NotFound"),
    listing(
        "DescribeVpcPeeringConnections",
        "vpcPeeringConnectionSet",
        "VpcPeeringConnectionId",
        "vpcPeeringConnectionId",
        "InvalidVpcPeeringConnectionID.NotFound",
    ),
    listing("DescribeVpcs", "vpcSet", "VpcId", "vpcId", "InvalidVpcID.NotFound"),
];

/// What a call of EC2 lists, if it lists something.
pub(crate) fn listing_of(call: &Call) -> Option<&'static Listing> {
    LISTINGS.iter().find(|listing| call.service == "ec2" && listing.action == call.action)
}

impl Listing {
    /// The ids that the call asks for.
    pub(crate) fn asked(&self, call: &Call) -> Vec<String> {
        if self.parameter.is_empty() { Vec::new() } else { call.list(self.parameter) }
    }

    /// The answer when one of them is not there.
    pub(crate) fn missing(&self, id: &str) -> Refusal {
        Refusal::new(self.missing, format!("The ID '{id}' does not exist"))
    }

    /// Leaves out objects.
    pub(crate) fn leave_out(&self, document: &mut Element, hides: impl Fn(&str) -> bool) {
        let Some(set) = document.find_mut(self.set) else { return };
        let id = self.id;
        let mut shows = |element: &mut Element| element.text_at(&[id]).is_none_or(|id| !hides(id));
        if self.action == "DescribeInstances" {
            // An instance is one floor deeper, in a reservation.
            for reservation in &mut set.children {
                if let Some(instances) = reservation.find_mut("instancesSet") {
                    instances.children.retain_mut(&mut shows);
                }
            }
            set.children.retain(|reservation| !reservation.items("instancesSet").is_empty());
        } else {
            set.children.retain_mut(shows);
        }
    }
}

/// How a service parts its lists: the parameters for size and place, the element that says where to go on, the one that says that there is
/// more.
struct Manner {
    size: &'static str,
    place: &'static str,
    next: &'static str,
    more: Option<&'static str>,
}

const EC2: Manner = Manner { size: "MaxResults", place: "NextToken", next: "nextToken", more: None };
const IAM: Manner = Manner { size: "MaxItems", place: "Marker", next: "Marker", more: Some("IsTruncated") };
const RDS: Manner = Manner { size: "MaxRecords", place: "Marker", next: "Marker", more: None };
const ELB: Manner = Manner { size: "PageSize", place: "Marker", next: "NextMarker", more: None };
const STACKS: Manner = Manner { size: "", place: "NextToken", next: "NextToken", more: None };

/// Lists of other services.
const OTHERS: &[(&str, &str, &Manner)] = &[
    ("iam:ListRoles", "Roles", &IAM),
    ("iam:ListRolePolicies", "PolicyNames", &IAM),
    ("iam:ListAttachedRolePolicies", "AttachedPolicies", &IAM),
    ("iam:ListInstanceProfiles", "InstanceProfiles", &IAM),
    ("iam:ListInstanceProfilesForRole", "InstanceProfiles", &IAM),
    ("iam:ListRoleTags", "Tags", &IAM),
    ("iam:ListInstanceProfileTags", "Tags", &IAM),
    ("iam:ListPolicies", "Policies", &IAM),
    ("iam:ListPolicyVersions", "Versions", &IAM),
    ("rds:DescribeDBInstances", "DBInstances", &RDS),
    ("rds:DescribeDBSubnetGroups", "DBSubnetGroups", &RDS),
    ("elasticloadbalancing:DescribeLoadBalancers", "LoadBalancers", &ELB),
    ("elasticloadbalancing:DescribeTargetGroups", "TargetGroups", &ELB),
    ("elasticloadbalancing:DescribeListeners", "Listeners", &ELB),
    ("cloudformation:DescribeStacks", "Stacks", &STACKS),
    ("cloudformation:DescribeStackEvents", "StackEvents", &STACKS),
    ("cloudformation:ListStackResources", "StackResourceSummaries", &STACKS),
];

/// EC2 gives no smaller pages.
const EC2_SIZE_MIN: usize = 5;

/// A page that a call asks for.
pub(crate) struct Page {
    manner: &'static Manner,
    set: &'static str,
    from: usize,
    size: Option<usize>,
    /// What the call asks for beside the page.
    question: u64,
}

impl Page {
    /// The page that a call asks for, and the call for the whole list. `None`: it gives no list, or lists are not parted.
    pub(crate) fn of(config: &Config, call: &Call) -> Result<Option<(Self, Call)>, Refusal> {
        if !config.pages.on {
            return Ok(None);
        }
        let listing = listing_of(call).filter(|listing| listing.paged);
        let other = || OTHERS.iter().find(|(name, ..)| *name == call.name()).map(|(_, set, manner)| (*set, *manner));
        let Some((set, manner)) = listing.map(|listing| (listing.set, &EC2)).or_else(other) else { return Ok(None) };
        let asked = call.get(manner.size).and_then(|size| size.parse::<usize>().ok());
        let by_id = listing.is_some_and(|listing| !listing.asked(call).is_empty());
        if listing.is_some() && asked.is_some_and(|size| size < EC2_SIZE_MIN) {
            let text = format!("Value ( {} ) for parameter maxResults is invalid. Expecting a value greater than 5.", asked.unwrap_or(0));
            return Err(Refusal::new("InvalidParameterValue", text));
        }
        if by_id && asked.is_some() && call.action == "DescribeInstances" {
            let text = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(Refusal::new("InvalidParameterCombination", text));
        }
        let mut whole = call.clone();
        whole.parameters.retain(|name, _| name != manner.size && name != manner.place);
        let question = question_of(&whole);
        let from = match call.get(manner.place) {
            Some(place) => place_in(place, question).ok_or_else(|| Refusal::new("InvalidNextToken", "The token is not valid"))?,
            None => 0,
        };
        let forced = config.pages.size_max.filter(|_| !by_id);
        let size = [asked, forced].into_iter().flatten().min();
        Ok(Some((Self { manner, set, from, size, question }, whole)))
    }

    /// Leaves the page of a whole list, and says where to go on.
    pub(crate) fn cut(&self, document: &mut Element) {
        let Some(set) = document.find_mut(self.set) else { return };
        let total = set.children.len();
        let to = self.size.map_or(total, |size| (self.from + size).min(total));
        let mut place = 0..;
        set.children.retain(|_| place.next().is_some_and(|place: usize| place >= self.from && place < to));
        let has_more = to < total;
        let Some(list) = parent_of(document, self.set) else { return };
        list.children.retain(|child| child.name != self.manner.next && Some(child.name.as_str()) != self.manner.more);
        if let Some(more) = self.manner.more {
            list.children.push(Element::text(more, has_more.to_string()));
        }
        if has_more {
            list.children.push(Element::text(self.manner.next, format!("{to}-{:016x}", self.question)));
        }
    }
}

fn parent_of<'a>(document: &'a mut Element, name: &str) -> Option<&'a mut Element> {
    if document.child(name).is_some() {
        return Some(document);
    }
    document.children.iter_mut().find_map(|child| parent_of(child, name))
}

/// A token is only good for the question that it came from.
fn question_of(call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&call.key, &call.region, call.name(), &call.parameters).hash(&mut hasher);
    hasher.finish()
}

fn place_in(token: &str, question: u64) -> Option<usize> {
    let (place, of) = token.split_once('-')?;
    (u64::from_str_radix(of, 16).ok()? == question).then_some(())?;
    place.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Pages;

    fn call(parameters: &[(&str, &str)]) -> Call {
        Call { service: "ec2".to_owned(), ..Call::default() }.asking("DescribeVpcs", parameters)
    }

    fn networks(count: usize) -> Element {
        let item = |i| Element::with("item", vec![Element::text("vpcId", format!("vpc-{i}"))]);
        Element::with("DescribeVpcsResponse", vec![Element::with("vpcSet", (0..count).map(item).collect())])
    }

    fn pages(size_max: Option<usize>) -> Config {
        Config { pages: Pages { on: true, size_max }, ..Config::default() }
    }

    proptest! {
        #[test]
        fn all_pages_are_the_list(count in 0_usize..40, size in 1_usize..12) {
            let config = pages(Some(size));
            let mut asked = call(&[]);
            let mut found = Vec::new();
            for _ in 0..=count {
                let (page, whole) = Page::of(&config, &asked).unwrap().unwrap();
                prop_assert_eq!(whole.parameters.len(), 0);
                let mut document = networks(count);
                page.cut(&mut document);
                let part = document.texts("vpcId");
                prop_assert!(part.len() <= size);
                found.extend(part);
                match document.text_at(&["nextToken"]) {
                    Some(token) => asked = call(&[("NextToken", token)]),
                    None => break,
                }
            }
            prop_assert_eq!(found, networks(count).texts("vpcId"));
        }
    }

    #[test]
    fn a_size_is_kept_where_it_may_be_given() {
        let (page, _) = Page::of(&pages(None), &call(&[("MaxResults", "5")])).unwrap().unwrap();
        let mut document = networks(7);
        page.cut(&mut document);
        assert_eq!(document.texts("vpcId").len(), 5);
        assert_eq!(Page::of(&pages(None), &call(&[("MaxResults", "4")])).err().unwrap().code, "InvalidParameterValue");
        assert_eq!(Page::of(&pages(None), &call(&[("NextToken", "5-00")])).err().unwrap().code, "InvalidNextToken");
        assert!(Page::of(&Config::default(), &call(&[])).unwrap().is_none());
    }

    #[test]
    fn identities_say_that_there_is_more() {
        let call = Call { service: "iam".to_owned(), ..Call::default() }.asking("ListRolePolicies", &[]);
        let (page, _) = Page::of(&pages(Some(1)), &call).unwrap().unwrap();
        let names = Element::with("PolicyNames", vec![Element::text("member", "a"), Element::text("member", "b")]);
        let result = Element::with("ListRolePoliciesResult", vec![names, Element::text("IsTruncated", "false")]);
        let mut document = Element::with("ListRolePoliciesResponse", vec![result]);
        page.cut(&mut document);
        let result = document.child("ListRolePoliciesResult").unwrap();
        assert_eq!((result.get(&["IsTruncated"]), result.text_at(&["Marker"]).is_some()), ("true", true));
        assert_eq!(document.texts("member"), ["a"]);
    }
}
