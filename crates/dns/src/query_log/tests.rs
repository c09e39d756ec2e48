use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::respond::Transport;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp(12)
    }
}

fn peer() -> Peer {
    Peer { address: ([192, 0, 2, 77], 4711).into(), transport: Transport::Udp }
}

fn query() -> Vec<u8> {
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04shop\x07example\x04test\0\0\x01\0\x01".to_vec()
}

fn reply() -> Vec<u8> {
    let mut reply = query();
    reply[2] = 0x84;
    reply[7] = 1;
    reply.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc0\0\x02\x01");
    reply
}

fn sample() -> Sample {
    Sample { at: Timestamp(12), peer: peer(), query: query(), reply: reply() }
}

fn writer(file: &Path) -> Writer {
    let config = QueryLogConfig { file: file.to_owned(), one_in: 1, whole_addresses: false };
    Writer { config, file: None, failed: false }
}

fn lines(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).expect("the log can be read");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn a_line_says_who_asked_what_and_what_was_told() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("log");
    writer(&file).write(&[sample()]).expect("written");
    let expected = serde_json::json!({
        "at_ms": 12, "client": "192.0.2.0", "port": 4711, "transport": "udp",
        "name": "shop.example.test.", "type": "A", "query_bytes": 35,
        "rcode": "NOERROR", "answers": 1, "truncated": false, "reply_bytes": 51,
    });
    assert_eq!(lines(&file), [expected]);
}

#[test]
fn whole_addresses_are_written_only_where_asked_for() {
    let line = |whole, address: &str| {
        let peer = Peer { address: address.parse().expect("an address"), ..peer() };
        Line::of(&Sample { peer, ..sample() }, whole).client.to_string()
    };
    assert_eq!(line(true, "192.0.2.77:1"), "192.0.2.77");
    assert_eq!(line(false, "[2001:db8:1:2ff:3::4]:1"), "2001:db8:1:200::");
    assert_eq!(line(false, "[::ffff:192.0.2.77]:1"), "192.0.2.0");
}

#[test]
fn silence_and_what_is_no_message_are_logged_too() {
    let silent = Sample { reply: vec![], query: vec![1, 2, 3], ..sample() };
    let line = Line::of(&silent, true);
    assert_eq!((line.name, line.rcode, line.query_bytes), (None, None, 3));
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::tempdir().expect("a directory");
    let (file, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let mut writer = writer(&file);
    writer.write(&[sample()]).expect("written");
    std::fs::rename(&file, &moved).expect("moved");
    writer.write(&[sample(), sample()]).expect("written");
    assert_eq!((lines(&moved).len(), lines(&file).len()), (1, 2));
}

#[test]
fn a_file_that_cannot_be_written_loses_samples_and_takes_later_ones() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("not there").join("log");
    let mut writer = writer(&file);
    writer.write(&[sample()]).expect_err("no such directory");
    std::fs::create_dir(file.parent().expect("it has one")).expect("made");
    writer.write(&[sample()]).expect("written");
    assert_eq!(lines(&file).len(), 1);
}

#[test]
fn one_in_so_many_is_sampled_and_a_full_queue_holds_nobody_up() {
    let (queue, samples) = sync_channel(64);
    let mut sampler = Sampler::new(10, queue, Arc::new(Stopped));
    for _ in 0..600 {
        sampler.note(&query(), peer(), &reply());
    }
    let taken = samples.try_iter().count();
    // 60 are expected; a standard deviation is about 4.5.
    assert!((30..=64).contains(&taken), "{taken} of 600");
    let mut every = Sampler { one_in: 1, until_next: 0, ..sampler };
    for _ in 0..1000 {
        every.note(&query(), peer(), &[]);
    }
    assert_eq!(samples.try_iter().count(), 64, "what the queue holds");
}
