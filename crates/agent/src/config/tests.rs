use super::*;

const GOOD: &str = r#"
[node]
name = "eu-1"
data_dir = "data"
[listen]
peer = "127.0.0.1:7443"
api = "127.0.0.1:7444"
dns = ["127.0.0.1:5353"]
http = "127.0.0.1:7480"
[cluster]
id = "prod-eu"
members = [
  { name = "eu-1", region = "eu", peer = "127.0.0.1:7443", api = "127.0.0.1:7444" },
  { name = "eu-2", region = "eu", peer = "127.0.0.1:7543", api = "127.0.0.1:7544" },
]
[tls]
insecure_plaintext = true
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/holdfast/holdfast.toml"))
}

#[test]
fn reads_a_whole_file() {
    let config = parse(GOOD).expect("valid");
    assert_eq!(config.node.id, AgentId(1));
    assert_eq!(config.node.data_dir, Path::new("/etc/holdfast/data"));
    assert_eq!(config.raft.election_max, Duration::from_millis(300));
    assert_eq!(config.cluster.members.len(), 2);
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let error = parse(&GOOD.replace("data_dir", "datadir")).expect_err("refused").to_string();
    assert!(error.contains("line 4, column 1") && error.contains("datadir"), "{error}");
}

#[test]
fn says_what_is_wrong_with_a_value() {
    for (from, to, expected) in [
        ("name = \"eu-1\"\ndata", "name = \"eu-9\"\ndata", "holdfast cluster add"),
        ("127.0.0.1:7443\"\napi", "10.0.0.1:7443\"\napi", "loopback only"),
        ("insecure_plaintext = true", "cert = \"a\"", "are needed together"),
        ("insecure_plaintext = true", "", "holdfast ca init"),
        ("dns = [\"127.0.0.1:5353\"]", "dns = [\"0.0.0.0:53\"]", "list each address"),
        ("name = \"eu-2\"", "name = \"eu-1\"", "used twice"),
        ("127.0.0.1:7543", "agent.example:7543", "not an IP address"),
        ("[tls]", "[raft]\nheartbeat = \"1 fortnight\"\n[tls]", "not a duration"),
        ("[tls]", "[raft]\nelection_timeout_min = \"10ms\"\n[tls]", "two heartbeats"),
        ("[tls]", "[probe]\nallow = [\"10.0.0.0/33\"]\n[tls]", "prefix is longer"),
        ("[tls]", "[secrets]\nkeys = [\"seal.key\"]\n[tls]", "file:/path"),
        (
            "[tls]",
            "[dns]\nquery_log = { file = \"q.jsonl\", one_in = 0 }\n[tls]",
            "logs every query",
        ),
        ("[tls]", "[dns]\ncookie_secrets = [\"12\"]\n[tls]", "openssl rand -hex 16"),
        ("[tls]", "[dns]\ncookie_secrets = [\"file:no\"]\n[tls]", "cannot read /etc/holdfast/no"),
        ("[tls]", "[dns]\nrate_limit_exempt = [\"10/8\"]\n[tls]", "192.0.2.0/24"),
        ("[tls]", "[telemetry]\nlog = \"xml\"\n[tls]", "neither json nor pretty"),
        ("[listen]", "group = \"holdfast\"\n[listen]", "name the user too"),
        ("[tls]", "[dns.tls]\ncert = \"c\"\nkey = \"k\"\n[tls]", "has no address"),
        (
            "[tls]",
            "[dns.tls]\ncert = \"c\"\nkey = \"k\"\nquic = [\"[::]:853\"]\n[tls]",
            "dns.tls.quic",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = parse(&GOOD.replacen(from, to, 1)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn encrypted_dns_and_the_account_are_read() {
    let text = GOOD.replace("[listen]", "user = \"holdfast\"\ngroup = \"dns\"\n[listen]").replace(
        "[tls]",
        "[dns.tls]\ncert = \"dns.pem\"\nkey = \"/k\"\nlisten = [\"127.0.0.1:853\"]\n[tls]",
    );
    let config = parse(&text).expect("valid");
    assert_eq!(config.node.user.as_deref(), Some("holdfast"));
    assert_eq!(config.node.group.as_deref(), Some("dns"));
    let tls = config.dns.tls.expect("declared");
    assert_eq!(tls.cert, Path::new("/etc/holdfast/dns.pem"));
    assert_eq!(tls.key, Path::new("/k"));
    assert_eq!(tls.listen, ["127.0.0.1:853".parse().expect("an address")]);
    assert!(tls.https.is_empty() && tls.quic.is_empty());
}

#[test]
fn the_guard_of_dns_has_defaults_and_reads_secrets_from_files() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("cookie"), "00112233445566778899aabbccddeeff\n")
        .expect("writes");
    let file = directory.path().join("holdfast.toml");
    let guard = |dns: &str| {
        let text = GOOD.replace("[tls]", &format!("[dns]\n{dns}\n[tls]"));
        Config::parse(&text, &file).expect("valid").dns.guard
    };
    assert_eq!(guard("threads = 1"), DnsGuard::default());
    let told = guard(
        "cookie_secrets = [\"file:cookie\", \"ffeeddccbbaa99887766554433221100\"]\n\
         rate_limit_per_prefix = 0\nrate_limit_exempt = [\"192.0.2.0/24\"]\nnsid = \"ns1\"\n\
         max_reply_without_cookie = 512",
    );
    let secrets = ["00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"];
    assert_eq!(told.cookie_secrets, secrets.map(|secret| secret.parse().expect("a secret")));
    assert_eq!((told.rate_limit.per_prefix, told.rate_limit.exempt.len()), (0, 1));
    assert_eq!((told.nsid.as_deref(), told.max_reply_without_cookie), (Some("ns1"), Some(512)));
}
