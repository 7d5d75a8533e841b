//! Notices when this node must not go on, and says why: its directory cannot be kept, one of its tasks ended, or the
//! others know that it was replaced, that its folder is an old copy, or that it belongs to nobody.
//!
//! The others are asked when the directory changes, and when one of them did not take a message for who sent it.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::config::Declared;
use crate::directory::Keeper;
use crate::membership::front::Front;
use crate::membership::hello::Asker;
use crate::membership::tenure::{self, Moment, Tenure};

/// Peers that refuse many messages are asked why no more often than this.
const PAUSE: Duration = Duration::from_secs(1);

pub async fn keep(keeper: Keeper, ended: watch::Sender<Option<String>>) {
    let reason = keeper.run().await.unwrap_or_else(|| "the log of the system group has failed".to_owned());
    ended.send_replace(Some(reason));
}

/// Half a node would lead and take no commands, so the first task that ends or panics is the end of all. Returns the tasks
/// when it is told to stop: from then on they may end.
pub async fn stand_by(
    mut tasks: JoinSet<()>,
    mut stop: oneshot::Receiver<()>,
    ended: watch::Sender<Option<String>>,
) -> JoinSet<()> {
    tokio::select! {
        biased;
        // It was stopped, or the node is gone.
        _ = &mut stop => return tasks,
        Some(end) = tasks.join_next() => {
            let reason = match end {
                Ok(()) => "a task of this node ended".to_owned(),
                Err(failure) => format!("a task of this node failed: {failure}"),
            };
            // A task that knows better has said so itself.
            ended.send_if_modified(|said| said.is_none() && said.replace(reason).is_none());
        }
    }
    let _ = stop.await;
    tasks
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_the_end_of_the_node() {
        let (mut tasks, ended) = (JoinSet::new(), watch::Sender::new(None));
        let (_stop, stopped) = oneshot::channel();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("on purpose") });

        tokio::spawn(stand_by(tasks, stopped, ended.clone()));

        let mut said = ended.subscribe();
        let reason = said.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(reason.contains("on purpose"), "{reason}");
    }

    #[tokio::test]
    async fn tasks_that_end_after_the_stop_are_no_reason_and_a_reason_that_was_given_stays() {
        let (mut tasks, ended) = (JoinSet::new(), watch::Sender::new(None));
        let (stop, stopped) = oneshot::channel();
        tasks.spawn(async {});
        stop.send(()).unwrap();
        let mut tasks = stand_by(tasks, stopped, ended.clone()).await;
        assert_eq!(*ended.borrow(), None);

        tasks.spawn(async {});
        ended.send_replace(Some("replaced".to_owned()));
        let (stop, stopped) = oneshot::channel();
        let standing_by = tokio::spawn(stand_by(tasks, stopped, ended.clone()));
        tokio::task::yield_now().await;
        drop(stop);
        standing_by.await.unwrap();
        assert_eq!(ended.borrow().as_deref(), Some("replaced"));
    }
}
