//! An accounts file that changes under a running adapter.

use std::time::Duration;

use auth_adapter::Source;
use proto::v1::Decision;

use super::{Manager, subscribe, told};

const ALICE: &str = "[[account]]\nuri = \"sip:alice@vedette.test\"\npassword = \"alicepw\"\n";
const CAROL: &str = "[[account]]\nuri = \"sip:carol@vedette.test\"\npassword = \"carolpw\"\n";

#[tokio::test]
async fn a_customer_who_is_blocked_or_added_is_told_and_answered_so_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, ALICE).unwrap();
    let life = Duration::from_secs(3600);
    let manager = Manager::before(Source::File { path: file.path().to_owned(), life }).await;
    let mut changes = manager.follow().await;
    assert_eq!(manager.ask(subscribe("alice")).await.unwrap().decision(), Decision::Verify);
    assert_eq!(manager.ask(subscribe("carol")).await.unwrap().decision(), Decision::Deny);

    std::fs::write(&file, format!("{ALICE}blocked = true\n{CAROL}")).unwrap();

    let told = told(&mut changes).await.unwrap();
    assert_eq!(told.accounts, ["sip:alice@vedette.test", "sip:carol@vedette.test"]);
    let blocked = manager.ask(subscribe("alice")).await.unwrap();
    assert_eq!((blocked.decision(), blocked.sip_reason.as_str()), (Decision::Deny, "Account Blocked"));
    assert_eq!(manager.ask(subscribe("carol")).await.unwrap().decision(), Decision::Verify);
}
