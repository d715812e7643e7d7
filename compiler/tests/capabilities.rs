//! What a module may require is what a provider can promise: two packages that do not know each other name it.

use cloudtik_provider_api::Capability;

#[test]
fn modules_and_providers_name_the_same_capabilities() {
    let mut promised = Capability::ALL.map(Capability::as_str);
    promised.sort_unstable();
    assert_eq!(promised, cloudtik_runtime_modules::CAPABILITIES);
}
