//! What is asked: the questions that a manager would ask about the script's accounts.

use proto::v1::{AuthoriseRequest, Proof};
use sip::digest::Algorithm;

use super::login::{Login, Qop};
use super::script::{Address, Script};

/// One question, and the login behind its digest if it has one.
#[derive(Clone, Debug)]
pub struct Question {
    pub request: AuthoriseRequest,
    pub login: Option<Login>,
}

impl Question {
    /// The account does what it may do; how it is known to be the account is still open.
    pub fn by_account(script: &Script, method: &str) -> Question {
        let account = &script.account;
        let presentity = match (method, &account.watches) {
            ("SUBSCRIBE", Some(watched)) => watched,
            _ => &account.uri,
        };
        Question::new(&account.uri, method, presentity)
    }

    pub fn new(account: &Address, method: &str, presentity: &Address) -> Question {
        let request = AuthoriseRequest {
            account: account.to_string(),
            method: method.to_owned(),
            event: if method == "REGISTER" { "" } else { "presence" }.to_owned(),
            presentity: presentity.to_string(),
            realm: account.host().to_owned(),
            // RFC 5737: nobody's address.
            source: "192.0.2.10:5060".to_owned(),
            watcher: if method == "SUBSCRIBE" { account.to_string() } else { String::new() },
            ..AuthoriseRequest::default()
        };
        Question { request, login: None }
    }

    pub fn proven(mut self, proof: Proof) -> Question {
        self.request.set_proof(proof);
        if proof == Proof::Asserted {
            self.request.asserted_identity = self.request.account.clone();
        }
        self
    }

    /// A phone sends a digest made with this password.
    pub fn with_password(self, account: &Address, password: &str, algorithm: Algorithm) -> Question {
        let login = Login {
            username: account.user().to_owned(),
            realm: account.host().to_owned(),
            password: password.to_owned(),
            algorithm,
            qop: Qop::Auth,
            method: self.request.method.clone(),
        };
        self.proven(Proof::Digest).with_login(login)
    }

    /// The account's own password.
    pub fn right(self, script: &Script, algorithm: Algorithm) -> Question {
        self.with_password(&script.account.uri, &script.account.password, algorithm)
    }

    /// Changes the phone's login.
    pub fn login(mut self, change: impl FnOnce(&mut Login)) -> Question {
        let Some(mut login) = self.login.take() else { return self };
        change(&mut login);
        self.with_login(login)
    }

    pub fn request(mut self, change: impl FnOnce(&mut AuthoriseRequest)) -> Question {
        change(&mut self.request);
        self
    }

    /// The phone writes its whole address where its user name is asked for.
    pub fn whole_address(self) -> Question {
        let question = self.login(|login| login.username = format!("{}@{}", login.username, login.realm));
        question.request(|request| {
            let whole = request.account.trim_start_matches("sip:").replace('@', "%40");
            request.account = format!("sip:{whole}@{}", request.realm);
        })
    }

    fn with_login(mut self, login: Login) -> Question {
        self.request.digest = Some(login.digest());
        self.login = Some(login);
        self
    }

    /// In a few words, for people.
    pub fn words(&self) -> String {
        let AuthoriseRequest { account, method, presentity, .. } = &self.request;
        let short = |text: &str| super::super::table::cut(text, 40);
        let how = match (&self.login, self.request.proof()) {
            (Some(login), _) => login.algorithm.as_str().to_owned(),
            (None, proof) => proof.as_str_name().to_owned(),
        };
        format!("{} {} {} ({how})", short(account), short(method), short(presentity))
    }
}
