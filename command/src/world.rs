//! What the command side takes from the world outside: identifiers, chance, and how much time has gone by.
//!
//! Everything that decides is given these as values; here is the one place where they come from, so that a test can
//! tell a story with dates in it. The calendar is the store's: see [`event_store::EventStore::now`].

use std::time::Instant;

use domain::render::Jitter;

/// Identifiers, chance and elapsed time.
pub trait World: Send + Sync + std::fmt::Debug {
    /// Fresh bits for an identifier: a UUIDv7 (RFC 9562 5.7), so that identifiers sort by age.
    fn id(&self) -> u128;

    /// How far a retry's wait deviates.
    fn jitter(&self) -> Jitter;

    /// Fills `bytes` with what nobody can guess.
    fn secret(&self, bytes: &mut [u8]);

    /// Milliseconds since some instant in the past; never goes back, whatever the calendar does.
    fn elapsed_ms(&self) -> u64;
}

/// The world as it is.
#[derive(Debug)]
pub struct RealWorld {
    began: Instant,
}

impl Default for RealWorld {
    fn default() -> RealWorld {
        RealWorld { began: Instant::now() }
    }
}

impl World for RealWorld {
    fn id(&self) -> u128 {
        uuid::Uuid::now_v7().as_u128()
    }

    fn jitter(&self) -> Jitter {
        Jitter::new(rand::random_range(-Jitter::PERMILLE_MAX..=Jitter::PERMILLE_MAX))
    }

    fn secret(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
