//! Zones: records, transfers, keys, what primaries and updates bring.

use super::*;

pub(in crate::tests) fn record_data() -> impl Strategy<Value = RecordData> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(RecordData::A),
        any::<std::net::Ipv6Addr>().prop_map(RecordData::Aaaa),
        dns_name().prop_map(RecordData::Cname),
        (any::<u16>(), any::<u16>(), any::<u16>(), dns_name()).prop_map(
            |(priority, weight, port, target)| RecordData::Srv { priority, weight, port, target }
        ),
        vec(bytes(), 0..3).prop_map(RecordData::Txt),
        host().prop_map(RecordData::Ns),
        (any::<u16>(), host())
            .prop_map(|(preference, exchange)| RecordData::Mx { preference, exchange }),
        (any::<u8>(), text(), bytes()).prop_map(|(flags, tag, value)| RecordData::Caa {
            flags,
            tag,
            value
        }),
        host().prop_map(RecordData::Ptr),
        binding().prop_map(RecordData::Svcb),
        binding().prop_map(RecordData::Https),
        dns_name().prop_map(RecordData::Alias),
        dns_name().prop_map(RecordData::Dname),
        (any::<(u16, u8, u8)>(), bytes()).prop_map(
            |((key_tag, algorithm, digest_type), digest)| RecordData::Ds {
                key_tag,
                algorithm,
                digest_type,
                digest
            }
        ),
        (any::<u16>(), bytes())
            .prop_map(|(kind, data)| RecordData::Other { kind: Kind(kind), data }),
    ]
}

pub(in crate::tests) fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

pub(in crate::tests) fn prefix() -> impl Strategy<Value = Prefix> {
    any::<(IpAddr, u8)>().prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Prefix { address, length: length.min(longest) }
    })
}

pub(in crate::tests) fn tsig_key() -> impl Strategy<Value = TsigKey> {
    (select(TsigAlgorithm::ALL.to_vec()), sealed())
        .prop_map(|(algorithm, secret)| TsigKey { algorithm, secret })
}

prop_compose! {
    pub(in crate::tests) fn transfer()(
        allow in vec(prefix(), 0..3),
        keys in vec(dns_name(), 0..3),
        notify in vec((socket_addr(), of(dns_name())), 0..3),
    ) -> Transfer {
        let notify = notify.into_iter().map(|(address, key)| NotifyTarget { address, key });
        Transfer { allow, keys, notify: notify.collect() }
    }
}

prop_compose! {
    pub(in crate::tests) fn update_rule()(
        key in dns_name(), names in vec(dns_name(), 0..3), types in vec(kind(), 0..3),
        registers in of((pool_name(), any::<u16>())),
    ) -> UpdateRule {
        let registers = registers.map(|(pool, port)| Registers { pool, port });
        UpdateRule { key, names, types, registers }
    }
}

pub(in crate::tests) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

/// A name that a record leads to: the root too.
pub(in crate::tests) fn host() -> impl Strategy<Value = DnsName> {
    prop_oneof![4 => dns_name(), 1 => Just(DnsName::root())]
}

pub(in crate::tests) fn params() -> impl Strategy<Value = SvcParams> {
    vec((any::<u16>().prop_map(SvcKey), bytes()), 0..4).prop_map(SvcParams)
}

prop_compose! {
    pub(in crate::tests) fn binding()(priority: u16, target in host(), params in params()) -> Binding {
        Binding { priority, target, params }
    }
}

prop_compose! {
    pub(in crate::tests) fn dnssec()(
        algorithm in select(vec![KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519]),
        denial in select(vec![Denial::Compact, Denial::Nsec3]), validity in ms(),
        (zone, parent) in (ms(), ms()),
    ) -> Dnssec {
        Dnssec { algorithm, denial, validity, delays: PropagationDelays { zone, parent } }
    }
}

prop_compose! {
    pub(in crate::tests) fn primaries()(addresses in vec(socket_addr(), 0..3), key in of(dns_name())) -> Primaries {
        Primaries { addresses, key }
    }
}

pub(in crate::tests) fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (dns_name(), ms(), record_data().boxed());
    vec(record.prop_map(|(name, ttl, data)| Record { name, ttl, data }), 0..4)
}

prop_compose! {
    pub(in crate::tests) fn soa()(mailbox in dns_name(), refresh in ms(), retry in ms(), expire in ms(), negative_ttl in ms()) -> Soa {
        Soa { mailbox, refresh, retry, expire, negative_ttl }
    }
}

prop_compose! {
    pub(in crate::tests) fn fetched()(
        (since, serial, from) in (any::<u64>(), any::<u32>(), socket_addr()),
        mname in dns_name(), soa in soa(), ttl in ms(), removed in records(), added in records(),
    ) -> Fetched {
        Fetched { since, serial, from, mname, soa, ttl, removed, added }
    }
}

prop_compose! {
    pub(in crate::tests) fn zone()(
        name in dns_name(),
        (mailbox, refresh, retry, expire, negative_ttl) in (dns_name(), ms(), ms(), ms(), ms()),
        servers in vec((dns_name(), vec(any::<IpAddr>(), 0..3)), 0..3),
        (ttl, client_subnet) in (ms(), any::<bool>()),
        records in vec((dns_name(), ms(), record_data().boxed()), 0..4),
        (transfer, dnssec, primaries) in (transfer(), of(dnssec()), of(primaries())),
        updates in vec(update_rule(), 0..3),
    ) -> Zone {
        let server = |(name, addresses)| NameServer { name, addresses };
        let record = |(name, ttl, data)| Record { name, ttl, data };
        Zone { records: records.into_iter().map(record).collect(), client_subnet, transfer, updates, dnssec, primaries, ..Zone::new(name, Soa { mailbox, refresh, retry, expire, negative_ttl }, servers.into_iter().map(server).collect(), ttl) }
    }
}

prop_compose! {
    pub(in crate::tests) fn ds()(
        (tag, algorithm, digest_type) in any::<(u16, u8, u8)>(), digest in bytes(),
    ) -> Ds {
        Ds { tag, algorithm, digest_type, digest }
    }
}

prop_compose! {
    pub(in crate::tests) fn signing()(
        keys in vec(zone_key(), 0..3), cached_until in stamp(), ready: bool,
        parent in of((vec(ds(), 0..3), ms(), stamp(), of(stamp()))),
    ) -> Signing {
        let parent =
            parent.map(|(records, ttl, since, seen_at)| ParentDs { records, ttl, since, seen_at });
        Signing { keys, cached_until, ready, parent }
    }
}

prop_compose! {
    pub(in crate::tests) fn zone_key()(
        algorithm in select(vec![KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519]),
        public: [u8; 32], private in sealed(), created in stamp(),
    ) -> ZoneKey {
        let mut public = public.to_vec();
        public.resize(algorithm.public_length(), 1);
        ZoneKey { algorithm, public, private, created }
    }
}

pub(in crate::tests) fn signing_change() -> impl Strategy<Value = SigningChange> {
    prop_oneof![
        zone_key().prop_map(SigningChange::Enable),
        zone_key().prop_map(SigningChange::StartRollover),
        (vec(ds(), 0..3), ms())
            .prop_map(|(records, ttl)| SigningChange::NoteParent { records, ttl }),
        of(text()).prop_map(|forced| SigningChange::FinishRollover { forced }),
        of(text()).prop_map(|forced| SigningChange::AbandonRollover { forced }),
        of(text()).prop_map(|forced| SigningChange::Disable { forced }),
    ]
}
