//! Many datagrams per system call: `recvmmsg` and `sendmmsg`.
//!
//! A batch owns what the kernel writes into and reads from: a buffer and an address for each datagram. The structures
//! that point at them are made anew for each call and do not outlive it, so no pointer survives a move or a change.
//!
//! Invariant: a reply goes to the address that its query came from.
#![expect(
    unsafe_code,
    reason = "rustix has no recvmmsg; a system call per datagram costs half of a query"
)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use crate::limits::{BATCH, MAX_UDP_QUERY};

/// The buffers are not a power of two apart, or all headers would compete for the same lines of the cache.
const STRIDE: usize = MAX_UDP_QUERY + 64;

/// The datagrams of one call.
pub(crate) struct Batch {
    buffers: Box<[u8]>,
    lengths: [usize; BATCH],
    addresses: Box<[libc::sockaddr_storage; BATCH]>,
    address_lengths: [libc::socklen_t; BATCH],
}

/// What became of the replies of a batch.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Replies that the socket did not take.
    pub(crate) lost: usize,
    /// The last reason.
    pub(crate) error: Option<io::Error>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        // SAFETY: `sockaddr_storage` consists of integers, for which all zeros is a value.
        let addresses = Box::new(unsafe { mem::zeroed() });
        let buffers = vec![0; BATCH * STRIDE].into_boxed_slice();
        Self { buffers, lengths: [0; BATCH], addresses, address_lengths: [0; BATCH] }
    }

    /// Takes the datagrams that wait, and says how many; never waits itself. Those longer than a buffer are cut.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
        let buffers = self.buffers.chunks_exact_mut(STRIDE);
        let places = headers.iter_mut().zip(&mut vectors).zip(buffers).zip(&mut *self.addresses);
        for (((header, vector), buffer), address) in places {
            let base = buffer.as_mut_ptr().cast();
            let vector = vector.write(libc::iovec { iov_base: base, iov_len: MAX_UDP_QUERY });
            header.write(message(ptr::from_mut(address), SPACE, vector));
        }
        // SAFETY: all BATCH headers were written above; each points at one vector, one buffer of MAX_UDP_QUERY bytes and
        // one address of SPACE bytes, all alive and used by nothing else until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (place, header) in headers.iter().take(count).enumerate() {
            // SAFETY: written above, and by the kernel since.
            let header = unsafe { header.assume_init_ref() };
            self.lengths[place] = header.msg_len as usize;
            self.address_lengths[place] = header.msg_hdr.msg_namelen;
        }
        Ok(count)
    }

    /// A datagram of the last `receive`, and where it came from; `None` for no address of the internet.
    pub(crate) fn query(&self, place: usize) -> Option<(&[u8], SocketAddr)> {
        Some((self.bytes(place), self.address(place)?))
    }

    /// The bytes of a datagram of the last `receive`.
    pub(crate) fn bytes(&self, place: usize) -> &[u8] {
        let start = place * STRIDE;
        &self.buffers[start..start + self.lengths[place]]
    }

    fn address(&self, place: usize) -> Option<SocketAddr> {
        let storage = ptr::from_ref(&self.addresses[place]);
        match libc::c_int::from(self.addresses[place].ss_family) {
            libc::AF_INET => {
                // SAFETY: a `sockaddr_storage` is large and aligned enough for each kind of address, is all integers,
                // and its family says which it is.
                let v4 = unsafe { &*storage.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some((ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { &*storage.cast::<libc::sockaddr_in6>() };
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// Sends each reply to where the query at its place came from; never waits. What the socket does not take is lost.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, replies: &[(usize, Vec<u8>)]) -> Sent {
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
        let places = headers.iter_mut().zip(&mut vectors).zip(replies);
        let total = places.len();
        for ((header, vector), (place, reply)) in places {
            // The kernel only reads what is sent.
            let base = reply.as_ptr().cast_mut().cast();
            let vector = vector.write(libc::iovec { iov_base: base, iov_len: reply.len() });
            let address = ptr::from_ref(&self.addresses[*place]).cast_mut();
            header.write(message(address, self.address_lengths[*place], vector));
        }
        let mut sent = Sent::default();
        let mut done = 0;
        while done < total {
            // SAFETY: the headers before `total` were written above; each points at one vector, one reply and one
            // address with its length, all alive, and the kernel writes only into the headers.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr().add(done).cast(),
                    (total - done) as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(count) {
                Ok(count) => done += count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    match error.kind() {
                        io::ErrorKind::Interrupted => continue,
                        // No place for more: the clients ask again.
                        io::ErrorKind::WouldBlock => {
                            sent.lost += total - done;
                            done = total;
                        }
                        // The error is of the first that was not sent.
                        _ => {
                            sent.lost += 1;
                            done += 1;
                        }
                    }
                    sent.error = Some(error);
                }
            }
        }
        sent
    }
}

/// The bytes of an address of any kind.
const SPACE: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

fn message(
    address: *mut libc::sockaddr_storage,
    address_length: libc::socklen_t,
    vector: *mut libc::iovec,
) -> libc::mmsghdr {
    // SAFETY: the structure consists of integers and pointers, for which all zeros is a value; some platforms pad it.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_name = address.cast();
    header.msg_hdr.msg_namelen = address_length;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}
