//! The document that programs get, held against what the port answers.

use reqwest::{Method, StatusCode, header};
use serde_json::Value;

use crate::fake::{Api, nowhere};

#[tokio::test]
async fn every_path_takes_the_methods_that_the_document_tells_and_no_other() {
    let api = Api::start(&[&nowhere().await]).await;
    let document: Value = api.get("/v1/openapi.json").await.json().await.unwrap();

    for (path, item) in document["paths"].as_object().unwrap() {
        let mut told: Vec<_> = ["get", "put", "post", "delete", "patch"]
            .into_iter()
            .filter(|method| item.get(method).is_some())
            .map(str::to_uppercase)
            .collect();
        let path = path.replace("{uri}", "alice@vedette.test").replace("{id}", "x").replace("{code}", "x");

        let refused = api.http.request(Method::TRACE, api.url(&path)).send().await.unwrap();

        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = refused.headers()[header::ALLOW].to_str().unwrap();
        let mut allowed: Vec<_> = allowed.split(',').filter(|method| *method != "HEAD").collect();
        told.sort();
        allowed.sort();
        assert_eq!(told, allowed, "{path}");
    }
}

#[tokio::test]
async fn the_front_page_names_every_path() {
    let api = Api::start(&[&nowhere().await]).await;
    let document: Value = api.get("/v1/openapi.json").await.json().await.unwrap();
    let page = api.get("/").await.text().await.unwrap();

    for path in document["paths"].as_object().unwrap().keys() {
        assert!(page.contains(&format!(" {path}")), "{path}");
    }
}
