//! Connections that send at once.
//!
//! The driver leaves Nagle's algorithm on: the last piece of a message that fills more than one segment waits until the
//! server has acknowledged the others, and a server that has nothing to say does that 40 ms later. A batch of appends is
//! such a message: without this it takes 50 ms instead of 3. The driver shows nobody its sockets, so they are looked up
//! among our own descriptors by the port they lead to; where that is not allowed, appends are slow and nothing else.

use std::io;
use std::net::SocketAddr;

use rustix::net::getpeername;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Lets every connection of this process to a port send at once; how many there are.
///
/// # Errors
/// Where the system does not let us look at our own descriptors.
pub(super) fn send_at_once(port: u16) -> io::Result<usize> {
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut prompt = 0;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A second descriptor of the same socket, so that it stays open while it is looked at.
        let Ok(socket) = pidfd_getfd(&ourselves, number, PidfdGetfdFlags::empty()) else { continue };
        let peer = getpeername(&socket).ok().flatten().and_then(|peer| SocketAddr::try_from(peer).ok());
        if peer.is_some_and(|peer| peer.port() == port) && set_tcp_nodelay(&socket, true).is_ok() {
            prompt += 1;
        }
    }
    Ok(prompt)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_to_a_port_send_at_once_and_others_are_left_alone() {
        let (server, other) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
        let address = |listener: io::Result<TcpListener>| listener.expect("a port").local_addr().expect("it");
        let (server, other) = (server.expect("a port"), address(other));
        let port = server.local_addr().expect("an address").port();
        let connection = TcpStream::connect(server.local_addr().expect("an address")).expect("connects");
        assert!(!connection.nodelay().expect("a socket"), "as sockets are");
        assert!(send_at_once(port).expect("our own descriptors") >= 1);
        assert!(connection.nodelay().expect("a socket"), "also through the descriptor it had before");
        assert_eq!(send_at_once(other.port()).expect("our own descriptors"), 0, "nobody is connected there");
    }
}
