//! The suite on the simulated cloud.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test ends with a panic, its helpers too")]

use std::collections::BTreeMap;

use cloudtik_conformance::{Report, Sample, Subject, run};
use cloudtik_model::{ProviderRef, Value};
use cloudtik_provider_api::{Answer, Call, ProviderSchema, Secret};
use cloudtik_sim::{EffectKind, Fault, FaultRule, SimCloud, SimConfig, SimEvent, sim_schema};

struct Sim {
    schema: ProviderSchema,
    cloud: SimCloud,
    now_ms: u64,
}

impl Sim {
    fn new() -> Self {
        Self { schema: sim_schema(), cloud: SimCloud::new(SimConfig::default()), now_ms: 0 }
    }
}

impl Subject for Sim {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn provider(&self) -> ProviderRef {
        ProviderRef::new("sim")
    }

    fn samples(&mut self) -> Vec<Sample> {
        let secret = Secret { private: "private".to_owned(), public: "public".to_owned() };
        let tags = |text: &'static str| Value::map([("tag", Value::from(text))]);
        let words = [
            ("name", Value::from("name")),
            ("size", 1_u64.into()),
            ("tags", tags("a")),
            ("note", "note".into()),
            ("secret", "hidden".into()),
            ("flavor", "plain".into()),
            ("image", "one".into()),
            ("ref", "x".into()),
        ];
        let updates = [("size", Value::from(2_u64)), ("tags", tags("b")), ("secret", "other".into()), ("ref", "y".into())];
        let sample = |kind: &str, attributes: &[(&'static str, Value)], updates: &[(&'static str, Value)], secrets: &[&str]| Sample {
            kind: kind.to_owned(),
            attributes: Value::object(attributes.iter().cloned()),
            updates: updates.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            secrets: secrets.iter().map(|name| ((*name).to_owned(), secret.clone())).collect::<BTreeMap<_, _>>(),
        };
        let named = [("name", Value::from("name"))];
        let tagged = [("tags", tags("b"))];
        let rules = [("rules", Value::tuple([Value::from("all")])), ("tags", tags("b"))];
        let instance = [("tags", tags("b")), ("max_workers", 3_u64.into()), ("publish", Value::map([("80", Value::from(8080_u64))]))];
        let kinds = ["sim_token", "sim_tagged", "sim_named", "sim_natural"];
        let mut samples: Vec<Sample> = kinds.iter().map(|kind| sample(kind, &words, &updates, &[])).collect();
        samples.push(sample("sim_network", &named, &tagged, &[]));
        samples.push(sample("sim_firewall", &named, &rules, &[]));
        samples.push(sample("sim_bucket", &named, &tagged, &[]));
        samples.push(sample("sim_instance", &named, &instance, &["host_key"]));
        samples
    }

    fn call(&mut self, call: Call) -> Answer {
        let (at_ms, event) = self.cloud.submit(self.now_ms, &call).remove(0);
        self.now_ms = at_ms;
        match event {
            SimEvent::Answer(answer) => answer,
            SimEvent::Step(_) => panic!("a call answers no step"),
        }
    }

    fn crash(&mut self) {
        // What survives a crash is what its file holds.
        let json = serde_json::to_string(&self.cloud.world).unwrap();
        self.cloud = SimCloud::with_world(SimConfig::default(), serde_json::from_str(&json).unwrap());
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now_ms += milliseconds;
    }

    fn unique(&mut self, sample: &Sample, number: u64) -> Sample {
        let mut attributes = sample.attributes.entries().cloned().unwrap();
        attributes.insert("name".into(), format!("name-{number}").into());
        Sample { attributes: Value::object(attributes), ..sample.clone() }
    }

    fn times_made(&mut self, op_id: &str) -> Option<usize> {
        let made = |kind: EffectKind| matches!(kind, EffectKind::Created | EffectKind::Overwritten);
        Some(self.cloud.world.audit.iter().filter(|effect| effect.op_id == op_id && made(effect.kind)).count())
    }
}

#[test]
fn the_simulated_cloud_passes() {
    let report = run(&mut Sim::new());
    assert_eq!(report.failures(), "");
    assert_eq!(report.passed.len(), 8 * 9 * 2);
}

/// A subject that breaks one promise, to see that the suite notices.
struct Forgetful {
    sim: Sim,
}

impl Subject for Forgetful {
    fn schema(&self) -> &ProviderSchema {
        self.sim.schema()
    }
    fn provider(&self) -> ProviderRef {
        self.sim.provider()
    }
    fn samples(&mut self) -> Vec<Sample> {
        self.sim.samples().into_iter().filter(|sample| sample.kind == "sim_token").collect()
    }
    fn call(&mut self, mut call: Call) -> Answer {
        if let cloudtik_provider_api::Verb::Create(request) = &mut call.verb {
            // The token does not arrive.
            request.token = format!("{}-{}", request.token, self.sim.now_ms);
        }
        self.sim.call(call)
    }
    fn crash(&mut self) {
        self.sim.crash();
    }
    fn wait(&mut self, milliseconds: u64) {
        self.sim.wait(milliseconds);
    }
    fn unique(&mut self, sample: &Sample, number: u64) -> Sample {
        self.sim.unique(sample, number)
    }
    fn times_made(&mut self, op_id: &str) -> Option<usize> {
        self.sim.times_made(op_id)
    }
}

#[test]
fn a_provider_that_forgets_tokens_does_not_pass() {
    let report: Report = run(&mut Forgetful { sim: Sim::new() });
    let failed = |case: &str| report.failed.iter().any(|failure| failure.kind == "sim_token" && failure.case.contains(case));
    assert!(failed("answer was lost"), "{}", report.failures());
}

#[test]
fn a_lost_answer_of_the_cloud_itself_is_an_unknown_outcome() {
    let mut sim = Sim::new();
    sim.cloud.add_rule(FaultRule::next("create", Fault::LostAnswer));
    let report = run(&mut sim);
    assert_eq!(report.failed.len(), 1, "{}", report.failures());
    assert!(sim.cloud.is_script_done());
}
