//! The kinds, one file for each family.

mod vpc;

use cloudtik_aws::kinds;
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass};

use crate::aws::Aws;
use crate::kind::answer;

/// Makes a call by the functions of its kind.
pub(crate) async fn dispatch(aws: &Aws, call: &Call) -> Answer {
    match &*call.kind {
        kinds::VPC => answer::<vpc::Vpc>(aws, &call.verb).await,
        other => Answer::Failed(CallError::new(ErrorClass::Permanent, "kind", format!("there is no kind `{other}`"))),
    }
}
