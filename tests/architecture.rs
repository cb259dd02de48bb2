//! Who may depend on whom: the dependency table, as a test. Arrows point down only; nothing points sideways.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Our packages and what each may use of our own. What is not listed may not be used.
const INSIDE: &[(&str, &[&str])] = &[
    ("events", &[]),
    ("composition", &["events"]),
    ("domain", &["events", "composition"]),
    ("scene", &["composition"]),
    ("compositor", &["scene", "composition"]),
    ("media", &["composition"]),
    ("framelane-decoder", &[]),
    ("bus", &["events"]),
    ("outbound", &["events"]),
    ("storage", &["events"]),
    ("event-store", &["events"]),
    ("api", &["events", "event-store"]),
    ("command", &["api", "bus", "composition", "domain", "event-store", "events", "outbound", "storage"]),
    ("query", &["api", "bus", "composition", "event-store", "events", "outbound", "storage"]),
    ("worker", &["bus", "composition", "compositor", "events", "media", "outbound", "scene", "storage"]),
];

/// What the pure packages and the sides of the house may never see of the outside, and why.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("events", &["tokio", "sqlx", "async-nats", "axum", "wgpu", "rand", "reqwest"], "the language is pure"),
    ("composition", &["tokio", "sqlx", "axum", "wgpu", "rand", "reqwest"], "the document's meaning is pure"),
    (
        "domain",
        &["tokio", "sqlx", "axum", "serde_json", "rand", "async-trait"],
        "deciding is pure and synchronous",
    ),
    ("scene", &["tokio", "wgpu", "rand", "sqlx", "reqwest"], "evaluating is pure"),
    (
        "media",
        &["tokio", "wgpu", "sqlx", "reqwest"],
        "media turns frames into files, without a GPU or a runtime",
    ),
    ("compositor", &["tokio", "sqlx", "reqwest"], "the compositor draws"),
    ("worker", &["sqlx"], "a worker reports; it never touches the log"),
    (
        "framelane-decoder",
        &["tokio", "sqlx", "wgpu", "reqwest"],
        "what reads foreign bytes can do nothing else",
    ),
];

/// `package -> direct dependencies that end up in its product` (no tests, no builds).
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo can describe the workspace");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let uses = package["dependencies"].as_array().expect("a list of dependencies");
        let uses = uses.iter().filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect();
        found.insert(text(&package["name"]), uses);
    }
    found
}

#[test]
fn packages_use_only_what_the_table_allows() {
    let found = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = INSIDE.iter().copied().collect();
    for (package, uses) in &found {
        if package == "framelane" {
            continue;
        }
        let allowed =
            allowed.get(package.as_str()).unwrap_or_else(|| panic!("{package} is not in the table: add it"));
        for used in uses.iter().filter(|used| found.contains_key(*used)) {
            assert!(
                allowed.contains(&used.as_str()),
                "{package} uses {used}, which the table does not allow"
            );
        }
    }
    assert_eq!(
        found.len(),
        INSIDE.len() + 1,
        "the table lists exactly the packages that exist, and framelane"
    );
}

#[test]
fn pure_packages_never_see_the_outside() {
    let found = dependencies();
    for (package, never, reason) in NEVER {
        for used in *never {
            assert!(!found[*package].contains(*used), "{package} uses {used}, but {reason}");
        }
    }
}

#[test]
fn nothing_depends_on_the_executable() {
    for (package, uses) in dependencies() {
        assert!(!uses.contains("framelane"), "{package} depends on the executable");
    }
}

#[test]
fn no_endpoint_is_served_without_its_description() {
    let listed = Command::new("git")
        .args(["ls-files", "command/src", "query/src", "src"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("git lists the files");
    let listed = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let sources: Vec<_> = listed.lines().filter(|path| path.ends_with(".rs")).collect();
    assert!(sources.len() > 30, "this test must see the sources, it saw {} files", sources.len());
    for path in sources {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("UTF-8");
        let served = text.contains(".route(") || text.contains("Router::new()");
        assert!(!served, "{path} makes a router of its own: serve through api::Endpoints, with an Operation");
    }
}
