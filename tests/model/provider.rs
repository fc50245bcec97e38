//! The provider: a few lines of HTTP that do with each POST what the history says, and a log of
//! what was asked of it, what it took and what it said. The log is what the reference model is
//! asked about; it shares no code with the service, nor with the simulator.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use twotick::clock::Clock;

use crate::history::{Answer, Fate, Saying, Step, TEMPLATES, Word};
use crate::run::{ANSWER_TIMEOUT, POST_TIMEOUT};

/// Longer than the service waits, shorter than it listens.
const LATE: Duration = POST_TIMEOUT.saturating_add(Duration::from_millis(60));
/// An answer that was written by then was heard, if whoever asked was still there.
const SURELY_HEARD: Duration = ANSWER_TIMEOUT.saturating_sub(Duration::from_millis(200));

/// How often others on this thread have their turn after an answer, before it is called heard.
const LOOKS: usize = 8;

pub const WABA: &str = "204411887755301";
pub const LANGUAGE: &str = "en_US";

/// When something happened: its place among all that the log holds, and the service's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub tick: u64,
    pub at: OffsetDateTime,
}

/// A POST as it came.
#[derive(Debug, Clone)]
pub struct Post {
    /// Of the history's steps.
    pub step: usize,
    /// Our callback data: the attempt.
    pub attempt: String,
    pub n: i16,
    pub arrived: Moment,
    pub answer: Answer,
    /// The id it was given, if it was taken.
    pub took: Option<String>,
    /// An answer was about to be written.
    pub answered: Option<Moment>,
    /// It was written early enough for whoever asked to hear it, if that was still alive.
    pub heard: bool,
}

impl Post {
    /// Whether the answer came when the service had stopped waiting for it, if it came.
    pub fn is_late(&self) -> bool {
        let waited = self.answered.map(|answered| answered.at - self.arrived.at);
        waited.is_none_or(|waited| waited > POST_TIMEOUT / 2)
    }
}

/// A status as it was said.
#[derive(Debug, Clone)]
pub struct Said {
    pub wamid: String,
    pub word: Result<Word, i64>,
    /// Seconds since 1970.
    pub dated: i64,
    pub callback: bool,
    pub begun: Moment,
    /// When 200 came.
    pub done: Option<Moment>,
}

/// What was said of a template: by a webhook, or to whoever read it.
#[derive(Debug, Clone)]
pub struct TemplateSaid {
    pub template: usize,
    pub paused: bool,
    /// Seconds since 1970.
    pub dated: i64,
    pub begun: Moment,
    pub done: Option<Moment>,
}

#[derive(Debug, Clone)]
pub struct Pending {
    pub wamid: String,
    /// Our callback data, where it comes back.
    pub callback: Option<String>,
    pub word: Result<Word, i64>,
    pub dated: i64,
    pub copies: usize,
}

/// What one history has seen of the provider.
#[derive(Debug, Default)]
pub struct Log {
    pub posts: Vec<Post>,
    pub said: Vec<Said>,
    pub templates: Vec<TemplateSaid>,
    /// Statuses that are to be said.
    pub pending: Vec<Pending>,
    /// What is to be said of templates: which, paused, and the second of it.
    pub pending_templates: Vec<(usize, bool, i64)>,
    /// Exchanges that have not ended.
    pub open: usize,
    paused: [bool; TEMPLATES],
    steps: Vec<Step>,
    number: u64,
    /// The second the history began: what statuses are dated from.
    pub since: i64,
}

#[derive(Debug, Clone)]
pub struct Provider {
    clock: Clock,
    tick: Arc<std::sync::atomic::AtomicU64>,
    log: Arc<Mutex<Log>>,
}

impl Provider {
    /// Listens on a port of its own, as long as the runtime lives.
    pub async fn start(clock: Clock) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self {
            clock,
            tick: Arc::default(),
            log: Arc::default(),
        };
        let serving = provider.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let provider = serving.clone();
                tokio::spawn(async move { provider.serve(stream).await });
            }
        });
        (provider, url)
    }

    /// A new history: what comes for an older one is dropped.
    pub fn begin(&self, number: u64, steps: Vec<Step>) {
        *self.log() = Log {
            steps,
            number,
            since: self.clock.now().unix_timestamp(),
            ..Log::default()
        };
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub fn moment(&self) -> Moment {
        use std::sync::atomic::Ordering::Relaxed;
        Moment {
            tick: self.tick.fetch_add(1, Relaxed),
            at: self.clock.now(),
        }
    }

    /// Pauses or approves a template; its webhook is to be said.
    pub fn set_template(&self, template: usize, paused: bool) {
        let at = self.moment().at.unix_timestamp();
        let mut log = self.log();
        if log.paused[template] != paused {
            log.paused[template] = paused;
            log.pending_templates.push((template, paused, at));
        }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some((head, body)) = read_request(&mut stream, &mut buffer).await {
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let went_on = match method {
                "POST" => self.take(&mut stream, path, &body).await,
                _ => self.show_template(&mut stream, path).await,
            };
            if went_on.is_none() {
                return;
            }
        }
    }

    /// One POST. `None`: the connection breaks.
    async fn take(&self, stream: &mut TcpStream, path: &str, body: &[u8]) -> Option<()> {
        let began = self.clock.monotonic();
        let (at, fate) = self.enter(path, body)?;
        let said = self.answer(stream, at, &fate).await;
        // Whoever asked has looked at its socket by then, unless this thread stood still so long
        // that it takes the answer for lost.
        for _ in 0..LOOKS {
            tokio::task::yield_now().await;
        }
        let in_time = self.clock.monotonic() - began < SURELY_HEARD;
        let mut log = self.log();
        // Another history may have begun.
        if let Some(post) = log.posts.get_mut(at) {
            post.heard = in_time && matches!(said, Some(true));
        }
        log.open = log.open.saturating_sub(1);
        said.map(|_| ())
    }

    /// Writes down that it came, and what it will be: which entry, and what to do.
    fn enter(&self, path: &str, body: &[u8]) -> Option<(usize, Fate)> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let marker = body["text"]["body"]
            .as_str()
            .or(body["template"]["components"][0]["parameters"][0]["text"].as_str())?;
        let step: usize = marker.parse().ok()?;
        let attempt = body["biz_opaque_callback_data"].as_str()?.to_owned();
        let arrived = self.moment();
        let mut log = self.log();
        if !path.starts_with(&format!("/h{}/", log.number)) {
            return None;
        }
        let paused = log.steps[step].template.is_some_and(|t| log.paused[t]);
        let turn = log.posts.iter().filter(|post| post.step == step).count();
        let fate = match log.steps[step].fates.get(turn) {
            _ if paused => refuses(132_015),
            Some(fate) => fate.clone(),
            None => delivers(),
        };
        use Answer::*;
        let takes = matches!(
            fate.answer,
            Takes
                | Holds
                | TakesAfter(_)
                | TakesLate
                | TakesAndDrops
                | TakesAndIsSilent
                | BadGateway { takes: true }
        );
        let wamid = format!("wamid.{}.{step}.{turn}", log.number);
        if takes {
            let since = log.since;
            log.pending
                .extend(fate.says.iter().map(|saying: &Saying| Pending {
                    wamid: wamid.clone(),
                    callback: saying.callback.then(|| attempt.clone()),
                    word: saying.word,
                    dated: since + saying.at,
                    copies: saying.copies,
                }));
        }
        let n = attempt.rsplit('.').next()?.parse().ok()?;
        log.posts.push(Post {
            step,
            n,
            attempt,
            arrived,
            answer: fate.answer,
            took: takes.then_some(wamid),
            answered: None,
            heard: false,
        });
        log.open += 1;
        Some((log.posts.len() - 1, fate))
    }

    /// `Some(true)`: all of an answer was written; `None`: the connection breaks.
    async fn answer(&self, stream: &mut TcpStream, at: usize, fate: &Fate) -> Option<bool> {
        match fate.answer {
            Answer::TakesAfter(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Answer::TakesLate | Answer::RefusesLate(_) => tokio::time::sleep(LATE).await,
            Answer::TakesAndIsSilent => {
                // Until whoever asked hangs up.
                let _ = stream.read(&mut [0; 64]).await;
                return None;
            }
            Answer::TakesAndDrops | Answer::Drops => return None,
            _ => {}
        }
        let moment = self.moment();
        let wamid = {
            let mut log = self.log();
            let post = log.posts.get_mut(at)?;
            post.answered = Some(moment);
            post.took.clone().unwrap_or_default()
        };
        let word = match fate.answer {
            Answer::Holds => "held_for_quality_assessment",
            _ => "accepted",
        };
        let (status, body) = match fate.answer {
            Answer::Refuses(code) | Answer::RefusesLate(code) => {
                let error =
                    json!({"error": {"message": "no", "type": "OAuthException", "code": code}});
                ("400 Bad Request", error.to_string())
            }
            Answer::BadGateway { .. } => ("502 Bad Gateway", "<html>".to_owned()),
            _ => {
                let taken = json!({
                    "messaging_product": "whatsapp",
                    "contacts": [{"input": "447700900123", "wa_id": "447700900123"}],
                    "messages": [{"id": wamid, "message_status": word}],
                });
                ("200 OK", taken.to_string())
            }
        };
        write_answer(stream, status, &body).await.ok()?;
        Some(!matches!(fate.answer, Answer::BadGateway { .. }))
    }

    /// A template is read: by name, or by the id that is its number.
    async fn show_template(&self, stream: &mut TcpStream, path: &str) -> Option<()> {
        let arrived = self.moment();
        let body = {
            let mut log = self.log();
            let prefix = format!("/h{}/v25.0/", log.number);
            let rest = path.strip_prefix(&prefix)?;
            let by_name = rest.split("name=").nth(1);
            let name = by_name.unwrap_or(rest);
            let digits: String = name
                .trim_start_matches('t')
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            let template: usize = digits.parse().ok()?;
            let paused = log.paused[template];
            log.templates.push(TemplateSaid {
                template,
                paused,
                dated: arrived.at.unix_timestamp(),
                begun: arrived,
                done: None,
            });
            let status = if paused { "PAUSED" } else { "APPROVED" };
            let shown = json!({
                "id": template.to_string(), "name": template_name(template),
                "language": LANGUAGE, "status": status, "category": "UTILITY",
            });
            // By its id one is shown alone.
            match by_name {
                Some(_) => json!({"data": [shown]}),
                None => shown,
            }
        };
        write_answer(stream, "200 OK", &body.to_string()).await.ok()
    }
}

pub fn template_name(template: usize) -> String {
    format!("t{template}")
}

fn refuses(code: i64) -> Fate {
    Fate {
        answer: Answer::Refuses(code),
        says: Vec::new(),
    }
}

fn delivers() -> Fate {
    let says = [Word::Sent, Word::Delivered, Word::Read].map(|word| Saying {
        word: Ok(word),
        at: 5,
        callback: true,
        copies: 1,
    });
    Fate {
        answer: Answer::Takes,
        says: says.to_vec(),
    }
}

/// The request line and the body; what came behind them stays in the buffer.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |value| value.trim().parse().unwrap());
            let whole = end + 4 + length;
            if buffer.len() >= whole {
                let first = String::from_utf8_lossy(&buffer[..end]).into_owned();
                let body = buffer[end + 4..whole].to_vec();
                buffer.drain(..whole);
                return Some((first.lines().next()?.to_owned(), body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn write_answer(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}
