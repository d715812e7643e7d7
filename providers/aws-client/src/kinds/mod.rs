//! The kinds, one file for each family.

mod cloudformation_stack;
mod db_instance;
mod db_subnet_group;
mod ebs_volume;
mod ec2;
mod eip;
mod elb;
mod iam;
mod iam_instance_profile;
mod iam_policy;
mod iam_role;
mod iam_role_policy;
mod iam_role_policy_attachment;
mod instance;
mod internet_gateway;
mod key_pair;
mod launch_template;
mod lb;
mod lb_listener;
mod lb_target_group;
mod made;
mod nat_gateway;
mod peering;
mod peering_routes;
mod placement_group;
mod rds;
mod route;
mod route_table;
mod route_table_association;
mod s3_bucket;
mod security_group;
mod security_group_rule;
mod ssm_parameter;
mod subnet;
mod volume_attachment;
mod vpc;
mod vpc_endpoint;

use cloudtik_aws::kinds;
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass};

use crate::aws::Aws;
use crate::kind::answer;

pub(crate) use instance::Instance;
pub(crate) use route_table::tables as route_tables;

/// Makes a call by the functions of its kind.
pub(crate) async fn dispatch(aws: &Aws, call: &Call) -> Answer {
    match &*call.kind {
        kinds::CLOUDFORMATION_STACK => answer::<cloudformation_stack::CloudformationStack>(aws, &call.verb).await,
        kinds::DB_INSTANCE => answer::<db_instance::DbInstance>(aws, &call.verb).await,
        kinds::DB_SUBNET_GROUP => answer::<db_subnet_group::DbSubnetGroup>(aws, &call.verb).await,
        kinds::EBS_VOLUME => answer::<ebs_volume::EbsVolume>(aws, &call.verb).await,
        kinds::EGRESS_RULE => answer::<security_group_rule::EgressRule>(aws, &call.verb).await,
        kinds::EIP => answer::<eip::Eip>(aws, &call.verb).await,
        kinds::IAM_INSTANCE_PROFILE => answer::<iam_instance_profile::IamInstanceProfile>(aws, &call.verb).await,
        kinds::IAM_POLICY => answer::<iam_policy::IamPolicy>(aws, &call.verb).await,
        kinds::IAM_ROLE => answer::<iam_role::IamRole>(aws, &call.verb).await,
        kinds::IAM_ROLE_POLICY => answer::<iam_role_policy::IamRolePolicy>(aws, &call.verb).await,
        kinds::IAM_ROLE_POLICY_ATTACHMENT => answer::<iam_role_policy_attachment::IamRolePolicyAttachment>(aws, &call.verb).await,
        kinds::INGRESS_RULE => answer::<security_group_rule::IngressRule>(aws, &call.verb).await,
        kinds::INSTANCE => answer::<instance::Instance>(aws, &call.verb).await,
        kinds::INTERNET_GATEWAY => answer::<internet_gateway::InternetGateway>(aws, &call.verb).await,
        kinds::KEY_PAIR => answer::<key_pair::KeyPair>(aws, &call.verb).await,
        kinds::LAUNCH_TEMPLATE => answer::<launch_template::LaunchTemplate>(aws, &call.verb).await,
        kinds::LB => answer::<lb::Lb>(aws, &call.verb).await,
        kinds::LB_LISTENER => answer::<lb_listener::LbListener>(aws, &call.verb).await,
        kinds::LB_TARGET_GROUP => answer::<lb_target_group::LbTargetGroup>(aws, &call.verb).await,
        kinds::NAT_GATEWAY => answer::<nat_gateway::NatGateway>(aws, &call.verb).await,
        kinds::PEERING => answer::<peering::Connection>(aws, &call.verb).await,
        kinds::PEERING_ACCEPTER => answer::<peering::Accepter>(aws, &call.verb).await,
        kinds::PEERING_ROUTES => answer::<peering_routes::PeeringRoutes>(aws, &call.verb).await,
        kinds::PLACEMENT_GROUP => answer::<placement_group::PlacementGroup>(aws, &call.verb).await,
        kinds::ROUTE => answer::<route::Route>(aws, &call.verb).await,
        kinds::ROUTE_TABLE => answer::<route_table::RouteTable>(aws, &call.verb).await,
        kinds::ROUTE_TABLE_ASSOCIATION => answer::<route_table_association::RouteTableAssociation>(aws, &call.verb).await,
        kinds::S3_BUCKET => answer::<s3_bucket::S3Bucket>(aws, &call.verb).await,
        kinds::SECURITY_GROUP => answer::<security_group::SecurityGroup>(aws, &call.verb).await,
        kinds::SSM_PARAMETER => answer::<ssm_parameter::SsmParameter>(aws, &call.verb).await,
        kinds::SUBNET => answer::<subnet::Subnet>(aws, &call.verb).await,
        kinds::VOLUME_ATTACHMENT => answer::<volume_attachment::VolumeAttachment>(aws, &call.verb).await,
        kinds::VPC => answer::<vpc::Vpc>(aws, &call.verb).await,
        kinds::VPC_ENDPOINT => answer::<vpc_endpoint::VpcEndpoint>(aws, &call.verb).await,
        other => Answer::Failed(CallError::new(ErrorClass::Permanent, "kind", format!("there is no kind `{other}`"))),
    }
}
