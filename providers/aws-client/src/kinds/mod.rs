//! The kinds, one file for each family.

pub(crate) mod cloudformation_stack;
mod db_instance;
mod db_subnet_group;
mod ebs_volume;
mod ec2;
mod eip;
mod eip_association;
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
mod peering_options;
mod peering_routes;
mod placement_group;
mod rds;
mod route;
mod route_table;
mod route_table_association;
pub(crate) mod s3_bucket;
mod security_group;
mod security_group_rule;
mod ssm_parameter;
mod subnet;
mod volume_attachment;
mod vpc;
mod vpc_endpoint;

use std::collections::BTreeSet;

use cloudtik_aws::kinds;
use cloudtik_provider_api::{Answer, BoxFuture, Call, CallError, ErrorClass, Verb};

use crate::aws::Aws;
use crate::kind::answer;
use crate::looks::Looks;

pub(crate) use instance::{Instance, Launches, Rooms};
pub(crate) use launch_template::remove as remove_launch_templates;
pub(crate) use route_table::tables as route_tables;
pub(crate) use security_group_rule::{has_ports as is_rule_with_ports, kind_of as kind_of_rule};
pub(crate) use vpc::has_names;
pub(crate) use vpc_endpoint::prefix_lists;

/// Tells what several kinds will look at in this moment.
pub(crate) fn announce(looks: &Looks, calls: &[Call]) {
    let ids = |kinds: &[&str]| {
        let listed = calls.iter().filter_map(|call| if let Verb::List { ids } = &call.verb { Some((&*call.kind, ids)) } else { None });
        let listed = listed.filter(|(kind, _)| kinds.contains(kind));
        listed.flat_map(|(_, ids)| ids.iter().cloned()).collect::<BTreeSet<String>>()
    };
    let of_routes = route::tables_of(&ids(&[kinds::ROUTE]));
    looks.announce_tables(ids(&[kinds::ROUTE_TABLE]).union(&of_routes).cloned().collect());
    looks.announce_rules(ids(&[kinds::INGRESS_RULE, kinds::EGRESS_RULE]));
}

/// Makes a call by the functions of its kind. Each is a future of its own on the heap: one of all of them would not fit a stack.
pub(crate) fn dispatch<'a>(aws: &'a Aws, call: &'a Call) -> BoxFuture<'a, Answer> {
    match &*call.kind {
        kinds::CLOUDFORMATION_STACK => Box::pin(answer::<cloudformation_stack::CloudformationStack>(aws, &call.verb)),
        kinds::DB_INSTANCE => Box::pin(answer::<db_instance::DbInstance>(aws, &call.verb)),
        kinds::DB_SUBNET_GROUP => Box::pin(answer::<db_subnet_group::DbSubnetGroup>(aws, &call.verb)),
        kinds::EBS_VOLUME => Box::pin(answer::<ebs_volume::EbsVolume>(aws, &call.verb)),
        kinds::EGRESS_RULE => Box::pin(answer::<security_group_rule::EgressRule>(aws, &call.verb)),
        kinds::EIP => Box::pin(answer::<eip::Eip>(aws, &call.verb)),
        kinds::EIP_ASSOCIATION => Box::pin(answer::<eip_association::EipAssociation>(aws, &call.verb)),
        kinds::IAM_INSTANCE_PROFILE => Box::pin(answer::<iam_instance_profile::IamInstanceProfile>(aws, &call.verb)),
        kinds::IAM_POLICY => Box::pin(answer::<iam_policy::IamPolicy>(aws, &call.verb)),
        kinds::IAM_ROLE => Box::pin(answer::<iam_role::IamRole>(aws, &call.verb)),
        kinds::IAM_ROLE_POLICY => Box::pin(answer::<iam_role_policy::IamRolePolicy>(aws, &call.verb)),
        kinds::IAM_ROLE_POLICY_ATTACHMENT => Box::pin(answer::<iam_role_policy_attachment::IamRolePolicyAttachment>(aws, &call.verb)),
        kinds::INGRESS_RULE => Box::pin(answer::<security_group_rule::IngressRule>(aws, &call.verb)),
        kinds::INSTANCE => Box::pin(answer::<instance::Instance>(aws, &call.verb)),
        kinds::INTERNET_GATEWAY => Box::pin(answer::<internet_gateway::InternetGateway>(aws, &call.verb)),
        kinds::KEY_PAIR => Box::pin(answer::<key_pair::KeyPair>(aws, &call.verb)),
        kinds::LAUNCH_TEMPLATE => Box::pin(answer::<launch_template::LaunchTemplate>(aws, &call.verb)),
        kinds::LB => Box::pin(answer::<lb::Lb>(aws, &call.verb)),
        kinds::LB_LISTENER => Box::pin(answer::<lb_listener::LbListener>(aws, &call.verb)),
        kinds::LB_TARGET_GROUP => Box::pin(answer::<lb_target_group::LbTargetGroup>(aws, &call.verb)),
        kinds::NAT_GATEWAY => Box::pin(answer::<nat_gateway::NatGateway>(aws, &call.verb)),
        kinds::PEERING => Box::pin(answer::<peering::Connection>(aws, &call.verb)),
        kinds::PEERING_ACCEPTER => Box::pin(answer::<peering::Accepter>(aws, &call.verb)),
        kinds::PEERING_OPTIONS => Box::pin(answer::<peering_options::PeeringOptions>(aws, &call.verb)),
        kinds::PEERING_ROUTES => Box::pin(answer::<peering_routes::PeeringRoutes>(aws, &call.verb)),
        kinds::PLACEMENT_GROUP => Box::pin(answer::<placement_group::PlacementGroup>(aws, &call.verb)),
        kinds::ROUTE => Box::pin(answer::<route::Route>(aws, &call.verb)),
        kinds::ROUTE_TABLE => Box::pin(answer::<route_table::RouteTable>(aws, &call.verb)),
        kinds::ROUTE_TABLE_ASSOCIATION => Box::pin(answer::<route_table_association::RouteTableAssociation>(aws, &call.verb)),
        kinds::S3_BUCKET => Box::pin(answer::<s3_bucket::S3Bucket>(aws, &call.verb)),
        kinds::SECURITY_GROUP => Box::pin(answer::<security_group::SecurityGroup>(aws, &call.verb)),
        kinds::SSM_PARAMETER => Box::pin(answer::<ssm_parameter::SsmParameter>(aws, &call.verb)),
        kinds::SUBNET => Box::pin(answer::<subnet::Subnet>(aws, &call.verb)),
        kinds::VOLUME_ATTACHMENT => Box::pin(answer::<volume_attachment::VolumeAttachment>(aws, &call.verb)),
        kinds::VPC => Box::pin(answer::<vpc::Vpc>(aws, &call.verb)),
        kinds::VPC_ENDPOINT => Box::pin(answer::<vpc_endpoint::VpcEndpoint>(aws, &call.verb)),
        other => {
            let error = CallError::new(ErrorClass::Permanent, "kind", format!("there is no kind `{other}`"));
            Box::pin(std::future::ready(Answer::Failed(error)))
        }
    }
}
