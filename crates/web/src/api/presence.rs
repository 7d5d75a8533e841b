//! Presentities, their watchers and sources, feature codes, and the state of the cluster.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use proto::v1;
use serde::Deserialize;

use super::input::{body, parameters, segments};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::json;
use crate::service::{Service, presentity};

const PIDF: &str = "application/pidf+xml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    #[serde(default)]
    consistent: bool,
}

pub async fn status(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
) -> Result<Json<json::ClusterStatus>, ApiError> {
    let managers = service.status(&caller).await?;
    let managers = managers.into_iter().map(|(address, answer)| {
        let (status, error) = match answer {
            Ok(status) => (Some(status.into()), None),
            Err(reason) => (None, Some(reason)),
        };
        json::ManagerStatus { address: address.to_owned(), reachable: status.is_some(), error, status }
    });
    Ok(Json(json::ClusterStatus { managers: managers.collect() }))
}

pub async fn presence(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Consistency>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let presentity = presentity(&segments(path)?)?;
    let Consistency { consistent } = parameters(query, "there is `consistent=true` and nothing else")?;
    let found = service.get(&caller, &presentity, consistent).await?;
    if wants_document(&headers) {
        return Ok(([(header::CONTENT_TYPE, PIDF)], found.document).into_response());
    }
    Ok(Json(json::PresentityState::from(found)).into_response())
}

pub async fn watchers(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<json::Watchers>, ApiError> {
    let presentity = presentity(&segments(path)?)?;
    let watchers = service.watchers(&caller, &presentity).await?.watchers;
    let watchers = watchers.into_iter().map(Into::into).collect();
    Ok(Json(json::Watchers { presentity: presentity.uri(), watchers }))
}

pub async fn set_source(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<json::SourceChanged>, ApiError> {
    let (uri, source) = segments(path)?;
    let presentity = presentity(&uri)?;
    let hint = r#"send {"status": "away", "note": "Lunch", "expires": 3600, "contacts": [{"uri": "tel:+4930123456", "priority": 0.8}]}; a status or contacts are needed"#;
    let set: json::SetSource = body(sent, hint)?;
    let request = v1::PublishRequest {
        source: source.clone(),
        status: set.status,
        note: set.note,
        expires: set.expires,
        contacts: set.contacts.into_iter().map(contact).collect::<Result<_, _>>()?,
        ..v1::PublishRequest::default()
    };
    let done = service.publish(&caller, &presentity, request).await?;
    Ok(Json(json::SourceChanged { presentity: presentity.uri(), source, position: done.position }))
}

pub async fn remove_source(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<json::SourceChanged>, ApiError> {
    let (uri, source) = segments(path)?;
    let presentity = presentity(&uri)?;
    let done = service.remove(&caller, &presentity, &source).await?;
    Ok(Json(json::SourceChanged { presentity: presentity.uri(), source, position: done.position }))
}

pub async fn dial(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<json::Dialled>, ApiError> {
    let code = segments(path)?;
    let hint = r#"send {"account": "alice@vedette.test", "digit": "5"} to /v1/feature-codes/%2A48, with a "note" for a custom status"#;
    let json::FeatureCode { account, digit, note } = body(sent, hint)?;
    let account = presentity(&account)?;
    let request = v1::DialRequest { account: account.uri(), code, digit, note };
    let done = service.dial(&caller, &account, request).await?;
    Ok(Json(json::Dialled { account: account.uri(), status: done.status, position: done.position }))
}

fn contact(contact: json::Contact) -> Result<v1::Contact, ApiError> {
    let hint = "0 is the least and 1 the most";
    let priority = contact
        .thousandths()
        .ok_or_else(|| ApiError::bad_request(format!("{} is no priority", contact.priority), hint))?;
    Ok(v1::Contact { uri: contact.uri, priority })
}

fn wants_document(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(PIDF)
    })
}
