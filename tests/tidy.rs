//! Tidiness, as a test: what no compiler checks and every reader feels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root's entries, apart from dotfiles. Anything else at the top level needs a reason in the README.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "command",
    "docker",
    "events",
    "query",
    "rust-toolchain.toml",
    "src",
    "tests",
    "worker",
];

/// The longest a source file may grow before it holds a second subject.
const LINES_MAX: usize = 700;

/// Every tracked file, and every untracked one that git would track.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git lists the files");
    let listed = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let files: Vec<PathBuf> =
        listed.lines().map(|line| root.join(line)).filter(|path| path.is_file()).collect();
    assert!(files.len() > 50, "this test must see the sources, it saw {} files", files.len());
    files
}

fn with_extension(extension: &str) -> Vec<(PathBuf, String)> {
    files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .map(|path| (path.clone(), fs::read_to_string(&path).expect("sources are UTF-8")))
        .collect()
}

#[test]
fn every_source_file_says_what_it_is() {
    for (path, text) in with_extension("rs") {
        assert!(text.starts_with("//! "), "{} does not open with module docs", path.display());
    }
    for (path, text) in with_extension("wgsl") {
        assert!(
            text.starts_with("// "),
            "{} does not open with a comment that says what it is",
            path.display()
        );
    }
    for (path, text) in with_extension("py") {
        assert!(text.contains("\"\"\""), "{} has no docstring", path.display());
    }
}

#[test]
fn no_source_file_holds_a_second_subject() {
    for (path, text) in with_extension("rs").into_iter().chain(with_extension("wgsl")) {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks = ["TO", "DO"].concat();
    let marks = [marks, ["FIX", "ME"].concat(), ["#[ig", "nore"].concat(), ["unimple", "mented!"].concat()];
    for (path, text) in with_extension("rs").into_iter().chain(with_extension("wgsl")) {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} holds {mark}", path.display());
        }
    }
}

#[test]
fn modules_are_files_named_for_what_they_hold() {
    for path in files() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for vague in
            ["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "types.rs", "manager.rs", "misc.rs"]
        {
            assert_ne!(name, vague, "{} says nothing of what it holds", path.display());
        }
    }
}

#[test]
fn the_top_level_is_about_the_product() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in files() {
        let first = path.strip_prefix(root).expect("below the root").components().next().expect("a name");
        let first = first.as_os_str().to_string_lossy().into_owned();
        assert!(
            first.starts_with('.') || TOP_LEVEL.contains(&first.as_str()),
            "{first} does not belong at the top level"
        );
    }
}

#[test]
fn versions_stand_in_one_place() {
    for (path, text) in with_extension("toml") {
        let is_member =
            path.file_name().is_some_and(|name| name == "Cargo.toml") && !text.contains("[workspace]");
        for line in text.lines().filter(|_| is_member) {
            let pinned = line.contains("version = \"") || line.contains("= \"^") || line.contains("= \"=");
            assert!(!pinned, "{}: {line:?} belongs into [workspace.dependencies]", path.display());
        }
    }
}
