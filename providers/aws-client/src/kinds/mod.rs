//! The kinds, one file for each family.

mod ec2;
mod eip;
mod internet_gateway;
mod nat_gateway;
mod peering;
mod peering_routes;
mod route;
mod route_table;
mod route_table_association;
mod security_group;
mod security_group_rule;
mod subnet;
mod vpc;
mod vpc_endpoint;

use cloudtik_aws::kinds;
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass};

use crate::aws::Aws;
use crate::kind::answer;

pub(crate) use route_table::tables as route_tables;

/// Makes a call by the functions of its kind.
pub(crate) async fn dispatch(aws: &Aws, call: &Call) -> Answer {
    match &*call.kind {
        kinds::EGRESS_RULE => answer::<security_group_rule::EgressRule>(aws, &call.verb).await,
        kinds::EIP => answer::<eip::Eip>(aws, &call.verb).await,
        kinds::INGRESS_RULE => answer::<security_group_rule::IngressRule>(aws, &call.verb).await,
        kinds::INTERNET_GATEWAY => answer::<internet_gateway::InternetGateway>(aws, &call.verb).await,
        kinds::NAT_GATEWAY => answer::<nat_gateway::NatGateway>(aws, &call.verb).await,
        kinds::PEERING => answer::<peering::Connection>(aws, &call.verb).await,
        kinds::PEERING_ACCEPTER => answer::<peering::Accepter>(aws, &call.verb).await,
        kinds::PEERING_ROUTES => answer::<peering_routes::PeeringRoutes>(aws, &call.verb).await,
        kinds::ROUTE => answer::<route::Route>(aws, &call.verb).await,
        kinds::ROUTE_TABLE => answer::<route_table::RouteTable>(aws, &call.verb).await,
        kinds::ROUTE_TABLE_ASSOCIATION => answer::<route_table_association::RouteTableAssociation>(aws, &call.verb).await,
        kinds::SECURITY_GROUP => answer::<security_group::SecurityGroup>(aws, &call.verb).await,
        kinds::SUBNET => answer::<subnet::Subnet>(aws, &call.verb).await,
        kinds::VPC => answer::<vpc::Vpc>(aws, &call.verb).await,
        kinds::VPC_ENDPOINT => answer::<vpc_endpoint::VpcEndpoint>(aws, &call.verb).await,
        other => Answer::Failed(CallError::new(ErrorClass::Permanent, "kind", format!("there is no kind `{other}`"))),
    }
}
