//! Workspaces on AWS whose client is in another region, or in another account, which is reached as a role of it: both sides are made, are
//! mended, and go, each through its own configuration; and both are as they were. `tests/aws_workspace.rs` has all else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod aws;
mod support;

use std::collections::BTreeSet;

use aws::{APPLY, DESTROY, ELSEWHERE, REGION, World, specs, written};
use cloudtik_aws_testing::{Config, Endpoint, Request};

/// Another account.
const OTHER_ACCOUNT: &str = "210987654321";

#[test]
fn the_client_is_in_another_region() {
    let Some(world) = World::new(Config::quick()) else { return };
    let (server, client) = (world.server.region(ELSEWHERE), world.client.region(ELSEWHERE));
    let configuration = format!("  region = \"{ELSEWHERE}\"\n");
    let mut case = Case { world, server, client, configuration };
    let before = case.comes_and_is_mended(ELSEWHERE);
    case.world.expect(0, &DESTROY);
    case.world.is_as(&before, "destroyed");
}

/// Whoever takes a workspace out of a spec takes the configurations with it: what was made is removed through those that the state keeps.
#[test]
fn the_client_is_in_another_account() {
    let Some(world) = World::new(Config::quick()) else { return };
    let role = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/network");
    let key = key_of_role(&world.server, &role);
    let (server, client) = (world.server.key(&key), world.client.key(&key));
    let configuration = format!(
        "  allowed_account_ids = [\"{OTHER_ACCOUNT}\"]\n  assume_role {{\n    role_arn = \"{role}\"\n    duration = \"20m\"\n  }}\n"
    );
    let mut case = Case { world, server, client, configuration };
    let before = case.comes_and_is_mended(REGION);

    let allowed = case.configuration.replace(&format!("[\"{OTHER_ACCOUNT}\"]"), "[\"123456789012\"]");
    case.world.stage.spec(&specs::peered_elsewhere(&allowed, &case.network()));
    let refused = ["aws.client", &format!("belong to the account {OTHER_ACCOUNT}, which `allowed_account_ids` has not")];
    case.world.stage.fails(1, &["plan"], &refused);

    case.world.stage.spec("provider \"aws\" {}\n");
    let (ran, _) = case.world.expect(0, &APPLY);
    assert!(ran.stdout.contains("the spec configures no `aws.client`"), "{}", ran.stdout);
    case.world.is_as(&before, "taken out of the spec");
}

/// A workspace and the network of its client, which is elsewhere.
struct Case {
    world: World,
    /// Where the client is, as the server itself knows it.
    server: Endpoint,
    /// The same, as clients see it.
    client: Endpoint,
    /// What the configuration says that leads there.
    configuration: String,
}

impl Case {
    /// Makes it, changes it on the side of the client, and has it mended. Gives what there was before.
    fn comes_and_is_mended(&mut self, region: &str) -> BTreeSet<String> {
        self.world.looks_at(&self.server.clone());
        let network = specs::client_network(&self.server);
        self.world.stage.spec(&specs::peered_elsewhere(&self.configuration, &network));
        let before = self.world.snapshot();
        self.world.expect(0, &APPLY);
        self.world.is_settled();
        let whole = self.world.came(&before);
        let (asked, accepted) = (self.tags(&self.client), self.tags(&self.world.client));
        assert!(asked.contains(&"theirs".to_owned()) && !asked.contains(&"ours".to_owned()), "{asked:?}");
        assert!(accepted.contains(&"ours".to_owned()) && !accepted.contains(&"theirs".to_owned()), "{accepted:?}");

        self.forget_the_way(&network);
        assert_eq!(self.world.planned(), BTreeSet::from(["workspace.w.peering_routes".to_owned()]));
        let (_, calls) = self.world.expect(0, &APPLY);
        assert_eq!(written(&calls), ["ec2:CreateRoute"]);
        assert_eq!(calls.iter().find(|call| Request::is_committed_write(call)).unwrap().region, region);
        self.world.is_settled();

        for (side, end, region) in [("Requester", &self.client, region), ("Accepter", &self.world.client, REGION)] {
            self.turn_names_off(end, side);
            let address = format!("workspace.w.vpc_peering_connection_options.{}", side.to_lowercase());
            assert_eq!(self.world.planned(), BTreeSet::from([address]));
            let (_, calls) = self.world.expect(0, &APPLY);
            assert_eq!(written(&calls), ["ec2:ModifyVpcPeeringConnectionOptions"]);
            assert_eq!(calls.iter().find(|call| Request::is_committed_write(call)).unwrap().region, region);
            self.world.is_settled();
        }
        assert_eq!(self.world.came(&before), whole, "something came or went");
        before
    }

    /// The values of the tags that the connection has, as one end sees it.
    fn tags(&self, end: &Endpoint) -> Vec<String> {
        let connection = self.world.id("workspace.w.vpc_peering_connection");
        end.ec2("DescribeVpcPeeringConnections", &[("VpcPeeringConnectionId.1", &connection)]).unwrap().texts("value")
    }

    /// The network of the client.
    fn network(&self) -> String {
        let connection = self.world.id("workspace.w.vpc_peering_connection");
        let seen = self.client.ec2("DescribeVpcPeeringConnections", &[("VpcPeeringConnectionId.1", &connection)]).unwrap();
        seen.find("requesterVpcInfo").unwrap().get(&["vpcId"]).to_owned()
    }

    /// Lets names of one side lead to public addresses from the other one.
    fn turn_names_off(&self, end: &Endpoint, side: &str) {
        let connection = self.world.id("workspace.w.vpc_peering_connection");
        let option = format!("{side}PeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc");
        end.ec2("ModifyVpcPeeringConnectionOptions", &[("VpcPeeringConnectionId", &connection), (&option, "false")]).unwrap();
    }

    /// Deletes the route to the workspace from a table of the client.
    fn forget_the_way(&self, network: &str) {
        let range =
            self.world.client.ec2("DescribeVpcs", &[("VpcId.1", &self.world.id("workspace.w.network"))]).unwrap().texts("cidrBlock");
        let tables = self.client.ec2("DescribeRouteTables", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", network)]).unwrap();
        let table = tables.texts("routeTableId").remove(0);
        self.client.ec2("DeleteRoute", &[("RouteTableId", &table), ("DestinationCidrBlock", &range[0])]).unwrap();
    }
}

/// A key of a session of a role.
fn key_of_role(server: &Endpoint, role: &str) -> String {
    let session = server.query("sts", "AssumeRole", &[("RoleArn", role), ("RoleSessionName", "test")]).unwrap();
    session.texts("AccessKeyId").remove(0)
}
