//! An OpenAI-compatible endpoint on loopback that behaves as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its number, from 0.
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// What is sent back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
    pub(crate) after: Duration,
}

impl Call {
    /// The text that is asked.
    pub(crate) fn prompt(&self) -> &str {
        let chat = self.body["messages"].as_array().and_then(|all| all.last());
        let text = chat.map_or(&self.body["prompt"], |last| &last["content"]);
        text.as_str().unwrap()
    }
}

impl Reply {
    /// An answer in OpenAI's shape.
    pub(crate) fn said(model: &str, text: &str) -> Self {
        let body = json!({
            "id": "x", "object": "chat.completion", "model": model,
            "choices": [{"index": 0, "text": text, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        });
        Self::status(200, body.to_string())
    }

    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            after: Duration::ZERO,
        }
    }
}

type Manner = Box<dyn Fn(&Call) -> Reply + Send + Sync>;

/// A server that runs until it is dropped.
pub(crate) struct Endpoint {
    port: u16,
    state: Arc<State>,
}

struct State {
    manner: Mutex<Arc<Manner>>,
    calls: AtomicUsize,
    seen: Mutex<Vec<Call>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    closed: AtomicBool,
}

impl Endpoint {
    pub(crate) fn new(manner: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            manner: Mutex::new(Arc::new(Box::new(manner))),
            calls: AtomicUsize::new(0),
            seen: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A caller that hangs up early is one of the things that are tested.
                thread::spawn(move || serve(stream.unwrap(), &shared).ok());
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Behaves differently from now on.
    pub(crate) fn now(&self, manner: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        *self.state.manner.lock().unwrap() = Arc::new(Box::new(manner));
        self.state.calls.store(0, Ordering::SeqCst);
        self.state.seen.lock().unwrap().clear();
    }

    /// How many calls came since the last change of manner.
    pub(crate) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Call> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The most calls that were under way at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    let call = Call {
        number: state.calls.fetch_add(1, Ordering::SeqCst),
        path,
        authorization,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    let now = state.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    state.most.fetch_max(now, Ordering::SeqCst);
    state.seen.lock().unwrap().push(call.clone());
    let manner = Arc::clone(&state.manner.lock().unwrap());
    let reply = manner(&call);
    thread::sleep(reply.after);
    state.under_way.fetch_sub(1, Ordering::SeqCst);
    let headers: String = reply.headers.iter().map(|h| format!("{h}\r\n")).collect();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{}",
        reply.status,
        reply.body.len(),
        reply.body
    )
}
