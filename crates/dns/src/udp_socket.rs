//! What is asked of the kernel for a UDP socket that answers.
//!
//! Buffers of [`BUFFER`] bytes each way, by force where the process may, else as far as the system lets; what is less is
//! said once, for a burst of queries then overflows the queue. Replies ignore what is claimed about the path's MTU
//! (`OMIT`): they fit the least that IPv6 allows, and a forged ICMP message must not make them come in fragments, of
//! which a stranger can replace the second.

use std::io;
use std::net::SocketAddr;
use std::sync::Once;

use rustix::net::sockopt::{
    self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::Socket;

/// The bytes of each buffer of a socket.
pub(crate) const BUFFER: usize = 4 << 20;

/// Readies a socket that will be bound to an address. Errors: the system knows no such option.
pub(crate) fn tune(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT)?;
    } else {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)?;
    }
    sockopt::set_socket_recv_buffer_size_force(socket, BUFFER)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, BUFFER))?;
    sockopt::set_socket_send_buffer_size_force(socket, BUFFER)
        .or_else(|_| sockopt::set_socket_send_buffer_size(socket, BUFFER))?;
    // The kernel tells twice what it grants, for what it needs itself.
    let receive = sockopt::socket_recv_buffer_size(socket)? / 2;
    let send = sockopt::socket_send_buffer_size(socket)? / 2;
    if receive.min(send) < BUFFER {
        warn_of(receive, send);
    }
    Ok(())
}

fn warn_of(receive: usize, send: usize) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            receive,
            send,
            wanted = BUFFER,
            "udp buffers are smaller than wanted, so bursts of queries may be lost: raise net.core.rmem_max and \
             net.core.wmem_max, or give the process CAP_NET_ADMIN"
        );
    });
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    /// What the system grants without force.
    fn most(which: &str) -> usize {
        let path = format!("/proc/sys/net/core/{which}_max");
        let most = std::fs::read_to_string(path).expect("Linux tells it");
        most.trim().parse().expect("a number")
    }

    #[test]
    fn sockets_have_large_buffers_and_ignore_what_is_said_of_the_path() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = address.parse().expect("an address");
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None);
            let socket = socket.expect("a socket");
            tune(&socket, address).expect("the options are there");
            let receive = sockopt::socket_recv_buffer_size(&socket).expect("told") / 2;
            let send = sockopt::socket_send_buffer_size(&socket).expect("told") / 2;
            assert!(receive >= BUFFER.min(most("rmem")) && send >= BUFFER.min(most("wmem")));
            if address.is_ipv6() {
                let told = sockopt::ipv6_mtu_discover(&socket).expect("told");
                assert_eq!(told, Ipv6PathMtuDiscovery::OMIT);
            } else {
                let told = sockopt::ip_mtu_discover(&socket).expect("told");
                assert_eq!(told, Ipv4PathMtuDiscovery::OMIT);
            }
        }
    }
}
