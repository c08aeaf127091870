//! A real server that speaks S3: moto, started on a free port of loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

/// The server, until the last test that uses it is over.
pub(crate) struct Moto {
    server: Child,
    port: u16,
}

static RUNNING: Mutex<Weak<Moto>> = Mutex::new(Weak::new());

impl Moto {
    /// The running server, or a new one. Nothing is tested without moto, which is an error where `CI` is set.
    #[allow(clippy::print_stderr)]
    pub(crate) fn start() -> Option<Arc<Self>> {
        let mut running = RUNNING.lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some(moto) = running.upgrade() {
            return Some(moto);
        }
        let started = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut server) = started else {
            assert!(
                std::env::var_os("CI").is_none(),
                "moto_server is missing: pip install 'moto[server]'"
            );
            eprintln!("skipped: moto_server is missing");
            return None;
        };
        let mut said = BufReader::new(server.stderr.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "moto_server ended");
            if let Some((_, port)) = line.split_once("Running on http://127.0.0.1:") {
                break port.trim_end().parse().unwrap();
            }
        };
        // It writes a line for every request, and stops when nobody takes them.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        let moto = Arc::new(Self { server, port });
        *running = Arc::downgrade(&moto);
        Some(moto)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub(crate) fn bucket(&self, name: &str) {
        self.call("PUT", name, b"");
    }

    /// Puts an object, over whatever is there.
    pub(crate) fn put(&self, path: &str, body: &[u8]) {
        self.call("PUT", path, body);
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.call("GET", path, b"")
    }

    pub(crate) fn delete(&self, path: &str) {
        self.call("DELETE", path, b"");
    }

    /// The keys of a bucket, sorted.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        let list = self.get(&format!("{bucket}?list-type=2"));
        let list = String::from_utf8(list).unwrap();
        let keys = list.split("<Key>").skip(1);
        keys.map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect()
    }

    /// How many multipart uploads of a bucket were begun and neither completed nor given up.
    pub(crate) fn unfinished(&self, bucket: &str) -> usize {
        let list = self.get(&format!("{bucket}?uploads"));
        String::from_utf8(list)
            .unwrap()
            .matches("<UploadId>")
            .count()
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // moto looks whether there is a signature, not at it.
        let head = format!(
            "{method} /{path} HTTP/1.0\r\nhost: 127.0.0.1:{}\r\ncontent-length: {}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=x/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap();
        assert!(status.starts_with('2'), "{method} {path}: {head}");
        answer.split_off(end + 4)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
