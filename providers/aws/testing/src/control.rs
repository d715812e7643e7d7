//! What a test says to a proxy that runs: paths below `/_proxy/`, JSON in and out.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::answer::Answer;
use crate::call::Http;
use crate::config::Config;
use crate::record::counts;
use crate::state::{Hold, Shared};

/// What the paths begin with.
pub(crate) const PREFIX: &str = "/_proxy/";

/// Stops everything after so many more calls that changed something.
#[derive(Deserialize)]
struct HoldAfter {
    after: u64,
}

/// Answers one.
pub(crate) fn answer(shared: &Shared, http: &Http) -> Answer {
    let path = http.target.split('?').next().unwrap_or_default();
    let answered = match (http.method.as_str(), path.trim_start_matches(PREFIX)) {
        ("GET", "requests") => Ok(json!(shared.state().requests.all)),
        ("GET", "counts") => Ok(json!(counts(&shared.state().requests.all))),
        ("GET", "config") => Ok(json!(shared.state().config)),
        ("GET", "held") => Ok(json!(shared.held())),
        ("POST", "reset") => {
            let mut state = shared.state();
            state.requests.reset();
            state.faults.reset();
            Ok(json!({}))
        }
        ("PUT", "config") => configure(shared, http, false),
        ("PATCH", "config") => configure(shared, http, true),
        ("POST", "hold") => hold(shared, http),
        ("POST", "release") => {
            shared.release();
            Ok(json!({}))
        }
        (method, path) => Err((404, format!("there is no {method} {path}"))),
    };
    match answered {
        Ok(json) => Answer::new(200, "application/json", json.to_string()),
        Err((status, text)) => Answer::new(status, "application/json", json!({ "error": text }).to_string()),
    }
}

type Answered = Result<Json, (u16, String)>;

/// Takes other switches: all of them, or those that are named.
fn configure(shared: &Shared, http: &Http, merges: bool) -> Answered {
    let given: Json = serde_json::from_slice(&http.body).map_err(|error| (400, error.to_string()))?;
    let mut state = shared.state();
    let mut whole = if merges { json!(state.config) } else { json!({}) };
    merge(&mut whole, given);
    let config: Config = serde_json::from_value(whole).map_err(|error| (400, error.to_string()))?;
    if config.faults != state.config.faults {
        state.faults.reset();
    }
    state.config = config;
    Ok(json!(state.config))
}

/// Objects are merged by name; everything else is replaced.
fn merge(into: &mut Json, given: Json) {
    match (into, given) {
        (Json::Object(into), Json::Object(given)) => {
            for (name, value) in given {
                merge(into.entry(name).or_insert(Json::Null), value);
            }
        }
        (into, given) => *into = given,
    }
}

fn hold(shared: &Shared, http: &Http) -> Answered {
    let wanted: HoldAfter = serde_json::from_slice(&http.body).map_err(|error| (400, error.to_string()))?;
    if wanted.after == 0 {
        return Err((400, "`after` counts from 1".to_owned()));
    }
    shared.state().hold = Hold { after: Some(wanted.after), at: None };
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn say(shared: &Shared, method: &str, path: &str, body: &str) -> (u16, Json) {
        let http = Http {
            method: method.to_owned(),
            target: format!("{PREFIX}{path}"),
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..Http::default()
        };
        let answer = answer(shared, &http);
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    #[test]
    fn switches_are_merged() {
        let shared = Shared::new(([127, 0, 0, 1], 1).into(), Config::strict());
        let (status, config) = say(&shared, "PATCH", "config", r#"{"pages":{"size_max":3},"lag_ms":7}"#);
        assert_eq!((status, &config["pages"]["size_max"], &config["pages"]["on"]), (200, &json!(3), &json!(true)));
        assert_eq!((config["lag_ms"].clone(), config["tokens"].clone()), (json!(7), json!(true)));
        assert_eq!(say(&shared, "PATCH", "config", r#"{"nonsense":1}"#).0, 400);
        assert_eq!(say(&shared, "PUT", "config", "{}").1["tokens"], json!(false));
    }

    #[test]
    fn what_is_unknown_is_said() {
        let shared = Shared::new(([127, 0, 0, 1], 1).into(), Config::default());
        assert_eq!(say(&shared, "GET", "nothing", "").0, 404);
        assert_eq!(say(&shared, "POST", "hold", r#"{"after":0}"#).0, 400);
        assert_eq!(say(&shared, "POST", "hold", r#"{"after":2}"#).0, 200);
        assert_eq!(say(&shared, "GET", "held", "").1["held"], json!(false));
    }
}
