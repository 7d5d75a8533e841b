//! What the checks found: a line for each as it ends, or one JSON document.

use std::io::{self, Write};

use serde::Serialize;

use super::checks::{Check, Outcome, longest_name};
use super::server::{Server, Times};
use crate::ctl::failure::Failure;
use crate::ctl::table::printable;

pub struct Report {
    as_json: bool,
    document: Document,
}

#[derive(Serialize)]
struct Document {
    server: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    checks: Vec<Line>,
    latency_ms: Latencies,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    outcome: &'static str,
    expected: &'static str,
    came: String,
}

#[derive(Default, Serialize)]
struct Latencies {
    alone: Latency,
    together: Latency,
}

#[derive(Default, Serialize)]
struct Latency {
    questions: usize,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Report {
    pub fn new(server: &str, as_json: bool) -> Report {
        let document = Document {
            server: server.to_owned(),
            passed: 0,
            failed: 0,
            skipped: 0,
            checks: Vec::new(),
            latency_ms: Latencies::default(),
        };
        Report { as_json, document }
    }

    pub fn add(&mut self, out: &mut impl Write, check: &Check, outcome: Outcome) -> io::Result<()> {
        let document = &mut self.document;
        let (count, outcome, came) = match outcome {
            Outcome::Passed(came) => (&mut document.passed, "pass", came),
            Outcome::Failed(came) => (&mut document.failed, "FAIL", came),
            Outcome::Skipped(why) => (&mut document.skipped, "skip", why.to_owned()),
        };
        *count += 1;
        let line = Line { name: check.name, outcome, expected: check.expects, came: printable(&came) };
        if !self.as_json {
            let Line { name, expected, came, .. } = &line;
            writeln!(
                out,
                "{outcome}  {name:<width$}  expected: {expected}; came: {came}",
                width = longest_name()
            )?;
        }
        document.checks.push(line);
        Ok(())
    }

    pub fn end(mut self, out: &mut impl Write, server: &mut Server) -> Result<(), Failure> {
        let document = &mut self.document;
        document.latency_ms =
            Latencies { alone: Latency::of(&mut server.alone), together: Latency::of(&mut server.together) };
        if self.as_json {
            writeln!(out, "{}", serde_json::to_string_pretty(document)?)?;
        } else {
            let Document { passed, failed, skipped, latency_ms, .. } = document;
            writeln!(out)?;
            writeln!(out, "answers one by one:  {}", latency_ms.alone.words())?;
            writeln!(out, "answers all at once: {}", latency_ms.together.words())?;
            writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
        }
        match document.failed {
            0 => Ok(()),
            failed => Err(Failure::ChecksFailed { failed, of: document.checks.len() }),
        }
    }
}

impl Latency {
    fn of(times: &mut Times) -> Latency {
        Latency {
            questions: times.count(),
            p50: times.percentile(0.5),
            p99: times.percentile(0.99),
            max: times.percentile(1.0),
        }
    }

    fn words(&self) -> String {
        let Latency { questions, p50, p99, max } = self;
        format!("{questions} questions, p50 {p50} ms, p99 {p99} ms, max {max} ms")
    }
}
