//! The kinds, one file for each family.

mod cloudformation_stack;
mod db_instance;
mod db_subnet_group;
mod ebs_volume;
mod elb;
mod iam;
mod iam_instance_profile;
mod iam_policy;
mod iam_role;
mod iam_role_policy;
mod iam_role_policy_attachment;
mod instance;
mod key_pair;
mod launch_template;
mod lb;
mod lb_listener;
mod lb_target_group;
mod made;
mod placement_group;
mod rds;
mod s3_bucket;
mod ssm_parameter;
mod volume_attachment;
mod vpc;

use cloudtik_aws::kinds;
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass};

use crate::aws::Aws;
use crate::kind::answer;

pub(crate) use instance::Instance;

/// Makes a call by the functions of its kind.
pub(crate) async fn dispatch(aws: &Aws, call: &Call) -> Answer {
    match &*call.kind {
        kinds::VPC => answer::<vpc::Vpc>(aws, &call.verb).await,
        kinds::CLOUDFORMATION_STACK => answer::<cloudformation_stack::CloudformationStack>(aws, &call.verb).await,
        kinds::DB_INSTANCE => answer::<db_instance::DbInstance>(aws, &call.verb).await,
        kinds::DB_SUBNET_GROUP => answer::<db_subnet_group::DbSubnetGroup>(aws, &call.verb).await,
        kinds::EBS_VOLUME => answer::<ebs_volume::EbsVolume>(aws, &call.verb).await,
        kinds::IAM_INSTANCE_PROFILE => answer::<iam_instance_profile::IamInstanceProfile>(aws, &call.verb).await,
        kinds::IAM_POLICY => answer::<iam_policy::IamPolicy>(aws, &call.verb).await,
        kinds::IAM_ROLE => answer::<iam_role::IamRole>(aws, &call.verb).await,
        kinds::IAM_ROLE_POLICY => answer::<iam_role_policy::IamRolePolicy>(aws, &call.verb).await,
        kinds::IAM_ROLE_POLICY_ATTACHMENT => answer::<iam_role_policy_attachment::IamRolePolicyAttachment>(aws, &call.verb).await,
        kinds::INSTANCE => answer::<instance::Instance>(aws, &call.verb).await,
        kinds::KEY_PAIR => answer::<key_pair::KeyPair>(aws, &call.verb).await,
        kinds::LAUNCH_TEMPLATE => answer::<launch_template::LaunchTemplate>(aws, &call.verb).await,
        kinds::LB => answer::<lb::Lb>(aws, &call.verb).await,
        kinds::LB_LISTENER => answer::<lb_listener::LbListener>(aws, &call.verb).await,
        kinds::LB_TARGET_GROUP => answer::<lb_target_group::LbTargetGroup>(aws, &call.verb).await,
        kinds::PLACEMENT_GROUP => answer::<placement_group::PlacementGroup>(aws, &call.verb).await,
        kinds::S3_BUCKET => answer::<s3_bucket::S3Bucket>(aws, &call.verb).await,
        kinds::SSM_PARAMETER => answer::<ssm_parameter::SsmParameter>(aws, &call.verb).await,
        kinds::VOLUME_ATTACHMENT => answer::<volume_attachment::VolumeAttachment>(aws, &call.verb).await,
        other => Answer::Failed(CallError::new(ErrorClass::Permanent, "kind", format!("there is no kind `{other}`"))),
    }
}
