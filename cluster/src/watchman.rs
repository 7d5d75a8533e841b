//! Notices when this node must not go on, and says why: its directory cannot be kept, or the others know that it was
//! replaced, that its folder is an old copy, or that it belongs to nobody.
//!
//! The others are asked when the directory changes, and when one of them did not take a message for who sent it.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::Declared;
use crate::directory::Keeper;
use crate::front::Front;
use crate::hello::Asker;
use crate::tenure::{self, Moment, Tenure};

/// Peers that refuse many messages are asked why no more often than this.
const PAUSE: Duration = Duration::from_secs(1);

pub async fn keep(keeper: Keeper, ended: watch::Sender<Option<String>>) {
    let reason = keeper.run().await.unwrap_or_else(|| "the log of the system group has failed".to_owned());
    ended.send_replace(Some(reason));
}

pub async fn look_out(front: Front, declared: Declared, ended: watch::Sender<Option<String>>) {
    let asker = Asker::default();
    let mut changes = front.watch();
    loop {
        tokio::select! {
            () = front.doubted() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        let heard = asker.round(&front, &declared).await;
        let (me, own) = (front.introduction(), front.directory());
        let reason = match tenure::judge(&me, &own, &declared, &heard, Moment::Running) {
            Tenure::GoOn | Tenure::Wait(_) => None,
            Tenure::Refuse(refusal) => Some(refusal.to_string()),
            Tenure::StartOver(cluster) => Some(format!(
                "cluster {cluster} was never born, and too few of its founders are left; \
                 started again, this node takes part in another birth"
            )),
        };
        if reason.is_some() {
            ended.send_replace(reason);
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
