//! Functions whose results no spec determines: one call is one value, wherever it went and however often it is worked out.

use cloudtik_lang::{Context, Impure, Moment, Planning, evaluate, expression_text, impure_calls, resolve};
use cloudtik_model::Value;

use crate::{World, parse, world};

fn moment() -> Moment {
    Moment { time: "2025-02-01T00:00:00Z".into(), seed: "seed".into() }
}

/// What a plan holds of an expression, and what it is once applied: lists that are not known have three elements then.
fn planned(text: &str) -> Value {
    planned_with(text, &Planning::new("2025-01-31T12:00:00Z"))
}

fn planned_with(text: &str, planning: &Planning) -> Value {
    let value = evaluate(&parse(text), &Context::new(&world()).with_impure(Impure::Planned(planning)));
    value.unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn listed() -> World {
    let list = Value::list(["a", "b", "c"].map(Value::from));
    World { references: [("sim.a.list".to_owned(), list)].into(), ..World::default() }
}

fn applied(value: &Value, moment: &Moment) -> Value {
    let mut world = listed();
    world.references.insert("sim.a.id".to_owned(), "x".into());
    resolve(value, &Context::new(&world).with_impure(Impure::Applied(moment))).unwrap_or_else(|errors| panic!("{value:?}: {errors:?}"))
}

fn different(value: &Value) -> usize {
    fn gather(value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match (value.as_str(), value.elements()) {
            (Some(text), _) => drop(found.insert(text.to_owned())),
            (_, Some(items)) => items.for_each(|item| gather(item, found)),
            _ => panic!("{value:?} is not known"),
        }
    }
    let mut found = std::collections::BTreeSet::new();
    gather(value, &mut found);
    found.len()
}

#[test]
fn they_wait_for_apply_and_the_time_of_the_plan_does_not() {
    let planning = Planning::new("2025-01-31T12:00:00Z");
    assert!(!planned_with("timestamp()", &planning).is_known());
    assert!(!planning.shows_time());
    assert_eq!(planned_with("plantimestamp()", &planning), Value::from("2025-01-31T12:00:00Z"));
    assert!(planning.shows_time());
    let value = planned("\"${timestamp()} ${bcrypt(later, 4)} ${upper(uuid())}\"");
    assert_eq!(impure_calls(&value).into_iter().collect::<Vec<_>>(), ["bcrypt", "timestamp", "uuid"]);
    assert_eq!(expression_text(&value.to_expr()), "\"${timestamp()} ${bcrypt(sim.a.id, 4)} ${upper(uuid())}\"");
    let shown = applied(&value, &moment());
    assert!(shown.as_str().unwrap().starts_with("2025-02-01T00:00:00Z $2a$04$"), "{shown:?}");
    assert_eq!(applied(&planned("timecmp(timestamp(), plantimestamp())"), &moment()), Value::from(1_u64));
}

#[test]
fn one_call_is_one_value_and_two_are_two() {
    let value = planned("[for id in [uuid()] : [id, id]][0]");
    assert_eq!(different(&applied(&value, &moment())), 1);
    assert_eq!(applied(&value, &moment()), applied(&value, &moment()));
    assert_ne!(applied(&value, &moment()), applied(&value, &Moment { seed: "other".into(), ..moment() }));
    for (text, count) in [
        ("[uuid(), uuid()]", 2),
        ("[for i in [1, 2, 3] : uuid()]", 3),
        ("[for v in later_list : uuid()]", 3),
        ("[for i, v in later_list : uuid()]", 3),
        ("[for v in later_list : [for w in later_list : uuid()]]", 9),
        ("[for v in later_list : [for w in [1, 2] : uuid()]]", 6),
        ("[for i in [1, 2] : [for v in later_list : uuid()]]", 6),
        ("[for id in [uuid()] : [for v in later_list : id]]", 1),
        ("[for u in [[for v in later_list : uuid()]] : [for w in later_list : u]]", 3),
        ("split(\" \", trimspace(\"%{ for v in later_list }${uuid()} %{ endfor }\"))", 3),
        ("[bcrypt(\"x\", 4), bcrypt(\"x\", 4)]", 2),
    ] {
        let value = planned(text);
        assert_eq!(different(&applied(&value, &moment())), count, "{text}");
        // Written to disk and read back, and worked out in two steps, it is the same.
        let written: Value = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
        assert_eq!(applied(&written, &moment()), applied(&value, &moment()), "{text}");
        let halfway = resolve(&value, &Context::new(&listed())).unwrap();
        assert!(!halfway.is_known(), "{text}");
        assert_eq!(applied(&halfway, &moment()), applied(&value, &moment()), "{text}");
    }
}

#[test]
fn a_uuid_is_of_version_4() {
    let shown = applied(&planned("uuid()"), &moment());
    let text = shown.as_str().unwrap();
    assert_eq!((text.len(), text.get(14..15), text.get(19..20).map(|c| "89ab".contains(c))), (36, Some("4"), Some(true)), "{text}");
}

#[test]
fn where_nothing_can_fill_them_they_are_errors() {
    let none = World::default();
    let errors = evaluate(&parse("uuid()"), &Context::new(&none)).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), ["impure-call"]);
    // Names of functions that wait cannot be written.
    assert!(cloudtik_syntax::parse_expression(cloudtik_model::FileId(0), "$uuid([1])").is_err());
}

#[test]
fn what_is_made_of_a_secret_is_one() {
    let value = planned("bcrypt(sensitive(\"x\"), 4)");
    assert!(value.is_sensitive());
    assert!(applied(&value, &moment()).is_sensitive());
}
