//! The specs of the tests, one for each mode of a network, and what has to be there before.

use cloudtik_aws_testing::Endpoint;

use super::World;

/// The three forms of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    PublicHead,
    Peered,
    Shared,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::PublicHead, Self::Peered, Self::Shared];

    const fn word(self) -> &'static str {
        match self {
            Self::PublicHead => "public-head",
            Self::Peered => "peered",
            Self::Shared => "shared",
        }
    }

    /// Makes the network of the client, where the mode has one, and writes the spec.
    pub fn prepare(self, world: &World) {
        self.prepare_with(world, "native", 1);
    }

    /// The same with a way to deploy it, and with so many machines.
    pub fn prepare_with(self, world: &World, deploy: &str, machines: usize) {
        let deploy = if deploy == "native" { String::new() } else { format!("  deploy = \"{deploy}\"\n") };
        let count = if machines == 1 { String::new() } else { format!("  count                  = {machines}\n") };
        let client = if self == Self::PublicHead { String::new() } else { client_network(&world.server) };
        let client = if client.is_empty() { client } else { format!("    client_vpc = \"{client}\"\n") };
        let image = image(&world.server);
        let text = format!(
            r#"provider "aws" {{}}

workspace "w" {{
{deploy}  network {{
    mode = "{}"
{client}  }}
  firewall {{
    ssh_from = ["203.0.113.0/24"]
  }}
  storage "default" {{
    on_destroy = "delete"
  }}
}}

resource "aws_instance" "extra" {{
{count}  ami                    = "{image}"
  instance_type          = "m5.large"
  subnet_id              = workspace.w.network.private_subnet_ids[0]
  vpc_security_group_ids = [workspace.w.firewall.id]
}}
"#,
            self.word()
        );
        world.stage.spec(&text);
    }
}

/// A cluster in the workspace of another project. Nothing ever answers at its head's address: how far it comes is what an API can do.
pub fn tenant(world: &World) -> String {
    tenant_behind(world, "")
}

/// The same behind a firewall of its own, which has this in it.
pub fn tenant_with_firewall(world: &World, firewall: &str) -> String {
    tenant_behind(world, &format!("  firewall {{\n{firewall}  }}\n"))
}

fn tenant_behind(world: &World, firewall: &str) -> String {
    let image = image(&world.server);
    format!(
        r#"provider "aws" {{}}

data "workspace" "shared" {{
  name = "w"
}}

cluster "etl" {{
  workspace = data.workspace.shared
{firewall}  head {{
    instance_type = "m5.large"
    image         = "{image}"
    ssh {{
      connect_timeout = "1s"
      ready_timeout   = "2s"
    }}
  }}
}}

output "network" {{
  value = data.workspace.shared.network.cidr
}}
"#
    )
}

/// A head in a workspace with this network and this firewall.
pub fn with_head(world: &World, network: &str, firewall: &str) -> String {
    let image = image(&world.server);
    format!(
        r#"provider "aws" {{}}

workspace "w" {{
  network {{
{network}  }}
  firewall {{
{firewall}  }}
}}

cluster "c" {{
  workspace = workspace.w
  head {{
    instance_type = "m5.large"
    image         = "{image}"
  }}
}}
"#
    )
}

/// A workspace with a rule for these nodes.
pub fn with_rule(to: &str) -> String {
    format!(
        r#"provider "aws" {{}}

workspace "w" {{
  network {{
    nat = "none"
  }}
  firewall {{
    ingress "ui" {{
      ports = ["8080"]
      from  = ["203.0.113.0/24"]
      to    = "{to}"
    }}
  }}
}}
"#
    )
}

/// A workspace whose client is reached through a configuration of its own.
pub fn peered_elsewhere(client: &str, network: &str) -> String {
    format!(
        r#"provider "aws" {{
  default_tags = {{ side = "ours" }}
}}

provider "aws" {{
  alias        = "client"
  default_tags = {{ side = "theirs" }}
{client}}}

workspace "w" {{
  provider = aws
  network {{
    mode            = "peered"
    nat             = "none"
    client_vpc      = "{network}"
    client_provider = aws.client
  }}
}}
"#
    )
}

/// A network as somebody has it who works from inside of AWS: with names, with a way out, and with tables of routes that are not the main one.
pub fn client_network(server: &Endpoint) -> String {
    let made = |action: &str, parameters: &[(&str, &str)], id: &str| server.ec2(action, parameters).unwrap().texts(id).remove(0);
    let network = made("CreateVpc", &[("CidrBlock", "172.20.0.0/16")], "vpcId");
    server.ec2("ModifyVpcAttribute", &[("VpcId", &network), ("EnableDnsHostnames.Value", "true")]).unwrap();
    let gateway = made("CreateInternetGateway", &[], "internetGatewayId");
    server.ec2("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &network)]).unwrap();
    let table = made("CreateRouteTable", &[("VpcId", &network)], "routeTableId");
    let out = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("GatewayId", &gateway)];
    server.ec2("CreateRoute", &out).unwrap();
    for range in ["172.20.0.0/24", "172.20.4.0/22"] {
        let subnet = made("CreateSubnet", &[("VpcId", &network), ("CidrBlock", range)], "subnetId");
        server.ec2("AssociateRouteTable", &[("RouteTableId", &table), ("SubnetId", &subnet)]).unwrap();
    }
    server.ec2("CreateTags", &[("ResourceId.1", &network), ("Tag.1.Key", "Name"), ("Tag.1.Value", "the client's")]).unwrap();
    network
}

/// An image that the server has.
fn image(server: &Endpoint) -> String {
    server.ec2("DescribeImages", &[("Owner.1", "amazon")]).unwrap().texts("imageId").remove(0)
}
