//! How each kind that a workspace is made of stands in a template.

use cloudtik_model::{Key, ResourceSpec, Value};
use serde_json::{Map, Value as Json, json};

use super::facts::{self, Parameter};
use super::text::{Piece, Written};
use super::writer::{Writer, Wrong, name};
use crate::kinds;
use crate::marks;

/// How an attribute is written.
enum As {
    /// Under this name.
    Same(&'static str),
    /// The same as a text: CloudFormation has some numbers so.
    Text(&'static str),
    /// A JSON text as an object.
    Document(&'static str),
    /// The only element of a list.
    Listed(&'static str),
    /// By something else: a property of its own form, another resource, or a policy of the resource.
    Elsewhere,
}

/// How tags are written. Some types of CloudFormation take none.
enum Tags {
    List,
    Map,
    None,
}

/// A type of CloudFormation.
struct Form {
    ty: &'static str,
    tags: Tags,
    attributes: &'static [(&'static str, As)],
}

const fn form(ty: &'static str, tags: Tags, attributes: &'static [(&'static str, As)]) -> Option<Form> {
    Some(Form { ty, tags, attributes })
}

/// An error, and the attribute that it is about.
pub(super) type Refused = (&'static str, Wrong);

const RULE: &[(&str, As)] = &[
    ("security_group_id", As::Same("GroupId")),
    ("ip_protocol", As::Same("IpProtocol")),
    ("from_port", As::Same("FromPort")),
    ("to_port", As::Same("ToPort")),
    ("cidr_ipv4", As::Same("CidrIp")),
    ("cidr_ipv6", As::Same("CidrIpv6")),
    ("referenced_security_group_id", As::Same("SourceSecurityGroupId")),
    ("prefix_list_id", As::Same("SourcePrefixListId")),
    ("description", As::Same("Description")),
];

const RULE_OUT: &[(&str, As)] = &[
    ("security_group_id", As::Same("GroupId")),
    ("ip_protocol", As::Same("IpProtocol")),
    ("from_port", As::Same("FromPort")),
    ("to_port", As::Same("ToPort")),
    ("cidr_ipv4", As::Same("CidrIp")),
    ("cidr_ipv6", As::Same("CidrIpv6")),
    ("referenced_security_group_id", As::Same("DestinationSecurityGroupId")),
    ("prefix_list_id", As::Same("DestinationPrefixListId")),
    ("description", As::Same("Description")),
];

const DATABASE: &[(&str, As)] = &[
    ("identifier", As::Same("DBInstanceIdentifier")),
    ("engine", As::Same("Engine")),
    ("engine_version", As::Same("EngineVersion")),
    ("instance_class", As::Same("DBInstanceClass")),
    ("allocated_storage", As::Text("AllocatedStorage")),
    ("storage_type", As::Same("StorageType")),
    ("storage_encrypted", As::Same("StorageEncrypted")),
    ("multi_az", As::Same("MultiAZ")),
    ("db_name", As::Same("DBName")),
    ("username", As::Same("MasterUsername")),
    ("password", As::Same("MasterUserPassword")),
    ("port", As::Text("Port")),
    ("db_subnet_group_name", As::Same("DBSubnetGroupName")),
    ("vpc_security_group_ids", As::Same("VPCSecurityGroups")),
    ("publicly_accessible", As::Same("PubliclyAccessible")),
    ("backup_retention_period", As::Same("BackupRetentionPeriod")),
    ("deletion_protection", As::Same("DeletionProtection")),
    ("skip_final_snapshot", As::Elsewhere),
    ("final_snapshot_identifier", As::Elsewhere),
    ("on_destroy", As::Elsewhere),
];

fn form_of(kind: &str) -> Option<Form> {
    match kind {
        kinds::VPC => form(
            "AWS::EC2::VPC",
            Tags::List,
            &[
                ("cidr_block", As::Same("CidrBlock")),
                ("instance_tenancy", As::Same("InstanceTenancy")),
                ("enable_dns_support", As::Same("EnableDnsSupport")),
                ("enable_dns_hostnames", As::Same("EnableDnsHostnames")),
            ],
        ),
        kinds::SUBNET => form(
            "AWS::EC2::Subnet",
            Tags::List,
            &[
                ("vpc_id", As::Same("VpcId")),
                ("cidr_block", As::Elsewhere),
                ("availability_zone", As::Elsewhere),
                ("map_public_ip_on_launch", As::Same("MapPublicIpOnLaunch")),
            ],
        ),
        kinds::INTERNET_GATEWAY => form("AWS::EC2::InternetGateway", Tags::List, &[("vpc_id", As::Elsewhere)]),
        kinds::EIP => form("AWS::EC2::EIP", Tags::List, &[("domain", As::Same("Domain"))]),
        kinds::NAT_GATEWAY => form(
            "AWS::EC2::NatGateway",
            Tags::List,
            &[
                ("subnet_id", As::Same("SubnetId")),
                ("allocation_id", As::Same("AllocationId")),
                ("connectivity_type", As::Same("ConnectivityType")),
            ],
        ),
        kinds::ROUTE_TABLE => form("AWS::EC2::RouteTable", Tags::List, &[("vpc_id", As::Same("VpcId"))]),
        kinds::ROUTE => form(
            "AWS::EC2::Route",
            Tags::None,
            &[
                ("route_table_id", As::Same("RouteTableId")),
                ("destination_cidr_block", As::Same("DestinationCidrBlock")),
                ("gateway_id", As::Same("GatewayId")),
                ("nat_gateway_id", As::Same("NatGatewayId")),
                ("vpc_peering_connection_id", As::Same("VpcPeeringConnectionId")),
            ],
        ),
        kinds::ROUTE_TABLE_ASSOCIATION => form(
            "AWS::EC2::SubnetRouteTableAssociation",
            Tags::None,
            &[("subnet_id", As::Same("SubnetId")), ("route_table_id", As::Same("RouteTableId"))],
        ),
        kinds::VPC_ENDPOINT => form(
            "AWS::EC2::VPCEndpoint",
            Tags::List,
            &[
                ("vpc_id", As::Same("VpcId")),
                ("service_name", As::Same("ServiceName")),
                ("vpc_endpoint_type", As::Same("VpcEndpointType")),
                ("route_table_ids", As::Same("RouteTableIds")),
                ("subnet_ids", As::Same("SubnetIds")),
                ("security_group_ids", As::Same("SecurityGroupIds")),
                ("private_dns_enabled", As::Same("PrivateDnsEnabled")),
            ],
        ),
        kinds::SECURITY_GROUP => form(
            "AWS::EC2::SecurityGroup",
            Tags::List,
            &[("name", As::Same("GroupName")), ("description", As::Same("GroupDescription")), ("vpc_id", As::Same("VpcId"))],
        ),
        kinds::INGRESS_RULE => form("AWS::EC2::SecurityGroupIngress", Tags::None, RULE),
        kinds::EGRESS_RULE => form("AWS::EC2::SecurityGroupEgress", Tags::None, RULE_OUT),
        kinds::PEERING => form(
            "AWS::EC2::VPCPeeringConnection",
            Tags::List,
            &[
                ("vpc_id", As::Same("VpcId")),
                ("peer_vpc_id", As::Same("PeerVpcId")),
                ("peer_owner_id", As::Same("PeerOwnerId")),
                ("peer_region", As::Same("PeerRegion")),
            ],
        ),
        kinds::IAM_ROLE => form(
            "AWS::IAM::Role",
            Tags::List,
            &[
                ("name", As::Same("RoleName")),
                ("assume_role_policy", As::Document("AssumeRolePolicyDocument")),
                ("description", As::Same("Description")),
                ("path", As::Same("Path")),
                ("permissions_boundary", As::Same("PermissionsBoundary")),
                ("max_session_duration", As::Same("MaxSessionDuration")),
            ],
        ),
        kinds::IAM_ROLE_POLICY => form(
            "AWS::IAM::RolePolicy",
            Tags::None,
            &[("name", As::Same("PolicyName")), ("role", As::Same("RoleName")), ("policy", As::Document("PolicyDocument"))],
        ),
        kinds::IAM_INSTANCE_PROFILE => form(
            "AWS::IAM::InstanceProfile",
            Tags::None,
            &[("name", As::Same("InstanceProfileName")), ("path", As::Same("Path")), ("role", As::Listed("Roles"))],
        ),
        kinds::S3_BUCKET => form(
            "AWS::S3::Bucket",
            Tags::List,
            &[
                ("bucket", As::Same("BucketName")),
                ("versioning", As::Elsewhere),
                ("server_side_encryption_configuration", As::Elsewhere),
                ("block_public_access", As::Elsewhere),
                ("on_destroy", As::Elsewhere),
            ],
        ),
        kinds::SSM_PARAMETER => form(
            "AWS::SSM::Parameter",
            Tags::Map,
            &[
                ("name", As::Same("Name")),
                ("type", As::Same("Type")),
                ("value", As::Same("Value")),
                ("description", As::Same("Description")),
                ("tier", As::Same("Tier")),
            ],
        ),
        kinds::DB_SUBNET_GROUP => form(
            "AWS::RDS::DBSubnetGroup",
            Tags::List,
            &[
                ("name", As::Same("DBSubnetGroupName")),
                ("subnet_ids", As::Same("SubnetIds")),
                ("description", As::Same("DBSubnetGroupDescription")),
                // It is that of the subnets.
                ("vpc_id", As::Elsewhere),
            ],
        ),
        kinds::DB_INSTANCE => form("AWS::RDS::DBInstance", Tags::List, DATABASE),
        _ => None,
    }
}

/// What a reference to an attribute of a part becomes.
pub(super) fn attribute(writer: &Writer<'_>, part: &ResourceSpec, attribute: &str) -> Option<Written> {
    let this = name(part);
    let of = |attribute: &str| Some(Written::piece(Piece::Attribute(this.clone(), attribute.to_owned())));
    match (&*part.kind, attribute) {
        (kinds::EIP, "id" | "allocation_id") => of("AllocationId"),
        (kinds::EIP, "public_ip") => of("PublicIp"),
        (kinds::VPC, "cidr_block") => of("CidrBlock"),
        (kinds::SECURITY_GROUP, "id") => of("GroupId"),
        (kinds::PEERING_ACCEPTER, "id") => {
            let connection = writer.referred(part.attributes.get("vpc_peering_connection_id"))?;
            writer.parts.get(connection).map(|connection| Written::known(&name(connection)))
        }
        // CloudFormation does not tell which list of addresses an endpoint has.
        (kinds::VPC_ENDPOINT, "prefix_list_id") => {
            let value = cloudtik_provider_api::reference(&part.address, attribute, cloudtik_model::Type::String);
            Some(Written::parameter(Parameter::text(&format!("{this}PrefixList"), value, false)))
        }
        (kinds::S3_BUCKET, "uri") => {
            Some(Written { pieces: vec![Piece::Text("s3://".to_owned()), Piece::Ref(this)], parameters: Vec::new() })
        }
        (kinds::S3_BUCKET, "region") => Some(Written::known("AWS::Region")),
        (kinds::S3_BUCKET | kinds::IAM_ROLE | kinds::IAM_INSTANCE_PROFILE, "arn") => of("Arn"),
        (kinds::DB_INSTANCE, "address") => of("Endpoint.Address"),
        (kinds::DB_INSTANCE, "port") => of("Endpoint.Port"),
        (kinds::DB_INSTANCE, "username") => Some(Written::piece(Piece::Text(given(part, attribute).as_str()?.to_owned()))),
        (kinds::S3_BUCKET, "bucket")
        | (kinds::IAM_ROLE | kinds::IAM_INSTANCE_PROFILE | kinds::SSM_PARAMETER | kinds::DB_SUBNET_GROUP, "name")
        | (kinds::DB_INSTANCE, "identifier") => Some(Written::known(&this)),
        (kind, "id") if form_of(kind).is_some() => Some(Written::known(&this)),
        _ => None,
    }
}

/// The resources of the template that a part becomes, by name; of some kinds none, since another part takes them in.
pub(super) fn made(writer: &mut Writer<'_>, part: &ResourceSpec) -> Result<Vec<(String, Json)>, Refused> {
    match &*part.kind {
        kinds::PEERING_ACCEPTER | kinds::IAM_ROLE_POLICY_ATTACHMENT => return Ok(Vec::new()),
        kinds::PEERING_ROUTES => return peering_routes(writer, part),
        kinds::EGRESS_RULE if is_inline(part) => return Ok(Vec::new()),
        _ => {}
    }
    let Some(form) = form_of(&part.kind) else {
        let help = "leave it out, or write `deploy = \"native\"`";
        return Err(("", Wrong::new(format!("CloudFormation makes no `{}` here", part.kind), help)));
    };
    let this = name(part);
    let mut properties = properties(writer, part, &form, &this)?;
    let mut more = Vec::new();
    match &*part.kind {
        kinds::SUBNET => {
            let range = subnet_range(writer, part, &this).map_err(|wrong| ("cidr_block", wrong))?;
            let zone = subnet_zone(writer, part, &this).map_err(|wrong| ("availability_zone", wrong))?;
            properties.extend([("CidrBlock".to_owned(), range), ("AvailabilityZone".to_owned(), zone)]);
        }
        kinds::INTERNET_GATEWAY => {
            let network = writer.value("Network", &given(part, "vpc_id")).map_err(|wrong| ("vpc_id", wrong))?;
            let attachment = json!({
                "Type": "AWS::EC2::VPCGatewayAttachment",
                "Properties": { "InternetGatewayId": { "Ref": this }, "VpcId": network },
            });
            more.push((attachment_name(&this), attachment));
        }
        kinds::SECURITY_GROUP => {
            properties.insert("SecurityGroupEgress".to_owned(), inline_rules(writer, part)?);
        }
        kinds::IAM_ROLE => {
            let policies = attached(writer, part)?;
            if !policies.is_empty() {
                properties.insert("ManagedPolicyArns".to_owned(), Json::Array(policies));
            }
        }
        kinds::DB_INSTANCE => {
            properties.insert("CopyTagsToSnapshot".to_owned(), true.into());
        }
        kinds::S3_BUCKET => store(writer, part, &this, &mut properties).map_err(|wrong| ("bucket", wrong))?,
        _ => {}
    }
    let resource = json!({ "Type": form.ty, "Properties": properties });
    Ok(std::iter::once((this, resource)).chain(more).collect())
}

/// The names that must be there before whatever needs a part.
pub(super) fn provides(writer: &Writer<'_>, part: &ResourceSpec) -> Vec<String> {
    let referred = |attribute| {
        let address = writer.referred(part.attributes.get(attribute))?;
        writer.parts.get(address).map(|part| name(part))
    };
    match &*part.kind {
        // A gateway leads somewhere once it is attached.
        kinds::INTERNET_GATEWAY => vec![attachment_name(&name(part))],
        kinds::PEERING_ACCEPTER => referred("vpc_peering_connection_id").into_iter().collect(),
        kinds::IAM_ROLE_POLICY_ATTACHMENT => referred("role").into_iter().collect(),
        kinds::EGRESS_RULE if is_inline(part) => referred("security_group_id").into_iter().collect(),
        kinds::PEERING_ROUTES => tables(part).iter().map(|table| route_name(&name(part), table)).collect(),
        _ => vec![name(part)],
    }
}

fn attachment_name(gateway: &str) -> String {
    format!("{gateway}Attachment")
}

fn given(part: &ResourceSpec, attribute: &str) -> Value {
    part.attributes.get(attribute).cloned().unwrap_or(Value::NULL)
}

/// The properties of the attributes that are written, and of those that are always something.
fn properties(writer: &mut Writer<'_>, part: &ResourceSpec, form: &Form, this: &str) -> Result<Map<String, Json>, Refused> {
    let mut properties = Map::new();
    let written = part.attributes.entries().into_iter().flatten().filter(|(name, value)| &***name != "tags" && !value.is_null());
    for (attribute, _) in written {
        if !form.attributes.iter().any(|(known, _)| *known == &**attribute) {
            let title = format!("CloudFormation has nothing for `{attribute}` of {}", part.kind);
            return Err(("", Wrong::new(title, "leave it out, or write `deploy = \"native\"`")));
        }
    }
    for (attribute, written) in form.attributes {
        let value = given(part, attribute);
        if value.is_null() {
            continue;
        }
        let wrong = |wrong| (*attribute, wrong);
        let (property, json) = match written {
            As::Elsewhere => continue,
            As::Same(property) => (property, writer.value(&format!("{this}{property}"), &value).map_err(wrong)?),
            As::Document(property) => (property, writer.document(&format!("{this}{property}"), &value).map_err(wrong)?),
            As::Listed(property) => (property, Json::Array(vec![writer.value(&format!("{this}{property}"), &value).map_err(wrong)?])),
            As::Text(property) => {
                let json = writer.value(&format!("{this}{property}"), &value).map_err(wrong)?;
                (property, if json.is_number() { json.to_string().into() } else { json })
            }
        };
        properties.insert((*property).to_owned(), json);
    }
    let tags = tags(writer, part, this).map_err(|wrong| ("tags", wrong))?;
    match form.tags {
        Tags::None => {}
        Tags::Map => {
            properties.insert("Tags".to_owned(), Json::Object(tags));
        }
        Tags::List => {
            let tags = tags.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
            properties.insert("Tags".to_owned(), Json::Array(tags));
        }
    }
    Ok(properties)
}

/// The tags with the marks.
fn tags(writer: &mut Writer<'_>, part: &ResourceSpec, this: &str) -> Result<Map<String, Json>, Wrong> {
    let mut all = match writer.value(&format!("{this}Tag"), &given(part, "tags"))? {
        Json::Object(tags) => tags,
        Json::Null => Map::new(),
        _ => {
            return Err(Wrong::new(
                "CloudFormation must know the names of all tags",
                "write them in the spec; their values may come later",
            ));
        }
    };
    all.extend(part.marks.iter().map(|(name, value)| (name.clone(), Json::String(marks::encode(value)))));
    Ok(all)
}

/// The number of the zone of a subnet: `subnet.public[1]` lies in the second.
fn slot(part: &ResourceSpec) -> usize {
    match part.address.key() {
        Some(Key::Index(index)) => usize::try_from(*index).unwrap_or_default(),
        _ => 0,
    }
}

fn subnet_zone(writer: &mut Writer<'_>, part: &ResourceSpec, this: &str) -> Result<Json, Wrong> {
    let zone = given(part, "availability_zone");
    match zone.as_str() {
        Some(name) => Ok(writer.json(facts::zone(slot(part), name))),
        None => writer.value(&format!("{this}AvailabilityZone"), &zone),
    }
}

fn subnet_range(writer: &mut Writer<'_>, part: &ResourceSpec, this: &str) -> Result<Json, Wrong> {
    let range = given(part, "cidr_block");
    let is_public = part.address.segments().last().is_some_and(|last| &*last.name == "public");
    match writer.questions.subnet(&range, this, is_public, slot(part)) {
        Some(written) => Ok(writer.json(written)),
        None => writer.value(&format!("{this}CidrBlock"), &range),
    }
}

/// A rule with a range of addresses stands in its firewall: a firewall without one lets everything out.
fn is_inline(rule: &ResourceSpec) -> bool {
    ["cidr_ipv4", "cidr_ipv6"].iter().any(|range| !given(rule, range).is_null())
}

/// The rules of a firewall that stand in it.
fn inline_rules(writer: &mut Writer<'_>, firewall: &ResourceSpec) -> Result<Json, Refused> {
    let of =
        |writer: &Writer<'_>, rule: &ResourceSpec| writer.referred(rule.attributes.get("security_group_id")) == Some(&firewall.address);
    let rules: Vec<&ResourceSpec> =
        writer.parts.values().copied().filter(|part| &*part.kind == kinds::EGRESS_RULE && is_inline(part)).collect();
    let rules: Vec<&ResourceSpec> = rules.into_iter().filter(|rule| of(writer, rule)).collect();
    if rules.is_empty() {
        // AWS lets everything out of a firewall that says nothing, and nothing has this address.
        return Ok(json!([{ "IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "Nothing else goes out" }]));
    }
    let form = Form { ty: "", tags: Tags::None, attributes: RULE_OUT };
    let mut inline = Vec::new();
    for rule in rules {
        let mut properties = properties(writer, rule, &form, &name(rule))?;
        properties.remove("GroupId");
        inline.push(Json::Object(properties));
    }
    Ok(Json::Array(inline))
}

/// The rights with a name that a role is given.
fn attached(writer: &mut Writer<'_>, role: &ResourceSpec) -> Result<Vec<Json>, Refused> {
    let attachments = writer.parts.values().copied().filter(|part| &*part.kind == kinds::IAM_ROLE_POLICY_ATTACHMENT);
    let attachments: Vec<&ResourceSpec> =
        attachments.filter(|part| writer.referred(part.attributes.get("role")) == Some(&role.address)).collect();
    let policy = |(index, part): (usize, &ResourceSpec)| {
        writer.value(&format!("{}Policy{index}", name(role)), &given(part, "policy_arn")).map_err(|wrong| ("policy_arn", wrong))
    };
    attachments.into_iter().enumerate().map(policy).collect()
}

/// What is said of an object store in forms of its own.
fn store(writer: &mut Writer<'_>, part: &ResourceSpec, this: &str, properties: &mut Map<String, Json>) -> Result<(), Wrong> {
    let block = |attribute: &str, name: &str| {
        let block = given(part, attribute);
        block.elements().and_then(|mut all| all.next()?.get(name).cloned()).filter(|value| !value.is_null())
    };
    if block("versioning", "enabled").and_then(|enabled| enabled.as_bool()) == Some(true) {
        properties.insert("VersioningConfiguration".to_owned(), json!({ "Status": "Enabled" }));
    }
    let encryption = "server_side_encryption_configuration";
    let mut rule = Map::new();
    for (attribute, property) in [("sse_algorithm", "SSEAlgorithm"), ("kms_master_key_id", "KMSMasterKeyID")] {
        if let Some(value) = block(encryption, attribute) {
            rule.insert(property.to_owned(), writer.value(&format!("{this}{property}"), &value)?);
        }
    }
    if !rule.is_empty() {
        let rules = json!([{ "ServerSideEncryptionByDefault": rule }]);
        properties.insert("BucketEncryption".to_owned(), json!({ "ServerSideEncryptionConfiguration": rules }));
    }
    if given(part, "block_public_access").as_bool() != Some(false) {
        let all = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"];
        let all: Map<String, Json> = all.iter().map(|name| ((*name).to_owned(), Json::Bool(true))).collect();
        properties.insert("PublicAccessBlockConfiguration".to_owned(), Json::Object(all));
    }
    Ok(())
}

fn tables(part: &ResourceSpec) -> Vec<Value> {
    part.attributes.get("route_table_ids").and_then(Value::elements).into_iter().flatten().cloned().collect()
}

/// The same route in each of the tables. How many there are may not be known: then CloudFormation makes one for each that it is given.
fn peering_routes(writer: &mut Writer<'_>, part: &ResourceSpec) -> Result<Vec<(String, Json)>, Refused> {
    let this = name(part);
    let value = |writer: &mut Writer<'_>, attribute: &'static str| {
        writer.value(&format!("{this}{attribute}"), &given(part, attribute)).map_err(|wrong| (attribute, wrong))
    };
    let (destination, connection) = (value(writer, "destination_cidr_block")?, value(writer, "vpc_peering_connection_id")?);
    let route = |table: Json| {
        let properties = json!({ "RouteTableId": table, "DestinationCidrBlock": destination, "VpcPeeringConnectionId": connection });
        json!({ "Type": "AWS::EC2::Route", "Properties": properties })
    };
    if let Some(parameter) = writer.questions.client_tables(&given(part, "route_table_ids")) {
        let each = Map::from_iter([(format!("{this}&{{Table}}"), route(json!({ "Ref": "Table" })))]);
        let all = json!(["Table", { "Ref": parameter.name }, each]);
        writer.parameters.insert(parameter.name.clone(), parameter);
        return Ok(vec![(format!("Fn::ForEach::{this}"), all)]);
    }
    let route = |table: &Value| {
        let name = route_name(&this, table);
        let table = writer.value(&name, table).map_err(|wrong| ("route_table_ids", wrong))?;
        Ok((name, route(table)))
    };
    tables(part).iter().map(route).collect()
}

/// The name of the route in a table, as CloudFormation itself would make it of the table's id.
fn route_name(routes: &str, table: &Value) -> String {
    let id = table.as_str().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric);
    format!("{routes}{}", id.collect::<String>())
}
