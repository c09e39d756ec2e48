//! Who asks: the source of a question, or the network that its resolver tells, where the zone tailors answers to it.
//!
//! A network of length 0 asks for an answer that is for nobody in particular (RFC 7871, 7.1.2), and gets one. A zone that
//! does not tailor answers takes no notice of networks, and says so by the scope 0.

use std::net::IpAddr;

use holdfast_core::steer::Client;

use crate::geo::Geo;
use crate::opt::Subnet;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) source: IpAddr,
    pub(crate) subnet: Option<Subnet>,
    pub(crate) geo: &'a Geo,
}

/// What an answer asks of its client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Need {
    /// The zone tailors answers to networks that resolvers tell.
    pub(crate) subnet: bool,
    /// The choice asks where the client is.
    pub(crate) place: bool,
}

impl Asker<'_> {
    /// The client of an answer, at a turn.
    pub(crate) fn client(&self, turn: u32, need: Need) -> Client {
        let mut client = match self.subnet.filter(|_| need.subnet) {
            Some(subnet) => Client { length: subnet.source, ..Client::at(subnet.address(), turn) },
            None => Client::at(self.source.to_canonical(), turn),
        };
        if need.place && client.length > 0 {
            client.place = self.geo.place(client.address);
        }
        client
    }

    /// The scope that is told with an answer of this scope.
    pub(crate) fn told(&self, scope: u8, need: Need) -> u8 {
        if need.subnet { scope } else { 0 }
    }
}
