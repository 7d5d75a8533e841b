//! The document and the code say the same, each all of what the other says.

use std::collections::BTreeSet;

use proto::v1;
use serde::Serialize;
use serde_json::Value;

use super::DOCUMENT;
use crate::{CallState, api, json, live};

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("the document is JSON")
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("this is an object").keys().cloned().collect()
}

#[test]
fn every_route_is_told_and_every_path_that_is_told_is_there() {
    let routes = api::routes(CallState::default()).into_iter().map(|(path, _)| path.to_owned());
    let there: BTreeSet<_> = routes.chain(live::PATHS.map(str::to_owned)).collect();

    assert_eq!(keys(&document()["paths"]), there);
}

#[test]
fn every_segment_of_a_path_that_varies_is_explained() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let shared = &document["components"]["parameters"]["uri"]["name"];
        let named: BTreeSet<_> = item["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| parameter.get("name").unwrap_or(shared).as_str().unwrap())
            .collect();
        let varies: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(named, varies, "{path}");
    }
}

#[test]
fn every_field_is_told_and_every_field_that_is_told_is_there() {
    let document = document();
    let schemas = &document["components"]["schemas"];

    for (name, sample) in samples() {
        assert_eq!(keys(&schemas[name]["properties"]), keys(&sample), "{name}");
    }
}

#[test]
fn every_shape_has_a_schema_and_every_schema_is_a_shape() {
    let code = concat!(
        include_str!("../json/mod.rs"),
        include_str!("../json/cluster.rs"),
        include_str!("../json/presence.rs")
    );
    let shapes: BTreeSet<_> = code
        .lines()
        .filter_map(|line| line.strip_prefix("pub struct ")?.strip_suffix(" {"))
        // A position is written as text.
        .filter(|name| *name != "Position")
        .map(str::to_owned)
        .collect();

    assert_eq!(keys(&document()["components"]["schemas"]), shapes);
    assert_eq!(samples().into_iter().map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>(), shapes);
}

#[test]
fn a_field_that_may_be_left_out_of_a_request_is_not_required() {
    let required = |name: &str| document()["components"]["schemas"][name]["required"].clone();

    let set: json::SetSource = serde_json::from_str("{}").unwrap();
    let code: json::FeatureCode = serde_json::from_str(r#"{"account": "alice@vedette.test"}"#).unwrap();
    let contact: json::Contact = serde_json::from_str(r#"{"uri": "tel:+4930"}"#).unwrap();

    assert_eq!(required("SetSource"), serde_json::json!([]), "{set:?}");
    assert_eq!(required("FeatureCode"), serde_json::json!(["account"]), "{code:?}");
    assert_eq!(required("Contact"), serde_json::json!(["uri"]), "{contact:?}");
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);

    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference stays in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// One of each shape, with everything that it can hold.
fn samples() -> Vec<(&'static str, Value)> {
    fn one(shape: impl Serialize) -> Value {
        serde_json::to_value(shape).unwrap()
    }
    let word = || "word".to_owned();
    let node: json::NodeStatus = v1::NodeStatus::default().into();
    let managers = json::ManagerStatus {
        address: word(),
        reachable: true,
        error: Some(word()),
        status: Some(node.clone()),
    };
    let contact = json::Contact { uri: word(), priority: 1.0 };
    let set = json::SetSource { status: word(), note: word(), expires: 1, contacts: vec![contact.clone()] };
    let watcher: json::Watcher = v1::Watcher { tenant: word(), ..Default::default() }.into();
    vec![
        ("ClusterStatus", one(json::ClusterStatus { managers: vec![] })),
        ("ManagerStatus", one(managers)),
        ("NodeStatus", one(node)),
        ("Member", one(json::Member::from(v1::Member::default()))),
        ("GroupStatus", one(json::GroupStatus::from(v1::GroupStatus::default()))),
        ("GroupCounts", one(json::GroupCounts::default())),
        ("PresentityState", one(json::PresentityState::from(v1::PresentityState::default()))),
        ("PresentityCounts", one(json::PresentityCounts::default())),
        ("Watchers", one(json::Watchers { presentity: word(), watchers: vec![] })),
        ("Watcher", one(watcher)),
        ("SetSource", one(set)),
        ("Contact", one(contact)),
        ("SourceChanged", one(json::SourceChanged { presentity: word(), source: word(), position: word() })),
        ("History", one(json::History { presentity: word(), changes: vec![] })),
        ("Change", one(json::Change::from(v1::Change::default()))),
        ("FeatureCode", one(json::FeatureCode { account: word(), digit: word(), note: word() })),
        ("Dialled", one(json::Dialled { account: word(), status: word(), position: word() })),
        ("Refusal", one(json::Refusal { error: word(), hint: word() })),
    ]
}
