//! One run: everything is set up, goes wrong and settles; then the judge has what it needs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use twotick::clock::Clock;

use crate::api::Api;
use crate::check::{self, Findings, Seen};
use crate::feed;
use crate::ground::Ground;
use crate::instances::Instances;
use crate::mail::Mail;
use crate::person;
use crate::plan::Plan;
use crate::progress::{Progress, moment};
use crate::provider::{Provider, SECRET};
use crate::strangers::Strangers;
use crate::trouble::{self, Troubles};
use crate::{ask, told};

/// A run in which nothing happens for so long has come to an end, whether it should have or not.
const STILL: Duration = Duration::from_secs(60);
/// Between two words about how far it is.
const REPORT: Duration = Duration::from_secs(10);
/// What an instance may ever take.
const MOST_KIB: usize = 512 << 10;

/// All that runs.
struct Run<'a> {
    plan: &'a Plan,
    ground: Arc<Ground>,
    instances: Arc<Instances>,
    api: Api,
    provider: Arc<Provider>,
    mail: Arc<Mail>,
    progress: Arc<Progress>,
    senders: Vec<String>,
    clock: Clock,
    began: Instant,
}

/// Runs the plan. What is wrong, and what happened in some lines.
pub async fn run(plan: &Plan) -> (Findings, String) {
    let run = Run::begin(plan).await;
    let (promised, troubles, events, (), ()) = tokio::join!(
        run.ask(),
        trouble::make(&run.ground, &run.instances, plan, &run.progress),
        feed::follow(&run.api, &run.progress, || run.mail.acknowledged()),
        person::look_after(&run.api, &run.provider, &run.progress),
        run.settle(),
    );
    let took = run.began.elapsed();
    run.judge(promised, events, &troubles, took).await
}

impl<'a> Run<'a> {
    async fn begin(plan: &'a Plan) -> Self {
        let ground = Arc::new(Ground::prepare(plan.is_long()).await);
        let instances = Arc::new(Instances::start(&ground));
        let api = Api::new(Arc::clone(&instances), &ground.key);
        let provider = Arc::new(Provider::start(plan.seed).await);
        let connection = json!({
            "name": "shop", "provider": "meta", "base_url": provider.url, "api_version": "v25.0",
            "access_token": "token", "app_secrets": [SECRET], "verify_token": "verify",
        });
        let connection = api
            .create("/v1/connections", &connection, "connection")
            .await;
        let (mut senders, mut numbers) = (Vec::new(), Vec::new());
        for n in 0..plan.senders {
            numbers.push(format!("31002244668{n:04}"));
            let sender = json!({
                "connection": connection["id"], "phone_number_id": numbers[n],
                "messages_per_second": 1000,
            });
            let made = api.create("/v1/senders", &sender, &numbers[n]).await;
            senders.push(made["id"].as_str().unwrap().to_owned());
        }
        let progress = Arc::<Progress>::default();
        let mail = Mail::new(
            api.clone(),
            connection["webhook_path"].as_str().unwrap(),
            Arc::clone(&progress),
            plan,
            Strangers::new(plan.seed, &numbers),
        );
        provider.post_webhooks_to(&mail.open().await).await;
        let clock = Clock::system();
        Self {
            plan,
            ground,
            instances,
            api,
            provider,
            mail,
            progress,
            senders,
            began: clock.monotonic(),
            clock,
        }
    }

    async fn ask(&self) -> Vec<usize> {
        let promised = ask::ask(&self.api, self.plan, &self.senders, &self.progress).await;
        self.progress.all_asked.store(true, Ordering::Relaxed);
        promised
    }

    /// Until all has happened, or nothing happens any more.
    async fn settle(&self) {
        let (mut last, mut reported) = ((0, 0, 0), self.began);
        let mut moved = self.began;
        loop {
            let accepted = self.provider.accepted().await;
            self.progress.accepted.store(accepted, Ordering::Relaxed);
            let webhooks = Progress::get(&self.progress.webhooks);
            let now = (accepted, webhooks, Progress::get(&self.progress.retried));
            let at = self.clock.monotonic();
            if now != last {
                (last, moved) = (now, at);
            }
            if at - reported > REPORT {
                reported = at;
                eprintln!("{}", self.report());
            }
            if self.has_settled().await || at - moved > STILL {
                return self.progress.over.store(true, Ordering::Relaxed);
            }
            moment(50).await;
        }
    }

    async fn has_settled(&self) -> bool {
        let said = Progress::is(&self.progress.all_asked)
            && self.provider.is_idle().await
            && self.mail.is_empty();
        if !said {
            return false;
        }
        for status in ["running", "held"] {
            let path = format!("/v1/sequences?limit=1&status={status}");
            let page = self.api.get(&path).await;
            if !page["data"].as_array().unwrap().is_empty() {
                return false;
            }
        }
        // What was said last may have come before what was asked first.
        self.provider.is_idle().await && self.mail.is_empty()
    }

    fn report(&self) -> String {
        let progress = &self.progress;
        format!(
            "{:>5.0} s: {} of {} messages taken, {} of {} webhooks answered 200 ({} posted), \
             {} deaths, {} retried by the person, {} MiB at most",
            self.began.elapsed().as_secs_f64(),
            Progress::get(&progress.accepted),
            self.plan.messages,
            Progress::get(&progress.webhooks),
            self.plan.webhooks,
            Progress::get(&progress.posted),
            self.instances.deaths(),
            Progress::get(&progress.retried),
            self.instances.most_kib() >> 10,
        )
    }

    async fn judge(
        self,
        promised: Vec<usize>,
        events: feed::Events,
        troubles: &Troubles,
        took: Duration,
    ) -> (Findings, String) {
        let (said, odd) = self.mail.end();
        let (posts, statuses) = self.provider.log().await;
        let told = told::ask(&self.api, check::strange(&said, &posts)).await;
        let mut summary = format!("{}\nin {took:.1?}: {troubles:?}", self.report());
        let strangers = check::strange(&said, &posts).count();
        let _ = write!(
            summary,
            "\n{} sequences, {} POSTs, {} messages of strangers, {} events of statuses",
            promised.len(),
            posts.len(),
            strangers,
            events
                .values()
                .flatten()
                .map(|n| usize::from(*n))
                .sum::<usize>(),
        );
        let ours = said
            .iter()
            .filter(|(wamid, _)| !told.strangers.contains_key(*wamid));
        let ours: usize = ours.map(|(_, said)| said.iter().flatten().count()).sum();
        let mut findings = check::check(&Seen {
            sequences: self.plan.sequences.clone(),
            promised,
            posts,
            said,
            events,
            told,
        });
        findings.odd.extend(odd);
        findings.odd.extend(self.api.odd());
        findings.odd.extend(self.instances.errors());
        findings.odd.extend(told::problems(&self.api).await);
        findings.odd.extend(self.oddities(troubles, ours, statuses));
        drop(self.instances);
        drop(self.api);
        (findings, summary)
    }

    /// What is wrong with the run itself, or with its instances.
    fn oddities(&self, troubles: &Troubles, brought: usize, said: usize) -> Vec<String> {
        let mut odd = Vec::new();
        let gave_up = self.instances.gave_up();
        if gave_up > 0 {
            odd.push(format!("{gave_up} instances ended by themselves"));
        }
        let most = self.instances.most_kib();
        if most > MOST_KIB {
            odd.push(format!("an instance took {most} KiB"));
        }
        if brought != said {
            odd.push(format!(
                "the provider said {said} statuses, the mail brought {brought}"
            ));
        }
        let made: usize = troubles.values().sum();
        if made != self.plan.troubles.len() {
            let planned = self.plan.troubles.len();
            odd.push(format!("{made} of {planned} troubles came"));
        }
        odd
    }
}
