//! A server whose requests an eBPF object decides, and whose operator exchanges that while it
//! serves: rates for each client first, then a closed folder besides. No request is lost, and
//! what the clients have used up of their rates stays.
//!
//! `cargo run -p skep --example requests`; with `header` it prints what programs include.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use skep::hook::{DataEnd, DataStart, Decider, Hook, Verdicts};
use skep::{HookContext, Object};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

const DENY: i32 = 0;
const ALLOW: i32 = 1;

/// What a program gets of a request.
#[derive(HookContext, Default)]
#[repr(C)]
struct Request {
    /// When it came, ns.
    time: u64,
    /// The client's IPv4 address, as a number.
    client: u32,
    /// The answer's status, where the program denies.
    #[hook(write)]
    status: u32,
    /// Seconds after which the client may come again.
    #[hook(write)]
    retry_after: u32,
    port: u16,
    method: [u8; 2],
    path: DataStart,
    path_end: DataEnd,
}

/// Requests that a program noted.
static NOTES: AtomicU64 = AtomicU64::new(0);

fn hook() -> Result<Hook<Request>, skep::hook::HookError> {
    // Without a program all pass; where one fails, none does.
    Hook::<Request>::builder("request", Verdicts { without: ALLOW, failed: DENY })
        .returns(DENY, ALLOW)
        .helper("is_trusted", |client: u32| Ipv4Addr::from(client) == Ipv4Addr::new(127, 0, 0, 9))
        .helper("note", |request: &Request, _why: &[u8]| {
            NOTES.fetch_add(u64::from(request.port > 0), Ordering::Relaxed);
        })
        .build()
}

/// Answers one request; gives whether it was let through.
fn serve(hook: &Hook<Request>, mut stream: TcpStream, time: u64) -> std::io::Result<bool> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let SocketAddr::V4(peer) = stream.peer_addr()? else { return Ok(false) };
    let mut request = Request {
        time,
        client: u32::from(*peer.ip()),
        port: peer.port(),
        method: method.as_bytes().first_chunk().copied().unwrap_or_default(),
        status: 500,
        ..Request::default()
    };
    let decision = hook.run_on(&mut request, path.as_bytes());
    if let Decider::Failure(why) = &decision.by {
        eprintln!("the program failed: {why}");
    }
    let allowed = decision.value == ALLOW;
    let status = if allowed { 200 } else { request.status };
    write!(stream, "HTTP/1.1 {status} .\r\nContent-Length: 0\r\n\r\n")?;
    Ok(allowed)
}

/// Sends a request; gives the status of the answer.
fn ask(server: SocketAddr, path: &str) -> std::io::Result<u32> {
    let mut stream = TcpStream::connect(server)?;
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 40;
    let hook = hook()?;
    if std::env::args().nth(1).as_deref() == Some("header") {
        print!("{}", hook.header());
        return Ok(());
    }
    hook.replace(&Object::open(format!("{FOLDER}/request_rates.bpf.o"))?)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server = listener.local_addr()?;
    let half = Barrier::new(CLIENTS + 1);
    let mut statuses = std::collections::BTreeMap::<u32, usize>::new();
    thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
        // Time stands still, so that it is known how many are let through.
        let (hook, listener, half) = (&hook, &listener, &half);
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..CLIENTS * REQUESTS / 2 {
                    let served = listener.accept().and_then(|(stream, _)| serve(hook, stream, 1));
                    if let Err(error) = served {
                        eprintln!("a client went away: {error}");
                    }
                }
            });
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(move || -> std::io::Result<Vec<u32>> {
                    let mut all = Vec::new();
                    for request in 0..REQUESTS {
                        if request == REQUESTS / 2 {
                            // The operator's turn, while all go on.
                            half.wait();
                        }
                        let path = if request % 2 == 0 { "/" } else { "/admin/users" };
                        all.push(ask(server, path)?);
                    }
                    Ok(all)
                })
            })
            .collect();
        half.wait();
        let replaced = hook.replace(&Object::open(format!("{FOLDER}/request_paths.bpf.o"))?);
        for client in clients {
            for status in client.join().map_err(|_| "a client panicked")?? {
                *statuses.entry(status).or_default() += 1;
            }
        }
        let version = replaced?;
        println!("{} decided {}", version.name(), version.counts().returned);
        Ok(())
    })?;
    for (status, count) in statuses {
        println!("{status}: {count}");
    }
    println!("noted: {}", NOTES.load(Ordering::Relaxed));
    Ok(())
}
