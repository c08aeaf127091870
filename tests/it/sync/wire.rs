//! Ways to a repository on this machine: the directory itself, git's ssh transport, and git's own http server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::support::{Env, Output};

pub(super) enum Wire {
    Directory,
    /// The program that stands in for ssh: it runs what it is told on this machine.
    Ssh(PathBuf),
    /// The port of a server that hands requests to `git http-backend`.
    Http(u16),
}

impl Wire {
    pub(super) fn ssh(dir: &Path) -> Self {
        let program = dir.join("ssh");
        fs::write(
            &program,
            "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n",
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self::Ssh(program)
    }

    pub(super) fn http() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        Self::Http(port)
    }

    /// What the repository is called on this way. Pushing over http has to be allowed.
    pub(super) fn address(&self, repository: &Path) -> String {
        let path = repository.display();
        match self {
            Self::Directory => path.to_string(),
            Self::Ssh(_) => format!("ssh://git@localhost{path}"),
            Self::Http(port) => {
                let set = Command::new("git")
                    .args(["config", "--file"])
                    .arg(repository.join("config"))
                    .args(["http.receivepack", "true"])
                    .status();
                assert!(set.unwrap().success());
                format!("http://127.0.0.1:{port}{path}")
            }
        }
    }

    /// Runs `retune` where this way is open.
    pub(super) fn run(&self, env: &Env, args: &[&str]) -> Output {
        let mut variables = Vec::new();
        if let Self::Ssh(program) = self {
            variables.push(("GIT_SSH", program.display().to_string()));
            variables.push(("GIT_SSH_VARIANT", "simple".to_owned()));
        }
        env.run_with(args, &variables)
    }
}

/// One request, as CGI has it.
fn serve(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let [method, target, _] = words[..] else {
        return;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git");
    backend
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", "/")
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REMOTE_USER", "ana")
        .env("REMOTE_ADDR", "127.0.0.1");
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "transfer-encoding" => chunked = true,
            "content-type" => drop(backend.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(backend.env("HTTP_CONTENT_ENCODING", value)),
            "git-protocol" => drop(backend.env("GIT_PROTOCOL", value)),
            _ => {}
        }
    }
    let body = match chunked {
        true => chunks(&mut reader),
        false => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            body
        }
    };
    backend.env("CONTENT_LENGTH", body.len().to_string());
    let mut child = backend
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::spawn(move || stdin.write_all(&body));
    let answer = child.wait_with_output().unwrap().stdout;
    let text = String::from_utf8_lossy(&answer);
    let status = text
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
}

fn chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).unwrap();
        if size == 0 {
            return body;
        }
        body.extend(&chunk[..size]);
    }
}
