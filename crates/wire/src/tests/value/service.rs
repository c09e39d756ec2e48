//! Services: checks, pools, policies.

use super::*;

prop_compose! {
    pub(in crate::tests) fn endpoint()(name in endpoint_name(), address in address(), port: u16, weight: u16) -> Endpoint {
        Endpoint { name, address, port, weight }
    }
}

prop_compose! {
    pub(in crate::tests) fn pool()(
        name in pool_name(), region in of(region()), priority: u16, weight: u16, min_up: u16,
        endpoints in vec(endpoint().boxed(), 0..3),
    ) -> Pool {
        Pool { name, region, priority, weight, min_up, endpoints }
    }
}

prop_compose! {
    pub(in crate::tests) fn tls_options()(
        server_name in of(text()), ca_pem in of(text()), verify: bool, min_days_left: Option<u16>,
    ) -> TlsOptions {
        TlsOptions { server_name, ca_pem, verify, min_days_left }
    }
}

pub(in crate::tests) fn body() -> impl Strategy<Value = BodyExpectation> {
    prop_oneof![
        text().prop_map(BodyExpectation::Contains),
        text().prop_map(BodyExpectation::Matches),
        (text(), text()).prop_map(|(pointer, equals)| BodyExpectation::Pointer { pointer, equals }),
    ]
}

prop_compose! {
    pub(in crate::tests) fn http_check()(
        (tls, version) in (of(tls_options().boxed()), select(vec![HttpVersion::Http11, HttpVersion::Http2])),
        (method, path, host) in (text(), text(), of(text())),
        headers in vec((text(), text()), 0..3),
        (port, follow_redirects) in any::<(Option<u16>, u8)>(),
        expect_status in vec(any::<(u16, u16)>(), 0..3),
        expect_body in of(body()),
        max_latency in of(ms()),
    ) -> HttpCheck {
        let expect_status =
            expect_status.into_iter().map(|(from, to)| StatusRange { from, to }).collect();
        HttpCheck {
            tls, version, method, path, host, headers, port, expect_status, expect_body, max_latency,
            follow_redirects,
        }
    }
}

pub(in crate::tests) fn check_kind() -> impl Strategy<Value = CheckKind> {
    let bytes = || vec(any::<u8>(), 0..8);
    prop_oneof![
        http_check().boxed().prop_map(CheckKind::Http),
        (any::<Option<u16>>(), bytes(), bytes())
            .prop_map(|(port, send, expect)| CheckKind::Tcp(TcpCheck { port, send, expect })),
        (any::<Option<u16>>(), text(), of(tls_options().boxed()))
            .prop_map(|(port, service, tls)| CheckKind::Grpc(GrpcCheck { port, service, tls })),
        (any::<Option<u16>>(), dns_name(), text(), text(), vec(text(), 0..3)).prop_map(
            |(port, name, record_type, expect_rcode, expect_data)| CheckKind::Dns(DnsCheck {
                port,
                name,
                record_type,
                expect_rcode,
                expect_data,
            })
        ),
        (any::<Option<u16>>(), tls_options().boxed())
            .prop_map(|(port, options)| CheckKind::Tls(TlsCheck { port, options })),
        ms().prop_map(|ttl| CheckKind::Heartbeat(HeartbeatCheck { ttl })),
    ]
}

prop_compose! {
    pub(in crate::tests) fn check()(
        name in check_name(), kind in check_kind().boxed(), interval in ms(), timeout in ms(),
        (rise, fall) in any::<(u16, u16)>(), confirm in ms(),
    ) -> Check {
        Check { name, kind, interval, timeout, rise, fall, confirm }
    }
}

pub(in crate::tests) fn all_down() -> impl Strategy<Value = AllDown> {
    prop_oneof![
        Just(AllDown::FailOpen),
        Just(AllDown::LastKnownGood),
        pool_name().prop_map(AllDown::Fallback),
        Just(AllDown::FailClosed),
    ]
}

prop_compose! {
    pub(in crate::tests) fn rules()(
        mode in select(vec![Mode::Enforce, Mode::Observe]),
        failback in select(vec![Failback::Auto, Failback::Manual]),
        hold_down in ms(), cooldown in ms(), max_moves: u16, window in ms(), all_down in all_down().boxed(),
    ) -> FailoverRules {
        FailoverRules { mode, failback, hold_down, cooldown, max_moves, window, all_down }
    }
}

pub(in crate::tests) fn quorum() -> impl Strategy<Value = Quorum> {
    let regions = prop_oneof![
        Just(RegionRule::Any),
        Just(RegionRule::Majority),
        Just(RegionRule::All),
        any::<u8>().prop_map(RegionRule::AtLeast),
        any::<u8>().prop_map(RegionRule::Percent),
    ];
    (regions, any::<u8>()).prop_map(|(regions, veto_percent)| Quorum { regions, veto_percent })
}

pub(in crate::tests) fn spread() -> impl Strategy<Value = Spread> {
    prop_oneof![
        Just(Spread::All),
        Just(Spread::Weighted),
        Just(Spread::Sticky),
        any::<u8>().prop_map(|max| Spread::Multivalue { max }),
    ]
}

pub(in crate::tests) fn matches() -> impl Strategy<Value = Vec<Match>> {
    let code = || "[A-Z]{2}".prop_map(|text| Code::new(&text).expect("two letters"));
    let one = prop_oneof![
        (any::<IpAddr>(), 0u8..=32)
            .prop_map(|(address, length)| Match::Network(Prefix { address, length })),
        code().prop_map(Match::Continent),
        code().prop_map(Match::Country),
        (code(), code()).prop_map(|(country, code)| Match::Subdivision(country, code)),
        any::<u32>().prop_map(Match::Asn),
    ];
    vec(one, 0..3)
}

pub(in crate::tests) fn policy() -> impl Strategy<Value = Policy> {
    let rule =
        (matches(), vec(pool_name(), 0..3)).prop_map(|(matches, pools)| GeoRule { matches, pools });
    let region = (region(), matches(), any::<Option<(i16, i16)>>())
        .prop_map(|(region, matches, at)| ClientRegion { region, matches, at });
    let steered = (vec(rule, 0..3), of(vec(region, 0..3)), spread())
        .prop_map(|(geo, nearest, then)| Policy::Steered(Steered { geo, nearest, then }));
    prop_oneof![
        Just(Policy::Failover),
        Just(Policy::Weighted),
        Just(Policy::Sticky),
        any::<u8>().prop_map(|max| Policy::Multivalue { max }),
        steered,
    ]
}

prop_compose! {
    pub(in crate::tests) fn service()(
        id in service_id(),
        (name, ttl, txt, https) in (dns_name(), some_ms(), vec(text(), 0..3), of(params().boxed())),
        (ttl_min, tier) in (of(ms()), of((0_u8..5).prop_map(|n| Tier::new(n).expect("0 to 4")))),
        policy in policy(),
        pools in vec(pool().boxed(), 0..3), checks in vec(check().boxed(), 0..3),
        quorum in quorum().boxed(), failover in rules().boxed(),
    ) -> Service {
        Service { id, dns: ServiceDns { txt, ttl_min, tier, https: https.map(|params| ServiceBinding { params }), ..ServiceDns::new(name, ttl) }, policy, pools, checks, quorum, failover }
    }
}
