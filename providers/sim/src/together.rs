//! Creates that are one call: whichever comes first makes all objects, and each is answered its own.

use std::collections::BTreeMap;

use cloudtik_model::{Digest, Value};
use cloudtik_provider_api::{
    Answer, Batch, Call, CallError, CreateRequest, ErrorClass, KindSchema, SEQUENCE_TAG, with_number, without_number,
};
use serde::{Deserialize, Serialize};

use crate::World;
use crate::world::{ADDRESS_TAG, OP_TAG, answer_of, digest_of, failed};

/// What a call of several made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    asked: Digest,
    /// By index; there was no room for those that are missing.
    ids: Vec<String>,
}

impl World {
    /// The create of one of several, when there is room for so many of them.
    pub(crate) fn create_together(
        &mut self,
        kind: &KindSchema,
        now_ms: u64,
        call: &Call,
        request: &CreateRequest,
        invisible_ms: u64,
        room: usize,
    ) -> Answer {
        let Some((batch, common)) = request.batch.as_ref().zip(common(kind, request)) else {
            return failed(ErrorClass::Permanent, "batch", "what is each one's own cannot be told from what all have in common".to_owned());
        };
        let asked = digest_of(&common);
        let made = match self.calls_of_several.get(&request.token) {
            Some(made) => made.clone(),
            None => {
                let of = |index: usize| (index, *batch.numbers.get(index).unwrap_or(&0));
                let ids = (0..batch.numbers.len().min(room)).map(of).map(|(index, number)| {
                    let own = own(kind, &common, batch, index, number);
                    let id = self.next_id(kind);
                    self.make(kind, now_ms, call, &own, id.clone(), invisible_ms, asked);
                    id
                });
                let made = Made { asked, ids: ids.collect() };
                self.calls_of_several.insert(request.token.clone(), made.clone());
                made
            }
        };
        match made.ids.get(batch.index) {
            _ if made.asked != asked => failed(ErrorClass::Conflict, "token-reused", "the token belongs to another request".to_owned()),
            None => Answer::Failed(CallError::new(ErrorClass::NoRoom, "no-room", "there is no room")),
            Some(id) => match self.objects.get(id) {
                Some(object) => Answer::Object(answer_of(object)),
                None => failed(ErrorClass::Permanent, "token-spent", format!("what the token made, {id}, is gone")),
            },
        }
    }
}

/// What all creates of the call have in common.
fn common(kind: &KindSchema, request: &CreateRequest) -> Option<CreateRequest> {
    let number = request.batch.as_ref()?.number();
    let mut tags = request.tags.clone();
    let address = tags.get_mut(ADDRESS_TAG)?;
    *address = without_number(address, number)?;
    if let Some(sequence) = tags.get_mut(SEQUENCE_TAG) {
        sequence.clear();
    }
    tags.remove(OP_TAG);
    let attributes = numbered(kind, &request.attributes, |text| without_number(text, number))?;
    let batch = request.batch.clone().map(|batch| Batch { index: 0, ..batch });
    Some(CreateRequest { op_id: String::new(), tags, attributes, batch, ..request.clone() })
}

/// The create of one of them again.
fn own(kind: &KindSchema, common: &CreateRequest, batch: &Batch, index: usize, number: u64) -> CreateRequest {
    let op_id = Batch::op_id(&batch.id, index);
    let mut tags: BTreeMap<String, String> = common.tags.clone();
    tags.entry(ADDRESS_TAG.to_owned()).and_modify(|address| *address = with_number(address, number));
    tags.entry(SEQUENCE_TAG.to_owned()).and_modify(|sequence| *sequence = number.to_string());
    tags.insert(OP_TAG.to_owned(), op_id.clone());
    let attributes = numbered(kind, &common.attributes, |text| Some(with_number(text, number)));
    CreateRequest { op_id, tags, attributes: attributes.unwrap_or_default(), ..common.clone() }
}

fn numbered(kind: &KindSchema, attributes: &Value, change: impl Fn(&str) -> Option<String>) -> Option<Value> {
    let mut all = attributes.entries()?.clone();
    for name in kind.together?.numbered {
        if let Some(value) = all.get_mut(*name)
            && let Some(text) = value.as_str()
        {
            *value = change(text)?.into();
        }
    }
    Some(Value::object(all))
}
