"""Stacks of the API server of the tests, with what moto's own CloudFormation has not: types that it leaves out in silence, change sets that
say what is replaced, events of single resources, and what becomes of a stack whose resources fail.

Resources are made by the same calls to the same server that anybody else would make, as AWS's own handlers do.
"""

import json
import threading


def install_stacks(url):
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from moto.cloudformation import models, parsing
    from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
    from moto.cloudformation.models import Change, ChangeSet, CloudFormationBackend, Event, Stack
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.cloudformation.utils import generate_changeset_id, generate_stack_id

    asked = threading.local()
    services = {}

    def service(name, region):
        if (name, region) not in services:
            options = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={})
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            services[name, region] = boto3.client(name, region_name=region, endpoint_url=url, config=options, **keys)
        return services[name, region]

    class Api:
        def __init__(self, region):
            self.region = region

        def __getattr__(self, name):
            return service(name, self.region)

    class Made:
        """An object of a stack."""

        def __init__(self, physical_id, attributes, resource):
            self.physical_resource_id, self.attributes, self.resource = physical_id, attributes, resource

        def get_cfn_attribute(self, name):
            return self.attributes[name]

        def is_created(self):
            return True

    def pairs(tags):
        return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]

    def tagged(kind, tags):
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": pairs(tags)}]}

    def some(properties, *names):
        return {name: properties[name] for name in names if name in properties}

    def document(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def permission(p, peer):
        one = some(p, "IpProtocol", "FromPort", "ToPort")
        said = some(p, "Description")
        for name, ranges, key in (("CidrIp", "IpRanges", "CidrIp"), ("CidrIpv6", "Ipv6Ranges", "CidrIpv6")):
            if name in p:
                one[ranges] = [{key: p[name], **said}]
        if f"{peer}SecurityGroupId" in p:
            one["UserIdGroupPairs"] = [{"GroupId": p[f"{peer}SecurityGroupId"], **said}]
        if f"{peer}PrefixListId" in p:
            one["PrefixListIds"] = [{"PrefixListId": p[f"{peer}PrefixListId"], **said}]
        return one

    # Of each type: what makes it (id and attributes), and what removes it.

    def vpc(api, p, tags):
        made = api.ec2.create_vpc(**some(p, "CidrBlock", "InstanceTenancy"), **tagged("vpc", tags))["Vpc"]["VpcId"]
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):
            api.ec2.modify_vpc_attribute(VpcId=made, **{name: {"Value": p[name]}})
        return made, {"CidrBlock": p["CidrBlock"]}

    def subnet(api, p, tags):
        given = some(p, "VpcId", "CidrBlock", "AvailabilityZone")
        made = api.ec2.create_subnet(**given, **tagged("subnet", tags))["Subnet"]["SubnetId"]
        if p.get("MapPublicIpOnLaunch"):
            api.ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": True})
        return made, {}

    def internet_gateway(api, p, tags):
        return api.ec2.create_internet_gateway(**tagged("internet-gateway", tags))["InternetGateway"]["InternetGatewayId"], {}

    def attachment(api, p, tags):
        api.ec2.attach_internet_gateway(**p)
        return f"IGW|{p['VpcId']}", {}

    def address(api, p, tags):
        made = api.ec2.allocate_address(Domain=p["Domain"], **tagged("elastic-ip", tags))
        return made["PublicIp"], some(made, "AllocationId", "PublicIp")

    def nat_gateway(api, p, tags):
        given = some(p, "SubnetId", "AllocationId", "ConnectivityType")
        return api.ec2.create_nat_gateway(**given, **tagged("natgateway", tags))["NatGateway"]["NatGatewayId"], {}

    def route_table(api, p, tags):
        return api.ec2.create_route_table(VpcId=p["VpcId"], **tagged("route-table", tags))["RouteTable"]["RouteTableId"], {}

    def route(api, p, tags):
        api.ec2.create_route(**p)
        return f"{p['RouteTableId']}|{p['DestinationCidrBlock']}", {}

    def association(api, p, tags):
        return api.ec2.associate_route_table(**p)["AssociationId"], {}

    def endpoint(api, p, tags):
        given = {key: value for key, value in p.items() if key != "Tags"}
        return api.ec2.create_vpc_endpoint(**given, **tagged("vpc-endpoint", tags))["VpcEndpoint"]["VpcEndpointId"], {}

    def security_group(api, p, tags):
        given = {"GroupName": p["GroupName"], "Description": p["GroupDescription"], "VpcId": p["VpcId"]}
        made = api.ec2.create_security_group(**given, **tagged("security-group", tags))["GroupId"]
        everything = api.ec2.describe_security_groups(GroupIds=[made])["SecurityGroups"][0]["IpPermissionsEgress"]
        api.ec2.revoke_security_group_egress(GroupId=made, IpPermissions=everything)
        for rule in p["SecurityGroupEgress"]:
            api.ec2.authorize_security_group_egress(GroupId=made, IpPermissions=[permission(rule, "Destination")])
        return made, {"GroupId": made}

    def ingress(api, p, tags):
        api.ec2.authorize_security_group_ingress(GroupId=p["GroupId"], IpPermissions=[permission(p, "Source")])
        return document(p), {}

    def egress(api, p, tags):
        api.ec2.authorize_security_group_egress(GroupId=p["GroupId"], IpPermissions=[permission(p, "Destination")])
        return document(p), {}

    def peering(api, p, tags):
        given = some(p, "VpcId", "PeerVpcId", "PeerOwnerId", "PeerRegion")
        made = api.ec2.create_vpc_peering_connection(**given, **tagged("vpc-peering-connection", tags))
        made = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        api.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=made)
        return made, {}

    def role(api, p, tags):
        given = some(p, "RoleName", "Description", "Path", "MaxSessionDuration", "PermissionsBoundary")
        trust = document(p["AssumeRolePolicyDocument"])
        made = api.iam.create_role(AssumeRolePolicyDocument=trust, Tags=pairs(tags), **given)["Role"]
        for policy in p.get("ManagedPolicyArns", []):
            api.iam.attach_role_policy(RoleName=p["RoleName"], PolicyArn=policy)
        return made["RoleName"], {"Arn": made["Arn"]}

    def without_role(api, made):
        for policy in made.resource["Properties"].get("ManagedPolicyArns", []):
            api.iam.detach_role_policy(RoleName=made.physical_resource_id, PolicyArn=policy)
        api.iam.delete_role(RoleName=made.physical_resource_id)

    def role_policy(api, p, tags):
        api.iam.put_role_policy(RoleName=p["RoleName"], PolicyName=p["PolicyName"], PolicyDocument=document(p["PolicyDocument"]))
        return f"{p['PolicyName']}|{p['RoleName']}", {}

    def profile(api, p, tags):
        made = api.iam.create_instance_profile(**some(p, "InstanceProfileName", "Path"))["InstanceProfile"]
        for name in p["Roles"]:
            api.iam.add_role_to_instance_profile(InstanceProfileName=made["InstanceProfileName"], RoleName=name)
        return made["InstanceProfileName"], {"Arn": made["Arn"]}

    def without_profile(api, made):
        name = {"InstanceProfileName": made.physical_resource_id}
        for role_name in made.resource["Properties"]["Roles"]:
            api.iam.remove_role_from_instance_profile(RoleName=role_name, **name)
        api.iam.delete_instance_profile(**name)

    def bucket(api, p, tags):
        name = {"Bucket": p["BucketName"]}
        api.s3.create_bucket(CreateBucketConfiguration={"LocationConstraint": api.region}, **name)
        api.s3.put_bucket_tagging(Tagging={"TagSet": pairs(tags)}, **name)
        block = p["PublicAccessBlockConfiguration"]
        api.s3.put_public_access_block(PublicAccessBlockConfiguration=block, **name)
        if "VersioningConfiguration" in p:
            api.s3.put_bucket_versioning(VersioningConfiguration=p["VersioningConfiguration"], **name)
        rules = p["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        rules = [{"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]} for rule in rules]
        api.s3.put_bucket_encryption(ServerSideEncryptionConfiguration={"Rules": rules}, **name)
        return p["BucketName"], {"Arn": f"arn:aws:s3:::{p['BucketName']}"}

    def parameter(api, p, tags):
        given = some(p, "Name", "Type", "Value", "Description", "Tier")
        api.ssm.put_parameter(**given, Tags=pairs(tags))
        return p["Name"], {}

    def parameter_again(api, made, p, tags):
        api.ssm.put_parameter(**some(p, "Name", "Type", "Value", "Description", "Tier"), Overwrite=True)

    def role_again(api, made, p, tags):
        before, after = (set(q.get("ManagedPolicyArns", [])) for q in (made.resource["Properties"], p))
        for policy in sorted(after - before):
            api.iam.attach_role_policy(RoleName=p["RoleName"], PolicyArn=policy)
        for policy in sorted(before - after):
            api.iam.detach_role_policy(RoleName=p["RoleName"], PolicyArn=policy)

    def role_policy_again(api, made, p, tags):
        role_policy(api, p, tags)

    def subnet_group(api, p, tags):
        given = some(p, "DBSubnetGroupName", "DBSubnetGroupDescription", "SubnetIds")
        made = api.rds.create_db_subnet_group(**given, Tags=pairs(tags))["DBSubnetGroup"]
        return made["DBSubnetGroupName"], {}

    def subnet_group_again(api, made, p, tags):
        api.rds.modify_db_subnet_group(**some(p, "DBSubnetGroupName", "DBSubnetGroupDescription", "SubnetIds"))

    # What CloudFormation calls otherwise than RDS, in a create and in a change.
    created = {"VPCSecurityGroups": "VpcSecurityGroupIds"}
    changed = {**created, "Port": "DBPortNumber"}
    numbers = {"AllocatedStorage", "Port", "BackupRetentionPeriod", "Iops"}

    def of_rds(p, names):
        given = {key: int(value) if key in numbers else value for key, value in p.items() if key != "Tags"}
        return {names.get(key, key): value for key, value in given.items()}

    def database(api, p, tags):
        made = api.rds.create_db_instance(**of_rds(p, created), Tags=pairs(tags))["DBInstance"]
        return made["DBInstanceIdentifier"], {f"Endpoint.{name}": str(made["Endpoint"][name]) for name in ("Address", "Port")}

    def database_again(api, made, p, tags):
        former = made.resource["Properties"]
        differs = {key: value for key, value in p.items() if former.get(key) != value}
        api.rds.modify_db_instance(
            DBInstanceIdentifier=made.physical_resource_id, ApplyImmediately=True, **of_rds(differs, changed)
        )

    def without_database(api, made):
        last = {"SkipFinalSnapshot": True}
        if made.resource.get("DeletionPolicy") == "Snapshot":
            last = {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": f"{made.logical_resource_id.lower()}-snapshot-{made.physical_resource_id}"}
        api.rds.delete_db_instance(DBInstanceIdentifier=made.physical_resource_id, **last)

    def by_id(call, name):
        return lambda api, made: getattr(api.ec2, call)(**{name: made.physical_resource_id})

    def with_properties(call, *names):
        return lambda api, made: getattr(api.ec2, call)(**some(made.resource["Properties"], *names))

    def without_rule(call, peer):
        def revoke(api, made):
            p = made.resource["Properties"]
            getattr(api.ec2, call)(GroupId=p["GroupId"], IpPermissions=[permission(p, peer)])

        return revoke

    types = {
        "EC2::VPC": (vpc, by_id("delete_vpc", "VpcId")),
        "EC2::Subnet": (subnet, by_id("delete_subnet", "SubnetId")),
        "EC2::InternetGateway": (internet_gateway, by_id("delete_internet_gateway", "InternetGatewayId")),
        "EC2::VPCGatewayAttachment": (attachment, with_properties("detach_internet_gateway", "InternetGatewayId", "VpcId")),
        "EC2::EIP": (address, lambda api, made: api.ec2.release_address(AllocationId=made.attributes["AllocationId"])),
        "EC2::NatGateway": (nat_gateway, by_id("delete_nat_gateway", "NatGatewayId")),
        "EC2::RouteTable": (route_table, by_id("delete_route_table", "RouteTableId")),
        "EC2::Route": (route, with_properties("delete_route", "RouteTableId", "DestinationCidrBlock")),
        "EC2::SubnetRouteTableAssociation": (association, by_id("disassociate_route_table", "AssociationId")),
        "EC2::VPCEndpoint": (endpoint, lambda api, made: api.ec2.delete_vpc_endpoints(VpcEndpointIds=[made.physical_resource_id])),
        "EC2::SecurityGroup": (security_group, by_id("delete_security_group", "GroupId")),
        "EC2::SecurityGroupIngress": (ingress, without_rule("revoke_security_group_ingress", "Source")),
        "EC2::SecurityGroupEgress": (egress, without_rule("revoke_security_group_egress", "Destination")),
        "EC2::VPCPeeringConnection": (peering, by_id("delete_vpc_peering_connection", "VpcPeeringConnectionId")),
        "IAM::Role": (role, without_role),
        "IAM::RolePolicy": (
            role_policy,
            lambda api, made: api.iam.delete_role_policy(**some(made.resource["Properties"], "RoleName", "PolicyName")),
        ),
        "IAM::InstanceProfile": (profile, without_profile),
        "S3::Bucket": (bucket, lambda api, made: api.s3.delete_bucket(Bucket=made.physical_resource_id)),
        "RDS::DBSubnetGroup": (
            subnet_group,
            lambda api, made: api.rds.delete_db_subnet_group(DBSubnetGroupName=made.physical_resource_id),
        ),
        "RDS::DBInstance": (database, without_database),
        "SSM::Parameter": (parameter, lambda api, made: api.ssm.delete_parameter(Name=made.physical_resource_id)),
    }
    # What some properties of a type are changed by; a change of any other makes the object anew.
    again = {
        "SSM::Parameter": (parameter_again, {"Value", "Description", "Type", "Tier"}),
        "IAM::Role": (role_again, {"ManagedPolicyArns"}),
        "IAM::RolePolicy": (role_policy_again, {"PolicyDocument"}),
        "RDS::DBSubnetGroup": (subnet_group_again, {"SubnetIds", "DBSubnetGroupDescription"}),
        "RDS::DBInstance": (
            database_again,
            {
                "AllocatedStorage",
                "BackupRetentionPeriod",
                "DBInstanceClass",
                "DeletionProtection",
                "EngineVersion",
                "MasterUserPassword",
                "MultiAZ",
                "Port",
                "StorageType",
                "VPCSecurityGroups",
            },
        ),
    }

    def whole_names(clean):
        """The name of an attribute may have points in it."""

        def clean_json(value, resources):
            if isinstance(value, dict) and len(value.get("Fn::GetAtt", [])) > 2 and isinstance(value["Fn::GetAtt"], list):
                name, *attribute = value["Fn::GetAtt"]
                value = {"Fn::GetAtt": [name, ".".join(attribute)]}
            return clean(value, resources)

        return clean_json

    parsing.clean_json = whole_names(parsing.clean_json)

    def is_retained(resource):
        return resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")

    def names_in(value, found):
        """The names that a part of a template refers to."""
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "Ref":
                    found.add(inner)
                elif key == "Fn::GetAtt":
                    found.add(inner[0])
                elif key == "Fn::Sub":
                    text = inner if isinstance(inner, str) else inner[0]
                    found.update(part.split("}")[0].split(".")[0] for part in text.split("${")[1:])
                    names_in(inner[1:] if isinstance(inner, list) else [], found)
                else:
                    names_in(inner, found)
        elif isinstance(value, list):
            for inner in value:
                names_in(inner, found)
        return found

    def in_order(resources):
        """What is needed comes first."""
        done, order = set(), []

        def visit(name):
            if name in done or name not in resources:
                return
            done.add(name)
            needed = names_in(resources[name].get("Properties", {}), set()) | set(resources[name].get("DependsOn", []))
            for other in sorted(needed):
                visit(other)
            order.append(name)

        for name in sorted(resources):
            visit(name)
        return order

    def event(stack, name, physical_id, kind, status, reason=None):
        stack.events.append(Event(stack.stack_id, stack.name, name, physical_id, kind, status, reason, None))

    def of_stack(stack, status, reason=None):
        stack.status = status
        stack.stack_status_reason = reason
        event(stack, stack.name, stack.stack_id, "AWS::CloudFormation::Stack", status, reason)

    def own_tags(stack, resource):
        tags = resource["Properties"].get("Tags", {})
        given = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
        return {**stack.tags, **given}

    def short(resource):
        return resource["Type"].removeprefix("AWS::")

    def make(stack, name, resource, imports):
        api = Api(stack.region_name)
        if short(resource) not in types:
            return parsing.parse_and_create_resource(name, resource, stack.resource_map, stack.account_id, stack.region_name)
        if imports and short(resource) == "S3::Bucket" and is_retained(resource):
            owned = [bucket["Name"] for bucket in api.s3.list_buckets()["Buckets"]]
            if resource["Properties"]["BucketName"] in owned:
                name = resource["Properties"]["BucketName"]
                return Made(name, {"Arn": f"arn:aws:s3:::{name}"}, resource)
        create, _ = types[short(resource)]
        return Made(*create(api, resource["Properties"], own_tags(stack, resource)), resource)

    def remove(stack, made):
        if isinstance(made, Made):
            types[short(made.resource)][1](Api(stack.region_name), made)
        else:
            stack.resource_map._delete_resource(made, {"Type": made.cf_resource_type, "Properties": {}})

    def attempt(stack, name, kind, word, act):
        """Does something to a resource, with the events of it."""
        try:
            made = act()
        except Exception as error:
            event(stack, name, "", kind, f"{word}_FAILED", str(error))
            raise
        event(stack, name, getattr(made, "physical_resource_id", ""), kind, f"{word}_COMPLETE")
        return made

    def resolved(stack, resource):
        resource = json.loads(json.dumps(resource))
        resource.setdefault("Properties", {})
        return parsing.clean_json(resource, stack.resource_map)

    def take(stack, template, parameters):
        """Gives the stack a template."""
        stack.template, stack.parameters = template, parameters
        stack._parse_template()
        there = stack.resource_map
        there._template, there.input_parameters = stack.template_dict, parameters
        there.load_mapping()
        # What the former template was given is none of this one.
        for name in there.resolved_parameters:
            there._parsed_resources.pop(name, None)
        there.resolved_parameters.clear()
        there.load_parameters()
        there.load_conditions()
        there._resource_json_map = stack.template_dict["Resources"]

    def deploy(stack, change_set):
        """Makes the objects of a stack what the template of a change set says."""
        there = stack.resource_map._parsed_resources
        before = {name: made for name, made in there.items() if hasattr(made, "logical_resource_id")}
        take(stack, change_set.template, change_set.parameters or {})
        if change_set.tags:
            stack.tags = change_set.tags
        stack.capabilities = change_set.capabilities
        wanted = stack.template_dict["Resources"]
        old = [made for name, made in before.items() if name not in wanted]
        for name in in_order(wanted):
            resource = resolved(stack, wanted[name])
            kind, made = resource["Type"], before.get(name)
            if made is None or not isinstance(made, Made):
                if made is not None:
                    remove(stack, made)
                made = attempt(stack, name, kind, "CREATE", lambda: make(stack, name, resource, change_set.imports))
            elif made.resource != resource:
                act, changes = again.get(short(resource), (None, set()))
                differs = {key for key in {*made.resource["Properties"], *resource["Properties"]} if made.resource["Properties"].get(key) != resource["Properties"].get(key)}
                if differs <= {"Tags"}:
                    attempt(stack, name, kind, "UPDATE", lambda: retag(stack, made, resource))
                elif differs <= changes | {"Tags"}:
                    attempt(stack, name, kind, "UPDATE", lambda: act(Api(stack.region_name), made, resource["Properties"], {}))
                else:
                    former = made
                    if short(resource) == "EC2::Route":
                        remove(stack, former)
                    else:
                        old.append(former)
                    made = attempt(stack, name, kind, "UPDATE", lambda: make(stack, name, resource, False))
                made.resource = resource
            made.cf_resource_type, made.logical_resource_id = kind, name
            there[name] = made
        for made in reversed([made for made in old if not is_retained(made.resource)]):
            attempt(stack, made.logical_resource_id, made.cf_resource_type, "DELETE", lambda: remove(stack, made))
        for name in set(before) - set(wanted):
            there.pop(name, None)
        stack.output_map = stack._create_output_map()

    def retag(stack, made, resource):
        if made.resource["Type"].startswith("AWS::EC2::"):
            target = made.attributes.get("AllocationId", made.physical_resource_id)
            service("ec2", stack.region_name).create_tags(Resources=[target], Tags=pairs(own_tags(stack, resource)))
        return made

    def clear(stack, keeps):
        """Removes what a stack has made, what needs others first, but for what is to be kept."""
        there = stack.resource_map._parsed_resources
        resources = stack.template_dict.get("Resources", {})
        for name in reversed(in_order(resources)):
            made = there.get(name)
            if made is None or not hasattr(made, "logical_resource_id"):
                continue
            if not keeps(resources[name]):
                attempt(stack, name, made.cf_resource_type, "DELETE", lambda: remove(stack, made))
            there.pop(name)

    def bare(resource):
        """A policy by itself is no change, and stays what it was."""
        return {key: value for key, value in resource.items() if key not in ("DeletionPolicy", "UpdateReplacePolicy")}

    def differences(stack, change_set):
        old, new = stack.template_dict.get("Resources", {}), change_set.template_dict["Resources"]
        changes = []
        for name in sorted({*old, *new}):
            if name not in old or name not in new:
                changes.append(Change("Add" if name in new else "Remove", name, (new.get(name) or old[name])["Type"]))
            elif bare(old[name]) != bare(new[name]):
                change = Change("Modify", name, new[name]["Type"])
                former, latter = old[name].get("Properties", {}), new[name].get("Properties", {})
                differs = {key for key in {*former, *latter} if former.get(key) != latter.get(key)}
                _, in_place = again.get(change.resource_type.removeprefix("AWS::"), (None, set()))
                change.replacement = "False" if differs <= in_place | {"Tags"} else "True"
                changes.append(change)
        return changes

    def create_change_set(self, stack_name, change_set_name, template, parameters, description, change_set_type, notification_arns=None, tags=None, role_arn=None):
        stack = next((stack for stack in self.stacks.values() if stack_name in (stack.name, stack.stack_id)), None)
        if change_set_type == "UPDATE":
            if stack is None:
                raise ValidationError(stack_name)
            if stack.status.endswith("_IN_PROGRESS") or stack.status in ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED"):
                raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
        elif stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsException(f"Stack [{stack_name}] already exists and cannot be created again with the changeSet [{change_set_name}].")
        elif stack is None:
            stack_id = generate_stack_id(stack_name, self.region_name, self.account_id)
            stack = Stack(stack_id, stack_name, {}, {}, self.account_id, self.region_name, tags={})
            self.stacks[stack_id] = stack
            of_stack(stack, "REVIEW_IN_PROGRESS", "User Initiated")
        if any(known.change_set_name == change_set_name and known.stack_id == stack.stack_id for known in self.change_sets.values()):
            raise AlreadyExistsException(f"ChangeSet {change_set_name} already exists")
        change_set_id = generate_changeset_id(change_set_name, self.region_name, self.account_id)
        made = ChangeSet(change_set_type, change_set_id, change_set_name, stack, template, parameters, description, tags=tags)
        made.changes = differences(stack, made)
        made.imports, made.on_failure, made.capabilities = asked.imports, asked.on_failure, asked.capabilities
        same_inputs = parameters == stack.parameters and (tags or {}) == stack.tags
        if not made.changes and same_inputs:
            made.status, made.execution_status = "FAILED", "UNAVAILABLE"
            made.status_reason = "The submitted information didn't contain changes. Submit different information to create a change set."
        else:
            made.status, made.execution_status = "CREATE_COMPLETE", "AVAILABLE"
        self.change_sets[change_set_id] = made
        return change_set_id, stack.stack_id

    def execute_change_set(self, change_set_name, stack_name=None):
        change_set = self.describe_change_set(change_set_name)
        if change_set.execution_status != "AVAILABLE":
            error = CloudFormationError(f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current execution status of [{change_set.execution_status}]")
            error.code = "InvalidChangeSetStatus"
            raise error
        stack = self.stacks[change_set.stack_id]
        change_set.execution_status = "EXECUTE_COMPLETE"
        creates = change_set.change_set_type == "CREATE"
        word = "CREATE" if creates else "UPDATE"
        before = ChangeSet("UPDATE", "", "", stack, stack.template or "{}", stack.parameters, None, tags=dict(stack.tags)) if not creates else None
        of_stack(stack, f"{word}_IN_PROGRESS", "User Initiated")
        try:
            deploy(stack, change_set)
            of_stack(stack, f"{word}_COMPLETE")
        except Exception as error:
            back(self, stack, change_set, before, str(error))

    def back(self, stack, change_set, before, why):
        """What AWS does with a stack whose resources failed."""
        try:
            if before is None and change_set.on_failure == "DELETE":
                removed(self, stack, lambda resource: resource.get("DeletionPolicy") == "Retain")
            elif before is None:
                of_stack(stack, "ROLLBACK_IN_PROGRESS")
                clear(stack, lambda resource: False)
                of_stack(stack, "ROLLBACK_COMPLETE")
            else:
                before.imports, before.capabilities = False, stack.capabilities
                of_stack(stack, "UPDATE_ROLLBACK_IN_PROGRESS")
                deploy(stack, before)
                of_stack(stack, "UPDATE_ROLLBACK_COMPLETE", why)
        except Exception as error:
            of_stack(stack, "ROLLBACK_FAILED" if before is None else "UPDATE_ROLLBACK_FAILED", str(error))

    def delete_stack(self, name_or_stack_id):
        stack = next((stack for stack in self.stacks.values() if name_or_stack_id in (stack.name, stack.stack_id)), None)
        if stack is not None:
            removed(self, stack, is_retained)

    def removed(self, stack, keeps):
        of_stack(stack, "DELETE_IN_PROGRESS", "User Initiated")
        try:
            clear(stack, keeps)
        except Exception as error:
            return of_stack(stack, "DELETE_FAILED", str(error))
        of_stack(stack, "DELETE_COMPLETE")
        self.deleted_stacks[stack.stack_id] = self.stacks.pop(stack.stack_id)

    def asks(respond):
        def create(self):
            asked.imports = self._get_bool_param("ImportExistingResources", False)
            asked.on_failure = self._get_param("OnStackFailure")
            asked.capabilities = self._get_param("Capabilities", [])
            return respond(self)

        return create

    CloudFormationResponse.create_change_set = asks(CloudFormationResponse.create_change_set)
    CloudFormationResponse._validate_different_update = lambda self, *given: None
    def stack_resources(self):
        """Those that are there: moto would make what is not when it is asked for."""
        return [made for made in self.resource_map._parsed_resources.values() if hasattr(made, "logical_resource_id")]

    Stack.stack_resources = property(stack_resources)
    CloudFormationBackend.create_change_set = create_change_set
    CloudFormationBackend.execute_change_set = execute_change_set
    CloudFormationBackend.delete_stack = delete_stack
    ChangeSet.diff = lambda self: []
