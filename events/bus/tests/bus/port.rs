//! What every bus promises: one list of tests, run against each adapter.
//!
//! How to add an adapter: implement [`Adapter`] for a type that opens both ends, and name it in the list below.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bus::{BusError, HintBus, InProcessBus, NatsBus, WorkBus};
use events::RenderId;
use events::work::{HeartbeatReply, Outcome, ReportReply};
use tokio::time::timeout;

use crate::scripted::{SOON, Scripted, claim, heartbeat, order, plan, report, until_served};
use crate::server::Server;

/// A bus with nobody on it yet, and whatever keeps it alive.
trait Adapter: Sized {
    async fn open() -> Self;
    /// The command side's end.
    fn command(&self) -> Arc<dyn HintBus>;
    /// A worker's end; each call is another worker's, as far as the adapter tells them apart.
    async fn worker(&self) -> Arc<dyn WorkBus>;
}

struct InProcess(InProcessBus);

impl Adapter for InProcess {
    async fn open() -> InProcess {
        InProcess(InProcessBus::default())
    }

    fn command(&self) -> Arc<dyn HintBus> {
        Arc::new(self.0.clone())
    }

    async fn worker(&self) -> Arc<dyn WorkBus> {
        Arc::new(self.0.clone())
    }
}

struct Nats {
    server: Server,
    command: NatsBus,
}

impl Adapter for Nats {
    async fn open() -> Nats {
        let server = Server::start("").await;
        let command = server.connect().await;
        Nats { server, command }
    }

    fn command(&self) -> Arc<dyn HintBus> {
        Arc::new(self.command.clone())
    }

    async fn worker(&self) -> Arc<dyn WorkBus> {
        Arc::new(self.server.connect().await)
    }
}

/// Runs each test of the list against each adapter.
macro_rules! port_tests {
    ($($test:ident),+ $(,)?) => {
        port_tests!(@adapter in_process, InProcess, $($test),+);
        port_tests!(@adapter nats, Nats, $($test),+);
    };
    (@adapter $module:ident, $adapter:ty, $($test:ident),+) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(<$adapter>::open().await).await;
                }
            )+
        }
    };
}

port_tests! {
    an_order_arrives_as_it_was_granted,
    a_document_of_any_size_arrives_whole,
    nothing_due_is_an_answer_too,
    a_heartbeat_hears_whether_to_go_on,
    a_report_is_accepted_or_refused_with_a_reason,
    the_plan_of_a_long_film_arrives_whole,
    a_failure_of_the_command_side_is_told_in_its_words,
    where_nobody_serves_a_worker_hears_so_soon,
    slow_claims_hold_up_no_heartbeat,
    many_questions_at_once_get_their_own_answers,
    a_hint_wakes_a_waiting_worker,
    a_hint_before_the_wait_is_not_lost,
    a_cancellation_reaches_every_listener,
}

/// A worker of a bus that `service` answers on. Over a network that takes a moment.
async fn worker_served_by(bus: &impl Adapter, service: Arc<Scripted>) -> Arc<dyn WorkBus> {
    bus.command().serve(service);
    let worker = bus.worker().await;
    until_served(&*worker).await;
    worker
}

async fn an_order_arrives_as_it_was_granted<A: Adapter>(bus: A) {
    let granted = order(1, "{\"text\":\"… \\u0000 漢 \u{1f600}\"}".to_owned());
    let given = granted.clone();
    let worker = worker_served_by(&bus, Scripted::granting(move |_| Ok(Some(given.clone())))).await;
    let got = worker.claim(claim(1)).await.unwrap();
    assert_eq!(got, Some(granted));
}

async fn a_document_of_any_size_arrives_whole<A: Adapter>(bus: A) {
    // Quotes and line ends, which grow on their way; no two places alike, so that a misplaced piece shows.
    let size = |worker: u128| usize::try_from(worker).unwrap();
    let document = |bytes: usize| -> String {
        let lines = (0..).flat_map(|n: u64| format!("\"{n}\"\n").into_bytes());
        String::from_utf8(lines.take(bytes).collect()).unwrap()
    };
    let service = Scripted::granting(move |worker| Ok(Some(order(worker, document(size(worker))))));
    let worker = worker_served_by(&bus, service).await;
    const MIB: u128 = 1 << 20;
    for bytes in [0, MIB / 2, MIB - 1024, MIB - 1, MIB, MIB + 1, 5 * MIB] {
        let got = worker.claim(claim(bytes)).await.unwrap().expect("an order");
        assert_eq!(got.document.len(), size(bytes));
        assert!(got == order(bytes, document(size(bytes))), "a document of {bytes} bytes is another one");
    }
}

async fn nothing_due_is_an_answer_too<A: Adapter>(bus: A) {
    let worker = worker_served_by(&bus, Scripted::granting(|_| Ok(None))).await;
    assert_eq!(worker.claim(claim(1)).await.unwrap(), None);
}

async fn a_heartbeat_hears_whether_to_go_on<A: Adapter>(bus: A) {
    let worker = worker_served_by(&bus, Scripted::granting(|_| Ok(None))).await;
    assert_eq!(worker.heartbeat(heartbeat(4)).await.unwrap(), HeartbeatReply::Continue);
    assert_eq!(worker.heartbeat(heartbeat(5)).await.unwrap(), HeartbeatReply::Stop);
}

async fn a_report_is_accepted_or_refused_with_a_reason<A: Adapter>(bus: A) {
    let service = Scripted::granting(|_| Ok(None));
    let worker = worker_served_by(&bus, service.clone()).await;
    assert_eq!(worker.report(report(4, Outcome::Released)).await.unwrap(), ReportReply::Accepted);
    let refused = ReportReply::Refused { reason: "the token is stale".to_owned() };
    assert_eq!(worker.report(report(5, Outcome::Released)).await.unwrap(), refused);
    assert_eq!(service.reported(), [report(4, Outcome::Released), report(5, Outcome::Released)]);
}

async fn the_plan_of_a_long_film_arrives_whole<A: Adapter>(bus: A) {
    let service = Scripted::granting(|_| Ok(None));
    let worker = worker_served_by(&bus, service.clone()).await;
    // More parts than any film may have: beyond what one message carries.
    let planned = report(4, Outcome::Planned(plan(100_000)));
    assert_eq!(worker.report(planned.clone()).await.unwrap(), ReportReply::Accepted);
    assert!(service.reported() == [planned], "the plan is another one");
}

async fn a_failure_of_the_command_side_is_told_in_its_words<A: Adapter>(bus: A) {
    let service = Scripted::granting(|_| Err(BusError::Failed("the log is full".to_owned())));
    let failed = worker_served_by(&bus, service).await.claim(claim(1)).await;
    assert!(matches!(&failed, Err(BusError::Failed(what)) if what == "the log is full"), "got {failed:?}");
}

async fn where_nobody_serves_a_worker_hears_so_soon<A: Adapter>(bus: A) {
    let (worker, started) = (bus.worker().await, Instant::now());
    let failed = worker.claim(claim(1)).await;
    assert!(matches!(failed, Err(BusError::Stopped | BusError::Unreachable(_))), "got {failed:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "a worker waits for nobody");
    bus.command().serve(Scripted::granting(|_| Ok(None)));
    until_served(&*worker).await;
    assert_eq!(worker.claim(claim(1)).await.unwrap(), None, "once somebody serves it is answered");
}

async fn slow_claims_hold_up_no_heartbeat<A: Adapter>(bus: A) {
    let mut slow = Arc::into_inner(Scripted::granting(|_| Ok(None))).unwrap();
    slow.thinking = Duration::from_secs(3);
    let slow = Arc::new(slow);
    let worker = worker_served_by(&bus, slow.clone()).await;
    let claims: Vec<_> = (0..8)
        .map(|number| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.claim(claim(number)).await })
        })
        .collect();
    while slow.claims.load(Ordering::SeqCst) < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(worker.heartbeat(heartbeat(4)).await.unwrap(), HeartbeatReply::Continue);
    assert!(claims.iter().all(|claim| !claim.is_finished()), "the heartbeat waited for the claims");
    for claim in claims {
        assert_eq!(claim.await.unwrap().unwrap(), None);
    }
}

async fn many_questions_at_once_get_their_own_answers<A: Adapter>(bus: A) {
    let service = Scripted::granting(|worker| Ok(Some(order(worker, format!("{{\"n\":{worker}}}")))));
    let workers = [worker_served_by(&bus, service).await, bus.worker().await];
    let asked: Vec<_> = (1..=64_u128)
        .map(|number| {
            let worker = workers[usize::try_from(number % 2).unwrap()].clone();
            tokio::spawn(async move { (number, worker.claim(claim(number)).await) })
        })
        .collect();
    for asked in asked {
        let (number, got) = asked.await.unwrap();
        assert_eq!(got.unwrap(), Some(order(number, format!("{{\"n\":{number}}}"))));
    }
}

async fn a_hint_wakes_a_waiting_worker<A: Adapter>(bus: A) {
    let worker = bus.worker().await;
    for _ in 0..3 {
        let waiting = tokio::spawn({
            let worker = worker.clone();
            async move { worker.work_hint().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "a worker wakes without a hint");
        bus.command().hint_work();
        timeout(SOON, waiting).await.expect("the hint wakes it").unwrap();
    }
}

async fn a_hint_before_the_wait_is_not_lost<A: Adapter>(bus: A) {
    let worker = bus.worker().await;
    bus.command().hint_work();
    tokio::time::sleep(Duration::from_millis(100)).await;
    timeout(SOON, worker.work_hint()).await.expect("the hint was kept");
    let again = timeout(Duration::from_millis(100), worker.work_hint()).await;
    assert!(again.is_err(), "one hint wakes once");
}

async fn a_cancellation_reaches_every_listener<A: Adapter>(bus: A) {
    let (one, two) = (bus.worker().await, bus.worker().await);
    let mut listeners = [one.cancellations(), two.cancellations(), two.cancellations()];
    bus.command().push_cancellation(RenderId::new(7));
    bus.command().push_cancellation(RenderId::new(8));
    for listener in &mut listeners {
        for number in [7, 8] {
            let heard = timeout(SOON, listener.recv()).await.expect("it is told").unwrap();
            assert_eq!(heard, RenderId::new(number));
        }
    }
}
