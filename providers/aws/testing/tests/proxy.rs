//! The proxy in front of a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are no test functions to clippy")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use cloudtik_aws_testing::{Account, Config, Effect, Element, Endpoint, Fault, Latency, Moto, Pages, Proxy, Rate, Said, Span, Times};
use serde_json::{Value as Json, json};

/// A server, a proxy in front of it, and a client of each.
struct World {
    moto: Moto,
    proxy: Proxy,
    client: Endpoint,
}

impl World {
    fn new(config: Config) -> Option<Self> {
        let moto = Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let proxy = Proxy::start(moto.address(), config).unwrap();
        let client = Endpoint::new(proxy.address(), "us-west-2");
        Some(Self { moto, proxy, client })
    }

    fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> Element {
        self.client.ec2(action, parameters).unwrap()
    }

    fn code(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let said = self.client.say("ec2", action, parameters).unwrap();
        said.code().unwrap_or_else(|| panic!("{action} was made: {said:?}"))
    }

    fn made(&self, action: &str, parameters: &[(&str, &str)], id: &str) -> String {
        self.ec2(action, parameters).texts(id).remove(0)
    }

    fn network(&self) -> String {
        self.made("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId")
    }

    fn subnet(&self, network: &str) -> String {
        self.made("CreateSubnet", &[("VpcId", network), ("CidrBlock", "10.0.0.0/24")], "subnetId")
    }

    fn machine(&self, more: &[(&str, &str)]) -> String {
        let image = self.moto.endpoint().ec2("DescribeImages", &[("Owner.1", "amazon")]).unwrap().texts("imageId").remove(0);
        let all = [&[("ImageId", image.as_str()), ("InstanceType", "m5.large"), ("MinCount", "1"), ("MaxCount", "1")], more].concat();
        self.made("RunInstances", &all, "instanceId")
    }

    /// Everything that is on its way arrives.
    fn time_passes(&self) {
        self.proxy.configure(|config| {
            let times = &mut config.times;
            let kinds = [&mut times.nat_gateway, &mut times.instance, &mut times.vpc_endpoint, &mut times.peering];
            for span in kinds.into_iter().chain([&mut times.database, &mut times.load_balancer]) {
                *span = Span { create_ms: 0, delete_ms: 0, ..*span };
            }
        });
    }

    /// Waits until a question has an answer.
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < end, "{what}: not within ten seconds");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// States that last longer than any test.
fn long() -> Times {
    let span = Span { create_ms: 600_000, delete_ms: 600_000, shown_ms: 600_000 };
    let short = Span { shown_ms: 0, ..span };
    Times { on: true, nat_gateway: span, instance: span, vpc_endpoint: short, peering: span, database: short, load_balancer: span }
}

fn fault(action: &str, nth: u64, effect: Effect) -> Config {
    let fault =
        Fault { action: action.to_owned(), nth: Some(nth), probability: None, writes_only: false, parameters: BTreeMap::new(), effect };
    Config { faults: vec![fault], ..Config::strict() }
}

#[test]
fn the_server_is_as_tests_need_it() {
    let Some(world) = World::new(Config::default()) else { return };
    let network = world.network();
    let subnet = world.subnet(&network);
    let table = world.made("CreateRouteTable", &[("VpcId", &network)], "routeTableId");
    world.ec2("AssociateRouteTable", &[("RouteTableId", &table), ("SubnetId", &subnet)]);
    let service = [
        ("VpcId", network.as_str()),
        ("ServiceName", "com.amazonaws.us-west-2.s3"),
        ("VpcEndpointType", "Gateway"),
        ("RouteTableId.1", &table),
    ];
    let endpoint = world.made("CreateVpcEndpoint", &service, "vpcEndpointId");
    world.ec2("DeleteSubnet", &[("SubnetId", &subnet)]);
    world.ec2("DeleteRouteTable", &[("RouteTableId", &table)]);
    let deleted = world.ec2("DeleteVpcEndpoints", &[("VpcEndpointId.1", &endpoint)]);
    assert!(deleted.items("unsuccessful").is_empty(), "{deleted:?}");
    world.ec2("DeleteVpc", &[("VpcId", &network)]);
    assert_eq!(
        world.code("RunInstances", &[("ImageId", "ami-0000000000000000f"), ("MinCount", "1"), ("MaxCount", "1")]),
        "InvalidAMIID.NotFound"
    );
}

#[test]
fn requests_are_recorded() {
    let Some(world) = World::new(Config::strict()) else { return };
    let network = world.network();
    world.client.query("iam", "ListRoles", &[]).unwrap();
    world.client.store("PUT", "/a-bucket", &location("")).unwrap();
    world.client.json("ssm", "AmazonSSM.PutParameter", &json!({ "Name": "/a", "Value": "b", "Type": "String" })).unwrap();
    assert_eq!(world.code("DeleteVpc", &[("VpcId", "vpc-00000000")]), "InvalidVpcID.NotFound");
    let requests = world.proxy.requests();
    let actions: Vec<&str> = requests.iter().map(|request| request.action.as_str()).collect();
    assert_eq!(actions, ["ec2:CreateVpc", "iam:ListRoles", "s3:CreateBucket", "ssm:PutParameter", "ec2:DeleteVpc"]);
    assert_eq!(
        (requests[0].status, requests[0].parameters["CidrBlock"].as_str(), requests[0].region.as_str()),
        (200, "10.0.0.0/16", "us-west-2")
    );
    assert_eq!((requests[4].status, requests[4].error.as_deref(), requests[4].committed), (400, Some("InvalidVpcID.NotFound"), false));
    assert_eq!((world.proxy.writes(), world.proxy.counts()["ec2:CreateVpc"]), (3, 1));

    let told = world.client.control("GET", "/_proxy/requests", "").unwrap();
    assert_eq!(serde_json::from_str::<Vec<Json>>(&told.body).unwrap().len(), 5);
    assert_eq!(world.client.control("POST", "/_proxy/reset", "").unwrap().status, 200);
    world.ec2("DeleteVpc", &[("VpcId", &network)]);
    assert_eq!(world.proxy.counts().len(), 1);
    assert_eq!(world.proxy.requests()[0].number, 6);
}

fn location(more: &str) -> String {
    format!("<CreateBucketConfiguration><LocationConstraint>us-west-2</LocationConstraint>{more}</CreateBucketConfiguration>")
}

#[test]
fn a_gateway_takes_its_time() {
    let Some(world) = World::new(Config { times: long(), ..Config::strict() }) else { return };
    let network = world.network();
    let subnet = world.subnet(&network);
    let address = world.made("AllocateAddress", &[("Domain", "vpc")], "allocationId");
    let made = world.ec2("CreateNatGateway", &[("SubnetId", &subnet), ("AllocationId", &address)]);
    assert_eq!(made.texts("state"), ["pending"]);
    let gateway = made.texts("natGatewayId").remove(0);
    let state = || world.ec2("DescribeNatGateways", &[("NatGatewayId.1", &gateway)]).texts("state").pop();
    let pending = [("Filter.1.Name", "state"), ("Filter.1.Value.1", "pending")];
    assert_eq!(world.ec2("DescribeNatGateways", &pending).texts("natGatewayId"), *std::slice::from_ref(&gateway));
    world.time_passes();
    assert_eq!(state().as_deref(), Some("available"));
    assert!(world.ec2("DescribeNatGateways", &pending).texts("natGatewayId").is_empty());

    world.proxy.configure(|config| config.times = long());
    world.ec2("DeleteNatGateway", &[("NatGatewayId", &gateway)]);
    assert_eq!(state().as_deref(), Some("deleting"));
    assert_eq!(world.code("ReleaseAddress", &[("AllocationId", &address)]), "AuthFailure");
    assert_eq!(world.code("DeleteSubnet", &[("SubnetId", &subnet)]), "DependencyViolation");
    world.time_passes();
    assert_eq!(state().as_deref(), Some("deleted"));
    world.ec2("ReleaseAddress", &[("AllocationId", &address)]);
    world.ec2("DeleteSubnet", &[("SubnetId", &subnet)]);
    world.proxy.configure(|config| config.times.nat_gateway.shown_ms = 0);
    assert_eq!(state(), None);
}

#[test]
fn instances_endpoints_and_peerings_take_their_time() {
    let Some(world) = World::new(Config { times: long(), ..Config::strict() }) else { return };
    let (network, image_state) = (world.network(), |id: &str| {
        let found = world.ec2("DescribeInstances", &[("InstanceId.1", id)]);
        found.find("instanceState").map(|state| state.get(&["name"]).to_owned()).unwrap_or_default()
    });
    let machine = world.machine(&[]);
    assert_eq!(image_state(&machine), "pending");
    let running = [("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", "running")];
    assert!(world.ec2("DescribeInstances", &running).texts("instanceId").is_empty());
    world.time_passes();
    assert!(image_state(&machine) == "running", "running");
    assert_eq!(world.ec2("DescribeInstances", &running).texts("instanceId"), *std::slice::from_ref(&machine));
    world.proxy.configure(|config| config.times = long());
    world.ec2("TerminateInstances", &[("InstanceId.1", &machine)]);
    assert_eq!(image_state(&machine), "shutting-down");
    world.time_passes();
    assert!(image_state(&machine) == "terminated", "terminated");

    let service = [("VpcId", network.as_str()), ("ServiceName", "com.amazonaws.us-west-2.s3"), ("VpcEndpointType", "Gateway")];
    world.proxy.configure(|config| config.times = long());
    let endpoint = world.ec2("CreateVpcEndpoint", &service);
    assert_eq!(endpoint.texts("state"), ["pending"]);
    let id = endpoint.texts("vpcEndpointId").remove(0);
    let shown = || world.ec2("DescribeVpcEndpoints", &[("Filter.1.Name", "vpc-endpoint-id"), ("Filter.1.Value.1", &id)]).texts("state");
    world.time_passes();
    assert!(shown() == ["available"], "available");
    world.proxy.configure(|config| config.times = long());
    world.ec2("DeleteVpcEndpoints", &[("VpcEndpointId.1", &id)]);
    assert_eq!(shown(), ["deleting"]);
    world.time_passes();
    assert!(shown().is_empty(), "gone");

    let other = world.made("CreateVpc", &[("CidrBlock", "10.1.0.0/16")], "vpcId");
    world.proxy.configure(|config| config.times = long());
    let peering = world.made("CreateVpcPeeringConnection", &[("VpcId", &network), ("PeerVpcId", &other)], "vpcPeeringConnectionId");
    let code = || {
        let found = world.ec2("DescribeVpcPeeringConnections", &[("VpcPeeringConnectionId.1", &peering)]);
        found.find("status").map(|status| status.get(&["code"]).to_owned()).unwrap_or_default()
    };
    assert_eq!(code(), "initiating-request");
    world.time_passes();
    assert!(code() == "pending-acceptance", "asked");
    world.proxy.configure(|config| config.times = long());
    world.ec2("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)]);
    assert_eq!(code(), "provisioning");
    world.time_passes();
    assert!(code() == "active", "active");
    world.proxy.configure(|config| config.times = long());
    world.ec2("DeleteVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)]);
    assert_eq!(code(), "deleting");
    world.time_passes();
    assert!(code() == "deleted", "deleted");
}

#[test]
fn databases_and_load_balancers_take_their_time() {
    let Some(world) = World::new(Config { times: long(), ..Config::strict() }) else { return };
    let database = [
        ("DBInstanceIdentifier", "d"),
        ("Engine", "postgres"),
        ("DBInstanceClass", "db.t3.micro"),
        ("AllocatedStorage", "20"),
        ("MasterUsername", "u"),
        ("MasterUserPassword", "password"),
    ];
    let made = world.client.query("rds", "CreateDBInstance", &database).unwrap();
    assert_eq!(made.texts("DBInstanceStatus"), ["creating"]);
    let asked = || world.client.say("rds", "DescribeDBInstances", &[("DBInstanceIdentifier", "d")]).unwrap();
    let status = || asked().document().map(|found| found.texts("DBInstanceStatus")).unwrap_or_default();
    world.time_passes();
    assert!(status() == ["available"], "available");
    let delete = [("DBInstanceIdentifier", "d"), ("SkipFinalSnapshot", "true")];
    world.proxy.configure(|config| config.times = long());
    world.client.query("rds", "DeleteDBInstance", &delete).unwrap();
    assert_eq!(status(), ["deleting"]);
    world.time_passes();
    assert!(asked().status == 404, "gone");

    let network = world.network();
    let subnet = world.subnet(&network);
    let balancer = [("Name", "b"), ("Subnets.member.1", subnet.as_str())];
    world.proxy.configure(|config| config.times = long());
    let made = world.client.query("elasticloadbalancing", "CreateLoadBalancer", &balancer).unwrap();
    assert_eq!(made.find("State").unwrap().get(&["Code"]), "provisioning");
    let state = || {
        let found = world.client.query("elasticloadbalancing", "DescribeLoadBalancers", &[]).unwrap();
        found.find("State").unwrap().get(&["Code"]).to_owned()
    };
    world.time_passes();
    assert!(state() == "active", "active");
}

#[test]
fn a_token_is_one_call() {
    let Some(world) = World::new(Config::strict()) else { return };
    let first = world.machine(&[("ClientToken", "t")]);
    assert_eq!(world.machine(&[("ClientToken", "t")]), first);
    assert_ne!(world.machine(&[("ClientToken", "u")]), first);
    let image = world.ec2("DescribeImages", &[("Owner.1", "amazon")]).texts("imageId").remove(0);
    let other = [("ImageId", image.as_str()), ("InstanceType", "m5.xlarge"), ("MinCount", "1"), ("MaxCount", "1"), ("ClientToken", "t")];
    assert_eq!(world.code("RunInstances", &other), "IdempotentParameterMismatch");
    assert_eq!(world.ec2("DescribeInstances", &[]).texts("instanceId").len(), 2);
    world.proxy.configure(|config| config.tokens = false);
    assert_ne!(world.machine(&[("ClientToken", "t")]), first);
}

#[test]
fn what_is_in_use_stays() {
    let Some(world) = World::new(Config::strict()) else { return };
    let network = world.network();
    let subnet = world.subnet(&network);
    let gateway = world.made("CreateInternetGateway", &[], "internetGatewayId");
    let attach = [("InternetGatewayId", gateway.as_str()), ("VpcId", network.as_str())];
    world.ec2("AttachInternetGateway", &attach);
    let second = world.made("CreateInternetGateway", &[], "internetGatewayId");
    let attach_second = [("InternetGatewayId", second.as_str()), ("VpcId", network.as_str())];
    assert_eq!(world.code("AttachInternetGateway", &attach_second), "InvalidParameterValue");
    let firewall =
        |name: &str| world.made("CreateSecurityGroup", &[("GroupName", name), ("GroupDescription", "d"), ("VpcId", &network)], "groupId");
    let (one, two) = (firewall("one"), firewall("two"));
    let rule = [("GroupId", two.as_str()), ("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.Groups.1.GroupId", &one)];
    world.ec2("AuthorizeSecurityGroupIngress", &rule);
    assert_eq!(world.code("DeleteSecurityGroup", &[("GroupId", &one)]), "DependencyViolation");
    world.ec2("RevokeSecurityGroupIngress", &rule);
    let machine = world.machine(&[("SubnetId", &subnet), ("SecurityGroupId.1", &one)]);
    assert_eq!(world.code("DeleteSecurityGroup", &[("GroupId", &one)]), "DependencyViolation");
    assert_eq!(world.code("DeleteSubnet", &[("SubnetId", &subnet)]), "DependencyViolation");
    world.ec2("TerminateInstances", &[("InstanceId.1", &machine)]);
    world.ec2("DeleteSecurityGroup", &[("GroupId", &one)]);

    let address = world.made("AllocateAddress", &[("Domain", "vpc")], "allocationId");
    let nat = world.made("CreateNatGateway", &[("SubnetId", &subnet), ("AllocationId", &address)], "natGatewayId");
    assert_eq!(world.code("DetachInternetGateway", &attach), "DependencyViolation");
    assert_eq!(world.code("ReleaseAddress", &[("AllocationId", &address)]), "AuthFailure");
    world.ec2("DeleteNatGateway", &[("NatGatewayId", &nat)]);
    world.ec2("ReleaseAddress", &[("AllocationId", &address)]);

    for (action, parameters) in [
        ("DeleteSubnet", vec![("SubnetId", subnet.as_str())]),
        ("DetachInternetGateway", attach.to_vec()),
        ("DeleteSecurityGroup", vec![("GroupId", two.as_str())]),
    ] {
        assert_eq!(world.code("DeleteVpc", &[("VpcId", &network)]), "DependencyViolation");
        world.ec2(action, &parameters);
    }
    world.ec2("DeleteVpc", &[("VpcId", &network)]);
}

#[test]
fn reads_lag_behind() {
    let Some(world) = World::new(Config { lag_ms: 600_000, identity_lag_ms: 600_000, ..Config::strict() }) else { return };
    let network = world.network();
    assert_eq!(world.code("DescribeVpcs", &[("VpcId.1", &network)]), "InvalidVpcID.NotFound");
    let by_filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", network.as_str())];
    assert!(world.ec2("DescribeVpcs", &by_filter).texts("vpcId").is_empty());
    let lag = |lag_ms| world.proxy.configure(|config| config.lag_ms = lag_ms);
    lag(0);
    assert_eq!(world.ec2("DescribeVpcs", &by_filter).texts("vpcId"), [network]);
    lag(600_000);
    let profile = [("InstanceProfileName", "p")];
    world.client.query("iam", "CreateInstanceProfile", &profile).unwrap();
    assert_eq!(world.client.say("iam", "GetInstanceProfile", &profile).unwrap().code().as_deref(), Some("NoSuchEntity"));
    lag(0);
    assert_eq!(world.client.say("iam", "GetInstanceProfile", &profile).unwrap().status, 200);
}

#[test]
fn lists_come_in_pages() {
    let Some(world) = World::new(Config::strict()) else { return };
    for i in 0..7 {
        world.ec2("CreateVpc", &[("CidrBlock", &format!("10.{i}.0.0/16"))]);
    }
    let pages = |size: &[(&str, &str)]| {
        let (mut ids, mut token, mut count) = (Vec::new(), None::<String>, 0);
        loop {
            let place: Vec<(&str, &str)> = token.iter().map(|token| ("NextToken", token.as_str())).collect();
            let page = world.ec2("DescribeVpcs", &[size, &place].concat());
            ids.extend(page.items("vpcSet").iter().map(|item| item.get(&["vpcId"]).to_owned()));
            count += 1;
            match page.text_at(&["nextToken"]) {
                Some(next) => token = Some(next.to_owned()),
                None => return (ids, count),
            }
        }
    };
    let (all, once) = pages(&[]);
    assert_eq!((all.len(), once), (8, 1));
    assert_eq!(pages(&[("MaxResults", "5")]), (all.clone(), 2));
    world.proxy.configure(|config| config.pages.size_max = Some(3));
    assert_eq!(pages(&[("MaxResults", "5")]), (all.clone(), 3));
    assert_eq!(pages(&[]), (all, 3));

    world.client.store("PUT", "/paged", &location("")).unwrap();
    for key in ["a", "b", "c", "d"] {
        world.client.store("PUT", &format!("/paged/{key}"), "x").unwrap();
    }
    let list = world.client.store("GET", "/paged?list-type=2", "").unwrap().document().unwrap();
    assert_eq!((list.texts("Key").len(), list.get(&["IsTruncated"])), (3, "true"));
}

#[test]
fn too_many_calls_are_refused() {
    let rates = [("ec2:DescribeVpcs".to_owned(), Rate { capacity: 2.0, per_second: 0.0 })].into();
    let Some(world) = World::new(Config { rates, ..Config::default() }) else { return };
    let status = || world.client.say("ec2", "DescribeVpcs", &[]).unwrap().status;
    assert_eq!((status(), status(), status()), (200, 200, 503));
    assert_eq!(world.code("DescribeVpcs", &[]), "RequestLimitExceeded");
    world.ec2("DescribeSubnets", &[]);
}

#[test]
fn calls_take_their_time() {
    let latency = Latency { actions: [("ec2:DescribeVpcs".to_owned(), (300, 300))].into(), ..Latency::default() };
    let Some(world) = World::new(Config { latency, ..Config::default() }) else { return };
    let began = Instant::now();
    world.ec2("DescribeVpcs", &[]);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(world.proxy.requests()[0].duration_ms >= 300);
}

#[test]
fn answers_and_requests_are_lost() {
    let Some(world) = World::new(fault("ec2:CreateVpc", 2, Effect::LoseAnswer)) else { return };
    let networks = || world.moto.endpoint().ec2("DescribeVpcs", &[]).unwrap().items("vpcSet").len();
    let create = || world.client.say("ec2", "CreateVpc", &[("CidrBlock", "10.0.0.0/16")]);
    let before = networks();
    create().unwrap();
    assert_eq!(create().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(networks(), before + 2);
    assert!(world.proxy.requests()[1].lost && world.proxy.requests()[1].committed);

    world.proxy.configure(|config| *config = fault("ec2:Create*", 1, Effect::LoseRequest));
    create().unwrap_err();
    assert_eq!(networks(), before + 2);
    world.proxy.configure(|config| *config = fault("*", 1, Effect::InternalError));
    assert_eq!(create().unwrap().status, 500);
    assert_eq!(networks(), before + 2);
    world.proxy.configure(|config| *config = fault("ec2:CreateVpc", 1, Effect::InternalErrorAfter));
    assert_eq!(create().unwrap().status, 500);
    assert_eq!(networks(), before + 3);
    let refuse = Effect::Refuse { status: 400, code: "VpcLimitExceeded".to_owned(), message: "no more".to_owned() };
    world.proxy.configure(|config| *config = fault("ec2:CreateVpc", 1, refuse));
    assert_eq!(world.code("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]), "VpcLimitExceeded");
}

#[test]
fn everything_stops_where_it_shall() {
    let Some(world) = World::new(Config::strict()) else { return };
    let networks = || world.moto.endpoint().ec2("DescribeVpcs", &[]).unwrap().items("vpcSet").len();
    let before = networks();
    assert_eq!(world.client.control("POST", "/_proxy/hold", r#"{"after":2}"#).unwrap().status, 200);
    world.network();
    assert!(!world.proxy.held().held);
    std::thread::scope(|scope| {
        let second: std::thread::ScopedJoinHandle<'_, io::Result<Said>> =
            scope.spawn(|| world.client.say("ec2", "CreateVpc", &[("CidrBlock", "10.0.0.0/16")]));
        world.until("held", || world.proxy.held().held);
        let held: Json = serde_json::from_str(&world.client.control("GET", "/_proxy/held", "").unwrap().body).unwrap();
        assert_eq!((held["action"].as_str(), held["number"].as_u64()), (Some("ec2:CreateVpc"), Some(2)));
        let third = scope.spawn(|| world.client.say("ec2", "CreateVpc", &[("CidrBlock", "10.0.0.0/16")]));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(networks(), before + 2);
        assert!(!second.is_finished() && !third.is_finished());
        world.proxy.release();
        assert_eq!((second.join().unwrap().unwrap().status, third.join().unwrap().unwrap().status), (200, 200));
    });
    assert_eq!(networks(), before + 3);
}

#[test]
fn what_a_dead_client_wanted_is_not_done_later() {
    let Some(world) = World::new(Config::strict()) else { return };
    let networks = || world.moto.endpoint().ec2("DescribeVpcs", &[]).unwrap().items("vpcSet").len();
    let before = networks();
    world.proxy.hold_after(1);
    let connect = || std::net::TcpStream::connect(world.proxy.address()).unwrap();
    let ask = |stream: &mut std::net::TcpStream| {
        let body = "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16";
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\nauthorization: AWS4-HMAC-SHA256 \
                    Credential=test/20260101/us-west-2/ec2/aws4_request\r\n";
        io::Write::write_all(stream, format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    };
    let (mut first, mut second) = (connect(), connect());
    ask(&mut first);
    world.until("held", || world.proxy.held().held);
    ask(&mut second);
    world.until("both", || world.proxy.requests().len() == 2);
    drop((first, second));
    std::thread::sleep(Duration::from_millis(100));
    world.proxy.release();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(networks(), before + 1);
}

#[test]
fn gaps_are_filled() {
    let Some(world) = World::new(Config::strict()) else { return };
    let tags = "<Tags><Tag><Key>k</Key><Value>v</Value></Tag></Tags>";
    assert_eq!(world.client.store("PUT", "/tagged", &location(tags)).unwrap().status, 200);
    assert_eq!(world.client.store("GET", "/tagged?tagging", "").unwrap().document().unwrap().texts("Value"), ["v"]);
    world.ec2("CreatePlacementGroup", &[("GroupName", "g"), ("Strategy", "cluster")]);
    let machine = world.machine(&[("Placement.GroupName", "g")]);
    assert_eq!(world.code("DeletePlacementGroup", &[("GroupName", "g")]), "InvalidPlacementGroup.InUse");
    world.ec2("TerminateInstances", &[("InstanceId.1", &machine)]);
    world.ec2("DeletePlacementGroup", &[("GroupName", "g")]);
    assert_eq!(world.code("CreateVpc", &[("CidrBlock", "10.9.0.0/16"), ("DryRun", "true")]), "DryRunOperation");
}

#[test]
fn pages_of_one_are_whole() {
    let Some(world) = World::new(Config { pages: Pages { on: true, size_max: Some(1) }, ..Config::strict() }) else { return };
    for name in ["a", "b"] {
        let role = [("RoleName", name), ("AssumeRolePolicyDocument", r#"{"Version":"2012-10-17","Statement":[]}"#)];
        world.client.query("iam", "CreateRole", &role).unwrap();
    }
    let through = Account::new(world.client.clone()).snapshot().unwrap();
    let roles = through.iter().filter(|line| line.starts_with("role ")).count();
    assert_eq!(roles, 2, "{through:#?}");
}

/// The proxy as a program: it says where it listens, and takes its switches from a file.
#[test]
fn it_is_a_program_too() {
    let Some(moto) = Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-proxy-switches.json");
    std::fs::write(&file, r#"{ "rates": { "ec2:DescribeVpcs": { "capacity": 1.0, "per_second": 0.0 } } }"#).unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_aws-proxy"))
        .args([moto.address().to_string(), "127.0.0.1:0".to_owned(), file.display().to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(program.stdout.take().unwrap()), &mut url).unwrap();
    let client = Endpoint::new(url.trim().strip_prefix("http://").unwrap().parse().unwrap(), "us-west-2");
    let status = || client.say("ec2", "DescribeVpcs", &[]).unwrap().status;
    assert_eq!((status(), status()), (200, 503));
    program.kill().unwrap();
    program.wait().unwrap();
}
