//! The token that opens the API: from the environment, or from where `vedette up` leaves it for its user.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use reqwest::Url;

const VARIABLE: &str = "VEDETTE_TOKEN";

pub struct Token {
    pub text: String,
    /// Where it came from, for a message when the server does not take it.
    pub origin: String,
}

/// Where the token of the server behind `api` lies: a folder that only this user can read. `None` when there is no such
/// folder, or `api` is no URL.
pub fn token_file(api: &str) -> Option<PathBuf> {
    file_of(&Url::parse(api).ok()?)
}

/// Or what to do to have one.
pub fn find(api: &Url) -> Result<Token, String> {
    if let Some(text) = env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty()) {
        return Ok(Token { text: text.trim().to_owned(), origin: VARIABLE.to_owned() });
    }
    let Some(file) = file_of(api) else {
        return Err(format!("this needs a token of the server: set {VARIABLE}"));
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Token { text: text.trim().to_owned(), origin: file.display().to_string() }),
        Err(error) => Err(format!(
            "this needs a token of the server: set {VARIABLE}, or be the user of `vedette up`, which leaves it in {} ({error})",
            file.display()
        )),
    }
}

fn file_of(api: &Url) -> Option<PathBuf> {
    let folder = folder(env::var_os("XDG_RUNTIME_DIR"), env::var_os("HOME"))?;
    Some(folder.join(file_name(api)?))
}

fn folder(runtime: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |folder: &PathBuf| folder.is_absolute();
    let runtime = runtime.map(PathBuf::from).filter(absolute);
    let cache = || home.map(PathBuf::from).filter(absolute).map(|home| home.join(".cache"));
    Some(runtime.or_else(cache)?.join(Path::new("vedette")))
}

fn file_name(api: &Url) -> Option<String> {
    // The same server, for whoever starts it and whoever asks it on this machine.
    let host = match api.host_str()? {
        "localhost" | "0.0.0.0" | "[::]" => "127.0.0.1",
        host => host.trim_matches(['[', ']']),
    };
    Some(format!("token-{host}-{}", api.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_by_the_server_and_not_by_how_its_url_is_written() {
        let name = |api| file_name(&Url::parse(api).unwrap()).unwrap();

        assert_eq!(name("http://127.0.0.1:8080"), "token-127.0.0.1-8080");
        assert_eq!(name("http://localhost:8080/"), "token-127.0.0.1-8080");
        assert_eq!(name("http://0.0.0.0:8080"), "token-127.0.0.1-8080");
        assert_eq!(name("http://vedette.test"), "token-vedette.test-80");
        assert_eq!(name("http://[::1]:8080"), "token-::1-8080");
    }

    #[test]
    fn the_folder_is_the_users_runtime_folder_or_else_the_cache() {
        let at =
            |runtime: Option<&str>, home: Option<&str>| folder(runtime.map(Into::into), home.map(Into::into));

        assert_eq!(at(Some("/run/user/7"), Some("/home/a")), Some("/run/user/7/vedette".into()));
        assert_eq!(at(Some(""), Some("/home/a")), Some("/home/a/.cache/vedette".into()));
        assert_eq!(at(None, None), None);
    }
}
