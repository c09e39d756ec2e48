//! Questions that nobody asked, put to a view, so that their answers' signatures are made.

use hickory_proto::serialize::binary::BinEncodable as _;
use holdfast_core::DnsName;
use holdfast_core::answer::{self, Code, Kind};
use holdfast_core::steer::Client;
use holdfast_core::view::Answers;

use super::apex;
use super::complete::{Asked, Completer};
use super::maker::Maker;
use super::zone::{Signers, SigningContext, Standing};
use crate::compiled::encoder_behind;
use crate::limits::HEADER;
use crate::plain::AA;
use crate::publish::Published;
use crate::record::wire_record;
use crate::screen::Query;

/// A type for private use that nobody declares: it is answered with the proof of what else there is.
pub(super) const NOBODYS: Kind = Kind(65_280);

/// Asks, and has the answers signed. They go to nobody.
#[derive(Debug)]
pub(super) struct Asking {
    completer: Completer,
    context: SigningContext,
    reply: Vec<u8>,
}

impl Asking {
    pub(super) fn new(completer: Completer, context: SigningContext) -> Self {
        Self { completer, context, reply: Vec::new() }
    }

    pub(super) fn maker(&mut self) -> &mut Maker {
        self.completer.maker()
    }

    /// Asks for a type at a name, in the name of nobody in particular.
    pub(super) fn ask(&mut self, view: (&Signers, &Answers), name: &DnsName, kind: Kind) {
        let told = answer::answer(view.1, name, kind, &Client::anybody(0));
        let code = match told.code {
            Code::NoError => 0,
            Code::NameError => 3,
            Code::Refused | Code::ServerFailure | Code::NameTooLong => return,
        };
        write_question(name, kind, code, &mut self.reply);
        let name_end = self.reply.len() - 4;
        for (records, place) in [(&told.answers, 6), (&told.authority, 8)] {
            for record in records {
                let Some(record) = wire_record(record) else { return };
                if record.emit(&mut encoder_behind(&mut self.reply, name_end)).is_err() {
                    return;
                }
            }
            // What is declared of one name and type fits a message, or it is answered to nobody.
            let Ok(count) = u16::try_from(records.len()) else { return };
            self.reply[place..place + 2].copy_from_slice(&count.to_be_bytes());
        }
        self.complete(view, name_end);
    }

    /// Asks for what an apex has by being one.
    pub(super) fn ask_apex(&mut self, view: (&Signers, &Answers), name: &DnsName) {
        self.ask(view, name, Kind::SOA);
        self.ask(view, name, Kind::NS);
        for kind in apex::KINDS {
            let mut wire = Vec::new();
            write_question(name, Kind(kind), 0, &mut wire);
            wire[2] = 0;
            let query = Query { name_end: wire.len() - 4, opt: None, special: false };
            if apex::answer(view, (&wire, &query), &mut self.reply).is_some() {
                self.complete(view, query.name_end);
            }
        }
    }

    fn complete(&mut self, view: (&Signers, &Answers), name_end: usize) {
        let now = self.context.clock.now();
        let asked =
            Asked { name_end, limit: u16::MAX, compact_ok: true, exists: false, network: 0, now };
        self.completer.complete(view, asked, &mut self.reply);
    }
}

/// Whether a name lies in a zone that is signed here.
pub(super) fn is_signed(newest: &Published, name: &DnsName) -> bool {
    let zone = newest.signers().zone_of(&name.to_wire());
    matches!(zone, Some(Standing::Signed(_)))
}

/// Writes the header and the question of a reply without records.
fn write_question(name: &DnsName, kind: Kind, code: u8, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0, 0, 0x80 | AA, code, 0, 1, 0, 0, 0, 0, 0, 0]);
    debug_assert_eq!(out.len(), HEADER);
    out.extend_from_slice(&name.to_wire());
    out.extend_from_slice(&kind.0.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
}
