//! The world with its weather: faults, delays, and objects that searches do not see yet.

use std::collections::BTreeMap;
use std::fmt;

use cloudtik_model::{Address, ControllerReply, ControllerRequest, NodeReply, NodeRequest};
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass, ProviderSchema, Verb};

use crate::faults::{Fault, FaultRates, FaultRule, Faults};
use crate::kinds::{VISIBILITY_MS, sim_schema};
use crate::{Random, World};

/// How a simulated cloud behaves.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// What chance is made from.
    pub seed: u64,
    /// What goes wrong by chance.
    pub rates: FaultRates,
    /// What goes wrong for certain.
    pub rules: Vec<FaultRule>,
    /// How long a call takes at least and at most, in milliseconds.
    pub latency_ms: (u64, u64),
    /// Whether new nodes hide from looks for a while, as objects do that are found by tag.
    pub nodes_hide: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self { seed: 0, rates: FaultRates::CALM, rules: Vec::new(), latency_ms: (5, 60), nodes_hide: false }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub enum SimEvent {
    /// To a call.
    Answer(Answer),
    /// To a step.
    Step(Result<NodeReply, CallError>),
}

/// What a caller waits for an answer that does not come.
const TIMEOUT_MS: u64 = 1_000;

/// A simulated cloud. Effects happen when a call is submitted; answers come later.
pub struct SimCloud {
    /// What exists.
    pub world: World,
    schema: ProviderSchema,
    random: Random,
    faults: Faults,
    latency_ms: (u64, u64),
    nodes_hide: bool,
    /// Calls of several objects that were refused for good, as long as this connection lives.
    refused: BTreeMap<String, CallError>,
}

impl fmt::Debug for SimCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCloud").field("world", &self.world).finish_non_exhaustive()
    }
}

impl SimCloud {
    /// A cloud with nothing in it.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        Self::with_world(config, World::new())
    }

    /// A cloud with what was in it before.
    #[must_use]
    pub fn with_world(config: SimConfig, world: World) -> Self {
        Self {
            world,
            schema: sim_schema(),
            random: Random::new(config.seed),
            faults: Faults { rules: config.rules, rates: config.rates },
            latency_ms: config.latency_ms,
            nodes_hide: config.nodes_hide,
            refused: BTreeMap::new(),
        }
    }

    /// Another connection to the same cloud: what only the one before it knew is forgotten.
    pub fn reconnect(&mut self) {
        self.refused.clear();
    }

    /// Other weather from now on.
    pub fn set_rates(&mut self, rates: FaultRates) {
        self.faults.rates = rates;
    }

    /// One more thing that goes wrong for certain.
    pub fn add_rule(&mut self, rule: FaultRule) {
        self.faults.rules.push(rule);
    }

    /// What was to go wrong for certain does not any more.
    pub fn clear_rules(&mut self) {
        self.faults.rules.clear();
    }

    /// Whether all rules were used up.
    #[must_use]
    pub fn is_script_done(&self) -> bool {
        self.faults.rules.is_empty()
    }

    /// Makes a call: what comes back, and when.
    pub fn submit(&mut self, now_ms: u64, call: &Call) -> Vec<(u64, SimEvent)> {
        self.world.calls += 1;
        let fault = self.faults.next(&mut self.random, &call.address, call.verb.as_str());
        let at_ms = now_ms.saturating_add(self.latency(fault));
        let batch = match &call.verb {
            Verb::Create(request) => request.batch.as_ref().map(|batch| &batch.id),
            _ => None,
        };
        let known = batch.and_then(|batch| self.refused.get(batch)).cloned();
        // A call of several that took effect is not refused to one of them.
        let is_made = batch.is_some_and(|batch| self.world.calls_of_several.contains_key(batch));
        let refusal = known.or_else(|| fault.and_then(refusal)).filter(|error| !is_made || !is_final(error));
        if let Some(error) = refusal {
            if let Some(batch) = batch.filter(|_| is_final(&error)) {
                self.refused.insert(batch.clone(), error.clone());
            }
            return vec![(at_ms, SimEvent::Answer(Answer::Failed(error)))];
        }
        self.world.room = if let Some(Fault::RoomFor(room)) = fault { Some(room) } else { None };
        let invisible_ms = self.random.below(VISIBILITY_MS);
        let is_node = self.schema.kinds.get(&*call.kind).is_some_and(|kind| kind.is_node);
        let invisible_ms = if is_node && !self.nodes_hide { 0 } else { invisible_ms };
        let answer = self.world.call(&self.schema, now_ms, call, invisible_ms);
        let answer = if fault == Some(Fault::LostAnswer) { Answer::Failed(lost()) } else { answer };
        vec![(at_ms, SimEvent::Answer(answer))]
    }

    /// Sends a step to a node: what comes back, and when. `address` is the step's.
    pub fn submit_step(&mut self, now_ms: u64, instance: &str, address: &Address, request: &NodeRequest) -> Vec<(u64, SimEvent)> {
        self.world.calls += 1;
        let fault = self.faults.next(&mut self.random, address, "run_step");
        let at_ms = now_ms.saturating_add(self.latency(fault));
        if let Some(error) = fault.and_then(refusal) {
            return vec![(at_ms, SimEvent::Step(Err(error)))];
        }
        let reply = self.world.run_step(now_ms, instance, request);
        let reply = if fault == Some(Fault::LostAnswer) { Err(lost()) } else { reply };
        vec![(at_ms, SimEvent::Step(reply))]
    }

    /// Sends a frame to the controller of a head: what comes back. `address` is what it is sent for.
    ///
    /// # Errors
    /// There is no such head, or the weather is bad.
    pub fn submit_controller(
        &mut self,
        instance: &str,
        address: &Address,
        request: &ControllerRequest,
    ) -> Result<ControllerReply, CallError> {
        self.world.calls += 1;
        let fault = self.faults.next(&mut self.random, address, "controller");
        if let Some(error) = fault.and_then(refusal) {
            return Err(error);
        }
        let reply = self.world.controller(instance, request);
        if fault == Some(Fault::LostAnswer) { Err(lost()) } else { reply }
    }

    fn latency(&mut self, fault: Option<Fault>) -> u64 {
        let (least, most) = self.latency_ms;
        let usual = least.saturating_add(self.random.below(most.saturating_sub(least).saturating_add(1)));
        match fault {
            Some(Fault::LostAnswer | Fault::LostRequest) => TIMEOUT_MS,
            Some(Fault::Delay(by_ms)) => usual.saturating_add(by_ms),
            _ => usual,
        }
    }
}

const fn is_final(error: &CallError) -> bool {
    matches!(error.class, ErrorClass::NoRoom | ErrorClass::Permanent)
}

fn lost() -> CallError {
    CallError::new(ErrorClass::Unknown, "no-answer", "no answer came")
}

/// What the caller hears of a fault that keeps the request from having an effect.
fn refusal(fault: Fault) -> Option<CallError> {
    match fault {
        Fault::LostRequest => Some(lost()),
        Fault::Throttled => Some(CallError::new(ErrorClass::Throttled, "throttled", "too many calls")),
        Fault::Transient => Some(CallError::new(ErrorClass::Transient, "unavailable", "the cloud is not available just now")),
        Fault::NoRoom => Some(CallError::new(ErrorClass::NoRoom, "no-room", "there is no room")),
        Fault::Permanent => Some(CallError::new(ErrorClass::Permanent, "refused", "the cloud refuses")),
        Fault::LostAnswer | Fault::RoomFor(_) | Fault::Delay(_) => None,
    }
}
