//! Rendering takes what is left: its threads give way to those that answer requests and write the log.

use rustix::process::nice;

/// How far rendering steps back (setpriority(2)): nine tenths of a contended core go to the others.
const NICE: i32 = 10;

/// Lets the calling thread, and the threads and processes that it starts from now on, give way to all others. Under Linux
/// this concerns the thread and not its process; there is no way back without privileges, so call it on a thread of its own.
pub fn give_way() {
    if let Err(error) = nice(NICE) {
        tracing::debug!(%error, "rendering runs at the usual priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calling_thread_and_its_children_give_way() {
        let priority = || nice(0).expect("the kernel tells");
        let before = priority();
        let there = std::thread::spawn(move || {
            give_way();
            let child = std::thread::spawn(priority);
            (priority(), child.join().expect("no panic"))
        });
        let lower = (before + NICE).min(19);
        assert_eq!(there.join().expect("no panic"), (lower, lower));
        assert_eq!(priority(), before, "this thread stays as it was");
    }
}
