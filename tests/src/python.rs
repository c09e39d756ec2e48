//! A client in another language: Python's gRPC, generated from `proto/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::binary::workspace;
use crate::cluster::Cluster;
use crate::process::{Output, Process, run};

/// Python with stubs for our API.
#[derive(Debug)]
pub struct Python {
    interpreter: PathBuf,
    stubs: PathBuf,
}

impl Python {
    /// Generates stubs in `dir`. Errors: the interpreter with gRPC is not there, and how to install it.
    pub fn generate(dir: &Path) -> Result<Self> {
        let interpreter = workspace().join("target/venv/bin/python");
        if !interpreter.is_file() {
            bail!("there is no {}; run .ci/install, which makes it", interpreter.display());
        }
        let (stubs, proto) = (dir.join("stubs"), workspace().join("proto"));
        std::fs::create_dir_all(&stubs)?;
        let mut command = Command::new(&interpreter);
        command.args(["-m", "grpc_tools.protoc", "-I"]).arg(&proto);
        command.arg(format!("--python_out={}", stubs.display()));
        command.arg(format!("--grpc_python_out={}", stubs.display()));
        for entry in std::fs::read_dir(proto.join("holdfast/v1"))? {
            command.arg(entry?.path());
        }
        run(&mut command)?.ok()?;
        Ok(Self { interpreter, stubs })
    }

    fn command(&self, cluster: &Cluster, words: &[&str]) -> Command {
        let mut command = cluster.client.command(&self.interpreter);
        command.arg(workspace().join("tests/fixtures/client.py"));
        command.arg(cluster.nodes()[0].api().to_string()).arg(&cluster.pki).args(words);
        command.env("PYTHONPATH", &self.stubs).env("PYTHONUNBUFFERED", "1");
        command
    }

    /// Runs the client to its end, asking the first agent.
    pub fn run(&self, cluster: &Cluster, words: &[&str]) -> Result<Output> {
        run(&mut self.command(cluster, words))
    }

    /// Starts the client and lets it go on.
    pub fn start(&self, cluster: &Cluster, words: &[&str], log: &Path) -> Result<Process> {
        Process::start("client.py", &mut self.command(cluster, words), log)
    }
}
