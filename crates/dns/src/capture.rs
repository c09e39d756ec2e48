//! Takes the reply that hickory encodes, as bytes: never longer than the transport and the client take, owners as
//! pointers to the question.
//!
//! hickory's own server cannot be given a reply's size or a compression table, and alone never compresses against the
//! question. A reply that does not fit comes out with TC; `respond` replaces it by one without records.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_net::NetError;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::server::{ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponse;

use crate::compiled::encoder_behind;
use crate::limits::HEADER;

/// The `ResponseHandler` that keeps a reply's bytes. Its lock is never contended: a responder uses it alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Captured>>);

#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    /// Header and question as asked, the name in lower case.
    seed: Vec<u8>,
    name_end: usize,
    limit: u16,
    /// The response code of a reply that is whole.
    pub(crate) code: Option<ResponseCode>,
}

impl Capture {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Captured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Captured {
    pub(crate) fn prepare(&mut self, wire: &[u8], name_end: usize, limit: u16) {
        self.seed.clear();
        self.seed.extend_from_slice(wire);
        // Length bytes are at most 63 and so no letters.
        self.seed[HEADER..name_end].make_ascii_lowercase();
        self.name_end = name_end;
        self.limit = limit;
        self.code = None;
    }

    /// An encoder that knows the question's name as a target of compression, and begins at the header.
    fn encoder(&mut self) -> BinEncoder<'_> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.seed);
        let mut encoder = encoder_behind(&mut self.bytes, self.name_end);
        encoder.set_max_size(self.limit);
        encoder.set_offset(0);
        encoder
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Capture {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut captured = self.lock();
        let info = response.destructive_emit(&mut captured.encoder())?;
        captured.code = Some(info.response_code);
        Ok(info)
    }
}
