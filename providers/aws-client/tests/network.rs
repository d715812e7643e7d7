//! The kinds of networks, firewalls and peerings, against a server: made, found, changed, removed.

#[cfg(test)]
#[path = "network/server.rs"]
mod server;

#[cfg(test)]
mod tests {
    use cloudtik_model::Value;
    use cloudtik_provider_api::{ErrorClass, ObjectAnswer, Verb};

    use crate::server::{Client, Moto};

    const REGION: &str = "us-west-2";

    fn of<const N: usize>(attributes: [(&'static str, Value); N]) -> Value {
        Value::object(attributes)
    }

    fn tags(name: &str) -> (&'static str, Value) {
        ("tags", Value::map([("Name", Value::from(name))]))
    }

    fn set(ids: &[&str]) -> Value {
        Value::set(ids.iter().map(|id| Value::from(*id)))
    }

    fn text<'a>(object: &'a ObjectAnswer, name: &str) -> &'a str {
        object.attributes.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{name} of {object:?}"))
    }

    fn vpc(client: &Client, op: &str, range: &str) -> ObjectAnswer {
        let attributes =
            of([("cidr_block", range.into()), ("enable_dns_support", true.into()), ("enable_dns_hostnames", true.into()), tags("one")]);
        client.create_tagged("aws_vpc", op, attributes)
    }

    fn subnet(client: &Client, op: &str, vpc: &str, range: &str) -> ObjectAnswer {
        let attributes = of([("vpc_id", vpc.into()), ("cidr_block", range.into()), ("map_public_ip_on_launch", true.into()), tags("one")]);
        client.create_tagged("aws_subnet", op, attributes)
    }

    fn table(client: &Client, op: &str, vpc: &str) -> ObjectAnswer {
        client.create_tagged("aws_route_table", op, of([("vpc_id", vpc.into()), tags("one")]))
    }

    /// Removes an object, and checks that it is gone and that a second time says so.
    fn remove(client: &Client, kind: &str, id: &str) {
        assert_eq!(client.delete(kind, id), None, "{kind}: delete");
        assert_eq!(client.read(kind, id), None, "{kind}: read after delete");
        let again = client.delete(kind, id).unwrap_or_else(|| panic!("{kind}: a second delete is refused"));
        assert_eq!(again.class, ErrorClass::Gone, "{kind}: {again:?}");
    }

    /// Changes and removes the tags of an object.
    fn retag(client: &Client, kind: &str, object: &ObjectAnswer) -> ObjectAnswer {
        let other = client.update(kind, object, &[("tags", Value::map([("other", Value::from("two"))]))]);
        client.update(kind, &other, &[tags("three")])
    }

    #[test]
    fn networks() {
        let Some(moto) = Moto::start("networks") else { return };
        let client = moto.connect(REGION, None);
        let vpc = vpc(&client, "vpc-1", "10.0.0.0/16");
        let vpc = retag(&client, "aws_vpc", &vpc);
        client.update("aws_vpc", &vpc, &[("enable_dns_hostnames", false.into())]);
        assert_eq!(client.try_create("aws_vpc", "bad", of([("cidr_block", "10.0.0.0/8".into())])).unwrap_err().code, "InvalidVpc.Range");

        let subnet = subnet(&client, "subnet-1", &vpc.id, "10.0.0.0/24");
        let subnet = retag(&client, "aws_subnet", &subnet);
        client.update("aws_subnet", &subnet, &[("map_public_ip_on_launch", false.into())]);

        remove(&client, "aws_subnet", &subnet.id);
        remove(&client, "aws_vpc", &vpc.id);
    }

    #[test]
    fn ways_out() {
        let Some(moto) = Moto::start("ways-out") else { return };
        let client = moto.connect(REGION, None);
        let (vpc, other) = (vpc(&client, "vpc-1", "10.0.0.0/16"), vpc(&client, "vpc-2", "10.1.0.0/16"));
        let subnet = subnet(&client, "subnet-1", &vpc.id, "10.0.0.0/24");

        let gateway = client.create_tagged("aws_internet_gateway", "igw-1", of([("vpc_id", vpc.id.as_str().into()), tags("one")]));
        let gateway = retag(&client, "aws_internet_gateway", &gateway);
        let moved = client.update("aws_internet_gateway", &gateway, &[("vpc_id", other.id.as_str().into())]);
        let loose = client.update("aws_internet_gateway", &moved, &[("vpc_id", Value::NULL)]);
        client.update("aws_internet_gateway", &loose, &[("vpc_id", vpc.id.as_str().into())]);

        let address = client.create_tagged("aws_eip", "eip-1", of([("domain", "vpc".into()), tags("one")]));
        let address = retag(&client, "aws_eip", &address);

        let nat_of = of([
            ("subnet_id", subnet.id.as_str().into()),
            ("allocation_id", text(&address, "allocation_id").into()),
            ("connectivity_type", "public".into()),
            tags("one"),
        ]);
        let nat = client.create_tagged("aws_nat_gateway", "nat-1", nat_of);
        assert_eq!(text(&nat, "public_ip"), text(&address, "public_ip"));
        let nat = retag(&client, "aws_nat_gateway", &nat);

        let table = table(&client, "rtb-1", &vpc.id);
        let table = retag(&client, "aws_route_table", &table);
        routes(&client, &table.id, &gateway.id, &nat.id);
        associations(&client, &vpc.id, &subnet.id, &table.id);
        endpoints(&client, &vpc.id, &table.id);

        remove(&client, "aws_route_table", &table.id);
        remove(&client, "aws_nat_gateway", &nat.id);
        addresses(&client, &subnet.id, &address);
        remove(&client, "aws_eip", &address.id);
        remove(&client, "aws_internet_gateway", &gateway.id);
    }

    fn routes(client: &Client, table: &str, gateway: &str, nat: &str) {
        let to = |name, id: &str| of([("route_table_id", table.into()), ("destination_cidr_block", "0.0.0.0/0".into()), (name, id.into())]);
        let route = client.create("aws_route", "route-1", to("gateway_id", gateway));
        assert_eq!(route.id, format!("{table}_0.0.0.0/0"));
        assert_eq!(client.create("aws_route", "route-2", to("gateway_id", gateway)), route, "a second create is harmless");
        let taken = client.try_create("aws_route", "route-3", to("nat_gateway_id", nat)).unwrap_err();
        assert_eq!(taken.class, ErrorClass::Conflict);
        assert!(taken.message.contains(gateway), "{taken:?}");
        let replaced = client.update("aws_route", &route, &[("gateway_id", Value::NULL), ("nat_gateway_id", nat.into())]);
        assert_eq!(text(&replaced, "nat_gateway_id"), nat);
        remove(client, "aws_route", &route.id);
    }

    fn associations(client: &Client, vpc: &str, subnet: &str, first: &str) {
        let second = table(client, "rtb-2", vpc);
        let to = |table: &str| of([("subnet_id", subnet.into()), ("route_table_id", table.into())]);
        let association = client.create("aws_route_table_association", "assoc-1", to(first));
        assert_eq!(association.id, subnet);
        assert_eq!(client.create("aws_route_table_association", "assoc-2", to(first)), association, "a second create is harmless");
        client.update("aws_route_table_association", &association, &[("route_table_id", second.id.as_str().into())]);
        remove(client, "aws_route_table_association", subnet);
        remove(client, "aws_route_table", &second.id);
    }

    fn addresses(client: &Client, subnet: &str, address: &ObjectAnswer) {
        let machine = |name: &str| {
            let parts = [
                ("ami", "ami-12c6146b".into()),
                ("instance_type", "t3.large".into()),
                ("user", "ubuntu".into()),
                ("subnet_id", subnet.into()),
                ("associate_public_ip_address", true.into()),
            ];
            client.try_create("aws_instance", name, of(parts)).unwrap()
        };
        let (first, second) = (machine("i-1"), machine("i-2"));
        let to = |machine: &ObjectAnswer| of([("allocation_id", address.id.as_str().into()), ("instance_id", machine.id.as_str().into())]);
        let association = client.create("aws_eip_association", "assoc-1", to(&first));
        assert!(association.id.starts_with("eipassoc-"), "{association:?}");
        assert_eq!(text(&association, "public_ip"), text(address, "public_ip"));
        assert_eq!(
            client.read("aws_eip_association", &address.id).as_ref(),
            Some(&association),
            "it is found by the id of the address too"
        );
        assert_eq!(client.create("aws_eip_association", "assoc-2", to(&first)), association, "a second create is harmless");
        let taken = client.try_create("aws_eip_association", "assoc-3", to(&second)).unwrap_err();
        assert_eq!(taken.class, ErrorClass::Conflict);
        assert!(taken.message.contains(&first.id), "{taken:?}");
        let public = |machine: &ObjectAnswer| text(&client.read("aws_instance", &machine.id).unwrap(), "public_ip").to_owned();
        assert_eq!(public(&first), text(address, "public_ip"));
        remove(client, "aws_eip_association", &association.id);
        assert_ne!(public(&first), text(address, "public_ip"));
        of_cluster(client, &first, &second);
        for machine in [first, second] {
            client.call("aws_instance", Verb::Delete { id: machine.id, data: false });
        }
    }

    /// The next head of a cluster has its address before the former one goes, and what then becomes of the former one takes it from nobody.
    fn of_cluster(client: &Client, first: &ObjectAnswer, second: &ObjectAnswer) {
        let kind = "aws_eip_association";
        let address = client.try_create_of(Some("w/c"), "aws_eip", "eip-2", of([("domain", "vpc".into())])).unwrap();
        let to = |machine: &ObjectAnswer| of([("allocation_id", address.id.as_str().into()), ("instance_id", machine.id.as_str().into())]);
        let former = client.try_create_of(Some("w/c"), kind, "assoc-4", to(first)).unwrap();
        let other = client.try_create_of(Some("w/other"), kind, "assoc-5", to(second)).unwrap_err();
        assert_eq!(other.class, ErrorClass::Conflict);
        let next = client.try_create_of(Some("w/c"), kind, "assoc-6", to(second)).unwrap();
        assert_ne!(next.id, former.id);
        assert_eq!(client.read(kind, &former.id), None);
        assert_eq!(client.delete(kind, &former.id).map(|error| error.class), Some(ErrorClass::Gone));
        assert_eq!(client.read(kind, &next.id), Some(next.clone()));
        remove(client, kind, &next.id);
        remove(client, "aws_eip", &address.id);
    }

    fn endpoints(client: &Client, vpc: &str, first: &str) {
        let (second, third) = (table(client, "rtb-3", vpc), table(client, "rtb-4", vpc));
        let made = client.create_tagged(
            "aws_vpc_endpoint",
            "vpce-1",
            of([
                ("vpc_id", vpc.into()),
                ("service_name", "com.amazonaws.us-west-2.s3".into()),
                ("vpc_endpoint_type", "Gateway".into()),
                ("route_table_ids", set(&[first, &second.id])),
                tags("one"),
            ]),
        );
        assert!(text(&made, "prefix_list_id").starts_with("pl-"));
        let made = retag(client, "aws_vpc_endpoint", &made);
        let made = client.update("aws_vpc_endpoint", &made, &[("route_table_ids", set(&[&second.id, &third.id]))]);
        // The server forgets to make the route of a table that is added, and then cannot remove it.
        client.update("aws_vpc_endpoint", &made, &[("route_table_ids", set(&[&second.id]))]);
        remove(client, "aws_vpc_endpoint", &made.id);
        for table in [second, third] {
            remove(client, "aws_route_table", &table.id);
        }
    }

    #[test]
    fn firewalls() {
        let Some(moto) = Moto::start("firewalls") else { return };
        let client = moto.connect(REGION, None);
        let vpc = vpc(&client, "vpc-1", "10.0.0.0/16");
        let group_of = |name: &str| {
            of([("name", name.into()), ("description", "Managed by cloudtik".into()), ("vpc_id", vpc.id.as_str().into()), tags("one")])
        };
        let group = client.create_tagged("aws_security_group", "sg-1", group_of("one"));
        let group = retag(&client, "aws_security_group", &group);
        let twin = client.try_create("aws_security_group", "sg-2", group_of("one")).unwrap_err();
        assert_eq!((twin.class, &*twin.code), (ErrorClass::Conflict, "InvalidGroup.Duplicate"));

        let all = of([
            ("security_group_id", group.id.as_str().into()),
            ("ip_protocol", "-1".into()),
            ("cidr_ipv4", "0.0.0.0/0".into()),
            ("description", "everywhere".into()),
            tags("one"),
        ]);
        // It would be a duplicate, were the rule that AWS adds still there.
        let out = client.create_tagged("aws_vpc_security_group_egress_rule", "rule-1", all);
        assert_eq!(out.attributes.get("from_port"), Some(&Value::NULL));
        let ssh = of([
            ("security_group_id", group.id.as_str().into()),
            ("ip_protocol", "tcp".into()),
            ("from_port", 22_u64.into()),
            ("to_port", 22_u64.into()),
            ("cidr_ipv4", "10.0.0.0/8".into()),
            tags("one"),
        ]);
        let ssh = client.create_tagged("aws_vpc_security_group_ingress_rule", "rule-2", ssh);
        let inside = of([
            ("security_group_id", group.id.as_str().into()),
            ("ip_protocol", "-1".into()),
            ("referenced_security_group_id", group.id.as_str().into()),
            tags("one"),
        ]);
        let inside = client.create_tagged("aws_vpc_security_group_ingress_rule", "rule-3", inside);
        let both = [("aws_vpc_security_group_ingress_rule", &ssh), ("aws_vpc_security_group_egress_rule", &out)];
        for (kind, rule) in both {
            let rule = retag(&client, kind, rule);
            client.update(kind, &rule, &[("description", "another".into())]);
        }
        remove(&client, "aws_vpc_security_group_ingress_rule", &inside.id);
        for (kind, rule) in both {
            remove(&client, kind, &rule.id);
        }
        remove(&client, "aws_security_group", &group.id);
    }

    #[test]
    fn peerings_in_one_account() {
        let Some(moto) = Moto::start("peerings") else { return };
        let client = moto.connect(REGION, None);
        let (asks, asked) = (vpc(&client, "vpc-1", "10.0.0.0/16"), vpc(&client, "vpc-2", "10.1.0.0/16"));
        let of_connection = of([("vpc_id", asks.id.as_str().into()), ("peer_vpc_id", asked.id.as_str().into()), tags("one")]);
        let connection = client.create_tagged("aws_vpc_peering_connection", "pcx-1", of_connection);
        assert_eq!((text(&connection, "peer_region"), text(&connection, "accept_status")), (REGION, "pending-acceptance"));
        let of_accepter = || of([("vpc_peering_connection_id", connection.id.as_str().into()), tags("one")]);
        let accepter = client.create("aws_vpc_peering_connection_accepter", "acc-1", of_accepter());
        assert_eq!((text(&accepter, "vpc_id"), text(&accepter, "accept_status")), (&*asked.id, "active"));
        assert_eq!(client.create("aws_vpc_peering_connection_accepter", "acc-2", of_accepter()), accepter, "a second create is harmless");
        let connection = client.read("aws_vpc_peering_connection", &connection.id).unwrap();
        assert_eq!(client.find("aws_vpc_peering_connection", "cloudtik:op", "pcx-1").len(), 1, "the marks are those of who asked");
        let connection = retag(&client, "aws_vpc_peering_connection", &connection);

        peering_routes(&client, &asks.id, &connection.id);
        peering_options(&client, &connection.id);

        assert_eq!(client.delete("aws_vpc_peering_connection_accepter", &accepter.id), None);
        remove(&client, "aws_vpc_peering_connection", &connection.id);
        let gone = client.delete("aws_vpc_peering_connection_accepter", &accepter.id).unwrap();
        assert_eq!(gone.class, ErrorClass::Gone);
    }

    fn peering_routes(client: &Client, vpc: &str, connection: &str) {
        let tables = ["rtb-1", "rtb-2", "rtb-3"].map(|op| table(client, op, vpc).id);
        let ids: Vec<&str> = tables.iter().map(String::as_str).collect();
        let kind = "aws_vpc_peering_routes";
        let to = |tables: &[&str]| {
            of([
                ("route_table_ids", set(tables)),
                ("destination_cidr_block", "10.1.0.0/16".into()),
                ("vpc_peering_connection_id", connection.into()),
            ])
        };
        let routes = client.create(kind, "routes-1", to(&ids[..2]));
        assert_eq!(routes.id, format!("{connection}_10.1.0.0/16"));
        assert_eq!(client.create(kind, "routes-2", to(&ids[..2])), routes, "a second create is harmless");
        client.update(kind, &routes, &[("route_table_ids", set(&ids[1..]))]);
        remove(client, kind, &routes.id);

        let gateway = client.create_tagged("aws_internet_gateway", "igw-1", of([("vpc_id", vpc.into())]));
        let taken = of([
            ("route_table_id", ids[1].into()),
            ("destination_cidr_block", "10.1.0.0/16".into()),
            ("gateway_id", gateway.id.as_str().into()),
        ]);
        client.create("aws_route", "route-1", taken);
        let error = client.try_create(kind, "routes-3", to(&ids)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Conflict);
        assert!(error.message.contains(ids[1]) && error.message.contains(&gateway.id), "{error:?}");
        assert_eq!(client.read(kind, &routes.id), None, "nothing was added to the other tables");
    }

    fn side(names: bool) -> Value {
        Value::list([Value::object([("allow_remote_vpc_dns_resolution", names.into())])])
    }

    fn peering_options(client: &Client, connection: &str) {
        let kind = "aws_vpc_peering_connection_options";
        let both = || of([("vpc_peering_connection_id", connection.into()), ("accepter", side(true)), ("requester", side(true))]);
        let options = client.create(kind, "options-1", both());
        assert_eq!(options.id, connection);
        assert_eq!(client.create(kind, "options-2", both()), options, "a second create is harmless");
        let options = client.update(kind, &options, &[("requester", side(false))]);
        assert_eq!(options.attributes.get("accepter"), Some(&side(true)), "the other side stays as it is");
        assert_eq!(client.delete(kind, connection), None);
        assert_eq!(client.read(kind, connection), Some(options), "options go with the connection");
        let gone = client.delete(kind, "pcx-0").unwrap();
        assert_eq!(gone.class, ErrorClass::Gone);
    }

    #[test]
    fn peerings_of_two_accounts() {
        let Some(moto) = Moto::start("two-accounts") else { return };
        let (client, other) = (moto.connect(REGION, None), moto.connect("eu-west-1", Some("222222222222")));
        let (asks, asked) = (vpc(&client, "vpc-1", "10.0.0.0/16"), vpc(&other, "vpc-2", "10.1.0.0/16"));
        let of_connection = of([
            ("vpc_id", asks.id.as_str().into()),
            ("peer_vpc_id", asked.id.as_str().into()),
            ("peer_owner_id", text(&asked, "owner_id").into()),
            ("peer_region", "eu-west-1".into()),
        ]);
        assert_eq!(text(&asked, "owner_id"), "222222222222");
        let connection = client.create_tagged("aws_vpc_peering_connection", "pcx-1", of_connection);
        let of_accepter = of([("vpc_peering_connection_id", connection.id.as_str().into())]);
        let accepter = other.create("aws_vpc_peering_connection_accepter", "acc-1", of_accepter);
        assert_eq!(text(&accepter, "accept_status"), "active");
        for (client, own, theirs) in [(&client, "requester", "accepter"), (&other, "accepter", "requester")] {
            let of_options = of([("vpc_peering_connection_id", connection.id.as_str().into()), (own, side(true))]);
            let options = client.create("aws_vpc_peering_connection_options", "options-1", of_options);
            assert_eq!([own, theirs].map(|name| options.attributes.get(name).cloned().unwrap()), [side(true), Value::NULL]);
        }
        remove(&client, "aws_vpc_peering_connection", &connection.id);
    }

    #[test]
    fn facts() {
        let Some(moto) = Moto::start("facts") else { return };
        let client = moto.connect(REGION, None);
        let vpc = vpc(&client, "vpc-1", "10.7.0.0/16");
        let subnet = subnet(&client, "subnet-1", &vpc.id, "10.7.1.0/24");
        let gateway = client.create_tagged("aws_internet_gateway", "igw-1", of([("vpc_id", vpc.id.as_str().into())]));
        let table = table(&client, "rtb-1", &vpc.id);
        for (op, destination) in [("route-1", "0.0.0.0/0"), ("route-2", "10.9.0.0/16")] {
            let route = of([
                ("route_table_id", table.id.as_str().into()),
                ("destination_cidr_block", destination.into()),
                ("gateway_id", gateway.id.as_str().into()),
            ]);
            client.create("aws_route", op, route);
        }
        let in_it = || of([("vpc", vpc.id.as_str().into())]);
        let names = |client: &Client, vpc: &str| {
            let facts = client.facts(&[("client_names", of([("vpc", vpc.into())]))]).unwrap();
            facts["client_names"].get("names").and_then(Value::as_bool)
        };
        assert_eq!((names(&client, &vpc.id), names(&client, "vpc-0")), (Some(true), Some(false)));
        client.update("aws_vpc", &vpc, &[("enable_dns_hostnames", false.into())]);
        assert_eq!(names(&client, &vpc.id), Some(false));
        let parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";
        let image = of([("parameter", parameter.into())]);
        let questions = [
            ("account", Value::NULL),
            ("zones", Value::NULL),
            ("vpcs", Value::NULL),
            ("client", in_it()),
            ("network", in_it()),
            ("image", image),
        ];
        let facts = client.facts(&questions).unwrap();
        let list = |texts: &[&str]| Value::list(texts.iter().map(|text| Value::from(*text)));
        assert_eq!(facts["account"].get("partition"), Some(&"aws".into()));
        assert_eq!(facts["account"].get("region"), Some(&REGION.into()));
        assert!(facts["zones"].elements().unwrap().any(|zone| zone.as_str() == Some("us-west-2a")));
        let ours = |found: &&Value| found.get("id").and_then(Value::as_str) == Some(&*vpc.id);
        let ranges = facts["vpcs"].elements().unwrap().find(ours).unwrap().get("cidr_blocks").cloned();
        assert_eq!(ranges, Some(list(&["10.7.0.0/16"])));
        assert_eq!(facts["client"].get("destinations"), Some(&list(&["10.9.0.0/16"])));
        assert_eq!(facts["client"].get("account"), vpc.attributes.get("owner_id"));
        assert!(facts["client"].get("route_table_ids").unwrap().elements().unwrap().len() == 2, "{:?}", facts["client"]);
        assert_eq!(facts["network"].get("internet_gateway_id"), Some(&gateway.id.as_str().into()));
        let subnets: Vec<&Value> = facts["network"].get("subnets").unwrap().elements().unwrap().collect();
        assert_eq!(subnets[0].get("id"), Some(&subnet.id.as_str().into()));
        assert_eq!(subnets[0].get("zone"), subnet.attributes.get("availability_zone"));
        assert_eq!(facts["image"].get("user"), Some(&"ec2-user".into()));

        asked_anew(&client, &vpc);

        let error = client.facts(&[("client", of([("vpc", "vpc-0".into())]))]).unwrap_err();
        assert!(error.message.contains("`client`") && error.message.contains("vpc-0"), "{error:?}");
    }

    /// What a workspace made changes no answer to it.
    fn asked_anew(client: &Client, other: &ObjectAnswer) {
        let own = vpc(client, "vpc-2", "10.8.0.0/16");
        let of_connection = of([("vpc_id", other.id.as_str().into()), ("peer_vpc_id", own.id.as_str().into())]);
        let connection = client.create_tagged("aws_vpc_peering_connection", "pcx-1", of_connection);
        let tables = client.facts(&[("client", of([("vpc", other.id.as_str().into())]))]).unwrap();
        let routes = of([
            ("route_table_ids", Value::set(tables["client"].get("route_table_ids").unwrap().elements().unwrap().cloned())),
            ("destination_cidr_block", "10.8.0.0/16".into()),
            ("vpc_peering_connection_id", connection.id.as_str().into()),
        ]);
        client.create("aws_vpc_peering_routes", "routes-1", routes);
        let answers = |workspace: &str| {
            let in_it = || of([("vpc", other.id.as_str().into()), ("workspace", workspace.into())]);
            client.facts(&[("vpcs", of([("workspace", workspace.into())])), ("client", in_it()), ("network", in_it())]).unwrap()
        };
        let (own, others) = (answers("w"), answers("v"));
        let count = |value: &Value| value.elements().unwrap().len();
        assert_eq!(count(&others["vpcs"]) - count(&own["vpcs"]), 2);
        let destinations = |facts: &std::collections::BTreeMap<String, Value>| count(facts["client"].get("destinations").unwrap());
        assert_eq!((destinations(&own), destinations(&others)), (1, 2));
        let subnets = |facts: &std::collections::BTreeMap<String, Value>| count(facts["network"].get("subnets").unwrap());
        assert_eq!((subnets(&own), subnets(&others)), (0, 1));
    }
}
