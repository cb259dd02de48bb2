//! How the service reports: structured logs on standard error.

use std::error::Error;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogOptions {
    /// What is logged: a level (error, warn, info, debug, trace) or filters such as `info,query=debug`; info for the
    /// service, warn for everything else
    #[arg(long, global = true, env = "FRAMELANE_LOG", value_name = "FILTER")]
    log: Option<String>,

    /// The form of log lines: for people, or JSON for machines
    #[arg(long, global = true, env = "FRAMELANE_LOG_FORMAT", default_value = "text", value_name = "FORM")]
    log_format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Starts logging at `usual` unless told otherwise. A filter that can't be read is named once, and `usual` is used.
pub(crate) fn start(options: &LogOptions, usual: &str) {
    let wanted = options.log.as_deref().unwrap_or(usual);
    let (filter, fault) = match EnvFilter::try_new(wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(usual), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = fault {
        tracing::warn!(
            filter = wanted,
            error = chain(&error),
            "the log filter could not be read; using {usual}"
        );
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
