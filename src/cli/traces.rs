//! Where traces go, as flags; the environment's names are OpenTelemetry's own.

use clap::Args;
use query::{TraceTarget, TraceTargetError};

/// Traces of renders and of deliveries.
#[derive(Debug, Clone, Args)]
pub(crate) struct TraceOptions {
    /// Sends traces of renders and of webhook deliveries to the OpenTelemetry collector at this address, by OTLP over HTTP:
    /// http://127.0.0.1:4318
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Headers for the collector, like api-key=…; name=value pairs, separated by commas
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true,
        value_name = "PAIRS"
    )]
    otlp_headers: String,
}

impl TraceOptions {
    /// The collector, where one is named.
    pub(crate) fn target(&self) -> Result<Option<TraceTarget>, TraceTargetError> {
        let endpoint = self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
        endpoint.map(|endpoint| TraceTarget::new(endpoint, &self.otlp_headers)).transpose()
    }
}
