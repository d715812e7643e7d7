//! Conditions that a plan could not judge: of an object before it is made and after, of everything else when all is done.

use std::collections::BTreeMap;

use cloudtik_model::{Address, Condition, ConditionKind, Verdict, judge};
use cloudtik_planner::OperationKind;
use cloudtik_provider_api::CallError;

use crate::engine::objects::permanent;
use crate::engine::values;
use crate::engine::{Engine, Unmet};

impl Engine {
    /// What of the conditions of an operation's object does not hold.
    pub(crate) fn unmet(&mut self, id: usize, kind: ConditionKind) -> Option<CallError> {
        if self.conditions.is_empty() {
            return None;
        }
        let operation = self.operation(id).filter(|operation| makes(&operation.kind))?;
        let of_object = self.conditions.get(&operation.address).into_iter().flatten().copied();
        // Those of a whole block hold before the first of its objects is made.
        let block = operation.address.block();
        let of_block = self.conditions.get(&block).filter(|_| block != operation.address).into_iter().flatten().copied();
        let of_block = of_block.filter(|index| kind == ConditionKind::Precondition && !self.judged.contains(index));
        let verdict = |index: usize| {
            let condition = self.input.plan.conditions.get(index).filter(|condition| condition.kind == kind)?;
            Some((index, self.verdict(condition)))
        };
        let verdicts: Vec<(usize, Verdict)> = of_object.chain(of_block).filter_map(verdict).collect();
        for (index, verdict) in verdicts {
            if let Verdict::Fails(text) = verdict {
                self.judged.insert(index);
                let place = self.input.plan.conditions.get(index).and_then(|condition| condition.place.clone());
                let place = place.map_or_else(String::new, |place| format!(" ({place})"));
                return Some(permanent("condition-failed", format!("its {}{place} is false: {text}", kind.as_str())));
            }
            if verdict == Verdict::Holds {
                self.judged.insert(index);
            }
        }
        None
    }

    /// What does not hold of all that nobody judged before. Where something was not done, what is not known says nothing.
    pub(crate) fn judge_rest(&mut self) -> Vec<Unmet> {
        let whole = self.summary_is_ok();
        let rest = self.input.plan.conditions.iter().enumerate().filter(|(index, _)| !self.judged.contains(index));
        let unmet = |condition: &Condition, text: String| Unmet { condition: condition.clone(), text };
        rest.filter_map(|(_, condition)| match self.verdict(condition) {
            Verdict::Holds => None,
            Verdict::Fails(text) => Some(unmet(condition, text)),
            Verdict::Unknown => whole.then(|| unmet(condition, "what it looks at is not known even now".to_owned())),
        })
        .collect()
    }

    fn verdict(&self, condition: &Condition) -> Verdict {
        let filled = |value| values::filled(&self.ledger.state, &self.input.moment, value);
        match filled(&condition.condition) {
            Ok(value) => judge(&value, &filled(&condition.message).unwrap_or_else(|_| condition.message.clone())),
            Err(error) => Verdict::Fails(error.message),
        }
    }
}

/// The conditions of a plan, by the object or the block that they are of.
pub(crate) fn by_address(conditions: &[Condition]) -> BTreeMap<Address, Vec<usize>> {
    let mut all: BTreeMap<Address, Vec<usize>> = BTreeMap::new();
    for (index, condition) in conditions.iter().enumerate() {
        if let Some(address) = &condition.address {
            all.entry(address.clone()).or_default().push(index);
        }
    }
    all
}

/// Whether an operation brings an object to what the spec says.
const fn makes(kind: &OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::Create
            | OperationKind::CreateReplacement { .. }
            | OperationKind::Update
            | OperationKind::Import
            | OperationKind::Record
    )
}
