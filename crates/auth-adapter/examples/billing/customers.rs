//! The customers, as a TOML file has them. A provider has a database here.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// All customers, by address.
#[derive(Clone, Debug, Default)]
pub struct Customers {
    held: BTreeMap<String, Customer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// Such as "sip:alice@example.com".
    pub uri: String,
    pub password: String,
    /// A blocked customer is denied everything.
    #[serde(default)]
    pub blocked: bool,
    /// Whose customer this is, where one server has the customers of several companies.
    #[serde(default)]
    pub tenant: String,
    /// The longest subscription, publication or registration in seconds; 0 leaves it to the managers.
    #[serde(default)]
    pub max_expires: u32,
    /// How many subscriptions there may be at one time; 0 sets no limit.
    #[serde(default)]
    pub max_subscriptions: u32,
    #[serde(default)]
    pub watchers: Watchers,
    /// Those who may watch in any case, as addresses.
    #[serde(default)]
    pub approved: Vec<String>,
}

/// Who may watch a customer without being approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watchers {
    #[default]
    Everybody,
    /// Others wait until they are approved.
    Ask,
    /// Nobody.
    Approved,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    customer: Vec<Customer>,
}

impl Customers {
    pub fn from_file(path: &Path) -> Result<Customers, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Customers::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub fn parse(text: &str) -> Result<Customers, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let held = file.customer.into_iter().map(|customer| (customer.uri.clone(), customer)).collect();
        Ok(Customers { held })
    }

    pub fn find(&self, uri: &str) -> Option<&Customer> {
        self.held.get(uri)
    }

    pub fn find_mut(&mut self, uri: &str) -> Option<&mut Customer> {
        self.held.get_mut(uri)
    }
}
