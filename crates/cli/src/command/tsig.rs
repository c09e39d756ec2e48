//! `holdfast tsig …`: keys that DNS transfers and updates are signed with.
//!
//! A secret is made here or read from a file, goes to one agent over the API's TLS, and is sealed there. It is printed
//! once, in the form that BIND's tools read (`nsupdate -k`, `dig -k`).

use std::path::PathBuf;

use data_encoding::BASE64;
use holdfast_core::DnsName;
use holdfast_core::tsig::TsigAlgorithm;
use holdfast_wire::pb::v1 as pb;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::client::registry;
use crate::command::service::{consistency, or_stale};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Column, Page, Table, json};
use crate::session::{Outcome, Session};

/// The bytes of a secret that is made here: those of SHA-256's output (RFC 8945, 8).
const SECRET: usize = 32;

/// Commands of `tsig`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Add a key, or with --replace give the one of this name another secret; prints it as a key file of BIND.
    Add(AddArgs),
    /// Show the names of all keys.
    List(ListArgs),
    /// Remove a key; refused while a zone names it.
    Remove(RemoveArgs),
}

/// Arguments of `tsig add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name, by which both sides know it.
    name: DnsName,
    /// hmac-sha256, hmac-sha384 or hmac-sha512.
    #[arg(long, default_value = "hmac-sha256")]
    algorithm: TsigAlgorithm,
    /// A file with the secret in base64; made at random where absent.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Take the place of the key of that name: whoever signs with its former secret is refused from then on.
    #[arg(long)]
    replace: bool,
}

/// Arguments of `tsig list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Arguments of `tsig remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Its name.
    name: DnsName,
}

/// Runs a command about TSIG keys.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Add(args) => add(&args, session).await?,
        Args::List(args) => list(&args, session).await?,
        Args::Remove(args) => remove(&args.name, session).await?,
    }
    Ok(Exit::Success)
}

async fn add(args: &AddArgs, session: &Session) -> Result<(), Failure> {
    check_repeatable(args, session.options.request_id.is_some())?;
    let secret = secret(args)?;
    let client = session.client()?;
    let message = pb::ApplyTsigKeyRequest {
        request_id: client.request_id(),
        name: args.name.to_string(),
        algorithm: args.algorithm.to_string(),
        secret: secret.clone(),
        replace: args.replace,
    };
    let answer = client.call(format!("add TSIG key {}", args.name), async |channel| {
        registry(channel).apply_tsig_key(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let mut data = json::of(&answer);
    data["name"] = args.name.to_string().into();
    data["algorithm"] = args.algorithm.to_string().into();
    data["secret"] = BASE64.encode(&secret).into();
    session.out.page(&Page::line(data, key_file(args, &secret)))
}

/// A request with a number of its own may be a repetition, which is done once: a secret made anew would be printed and not
/// be the one that is stored.
fn check_repeatable(args: &AddArgs, numbered: bool) -> Result<(), Failure> {
    if !numbered || args.secret_file.is_some() {
        return Ok(());
    }
    let message =
        "a repetition under this request id would print another secret than the one that is stored";
    Err(Failure::usage(message).next("give the secret in a file, with --secret-file"))
}

/// The key as BIND's tools read it.
fn key_file(args: &AddArgs, secret: &[u8]) -> String {
    format!(
        "key \"{}\" {{\n\talgorithm {};\n\tsecret \"{}\";\n}};\n",
        args.name,
        args.algorithm,
        BASE64.encode(secret)
    )
}

fn secret(args: &AddArgs) -> Result<Vec<u8>, Failure> {
    let Some(path) = &args.secret_file else {
        let mut secret = vec![0; SECRET];
        let failed = |_| Failure::error("the system gives no random bytes".to_owned());
        SystemRandom::new().fill(&mut secret).map_err(failed)?;
        return Ok(secret);
    };
    let unreadable = |error| Failure::error(format!("cannot read {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    BASE64.decode(text.trim().as_bytes()).map_err(|error| {
        Failure::error(format!(
            "{} holds no base64: {error}; write the secret alone",
            path.display()
        ))
    })
}

async fn list(args: &ListArgs, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let message = pb::ListTsigKeysRequest { consistency: consistency(args.stale) };
    let answer = client.call("list TSIG keys", async |channel| {
        registry(channel).list_tsig_keys(client.request(message)).await
    });
    let answer = answer.await.map_err(or_stale)?.value;
    let mut table = Table::new([Column::new("KEY"), Column::new("ALGORITHM")]);
    for key in &answer.keys {
        table.row([key.name.as_str().into(), key.algorithm.as_str().into()]);
    }
    let page = Page::new(json::of(&answer));
    session.out.page(&if table.is_empty() {
        page.text("no TSIG keys; add one with `holdfast tsig add NAME`")
    } else {
        page.table(table)
    })
}

async fn remove(name: &DnsName, session: &Session) -> Result<(), Failure> {
    session.confirm(&format!("remove TSIG key {name}"))?;
    let client = session.client()?;
    let message =
        pb::RemoveTsigKeyRequest { request_id: client.request_id(), name: name.to_string() };
    let answer = client.call(format!("remove TSIG key {name}"), async |channel| {
        registry(channel).remove_tsig_key(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text = format!("TSIG key {name} removed (index {})", answer.index);
    session.out.page(&Page::line(json::of(&answer), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_made_here_has_no_request_id_that_could_be_repeated() {
        let made = AddArgs {
            name: DnsName::new("k.test").expect("valid"),
            algorithm: TsigAlgorithm::HmacSha256,
            secret_file: None,
            replace: false,
        };
        assert_eq!(check_repeatable(&made, false), Ok(()));
        let refused = check_repeatable(&made, true).expect_err("it may be a repetition");
        assert!(refused.to_string().contains("--secret-file"), "{refused}");
        let given = AddArgs { secret_file: Some("k".into()), ..made };
        assert_eq!(check_repeatable(&given, true), Ok(()));
    }
}
