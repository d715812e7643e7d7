//! A look at everything that is in an account, and a way back to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are no test functions to clippy")]

use std::path::Path;

use cloudtik_aws_testing::{Account, Endpoint, Moto};
use serde_json::json;

fn made(client: &Endpoint, action: &str, parameters: &[(&str, &str)], id: &str) -> String {
    client.ec2(action, parameters).unwrap().texts(id).remove(0)
}

const TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

const RIGHTS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}]}"#;

#[test]
fn what_is_made_shows_and_what_is_removed_does_not() {
    let Some(moto) = Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let client = moto.endpoint();
    let account = Account::new(client.clone()).and_region("us-east-1");
    let before = account.snapshot().unwrap();
    assert!(before.iter().any(|line| line.starts_with("us-east-1 vpc ")), "{before:#?}");

    let network = made(&client, "CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId");
    let subnet = made(&client, "CreateSubnet", &[("VpcId", &network), ("CidrBlock", "10.0.0.0/24")], "subnetId");
    let address = made(&client, "AllocateAddress", &[("Domain", "vpc")], "allocationId");
    let gateway = made(&client, "CreateNatGateway", &[("SubnetId", &subnet), ("AllocationId", &address)], "natGatewayId");
    let table = made(&client, "CreateRouteTable", &[("VpcId", &network)], "routeTableId");
    let to = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("NatGatewayId", &gateway)];
    client.ec2("CreateRoute", &to).unwrap();
    let service = [
        ("VpcId", network.as_str()),
        ("ServiceName", "com.amazonaws.us-west-2.s3"),
        ("VpcEndpointType", "Gateway"),
        ("RouteTableId.1", &table),
    ];
    let endpoint = made(&client, "CreateVpcEndpoint", &service, "vpcEndpointId");
    let image = client.ec2("DescribeImages", &[("Owner.1", "amazon")]).unwrap().texts("imageId").remove(0);
    let launch = [("ImageId", image.as_str()), ("InstanceType", "m5.large"), ("MinCount", "1"), ("MaxCount", "1"), ("SubnetId", &subnet)];
    let machine = made(&client, "RunInstances", &launch, "instanceId");
    client.query("iam", "CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)]).unwrap();
    client.query("iam", "PutRolePolicy", &[("RoleName", "r"), ("PolicyName", "p"), ("PolicyDocument", RIGHTS)]).unwrap();
    client.query("iam", "CreateInstanceProfile", &[("InstanceProfileName", "i")]).unwrap();
    let location = "<CreateBucketConfiguration><LocationConstraint>us-west-2</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(client.store("PUT", "/bucket-of-a-test", location).unwrap().status, 200);
    assert_eq!(client.store("PUT", "/bucket-of-a-test/key", "text").unwrap().status, 200);
    client.json("ssm", "AmazonSSM.PutParameter", &json!({ "Name": "/a/b", "Value": "v", "Type": "String" })).unwrap();
    client.ec2("CreateTags", &[("ResourceId.1", &subnet), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")]).unwrap();

    let difference = Account::difference(&before, &account.snapshot().unwrap());
    for part in ["vpc ", "subnet ", "address ", "nat-gateway ", "route-table ", "vpc-endpoint ", "instance ", "volume ", "security-group "]
    {
        let begin = format!("+ us-west-2 {part}");
        assert!(difference.iter().any(|line| line.starts_with(&begin)), "no {part}in {difference:#?}");
    }
    for part in ["role ", "role-policy r p", "instance-profile ", "bucket bucket-of-a-test", "object bucket-of-a-test/key"] {
        let begin = format!("+ {part}");
        assert!(difference.iter().any(|line| line.starts_with(&begin)), "no {part} in {difference:#?}");
    }
    for part in ["parameter /a/b \"v\"", "tagSet(k=v)", "natGatewayId="] {
        assert!(difference.iter().any(|line| line.contains(part)), "no {part} in {difference:#?}");
    }
    assert!(difference.iter().all(|line| line.starts_with('+')), "{difference:#?}");

    client.ec2("TerminateInstances", &[("InstanceId.1", &machine)]).unwrap();
    client.ec2("DeleteVpcEndpoints", &[("VpcEndpointId.1", &endpoint)]).unwrap();
    client.ec2("DeleteRouteTable", &[("RouteTableId", &table)]).unwrap();
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &gateway)]).unwrap();
    client.ec2("ReleaseAddress", &[("AllocationId", &address)]).unwrap();
    client.ec2("DeleteSubnet", &[("SubnetId", &subnet)]).unwrap();
    client.ec2("DeleteVpc", &[("VpcId", &network)]).unwrap();
    client.query("iam", "DeleteInstanceProfile", &[("InstanceProfileName", "i")]).unwrap();
    client.query("iam", "DeleteRolePolicy", &[("RoleName", "r"), ("PolicyName", "p")]).unwrap();
    client.query("iam", "DeleteRole", &[("RoleName", "r")]).unwrap();
    client.store("DELETE", "/bucket-of-a-test/key", "").unwrap();
    assert_eq!(client.store("DELETE", "/bucket-of-a-test", "").unwrap().status, 204);
    client.json("ssm", "AmazonSSM.DeleteParameter", &json!({ "Name": "/a/b" })).unwrap();
    assert_eq!(Account::difference(&before, &account.snapshot().unwrap()), Vec::<String>::new());
}
