//! The record by its bytes, and its bounds.

use hickory_proto::op::Message;

use super::*;
use crate::limits::HEADER;
use crate::opt::Options;
use crate::respond::Transport;

fn asked(options: &[u8]) -> Opt {
    let options = Options::parse(options, Transport::Tcp).expect("well-formed");
    Opt { payload: 4096, version: 0, dnssec_ok: true, compact_ok: false, options }
}

/// A reply of a header and this OPT.
fn reply(opt: &ReplyOpt<'_>, remarks: Remarks, limit: u16) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[2] = 0x80;
    opt.push(ResponseCode::NoError, remarks, limit, &mut out);
    out
}

/// The data of an option in a reply of a header and an OPT.
fn option(reply: &[u8], code: u16) -> Option<Vec<u8>> {
    let edns = Message::from_vec(reply).expect("hickory reads it").edns.expect("an OPT");
    assert!(edns.flags().dnssec_ok && edns.max_payload() == MAX_UDP);
    let mut rest = &reply[HEADER + OPT..];
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let (data, tail) = tail.split_at(usize::from(u16::from_be_bytes([head[2], head[3]])));
        if head[..2] == code.to_be_bytes() {
            return Some(data.to_vec());
        }
        rest = tail;
    }
    None
}

#[test]
fn only_what_was_asked_is_told() {
    let silent = reply(&ReplyOpt::bare(asked(&[])), Remarks::default(), 1232);
    assert_eq!(silent.len(), HEADER + OPT);
    let full = ReplyOpt {
        cookie: Some([7; COOKIE]),
        keepalive: Some(150),
        nsid: b"ns1",
        ..ReplyOpt::bare(asked(&[]))
    };
    let full = ReplyOpt { opt: asked(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]), ..full };
    let remarks = Remarks { scope: 20, error: Some(ExtendedError::Closed) };
    let told = reply(&full, remarks, 1232);
    assert_eq!(option(&told, number::COOKIE), Some(vec![7; COOKIE]));
    assert_eq!(option(&told, number::SUBNET), Some(vec![0, 1, 24, 20, 192, 0, 2]));
    assert_eq!(option(&told, number::KEEPALIVE), Some(vec![0, 150]));
    assert_eq!(option(&told, number::NSID), Some(b"ns1".to_vec()));
    assert_eq!(option(&told, number::EXTENDED_ERROR), Some(b"\0\0nothing is up".to_vec()));
    assert_eq!(told[10..12], [0, 1], "one additional record");
    let courtesies = OPTION + 3 + OPTION + 2 + "nothing is up".len();
    assert_eq!(told.len(), HEADER + usize::from(full.needed()) + courtesies);
}

#[test]
fn courtesies_are_left_out_where_the_reply_is_full() {
    let opt = ReplyOpt { nsid: b"ns1", ..ReplyOpt::bare(asked(&[])) };
    let error = ExtendedError::NotReady.into();
    let whole = HEADER + OPT + OPTION + 2 + OPTION + 3;
    for limit in HEADER + OPT..whole + 4 {
        let told = reply(&opt, error, limit as u16);
        assert!(told.len() <= limit);
        assert_eq!(told.len() == whole, limit >= whole, "limit {limit}");
        Message::from_vec(&told).expect("hickory reads it");
    }
}

#[test]
fn padding_fills_blocks_within_the_limit() {
    let opt = ReplyOpt { padded: true, ..ReplyOpt::bare(asked(&[])) };
    assert_eq!(reply(&opt, Remarks::default(), u16::MAX).len(), PADDING_BLOCK);
    assert_eq!(reply(&opt, Remarks::default(), 100).len(), 100);
    for limit in HEADER + OPT..HEADER + OPT + 8 {
        let told = reply(&opt, Remarks::default(), limit as u16);
        assert!(told.len() <= limit);
        Message::from_vec(&told).expect("hickory reads it");
    }
    let mut long = vec![0; HEADER];
    long.resize(PADDING_BLOCK - OPT - OPTION + 1, 0);
    opt.push(ResponseCode::NoError, Remarks::default(), u16::MAX, &mut long);
    assert_eq!(long.len(), 2 * PADDING_BLOCK);
}
