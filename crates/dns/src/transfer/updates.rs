//! Answers updates: what can be said at once, and what the group says later.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream;
use hickory_proto::op::ResponseCode;
use holdfast_core::DnsName;
use metrics::counter;

use super::request::Question;
use super::server::{Incoming, Reply, Transfers, told};
use crate::metric;
use crate::reply_opt::ExtendedError;
use crate::respond::Transport;
use crate::tsig::FUDGE;
use crate::update::{self, Agreement, Decided};

impl Transfers {
    /// Has updates agreed on this way from now on; `None` refuses them with SERVFAIL.
    pub fn lead_updates(&self, to: Option<Box<dyn Agreement>>) {
        self.updates.lead(to);
    }

    pub(super) fn update(&self, message: &[u8], incoming: Incoming<'_>) -> Reply {
        let transport = incoming.peer.transport;
        let key = match admit(&incoming) {
            Ok(key) => key,
            Err((code, why)) => {
                count(code);
                let opt = update::opt_alone(message, transport);
                let question = Question { opt, ..Question::of(message) };
                return self.told(&question, code, Some(why), incoming.signer);
            }
        };
        let (opt, asked) = update::read(message, transport);
        let question = Question { opt, ..Question::of(message) };
        match self.begin(key, asked, &incoming) {
            Err((code, why)) => {
                count(code);
                self.told(&question, code, why, incoming.signer)
            }
            Ok(deciding) => {
                let (clock, signer) = (Arc::clone(&self.clock), incoming.signer);
                Reply::Many(Box::pin(stream::once(async move {
                    let code = deciding.await.code();
                    count(code);
                    told(&question, (code, None), signer, &*clock)
                })))
            }
        }
    }

    /// Hands an update over. Errors: why it is told no at once.
    fn begin(
        &self,
        key: &DnsName,
        asked: Result<update::Asked, ResponseCode>,
        incoming: &Incoming<'_>,
    ) -> Result<BoxFuture<'static, Decided>, (ResponseCode, Option<ExtendedError>)> {
        let asked = asked.map_err(|code| (code, None))?;
        let published = incoming.published;
        let published = published.ok_or((ResponseCode::ServFail, Some(ExtendedError::NotReady)))?;
        let Some(zone) = published.answers().zones.get(&asked.zone) else {
            return Err((ResponseCode::NotAuth, Some(ExtendedError::NotAuthoritative)));
        };
        if !zone.zone.updates.iter().any(|rule| rule.key == *key) {
            let from = incoming.peer.address;
            tracing::debug!(%from, zone = %asked.zone, %key, "update refused: no rule names the key");
            return Err((ResponseCode::Refused, Some(ExtendedError::Prohibited)));
        }
        let request = update::request_id(key, incoming.mac);
        let begun = self.updates.decide(asked.by(key.clone()), request);
        begun.ok_or((ResponseCode::ServFail, Some(ExtendedError::NotReady)))
    }
}

/// The key of an update that is worth reading: what is not signed costs no more than its own length. Errors: why it is
/// told no.
fn admit<'a>(incoming: &'a Incoming<'_>) -> Result<&'a DnsName, (ResponseCode, ExtendedError)> {
    // A reply that is waited for has no form there.
    if incoming.peer.transport == Transport::Https {
        return Err((ResponseCode::NotImp, ExtendedError::NotSupported));
    }
    let from = incoming.peer.address;
    let prohibited = (ResponseCode::Refused, ExtendedError::Prohibited);
    let Some(key) = &incoming.key else {
        tracing::debug!(%from, "update refused: it is not signed");
        return Err(prohibited);
    };
    // It could be sent again for as long, by whoever saw it.
    if incoming.fudge > FUDGE {
        tracing::debug!(%from, %key, fudge = incoming.fudge, "update refused: its fudge is over {FUDGE} s");
        return Err(prohibited);
    }
    Ok(key)
}

fn count(code: ResponseCode) {
    let result = match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS => "BADVERS",
        _ => "REFUSED",
    };
    counter!(metric::UPDATES, "result" => result).increment(1);
}
