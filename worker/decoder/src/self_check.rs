//! `self-check`: tries, confined as workers are, what a hijacked worker would try.
//!
//! Prints one JSON object on standard output, attempt by attempt `refused`, `killed` or `allowed`; exits with 0 when
//! nothing was allowed.
#![expect(unsafe_code, reason = "making system calls that must fail")]

use std::io::Write;
use std::process::{self, ExitCode};
use std::ptr;

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::protocol::WorkerLimits;
use crate::sandbox;

/// As a worker for small pictures.
const LIMITS: WorkerLimits = WorkerLimits { address_space: 1 << 30, cpu_seconds: 10 };

/// Makes a system call and tells whether it was carried out.
type Attempt = fn() -> bool;

/// What is tried, by name.
const ATTEMPTS: [(&str, Attempt); 7] = [
    ("open", open),
    ("socket", socket),
    ("fork", fork),
    ("execute", execute),
    ("trace", trace),
    ("signal", signal),
    ("executable_memory", executable_memory),
];

/// Exit code of a child whose attempt was carried out.
const LEAKED: i32 = 3;

pub(crate) fn run() -> ExitCode {
    let outcomes = ATTEMPTS.map(|(name, attempt)| (name, confined(attempt)));
    let is_tight = outcomes.iter().all(|(_, outcome)| matches!(*outcome, "refused" | "killed"));
    let report: serde_json::Map<String, serde_json::Value> =
        outcomes.into_iter().map(|(name, outcome)| (name.to_owned(), outcome.into())).collect();
    let written = writeln!(std::io::stdout(), "{}", serde_json::Value::Object(report));
    if is_tight && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries it in a confined child.
fn confined(attempt: Attempt) -> &'static str {
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        sandbox::enter(LIMITS);
        process::exit(if attempt() { LEAKED } else { 0 });
    }
    let Some(child) = Pid::from_raw(child) else { return "unknown: no child process" };
    match waitpid(Some(child), WaitOptions::empty()) {
        Ok(Some((_, status))) if status.signaled() => "killed",
        Ok(Some((_, status))) if status.exit_status() == Some(0) => "refused",
        Ok(Some((_, status))) if status.exit_status() == Some(LEAKED) => "allowed",
        _ => "unknown: the child was lost",
    }
}

fn open() -> bool {
    // SAFETY: a static path.
    unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY) >= 0 }
}

fn socket() -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) >= 0 }
}

fn fork() -> bool {
    // SAFETY: should a child come of it, it too does nothing but exit.
    unsafe { libc::fork() >= 0 }
}

fn execute() -> bool {
    // Success does not return, so the program itself gives the code that tells of it.
    let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), c"exit 3".as_ptr(), ptr::null()];
    let environment = [ptr::null()];
    // SAFETY: static strings in null-terminated lists.
    unsafe { libc::execve(c"/bin/sh".as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    false
}

fn trace() -> bool {
    // SAFETY: asks to be traced by the parent; no memory is involved.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0 }
}

fn signal() -> bool {
    // SAFETY: signal 0 only asks whether a signal could be sent.
    unsafe { libc::kill(libc::getppid(), 0) == 0 }
}

fn executable_memory() -> bool {
    let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // SAFETY: a new mapping that is never used.
    let mapped =
        unsafe { libc::mmap(ptr::null_mut(), 4096, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    mapped != libc::MAP_FAILED
}
