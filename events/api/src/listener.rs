//! Connections as we accept them: no delay before small packets, and a deadline for those who don't read.
//!
//! A client that stops reading stops us from writing: the socket fills, and whatever streams to it waits. What waits holds
//! no more than one chunk, but it holds a connection; after the deadline without a byte taken the connection is dropped.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

/// A TCP listener whose connections end when their client does not read.
#[derive(Debug)]
pub struct PatientListener {
    listener: TcpListener,
    write_deadline: Duration,
}

impl PatientListener {
    /// Accepts from `listener`; what a client does not take within `write_deadline` ends its connection.
    #[must_use]
    pub fn new(listener: TcpListener, write_deadline: Duration) -> PatientListener {
        PatientListener { listener, write_deadline }
    }
}

/// Who a connection is from, for handlers: `ConnectInfo<Peer>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, PatientListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PatientListener>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

impl Listener for PatientListener {
    type Io = Pin<Box<TimeoutStream<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        // Theirs outlives errors: a process out of file descriptors waits and goes on.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its small packets back");
        }
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_deadline));
        (Box::pin(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
