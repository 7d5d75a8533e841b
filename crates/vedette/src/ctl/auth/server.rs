//! The calls to the server under trial, and everything that it answered.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proto::v1::InvalidateAccountsRequest;
use proto::v1::auth_client::AuthClient;
use tls::{Outside, OutsideFiles, Protocol};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::question::Question;
use super::verdict::Answer;

/// How long the first message of a stream is waited for, which is to come at once.
const AT_ONCE: Duration = Duration::from_secs(2);

const CONNECT_TIME: Duration = Duration::from_secs(3);

pub struct Server {
    client: AuthClient<Channel>,
    deadline: Duration,
    /// Everything that was asked so far, with its answer.
    pub said: Vec<(Question, Answer)>,
    /// How long each question took that was asked alone.
    pub alone: Times,
    /// The same for those that were asked together.
    pub together: Times,
}

/// How long answers took.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

/// What became of an open InvalidateAccounts.
pub enum Stream {
    Told,
    /// UNIMPLEMENTED: the server hears of no changes itself.
    NotTold,
    Broken(String),
}

impl Server {
    /// Why it cannot be tried, in one line. The files are for an https:// URL.
    pub async fn connect(url: &str, files: OutsideFiles, deadline: Duration) -> Result<Server, String> {
        let endpoint = Endpoint::from_shared(url.to_owned()).ok().filter(|it| it.uri().authority().is_some());
        let endpoint = endpoint.ok_or_else(|| format!("{url:?} is not written as http://HOST:PORT"))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIME).tcp_nodelay(true);
        let connected = match endpoint.uri().scheme_str() {
            Some("http") => endpoint.connect().await,
            Some("https") => {
                let outside = Outside::new("billing", files).map_err(|bad| bad.to_string())?;
                endpoint.connect_with_connector(outside.connector(Protocol::Grpc)).await
            }
            _ => return Err(format!("{url:?} begins neither with http:// nor with https://")),
        };
        let channel = connected.map_err(|error| {
            let reason = proto::reason(&Status::from_error(Box::new(error)));
            format!("no server answers at {url}: {reason}")
        })?;
        Ok(Server {
            client: AuthClient::new(channel),
            deadline,
            said: Vec::new(),
            alone: Times::default(),
            together: Times::default(),
        })
    }

    pub async fn ask(&mut self, question: Question) -> Answer {
        let (answer, took) = self.call(&question).await;
        self.alone.0.push(took);
        self.said.push((question, answer.clone()));
        answer
    }

    /// All at the same time, over one connection.
    pub async fn ask_together(&mut self, questions: Vec<Question>) -> Vec<(Question, Answer)> {
        let answers = join_all(questions.iter().map(|question| self.call(question))).await;
        let (answers, took): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        self.together.0.extend(took);
        let said: Vec<_> = questions.into_iter().zip(answers).collect();
        self.said.extend(said.iter().cloned());
        said
    }

    async fn call(&self, question: &Question) -> (Answer, Duration) {
        let mut request = question.request.clone();
        request.deadline_ms = self.deadline.as_millis() as u32;
        let asked = Instant::now();
        let answer = match timeout(self.deadline, self.client.clone().authorise(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(self.too_late()),
        };
        (answer, asked.elapsed())
    }

    /// Opens InvalidateAccounts, and waits for its first message.
    pub async fn follow(&mut self) -> Stream {
        let opened_and_told = async {
            let mut stream =
                self.client.invalidate_accounts(InvalidateAccountsRequest {}).await?.into_inner();
            stream.message().await
        };
        match timeout(AT_ONCE, opened_and_told).await {
            Ok(Ok(Some(_))) => Stream::Told,
            Ok(Ok(None)) => Stream::Broken("the stream ended without a message".to_owned()),
            Ok(Err(status)) if status.code() == Code::Unimplemented => Stream::NotTold,
            Ok(Err(status)) => Stream::Broken(format!("{:?}: {}", status.code(), proto::reason(&status))),
            Err(_) => Stream::Broken("no message at once".to_owned()),
        }
    }

    fn too_late(&self) -> Status {
        Status::deadline_exceeded(format!("no answer within {} ms", self.deadline.as_millis()))
    }
}

impl Times {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this share of the answers needed at most, in milliseconds.
    pub fn percentile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let place = (self.0.len() as f64 * share).ceil() as usize;
        let found = self.0.get(place.saturating_sub(1)).copied().unwrap_or_default();
        (found.as_secs_f64() * 10_000.0).round() / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let mut times = Times((1..=100).rev().map(Duration::from_millis).collect());

        assert_eq!(
            (times.percentile(0.5), times.percentile(0.99), times.percentile(1.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(Times::default().percentile(0.5), 0.0);
    }
}
