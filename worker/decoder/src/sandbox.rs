//! What a worker gives up before it sees its first untrusted byte.
//!
//! In this order: dying with the zygote, core dumps and being traced, new privileges, resources (`setrlimit`), files,
//! network and signals (Landlock, as far as the kernel knows it), and all system calls but some thirty (seccomp).
//! The calls that remain read the input, write the ring, talk to the service and manage memory. One thread is enough,
//! so none can be started.
#![expect(unsafe_code, reason = "process attributes that only libc can set")]

use std::collections::BTreeMap;
use std::process;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal,
    setrlimit,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::protocol::{Landlock, SandboxStatus, WorkerLimits};
use crate::worker;

/// Descriptors a worker may have open; it has six.
const OPEN_FILES: u64 = 16;
/// The newest Landlock version whose rights we name; older kernels enforce what they know.
const LANDLOCK: ABI = ABI::V6;

/// Confines this process for ever and tells how well that went.
pub(crate) fn enter(limits: WorkerLimits) -> SandboxStatus {
    let mut missing = Vec::new();
    let mut note = |what: &str, failure: Option<String>| {
        if let Some(failure) = failure {
            missing.push(format!("{what}: {failure}"));
        }
    };
    note("death signal", set_parent_process_death_signal(Some(Signal::KILL)).err().map(|e| e.to_string()));
    note("dumpable", set_dumpable_behavior(DumpableBehavior::NotDumpable).err().map(|e| e.to_string()));
    // SAFETY: sets an attribute of this process; no memory is involved.
    let no_new_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    note("no_new_privs", (no_new_privileges != 0).then(|| std::io::Error::last_os_error().to_string()));
    for (resource, most) in [
        (Resource::As, limits.address_space),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
    ] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        note("resource limit", setrlimit(resource, limit).err().map(|e| e.to_string()));
    }
    let landlock = restrict_access();
    match &landlock {
        Ok(Landlock::Full) => {}
        Ok(Landlock::Partial) => note("landlock", Some("this kernel knows only a part of the rules".into())),
        Ok(Landlock::None) => note("landlock", Some("this kernel does not enforce it".into())),
        Err(failure) => note("landlock", Some(failure.to_string())),
    }
    let seccomp = filter_calls();
    note("seccomp", seccomp.as_ref().err().map(ToString::to_string));
    SandboxStatus {
        landlock: landlock.unwrap_or(Landlock::None),
        seccomp: seccomp.is_ok(),
        reason: (!missing.is_empty()).then(|| missing.join("; ")),
    }
}

/// No file, no port, no abstract socket, no signal: a ruleset without rules.
fn restrict_access() -> Result<Landlock, landlock::RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct FilterError(#[from] seccompiler::Error);

/// Installs both filters; the one that kills first, because the other forbids installing filters.
fn filter_calls() -> Result<(), FilterError> {
    seccompiler::apply_filter(&hostile_calls()?)?;
    seccompiler::apply_filter(&allowed_calls()?)?;
    Ok(())
}

/// Calls that no decoder makes by mistake: whoever tries one has taken over the process.
fn hostile_calls() -> Result<BpfProgram, FilterError> {
    let calls = [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_mount,
        libc::SYS_pivot_root,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_keyctl,
    ];
    compile(calls.map(|call| (call, vec![])), SeccompAction::Allow, SeccompAction::KillProcess)
}

/// Everything else answers EPERM, which libraries take as "not here" where they look for optional files (the C
/// library's character sets, for MPEG-TS service names) and as a failure where they want a thread or a socket.
fn allowed_calls() -> Result<BpfProgram, FilterError> {
    let freely = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_fstat,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_lseek,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_newfstatat,
        libc::SYS_pread64,
        libc::SYS_recvfrom,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_sigaltstack,
    ];
    // Memory may be mapped and protected, but never made executable; a panic may be written to standard error
    // (the null device), and a process may abort itself, nobody else.
    let if_arguments = [
        (libc::SYS_mmap, without_bits(2, libc::PROT_EXEC)?),
        (libc::SYS_mprotect, without_bits(2, libc::PROT_EXEC)?),
        (libc::SYS_write, equal(0, libc::STDERR_FILENO as u64)?),
        (libc::SYS_tgkill, equal(0, u64::from(process::id()))?),
        (libc::SYS_sendto, equal(0, worker::CONTROL as u64)?),
    ];
    let rules = freely.into_iter().map(|call| (call, vec![]));
    let rules = rules.chain(if_arguments.into_iter().map(|(call, rule)| (call, vec![rule])));
    compile(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

fn compile(
    rules: impl IntoIterator<Item = (i64, Vec<SeccompRule>)>,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, FilterError> {
    let architecture = std::env::consts::ARCH.try_into().map_err(seccompiler::Error::Backend)?;
    let rules: BTreeMap<i64, Vec<SeccompRule>> = rules.into_iter().collect();
    let filter = SeccompFilter::new(rules, otherwise, on_match, architecture);
    let program = filter.and_then(BpfProgram::try_from).map_err(seccompiler::Error::Backend)?;
    Ok(program)
}

fn without_bits(argument: u8, bits: i32) -> Result<SeccompRule, FilterError> {
    rule(argument, SeccompCmpOp::MaskedEq(bits as u64), 0)
}

fn equal(argument: u8, value: u64) -> Result<SeccompRule, FilterError> {
    rule(argument, SeccompCmpOp::Eq, value)
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, FilterError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
    Ok(rule.map_err(seccompiler::Error::Backend)?)
}
