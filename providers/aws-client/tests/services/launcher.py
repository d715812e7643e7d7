"""Starts moto, without faults of it that the tests of the services would meet.

It writes its port to standard output, and ends when its standard input does.
"""

import logging
import os
import sys
import threading

os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

from moto.core.responses import TYPE_RESPONSE
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociationBackend
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.rds.models import RDSBackend
from moto.s3.responses import S3Response
from werkzeug.serving import make_server


def versioning(self) -> TYPE_RESPONSE:
    """The answer has another root element than AWS's, which no strict client reads."""
    status = self.backend.get_bucket_versioning(self.bucket_name)
    status = f"<Status>{status}</Status>" if status else ""
    text = f'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{status}</VersioningConfiguration>'
    return 200, {"Content-Type": "application/xml"}, text


def with_instance(associate):
    """The instance itself does not tell a profile that it was given later."""

    def associated(self, *arguments, **options):
        association = associate(self, *arguments, **options)
        association.instance.iam_instance_profile = association.iam_instance_profile
        return association

    return associated


def kept(modify):
    """A subnet group would be gone after its change."""

    def modify_db_subnet_group(self, subnet_name, description, subnets):
        group = modify(self, subnet_name, description, subnets)
        self.subnet_groups[subnet_name] = group
        return group

    return modify_db_subnet_group


S3Response.get_bucket_versioning = versioning
RDSBackend.modify_db_subnet_group = kept(RDSBackend.modify_db_subnet_group)
for name in ("associate_iam_instance_profile", "replace_iam_instance_profile_association"):
    setattr(IamInstanceProfileAssociationBackend, name, with_instance(getattr(IamInstanceProfileAssociationBackend, name)))
# Tags of a template would be those that it was made with for ever.
LaunchTemplate.tags = property(lambda self: self.get_tags(), lambda self, tags: None)


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=end_with_parent, daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
