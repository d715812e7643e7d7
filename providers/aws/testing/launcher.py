"""Starts the API server of the tests: moto with what it needs, and without faults that no test of ours is about.

It writes its port to standard output, and ends when its standard input does.
"""

import copy
import logging
import os
import sys
import threading

os.environ.update(
    MOTO_IAM_LOAD_MANAGED_POLICIES="true",
    MOTO_ENABLE_AMI_VALIDATION="true",
    MOTO_ENABLE_KEYPAIR_VALIDATION="true",
    MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION="true",
)

from moto.ec2.models import elastic_ip_addresses
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociationBackend
from moto.ec2.models.instances import Instance
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.route_tables import RouteBackend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnectionBackend
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.utils import random_public_ip
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.rds.models import RDSBackend
from moto.s3.responses import S3Response
from werkzeug.serving import make_server


def without_associations(delete):
    """AWS ends the association of a subnet with the subnet; here it would keep the route table from being deleted."""

    def delete_subnet(self, subnet_id):
        subnet = delete(self, subnet_id)
        for table in self.route_tables.values():
            left = {key: value for key, value in table._associations.items() if value != subnet_id}
            table._associations = left
        return subnet

    return delete_subnet


def without_endpoints(delete):
    """AWS takes a deleted route table out of endpoints; here it would keep the endpoint from being deleted."""

    def delete_route_table(self, route_table_id):
        delete(self, route_table_id)
        for endpoint in self.vpc_end_points.values():
            endpoint.route_table_ids = [key for key in endpoint.route_table_ids or [] if key != route_table_id]

    return delete_route_table


def without_address(delete):
    """AWS frees the address of a deleted NAT gateway; here nothing else could ever have it."""

    def delete_nat_gateway(self, nat_gateway_id):
        gateway = delete(self, nat_gateway_id)
        held = [address.get("allocationId") for address in gateway.address_set]
        for address in self.addresses:
            if address.allocation_id in held:
                address.eni = address.association_id = None
        return gateway

    return delete_nat_gateway


def with_address_freed(terminate):
    """AWS frees the address of a machine that ends; here the machine would have it for ever."""

    def terminated(self, *arguments, **named):
        before = terminate(self, *arguments, **named)
        for address in self.ec2_backend.addresses:
            if address.instance is self:
                address.instance = address.eni = address.association_id = None
        return before

    return terminated


def with_own_filters(value_of):
    """Endpoints are not found by these."""

    def get_filter_value(self, filter_name, method_name=None):
        own = {"vpc-endpoint-id": self.id, "service-name": self.service_name}
        return own[filter_name] if filter_name in own else value_of(self, filter_name, method_name)

    return get_filter_value


def versioning(self):
    """The root of AWS's answer has another name, and clients that read strictly find nothing in this one."""
    status = self.backend.get_bucket_versioning(self.bucket_name)
    inside = f"<Status>{status}</Status>" if status else ""
    root = "VersioningConfiguration"
    return 200, {"Content-Type": "application/xml"}, f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{root}>'


def told_by_instance(associate):
    """An instance does not tell of a profile that it got after its start."""

    def associated(self, *arguments, **named):
        association = associate(self, *arguments, **named)
        association.instance.iam_instance_profile = association.iam_instance_profile
        return association

    return associated


def with_groups_of_card(attach):
    """An instance does not tell of the groups that are given for its network card instead of for itself."""

    def attach_eni(self, eni, device_index):
        attachment = attach(self, eni, device_index)
        if int(device_index) == 0 and not self.security_groups:
            self.security_groups = list(eni._group_set)
        return attachment

    return attach_eni


def whatever_it_says(equals):
    """A rule for a group is another rule when its description is another, so no description of it can be changed."""

    def is_equal(self, other):
        pairs = [rule.source_group for rule in (self, other)]
        bare = [{key: value for key, value in (pair or {}).items() if key != "Description"} for pair in pairs]
        if bare[0] != bare[1]:
            return False
        if pairs[0] == pairs[1]:
            return equals(self, other)
        alike = copy.deepcopy(other)
        alike.source_group = pairs[0]
        return equals(self, alike)

    return is_equal


def kept_subnets(modify):
    """A group of subnets is lost when it is changed."""

    def modify_db_subnet_group(self, subnet_name, description, subnets):
        group = modify(self, subnet_name, description, subnets)
        self.subnet_groups[subnet_name] = group
        return group

    return modify_db_subnet_group


def with_two_ends(create):
    """In AWS the end of a connection in another region or account has tags of its own; here it would have those of who asked."""

    def create_vpc_peering_connection(self, vpc, peer_vpc, tags=None):
        connection = create(self, vpc, peer_vpc, tags)
        there = peer_vpc.ec2_backend
        if there is not self:
            end = copy.copy(connection)
            end.ec2_backend = there
            there.vpc_pcxs[connection.id] = end
        return connection

    return create_vpc_peering_connection


SubnetBackend.delete_subnet = without_associations(SubnetBackend.delete_subnet)
RouteBackend.delete_route_table = without_endpoints(RouteBackend.delete_route_table)
NatGatewayBackend.delete_nat_gateway = without_address(NatGatewayBackend.delete_nat_gateway)
Instance.terminate = with_address_freed(Instance.terminate)
# Addresses that stay would be those of the loopback, where nobody is led to a machine.
elastic_ip_addresses.random_ip = random_public_ip
VPCEndPoint.get_filter_value = with_own_filters(VPCEndPoint.get_filter_value)
S3Response.get_bucket_versioning = versioning
VPCPeeringConnectionBackend.create_vpc_peering_connection = with_two_ends(VPCPeeringConnectionBackend.create_vpc_peering_connection)
Instance.attach_eni = with_groups_of_card(Instance.attach_eni)
RDSBackend.modify_db_subnet_group = kept_subnets(RDSBackend.modify_db_subnet_group)
for name in ("associate_iam_instance_profile", "replace_iam_instance_profile_association"):
    told = told_by_instance(getattr(IamInstanceProfileAssociationBackend, name))
    setattr(IamInstanceProfileAssociationBackend, name, told)
SecurityGroupRule.__eq__ = whatever_it_says(SecurityGroupRule.__eq__)
# A rule for a group keeps its description with the group, and tells none.
SecurityGroupRule.description = property(lambda self: (self.ip_range or self.source_group or {}).get("Description"))
# A template would answer with its first tags for ever.
LaunchTemplate.tags = property(lambda self: self.get_tags(), lambda self, tags: None)


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=end_with_parent, daemon=True).start()
    install_stacks(f"http://127.0.0.1:{server.server_address[1]}")
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
