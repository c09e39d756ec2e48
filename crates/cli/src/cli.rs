//! The command line: every command with its arguments.

use crate::command::{
    agent, apply, audit, ca, check, check_config, cluster, completion, demo, dns, doctor, endpoint,
    events, export, overrides, pause, secret, service, settings, status, tsig, zone,
};
use crate::options::Options;

/// Keeps services reachable: agents probe, agree by quorum, fail over once, and answer DNS.
#[derive(Debug, clap::Parser)]
#[command(name = "holdfast", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 error, 2 differences or unhealthy (with --exit-code), 3 blocked by a rule, \
    4 no quorum or unavailable, 5 denied, 64 usage."
)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a failover: three agents on this machine, and a story of failures.
    Demo(demo::Args),
    /// Run an agent.
    Agent(agent::Args),
    /// Say whether a configuration file of an agent is right.
    CheckConfig(check_config::Args),
    /// Make a certificate authority and certificates.
    #[command(subcommand)]
    Ca(ca::Args),
    /// Make a key with which agents seal the secrets that they share.
    #[command(subcommand)]
    Secret(secret::Args),
    /// Show how everything stands.
    Status(status::Args),
    /// Say why a service is answered as it is; the same as `service explain`.
    Explain(service::ExplainArgs),
    /// Declare what stands in manifests: zones first, then services.
    Apply(apply::Args),
    /// Print every zone and service as a manifest that `apply` takes.
    Export(export::Args),
    /// Services: declare, show, explain, delete.
    #[command(subcommand)]
    Service(service::Args),
    /// Zones: show, delete, import and export as master files, sign.
    #[command(subcommand)]
    Zone(zone::Args),
    /// Keys that DNS transfers, notices and updates are signed with.
    #[command(subcommand)]
    Tsig(tsig::Args),
    /// Endpoints that come and go by themselves.
    #[command(subcommand)]
    Endpoint(endpoint::Args),
    /// Checks: probe from this machine.
    #[command(subcommand)]
    Check(check::Args),
    /// Orders that outrank the automatic decision.
    #[command(subcommand)]
    Override(overrides::Args),
    /// Stop automatic moves in the whole cluster, for a while.
    Pause(pause::PauseArgs),
    /// Let automatic moves happen again.
    Resume(pause::ResumeArgs),
    /// Members: show, add, promote, remove, hand over leadership.
    #[command(subcommand)]
    Cluster(cluster::Args),
    /// Settings of the whole group: show, change.
    #[command(subcommand)]
    Settings(settings::Args),
    /// The audit chain: follow, search, verify, take away.
    #[command(subcommand)]
    Audit(audit::Args),
    /// What DNS answers.
    #[command(subcommand)]
    Dns(dns::Args),
    /// Show what happened, and what happens.
    Events(events::Args),
    /// Look for what is wrong, and say what to do about it.
    Doctor(doctor::Args),
    /// Print a completion script for a shell.
    Completion(completion::Args),
    /// Print the version.
    Version,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn good_lines_are_taken() {
        for line in [
            "demo --once -o json",
            "agent --config a.toml",
            "agent --config a.toml --replace",
            "check-config a.toml -o json",
            "ca init --cluster prod",
            "ca issue agent a1 --address 10.0.0.1 --dns a1.example.test",
            "secret new-key seal.key",
            "status --exit-code --plaintext --endpoint 127.0.0.1:7444",
            "apply -f a.yaml -f b.toml --dry-run=client",
            "apply -f - --dry-run=server --exit-code",
            "service apply -f a.yaml --if-revision 12",
            "service get shop --manifest toml",
            "export --namespace eu",
            "service list --namespace eu -o csv",
            "service explain shop -o wide",
            "explain eu/shop",
            "service explain shop --client 192.0.2.0/24",
            "service delete shop --yes",
            "zone get example.test",
            "zone dnssec rollover finish example.test --resolver 127.0.0.1 --force gone",
            "zone dnssec rollover abandon example.test --resolver 127.0.0.1 --force gone",
            "tsig add key.example.test --algorithm hmac-sha512",
            "tsig remove key.example.test --yes",
            "endpoint register shop eu e3 10.0.0.3:80 --weight 5",
            "endpoint register shop eu e4 [2001:db8::1]:80",
            "endpoint deregister shop e3 --yes",
            "endpoint heartbeat shop e3 beat --every 2s",
            "check run shop http e1 --debug",
            "override set shop --pin eu --for 30m --reason maintenance",
            "override set shop --force-down endpoint/e1 --for 30m --reason broken",
            "override clear 77 --reason done",
            "pause --for 10m --reason storm",
            "resume",
            "cluster add --id 4 --name a4 --region eu --peer 10.0.0.4:7443 --api 10.0.0.4:7444",
            "cluster remove a4 --yes",
            "cluster transfer-leader",
            "settings show",
            "settings set --ttl-floor 10s --max-moves none",
            "audit tail --last 5",
            "audit search --service shop --kind verdict.* --since 1h --limit 7",
            "audit verify",
            "audit export --out a.jsonl",
            "dns answer www.example.test AAAA",
            "dns dump --zone example.test",
            "events --follow --service shop",
            "doctor --exit-code",
            "completion zsh",
            "version -o json",
            "status --request-id 6f9619ff-8b86-d011-b42d-00c04fc964ff --timeout 500ms",
        ] {
            let words = ["holdfast"].into_iter().chain(line.split_whitespace());
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn bad_lines_are_refused_with_the_word_at_fault() {
        for (line, said) in [
            ("", "Usage"),
            ("fly", "unrecognized subcommand 'fly'"),
            ("agent", "--config"),
            ("apply", "--file"),
            ("status -o xml", "xml"),
            ("status --timeout 10", "no duration"),
            ("status --timeout 0s", "never wait"),
            ("status --request-id 7", "not a UUID"),
            ("override set shop --for 30m --reason r", "--pin"),
            (
                "override set shop --pin a --drain pool/b --for 30m --reason r",
                "cannot be used with",
            ),
            ("override set shop --pin eu --reason r", "--for"),
            ("override set shop --pin eu --for 30m", "--reason"),
            ("override set shop --drain e1 --for 30m --reason r", "endpoint/NAME or pool/NAME"),
            ("override set Shop --pin eu --for 30m --reason r", "a-z"),
            ("pause --for soon --reason r", "no duration"),
            ("endpoint register shop eu e3 10.0.0.3", "PORT"),
            ("cluster add --id 4", "--peer"),
            ("settings set", "--ttl-floor"),
            ("settings set --max-moves few", "neither a number"),
            ("ca issue ghost g", "ghost"),
            ("completion tcsh", "tcsh"),
        ] {
            let words = ["holdfast"].into_iter().chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).expect_err(line).to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
