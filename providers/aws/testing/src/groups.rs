//! Placement groups, which the server does not know: kept here.

use std::collections::BTreeMap;

use crate::answer::{Answer, Refusal};
use crate::call::Call;
use crate::xml::Element;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15";

#[derive(Clone, Debug)]
struct Group {
    name: String,
    strategy: String,
    region: String,
    tags: BTreeMap<String, String>,
}

/// The placement groups, by id.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    made: u64,
    /// The groups of instances.
    members: BTreeMap<String, String>,
}

impl Groups {
    /// The answer to a call about them. `None`: it is about something else.
    pub(crate) fn answer(&mut self, call: &Call) -> Option<Result<Answer, Refusal>> {
        Some(match call.name().as_str() {
            "ec2:CreatePlacementGroup" => self.create(call),
            "ec2:DescribePlacementGroups" => self.describe(call),
            "ec2:DeletePlacementGroup" => self.delete(call),
            "ec2:CreateTags" | "ec2:DeleteTags" if self.are_all(&call.list("ResourceId")) => Ok(self.tag(call)),
            _ => return None,
        })
    }

    /// The refusal of a launch into a group that there is not.
    pub(crate) fn refusal(&self, call: &Call) -> Option<Refusal> {
        let name = call.get("Placement.GroupName").filter(|_| call.name() == "ec2:RunInstances")?;
        self.id_of(call, name).is_none().then(|| unknown(name))
    }

    /// Takes note of a launch.
    pub(crate) fn note(&mut self, call: &Call, answer: Option<&Element>) {
        let Some(name) = call.get("Placement.GroupName").filter(|_| call.name() == "ec2:RunInstances") else { return };
        let launched = answer.map(|answer| answer.texts("instanceId")).unwrap_or_default();
        self.members.extend(launched.into_iter().map(|id| (id, name.to_owned())));
    }

    /// Writes the groups of instances into an answer.
    pub(crate) fn show(&self, document: &mut Element) {
        if self.members.is_empty() {
            return;
        }
        document.retain(&mut |element| {
            let group = element.text_at(&["instanceId"]).and_then(|id| self.members.get(id));
            if let (Some(group), Some(placement)) = (group, element.children.iter_mut().find(|child| child.name == "placement")) {
                placement.children.retain(|child| child.name != "groupName");
                placement.children.push(Element::text("groupName", group));
            }
            true
        });
    }

    fn create(&mut self, call: &Call) -> Result<Answer, Refusal> {
        let name = call.get("GroupName").unwrap_or_default();
        if self.id_of(call, name).is_some() {
            return Err(Refusal::new("InvalidPlacementGroup.Duplicate", format!("The placement group '{name}' already exists.")));
        }
        self.made += 1;
        let id = format!("pg-{:017x}", self.made);
        let strategy = call.get("Strategy").unwrap_or("cluster").to_owned();
        let group = Group { name: name.to_owned(), strategy, region: call.region.clone(), tags: tags_of(call, "placement-group") };
        let answer = answer(call, vec![element("placementGroup", &id, &group)]);
        self.groups.insert(id, group);
        Ok(answer)
    }

    fn describe(&self, call: &Call) -> Result<Answer, Refusal> {
        let (names, ids, filters) = (call.list("GroupName"), call.list("GroupId"), call.filters());
        if let Some(name) = names.iter().find(|name| self.id_of(call, name).is_none()) {
            return Err(unknown(name));
        }
        if let Some(id) = ids.iter().find(|id| !self.groups.contains_key(*id)) {
            return Err(unknown(id));
        }
        let is_asked = |id: &String, group: &Group| {
            group.region == call.region
                && (names.is_empty() || names.contains(&group.name))
                && (ids.is_empty() || ids.contains(id))
                && filters.iter().all(|(filter, values)| fits(group, filter, values))
        };
        let found = self.groups.iter().filter(|(id, group)| is_asked(id, group));
        let items = found.map(|(id, group)| element("item", id, group)).collect();
        Ok(answer(call, vec![Element::with("placementGroupSet", items)]))
    }

    fn delete(&mut self, call: &Call) -> Result<Answer, Refusal> {
        let name = call.get("GroupName").unwrap_or_default();
        let id = self.id_of(call, name).ok_or_else(|| unknown(name))?;
        self.groups.remove(&id);
        Ok(answer(call, vec![Element::text("return", "true")]))
    }

    fn tag(&mut self, call: &Call) -> Answer {
        let tags = numbered_tags(call, "Tag.");
        for id in call.list("ResourceId") {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if call.action == "CreateTags" {
                group.tags.extend(tags.clone());
            } else {
                group.tags.retain(|name, _| !tags.contains_key(name));
            }
        }
        answer(call, vec![Element::text("return", "true")])
    }

    fn are_all(&self, ids: &[String]) -> bool {
        !ids.is_empty() && ids.iter().all(|id| self.groups.contains_key(id))
    }

    fn id_of(&self, call: &Call, name: &str) -> Option<String> {
        let mut all = self.groups.iter();
        all.find(|(_, group)| group.name == name && group.region == call.region).map(|(id, _)| id.clone())
    }
}

fn fits(group: &Group, filter: &str, values: &[String]) -> bool {
    let has = |value: &str| values.iter().any(|wanted| wanted == value);
    match filter {
        "group-name" => has(&group.name),
        "strategy" => has(&group.strategy),
        "state" => has("available"),
        "tag-key" => group.tags.keys().any(|name| has(name)),
        _ => filter.strip_prefix("tag:").is_some_and(|name| group.tags.get(name).is_some_and(|value| has(value))),
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::new("InvalidPlacementGroup.Unknown", format!("The placement group '{name}' is unknown."))
}

fn element(root: &str, id: &str, group: &Group) -> Element {
    let tag = |(name, value): (&String, &String)| Element::with("item", vec![Element::text("key", name), Element::text("value", value)]);
    let arn = format!("arn:aws:ec2:{}:123456789012:placement-group/{}", group.region, group.name);
    Element::with(
        root,
        vec![
            Element::text("groupName", &group.name),
            Element::text("groupId", id),
            Element::text("groupArn", arn),
            Element::text("strategy", &group.strategy),
            Element::text("state", "available"),
            Element::with("tagSet", group.tags.iter().map(tag).collect()),
        ],
    )
}

fn answer(call: &Call, mut parts: Vec<Element>) -> Answer {
    parts.push(Element::text("requestId", "proxy"));
    let attributes = vec![("xmlns".to_owned(), NAMESPACE.to_owned())];
    Answer::xml(200, &Element { attributes, ..Element::with(&format!("{}Response", call.action), parts) })
}

/// The tags that a create gives to objects of a type.
fn tags_of(call: &Call, resource: &str) -> BTreeMap<String, String> {
    let of_type = call.parameters.iter().filter_map(|(key, kind)| {
        let number = key.strip_prefix("TagSpecification.")?.strip_suffix(".ResourceType")?;
        (kind == resource).then(|| format!("TagSpecification.{number}.Tag."))
    });
    of_type.flat_map(|prefix| numbered_tags(call, &prefix)).collect()
}

/// The tags `PREFIX1.Key`, `PREFIX1.Value`, and so on.
fn numbered_tags(call: &Call, prefix: &str) -> BTreeMap<String, String> {
    let names = call.parameters.iter().filter_map(|(key, name)| {
        let number = key.strip_prefix(prefix)?.strip_suffix(".Key")?;
        Some((name.clone(), call.get(&format!("{prefix}{number}.Value")).unwrap_or_default().to_owned()))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, parameters: &[(&str, &str)]) -> Call {
        Call { service: "ec2".to_owned(), region: "us-west-2".to_owned(), ..Call::default() }.asking(action, parameters)
    }

    #[test]
    fn a_group_is_made_tagged_and_removed() {
        let mut groups = Groups::default();
        let tags = [
            ("TagSpecification.1.ResourceType", "placement-group"),
            ("TagSpecification.1.Tag.1.Key", "a"),
            ("TagSpecification.1.Tag.1.Value", "b"),
        ];
        let create = call("CreatePlacementGroup", &[&[("GroupName", "g"), ("Strategy", "spread")], &tags[..]].concat());
        let made = groups.answer(&create).unwrap().unwrap().document().unwrap();
        let id = made.texts("groupId").remove(0);
        assert_eq!(groups.answer(&create).unwrap().unwrap_err().code, "InvalidPlacementGroup.Duplicate");
        let find = |groups: &mut Groups, value: &str| {
            let asked = call("DescribePlacementGroups", &[("Filter.1.Name", "tag:a"), ("Filter.1.Value.1", value)]);
            groups.answer(&asked).unwrap().unwrap().document().unwrap().texts("groupName")
        };
        assert_eq!((find(&mut groups, "b"), find(&mut groups, "c")), (vec!["g".to_owned()], Vec::new()));
        groups.answer(&call("CreateTags", &[("ResourceId.1", &id), ("Tag.1.Key", "a"), ("Tag.1.Value", "c")])).unwrap().unwrap();
        assert_eq!(find(&mut groups, "c"), ["g"]);
        assert_eq!(groups.refusal(&call("RunInstances", &[("Placement.GroupName", "g")])), None);
        groups.answer(&call("DeletePlacementGroup", &[("GroupName", "g")])).unwrap().unwrap();
        let named = call("DescribePlacementGroups", &[("GroupName.1", "g")]);
        assert_eq!(groups.answer(&named).unwrap().unwrap_err().code, "InvalidPlacementGroup.Unknown");
        assert!(groups.refusal(&call("RunInstances", &[("Placement.GroupName", "g")])).is_some());
        assert!(groups.answer(&call("CreateTags", &[("ResourceId.1", "vpc-1")])).is_none());
    }
}
