//! Finding records again: by time, service, actor, kind, request and place in the chain.
//!
//! There is no secondary index. A query scans in order, looks at a bounded number of records per call, and hands out
//! a token to go on from. Time is cheap all the same: the group's time never goes back along the chain, so the first
//! record of a time range is found by halving.

use std::ops::{ControlFlow, RangeInclusive};

use holdfast_core::audit::Record;
use holdfast_core::{RequestId, ServiceId, Timestamp};

use crate::StoreError;
use crate::log::{AuditLog, TRANSFER_RECORDS};
use crate::store::{AuditStore, Order};
use crate::verify::decode;

/// Records that one query looks at.
pub(crate) const SCAN_RECORDS: usize = 20_000;
/// Records that one query returns.
const PAGE_RECORDS: usize = 1000;
/// Encoded bytes that one read returns, whatever is asked.
const READ_BYTES: usize = 8 << 20;

/// Which records are wanted: all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// About this service.
    pub service: Option<ServiceId>,
    /// Caused by the actor of this name.
    pub actor: Option<String>,
    /// Of this kind, such as `verdict.changed`; `verdict.*` stands for the family.
    pub kind: Option<String>,
    /// Caused by this request.
    pub request_id: Option<RequestId>,
    /// In this part of the chain.
    pub sequences: Option<RangeInclusive<u64>>,
}

impl Filter {
    /// Whether a record is wanted.
    pub fn matches(&self, record: &Record) -> bool {
        let content = &record.content;
        self.from.is_none_or(|from| content.at >= from)
            && self.until.is_none_or(|until| content.at < until)
            && self.service.as_ref().is_none_or(|service| content.service.as_ref() == Some(service))
            && self.actor.as_ref().is_none_or(|actor| content.actor.name == *actor)
            && self.kind.as_ref().is_none_or(|kind| is_of_kind(content.event.kind(), kind))
            && self.request_id.is_none_or(|id| content.request_id == Some(id))
            && self.sequences.as_ref().is_none_or(|range| range.contains(&record.sequence))
    }

    /// Whether neither this record nor any further one in `order` can be wanted, by its time.
    fn is_past(&self, record: &Record, order: Order) -> bool {
        match order {
            Order::Ascending => self.until.is_some_and(|until| record.content.at >= until),
            Order::Descending => self.from.is_some_and(|from| record.content.at < from),
        }
    }
}

fn is_of_kind(kind: &str, wanted: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(family) => kind.split('.').next() == Some(family),
        None => kind == wanted,
    }
}

/// One page of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which records.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// At most this many; 1–1000.
    pub limit: usize,
    /// The token of the page before.
    pub after: Option<u64>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            order: Order::Ascending,
            limit: PAGE_RECORDS,
            after: None,
        }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Goes on from here; a page may be short, or empty, and still have more behind it.
    pub next: Option<u64>,
    /// Stored records that could not be decoded: the chain needs verifying.
    pub undecodable: u64,
}

impl AuditLog {
    /// Searches. Looks at no more than 20,000 records, then hands out a token.
    pub fn query(&self, query: &Query) -> Result<Page, StoreError> {
        let Some(range) = self.narrow(query)? else {
            return Ok(Page { records: Vec::new(), next: None, undecodable: 0 });
        };
        let limit = query.limit.clamp(1, PAGE_RECORDS);
        let mut page = Page { records: Vec::new(), next: None, undecodable: 0 };
        let (mut seen, mut last) = (0, None);
        self.store().scan(range, query.order, &mut |sequence, bytes| {
            if page.records.len() == limit || seen == SCAN_RECORDS {
                page.next = last;
                return ControlFlow::Break(());
            }
            seen += 1;
            last = Some(sequence);
            match decode(bytes) {
                None => page.undecodable += 1,
                Some(record) if query.filter.is_past(&record, query.order) => {
                    return ControlFlow::Break(());
                }
                Some(record) if query.filter.matches(&record) => page.records.push(record),
                Some(_) => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }

    /// The newest `count` records, oldest first; at most 1000.
    pub fn tail(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let query = Query { order: Order::Descending, limit: count, ..Query::default() };
        let mut records = self.query(&query)?.records;
        records.reverse();
        Ok(records)
    }

    /// Records for a peer: from the start of `range`, without a gap, as many as fit `max_bytes` (one at least).
    pub fn read(
        &self,
        range: RangeInclusive<u64>,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (mut records, mut size) = (Vec::new(), 0);
        let durable = self.head().length;
        let wanted = *range.start()..=(*range.end()).min(durable);
        let mut next = *range.start();
        self.store().scan(wanted, Order::Ascending, &mut |sequence, bytes| {
            size += bytes.len();
            let full = size > max_bytes.min(READ_BYTES) || records.len() == TRANSFER_RECORDS;
            let record =
                decode(bytes).filter(|_| sequence == next && (records.is_empty() || !full));
            let Some(record) = record else { return ControlFlow::Break(()) };
            records.push(record);
            next += 1;
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    /// The part of the chain that a query can find anything in.
    fn narrow(&self, query: &Query) -> Result<Option<RangeInclusive<u64>>, StoreError> {
        let position = self.position();
        let (mut first, mut last) = (position.base.length + 1, position.head.length);
        if let Some(range) = &query.filter.sequences {
            (first, last) = (first.max(*range.start()), last.min(*range.end()));
        }
        match (query.after, query.order) {
            (Some(after), Order::Ascending) => first = first.max(after.saturating_add(1)),
            (Some(after), Order::Descending) => last = last.min(after.saturating_sub(1)),
            (None, _) => {}
        }
        if position.hole.is_none() {
            if let Some(from) = query.filter.from {
                first = first_at(self.store(), first..=last, from)?;
            }
            if let Some(until) = query.filter.until {
                last = first_at(self.store(), first..=last, until)?.saturating_sub(1);
            }
        }
        Ok((first <= last).then_some(first..=last))
    }
}

/// The first sequence of `range` that is not before `moment`, by halving; one past its end when all are. A record
/// that is missing or damaged ends the search early, on the side that loses nothing.
fn first_at(
    store: &dyn AuditStore,
    range: RangeInclusive<u64>,
    moment: Timestamp,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (*range.start(), range.end().saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match store.get(middle)?.as_deref().and_then(decode) {
            Some(record) if record.content.at < moment => low = middle + 1,
            Some(_) => high = middle,
            None => return Ok(low),
        }
    }
    Ok(low)
}
