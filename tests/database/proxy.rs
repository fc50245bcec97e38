//! A TCP proxy between the service and its database that can do what networks and servers do:
//! cut, lose an answer, turn away, say nothing, lead somewhere else.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// `Sync`, and nothing else: how a pool asks whether a connection is there.
const IS_THERE: [u8; 5] = [b'S', 0, 0, 0, 4];

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Upstream {
    Tcp(u16),
    Unix(PathBuf),
}

impl Upstream {
    pub fn of(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let port = options.get_port();
        match options.get_socket() {
            Some(folder) => Self::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            None => Self::Tcp(port),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Door {
    /// Whoever comes gets through.
    Open,
    /// Whoever comes is cut off at once; who is through stays.
    Shut,
    /// Bytes are taken and not passed on, either way; and who comes is let in to wait.
    Stalled,
}

/// Answers that are to be lost.
#[derive(Debug)]
struct Loss {
    /// What a request says whose answer is lost.
    needle: &'static str,
    /// Not its own, but that of the commit behind it.
    of_commit: bool,
    /// How many are left.
    left: usize,
}

struct Shared {
    upstream: Mutex<Upstream>,
    door: watch::Sender<Door>,
    connections: Mutex<Vec<Handle>>,
    losses: Mutex<Vec<Loss>>,
    lost: AtomicUsize,
    /// How many connections are still to fall silent on their way back to their pool.
    to_silence: AtomicUsize,
}

/// What can be done to one connection.
struct Handle {
    cut: CancellationToken,
    /// Neither side hears of the other any more.
    silent: watch::Sender<bool>,
}

/// Ends, and cuts all, when it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    end: CancellationToken,
}

impl Proxy {
    pub async fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            door: watch::Sender::new(Door::Open),
            connections: Mutex::default(),
            losses: Mutex::default(),
            lost: AtomicUsize::new(0),
            to_silence: AtomicUsize::new(0),
        });
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(accept(
            listener,
            Arc::clone(&shared),
            end.clone(),
        )));
        Self { port, shared, end }
    }

    pub fn open(&self) {
        self.shared.door.send_replace(Door::Open);
    }

    /// Cuts all, and whoever comes.
    pub fn shut(&self) {
        self.shared.door.send_replace(Door::Shut);
        self.cut_all();
    }

    pub fn stall(&self) {
        self.shared.door.send_replace(Door::Stalled);
    }

    /// Those that are open hear nothing any more, for ever; whoever comes gets through. So it is
    /// after a partition, and where a server's address has moved.
    pub fn silence(&self) {
        for connection in self.shared.connections.lock().unwrap().iter() {
            connection.silent.send_replace(true);
        }
        self.open();
    }

    /// Leads somewhere else from now on.
    pub fn lead_to(&self, upstream: Upstream) {
        *self.shared.upstream.lock().unwrap() = upstream;
        self.cut_all();
    }

    /// The next `n` connections that have done their work, and are asked by their pool whether
    /// they are still there, say nothing to that, nor ever after.
    pub fn silence_returning(&self, n: usize) {
        self.shared.to_silence.store(n, Ordering::Relaxed);
    }

    /// How many of these have not been asked yet.
    pub fn still_heard(&self) -> usize {
        self.shared.to_silence.load(Ordering::Relaxed)
    }

    pub fn cut_all(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.cut.cancel();
        }
    }

    /// Cuts one of those that are open, any.
    pub fn cut_one(&self, any: usize) {
        let mut connections = self.shared.connections.lock().unwrap();
        connections.retain(|connection| !connection.cut.is_cancelled());
        let n = connections.len().max(1);
        if let Some(connection) = connections.get(any % n) {
            connection.cut.cancel();
        }
    }

    /// The next `n` requests that hold `needle` reach the database and are done; their answers
    /// are lost, and their connections are cut.
    pub fn lose_answers(&self, needle: &'static str, n: usize) {
        self.lose(needle, false, n);
    }

    /// The same of the commits of the next `n` transactions that say `needle`.
    pub fn lose_commits(&self, needle: &'static str, n: usize) {
        self.lose(needle, true, n);
    }

    fn lose(&self, needle: &'static str, of_commit: bool, left: usize) {
        self.shared.losses.lock().unwrap().push(Loss {
            needle,
            of_commit,
            left,
        });
    }

    /// How many answers were lost so far.
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if *shared.door.borrow() == Door::Shut {
            continue;
        }
        let cut = end.child_token();
        let silent = watch::Sender::new(false);
        {
            let mut connections = shared.connections.lock().unwrap();
            connections.retain(|connection| !connection.cut.is_cancelled());
            connections.push(Handle {
                cut: cut.clone(),
                silent: silent.clone(),
            });
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            cut.run_until_cancelled(serve(client, &silent, &shared))
                .await;
            cut.cancel();
        });
    }
}

async fn serve(client: TcpStream, silent: &watch::Sender<bool>, shared: &Shared) {
    let upstream = shared.upstream.lock().unwrap().clone();
    let _ = client.set_nodelay(true);
    match upstream {
        Upstream::Tcp(port) => {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = server.set_nodelay(true);
                pass(client.into_split(), server.into_split(), silent, shared).await;
            }
        }
        Upstream::Unix(path) => {
            if let Ok(server) = UnixStream::connect(path).await {
                pass(client.into_split(), server.into_split(), silent, shared).await;
            }
        }
    }
}

/// Until either side ends.
async fn pass(
    (mut from_client, mut to_client): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (mut from_server, mut to_server): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    silent: &watch::Sender<bool>,
    shared: &Shared,
) {
    let doomed = Mutex::new(false);
    let requests = async {
        let mut bytes = vec![0; 64 << 10];
        let (mut before_commit, mut was_asked) = (false, true);
        while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
            // Before its work it is asked too.
            let returns = bytes[..n] == IS_THERE && !was_asked;
            was_asked = bytes[..n] == IS_THERE;
            if returns && shared.is_to_be_silent() {
                silent.send_replace(true);
            }
            shared.passes(silent).await;
            if shared.is_to_be_lost(&bytes[..n], &mut before_commit) {
                *doomed.lock().unwrap() = true;
            }
            if to_server.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from_server.read(&mut bytes).await {
            shared.passes(silent).await;
            // It has answered, so it has done it.
            if *doomed.lock().unwrap() {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to_client.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}

impl Shared {
    /// Waits until bytes are passed on.
    async fn passes(&self, silent: &watch::Sender<bool>) {
        let mut door = self.door.subscribe();
        let _ = door.wait_for(|door| *door != Door::Stalled).await;
        let mut silent = silent.subscribe();
        let _ = silent.wait_for(|silent| !silent).await;
    }

    fn is_to_be_silent(&self) -> bool {
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let one_less = |left: usize| left.checked_sub(1);
        self.to_silence.fetch_update(set, get, one_less).is_ok()
    }

    fn is_to_be_lost(&self, request: &[u8], before_commit: &mut bool) -> bool {
        let says = |word: &str| request.windows(word.len()).any(|at| at == word.as_bytes());
        if *before_commit {
            let commits = says("COMMIT");
            *before_commit = !commits;
            return commits;
        }
        let mut losses = self.losses.lock().unwrap();
        let Some(loss) = losses
            .iter_mut()
            .find(|loss| loss.left > 0 && says(loss.needle))
        else {
            return false;
        };
        loss.left -= 1;
        *before_commit = loss.of_commit;
        !loss.of_commit
    }
}
